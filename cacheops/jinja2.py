"""The Jinja2 extension `cacheops.jinja2.cache`.

{% cached timeout=60, extra=user.pk %} … {% endcached %}
{% cached_as Article.objects.all(), timeout="static_data" %} … {% endcached_as %}
"""

from typing import Any

from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from markupsafe import Markup

from cacheops.fragments import fragment


class CacheopsExtension(Extension):
    """A fragment is named by its template and line; `extra` tells one variant from another."""

    tags = {"cached", "cached_as"}

    def parse(self, parser: Parser) -> nodes.Node:
        token = next(parser.stream)
        arguments: list[nodes.Expr] = []
        options: list[nodes.Keyword] = []
        while parser.stream.current.type != "block_end":
            if arguments or options:
                parser.stream.expect("comma")
            if parser.stream.current.type == "name" and parser.stream.look().type == "assign":
                name = parser.stream.expect("name").value
                parser.stream.skip()
                options.append(nodes.Keyword(name, parser.parse_expression()))
            else:
                arguments.append(parser.parse_expression())
        body = parser.parse_statements((f"name:end{token.value}",), drop_needle=True)
        named = nodes.Const(f"{parser.name}:{token.lineno}")
        call = self.call_method("_render", [named, *arguments], options)
        return nodes.CallBlock(call, [], [], body).set_lineno(token.lineno)

    def _render(
        self, name: str, *samples: Any, caller: Any, timeout: float | str | None = None, extra: Any = None
    ) -> Markup:
        return Markup(fragment(name, caller, samples, timeout, (extra,)))


cache = CacheopsExtension
