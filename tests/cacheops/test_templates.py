"""Template fragments: Django's tags, a library of one's own, Jinja2."""

import jinja2
import pytest
from django.template import Context, Engine, TemplateSyntaxError

from cacheops import invalidate_fragment
from locations.models import Location

pytestmark = pytest.mark.django_db(transaction=True)


class Counter:
    """Says how often it was rendered."""

    def __init__(self) -> None:
        self.count = 0

    def __str__(self) -> str:
        self.count += 1
        return str(self.count)


def render(source: str, **context: object) -> str:
    libraries = {"cacheops": "cacheops.templatetags.cacheops", "menu": "tests.cacheops.menu"}
    return Engine(libraries=libraries).from_string("{% load cacheops menu %}" + source).render(Context(context))


def test_a_fragment_is_rendered_once_for_each_variant() -> None:
    source = '{% cached 60 "side" who %}<b>{{ counter }}</b>{% endcached %}'
    counter = Counter()
    assert render(source, who="sam", counter=counter) == "<b>1</b>"
    assert render(source, who="sam", counter=counter) == "<b>1</b>"
    assert render(source, who="kim", counter=counter) == "<b>2</b>"
    invalidate_fragment("side", "sam")
    assert render(source, who="sam", counter=counter) == "<b>3</b>"
    assert render(source, who="kim", counter=counter) == "<b>2</b>"


def test_a_fragment_with_a_sample_has_variants_too() -> None:
    source = '{% cached_as places 60 "rows" who %}{{ counter }}{% endcached_as %}'
    counter = Counter()
    found = [render(source, who=who, places=Location.objects.all(), counter=counter) for who in ("sam", "kim", "sam")]
    assert found == ["1", "2", "1"]


def test_a_fragment_follows_its_sample() -> None:
    Location.objects.create(name="Harbor", code="harbor")
    listed = "{% for place in places %}{{ place }} {{ counter }}{% endfor %}"
    source = '{% cached_as places 60 "list" %}' + listed + "{% endcached_as %}"
    counter = Counter()
    for expected in ("Harbor 1", "Harbor 1"):
        assert render(source, places=Location.objects.all(), counter=counter) == expected
    Location.objects.update(name="Pier")
    assert render(source, places=Location.objects.all(), counter=counter) == "Pier 2"


@pytest.mark.parametrize("tag", ["cached_as places 60 'found'", "follow places", "jinja2"])
def test_fragments_of_one_name_are_told_by_their_samples(tag: str) -> None:
    """Two querysets that depend on the whole table: nothing but themselves tells them apart."""
    for name in ("Harbor", "Ridge"):
        Location.objects.create(name=name, code=name)
    name, _, arguments = tag.partition(" ")
    source = f"{{% {name} {arguments} %}}{{{{ places.get.name }}}}{{% end{name} %}}"
    made = "{% cached_as places, timeout=60 %}{{ places.get().name }}{% endcached_as %}"
    shared = jinja2.Environment(extensions=["cacheops.jinja2.cache"], autoescape=True).from_string(made)
    for _ in range(2):
        for letter, found in (("H", "Harbor"), ("R", "Ridge")):
            places = Location.objects.filter(name__startswith=letter)
            assert (shared.render(places=places) if tag == "jinja2" else render(source, places=places)) == found


def test_a_tag_of_ones_own_takes_its_decorator_from_a_function() -> None:
    counter = Counter()
    source = '{% cache_menu "top" %}{{ counter }}{% endcache_menu %}'
    assert [render(source, counter=counter, staff=False) for _ in range(2)] == ["1", "1"]
    assert [render(source, counter=counter, staff=True) for _ in range(2)] == ["2", "3"]


def test_a_tag_without_its_arguments_says_what_it_needs() -> None:
    with pytest.raises(TemplateSyntaxError, match="'timeout', 'fragment_name'"):
        render("{% cached %}x{% endcached %}")


def test_arguments_of_tags_may_be_named() -> None:
    counter = Counter()
    for tag, forms in {
        "cached": ("60 'named' 'x'", "timeout=60 fragment_name='named'", "60 fragment_name='named'"),
        "cached_as": (
            "places None 'rows'",
            "places fragment_name='rows' timeout=60",
            "queryset=places timeout=60 fragment_name='rows'",
        ),
    }.items():
        places = Location.objects.all()
        found = [
            render(f"{{% {tag} {one} %}}{{{{ counter }}}}{{% end{tag} %}}", places=places, counter=counter)
            for one in forms
        ]
        assert found == {"cached": ["1", "2", "2"], "cached_as": ["3", "3", "3"]}[tag]


def test_jinja2_has_the_same_tags() -> None:
    Location.objects.create(name="Harbor", code="harbor")
    environment = jinja2.Environment(extensions=["cacheops.jinja2.cache"], autoescape=True)
    timed = environment.from_string("{% cached timeout=60, extra=who %}<i>{{ counter }}</i>{% endcached %}")
    counter = Counter()
    assert [timed.render(who=who, counter=counter) for who in ("sam", "sam", "kim")] == [
        "<i>1</i>",
        "<i>1</i>",
        "<i>2</i>",
    ]
    followed = environment.from_string(
        "{% cached_as places, timeout=60 %}{{ places.get().name }}{{ counter }}{% endcached_as %}"
    )
    places = Location.objects.all()
    assert [followed.render(places=places, counter=counter) for _ in range(2)] == ["Harbor3", "Harbor3"]
    Location.objects.update(name="Pier")
    assert followed.render(places=Location.objects.all(), counter=counter) == "Pier4"


def fragments(*sources: str) -> list[str]:
    """Return what templates render on a hit of each of their fragments."""
    loader = jinja2.DictLoader({"page.html": "".join(sources)})
    environment = jinja2.Environment(extensions=["cacheops.jinja2.cache"], loader=loader)
    templates = [environment.get_template("page.html"), *map(environment.from_string, sources)]
    for template in templates:
        template.render(place=Location)
    return [template.render(place=Location) for template in templates]


def test_jinja2_fragments_are_told_by_their_place_and_text() -> None:
    one, same, other = ("{% cached timeout=60 %}" + text + "{% endcached %}" for text in ("one", "one", "other"))
    followed = "{% cached_as place, timeout=60 %}followed{% endcached_as %}"
    assert fragments(one, other, followed) == ["oneotherfollowed", "one", "other", "followed"]
    assert fragments("{% set x = 1 %}" + one + "{{ x }}", one + same) == ["one1oneone", "one1", "oneone"]
    numbered = ["{% set x = NUMBER %}{% cached timeout=60 %}{{ x }}{% endcached %}".replace("NUMBER", n) for n in "12"]
    assert fragments(*numbered) == ["12", "1", "2"]


def test_jinja2_fragments_of_an_included_template_keep_their_names() -> None:
    sources = {
        "part.html": "{% cached timeout=60 %}part{% endcached %}",
        "page.html": "{% include 'part.html' %}{% cached timeout=60 %}page{% endcached %}{% include 'part.html' %}",
    }
    environment = jinja2.Environment(extensions=["cacheops.jinja2.cache"], loader=jinja2.DictLoader(sources))
    assert [environment.get_template("page.html").render() for _ in range(2)] == ["partpagepart"] * 2
    assert environment.get_template("part.html").render() == "part"


def test_tags_of_ones_own_with_another_content_are_other_fragments() -> None:
    first, second = ('{% cache_menu "side" %}' + text + "{% endcache_menu %}" for text in ("a", "b"))
    assert [render(source, staff=False) for source in (first, second, first)] == ["a", "b", "a"]
