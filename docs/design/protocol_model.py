#!/usr/bin/env python3
"""Model checker for the invalidation protocol in invalidation.md.

Explores every interleaving of a few readers and writers, with crashes, lease expiry, eviction, cache servers that are
lost, come back from a snapshot or hand over, and a region that follows a lagging replica, by breadth-first search over
explicit states. It prints one line per variant: the number of states and either "ok" or the shortest history that breaks the
promise.

The variants named "broken" leave one rule out (its number in invalidation.md), to show that the rule is needed and that
the checker notices. Run it with: python3 docs/design/protocol_model.py   (three minutes)

The rules are in the folder beside this file: model/protocol.py; model/optimistic_save.py for the save of one instance;
model/servers.py for what of a server's memory may be believed; model/followers.py for regions with a relay; model/near.py
for entries in a process.
"""
import sys

from model import followers, near, servers
from model.optimistic_save import Row, optimistic_steps, no_stale_shelf
from model.protocol import State, no_stale_read, reader_steps, world_steps, writer_steps
from model.search import search

FOLLOWER_READERS = (("idle", 2, 0), ("idle", 1, 0))


def check_optimistic(name, **rules):
    """Explore an optimistic save, for an instance that tells shelf A."""
    verdict, states, history = search(Row(), lambda state: optimistic_steps(state, **rules), no_stale_shelf)
    return told(name, verdict, states, history)


def check_servers(name, *, promise=servers.no_stale_read, entry_elsewhere=False, notes=True, world=None, **rule):
    """Explore servers that are lost and come back: one server, or (REPLICATED) a primary with its replica."""

    def steps(state):
        yield from servers.reader_steps(state, **rule)
        yield from servers.writer_steps(state, **rule)
        yield from servers.server_steps(state, entry_elsewhere=entry_elsewhere, notes=notes)

    verdict, states, history = search(servers.World(**(world or {})), steps, promise, servers.renumbered)
    return told(name, verdict, states, history)


def filled(runs):
    """Return a world without writers: a linked replica has all that its primary has, a valid entry too."""
    memory = servers.Memory(tag=1, generation=0, entry=(1, 0, 0), history=0, runs=frozenset(runs))
    return dict(primary=servers.Server(0, 0, memory), replica=servers.Server(1, 0, memory, linked=True), writers=(),
                connections=(0, 0), saves_left=0, restarts_left=0, failovers_left=1)


def told(name, verdict, states, history):
    """Print what was found; return whether it is what the name says."""
    print(f"{name:66} {states:>9,} states  {verdict}", flush=True)
    if history:
        print("    " + ", ".join(history))
    return verdict.startswith("BROKEN" if name.startswith("broken") else "ok")


def check_follower(name, *, readers=FOLLOWER_READERS, reader=None, relay=None, **world):
    """Explore a follower region: its replica lags, a relay invalidates, readers hold positions."""

    def steps(state):
        yield from followers.reader_steps(state, **(reader or {}))
        yield from followers.relay_steps(state, **(relay or {}))
        yield from followers.world_steps(state)

    return told(name, *search(followers.Follower(readers=readers, **world), steps, followers.no_stale_read))


def check_bound(name, **rule):
    """Explore for how long a position counts, where its relay and the way to the server may stand still."""
    return told(name, *search(followers.Bounded(), lambda state: followers.bound_steps(state, **rule),
                              followers.within_bound))


def check_home(name, **rule):
    """Explore the home region's relay, which tells it of commits that nobody marked."""
    return told(name, *search(followers.Home(), lambda state: followers.home_steps(state, **rule),
                              followers.nothing_stays_stale))


def check_near(name, *, reader=None, writer=None, world=None, **state):
    """Explore entries in a process: pushes tell it of foreign writes, some time later."""

    def steps(state):
        yield from near.reader_steps(state, **(reader or {}))
        yield from near.writer_steps(state, **(writer or {}))
        yield from near.world_steps(state, **(world or {}))

    return told(name, *search(near.Near(**state), steps, near.no_older_read))


def check(name, *, writers=2, crashes=1, new_scheme=False, failover=False, evictions=0, reader=None, writer=None,
          world=None):
    initial = State(readers=(("idle", 2), ("idle", 1)), writers=("start",) * writers, crashes_left=crashes,
                    scheme_registered=not new_scheme, failover_left=failover, evictions_left=evictions)
    reader = {"registers": True} | (reader or {})

    def steps(state):
        yield from reader_steps(state, **reader)
        yield from writer_steps(state, **(writer or {}))
        yield from world_steps(state, **(world or {}))

    return told(name, *search(initial, steps, no_stale_read))


ONE, ALL = frozenset({0}), frozenset({0, 1})  # writers
NO_EVICTION = dict(evicts=False)
SINGLE = dict(readers=FOLLOWER_READERS[:1])
HANDS_OVER = dict(standby=followers.Shard(), failovers_left=1)
COMES_BACK = dict(saves_left=1, restarts_left=1)
TWO_SHARDS = dict(shards=(followers.Shard(),) * 2, snapshots=(None,) * 2)
# A primary with its linked replica, either of which may be lost once, and the replica may take over.
REPLICATED = dict(replica=servers.Server(1, 0, servers.World().primary.memory, linked=True), failovers_left=1)
CUT = dict(cuts_left=1, readers=(("idle", 2),))


def holds():
    yield check("one region: mark, commit, clear")
    yield check("one region: a scheme is first used during a write", new_scheme=True)
    yield check("one region: cache failover, marks replicated before commit", failover=True, world=NO_EVICTION)
    yield check("one region: the registry of schemes is evicted", writers=1, evictions=1, world=NO_EVICTION)
    yield check("one region: writers of many rows close the table", writer=dict(closers=ALL), reader=dict(closers=ALL))
    yield check("one region: one closes the table, one marks", writer=dict(closers=ONE), reader=dict(closers=ONE))
    yield check("one region: a scheme is first used while the table is closed", new_scheme=True,
                writer=dict(closers=ONE), reader=dict(closers=ONE))
    yield check_optimistic("an optimistic save: the statement asks for the values before")
    yield check_optimistic("an optimistic save that sets the shelf itself", sets_shelf=True)
    yield check_optimistic("an optimistic save, a trigger moves the row", trigger=True)
    yield check_servers("servers: one comes back from a snapshot, or with nothing", world=dict(crashes_left=1))
    yield check_servers("servers: a shard of tags comes back, the entry's does not", entry_elsewhere=True)
    yield check_servers("servers: a primary or its replica comes back, or hands over", world=REPLICATED)
    yield check_servers("servers: the same, the replica lags", world=dict(
        **REPLICATED, lags=True, readers=(("idle", 2),), connections=(0, 0)))
    yield check_servers("servers: the address leads to another server that runs", world=dict(moves_left=1))
    yield check_servers("servers: a grace period by uptime, if no address leads elsewhere", grants_grace="uptime",
                        world=dict(crashes_left=1))
    yield check_servers("servers: the same, with a replica", grants_grace="uptime", world=REPLICATED)
    yield check_servers("servers: a fail-over to a linked replica keeps its hits", promise=servers.keeps_hits,
                        world=filled({0, 1}))
    yield check_near("near: pushes, heartbeats, own writes and a foreign writer's")
    yield check_near("near: the connection of pushes is cut and made anew", **CUT)


def follower_holds():
    yield check_follower("follower: the relay crashes, tags are evicted, a position ends", crashes_left=1,
                         evictions_left=1, expiries_left=1)
    yield check_follower("follower: its replica goes back, its slot is lost", **SINGLE, back_left=1, slots_left=1)
    yield check_follower("follower: its cache fails over", **SINGLE, **HANDS_OVER)
    yield check_follower("follower: its cache comes back from a snapshot", **SINGLE, **COMES_BACK)
    yield check_follower("follower: one of its two shards comes back from a snapshot", **SINGLE, **TWO_SHARDS,
                         **COMES_BACK)
    yield check_follower("follower: two relays, one of which was taken for dead", **SINGLE, crashes_left=1,
                         relays=followers.Follower().relays * 2)
    yield check_bound("follower: its relay stands still between any two steps")
    yield check_home("home region: a relay tells of commits that nobody marked")


def breaks():
    yield check("broken R1: an entry is believed without its versions", reader=dict(compares=False))
    yield check("broken R2: versions read at fill time, not before the load", reader=dict(versions_at_fill=True))
    yield check("broken R3: a lease gives a version that was used before", reader=dict(fresh_versions=False))
    yield check("broken R4: readers register once, not on every miss", writers=1, evictions=1, world=NO_EVICTION,
                reader=dict(registers=False))
    yield check("broken R5: a new scheme ignores pending writers", new_scheme=True, reader=dict(guard_registration=False))
    yield check("broken R6: a new registry keeps the old generation", writers=1, evictions=1,
                world=dict(evicts=False, renews_generation=False), reader=dict(renews_generation=False),
                writer=dict(renews_generation=False))
    yield check("broken R7: a writer does not announce itself", new_scheme=True, writer=dict(announces=False))
    yield check("broken R8: invalidate only after the commit", writer=dict(marks=False))
    yield check("broken R9: a mark ends while its writer lives", writers=1, world=dict(expires_alive=True))
    yield check("broken R10: cache failover, marks not yet replicated", writers=1, failover=True,
                writer=dict(replicated=False), world=NO_EVICTION)
    yield check("broken R11: a writer clears another's mark", writer=dict(clears_own=False))
    yield check("broken R12: a closed table leases absent tags", writer=dict(closers=ONE), reader=dict(guard_closed=False))
    yield check("broken R13: who closes a table deletes another's mark", writer=dict(closers=ONE, spares_marks=False),
                reader=dict(closers=ONE))
    yield check_optimistic("broken R14: expected values that its WHERE does not ask for", asks_where=False, sets_shelf=True)
    yield check_optimistic("broken R15: expected values that a trigger changes, not checked", checks_after=False, trigger=True)
    yield check("broken R17: a lagging replica is read into the cache", reader=dict(loads_replica=True),
                world=dict(replays=True))
    yield check_servers("broken R19: nobody asks whose memory a server has", by="nothing")
    yield check_servers("broken R19: nor where only the tags' shard came back", by="nothing", entry_elsewhere=True)
    yield check_servers("broken R20: known by the process alone", by="run", world=REPLICATED)
    yield check_servers("broken R20: known by the replication history alone", by="history", world=REPLICATED)
    yield check_servers("broken R21: an unknown server's entries are not purged", purges="never")
    yield check_servers("broken R21: an unknown server is accepted before it is purged", purges="after")
    yield check_servers("broken R22: an unknown server leases at once", grants_grace=False)
    yield check_servers("broken R22: a grace period by uptime, where the address leads elsewhere", grants_grace="uptime",
                        world=dict(moves_left=1))
    yield check_servers("broken R23: linked replicas are not noted, and hits are lost", promise=servers.keeps_hits,
                        notes=False, world=filled({0}))
    yield check_near("broken R31: a tag is watched when the look-up has been answered", reader=dict(watches=False))
    yield check_near("broken R32: a heartbeat counts from its answer", world=dict(counts="answered"))
    yield check_near("broken R33: an own write drops nothing", writer=dict(own_dropped="never"))
    yield check_near("broken R33: an own write drops before its mark is answered", writer=dict(own_dropped="sent"))
    yield check_near("broken R34: a new connection keeps what the process held", world=dict(forgets=False), **CUT)


def follower_breaks():
    yield check_follower("broken R18: loads don't ask what the replica has replayed", back_left=1,
                         reader=dict(asks_replay=False))
    yield check_follower("broken R18: nor where the relay is ahead of the replica", reader=dict(asks_replay=False))
    yield check_follower("broken R18: what the replica must show is asked before the lease",
                         reader=dict(asks_behind_lease=False))
    yield check_follower("broken R24: a position is published before its invalidations",
                         relay=dict(in_one_step=False, publishes_first=True))
    yield check_follower("broken R24: a position is published behind them, in another step", **SINGLE, **HANDS_OVER,
                         relay=dict(in_one_step=False))
    yield check_follower("broken R25: a position is published over any other", relay=dict(compares=False), **SINGLE,
                         **COMES_BACK)
    yield check_follower("broken R25: shards that are behind the slot are not forgotten", slots_left=1,
                         relay=dict(forgets_behind=False))
    yield check_follower("broken R26: all is forgotten before the slot is made", slots_left=1,
                         relay=dict(slot_first=False))
    yield check_follower("broken R27: readers don't heed their positions", reader=dict(heeds_position=False))
    yield check_follower("broken R27: nor those of other shards than the entry's", reader=dict(asks_all_shards=False),
                         **SINGLE, **TWO_SHARDS, **COMES_BACK)
    yield check_follower("broken R28: who has written reads the follower, without a position", reader=dict(keeps_alias=False))
    yield check_bound("broken R35: a position counts from its publication, however late that is", by_deadline=False)
    yield check_bound("broken R35: the server's clock is taken for that of its asking", counts_answer=False)
    yield check_home("broken R29: invalidated before the commit is visible", waits_until_visible=False)


if __name__ == "__main__":
    sys.exit(0 if all([*holds(), *follower_holds(), *breaks(), *follower_breaks()]) else 1)
