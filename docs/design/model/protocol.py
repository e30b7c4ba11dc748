"""The protocol: readers, writers, servers; and what it promises.

The world holds one row whose value counts commits, one tag, the table's generation, the table's registry of schemes, and
one entry that depends on the tag and on the generation:
    tag, generation  None (absent) | ("clean", version) | ("pending", version, writers)
    registry         "absent" | "ready"
    entry            None | (tag version, generation version, value), the versions that its reader held

All keys of a table lie in one slot, so one script changes them at once: a lease creates the tags and registers the scheme;
whoever finds the registry absent makes a new one and gives the generation a new version in the same step. (The first
design had tables spread over slots and a registry that was "unready" in between.) A writer announces itself in the
registry, learns the schemes from the reply, and marks the tags with a second step.
"""
from typing import NamedTuple

from model.search import replaced


class State(NamedTuple):
    readers: tuple
    writers: tuple
    crashes_left: int
    primary: int = 0                  # commits on the primary database
    replica: int = 0                  # commits that a database replica has replayed
    tag: tuple | None = None
    generation: tuple | None = ("clean", 0)
    entry: tuple | None = None
    versions: int = 0                 # versions handed out; each is used once
    registry: str = "ready"
    scheme_registered: bool = True    # our reader's scheme is in the registry
    table_pending: frozenset = frozenset()  # kept in the registry too
    evictions_left: int = 0           # times the registry may still be evicted
    standby: tuple | None = None      # (tag, entry) as the cache server's own replica has them
    failover_left: bool = False
    fault: str | None = None          # a read returned a value older than the newest one that it had to see


def is_clean(tag):
    return tag is not None and tag[0] == "clean"


def is_pending(tag):
    return tag is not None and tag[0] == "pending"


def valid(state):
    """The entry is a hit: its tag and its generation are clean and as its reader saw them."""
    return (state.entry is not None and is_clean(state.tag) and is_clean(state.generation)
            and state.entry[:2] == (state.tag[1], state.generation[1]))


def mark(state, writer, which="tag"):
    """A writer announces itself on a tag: a new version, and nobody fills until it is cleared."""
    tag = getattr(state, which)
    others = tag[2] if is_pending(tag) else frozenset()
    return {which: ("pending", state.versions + 1, others | {writer}), "versions": state.versions + 1}


def clear(state, writer, which="tag"):
    """The writer's commit is visible. The last writer deletes the tag: the next lease gives it a version never used."""
    tag = getattr(state, which)
    if tag is None:
        return {}
    others = tag[2] - {writer} if is_pending(tag) else frozenset()
    return {which: ("pending", tag[1], others) if others else None}


def expire(state, writer, which="tag"):
    tag = getattr(state, which)
    others = tag[2] - {writer}
    return {which: ("pending", tag[1], others) if others else None}


def reader_steps(state, *, versions_at_fill=False, registers=True, guard_registration=True, renews_generation=True,
                 loads_replica=False, closers=frozenset(), guard_closed=True, compares=True, fresh_versions=True):
    """One cached read: look up, then on a miss lease and register in one step, load and fill.

    A reader is ("idle", reads left) | (step, reads left, newest value it must see, ...).
    """
    for index, reader in enumerate(state.readers):
        name, step, reads_left = f"R{index}", reader[0], reader[1]

        def to(label, *following, **changes):
            readers = replaced(state.readers, index, following)
            return f"{name} {label}", state._replace(readers=readers, **changes)

        def returns(label, value, must_see, **changes):
            if value < must_see:
                changes["fault"] = f"{name} returned {value}, had to see {must_see}"
            return to(label, "idle", reads_left - 1, **changes)

        pending = is_pending(state.tag) or is_pending(state.generation)
        if step == "idle" and reads_left:
            must_see = state.primary
            if valid(state) or (state.entry is not None and not compares):
                yield returns(f"hits {state.entry[2]}", state.entry[2], must_see)
            else:
                yield to("misses", "bypass" if pending else "lease", reads_left, must_see)
        elif step == "lease":
            if pending:
                yield to("finds a pending writer", "bypass", reads_left, reader[2])
            elif guard_closed and state.tag is None and state.table_pending & closers:
                yield to("finds the table closed", "bypass", reads_left, reader[2])
            elif guard_registration and not state.scheme_registered and state.table_pending:
                yield to("may not register a new scheme now", "bypass", reads_left, reader[2])
            else:
                version = state.versions + 1 if fresh_versions else 0
                tag = state.tag or ("clean", version)
                generation = state.generation or ("clean", version)
                changes = {}
                if registers:
                    changes = dict(registry="ready", scheme_registered=True)
                    if state.registry == "absent" and renews_generation:
                        generation = ("clean", version)
                following = ("load", reads_left, reader[2], (tag[1], generation[1]))
                yield to(f"leases {following[3]}", *following, tag=tag, generation=generation, versions=state.versions + 1,
                         **changes)
        elif step == "bypass":
            value = state.primary
            yield returns(f"reads {value} past the cache", value, reader[2])
        elif step == "load":
            value = state.replica if loads_replica else state.primary
            yield to(f"loads {value}", "fill", reads_left, reader[2], reader[3], value)
        elif step == "fill":
            versions, value = reader[3], reader[4]
            if versions_at_fill and not pending and state.tag:
                versions = (state.tag[1], state.generation[1])
            yield returns(f"fills {value} under {versions}", value, reader[2], entry=(*versions, value))


def writer_steps(state, *, marks=True, replicated=True, renews_generation=True, announces=True, closers=frozenset(),
                 spares_marks=True, clears_own=True):
    """One transaction: announce, mark, commit, clear. A writer may crash on either side of its commit.

    Writers among the `closers` change many rows: they delete their tags instead of marking them, and the table leases no
    absent tag until they are done.
    """
    for index, step in enumerate(state.writers):
        name = f"W{index}"

        def to(label, following, **changes):
            after = state._replace(writers=replaced(state.writers, index, following), **changes)
            if replicated and after.failover_left:
                after = after._replace(standby=(after.tag, after.entry))
            return f"{name} {label}", after

        if step == "start" and not marks:
            yield to("begins", "marked")
        elif step == "start":
            changes = dict(table_pending=state.table_pending | {index}) if announces else {}
            if state.registry == "absent":
                changes |= dict(registry="ready")
                if renews_generation:
                    pending = state.generation[2] if is_pending(state.generation) else frozenset()
                    version = state.versions + 1
                    changes |= dict(generation=("pending", version, pending) if pending else ("clean", version),
                                    versions=version)
            label = "announces itself, the scheme is " + ("known" if state.scheme_registered else "unknown")
            yield to(label, "knows the scheme" if state.scheme_registered else "marked", **changes)
        elif step == "knows the scheme" and index in closers:
            yield to("deletes its tags", "marked", **({} if spares_marks and is_pending(state.tag) else dict(tag=None)))
        elif step == "knows the scheme":
            yield to("marks", "marked", **mark(state, index))
        elif step == "marked":
            yield to("commits", "committed", primary=state.primary + 1)
            if state.crashes_left:
                yield to("crashes before its commit", "crashed", crashes_left=state.crashes_left - 1)
        elif step == "committed":
            changes = dict(table_pending=state.table_pending - {index})
            if state.scheme_registered and index not in closers:
                changes |= clear(state, index) if clears_own else dict(tag=None)
            yield to("clears and acknowledges", "done", **changes)
            if state.crashes_left:
                yield to("crashes after its commit", "crashed", crashes_left=state.crashes_left - 1)


def world_steps(state, *, replays=False, evicts=True, expires_alive=False, renews_generation=True):
    """What happens by itself: leases of dead writers run out, memory is reclaimed, servers fail over."""
    if replays and state.replica < state.primary:
        yield "the replica replays a commit", state._replace(replica=state.replica + 1)
    for which in ("tag", "generation"):
        if is_pending(getattr(state, which)):
            for writer in sorted(getattr(state, which)[2]):
                if expires_alive or state.writers[writer] == "crashed":
                    yield f"the lease of W{writer} expires", state._replace(**expire(state, writer, which))
    for writer in sorted(state.table_pending):
        if state.writers[writer] == "crashed":
            yield (f"the table mark of W{writer} expires",
                   state._replace(table_pending=state.table_pending - {writer}))
    if evicts and is_clean(state.tag):
        yield "the tag is evicted", state._replace(tag=None)
    if evicts and state.entry:
        yield "the entry is evicted", state._replace(entry=None)
    # Pending tags, and the registry while a writer is pending, carry no time to live: no volatile policy evicts them.
    if state.evictions_left and state.registry == "ready" and not state.table_pending:
        yield "the registry is evicted", state._replace(registry="absent", scheme_registered=False,
                                                        evictions_left=state.evictions_left - 1)
    if state.registry == "absent":
        version = state.versions + 1
        pending = state.generation[2] if is_pending(state.generation) else frozenset()
        generation = ("pending", version, pending) if pending else ("clean", version)
        changes = dict(generation=generation, versions=version) if renews_generation else {}
        yield "a reader of another query makes a new registry", state._replace(registry="ready", **changes)
    if state.failover_left:
        if state.standby != (state.tag, state.entry):
            yield "the cache replicates", state._replace(standby=(state.tag, state.entry))
        if state.standby is not None:
            tag, entry = state.standby
            yield "the cache fails over", state._replace(tag=tag, entry=entry, failover_left=False)


def no_stale_read(state):
    """No read returns a value older than the newest one it had to see when it began."""
    return state.fault
