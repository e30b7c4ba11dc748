"""The near level: entries in a process, which the region's server tells of every change of a tag (a push).

The region holds one row's entry, a mark hides it, a clear lets it be filled anew. Pushes and answers to heartbeats come
to the process in order, on one connection, some time later. What an answer promises is what the process knows: commits
until its heartbeat was **sent**. Own commits are known at once.
"""
from typing import NamedTuple

from model.search import replaced

OWN, FOREIGN = 0, 1  # writers


class Near(NamedTuple):
    """A process with two readers and a writer, and a foreign writer."""

    primary: int = 0                # commits
    entry: int | None = 0           # of the region: the value of a valid entry
    marked: frozenset = frozenset()
    connected: bool = True          # the server sends; the process learns of a cut when it reads
    pushes: tuple = ()              # on their way: "changed", or what an answer to a heartbeat promises
    heartbeat: int | None = None    # sent and not answered: the commits until then
    confirmed: int | None = 0       # commits that the last answered heartbeat promises; None: a new connection
    tag: int = 0                    # the process' own version of the tag
    near: tuple | None = None       # (tag, value) in the process
    acknowledged: int = 0           # own commits' newest value
    writers: tuple = ("start", "start")
    readers: tuple = (("idle", 2), ("idle", 1))
    cuts_left: int = 0
    fault: str | None = None


def told(state, **changes):
    """The region changes its tag: the entry is none any more, and the server says so."""
    pushes = (*state.pushes, "changed") if state.connected else state.pushes
    return dict(entry=None, pushes=pushes) | changes


def reader_steps(state, *, watches=True):
    """A read: the process' own entry; else watch the tag, look up, keep."""
    for index, reader in enumerate(state.readers):
        name, step, left = f"R{index}", reader[0], reader[1]

        def to(label, *following, **changes):
            return f"{name} {label}", state._replace(readers=replaced(state.readers, index, following), **changes)

        if step == "idle" and left:
            if state.near is not None and state.near[0] == state.tag and state.confirmed is not None:
                value, must_see = state.near[1], max(state.confirmed, state.acknowledged)
                fault = f"{name} returned {value}, had to see {must_see}" if value < must_see else state.fault
                yield to(f"finds {value} in the process", "idle", left - 1, fault=fault)
            yield to("watches the tag", "watched", left, state.tag)
        elif step == "watched" and state.entry is not None:
            yield to(f"looks up {state.entry}", "found", left, reader[2], state.entry)
        elif step == "watched":
            yield to("misses", "idle", left - 1)
        elif step == "found":
            tag = reader[2] if watches else state.tag
            yield to(f"keeps {reader[3]}", "idle", left - 1, near=(tag, reader[3]))


def writer_steps(state, *, own_dropped="answered"):
    """Mark, commit, clear. The process drops what its own writer marks, once the mark is answered."""
    for index, step in enumerate(state.writers):
        name, own = f"W{index}", index == OWN

        def to(label, following, **changes):
            return f"{name} {label}", state._replace(writers=replaced(state.writers, index, following), **changes)

        if step == "start":
            dropped = dict(tag=state.tag + 1) if own and own_dropped == "sent" else {}
            yield to("sends its mark", "sent", **dropped)
        elif step == "sent":
            yield to("has marked", "marked", **told(state, marked=state.marked | {index}))
        elif step == "marked":
            dropped = dict(tag=state.tag + 1) if own and own_dropped == "answered" else {}
            yield to("hears of its mark", "answered", **dropped)
        elif step == "answered":
            yield to("commits", "committed", primary=state.primary + 1)
        elif step == "committed":
            acknowledged = dict(acknowledged=state.primary) if own else {}
            yield to("clears", "done", marked=state.marked - {index}, **acknowledged)


def world_steps(state, *, counts="sent", forgets=True):
    """Another reader fills; pushes arrive; heartbeats go to and fro; the connection is cut and made anew."""
    if state.entry is None and not state.marked:
        yield "another fills", state._replace(entry=state.primary)
    if state.pushes:
        first, rest = state.pushes[0], state.pushes[1:]
        if first == "changed":
            yield "a push arrives", state._replace(tag=state.tag + 1, pushes=rest)
        else:
            promised = first[0] if counts == "sent" else state.primary
            yield "a heartbeat's answer arrives", state._replace(confirmed=promised, pushes=rest)
    if state.connected and state.heartbeat is None and not any(push != "changed" for push in state.pushes):
        yield "a heartbeat is sent", state._replace(heartbeat=state.primary)
    if state.connected and state.heartbeat is not None:
        yield "it is answered", state._replace(heartbeat=None, pushes=(*state.pushes, (state.heartbeat,)))
    if state.connected and state.cuts_left:
        yield "the connection is cut", state._replace(connected=False, pushes=(), heartbeat=None,
                                                      cuts_left=state.cuts_left - 1)
    if not state.connected:
        dropped = dict(near=None, tag=state.tag + 1) if forgets else {}
        yield "it is made anew", state._replace(connected=True, confirmed=None, **dropped)


def no_older_read(state):
    """No read returns less than the last answered heartbeat promises, or than what the process itself has committed."""
    return state.fault
