"""Races between warming and a writer: what the writer has changed is never served from what was loaded before."""

from contextlib import closing

import pytest

from cacheops.patterns import CacheAsideManager
from cacheops.warming import Reads, Rows
from cacheops.warming.fanout import RegionFanout
from cacheops.warming.replica import Source
from tests.races.actors import Actor, Gate, at_commit
from tests.testapp.cached import is_hit
from tests.testapp.models import Book

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("books")]

REGION = "us-east-1"
TASKS = {"rows": lambda: Rows(Book, [1, 2], "default"), "reads": lambda: Reads([title, lambda: Book.objects.get(pk=2)])}


def title():
    return Book.objects.get(pk=1).title


def rename(name):
    Book.objects.filter(pk=1).update(title=name)


class HeldFanout(RegionFanout):
    """Stands still between lease and load, or between load and fill."""

    gates: dict[str, Gate]

    def lease(self, *args, **options):
        found = super().lease(*args, **options)
        self._pass("leased")
        return found

    def fill(self, *args):
        self._pass("loaded")
        super().fill(*args)

    def _pass(self, place):
        gate = self.gates.pop(place, None)
        if gate is not None:
            gate()


def warm(task, **gates):
    with closing(HeldFanout((REGION,), Source("default", None))) as fanout:
        fanout.gates = gates
        task.warm(fanout)
    return fanout.outcomes[REGION]


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("place", ["leased", "loaded"])
def test_a_write_between_lease_and_fill(place, kind):
    gate = Gate()
    warming = Actor(lambda: warm(TASKS[kind](), **{place: gate}))
    gate.wait()
    rename("new")
    gate.open()
    warming.result()
    assert title() == "new"
    assert title() == "new"
    assert is_hit("default", title)
    assert is_hit("default", lambda: Book.objects.get(pk=2))


@pytest.mark.parametrize("kind", TASKS)
def test_a_reader_fills_what_is_newer_before_the_warming_does(kind):
    gate = Gate()
    warming = Actor(lambda: warm(TASKS[kind](), loaded=gate))
    gate.wait()
    rename("new")
    assert title() == "new"
    gate.open()
    warming.result()
    assert title() == "new"


@pytest.mark.parametrize("kind", TASKS)
def test_what_a_writer_has_marked_is_left_out(kind):
    """A writer that does not know of the condition on `id` would keep both out: so it is known."""
    Book.objects.filter(pk=3).first()
    before, after = Gate(), Gate()

    def write():
        at_commit(before=before, after=after)
        rename("new")

    writer = Actor(write)
    before.wait()
    outcome = warm(TASKS[kind]())
    assert (outcome.warmed, outcome.skipped) == (1, 1)
    before.open()
    after.wait()
    assert warm(TASKS[kind]()).skipped == 1
    after.open()
    writer.result()
    assert title() == "new"
    outcome = warm(TASKS[kind]())
    assert (outcome.already_warm, outcome.skipped) == (2, 0)


def test_what_is_made_of_other_reads_is_made_of_what_came_after_its_lease():
    """A call has read the row, which is written then: what the next call makes of it is not made of the former read."""

    def made():
        return CacheAsideManager(300).get_or_set("title-of-1", title, depends_on=[Book])

    warm(Reads([title, lambda: Actor(lambda: rename("new")).result(), made]))
    assert made() == title() == "new"
