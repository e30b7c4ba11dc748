"""{% cached %} and {% cached_as %}.

    {% cached timeout "name" variant … %} … {% endcached %}
    {% cached_as queryset timeout "name" variant … %} … {% endcached_as %}

`timeout` is seconds, a strategy's name, or None for the profile's. A comma between arguments is not needed.
"""

from typing import Any

from django.template import Context, Node, NodeList, TemplateSyntaxError
from django.template.base import FilterExpression, Parser, Token

from cacheops.fragments import CacheopsLibrary, fragment

register = CacheopsLibrary()  # a project may add tags to it by `register.decorator_tag`


class FragmentNode(Node):
    """Renders its content once for each variant, until it times out or a sample changes."""

    def __init__(self, nodelist: NodeList, arguments: list[FilterExpression], *, sampled: bool) -> None:
        self.nodelist = nodelist
        self.arguments = arguments
        self.sampled = sampled

    def render(self, context: Context) -> str:
        values: list[Any] = [argument.resolve(context) for argument in self.arguments]
        samples = (values.pop(0),) if self.sampled else ()
        timeout, name, *extra = values
        request = getattr(context, "request", None)
        return fragment(str(name), lambda: self.nodelist.render(context), samples, timeout, tuple(extra), request)


def _parse(parser: Parser, token: Token, tag: str, needed: int) -> FragmentNode:
    nodelist = parser.parse((f"end{tag}",))
    parser.delete_first_token()
    _, *bits = token.split_contents()
    if len(bits) < needed:
        usage = "queryset timeout name" if needed == 3 else "timeout name"
        raise TemplateSyntaxError(f"{{% {tag} %}} needs {usage}, and takes what tells one variant from another.")
    return FragmentNode(nodelist, [parser.compile_filter(bit) for bit in bits], sampled=needed == 3)


@register.tag
def cached(parser: Parser, token: Token) -> FragmentNode:
    return _parse(parser, token, "cached", 2)


@register.tag
def cached_as(parser: Parser, token: Token) -> FragmentNode:
    return _parse(parser, token, "cached_as", 3)
