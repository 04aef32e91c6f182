"""multipart/x-mixed-replace: a part a batch, each ended by the next boundary."""

from __future__ import annotations

import pytest

from realtime.core.carrier import Part, Shape
from realtime.core.errors import RemoteProtocolError
from realtime.transports.base import Facts, Frame
from realtime.transports.multipart import Multipart

TRANSPORT = Multipart()


def body(*batches: list[str]) -> bytes:
    """What a server writes for these batches, flush by flush, behind its prelude."""
    pieces = [
        b"".join(map(part_bytes, TRANSPORT.wrap([TRANSPORT.frame(frame) for frame in batch]))) for batch in batches
    ]
    return TRANSPORT.head(Facts()).prelude + b"".join(pieces)


def part_bytes(part: Part) -> bytes:
    """A piece of a body."""
    assert isinstance(part, bytes)
    return part


def read(data: bytes, size: int = 1 << 20, max_frames: int = 100, max_bytes: int = 10_000) -> list[Frame]:
    """What a client reads of a body that comes in pieces of `size` bytes."""
    decoder = TRANSPORT.decoder(max_frames, max_bytes)
    frames: list[Frame] = []
    for start in range(0, len(data), size):
        frames += decoder.feed(data[start : start + size])
    return frames + decoder.end()


PIECES = pytest.mark.parametrize("size", [1, 2, 7, 1 << 20])
BATCHES = [["r1,0", 'mhe said "hi" \\ \n'], ["p"], ["m😀é\u2028\0", "bAAH/"], ["erecycled"]]


@PIECES
def test_what_is_laid_is_read(size: int) -> None:
    assert read(body(*BATCHES), size) == [frame for batch in BATCHES for frame in batch]


@PIECES
def test_wherever_it_is_cut_whole_batches_count_and_no_part_of_one(size: int) -> None:
    data = body(*BATCHES)
    ends = [len(body(*BATCHES[: count + 1])) for count in range(len(BATCHES))]
    for cut in range(len(body()), len(data)):
        whole = [frame for end, batch in zip(ends, BATCHES, strict=True) if end <= cut for frame in batch]
        assert read(data[:cut], size) == whole, cut


def test_one_flush_is_one_piece() -> None:
    assert len(TRANSPORT.wrap([TRANSPORT.frame("m1"), TRANSPORT.frame("m2")])) == 1


@PIECES
def test_limits(size: int) -> None:
    assert read(body(["p", "p"]), size, max_frames=2) == ["p", "p"]
    with pytest.raises(RemoteProtocolError) as caught:
        read(body(["p", "p", "p"]), size, max_frames=2)
    assert caught.value.close_code == 4413
    assert read(body(["m" + "x" * 2995]), size, max_bytes=3100)  # more than the prelude
    with pytest.raises(RemoteProtocolError) as caught:
        read(body(["m" + "x" * 4000]), size, max_bytes=3100)
    assert caught.value.close_code == 4413


def test_what_it_is() -> None:
    assert (TRANSPORT.name, TRANSPORT.method, TRANSPORT.shape, TRANSPORT.held) == (
        "multipart",
        "GET",
        Shape.STREAM,
        False,
    )
    head = TRANSPORT.head(Facts())
    assert (head.status, head.prelude) == (200, b"--realtime\r\n")
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
    assert read(body(["m1"]) + TRANSPORT.tail(), size) == ["m1"]
    assert read(body(["m1"]) + TRANSPORT.tail() + b'epilogue\r\n\r\n["m2"]\r\n', size) == ["m1"]


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
