"""Template fragments as entries, and CacheopsLibrary: block tags of your own from functions that return decorators."""

from collections.abc import Callable
from functools import partial
from inspect import getfullargspec, signature, unwrap
from typing import Any

from django.http import HttpRequest
from django.template import Context, Library, Node, NodeList
from django.template.base import FilterExpression, Parser, Token
from django.template.library import parse_bits

from cacheops.decorators.functions import CachedFunction, NotKept
from cacheops.decorators.visitors import secrets_of
from cacheops.instrumentation.minute_log import minute_log
from cacheops.orm.samples import SampleLike
from cacheops.protocol.keys import digest


def fragment(
    name: str,
    render: Callable[[], str],
    samples: tuple[SampleLike, ...],
    timeout: float | str | None,
    extra: tuple[Any, ...],
    request: HttpRequest | None,
) -> str:
    """Return a rendered fragment, from the cache if it is there. `extra` tells one variant from another.

    One that holds a visitor's CSRF token, messages or nonce is not kept.
    """
    return _function(name, partial(shared, render, request), samples, timeout)(*extra)


def shared(render: Callable[[], str], request: HttpRequest | None) -> str:
    """Return what is rendered. Raise NotKept where it holds what is for one visitor alone."""
    with secrets_of(request) as given:
        text = render()
    if given:
        secrets = ", ".join(sorted(given))
        minute_log.warning(
            ("fragment", secrets), "A fragment is not cached, as it holds what is for one visitor: %s.", secrets
        )
        raise NotKept(text)
    return text


def invalidate_fragment(fragment_name: str, *extra: Any) -> None:
    """Make one variant of a fragment a miss, in every region."""
    _function(fragment_name, str, (), None).invalidate(*extra)


def _function(
    name: str, render: Callable[[], str], samples: tuple[SampleLike, ...], timeout: float | str | None
) -> CachedFunction[Any, str]:
    def rendered(*extra: Any) -> str:
        return render()

    return CachedFunction(rendered, samples, timeout=timeout, key=f"fragment.{name}")


Decorator = Callable[[Callable[[], str]], Callable[[], str]]
# Django 6.1 has its caller take the context off the parameters.
TAKES_CONTEXT = "takes_context" in signature(parse_bits).parameters


class CacheopsLibrary(Library):
    """A template library with `decorator_tag`.

    The function gets the tag's arguments and returns a decorator, such as cached_as(…); it is applied to the rendering
    of what stands between {% name %} and {% endname %}.
    """

    def decorator_tag(self, func: Callable[..., Decorator] | None = None, takes_context: bool = False) -> Any:
        if func is None:
            return lambda given: self.decorator_tag(given, takes_context=takes_context)
        name = func.__name__

        def compiled(parser: Parser, token: Token) -> DecoratorNode:
            before: list[Any] = list(parser.tokens)  # the next one is the last
            nodelist = parser.parse((f"end{name}",))
            parser.delete_first_token()
            text = digest(repr([one.contents for one in before[len(parser.tokens) :]]).encode())
            args, kwargs = arguments_of(func, parser, token, takes_context=takes_context)
            return DecoratorNode(func, takes_context, nodelist, args, kwargs, text)

        self.tag(name, compiled)
        return func


def arguments_of(
    func: Callable[..., Any], parser: Parser, token: Token, *, takes_context: bool = False
) -> tuple[list[FilterExpression], dict[str, FilterExpression]]:
    """Return what a tag gives to the parameters of a function, by place and by name. Raise TemplateSyntaxError."""
    spec = getfullargspec(unwrap(func))
    name, *bits = token.split_contents()
    named = {"takes_context": takes_context} if TAKES_CONTEXT else {}
    params = spec.args if TAKES_CONTEXT or not takes_context else spec.args[1:]
    parse: Any = parse_bits
    found: tuple[list[FilterExpression], dict[str, FilterExpression]] = parse(
        parser, bits, params, spec.varargs, spec.varkw, spec.defaults, spec.kwonlyargs, spec.kwonlydefaults,
        name=name, **named,
    )  # fmt: skip
    return found


class DecoratorNode(Node):
    def __init__(
        self,
        func: Callable[..., Decorator],
        takes_context: bool,
        nodelist: NodeList,
        args: list[FilterExpression],
        kwargs: dict[str, FilterExpression],
        text: str,
    ) -> None:
        self.func = func
        self.takes_context = takes_context
        self.nodelist = nodelist
        self.args = args
        self.kwargs = kwargs
        self.text = text

    def render(self, context: Context) -> str:
        args: list[Any] = [argument.resolve(context) for argument in self.args]
        kwargs = {name: argument.resolve(context) for name, argument in self.kwargs.items()}
        decorator = self.func(context, *args, **kwargs) if self.takes_context else self.func(*args, **kwargs)

        def content() -> str:
            return shared(lambda: self.nodelist.render(context), getattr(context, "request", None))

        # Another content is another fragment, as it has another name.
        content.__module__, content.__qualname__ = self.func.__module__, f"{self.func.__name__}:{self.text}"
        try:
            return decorator(content)()
        except NotKept as past:  # a decorator that caches nothing
            return str(past.result)
