"""What a cached function returned on its miss is what it returns on a hit."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db.models import Count, Prefetch
from django.db.models.signals import post_init
from django.http import HttpResponse
from django.template.response import SimpleTemplateResponse
from django.test import RequestFactory
from django.utils.functional import cached_property

from cacheops import cached, cached_as, cached_view
from cacheops.exceptions import InvalidOption
from cacheops.orm.samples import RowsOf
from cacheops.queryset import CachedManager
from tests.testapp.cached import statements
from tests.testapp.models import Author, Book, Note, Tag

pytestmark = pytest.mark.django_db(databases="__all__")


def twice(func: Callable[[], Any]) -> tuple[Any, Any, int]:
    """Return what a function gives, what its entry gives, and how often it ran."""
    calls = []

    @cached(timeout=60, extra=func.__code__.co_firstlineno)
    def counted() -> Any:
        calls.append(1)
        return func()

    return counted(), counted(), len(calls)


# --- instances --------------------------------------------------------------------------------------------------------


def test_annotations_are_kept(library: str) -> None:
    authors = Author.objects.using(library).annotate(n=Count("books")).order_by("pk")
    miss, hit, calls = twice(lambda: list(authors))
    assert calls == 1
    assert [author.n for author in hit] == [author.n for author in miss] != []


def test_what_was_prefetched_to_an_attribute_is_kept(library: str) -> None:
    books = Book.objects.using(library).filter(status="out")
    authors = Author.objects.using(library).prefetch_related(Prefetch("books", books, to_attr="outs")).order_by("pk")
    miss, hit, calls = twice(lambda: list(authors))
    assert calls == 1
    assert [author.outs for author in hit] == [author.outs for author in miss]
    assert any(author.outs for author in hit)


RELATIONS = {
    "foreign key, backwards": (Author, "books"),
    "many to many": (Book, "tags"),
    "many to many, backwards": (Tag, "books"),
    "through": (Author, "borrowed"),
    "generic": (Book, "notes"),
    "of each other": (Author, "books__tags"),
}


@pytest.mark.parametrize("name", RELATIONS)
def test_what_was_prefetched_needs_no_query(library: str, name: str) -> None:
    model, lookup = RELATIONS[name]
    first = lookup.partition("__")[0]
    Note.objects.using(library).create(text="of a book", about=Book.objects.using(library).first())
    rows = model._default_manager.using(library).prefetch_related(lookup).order_by("pk")
    miss, hit, calls = twice(lambda: list(rows))
    assert calls == 1
    with statements(library) as ran:
        found = [list(getattr(row, first).all()) for row in hit]
    assert not ran
    assert found == [list(getattr(row, first).all()) for row in miss]
    assert any(found)
    assert [getattr(row, first).filter(pk=1).count() for row in hit] == [
        getattr(row, first).filter(pk=1).count() for row in miss
    ]


def test_a_prefetch_that_the_manager_would_not_make_is_not_kept(library: str) -> None:
    books = Book.objects.using(library).filter(status="out")
    authors = Author.objects.using(library).prefetch_related(Prefetch("books", books)).order_by("pk")
    miss, again, calls = twice(lambda: list(authors.all()))
    assert calls == 2
    assert [list(author.books.all()) for author in again] == [list(author.books.all()) for author in miss]


def test_selected_rows_need_no_query_and_stay_the_same(library: str) -> None:
    def found() -> list[Any]:
        book = Book.objects.using(library).select_related("author").filter(author__mentor=None).first()
        assert book is not None
        return [book, book.author]

    _, (book, author), calls = twice(found)
    with statements(library) as ran:
        assert book.author is author
    assert not ran
    assert calls == 1


def test_an_unsaved_instance_stays_one(library: str) -> None:
    _, hit, calls = twice(lambda: [Book(title="new"), Book.objects.using(library).first()])
    assert [(book._state.adding, book._state.db) for book in hit] == [(True, None), (False, library)]
    assert calls == 1


@pytest.fixture
def tracker() -> Iterator[None]:
    """Give authors what some apps give to models: an object beside the fields, and one that is made when asked for."""

    def track(instance: Any, **kwargs: Any) -> None:
        instance.tracker = object()

    tool = cached_property(lambda author: object())
    Author.tool = tool  # type: ignore[attr-defined]
    tool.__set_name__(Author, "tool")
    post_init.connect(track, sender=Author)
    yield
    post_init.disconnect(track, sender=Author)
    del Author.tool  # type: ignore[attr-defined]


def test_what_a_model_makes_by_itself_is_left_to_it(library: str, tracker: None) -> None:
    def found() -> Any:
        author: Any = Author.objects.using(library).annotate(n=Count("books")).earliest("pk")
        return author if author.tool else None

    miss, hit, calls = twice(found)
    assert calls == 1
    assert hit.n == miss.n
    assert type(hit.tracker) is type(hit.tool) is object


def test_an_attribute_that_no_entry_can_hold_is_not_lost(library: str) -> None:
    def found() -> Any:
        author: Any = Author.objects.using(library).first()
        author.helper = object()
        return author

    _, again, calls = twice(found)
    assert calls == 2
    assert type(again.helper) is object


def test_a_result_that_holds_itself_is_returned_each_time(library: str) -> None:
    def found() -> list[Any]:
        result: list[Any] = []
        result.append(result)
        return result

    _, again, calls = twice(found)
    assert calls == 2
    assert again[0] is again


# --- responses --------------------------------------------------------------------------------------------------------


def test_a_response_with_cookies_is_not_kept(library: str) -> None:
    def answer() -> HttpResponse:
        response = HttpResponse("hello")
        response.set_cookie("who", "sam")
        return response

    _, again, calls = twice(answer)
    assert calls == 2
    assert again.cookies["who"].value == "sam"


def test_a_response_is_not_kept_before_it_is_rendered(library: str) -> None:
    _, again, calls = twice(lambda: SimpleTemplateResponse("not there.html"))
    assert calls == 2
    assert not again.is_rendered


class Plain(SimpleTemplateResponse):
    @property
    def rendered_content(self) -> str:
        return "rendered"


def test_a_view_is_kept_rendered(library: str) -> None:
    calls = []

    @cached_view(timeout=60, key=f"rendered:{library}")
    def view(request: object) -> HttpResponse:
        calls.append(1)
        return Plain("none")

    asked = RequestFactory().get("/rendered")
    assert [view(asked).content for _ in range(2)] == [b"rendered", b"rendered"]
    assert len(calls) == 1


@pytest.mark.parametrize("directive", ["private", "no-store", "no-cache, max-age=0"])
def test_a_view_that_forbids_it_is_not_kept(library: str, directive: str) -> None:
    calls = []

    @cached_view(timeout=60, key=f"private:{library}")
    def view(request: object) -> HttpResponse:
        calls.append(1)
        return HttpResponse("yours", headers={"Cache-Control": directive})

    for _ in range(2):
        view(RequestFactory().get("/private"))
    assert len(calls) == 2


# --- samples ----------------------------------------------------------------------------------------------------------


def test_a_sample_that_matches_nothing_depends_on_nothing(library: str) -> None:
    books = Book.objects.using(library)
    calls: list[str] = []

    def count(name: str) -> None:
        calls.append(name)

    for name, sample in {"an empty list": books.filter(pk__in=[]), "none()": books.none()}.items():
        counted = cached_as(sample, timeout=60, key=f"nothing:{library}")(count)
        counted(name)
        books.update(pages=7)
        counted(name)
    assert calls == ["an empty list", "none()"]


def test_rows_of_are_a_sample(library: str) -> None:
    titles = Book.objects.using(library).filter(author_id=1).order_by("pk").values_list("title", flat=True)
    calls = []

    @cached_as(RowsOf(Book, {"author_id": 1}, using=library), timeout=60, key=f"rows:{library}")
    def found() -> list[str]:
        calls.append(1)
        return list(titles.all())

    assert found() == found()
    assert len(calls) == 1
    Book.objects.using(library).filter(author_id=1).update(title="Changed")
    assert set(found()) == {"Changed"}


def test_what_is_no_sample_is_named(library: str) -> None:
    with pytest.raises(InvalidOption, match="is no sample"):
        cached_as("books")  # type: ignore[arg-type]


def test_what_a_manager_prefetches_itself_is_not_loaded_again(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = CachedManager.get_queryset
    monkeypatch.setattr(CachedManager, "get_queryset", lambda manager: made(manager).prefetch_related("tags"))
    authors = Author.objects.using(library).prefetch_related("books").order_by("pk")
    miss, hit, calls = twice(lambda: list(authors))
    assert calls == 1
    with statements(library) as ran:
        found = [[list(book.tags.all()) for book in author.books.all()] for author in hit]
    assert not ran
    assert found == [[list(book.tags.all()) for book in author.books.all()] for author in miss]
