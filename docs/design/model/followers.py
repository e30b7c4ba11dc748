"""Follower regions: nobody marks there; a relay follows the log of commits, deletes tags, and publishes how far it is.

One row, whose value is the commit as of which it was read; each commit is a batch of the relay's. The region's shards hold a
tag each, and the one entry, in shard 0, depends on all of them. Commits change the row under one tag after the other, and
every last one changes another table only (`changed_tag`). A shard stands for the slot of a table; shards are told apart, since
each may come back from a snapshot alone, or hand over to its replica. What a shard holds:
    tag       None (absent) | version          entry     None | (versions, value)
    record    how far its relay has brought it, for the relay alone; None: it does not know
    position  every commit up to it is invalidated here; None: nobody vouches for this shard, readers pass it by
A relay is (step, batch, last): `last` is the record that it has written itself on each shard, or has found. It reads the log
of the primary, and so may be ahead of the replica. Reader 0 commits too: its own position is its newest commit, None while it
does not know it.
"""
from typing import NamedTuple

from model.search import replaced


class Shard(NamedTuple):
    tag: int | None = None
    record: int | None = 0
    position: int | None = 0
    entry: tuple | None = None


class Follower(NamedTuple):
    readers: tuple = (("idle", 2, 0), ("idle", 1, 0))  # (step, reads left, own position, ...)
    shards: tuple = (Shard(),)
    relays: tuple = (("resume", 0, None),)  # (step, batch, its record on each shard)
    commits_left: int = 2
    own_left: int = 1                 # commits of reader 0, among these
    primary: int = 0                  # commits on the primary database
    replica: int = 0                  # commits that the region's replica has replayed
    confirmed: int | None = 0         # the slot's: what is behind it is not sent again; None: there is no slot
    versions: int = 0
    standby: Shard | None = None      # of shard 0, if it has a replica
    snapshots: tuple = (None,)        # what each shard would come back with
    back_left: int = 0                # times that the replica answers from further back
    failovers_left: int = 0
    saves_left: int = 0
    restarts_left: int = 0
    crashes_left: int = 0             # of relays
    slots_left: int = 0               # times that the slot may be lost
    evictions_left: int = 0
    expiries_left: int = 0            # times that a position may count no more, as no heartbeat came back
    fault: str | None = None


def with_shard(state, index, **changes):
    return state._replace(shards=replaced(state.shards, index, state.shards[index]._replace(**changes)))


def changed_tag(commit, shards):
    """Return the shard whose tag a commit changes; None for one of another table."""
    place = (commit - 1) % (shards + 1)
    return place if place < shards else None


def is_stale(value, floor, shards):
    """Return whether one of the commits up to `floor` is missing that changed the row."""
    return any(changed_tag(commit, shards) is not None for commit in range(value + 1, floor + 1))


def lowest(positions):
    return None if None in positions else min(positions)


def valid(state):
    entry = state.shards[0].entry
    return entry is not None and entry[0] == tuple(shard.tag for shard in state.shards)


def reader_steps(state, *, heeds_position=True, asks_replay=True, asks_behind_lease=True, asks_all_shards=True,
                 keeps_alias=True):
    """A read: look up, or lease, load from the replica, and fill; past the cache where the position does not suffice."""
    for index, reader in enumerate(state.readers):
        name, step, left, own = f"R{index}", *reader[:3]
        # It must see its own commits, known or not, and what every shard vouches for as it begins.
        written = max([own or 0, *(reader[-1:] if own is None else ())])
        positions = [shard.position for shard in state.shards]

        def to(label, *following, **changes):
            return f"{name} {label}", state._replace(readers=replaced(state.readers, index, following), **changes)

        def returns(label, value, floor, **changes):
            if is_stale(value, floor, len(state.shards)):
                changes["fault"] = f"{name} returned {value}, had to see {floor}"
            idle = ("idle", left - 1, own) if own is not None else ("idle", left - 1, None, reader[-1])
            return to(label, *idle, **changes)

        def passes_by(label, floor, needed):
            place, value = ("replica", state.replica) if state.replica >= needed else ("primary", state.primary)
            return returns(f"{label}: reads the {place}", value, floor)

        if step == "idle" and left:
            vouched = lowest(positions if asks_all_shards else positions[:1])
            floor = max(written, lowest(positions) or 0)
            if own is None and keeps_alias:
                yield returns("wrote, and knows no position: reads the primary", state.primary, written)
            elif vouched is None or (heeds_position and (own or 0) > vouched):
                yield passes_by("passes the cache by", written, own or 0)
            elif valid(state):
                yield returns(f"hits {state.shards[0].entry[1]}", state.shards[0].entry[1], floor)
            else:
                yield to("misses", "lease", left, own, floor, vouched, *reader[3:])
        elif step == "lease":
            tags, after = [], state
            for at, shard in enumerate(state.shards):
                tag = shard.tag if shard.tag is not None else after.versions + 1
                tags.append(tag)
                after = with_shard(after._replace(versions=max(tag, after.versions)), at, tag=tag)
            yield to(f"leases {tags}", "ask" if asks_behind_lease else "load", left, own, reader[3], reader[4],
                     tuple(tags), *reader[5:], shards=after.shards, versions=after.versions)
        elif step == "ask" and None in positions:
            yield passes_by("finds no position", reader[3], max(reader[4], own or 0))
        elif step == "ask":  # what was invalidated before the lease is at most this
            yield to(f"asks {positions}", "load", left, own, reader[3], max(reader[4], *positions), *reader[5:])
        elif step == "load":
            floor, needed, tags = reader[3:6]
            if asks_replay and state.replica < max(needed, own or 0):
                yield returns("finds the replica behind: reads the primary", state.primary, floor)
            else:
                yield to(f"loads {state.replica}", "fill", left, own, floor, tags, state.replica, *reader[6:])
        elif step == "fill":
            floor, tags, value = reader[3:6]
            filled = with_shard(state, 0, entry=(tags, value))
            yield returns(f"fills {value}", value, floor, shards=filled.shards)


def relay_steps(state, *, slot_first=True, forgets_behind=True, compares=True, in_one_step=True, publishes_first=False):
    """What each relay may do: resume where its slot is, or bring the next commit to the region, shard by shard.

    It waits neither until the replica has replayed, as loads do, nor for replicas of the shards.
    """
    for index, (step, batch, last) in enumerate(state.relays):
        name = "relay" if len(state.relays) == 1 else f"relay {index}"

        def to(label, step, batch=0, last=None, after=state):
            return f"{name} {label}", after._replace(relays=replaced(after.relays, index, (step, batch, last)))

        changed = changed_tag(batch, len(state.shards)) if batch else None
        if step in ("resume", "late slot"):
            yield from resume_steps(state, to, step, slot_first)
        elif step == "forget":
            outdated = range(len(state.shards)) if forgets_behind else ()
            yield from shard_steps(state, to, step, batch, last, outdated, compares, "stream")
        elif step == "tell":
            outdated, following = ((), "invalidate") if publishes_first else ((changed,), "confirm")
            yield from shard_steps(state, to, step, batch, last, outdated, compares, following)
        elif step == "publish":
            yield from shard_steps(state, to, step, batch, last, (), compares, "confirm")
        elif step == "invalidate":
            after = state if changed is None else with_shard(state, changed, tag=None)
            yield to(f"invalidates {batch}", "confirm" if publishes_first else "publish", batch, last, after)
        elif step == "stream" and state.confirmed is None:
            yield to("has lost its slot", "resume")
        elif step == "stream" and batch < state.primary:
            yield to(f"reads {batch + 1}", "tell" if in_one_step or publishes_first else "invalidate", batch + 1, last)
        elif step == "confirm":
            after = state if state.confirmed is None else state._replace(confirmed=max(state.confirmed, batch))
            yield to(f"confirms {batch}", "stream", batch, last, after)
        if state.crashes_left and step != "resume":
            yield to("crashes", "resume", after=state._replace(crashes_left=state.crashes_left - 1))


def resume_steps(state, to, step, slot_first):
    """Make the slot where there is none; then find how far each shard is."""
    found, start = tuple(shard.record for shard in state.shards), state.primary
    with_slot = state._replace(confirmed=start)
    if step == "resume" and state.confirmed is not None:
        yield to(f"resumes at {state.confirmed}, finds {found}", "forget", state.confirmed, found)
    elif step == "resume" and slot_first:
        yield to(f"makes its slot at {start}", "resume", after=with_slot)
    elif step == "resume":
        forgotten = tuple(shard._replace(tag=None) for shard in state.shards)
        yield to("has no slot, and forgets", "late slot", after=state._replace(shards=forgotten))
    else:
        yield to(f"makes its slot at {start}", "publish", start, found, with_slot)


def shard_steps(state, to, step, batch, last, outdated, compares, following):
    """Bring each shard that is behind to a batch, over the record that this relay knows; then go on."""
    behind = [at for at, own in enumerate(last) if own is None or own < batch]
    for at in behind:
        held = state.shards[at].record
        if compares and held not in (last[at], batch):
            yield to(f"finds {held} where it left {last[at]}", "resume")
            continue
        after = with_shard(state, at, record=batch, position=batch, **(dict(tag=None) if at in outdated else {}))
        yield to(f"{step}s {batch} on shard {at}", step, batch, replaced(last, at, batch), after)
    if not behind:
        yield to(f"is done with {batch}", following, batch, last)


def world_steps(state):
    """Commits, the replica, and the region's servers."""
    if state.commits_left > state.own_left:
        yield "another commits", state._replace(primary=state.primary + 1, commits_left=state.commits_left - 1)
    if state.own_left and state.readers[0][0] == "idle":
        changes = dict(primary=state.primary + 1, commits_left=state.commits_left - 1, own_left=state.own_left - 1)
        unknown = ("idle", state.readers[0][1], None, state.primary + 1)
        yield "R0 commits", state._replace(readers=replaced(state.readers, 0, unknown), **changes)
    if state.readers[0][:1] == ("idle",) and state.readers[0][2] is None:
        known = ("idle", state.readers[0][1], state.readers[0][3])
        yield "R0 learns its position", state._replace(readers=replaced(state.readers, 0, known))
    if state.replica < state.primary:
        yield "the replica replays", state._replace(replica=state.replica + 1)
    if state.back_left and state.replica:
        yield "the replica answers from further back", state._replace(replica=state.replica - 1, back_left=state.back_left - 1)
    if state.slots_left and state.confirmed is not None:
        yield "the slot is lost", state._replace(confirmed=None, slots_left=state.slots_left - 1)
    if state.evictions_left and state.shards[0].tag is not None:
        yield "a tag is evicted", with_shard(state, 0, tag=None)._replace(evictions_left=state.evictions_left - 1)
    if state.failovers_left:
        if state.standby != state.shards[0]:
            yield "the cache replicates", state._replace(standby=state.shards[0])
        yield "the cache fails over", state._replace(
            shards=replaced(state.shards, 0, state.standby), standby=None, failovers_left=0)
    for at, shard in enumerate(state.shards):
        if state.expiries_left and shard.position is not None:
            yield f"the position of shard {at} ends", with_shard(state, at, position=None)._replace(
                expiries_left=state.expiries_left - 1)
        if state.saves_left and state.snapshots[at] != shard:
            yield f"shard {at} is saved", state._replace(snapshots=replaced(state.snapshots, at, shard),
                                                         saves_left=state.saves_left - 1)
        if state.restarts_left and state.snapshots[at] is not None and state.snapshots[at] != shard:
            yield f"shard {at} comes back from its snapshot", state._replace(
                shards=replaced(state.shards, at, state.snapshots[at]), restarts_left=state.restarts_left - 1)


def no_stale_read(state):
    """No read returns less than its reader has written, and than what the shards vouched for when it began."""
    return state.fault


# --- The home region's relay, for those who write past Django -------------------------------------------------------


class Home(NamedTuple):
    """An outside writer's commit is in the log before it is visible; the same relay tells the home region of it."""

    reader: tuple = ("idle", 2)       # (step, reads left, version, value)
    logged: int = 0
    visible: int = 0
    relayed: int = 0
    tag: int | None = None
    entry: tuple | None = None
    versions: int = 0


def home_steps(state, *, waits_until_visible=True):
    step, left = state.reader[:2]
    if step == "idle" and left and not (state.entry and state.entry[0] == state.tag):
        version = state.tag if state.tag is not None else state.versions + 1
        yield "R leases", state._replace(reader=("load", left, version), tag=version, versions=max(version, state.versions))
    elif step == "load":
        yield f"R loads {state.visible}", state._replace(reader=("fill", left, state.reader[2], state.visible))
    elif step == "fill":
        yield "R fills", state._replace(reader=("idle", left - 1), entry=state.reader[2:])
    if not state.logged:
        yield "the commit is in the log", state._replace(logged=1)
    if state.visible < state.logged:
        yield "the commit is visible", state._replace(visible=1)
    if state.relayed < (state.visible if waits_until_visible else state.logged):
        yield "the relay invalidates", state._replace(relayed=1, tag=None)


def nothing_stays_stale(state):
    """What the relay has told of is no hit any more."""
    if state.relayed and state.visible and state.entry and state.entry[0] == state.tag and state.entry[1] < state.visible:
        return f"the entry stays at {state.entry[1]}, the database is at {state.visible}"
    return None


# --- For how long a position counts ---------------------------------------------------------------------------------

BOUND = 2  # ticks: what is served lacks nothing that was committed longer ago
AHEAD = 3  # ticks by which the server's clock is ahead of the relay's, which neither knows


class Bounded(NamedTuple):
    """One shard, whose relay may stand still between any two steps; a heartbeat vouches for all before its sending."""

    clock: int = 0                    # the relay's
    sent: int | None = None           # when the heartbeat that is on its way was sent
    heard: int | None = None          # when the newest one that came back was sent
    asked: int | None = None          # when the server was asked for its clock, whose answer is on its way
    answer: int | None = None         # what it showed then
    ahead: int | None = None          # by how much the server's clock is ahead, as the relay takes it
    under_way: tuple | None = None    # (vouched for until when, what the server is told of it)
    ends: int | None = None           # by the server's clock
    vouched_at: int = 0               # the moment up to which the position that counts vouches
    fault: str | None = None


def bound_steps(state, *, by_deadline=True, counts_answer=True, last=5):
    """Heartbeats, looks at the server's clock, publications of a position, and hits."""
    if state.clock < last:
        yield "a tick", state._replace(clock=state.clock + 1)
    if state.sent is None:
        yield "the relay sends a heartbeat", state._replace(sent=state.clock)
    else:
        yield "the heartbeat comes back", state._replace(sent=None, heard=state.sent)
    if state.asked is None:
        yield "the relay asks the server's clock", state._replace(asked=state.clock)
    elif state.answer is None:
        yield "the server reads its clock", state._replace(answer=state.clock + AHEAD)
    else:
        ahead = state.answer - (state.clock if counts_answer else state.asked)
        yield "the relay learns the server's clock", state._replace(asked=None, answer=None, ahead=ahead)
    if state.under_way is None and state.heard is not None and state.ahead is not None:
        until = state.heard + BOUND
        said = until + state.ahead if by_deadline else max(0, until - state.clock)
        yield "the relay prepares a position", state._replace(under_way=(state.heard, said))
    if state.under_way is not None:
        vouched_at, said = state.under_way
        ends = said if by_deadline else state.clock + AHEAD + said
        yield "it is published", state._replace(under_way=None, ends=ends, vouched_at=vouched_at)
    if state.ends is not None and state.clock + AHEAD < state.ends and state.clock - state.vouched_at >= BOUND:
        yield "a hit", state._replace(fault=f"a hit at {state.clock} lacks what is older than {state.vouched_at}")


def within_bound(state):
    """No hit lacks what was committed longer ago than the bound."""
    return state.fault
