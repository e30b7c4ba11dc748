"""A function's own key: what shares a name is told apart, or refused."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
from django.test import RequestFactory
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import TemplateView, View

from cacheops import cached, cached_as, cached_view
from cacheops.exceptions import InvalidKey, InvalidOption
from tests.testapp.models import Author

pytestmark = pytest.mark.django_db(databases="__all__")


@cached(timeout=60)
def taken(value: Any) -> Any:
    return value


def answers(*functions: Callable[[], Any]) -> list[Any]:
    return [function() for _ in range(2) for function in functions][len(functions) :]


def repeated(times: int) -> Callable[[Callable[[], str]], Callable[[], str]]:
    def decorate(func: Callable[[], str]) -> Callable[[], str]:
        @functools.wraps(func)
        def wrapper() -> str:
            return func() * times

        return wrapper

    return decorate


def word() -> str:
    return "a"


TWO_WORDS = cached(timeout=60)(repeated(2)(word))


def number_of(text: str) -> int:
    return int(text)


def test_functions_of_one_name_have_entries_of_their_own(library: str) -> None:
    decorate = cached(timeout=60)
    assert answers(TWO_WORDS, decorate(word)) == ["aa", "a"]
    assert answers(*(decorate(functools.partial(number_of, text)) for text in "12")) == [1, 2]


def test_a_decorator_with_other_parameters_is_another_function() -> None:
    def same() -> str:
        return "a"

    same.__qualname__ = "same"
    decorate = cached(timeout=60)
    twice = repeated(2)(same)
    assert decorate(twice).key() == decorate(twice).key()
    with pytest.raises(InvalidKey, match="cached twice"):
        decorate(repeated(3)(same))
    assert cached(timeout=60, key="thrice")(repeated(3)(same)).key() != decorate(twice).key()
    assert cached(timeout=60, extra=3)(repeated(3)(same)).key() != decorate(twice).key()


LOCAL: dict[str, Callable[[int], Any]] = {
    "a lambda that has extra and takes what has no key": lambda n: cached(timeout=60, extra=n)(taking(object())),
    "one that takes what has no key": lambda n: cached(timeout=60)(local(object())),
    "one that takes a function": lambda n: cached(timeout=60)(local(local(n))),
    "a decorated one": lambda n: cached(timeout=60)(repeated(2)(local(n))),
    "a part of one": lambda n: cached(timeout=60)(functools.partial(local(n))),
    "an argument": lambda n: taken(local(n)),
}


def local(n: Any) -> Callable[[], Any]:
    def found() -> Any:
        return n

    return found


def taking(n: Any) -> Callable[[], Any]:
    return lambda: n


@pytest.mark.parametrize("name", LOCAL)
def test_a_function_that_may_share_its_name_needs_a_key(name: str) -> None:
    with pytest.raises(InvalidKey, match=r"nothing tells|made in a function"):
        LOCAL[name](1)


def test_a_function_made_in_a_function_is_known_by_its_code_and_what_it_takes_from_around_it(library: str) -> None:
    decorate = cached(timeout=60)
    for make in (local, taking):
        assert answers(*(decorate(make((library, n))) for n in (1, 1.0, "1", [1]))) == [
            (library, n) for n in (1, 1.0, "1", [1])
        ]
        assert decorate(make(library)).key() == decorate(make(library)).key()
    one, two = ((lambda: 1), (lambda: 2)) if library else (None, None)
    assert answers(decorate(one), decorate(two)) == [1, 2]  # type: ignore[arg-type]


def test_what_a_function_takes_from_around_it_may_change(library: str) -> None:
    count = [library]
    found = cached(timeout=60)(local(count))
    assert found() == [library]
    count.append("more")
    assert found() == [library, "more"]


def test_functions_of_one_name_are_told_by_their_samples(library: str) -> None:
    """As of django-cacheops' own example: a function in a function, whose sample is what it was made of."""
    for name in ("ab", "ac"):
        Author.objects.create(name=f"{library}{name}")

    def block(start: str, **options: Any) -> list[str]:
        authors = Author.objects.filter(name__startswith=start)  # depends on the whole table, as the other does

        @cached_as(authors, **options)
        def found() -> list[str]:
            return [author.name for author in authors]

        return found()

    for options in ({"extra": library}, {"key": f"block:{library}"}):
        for _ in range(2):
            assert [block(f"{library}{end}", **options) for end in ("ab", "ac")] == [[f"{library}ab"], [f"{library}ac"]]


def test_the_error_says_what_to_write() -> None:
    with pytest.raises(InvalidKey, match=r"test_function_names\.local.*Name it by `key`, and by `extra` the values"):
        LOCAL["one that takes what has no key"](1)
    with pytest.raises(InvalidKey, match="is empty"):
        cached(timeout=60, key="")(local(1))


def test_a_key_names_a_function_and_extra_what_it_was_made_of(library: str) -> None:
    for options in ({}, {"key": f"found:{library}"}):
        assert answers(*(cached(timeout=60, extra=(library, n), **options)(local(n)) for n in (1, 2))) == [1, 2]
    one, same, other = (cached(timeout=60, key=key)(local(1)).key() for key in ("one", "one", "other"))
    assert one == same != other
    assert "-." in other
    made = (cached(timeout=60, key=key)(local(1)) for key in ("one", "one", "other"))
    digests = [each.keys.call_digest(()) for each in made]  # what file_cache of cacheops.compat goes by
    assert digests[0] == digests[1] != digests[2]


def test_views_of_a_class_are_told_by_it_and_what_they_were_given() -> None:
    views = [TemplateView.as_view(template_name=name) for name in ("a.html", "b.html")]
    request = RequestFactory().get("/a")
    keys = {cached_view(60)(view).key(request) for view in [*views, View.as_view(), csrf_exempt(views[0])]}  # type: ignore[attr-defined]
    assert len(keys) == 4


def test_a_function_may_call_itself(library: str) -> None:
    calls = []

    @cached(timeout=60, key=f"factorial:{library}")
    def factorial(n: int) -> int:
        calls.append(n)
        return n * factorial(n - 1) if n else 1

    @cached(timeout=60)
    def length(n: int) -> int:
        return 1 + length(n - 1) if n else len(library)

    assert [factorial(4), factorial(4)] == [24, 24]
    assert calls == [4, 3, 2, 1, 0]
    assert length(3) == 3 + len(library)


def test_what_a_coroutine_or_a_generator_returns_can_not_be_kept() -> None:
    async def later() -> int:
        return 1

    def many() -> Any:
        yield 1

    for function in (later, many):
        with pytest.raises(InvalidOption, match="can't be cached"):
            cached(timeout=60, key="later")(function)
