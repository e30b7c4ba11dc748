"""The Jinja2 extension `cacheops.jinja2.cache`.

{% cached timeout=60, extra=user.pk %} … {% endcached %}
{% cached_as Article.objects.all(), timeout="static_data" %} … {% endcached_as %}
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from markupsafe import Markup

from cacheops.fragments import fragment
from cacheops.protocol.keys import digest

_source: ContextVar[str] = ContextVar("cacheops_jinja2_source")  # digest of the template that is being compiled


class CacheopsExtension(Extension):
    """A fragment is named by its template, the template's text, and its place there; `extra` tells variants apart."""

    tags = {"cached", "cached_as"}

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        _source.set(digest(source.encode()))
        return source

    def parse(self, parser: Parser) -> nodes.Node:
        token = next(parser.stream)
        place = parser.free_identifier().name  # another one for each fragment of a template, the same each time
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
        named = [nodes.Const(f"{parser.name}:{token.lineno}"), nodes.Const(f"{_source.get()}:{place}")]
        call = self.call_method("_render", [nodes.ContextReference(), *named, *arguments], options)
        return nodes.CallBlock(call, [], [], body).set_lineno(token.lineno)

    def _render(
        self,
        context: Context,
        name: str,
        place: str,
        *samples: Any,
        caller: Callable[[], str],
        timeout: float | str | None = None,
        extra: Any = None,
    ) -> Markup:
        return Markup(fragment(name, caller, samples, timeout, (place, extra), context.get("request")))


cache = CacheopsExtension
