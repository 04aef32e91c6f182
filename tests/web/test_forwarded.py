"""Who a request comes from, behind which proxies."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from realtime.web.forwarded import Origin, Proxies

TRUSTED = ("127.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32")


def origin(
    *headers: tuple[str, str],
    remote: str | None = "127.0.0.1",
    trusted: tuple[str, ...] = TRUSTED,
) -> tuple[str | None, str, str]:
    """What a request with these headers, to "inner" over http, is taken for."""
    return tuple(Proxies(trusted).origin(remote, "inner", "http", CIMultiDictProxy(CIMultiDict(headers))))  # type: ignore[return-value] # three fields


def test_without_headers_it_is_the_connection() -> None:
    assert origin() == ("127.0.0.1", "inner", "http")
    assert Origin("a", "b", "c").remote == "a"


@pytest.mark.parametrize(
    ("remote", "plain"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:201", "192.0.2.1"),
        ("2001:db9::1", "2001:db9::1"),
        ("::1", "::1"),
    ],
)
def test_an_ipv4_client_has_an_ipv4_address(remote: str, plain: str) -> None:
    assert origin(remote=remote, trusted=())[0] == plain
    assert origin(("X-Forwarded-For", remote))[0] == plain
    assert origin(("X-Forwarded-For", "1.2.3.4"), remote="::ffff:127.0.0.1")[0] == "1.2.3.4"


@pytest.mark.parametrize("remote", ["192.0.2.1", "2001:db9::1", "nonsense", "", None])
def test_nobody_else_is_believed(remote: str | None) -> None:
    headers = [
        ("X-Forwarded-For", "1.2.3.4"),
        ("X-Forwarded-Host", "a.example"),
        ("X-Forwarded-Proto", "https"),
        ("Forwarded", "for=1.2.3.4"),
    ]
    assert origin(*headers, remote=remote) == (remote, "inner", "http")
    assert origin(*headers, trusted=()) == ("127.0.0.1", "inner", "http")


@pytest.mark.parametrize(
    ("passed", "remote"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("6.6.6.6, 1.2.3.4", "1.2.3.4"),  # the first was written by the client
        ("6.6.6.6, 1.2.3.4, 10.1.1.1", "1.2.3.4"),
        ("1.2.3.4,10.1.1.1 , 10.1.1.2", "1.2.3.4"),
        ("10.1.1.1", "10.1.1.1"),  # all are trusted: the farthest
        ("1.2.3.4:5678", "1.2.3.4"),
        ("2001:db9::7", "2001:db9::7"),
        ("[2001:db9::7]", "2001:db9::7"),
        ("[2001:db9::7]:80", "2001:db9::7"),
        ("2001:db9::7, 2001:db8::1", "2001:db9::7"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("6.6.6.6, ::ffff:10.0.0.1", "6.6.6.6"),
        ("unknown", "127.0.0.1"),
        ("6.6.6.6, unknown", "127.0.0.1"),
        ("6.6.6.6, unknown, 10.1.1.1", "10.1.1.1"),
        ("1.2.3.4:x", "127.0.0.1"),
        ("[::1]x", "127.0.0.1"),
        ("", "127.0.0.1"),
        (",,", "127.0.0.1"),
    ],
)
def test_the_list_is_walked_from_its_right_end(passed: str, remote: str) -> None:
    assert origin(("X-Forwarded-For", passed))[0] == remote


def test_several_headers_are_one_list() -> None:
    assert origin(("X-Forwarded-For", "6.6.6.6, 1.2.3.4"), ("X-Forwarded-For", "10.0.0.1"))[0] == "1.2.3.4"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Host": "a.example", "Proto": "https"}, ("127.0.0.1", "a.example", "https")),
        ({"For": "1.2.3.4", "Host": "evil, a.example", "Proto": "http, https"}, ("1.2.3.4", "a.example", "https")),
        (
            {"For": "6.6.6.6, 1.2.3.4, 10.0.0.1", "Host": "evil, a.example, inner.example", "Proto": "http,https,http"},
            ("1.2.3.4", "a.example", "https"),
        ),
        ({"For": "1.2.3.4, 10.0.0.1", "Host": "a.example"}, ("1.2.3.4", "a.example", "http")),  # overwritten
        ({"Proto": "HTTPS"}, ("127.0.0.1", "inner", "https")),
        ({"Proto": "gopher", "Host": "a b"}, ("127.0.0.1", "inner", "http")),
        ({"Host": "[::1]:8080"}, ("127.0.0.1", "[::1]:8080", "http")),
        ({"Host": "a.example:8443"}, ("127.0.0.1", "a.example:8443", "http")),
    ],
)
def test_host_and_scheme(headers: dict[str, str], expected: tuple[str, str, str]) -> None:
    assert origin(*((f"X-Forwarded-{name}", value) for name, value in headers.items())) == expected


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ("for=1.2.3.4", ("1.2.3.4", "inner", "http")),
        ("For=1.2.3.4;Proto=https;Host=a.example", ("1.2.3.4", "a.example", "https")),
        ('for="[2001:db9::7]:4711"; by=203.0.113.60', ("2001:db9::7", "inner", "http")),
        ('for=6.6.6.6;host=evil, for="1.2.3.4" ; host="a.example"', ("1.2.3.4", "a.example", "http")),
        ("for=1.2.3.4;proto=https, for=10.0.0.1;proto=http", ("1.2.3.4", "inner", "https")),
        ('for="6.6.6.6, 1.2.3.4"', ("127.0.0.1", "inner", "http")),
        ('for="_\\"quo\\\\ted"', ("127.0.0.1", "inner", "http")),
        ("for=6.6.6.6, for=_hidden", ("127.0.0.1", "inner", "http")),
        ("for=6.6.6.6, proto=https", ("127.0.0.1", "inner", "https")),
        ("for=1.2.3.4,,", ("1.2.3.4", "inner", "http")),
        ("for=1.2.3.4, for", ("127.0.0.1", "inner", "http")),
        ('for="1.2.3.4', ("127.0.0.1", "inner", "http")),
        ("", ("127.0.0.1", "inner", "http")),
    ],
)
def test_forwarded(forwarded: str, expected: tuple[str, str, str]) -> None:
    assert origin(("Forwarded", forwarded)) == expected


def test_forwarded_does_not_count_beside_the_others() -> None:
    assert origin(("Forwarded", "for=6.6.6.6;host=evil"), ("X-Forwarded-For", "1.2.3.4")) == (
        "1.2.3.4",
        "inner",
        "http",
    )


def test_unix_sockets() -> None:
    for remote in ("", None):
        assert origin(("X-Forwarded-For", "1.2.3.4"), remote=remote, trusted=("unix",))[0] == "1.2.3.4"
    assert origin(("X-Forwarded-For", "1.2.3.4"), trusted=("unix",))[0] == "127.0.0.1"
