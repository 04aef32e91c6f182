"""XHR streaming: a line a batch, behind a line of padding."""

from __future__ import annotations

import pytest

from realtime.core.carrier import Shape
from realtime.core.errors import RemoteProtocolError
from realtime.transports.base import Facts, Frame
from realtime.transports.xhr_streaming import XhrStreaming

from .streams import PIECES, AnyStream, read_stream

TRANSPORT = XhrStreaming()


def read(data: bytes, size: int = 1 << 20, max_bytes: int = 10_000) -> list[Frame]:
    """What a client reads of a body that comes in pieces of `size` bytes."""
    return read_stream(TRANSPORT, data, size, max_bytes=max_bytes)


class TestXhrStreaming(AnyStream):
    """What all streams have in common."""

    transport = TRANSPORT


def test_what_it_is() -> None:
    assert (TRANSPORT.name, TRANSPORT.method, TRANSPORT.shape, TRANSPORT.held) == (
        "xhr_streaming",
        "POST",
        Shape.STREAM,
        False,
    )
    head = TRANSPORT.head(Facts())
    assert (head.status, head.prelude) == (200, b" " * 2048 + b"\n")
    assert dict(head.headers)["Content-Type"] == "text/plain; charset=utf-8"
    assert TRANSPORT.tail() == b""


def test_the_framing() -> None:
    assert list(TRANSPORT.wrap([TRANSPORT.frame("r1,0"), TRANSPORT.frame("mé")])) == ['["r1,0","mé"]\n'.encode()]


@PIECES
def test_empty_lines_say_nothing_and_crlf_ends_a_line(size: int) -> None:
    assert read(b'\r\n\n  \n["m1"]\r\n\n["m2"]\n', size) == ["m1", "m2"]


@PIECES
@pytest.mark.parametrize("line", [b"<html>\n", b'["m1"] x\n', b'["m1",\n', b"\xff\n", b"1\n"])
def test_a_line_of_somebody_else_is_an_error(size: int, line: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        read(line, size)
    assert caught.value.close_code == 4400
