"""What Django itself keeps in a cache: template fragments, pages, sessions."""

import pytest
from django.core.cache.utils import make_template_fragment_key
from django.template import Context, engines

URLS = "tests.cacheops.backends.urls"
FRAGMENT = "{% load cache %}{% cache 60 name city %}{{ city }} is {{ weather }}{% endcache %}"


def render(city: str, weather: str) -> str:
    template = engines["django"].from_string(FRAGMENT).template
    return template.render(Context({"city": city, "weather": weather}))


def test_a_template_fragment(cache):
    assert render("Oslo", "cold") == "Oslo is cold"
    assert render("Oslo", "warm") == "Oslo is cold"
    assert render("Rome", "warm") == "Rome is warm"
    assert cache.delete(make_template_fragment_key("name", ["Oslo"])) is True
    assert render("Oslo", "warm") == "Oslo is warm"


@pytest.mark.urls(URLS)
def test_a_cached_page(cache, client):
    first = client.get("/counted?q=me").content

    assert client.get("/counted?q=me").content == first
    assert client.get("/counted?q=you").content != first
    cache.clear()
    assert client.get("/counted?q=me").content != first


@pytest.mark.urls(URLS)
@pytest.mark.django_db
@pytest.mark.parametrize("engine", ["cache", "cached_db"])
def test_a_session(cache, client, settings, engine):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"

    assert [client.get("/visit").content for _ in range(3)] == [b"1", b"2", b"3"]
    client.get("/leave")
    assert client.get("/visit").content == b"1"


@pytest.mark.urls(URLS)
@pytest.mark.django_db
def test_a_session_survives_the_loss_of_the_cache(cache, client, settings):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"

    client.get("/visit")
    cache.clear()
    assert client.get("/visit").content == b"2"
