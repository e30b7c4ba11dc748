"""{% cached %} and {% cached_as %}.

    {% cached timeout "name" variant … %} … {% endcached %}
    {% cached_as queryset timeout "name" variant … %} … {% endcached_as %}

`timeout` is seconds, a strategy's name, or None for the profile's. Arguments may be named: `queryset`, `timeout`,
`fragment_name`.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from django.template import Context, Node, NodeList
from django.template.base import FilterExpression, Parser, Token

from cacheops.fragments import CacheopsLibrary, arguments_of, fragment

register = CacheopsLibrary()  # a project may add tags to it by `register.decorator_tag`

Arranged: TypeAlias = tuple[tuple[Any, ...], Any, Any, tuple[Any, ...]]  # samples, timeout, name, variant


class FragmentNode(Node):
    """Renders its content once for each variant, until it times out or a sample changes."""

    def __init__(
        self,
        nodelist: NodeList,
        arrange: Callable[..., Arranged],
        args: list[FilterExpression],
        kwargs: dict[str, FilterExpression],
    ) -> None:
        self.nodelist = nodelist
        self.arrange = arrange
        self.args = args
        self.kwargs = kwargs

    def render(self, context: Context) -> str:
        values: list[Any] = [argument.resolve(context) for argument in self.args]
        named = {name: argument.resolve(context) for name, argument in self.kwargs.items()}
        samples, timeout, name, extra = self.arrange(*values, **named)
        request = getattr(context, "request", None)
        return fragment(str(name), lambda: self.nodelist.render(context), samples, timeout, extra, request)


def _parse(parser: Parser, token: Token, arrange: Callable[..., Arranged]) -> FragmentNode:
    nodelist = parser.parse((f"end{token.split_contents()[0]}",))
    parser.delete_first_token()
    return FragmentNode(nodelist, arrange, *arguments_of(arrange, parser, token))


def _timed(timeout: Any, fragment_name: Any, *extra: Any) -> Arranged:
    return (), timeout, fragment_name, extra


def _sampled(queryset: Any, timeout: Any, fragment_name: Any, *extra: Any) -> Arranged:
    return (queryset,), timeout, fragment_name, extra


@register.tag
def cached(parser: Parser, token: Token) -> FragmentNode:
    return _parse(parser, token, _timed)


@register.tag
def cached_as(parser: Parser, token: Token) -> FragmentNode:
    return _parse(parser, token, _sampled)
