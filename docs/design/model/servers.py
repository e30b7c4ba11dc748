"""Servers that are lost, come back from a snapshot, or hand over to a replica: what of their memory may be believed.

A row's value counts commits, as in protocol.py; one tag, the generation, one entry. A server has
    run      the name of its process (INFO's run_id): a new one with each start
    history  the name of its replication history (master_replid); a promoted replica and a server that was started from a
             snapshot begin a new one, and remember the one before (master_replid2)
    memory   what it holds, and what comes back with a snapshot: its identity record too, which says whose memory this is
Only the primary is asked. Clients (readers, then writers) have a connection each, known by the process that it leads to.
A connection ends with the process; whoever opens a new one asks first whether the server is known.
"""
from typing import NamedTuple

from model.search import replaced


class Memory(NamedTuple):
    tag: tuple | int | None = None    # None (absent) | version | writers that have marked it
    generation: int | None = None
    entry: tuple | None = None        # (tag version, generation version, value)
    history: int | None = None        # of the identity record: the history under which this memory was last recognised,
    runs: frozenset = frozenset()     # and the processes that have held it since
    grace: frozenset = frozenset()  # writers that may have lost their marks with another server: nothing is leased


class Server(NamedTuple):
    run: int
    history: int
    memory: Memory
    before: int | None = None         # the history before this one
    linked: bool = False              # of a replica: it receives what the primary writes
    older: frozenset | None = None    # writers under way when its process began; None: it has been a replica since


class World(NamedTuple):
    readers: tuple = (("idle", 1), ("idle", 1))
    writers: tuple = ("start",)
    connections: tuple = (0, 0, 0)    # of readers and writers: a run that was recognised, ("purged", run), None
    commits: int = 0
    primary: Server = Server(0, 0, Memory(generation=0, history=0, runs=frozenset({0, 1})))
    replica: Server | None = None
    snapshot: Server | None = None    # what a restart finds; None: nothing
    names: int = 2                    # handed out: of processes, histories, versions
    crashes_left: int = 0             # of writers
    saves_left: int = 1
    restarts_left: int = 1
    failovers_left: int = 0
    moves_left: int = 0               # of the address, to a server that has run for long and was never asked
    lags: bool = False                # the replica gets by and by what no writer waits for
    fault: str | None = None


def pending(memory):
    return isinstance(memory.tag, tuple)


def valid(memory):
    return (memory.entry is not None and memory.tag is not None and not pending(memory)
            and memory.entry[:2] == (memory.tag, memory.generation))


def written(state, **changes):
    """The primary writes; its replica gets it now, or by and by."""
    memory = state.primary.memory._replace(**changes)
    replica = state.replica
    if replica is not None and replica.linked and not state.lags:
        replica = replica._replace(memory=memory)
    return state._replace(primary=state.primary._replace(memory=memory), replica=replica)


def known(server, by):
    """The rule: the memory names this process, and it is of this server's history or of the one before.

    What names a process was written after this was started, so no snapshot from before its start brings it. The history
    tells whether the process has had another's memory since: a replica takes over all that its primary holds.
    """
    record = server.memory
    named = server.run in record.runs
    follows = record.history is not None and record.history in (server.history, server.before)
    return {"run and history": named and follows, "run": named, "history": follows, "nothing": True}[by]


def under_way(writers):
    return frozenset(w for w, step in enumerate(writers) if step in ("marked", "committed"))


def connect(state, client, *, by="run and history", grants_grace=True, purges="before"):
    """A client opens a connection. An unknown server's generation is purged; then it is accepted.

    `grants_grace`: True from the acceptance on; "uptime" from the begin of a process that was no replica since.
    """
    primary, memory = state.primary, state.primary.memory

    def to(label, connection, **changes):
        return (f"C{client} {label}",
                written(state._replace(connections=replaced(state.connections, client, connection)), **changes))

    accepted = dict(history=primary.history, runs=frozenset({primary.run}))
    if grants_grace:
        accepted["grace"] = under_way(state.writers)
        if grants_grace == "uptime" and primary.older is not None:
            accepted["grace"] &= primary.older
    purged = {} if purges == "never" else dict(generation=None)
    if known(primary, by):
        yield to(f"knows server {primary.run}", primary.run, **({} if by == "nothing" else dict(history=primary.history)))
    elif purges == "after":
        yield to(f"accepts server {primary.run}", ("accepted", primary.run), **accepted)
    elif state.connections[client] == ("purged", primary.run):
        yield to(f"accepts server {primary.run}", primary.run, **accepted)
    else:
        yield to(f"finds server {primary.run} unknown, and purges it", ("purged", primary.run), **purged)


def client_steps(state, client, steps, **rule):
    """What a client does with the primary, on a connection whose server it knows."""
    connection = state.connections[client]
    if connection == ("accepted", state.primary.run):  # the wrong order: accepted first
        yield (f"C{client} purges",
               written(state._replace(connections=replaced(state.connections, client, state.primary.run)), generation=None))
    elif connection != state.primary.run:
        yield from connect(state, client, **rule)
    else:
        yield from steps


def reader_steps(state, **rule):
    for index, reader in enumerate(state.readers):
        step, reads_left = reader[0], reader[1]
        memory = state.primary.memory

        def to(label, *following, **changes):
            moved = state._replace(readers=replaced(state.readers, index, following))
            return f"R{index} {label}", written(moved, **changes) if changes else moved

        def returns(label, value, must_see, **changes):
            label, after = to(label, "idle", reads_left - 1, **changes)
            stale = value < must_see and f"R{index} returned {value}, had to see {must_see}"
            return label, after._replace(fault=stale) if stale else after

        asks = []
        if step == "idle" and reads_left:
            if valid(memory):
                asks.append(returns(f"hits {memory.entry[2]}", memory.entry[2], state.commits))
            else:
                asks.append(to("misses", "lease", reads_left, state.commits))
        elif step == "lease":
            if pending(memory) or memory.grace:
                asks.append(to("may not lease", "bypass", reads_left, reader[2]))
            else:
                version = state.names + 1
                tag = version if memory.tag is None else memory.tag
                generation = version if memory.generation is None else memory.generation
                label, after = to(f"leases {tag}, {generation}", "load", reads_left, reader[2], tag, generation,
                                  tag=tag, generation=generation)
                asks.append((label, after._replace(names=version)))
        elif step == "fill":
            _, _, must_see, tag, generation, value = reader
            asks.append(returns(f"fills {value}", value, must_see, entry=(tag, generation, value)))
        elif step == "load":
            yield to(f"loads {state.commits}", "fill", *reader[1:], state.commits)
        elif step == "bypass":
            yield returns(f"reads {state.commits} past the cache", state.commits, reader[2])
        if asks:
            yield from client_steps(state, index, asks, **rule)


def writer_steps(state, **rule):
    """Mark, wait for the replica, commit, clear."""
    for index, step in enumerate(state.writers):
        client = len(state.readers) + index
        memory = state.primary.memory

        def to(label, following, **changes):
            moved = state._replace(writers=replaced(state.writers, index, following))
            return f"W{index} {label}", written(moved, **changes) if changes else moved

        if step == "start" and (state.replica is None or state.replica.linked):  # else nothing confirms the mark
            others = memory.tag if pending(memory) else ()
            label, after = to("marks", "marked", tag=(*others, index))
            if after.replica is not None:
                after = after._replace(replica=after.replica._replace(memory=after.primary.memory))
            yield from client_steps(state, client, [(label, after)], **rule)
        elif step == "marked":
            label, after = to("commits", "committed")
            yield label, after._replace(commits=state.commits + 1)
            if state.crashes_left:
                label, after = to("crashes before its commit", "crashed")
                yield label, after._replace(crashes_left=state.crashes_left - 1)
        elif step == "committed":
            stands = pending(memory) and index in memory.tag
            others = tuple(w for w in memory.tag if w != index) if pending(memory) else ()
            changes = dict(tag=others or None) if stands else dict(generation=None)  # lost: nobody marked for it
            yield from client_steps(state, client, [to("clears", "done", **changes)], **rule)
            if state.crashes_left:
                label, after = to("crashes after its commit", "crashed")
                yield label, after._replace(crashes_left=state.crashes_left - 1)


def server_steps(state, *, entry_elsewhere=False, notes=True):
    """Servers save, are lost and come back; a replica follows and takes over."""
    primary, replica, snapshot = state.primary, state.replica, state.snapshot
    name = state.names + 1

    def came_back(server):
        """With the entry in another shard, which has lost nothing, only tags and identity record are old."""
        kept = server.memory._replace(entry=primary.memory.entry) if entry_elsewhere else server.memory
        return server._replace(memory=kept)

    if state.saves_left:
        yield "the servers save", state._replace(snapshot=primary, saves_left=state.saves_left - 1)
    found = snapshot or Server(name, name, Memory())
    if state.restarts_left:
        started = came_back(Server(name, name, found.memory, before=found.history if snapshot else None,
                                   older=under_way(state.writers)))
        yield "the primary is started from its snapshot", state._replace(
            primary=started, names=name, restarts_left=state.restarts_left - 1,
            replica=replica and replica._replace(linked=False))
        if replica is not None:
            yield "the replica is started from its snapshot", state._replace(
                replica=Server(name, found.history, found.memory), names=name, restarts_left=state.restarts_left - 1)
    if state.moves_left:
        yield "the address leads to another server", state._replace(
            primary=Server(name, name, Memory(), older=frozenset()), names=name, moves_left=state.moves_left - 1)
    if replica is not None and not replica.linked:
        yield "the replica follows", state._replace(
            replica=Server(replica.run, primary.history, primary.memory, linked=True))
    if replica is not None and replica.linked:
        if replica.memory != primary.memory:
            yield "the replica catches up", state._replace(replica=replica._replace(memory=primary.memory))
        if notes and replica.run not in primary.memory.runs and known(primary, "run and history"):
            yield "the linked replica is noted", written(state, runs=primary.memory.runs | {replica.run})
    if replica is not None and state.failovers_left:
        promoted = came_back(Server(replica.run, name, replica.memory, before=replica.history))
        yield "the replica takes over", state._replace(
            primary=promoted, replica=None, names=name, failovers_left=state.failovers_left - 1)
    yield from time_steps(state)


def time_steps(state):
    """What waits for a writer ends when this has: a grace period, the mark of one that has crashed."""
    primary = state.primary
    ended = {w for w, step in enumerate(state.writers) if step in ("done", "crashed")}
    if primary.memory.grace & ended:
        yield "marks of before have run out", written(state, grace=primary.memory.grace - ended)
    if pending(primary.memory):
        for writer in primary.memory.tag:
            if state.writers[writer] == "crashed":
                yield f"the mark of W{writer} runs out", written(
                    state, tag=tuple(w for w in primary.memory.tag if w != writer) or None)


def renumbered(state):
    """Forget what can make no difference any more, and name the rest anew, in its order: fewer states, the same world."""
    names = {None: None}
    alive = {state.primary.run, state.replica and state.replica.run}

    def new(old):
        return names.setdefault(old, len(names))

    def memory(old):
        tag = old.tag if isinstance(old.tag, tuple) else new(old.tag)
        entry = old.entry and (new(old.entry[0]), new(old.entry[1]), old.entry[2])
        runs = frozenset([new(run) for run in old.runs if run in alive])
        return Memory(tag, new(old.generation), entry, new(old.history), runs, old.grace)

    def server(old):
        return old and Server(new(old.run), new(old.history), memory(old.memory), new(old.before), old.linked, old.older)

    primary, replica = server(state.primary), server(state.replica)
    snapshot = server(state.snapshot) if state.restarts_left else None
    readers = tuple([(*one[:3], new(one[3]), new(one[4]), *one[5:]) if one[0] in ("load", "fill") else one
                     for one in state.readers])
    connections = tuple([
        (one[0], new(one[1])) if isinstance(one, tuple) and one[1] == state.primary.run
        else new(one) if one == state.primary.run else None
        for one in state.connections])
    return state._replace(primary=primary, replica=replica, snapshot=snapshot, readers=readers, connections=connections,
                          names=len(names))


def no_stale_read(state):
    return state.fault


def keeps_hits(state):
    """For a world without writers, whose entry is valid at the beginning: no read misses it."""
    for index, reader in enumerate(state.readers):
        if reader[0] == "lease":
            return f"R{index} misses what its fail-over should have kept"
    return None
