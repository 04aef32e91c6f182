"""WebSocket frames (RFC 6455 §5.2), laid by the server once for all receivers."""

from __future__ import annotations

import pytest

from realtime.core.carrier import Shape
from realtime.transports.base import Facts
from realtime.transports.websocket import WebSocket, WebSocketMessages, frame_header

SERVER = WebSocket()
CLIENT = WebSocketMessages()


@pytest.mark.parametrize("transport", [SERVER, CLIENT])
def test_what_it_is(transport: WebSocketMessages) -> None:
    assert (transport.name, transport.method, transport.shape, transport.held) == (
        "websocket",
        "GET",
        Shape.DUPLEX,
        False,
    )
    assert transport.head(Facts()) == (101, (), b"")
    assert transport.tail() == b""


# The examples of RFC 6455 §5.7, and the edges between its three lengths.
@pytest.mark.parametrize(
    ("size", "header"),
    [
        (0, "8100"),
        (5, "8105"),
        (125, "817d"),
        (126, "817e007e"),
        (256, "817e0100"),
        (65_535, "817effff"),
        (65_536, "817f0000000000010000"),
        (2**40, "817f0000010000000000"),
    ],
)
def test_headers(size: int, header: str) -> None:
    assert frame_header(0x81, size).hex() == header


def test_text_and_binary_frames() -> None:
    assert SERVER.frame("Hello") == bytes.fromhex("810548656c6c6f")
    assert SERVER.frame(b"\x00\xff") == bytes.fromhex("820200ff")
    assert SERVER.frame("") == bytes.fromhex("8100")


def test_the_length_is_that_of_the_utf8() -> None:
    assert SERVER.frame("m😀") == b"\x81\x05m" + "😀".encode()
    assert SERVER.frame("é" * 63)[:4].hex() == "817e007e"


def test_one_flush_is_one_buffer() -> None:
    one, two = SERVER.frame("a"), SERVER.frame(b"b")
    assert list(SERVER.wrap([one])) == [one]
    assert list(SERVER.wrap([one, two])) == [one + two]


def test_the_client_hands_messages_to_its_library() -> None:
    assert CLIENT.frame("text") == "text"
    assert CLIENT.frame(b"bytes") == b"bytes"
    assert list(CLIENT.wrap(["a", b"b"])) == ["a", b"b"]


def test_messages_that_a_library_framed_are_frames() -> None:
    decoder = SERVER.decoder(10, 1000)
    assert decoder.feed("m😀") == ["m😀"]
    assert decoder.feed(b"\0") == [b"\0"]
    assert decoder.end() == []
