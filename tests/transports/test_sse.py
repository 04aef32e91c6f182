"""Server-sent events: an event a batch, behind a comment as padding."""

from __future__ import annotations

import pytest

from realtime.core.carrier import Shape
from realtime.core.errors import RemoteProtocolError
from realtime.transports.base import Facts, Frame
from realtime.transports.sse import ServerSentEvents

from .streams import PIECES, AnyStream, read_stream

TRANSPORT = ServerSentEvents()


def read(data: bytes, size: int = 1 << 20, max_bytes: int = 10_000) -> list[Frame]:
    """What a client reads of a body that comes in pieces of `size` bytes."""
    return read_stream(TRANSPORT, data, size, max_bytes=max_bytes)


class TestServerSentEvents(AnyStream):
    """What all streams have in common."""

    transport = TRANSPORT


def test_what_it_is() -> None:
    assert (TRANSPORT.name, TRANSPORT.method, TRANSPORT.shape, TRANSPORT.held) == ("sse", "GET", Shape.STREAM, False)
    head = TRANSPORT.head(Facts())
    assert (head.status, head.prelude) == (200, b":" + b" " * 2048 + b"\n\n")
    assert dict(head.headers)["Content-Type"] == "text/event-stream; charset=utf-8"
    assert TRANSPORT.tail() == b""


def test_the_framing() -> None:
    parts = [TRANSPORT.frame("r1,0"), TRANSPORT.frame("mé")]
    assert list(TRANSPORT.wrap(parts)) == ['data: ["r1,0","mé"]\n\n'.encode()]


def test_no_line_end_of_a_message_is_one_of_the_framing() -> None:
    (event,) = TRANSPORT.wrap([TRANSPORT.frame("m\n\r\r\n")])
    assert event == b'data: ["m\\n\\r\\r\\n"]\n\n'


@PIECES
@pytest.mark.parametrize(
    ("data", "frames"),
    [
        (b'data: ["m1"]\r\n\r\ndata: ["m2"]\r\n\r\n', ["m1", "m2"]),
        (b'data:["m1"]\n\n', ["m1"]),
        (b'data: [\ndata: "m1"]\n\n', ["m1"]),
        (b': comment\ndata: ["m1"]\n: another\n\n', ["m1"]),
        (b'event: x\nid: 7\nretry: 10\ndata: ["m1"]\nunknown: y\nno colon\n\n', ["m1"]),
        (b"\n\n\nevent: nothing\n\ndata\n\ndata:\n\n", []),
        (b' data: ["m1"]\n\ndatum: ["m1"]\n\n', []),
        (b'data: ["m1"]\n', []),
        (b'data: ["m1"]\r\n\r', []),
    ],
)
def test_events_and_what_stands_beside_them(size: int, data: bytes, frames: list[str]) -> None:
    assert read(data, size) == frames


@PIECES
def test_an_event_of_somebody_else_is_an_error(size: int) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        read(b"data: hello\n\n", size)
    assert caught.value.close_code == 4400


def test_many_lines_of_one_event_are_bounded_together() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        read(b"data: 12345678\n" * 200, max_bytes=1000)
    assert caught.value.close_code == 4413
