"""Frames from bytes in any pieces: the vectors, several in one and one in several, and every limit."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from realtime.core.errors import RemoteProtocolError
from realtime.protocols.layers.stomp.decoder import Decoder
from realtime.protocols.layers.stomp.frames import V10, V11, V12, VERSIONS, Frame, write

from .vectors import frame, some, wire


def decoder(version: str = V12, **limits: int) -> Decoder:
    """One with bounds."""
    made = Decoder(**({"max_headers": 8, "max_header_size": 200, "max_body_size": 100} | limits))
    made.version = version
    return made


def taken(reader: Decoder) -> list[Frame]:
    """All that is here."""
    frames = []
    while (found := reader.next()) is not None:
        frames.append(found)
    return frames


def read(pieces: list[bytes], version: str, **limits: int) -> tuple[list[Frame], int, str | None]:
    """The frames, the code of the error behind them (0 for none), and whose receipt that was."""
    reader, frames = decoder(version, **limits), []
    for piece in pieces:
        reader.feed(piece)
        try:
            while (found := reader.next()) is not None:
                frames.append(found)
        except RemoteProtocolError as wrong:
            return frames, wrong.close_code, reader.receipt
    return frames, 0, None


def single(data: bytes) -> list[bytes]:
    """Byte by byte."""
    return [data[at : at + 1] for at in range(len(data))]


@some(**{"from": "client"})
def test_the_vectors(vector: dict[str, Any]) -> None:
    for pieces in ([wire(vector)], single(wire(vector))):
        frames, code, _ = read(pieces, vector["version"])
        if "error" in vector:
            assert (frames, code) == ([], vector["error"])
        else:
            assert (frames, code) == ([frame(vector)], 0)


def test_several_in_one_and_one_in_several() -> None:
    reader = decoder()
    reader.feed(b"\n\nSEND\na:1\n\nx\0\n\r\nACK\nid:1\n\n\0\nSEN")
    assert taken(reader) == [Frame("SEND", {"a": "1"}, b"x"), Frame("ACK", {"id": "1"})]
    assert reader.pending == 3
    reader.feed(b"D\n\nbo")
    assert taken(reader) == []
    reader.feed(b"dy\0")
    assert taken(reader) == [Frame("SEND", {}, b"body")]
    assert reader.pending == 0


def test_the_version_of_what_follows_is_said_between_two_frames() -> None:
    reader = decoder()
    reader.feed(b"CONNECT\r\na:b\r\n\r\n\0SEND\na:\\r\n\n\0")
    assert reader.next() == Frame("CONNECT", {"a": "b"})
    reader.version = V11
    with pytest.raises(RemoteProtocolError, match=r"1\.1 has no escape"):
        reader.next()


def test_line_ends_begin_nothing() -> None:
    reader = decoder()
    for data, begun in ((b"", False), (b"\n\r\n\n", False), (b"\n\r", True), (b"\nSEND\n", True)):
        reader.feed(data)
        assert reader.next() is None
        assert reader.begun is begun
    reader.feed(b"\n\0\n")
    assert len(taken(reader)) == 1
    assert not reader.begun


def test_many_line_ends_take_no_memory() -> None:
    """There may be a million in a message; of each a way back was kept, which took a hundred times as much."""
    reader = decoder()
    reader.feed(b"\r\n\n" * 100_000)
    tracemalloc.start()
    try:
        assert reader.next() is None
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_whose_receipt_an_error_is_about() -> None:
    reader = decoder()
    reader.feed(b"SEND\nreceipt:1\nreceipt:2\n\n\0SEND\nreceipt:3\nno header\n")
    assert reader.next() is not None
    assert reader.receipt is None
    with pytest.raises(RemoteProtocolError, match="'no header'"):
        reader.next()
    assert reader.receipt == "3"


HEADERS = b"".join(b"%d:x\n" % number for number in range(8))


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    ("good", "bad", "limit"),
    [
        (b"SEND\n" + HEADERS + b"\n\0", b"SEND\n" + HEADERS + b"9:x\n", "max_headers"),
        (b"SEND\n" + b"a:x\n" * 8 + b"\n\0", b"SEND\n" + b"a:x\n" * 9, "max_headers"),
        (b"SEND\na:" + b"x" * 191 + b"\n\n\0", b"SEND\na:" + b"x" * 194, "max_header_size"),
        (b"SEND\na:" + b"x" * 191 + b"\n\n\0", b"SEND\na:" + b"x" * 192 + b"\nb", "max_header_size"),
        (b"SEND\n\n" + b"x" * 100 + b"\0", b"SEND\n\n" + b"x" * 101, "max_body_size"),
        (b"SEND\ncontent-length:100\n\n" + b"\0" * 101, b"SEND\ncontent-length:101\n\n", "max_body_size"),
        (b"SEND\n\n\0", b"SEND\ncontent-length:" + b"9" * 19 + b"\n\n", "max_body_size"),
    ],
)
def test_limits(whole: bool, good: bytes, bad: bytes, limit: str) -> None:
    reader = decoder()
    for data in [good] if whole else single(good):
        reader.feed(data)
    assert len(taken(reader)) == 1
    with pytest.raises(RemoteProtocolError, match=limit) as caught:
        for data in [bad] if whole else single(bad):
            reader.feed(data)
            taken(reader)
    assert caught.value.close_code == 1009


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x01", b"A" * 13, b"\0" * 13])
def test_what_begins_no_frame_is_refused_before_its_line_ends(data: bytes) -> None:
    for pieces in ([data], single(data)):
        assert read(pieces, V12)[:2] == ([], 1002)


NAME = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=6)
VALUE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
FRAME = st.builds(
    Frame,
    st.just("SEND"),
    st.dictionaries(NAME.filter(lambda name: name != "content-length"), VALUE, max_size=3),
    st.binary(max_size=20),
)
PARTS = ("SEND\n", "a:b\n", "\n", "\r\n", "\0", "x", "content-length:3\n", "receipt:1\n", "ACK\n", "\\c", "SUBSCRIBE\n")


@given(st.lists(FRAME, max_size=4), st.data())
def test_written_and_read_in_any_pieces(frames: list[Frame], data: st.DataObject) -> None:
    stream = b"\n".join(write(V12, one) for one in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    found, code, _ = read(pieces, V12)
    assert code == 0
    for one, sent in zip(found, frames, strict=True):
        assert one.body == sent.body
        assert {name: value for name, value in one.headers.items() if name != "content-length"} == sent.headers


@given(
    st.one_of(st.lists(st.sampled_from(PARTS), max_size=30).map(lambda parts: "".join(parts).encode()), st.binary()),
    st.sampled_from(VERSIONS),
)
@example(b"\r\r\n", V12)
@example(b"\r\n\rSEND\n\n\0", V12)
@example(b"SEND\n\n" + b"x" * 102 + b"\0", V10)
def test_byte_by_byte_is_as_whole(stream: bytes, version: str) -> None:
    assert read(single(stream), version) == read([stream], version)
