"""Frames behind their lengths: the vectors, whole and in pieces, and heads as RFC 9000 §16 has them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.core.carrier import Shape
from realtime.core.errors import RemoteProtocolError
from realtime.transports import ALL_TRANSPORTS, TRANSPORTS, WEBTRANSPORT, Facts, Frame
from realtime.transports.webtransport import LengthDecoder, WebTransport, frame_head

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "webtransport.json").read_text("ascii")
)
each = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])


def frames_of(vector: dict[str, Any]) -> list[Frame]:
    return [base64.b64decode(frame["base64"]) if isinstance(frame, dict) else frame for frame in vector["frames"]]


def test_what_it_is() -> None:
    assert (WEBTRANSPORT.name, WEBTRANSPORT.method, WEBTRANSPORT.shape, WEBTRANSPORT.held) == (
        "webtransport",
        "CONNECT",
        Shape.DUPLEX,
        False,
    )
    assert WEBTRANSPORT.head(Facts()) == (200, (), b"")
    assert WEBTRANSPORT.tail() == b""
    assert tuple(ALL_TRANSPORTS) == ("webtransport", *TRANSPORTS)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1 << 20])
@each
def test_streams_are_read(vector: dict[str, Any], size: int) -> None:
    decoder = WEBTRANSPORT.decoder(0, vector.get("max_bytes", 1_000_000))
    data = base64.b64decode(vector["base64"])

    def read() -> list[Frame]:
        frames: list[Frame] = []
        for start in range(0, len(data), size):
            frames += decoder.feed(data[start : start + size])
        return frames + decoder.end()

    if "error" in vector:
        with pytest.raises(RemoteProtocolError) as caught:
            read()
        assert caught.value.close_code == vector["error"]
    else:
        assert read() == frames_of(vector)


@pytest.mark.parametrize(
    "vector", [vector for vector in VECTORS if vector.get("canonical")], ids=lambda vector: vector["name"]
)
def test_streams_are_written(vector: dict[str, Any]) -> None:
    parts = [WEBTRANSPORT.frame(frame) for frame in frames_of(vector)]
    assert b"".join(bytes(part) for part in WEBTRANSPORT.wrap(parts)) == base64.b64decode(vector["base64"])  # type: ignore[arg-type]


def test_one_flush_is_one_buffer() -> None:
    one, two = WEBTRANSPORT.frame("a"), WEBTRANSPORT.frame(b"b")
    assert list(WEBTRANSPORT.wrap([one])) == [one]
    assert list(WEBTRANSPORT.wrap([one, two])) == [one + two]


# Around each edge between two lengths; and the examples of RFC 9000 §A.1 that are even or odd in our way.
@pytest.mark.parametrize(
    ("size", "binary", "head"),
    [
        (0, False, "00"),
        (18, True, "25"),
        (31, True, "3f"),
        (32, False, "4040"),
        (7646, True, "7bbd"),
        (8191, True, "7fff"),
        (8192, False, "80004000"),
        (247_439_166, True, "9d7f3e7d"),
        (2**29 - 1, True, "bfffffff"),
        (2**29, False, "c000000040000000"),
        (2**60, False, "e000000000000000"),
    ],
)
def test_heads(size: int, binary: bool, head: str) -> None:
    assert frame_head(size, binary).hex() == head


@given(st.lists(st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.binary())), st.data())
def test_what_goes_in_comes_out(frames: list[Frame], data: st.DataObject) -> None:
    stream = b"".join(WebTransport().frame(frame) for frame in frames)
    decoder, found, at = LengthDecoder(10_000), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, len(stream) - at))
        found += decoder.feed(stream[at : at + size])
        at += size
    assert found == frames


def test_what_is_not_whole_can_be_taken_back() -> None:
    decoder = LengthDecoder(100)
    assert decoder.rest() == b""
    whole, begun = WEBTRANSPORT.frame("whole"), WEBTRANSPORT.frame("begun")[:4]
    assert decoder.feed(whole + begun) == ["whole"]
    assert decoder.rest() == begun
