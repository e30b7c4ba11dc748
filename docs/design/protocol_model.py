#!/usr/bin/env python3
"""Model checker for the invalidation protocol in invalidation.md.

Explores every interleaving of a few readers and writers, with crashes, lease expiry, eviction, a lost
replica and a lagging database replica, by breadth-first search over explicit states. It prints one line
per variant: the number of states and either "ok" or the shortest history that breaks the promise.

The variants named "broken" leave one rule out, to show that the rule is needed and that the checker
notices. Run it with: python3 docs/design/protocol_model.py   (a few minutes)

All keys of a table lie in one slot, so one script changes them at once: a lease creates the tags and registers the scheme;
whoever finds the registry absent makes a new one and gives the generation a new version in the same step. (The first
design had tables spread over slots and a registry that was "unready" in between.) A writer announces itself in the
registry, learns the schemes from the reply, and marks the tags with a second step.

The world holds one row whose value counts commits, one tag, the table's generation, the table's registry of schemes, and
one entry that depends on the tag and on the generation:
    tag, generation  None (absent) | ("clean", version) | ("pending", version, writers)
    registry         "absent" | "ready"
    entry            None | (tag version, generation version, value), the versions that its reader held
"""
from collections import deque
from typing import NamedTuple


class State(NamedTuple):
    readers: tuple
    writers: tuple
    crashes_left: int
    primary: int = 0                  # commits on the primary database
    replica: int = 0                  # commits the region's database replica has replayed
    commit_log: tuple = ()            # writers in commit order
    relayed: int = 0                  # commits the region's relay has applied to its tags
    acknowledged: int = 0             # newest commit acknowledged to a client of this region
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


def search(initial, steps, promise):
    """Return (verdict, states, history) of a breadth-first search from the initial state."""
    came_from = {initial: None}
    queue = deque([initial])
    while queue:
        state = queue.popleft()
        broken = promise(state)
        if broken:
            history, at = [], state
            while came_from[at] is not None:
                at, label = came_from[at]
                history.append(label)
            return f"BROKEN: {broken}", len(came_from), history[::-1]
        for label, following in steps(state):
            if following not in came_from:
                came_from[following] = (state, label)
                queue.append(following)
    return "ok", len(came_from), []


def replaced(sequence, index, value):
    return sequence[:index] + (value,) + sequence[index + 1:]


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
                 regional=False, bypass_to_replica=False, closers=frozenset(), guard_closed=True):
    """One cached read: look up, then on a miss lease and register in one step, load and fill.

    A reader is ("idle", reads left) | (step, reads left, newest value it must see, ...).
    """
    for index, reader in enumerate(state.readers):
        name, step, reads_left = f"R{index}", reader[0], reader[1]

        def to(label, *following, **changes):
            readers = replaced(state.readers, index, following)
            return f"{name} {label}", state._replace(readers=readers, **changes)

        done = ("idle", reads_left - 1)
        pending = is_pending(state.tag) or is_pending(state.generation)
        if step == "idle" and reads_left:
            must_see = state.acknowledged if regional else state.primary
            if valid(state):
                yield to(f"hits {state.entry[2]}", "returned", reads_left, must_see, state.entry[2])
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
                version = state.versions + 1
                tag = state.tag or ("clean", version)
                generation = state.generation or ("clean", version)
                changes = {}
                if registers:
                    changes = dict(registry="ready", scheme_registered=True)
                    if state.registry == "absent" and renews_generation:
                        generation = ("clean", version)
                following = ("load", reads_left, reader[2], (tag[1], generation[1]))
                yield to(f"leases {following[3]}", *following, tag=tag, generation=generation, versions=version, **changes)
        elif step == "bypass":
            value = state.replica if bypass_to_replica else state.primary
            yield to(f"reads {value} past the cache", "returned", reads_left, reader[2], value)
        elif step == "load":
            value = state.replica if regional else state.primary
            yield to(f"loads {value}", "fill", reads_left, reader[2], reader[3], value)
        elif step == "fill":
            versions, value = reader[3], reader[4]
            if versions_at_fill and not pending and state.tag:
                versions = (state.tag[1], state.generation[1])
            yield to(f"fills {value} under {versions}", "returned", reads_left, reader[2], value,
                     entry=(*versions, value))
        elif step == "returned":
            yield f"{name} returns", state._replace(readers=replaced(state.readers, index, done))


def writer_steps(state, *, marks=True, replicated=True, writer_clears=True, renews_generation=True, announces=True,
                 closers=frozenset(), spares_marks=True):
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
            yield to("commits", "committed", primary=state.primary + 1, commit_log=state.commit_log + (index,))
            if state.crashes_left:
                yield to("crashes before its commit", "crashed", crashes_left=state.crashes_left - 1)
        elif step == "committed":
            changes = dict(table_pending=state.table_pending - {index},
                           acknowledged=max(state.acknowledged, state.commit_log.index(index) + 1))
            if writer_clears and state.scheme_registered and index not in closers:
                changes |= clear(state, index)
            yield to("clears and acknowledges", "done", **changes)
            if state.crashes_left:
                yield to("crashes after its commit", "crashed", crashes_left=state.crashes_left - 1)


def world_steps(state, *, evicts=True, expires_alive=False, renews_generation=True):
    """What happens by itself: leases of dead writers run out, memory is reclaimed, servers fail over."""
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


def regional_steps(state, *, relay_waits=True):
    """The region's database replica replays the log; the relay follows it and clears the marks."""
    if state.replica < state.primary:
        yield "the replica replays a commit", state._replace(replica=state.replica + 1)
    if state.relayed < (state.replica if relay_waits else state.primary):
        writer = state.commit_log[state.relayed]
        yield (f"the relay clears W{writer}", state._replace(relayed=state.relayed + 1, **clear(state, writer)))


def no_stale_read(state):
    """No read returns a value older than the newest one it had to see when it began."""
    for index, reader in enumerate(state.readers):
        if reader[0] == "returned" and reader[3] < reader[2]:
            return f"R{index} returned {reader[3]}, had to see {reader[2]}"
    return None


def nothing_stays_stale(state):
    """Once every commit has been relayed, a hit returns the newest value."""
    settled = state.relayed == state.primary and not set(state.writers) & {"knows the scheme", "marked", "committed"}
    if settled and valid(state) and state.entry[2] < state.primary:
        return f"the entry stays at {state.entry[2]}, the database is at {state.primary}"
    return None


class Row(NamedTuple):
    """A row that stands on shelf A or B, and the entries of both shelves: what each shelf's readers see of it.

    Versions are left out: an entry is valid until a writer marks its shelf. Another writer moves the row by the long
    way, in one step. Our writer guesses the shelf, marks it, and runs one statement that commits by itself.
    """

    shelf: str = "A"
    value: int = 0
    entries: tuple = (None, None)  # of A and B: (the row's value or "absent") as loaded, None: no entry
    marked: frozenset = frozenset()  # shelves that our writer has marked
    writer: str = "start"
    mover: str = "start"
    reader: tuple | None = None  # (shelf, what it loaded) between load and fill; None: it may begin
    filled: bool = False  # its one fill is used up


SHELVES = "AB"


def seen(state, shelf):
    """What the database answers a reader of one shelf."""
    return state.value if state.shelf == shelf else "absent"


def without(state, *shelves):
    """Invalidate the entries of some shelves, and a fill under way."""
    entries = tuple(None if shelf in shelves else entry for shelf, entry in zip(SHELVES, state.entries))
    return dict(entries=entries, reader=None if state.reader and state.reader[0] in shelves else state.reader)


def guess_steps(state, *, asks_where=True, sets_shelf=False, checks_after=True, trigger=False):
    """A save by a guess: mark the shelf that the instance tells, then change the row if it still stands there."""
    for shelf in SHELVES:
        if state.reader is None and not state.filled and shelf not in state.marked:
            yield f"a reader of {shelf} loads", state._replace(reader=(shelf, seen(state, shelf)))
    if state.reader is not None:
        place = SHELVES.index(state.reader[0])
        entries = replaced(state.entries, place, state.reader[1])
        yield "it fills", state._replace(entries=entries, reader=None, filled=True)
    if state.mover == "start":  # the long way: marked, committed and cleared under the row's lock
        yield "another moves the row to B", state._replace(shelf="B", mover="done", **without(state, "A", "B"))
    if state.writer == "start":
        yield "the writer marks A", state._replace(marked=frozenset("A"), writer="marked", **without(state, "A"))
    elif state.writer == "marked":
        after = "B" if trigger else "A" if sets_shelf else state.shelf
        wrong = (asks_where and state.shelf != "A") or (checks_after and after != "A")
        if wrong:
            yield "the statement changes nothing", state._replace(writer="long way", marked=frozenset())
        else:
            yield "the statement commits", state._replace(shelf=after, value=state.value + 1, writer="committed")
    elif state.writer == "committed":
        yield "the writer clears A", state._replace(writer="done", marked=frozenset())
    elif state.writer == "long way":
        after = "B" if trigger else "A" if sets_shelf else state.shelf
        changes = without(state, state.shelf, after)
        yield "the long way", state._replace(shelf=after, value=state.value + 1, writer="done", **changes)


def no_stale_shelf(state):
    """An entry of a shelf that is not marked tells what the database holds."""
    for shelf, entry in zip(SHELVES, state.entries):
        if entry is not None and shelf not in state.marked and entry != seen(state, shelf):
            return f"shelf {shelf} shows {entry}, the database has {seen(state, shelf)}"
    return None


def check_guess(name, **rules):
    """Explore a save by a guess, for an instance that tells shelf A."""
    verdict, states, history = search(Row(), lambda state: guess_steps(state, **rules), no_stale_shelf)
    print(f"{name:62} {states:>9,} states  {verdict}")
    if history:
        print("    " + ", ".join(history))
    return verdict.startswith("BROKEN" if name.startswith("broken") else "ok")


def check(name, *, writers=2, crashes=1, new_scheme=False, failover=False, evictions=0, regional=False, reader=None,
          writer=None, world=None, relay=None):
    initial = State(readers=(("idle", 2), ("idle", 1)), writers=("start",) * writers, crashes_left=crashes,
                    scheme_registered=not new_scheme, failover_left=failover, evictions_left=evictions)
    reader = {"registers": True} | (reader or {})

    def steps(state):
        yield from reader_steps(state, regional=regional, **reader)
        yield from writer_steps(state, writer_clears=not regional, **(writer or {}))
        yield from world_steps(state, **(world or {}))
        if regional:
            yield from regional_steps(state, **(relay or {}))

    def promise(state):
        return no_stale_read(state) or (regional and nothing_stays_stale(state)) or None

    verdict, states, history = search(initial, steps, promise)
    print(f"{name:62} {states:>9,} states  {verdict}")
    if history:
        print("    " + ", ".join(history))
    expected = "BROKEN" if name.startswith("broken") else "ok"
    return verdict.startswith(expected)


ONE, ALL = frozenset({0}), frozenset({0, 1})  # writers


def main():
    no_eviction = dict(evicts=False)
    results = [
        check("one region: mark, commit, clear"),
        check("one region: a scheme is first used during a write", new_scheme=True),
        check("one region: cache failover, marks replicated before commit", failover=True, world=no_eviction),
        check("one region: the registry of schemes is evicted", writers=1, evictions=1, world=no_eviction),
        check("second region: mark here, relay clears after replay", regional=True),
        check("one region: writers of many rows close the table", writer=dict(closers=ALL), reader=dict(closers=ALL)),
        check("one region: one closes the table, one marks", writer=dict(closers=ONE), reader=dict(closers=ONE)),
        check("one region: a scheme is first used while the table is closed", new_scheme=True, writer=dict(closers=ONE),
              reader=dict(closers=ONE)),
        check("broken: a closed table leases absent tags", writer=dict(closers=ONE), reader=dict(guard_closed=False)),
        check("broken: who closes a table deletes another's mark", writer=dict(closers=ONE, spares_marks=False),
              reader=dict(closers=ONE)),
        check_guess("a save by a guess: the statement asks for the values before"),
        check_guess("a save by a guess that sets the shelf itself", sets_shelf=True),
        check_guess("a save by a guess, a trigger moves the row", trigger=True),
        check_guess("broken: a guess that its WHERE does not ask for", asks_where=False, sets_shelf=True),
        check_guess("broken: a guess of what a trigger changes, not checked", checks_after=False, trigger=True),
        check("broken: invalidate only after the commit", writer=dict(marks=False)),
        check("broken: versions read at fill time, not before the load", reader=dict(versions_at_fill=True)),
        check("broken: a new scheme ignores pending writers", new_scheme=True, reader=dict(guard_registration=False)),
        check("broken: readers register once, not on every miss", writers=1, evictions=1, world=no_eviction,
              reader=dict(registers=False)),
        check("broken: a new registry keeps the old generation", writers=1, evictions=1,
              world=dict(evicts=False, renews_generation=False), reader=dict(renews_generation=False),
              writer=dict(renews_generation=False)),
        check("broken: a writer does not announce itself", new_scheme=True, writer=dict(announces=False)),
        check("broken: a lease expires while its writer lives", writers=1, world=dict(expires_alive=True)),
        check("broken: cache failover, marks not yet replicated", writers=1, failover=True,
              writer=dict(replicated=False), world=no_eviction),
        check("broken: second region, no mark", regional=True, writer=dict(marks=False)),
        check("broken: second region, relay runs ahead of the replica", regional=True, relay=dict(relay_waits=False)),
        check("broken: second region, bypass reads the replica", regional=True, reader=dict(bypass_to_replica=True)),
    ]
    raise SystemExit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
