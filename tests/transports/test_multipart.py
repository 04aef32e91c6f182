"""multipart/x-mixed-replace: a part a batch, each ended by the next boundary."""

from __future__ import annotations

import pytest

from realtime.core.carrier import Shape
from realtime.core.errors import RemoteProtocolError
from realtime.transports.base import Facts, Frame
from realtime.transports.multipart import Multipart

from .streams import PIECES, AnyStream, read_stream, written

TRANSPORT = Multipart()


def read(data: bytes, size: int = 1 << 20, max_bytes: int = 10_000) -> list[Frame]:
    """What a client reads of a body that comes in pieces of `size` bytes."""
    return read_stream(TRANSPORT, data, size, max_bytes=max_bytes)


class TestMultipart(AnyStream):
    """What all streams have in common."""

    transport = TRANSPORT


def test_what_it_is() -> None:
    assert (TRANSPORT.name, TRANSPORT.method, TRANSPORT.shape, TRANSPORT.held) == (
        "multipart",
        "GET",
        Shape.STREAM,
        False,
    )
    head = TRANSPORT.head(Facts())
    assert (head.status, head.prelude) == (200, b" " * 2048 + b"\r\n--realtime\r\n")
    assert dict(head.headers)["Content-Type"] == 'multipart/x-mixed-replace; boundary="realtime"'
    assert TRANSPORT.tail() == b"--realtime--\r\n"


def test_the_framing() -> None:
    parts = [TRANSPORT.frame("r1,0"), TRANSPORT.frame("mé")]
    assert list(TRANSPORT.wrap(parts)) == [
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: 14\r\n\r\n"
        + '["r1,0","mé"]\r\n--realtime\r\n'.encode()
    ]


@PIECES
def test_the_closing_boundary_ends_it(size: int) -> None:
    assert read(written(TRANSPORT, ["m1"]) + TRANSPORT.tail(), size) == ["m1"]
    assert read(written(TRANSPORT, ["m1"]) + TRANSPORT.tail() + b'epilogue\r\n\r\n["m2"]\r\n', size) == ["m1"]


@PIECES
@pytest.mark.parametrize(
    ("data", "frames"),
    [
        (b'a preamble\r\n\r\n["m0"]\r\n--realtime\r\n\r\n["m1"]\r\n--realtime\r\n', ["m1"]),
        (b'--realtime\n\n["m1"]\n--realtime\n\n["m2"]\n--realtime--', ["m1"]),
        (b'--realtime \t\r\n\r\n["m1"]\r\n--realtime\t\r\n', ["m1"]),
        (b'--realtime\r\nContent-Type: text/html\r\n\r\n<p>\r\n--realtime\r\n\r\n["m1"]\r\n--realtime\r\n', ["m1"]),
        (b'--realtime\r\nCONTENT-TYPE:TEXT/PLAIN\r\nX-Other: y\r\n\r\n["m1"]\r\n--realtime\r\n', ["m1"]),
        (b'--realtime\r\n\r\n["m1",\r\n"m2"]\r\n\r\n--realtime\r\n', ["m1", "m2"]),
        (b"--realtime\r\n\r\n\r\n--realtime\r\n--realtime\r\nContent-Type: text/plain\r\n--realtime\r\n", []),
        (b'--realtime\r\n\r\n["m1"]\r\n--realtimes\r\n', []),
    ],
)
def test_parts_and_what_stands_beside_them(size: int, data: bytes, frames: list[str]) -> None:
    assert read(data, size) == frames


@PIECES
def test_a_text_part_of_somebody_else_is_an_error(size: int) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        read(b"--realtime\r\n\r\nhello\r\n--realtime\r\n", size)
    assert caught.value.close_code == 4400


def test_many_lines_of_one_part_are_bounded_together() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        read(b"--realtime\r\n\r\n" + b"12345678\r\n" * 200, max_bytes=1000)
    assert caught.value.close_code == 4413
