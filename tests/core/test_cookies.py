"""Cookies, as aiohttp's own parser reads them."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.core.cookies import parse_cookies

# Before, aiohttp read cookies by http.cookies, which loses what stands behind one that it does not like.
NEW = tuple(map(int, aiohttp.__version__.split(".")[:2])) >= (3, 13)
PIECES = (
    *("login=abc", ";", "; ", " ", "\t", "=", '"', "\\", "a", "b=1", 'x="q"', "é", '{"a":1}', '\\"', "\\101", "Path=/"),
    *("expires=Wed, 09 Jun 2021 10:18:14 GMT", "d=Wed Jun  9 10:18:14 2021", "[", ",", "GMT", "secure", "$Version=1"),
)
FOREIGN = (
    'prefs={"a":1,"b":[2]}',
    'prefs={"a": 1}',
    "a[b]=1",
    "na:me=1",
    "consent",
    "x=é",
    'x="unclosed',
    "Path=/",
    "x=a b",
    "x=1,2",
    "",
    "expires=1",
    "$Version=1",
    "x=%7B%22a%22%3A1%7D",
    "a@b=1",
    "a/b=1",
    "x={}",
    'x=a\\b"c',
    "secure",
    "=",
    "=x",
    'x="a;b"',
    "date=Wed, 09 Jun 2021 10:18:14 GMT",
    "é=1",
)


@pytest.mark.parametrize("foreign", FOREIGN)
def test_another_cookie_hides_none(foreign: str) -> None:
    for header in (f"login=abc; {foreign}", f"{foreign}; login=abc", f"{foreign};login=abc;{foreign}"):
        assert parse_cookies(header)["login"] == "abc"


@pytest.mark.parametrize(
    ("header", "cookies"),
    [
        ("", {}),
        ("a=1; b=two", {"a": "1", "b": "two"}),
        ("a=1; a=2", {"a": "2"}),
        ('a="x;\\"\\101\\\\"', {"a": 'x;"A\\'}),
        ("a = 1 ;b= ;c", {"a": "1", "b": "", "c": ""}),
        ("é=1; a\\=2; x=é", {"x": "é"}),
        ('a=1; a="2\t"; a="\\0113"; b=4', {"a": "1", "b": "4"}),
    ],
)
def test_cookies(header: str, cookies: dict[str, str]) -> None:
    assert parse_cookies(header) == cookies


@pytest.mark.skipif(not NEW, reason="aiohttp has a parser of its own since 3.13")
@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_as_aiohttp_reads_them(header: str) -> None:
    cookies = dict(make_mocked_request("GET", "/", {"Cookie": header}).cookies)
    if not any("\t" in value for value in cookies.values()):  # as there are with older Pythons
        assert parse_cookies(header) == cookies
