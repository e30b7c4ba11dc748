"""What can be done on the panel. Each action has a permission, a form, words on what it will do, and an outcome."""

import time
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from django import forms
from django.utils import timezone

from cacheops.conf import conf
from cacheops.exceptions import CacheopsError, InvalidationRefused, StoreError
from cacheops.invalidation import invalidate_all, invalidate_model, invalidate_obj
from cacheops.panel import switches
from cacheops.panel.forms import (
    PAUSES,
    EverythingForm,
    ModelForm,
    ObjectForm,
    PatternForm,
    PauseForm,
    RegionForm,
    WarmForm,
)
from cacheops.panel.overview import queued
from cacheops.patterns.aside import CacheAsideManager
from cacheops.warming.history import Checkpoint, Outcome
from cacheops.warming.progress import QuietReport
from cacheops.warming.registry import find_warmers
from cacheops.warming.runner import Runner
from cacheops.warming.selection import Scope

WARM_SECONDS = 20.0  # that a request may warm; gunicorn ends a worker that takes 30


class Done(NamedTuple):
    """What came of an action: what is told to the person and kept in the admin log, and whether all of it worked."""

    text: str
    complete: bool = True


class Action:
    """One action. `subject` names what it is done to, in the log."""

    slug: ClassVar[str]
    permission: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    button: ClassVar[str]
    grave: ClassVar[bool] = False  # shown in red: the database will feel it
    form: ClassVar[type[forms.Form]] = ModelForm

    def subject(self, data: Mapping[str, Any]) -> str:
        return str(data["model"]._meta.label)

    def effects(self, data: Mapping[str, Any]) -> list[str]:
        """Return what will happen, in sentences, for the confirmation."""
        raise NotImplementedError

    def perform(self, data: Mapping[str, Any], by: str) -> Done:
        """Do it. Raise CacheopsError where nothing was done."""
        raise NotImplementedError


WHERE = "In every region; one that does not answer is told before its cache is used again."


class InvalidateObject(Action):
    slug, permission = "invalidate-object", "invalidate_object"
    title, button = "Invalidate an object", "Invalidate"
    summary = "Every result that one row is, or could be, part of is read anew."
    form = ObjectForm

    def subject(self, data: Mapping[str, Any]) -> str:
        return f"{data['model']._meta.label} {data['object'].pk}"

    def effects(self, data: Mapping[str, Any]) -> list[str]:
        return [f"Every cached result that {self.subject(data)} is part of becomes a miss.", WHERE]

    def perform(self, data: Mapping[str, Any], by: str) -> Done:
        invalidate_obj(data["object"])
        return told(f"Invalidated {self.subject(data)}")


class InvalidateModel(Action):
    slug, permission = "invalidate-model", "invalidate_model"
    title, button = "Invalidate a model", "Invalidate"
    summary = "Every result that reads one model is read anew."
    grave = True

    def effects(self, data: Mapping[str, Any]) -> list[str]:
        return [
            f"Every cached result that reads {self.subject(data)} becomes a miss, joins included.",
            WHERE,
            "Until it is warm again, its readers ask the database.",
        ]

    def perform(self, data: Mapping[str, Any], by: str) -> Done:
        invalidate_model(data["model"])
        return told(f"Invalidated {self.subject(data)}")


class InvalidatePattern(Action):
    slug, permission = "invalidate-pattern", "invalidate_pattern"
    title, button = "Invalidate by a pattern", "Invalidate"
    summary = "Keys by name (cache-aside) that match a pattern are read anew."
    form = PatternForm

    def subject(self, data: Mapping[str, Any]) -> str:
        return str(data["pattern"])

    def effects(self, data: Mapping[str, Any]) -> list[str]:
        return [
            f"Every key by name that matches {self.subject(data)} becomes a miss, in every region that answers.",
            "Results of queries have no names: invalidate their model, or an object.",
            "The keys are looked for in small steps (SCAN), so many keys take some seconds.",
        ]

    def perform(self, data: Mapping[str, Any], by: str) -> Done:
        found = CacheAsideManager().invalidate_pattern(data["pattern"])
        return Done(f"Invalidated {found:,} keys that match {data['pattern']}.")


class InvalidateAll(Action):
    slug, permission = "invalidate-all", "invalidate_all"
    title, button = "Invalidate everything", "Invalidate everything"
    summary = "Every entry of every model, function, view and fragment is read anew."
    grave = True
    form = EverythingForm

    def subject(self, data: Mapping[str, Any]) -> str:
        return "everything"

    def effects(self, data: Mapping[str, Any]) -> list[str]:
        return [
            "Every cached result of every model, function, view and fragment becomes a miss.",
            WHERE,
            "Every read asks the database until it is warm again: with much traffic, warm the regions at once.",
            "Sessions, and what Django's cache framework keeps, stay as they are.",
        ]

    def perform(self, data: Mapping[str, Any], by: str) -> Done:
        try:
            invalidate_all()
        except InvalidationRefused:
            raise
        except StoreError as error:
            return Done(f"Models are invalidated; functions and fragments not everywhere: {error}", complete=False)
        return told("Invalidated everything")


class Warm(Action):
    slug, permission = "warm", "warm_cache"
    title, button = "Warm", "Warm"
    summary = "Rows and pages are read and filled before anybody asks for them."
    form = WarmForm

    def subject(self, data: Mapping[str, Any]) -> str:
        return f"{data['target']} in {data['region']}"

    def effects(self, data: Mapping[str, Any]) -> list[str]:
        where = "every region" if data["region"] == "all" else str(data["region"])
        return [
            f"Up to {data['top']:,} rows of {data['target']} are loaded and filled in {where}, the most used first.",
            "What writers are about to change is left out; nothing that they have changed is overwritten.",
            f"It ends after {WARM_SECONDS:.0f} s; manage.py warm_cache --resume then goes on.",
        ]

    def perform(self, data: Mapping[str, Any], by: str) -> Done:
        names = conf.regions if data["region"] == "all" else (data["region"],)
        scope = Scope.chosen(data["top"], None, False)
        warmers = find_warmers([data["target"]])
        checkpoint = Checkpoint(tuple(warmer.name for warmer in warmers), scope.text, names)
        runner = Runner(warmers, checkpoint, scope, _Limited(WARM_SECONDS))
        try:
            run = runner()
        except _TooLong:
            return Done(f"{summed(runner.run.outcomes)}. It was ended after {WARM_SECONDS:.0f} s.", complete=False)
        return Done(f"{summed(run.outcomes)}, in {run.seconds:.1f} s.", run.status == "done")


class ResetBreaker(Action):
    slug, permission = "reset-breaker", "reset_breaker"
    title, button = "Close a circuit", "Close the circuit"
    summary = "A region that is back is asked at once, not after its breaker's time."
    form = RegionForm

    def subject(self, data: Mapping[str, Any]) -> str:
        return str(data["region"])

    def effects(self, data: Mapping[str, Any]) -> list[str]:
        return [
            f"The process that answers you asks {self.subject(data)} with its next read.",
            "Every other process of every region does so within a second of its next cached read: it hears of this "
            f"from the database, for {switches.RESET_SECONDS} s.",
            "A circuit opens again by itself if the region still does not answer.",
        ]

    def perform(self, data: Mapping[str, Any], by: str) -> Done:
        was_open = switches.reset_breaker(data["region"], by)
        here = "It was open in this process." if was_open else "It was closed in this process already."
        return Done(f"The circuit of {data['region']} is closed here, and in other processes within seconds. {here}")


class PauseCaching(Action):
    slug, permission = "pause", "pause_caching"
    title, button = "Pause the caching of a model", "Pause"
    summary = "Every process reads one model from the database for a time."
    grave = True
    form = PauseForm

    def effects(self, data: Mapping[str, Any]) -> list[str]:
        return [
            f"For {PAUSES[data['seconds']]}, every process of every region reads {self.subject(data)} from the "
            "database, within a second of its next cached read; joins with it included.",
            "Invalidation goes on, so what is cached is right when the pause ends.",
            "It ends by itself, or here.",
        ]

    def perform(self, data: Mapping[str, Any], by: str) -> Done:
        until = switches.pause(data["model"], data["seconds"], by, data["reason"])
        return Done(f"{self.subject(data)} is read from the database until {timezone.localtime(until):%H:%M:%S}.")


class ResumeCaching(Action):
    slug, permission = "resume", "pause_caching"
    title, button = "End a pause", "End the pause"
    summary = "A paused model is cached again."

    def effects(self, data: Mapping[str, Any]) -> list[str]:
        return [f"{self.subject(data)} is cached again, in every process within a second."]

    def perform(self, data: Mapping[str, Any], by: str) -> Done:
        ended = switches.resume(data["model"])
        return Done(f"{self.subject(data)} is cached again." if ended else f"{self.subject(data)} was not paused.")


ACTIONS: dict[str, Action] = {
    action.slug: action
    for action in (
        InvalidateObject(),
        InvalidateModel(),
        InvalidatePattern(),
        InvalidateAll(),
        Warm(),
        PauseCaching(),
        ResumeCaching(),
        ResetBreaker(),
    )
}


def told(what: str) -> Done:
    """Return an invalidation's outcome: which regions know, and which will be told."""
    waiting = [name for name in conf.regions if queued(name)]
    if waiting:
        return Done(f"{what}. Queued for {', '.join(waiting)}: told before the cache there is used again.", False)
    return Done(f"{what}, in {', '.join(conf.regions)}.")


def summed(outcomes: Mapping[str, Outcome]) -> str:
    return "; ".join(
        f"{name}: {one.warmed:,} warmed, {one.already_warm:,} already warm, {one.skipped:,} skipped, "
        f"{one.failed:,} failed{f' ({one.error})' if one.error else ''}"
        for name, one in outcomes.items()
    )


class _TooLong(CacheopsError):
    """A run that was started in a request has had its time."""


class _Limited(QuietReport):
    """Ends a run after some seconds; it can be resumed."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._ends = time.monotonic() + seconds

    def step(self, keys: int, outcomes: Mapping[str, Outcome]) -> None:
        if time.monotonic() > self._ends:
            raise _TooLong("The request's time is over.")
