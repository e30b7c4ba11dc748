"""Glob patterns as Redis reads them, and the quick key check."""

import warnings

import pytest
from django.core.cache.backends.base import CacheKeyWarning, memcache_key_warnings
from hypothesis import given
from hypothesis import strategies as st

from cacheops.backends.glob import escaped, glob_regex, warn_of_unsafe_key


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("a*", ["a", "abc", "a\nb"], ["ba", ""]),
        ("a?c", ["abc", "a*c"], ["ac", "abbc"]),
        ("[abc]x", ["ax", "cx"], ["dx", "x"]),
        ("[^abc]x", ["dx", "^x"], ["ax"]),
        ("[a-c]", ["b"], ["d", "-"]),
        (r"\*\?\[a\]", ["*?[a]"], ["xxa"]),
        (r"[\]a]", ["]", "a"], ["\\"]),
        ("a.b|c", ["a.b|c"], ["axb|c", "c"]),
        ("[]x", [], ["x", "[]x"]),
    ],
)
def test_a_pattern_matches_what_redis_matches(pattern, matching, other):
    regex = glob_regex(pattern)

    assert [text for text in matching if not regex.fullmatch(text)] == []
    assert [text for text in other if regex.fullmatch(text)] == []


@given(st.text())
def test_an_escaped_text_matches_itself_alone(text):
    regex = glob_regex(escaped(text))

    assert regex.fullmatch(text)
    assert not regex.fullmatch(text + "x")
    assert not text or not regex.fullmatch("x" + text[1:]) or text[0] == "x"


@given(st.one_of(st.text(), st.text("abc: \x7f", min_size=245, max_size=255)))
def test_the_quick_check_warns_of_what_django_warns_of(key):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_unsafe_key(key)

    assert [str(warning.message) for warning in caught] == list(memcache_key_warnings(key))
    assert all(warning.category is CacheKeyWarning for warning in caught)
