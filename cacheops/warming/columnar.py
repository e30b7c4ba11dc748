"""The columns of entries that `get` of a table's rows looks for."""

from collections.abc import Sequence
from typing import Any

from cacheops.orm.connection import CachedConnection
from cacheops.orm.plan import Plan
from cacheops.orm.read_compiler import request_for
from cacheops.profiles import Profile
from cacheops.protocol.tags import NoToken
from cacheops.reading.columns import EntryColumns


def columns_of(
    plan: Plan, values: Sequence[Any], connection: CachedConnection, profile: Profile, label: str
) -> EntryColumns | None:
    """Return the entries of many queries of one shape with one parameter each; None where they are not alike."""
    assert plan.template is not None
    single = plan.template.only_tag
    if single is None or len(single.places) != 1:
        return None
    request = request_for(plan, [values[0]], connection, profile, label)
    digests = plan.digests(values, label.encode() + connection.session_key)
    start = f"{single.scheme}="
    try:
        tags = [start + str(value) if type(value) is int else single.name((value,)) for value in values]
    except NoToken:
        return None
    if digests is None or request is None:
        return None
    return EntryColumns(
        request.keys, (single.scheme,), digests, tags, profile, label, request.databases, request.columns
    )
