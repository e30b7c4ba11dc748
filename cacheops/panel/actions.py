"""The panel's actions: each has a permission, a form, words on what it will do, and a call."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from django import forms
from django.utils import timezone

from cacheops.conf import conf
from cacheops.exceptions import CacheopsError, InvalidationRefused, StoreError
from cacheops.invalidation import invalidate_all, invalidate_model, invalidate_obj, primary_databases
from cacheops.panel import switches
from cacheops.panel.forms import (
    PAUSES,
    ModelForm,
    ObjectForm,
    PatternForm,
    PausedModelForm,
    PauseForm,
    RegionForm,
    WarmForm,
)
from cacheops.panel.overview import queued
from cacheops.patterns.aside import CacheAsideManager
from cacheops.relay.delivery import deliveries
from cacheops.warming.history import Checkpoint, Outcome
from cacheops.warming.progress import QuietReport
from cacheops.warming.registry import find_warmers
from cacheops.warming.runner import Runner
from cacheops.warming.selection import Scope

WARM_SECONDS = 20.0  # that a request may warm; gunicorn ends a worker that takes 30

Data = Mapping[str, Any]  # a form's cleaned values


class Done(NamedTuple):
    """The outcome of an action: a sentence for the person and the admin log, and whether all of it worked."""

    text: str
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Action:
    """One action. `subject` and `effects` are formats of what `words` makes of the form's values.

    `call` gets these values and the person's name. It raises CacheopsError if nothing was done.
    """

    slug: str
    permission: str
    title: str
    button: str
    summary: str
    form: type[forms.Form]
    subject: str  # names what it is done to, in the log
    effects: tuple[str, ...]  # sentences for the confirmation
    call: Callable[[Data, str], Done]
    grave: bool = False  # shown in red: the database will feel it

    def subject_of(self, data: Data) -> str:
        return self.subject.format_map(words(data))

    def effects_of(self, data: Data) -> list[str]:
        return [effect.format_map(words(data)) for effect in self.effects]


def words(data: Data) -> dict[str, Any]:
    """Return a form's values as they stand in sentences."""
    found: dict[str, Any] = {**data}
    if "model" in data:
        found["model"] = data["model"]._meta.label
    if "object" in data:
        found["gone"] = GONE if data["object"]._state.adding else ""
    if "seconds" in data:
        found["time"] = PAUSES[data["seconds"]]
    if "region" in data:
        found["where"] = "every region" if data["region"] == "all" else data["region"]
    return found


def outcome(what: str) -> Done:
    """Return an invalidation's outcome: which regions know, which will be told, and how far those are that follow."""
    waiting = [name for name in conf.regions if queued(name)]
    followers = list(deliveries(primary_databases()))
    said = "".join(f" {each.words()}" for each in followers)
    if waiting:
        where = f"Queued for {', '.join(waiting)}: told before the cache there is used again."
        return Done(f"{what}. {where}{said}", False)
    at_once = [name for name in conf.regions if name not in {each.region for each in followers}]
    return Done(f"{what}, in {', '.join(at_once)}.{said}", all(each.has_arrived for each in followers))


def invalidate(what: Callable[[Any], None], name: str) -> Callable[[Data, str], Done]:
    """Return the call that invalidates one of the form's values."""

    def call(data: Data, by: str) -> Done:
        what(data[name])
        number = f" {data[name].pk}" if name == "object" else ""
        return outcome(f"Invalidated {data['model']._meta.label}{number}")

    return call


def invalidate_a_pattern(data: Data, by: str) -> Done:
    found = CacheAsideManager().invalidate_pattern(data["pattern"])
    return Done(f"Invalidated {found:,} keys that match {data['pattern']}.")


def invalidate_everything(data: Data, by: str) -> Done:
    try:
        invalidate_all()
    except InvalidationRefused:
        raise
    except StoreError as error:
        return Done(f"Models are invalidated; functions and fragments not everywhere: {error}", complete=False)
    return outcome("Invalidated everything")


def warm(data: Data, by: str) -> Done:
    names = conf.regions if data["region"] == "all" else (data["region"],)
    scope = Scope.chosen(data["top"], None, False)
    warmers = find_warmers([data["target"]])
    checkpoint = Checkpoint(tuple(warmer.name for warmer in warmers), scope.text, names)
    runner = Runner(warmers, checkpoint, scope, TimeLimit(WARM_SECONDS))
    try:
        run = runner()
    except TimeIsOver:
        return Done(f"{summary_of(runner.run.outcomes)}. It was ended after {WARM_SECONDS:.0f} s.", complete=False)
    return Done(f"{summary_of(run.outcomes)}, in {run.seconds:.1f} s.", run.status == "done")


def pause(data: Data, by: str) -> Done:
    until = switches.pause(data["model"], data["seconds"], by, data["reason"])
    return Done(f"{data['model']._meta.label} is read from the database until {timezone.localtime(until):%H:%M:%S}.")


def resume(data: Data, by: str) -> Done:
    label = data["model"]._meta.label
    return Done(f"{label} is cached again." if switches.resume(data["model"]) else f"{label} was not paused.")


def reset_breaker(data: Data, by: str) -> Done:
    was_open = switches.reset_breaker(data["region"], by)
    here = "It was open in this process." if was_open else "It was closed in this process already."
    return Done(f"The circuit of {data['region']} is closed here, and in other processes within seconds. {here}")


def summary_of(outcomes: Mapping[str, Outcome]) -> str:
    return "; ".join(
        f"{name}: {one.warmed:,} warmed, {one.already_warm:,} already warm, {one.skipped:,} skipped, "
        f"{one.failed:,} failed{f' ({one.error})' if one.error else ''}"
        for name, one in outcomes.items()
    )


class TimeIsOver(CacheopsError):
    """A run that was started in a request has had its time."""


class TimeLimit(QuietReport):
    """Ends a run after some seconds; it can be resumed."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._ends = time.monotonic() + seconds

    def step(self, keys: int, outcomes: Mapping[str, Outcome]) -> None:
        if time.monotonic() > self._ends:
            raise TimeIsOver("The request's time is over.")


GONE = " The database has no such row: lists that had it by other columns than its key stay until they end."
WHERE = "In every region; one that does not answer is told before its cache is used again."

ACTIONS: dict[str, Action] = {
    action.slug: action
    for action in (
        Action(
            slug="invalidate-object",
            permission="invalidate_object",
            title="Invalidate an object",
            button="Invalidate",
            summary="Every result that one row is, or could be, part of is read anew.",
            form=ObjectForm,
            subject="{model} {object.pk}",
            effects=("Every cached result that {model} {object.pk} is part of becomes a miss.{gone}", WHERE),
            call=invalidate(invalidate_obj, "object"),
        ),
        Action(
            slug="invalidate-model",
            permission="invalidate_model",
            title="Invalidate a model",
            button="Invalidate",
            summary="Every result that reads one model is read anew.",
            form=ModelForm,
            subject="{model}",
            effects=(
                "Every cached result that reads {model} becomes a miss, joins included.",
                WHERE,
                "Until it is warm again, its readers ask the database.",
            ),
            call=invalidate(invalidate_model, "model"),
            grave=True,
        ),
        Action(
            slug="invalidate-pattern",
            permission="invalidate_pattern",
            title="Invalidate by a pattern",
            button="Invalidate",
            summary="Keys by name (cache-aside) that match a pattern are read anew.",
            form=PatternForm,
            subject="{pattern}",
            effects=(
                "Every key by name that matches {pattern} becomes a miss, in every region that answers.",
                "Results of queries have no names: invalidate their model, or an object.",
                "The keys are looked for in small steps (SCAN), so many keys take some seconds.",
            ),
            call=invalidate_a_pattern,
        ),
        Action(
            slug="invalidate-all",
            permission="invalidate_all",
            title="Invalidate everything",
            button="Invalidate everything",
            summary="Every entry of every model, function, view and fragment is read anew.",
            form=forms.Form,
            subject="everything",
            effects=(
                "Every cached result of every model, function, view and fragment becomes a miss.",
                WHERE,
                "Every read asks the database until it is warm again: with much traffic, warm the regions at once.",
                "Sessions, and what Django's cache framework keeps, stay as they are.",
            ),
            call=invalidate_everything,
            grave=True,
        ),
        Action(
            slug="warm",
            permission="warm_cache",
            title="Warm",
            button="Warm",
            summary="Rows and pages are read and filled before anybody asks for them.",
            form=WarmForm,
            subject="{target} in {region}",
            effects=(
                "Up to {top:,} rows of {target} are loaded and filled in {where}, the most used first.",
                "What writers are about to change is left out; nothing that they have changed is overwritten.",
                f"It ends after {WARM_SECONDS:.0f} s; manage.py warm_cache --resume then goes on.",
            ),
            call=warm,
        ),
        Action(
            slug="pause",
            permission="pause_caching",
            title="Pause the caching of a model",
            button="Pause",
            summary="Every process reads one model from the database for a time.",
            form=PauseForm,
            subject="{model}",
            effects=(
                "For {time}, every process of every region reads {model} from the database, within a second of its "
                "next cached read; joins with it included.",
                "Invalidation goes on, so what is cached is right when the pause ends.",
                "It ends by itself, or here.",
            ),
            call=pause,
            grave=True,
        ),
        Action(
            slug="resume",
            permission="pause_caching",
            title="End a pause",
            button="End the pause",
            summary="A paused model is cached again.",
            form=PausedModelForm,
            subject="{model}",
            effects=("{model} is cached again, in every process within a second.",),
            call=resume,
        ),
        Action(
            slug="reset-breaker",
            permission="reset_breaker",
            title="Close a circuit",
            button="Close the circuit",
            summary="A region that is back is asked at once, not after its breaker's time.",
            form=RegionForm,
            subject="{region}",
            effects=(
                "The process that answers you asks {region} with its next read.",
                "Every other process of every region does so within a second of its next cached read: it hears of "
                f"this from the database, for {switches.RESET_SECONDS} s.",
                "A circuit opens again by itself if the region still does not answer.",
            ),
            call=reset_breaker,
        ),
    )
}
