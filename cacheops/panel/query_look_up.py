"""Look up what is cached of a query that a person describes: a model, and conditions as `filter()` takes them."""

from typing import Any

from django.core.exceptions import FieldError, ValidationError
from django.db import models
from django.db.models.query import MAX_GET_RESULTS

from cacheops.panel.entry_page import Found, NotFound, look_up
from cacheops.panel.explain import plan_of, writes_against
from cacheops.reading.options import bypassed
from cacheops.reading.policy import Bypass
from cacheops.regions import regions
from cacheops.warming.replica import cached_alias

OPERATIONS = {"fetch": "list", "get": "get()"}


def look_up_query(region: str, model: type[models.Model], text: str, operation: str) -> Found:
    """Return the state of a query's entry in a region; nothing is read from the database.

    `text` has one condition a line, `field__lookup=value`. Raise NotFound, or StoreError where the region is away.
    """
    queryset = queryset_of(model, text)
    with bypassed(False):  # the panel's own reads are
        found = plan_of(queryset[:MAX_GET_RESULTS] if operation == "get" else queryset)
    if isinstance(found, Bypass):
        return Found(region, "", "bypass", found)
    request, _ = found
    state = look_up(regions[region], request, None)
    state.invalidated_by = writes_against(request)
    return state


def queryset_of(model: type[models.Model], text: str) -> models.QuerySet[Any]:
    """Return the query of one `filter()` with these conditions, which is never run. Raise NotFound."""
    conditions: dict[str, Any] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, found, value = (part.strip() for part in line.partition("="))
        if not found:
            raise NotFound(f"{line!r} is no condition: write field=value, or field__lookup=value.")
        lookup = name.rpartition("__")[2]
        if lookup in ("in", "range"):
            conditions[name] = [part.strip() for part in value.split(",")]
        else:
            conditions[name] = value.lower() == "true" if lookup == "isnull" else value
    try:
        return model._default_manager.using(cached_alias(model)).filter(**conditions)
    except ValidationError as error:
        raise NotFound(" ".join(error.messages)) from error
    except (FieldError, ValueError, TypeError) as error:
        raise NotFound(str(error)) from error
