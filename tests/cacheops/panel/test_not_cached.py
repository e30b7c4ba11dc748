"""The models' page lists what was read past the cache, and why."""

import pytest
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.utils.html import escape

from cacheops.monitoring.recorder import flusher
from cacheops.panel import models_page
from tests.cacheops.panel.conftest import PANEL

pytestmark = pytest.mark.django_db(databases=["default", "other"])


def test_models_page_lists_reads_past_the_cache(root: Client) -> None:
    flusher.reset()  # it has told of this process in this minute, under another test's prefix
    for _ in range(2):
        list(ContentType.objects.order_by("?"))
    assert flusher.flush()

    found = models_page.model_table("us-east-1", 1).not_cached
    place = f"{__name__}.test_models_page_lists_reads_past_the_cache"
    one = next(one for one in found if one.place == place)
    assert (one.model, one.operation, one.reads) == ("contenttypes.contenttype", "fetch", 2)
    content = root.get(f"{PANEL}models/?span=1h&region=us-east-1").content.decode()
    assert "Read past the cache" in content
    assert escape(one.why) in content
    assert place in content
