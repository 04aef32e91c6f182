"""JSONP: one call, held."""

from __future__ import annotations

import pytest

from realtime.core.carrier import Shape
from realtime.core.errors import LocalProtocolError
from realtime.transports.base import Facts
from realtime.transports.jsonp import Jsonp

TRANSPORT = Jsonp()


def test_what_it_is() -> None:
    assert (TRANSPORT.name, TRANSPORT.method, TRANSPORT.shape, TRANSPORT.held) == ("jsonp", "GET", Shape.POLL, True)


def test_the_answer_is_a_script_that_nobody_caches_sniffs_or_changes() -> None:
    head = TRANSPORT.head(Facts(callback="_rt.take"))
    assert head.status == 200
    assert dict(head.headers) == {
        "Content-Type": "application/javascript; charset=utf-8",
        "Cache-Control": "no-store, no-transform",
        "X-Content-Type-Options": "nosniff",
    }


def test_one_flush_is_one_call() -> None:
    parts = [TRANSPORT.frame("r1,0"), TRANSPORT.frame('mhe said "hi"')]
    (argument,) = TRANSPORT.wrap(parts)
    assert argument == rb'"[\"r1,0\",\"mhe said \\\"hi\\\"\"]"'
    body = TRANSPORT.head(Facts(callback="_rt.take")).prelude + argument + TRANSPORT.tail()
    assert body == b"/**/_rt.take(" + argument + b");\r\n"
    decoder = TRANSPORT.decoder(10, 1000)
    assert decoder.feed(body) + decoder.end() == ["r1,0", 'mhe said "hi"']


def test_no_other_name_is_called() -> None:
    with pytest.raises(LocalProtocolError):
        TRANSPORT.head(Facts(callback="a-b"))
