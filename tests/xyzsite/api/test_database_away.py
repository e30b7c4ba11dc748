"""The database that goes away while an answer is made of what is known."""

from typing import Any

import pytest
from django.db import connection

from cacheops.databases import Address, known_names
from cacheops.invalidation import invalidate_model
from devices.models import Device
from locations.models import Location
from tests.xyzsite.api.conftest import Caller
from xyzsite.api.application import api
from xyzsite.api.fields import Answer


@pytest.mark.servers
@pytest.mark.django_db(transaction=True)
def test_a_value_that_the_database_does_not_give_is_no_error_of_ours(
    staff: Caller, thermometer: Device, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CACHEOPS_WHEN_DATABASE_AWAY = "serve"
    assert staff.get("/devices/THERM-1").status_code == 200
    invalidate_model(Location)
    known = known_names.of[Address.of(connection)]
    connection.close()
    with monkeypatch.context() as patch:
        patch.setitem(connection.settings_dict, "HOST", "127.0.0.1")
        patch.setitem(connection.settings_dict, "PORT", "1")
        known_names.note(Address.of(connection), known)  # it is there, and no connection to it
        answer = staff.get("/devices/THERM-1")
    assert (answer.status_code, answer["Retry-After"], answer.document["error"]["code"]) == (503, "5", "unavailable")


def test_every_answer_tells_the_databases_errors() -> None:
    for _, router in api._routers:
        for view in router.path_operations.values():
            for operation in view.operations:
                kinds = [kind for status, kind in operation.response_models.items() if kind and int(status) < 300]
                assert all(issubclass(kind.model_fields["response"].annotation, Answer) for kind in kinds)
