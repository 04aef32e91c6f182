"""The facts of a request: kept as little as possible, and shown as they came."""

from __future__ import annotations

import copy
import gc

import pytest

from realtime import SessionRequest
from realtime.request import HEADER

HEADERS = ((b"Host", b"h"), (b"X-Empty", b""), (b"Cookie", b"a=1; b=\xff"), (b"host", b"twice"))


@pytest.mark.parametrize("headers", [(), HEADERS, ((b"X-Odd", b"a line\nand another"),), ((b"", b""),)])
def test_headers_that_are_kept_are_one_object_and_the_same(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    request = SessionRequest(raw_headers=headers)
    shown, parsed = request.raw_headers, dict(request.headers)
    kept = sum(len(name) + len(value) + HEADER for name, value in headers)
    assert request._pack() == request._pack() == kept
    assert (request.raw_headers, dict(request.headers)) == (shown, parsed)
    assert isinstance(request._headers, bytes) == (headers in (HEADERS, ((b"", b""),)))
    assert copy.copy(request).raw_headers == shown


def test_what_is_asked_for_is_not_kept() -> None:
    request = SessionRequest(raw_headers=HEADERS, query_string="a=1&a=2")
    request._pack()
    before = gc.get_referents(request)
    assert request.headers["HOST"] == "h"
    assert request.query.getall("a") == ["1", "2"]
    assert request.cookies["a"] == "1"
    assert gc.get_referents(request) == before
