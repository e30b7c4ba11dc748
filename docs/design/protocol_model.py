#!/usr/bin/env python3
"""Model checker for the invalidation protocol in invalidation.md.

Explores every interleaving of a few readers and writers, with crashes, lease expiry, eviction, a lost
replica and a lagging database replica, by breadth-first search over explicit states. It prints one line
per variant: the number of states and either "ok" or the shortest history that breaks the promise.

The variants named "broken" leave one rule out, to show that the rule is needed and that the checker
notices. Run it with: python3 docs/design/protocol_model.py   (a few minutes)

The rules are in the folder beside this file: model/protocol.py, and model/guess.py for the save of one instance.
"""
from model.guess import Row, guess_steps, no_stale_shelf
from model.protocol import (State, no_stale_read, nothing_stays_stale, reader_steps, regional_steps, world_steps,
                            writer_steps)
from model.search import search


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
