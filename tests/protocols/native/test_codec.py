"""What each frame looks like on each kind of carrier."""

from __future__ import annotations

import json

import pytest

from realtime.core.carrier import Capabilities, Shape, share
from realtime.core.frames import Outgoing, RoomItem, RoomNote, Unshared
from realtime.protocols.native import NativeCodec
from realtime.transports import TRANSPORTS, LongPolling, Polling, WebSocket

from .ends import MESSAGES

WEBSOCKET = NativeCodec(WebSocket())
LONG = NativeCodec(LongPolling())
PLAIN = NativeCodec(Polling())
STREAM = NativeCodec(TRANSPORTS["xhr_streaming"])
EVENTS = NativeCodec(TRANSPORTS["sse"])


def test_a_codec_is_its_transports() -> None:
    assert (WEBSOCKET.name, WEBSOCKET.shape, WEBSOCKET.held) == ("websocket", Shape.DUPLEX, False)
    assert (LONG.name, LONG.shape, LONG.held) == ("long_polling", Shape.POLL, True)
    assert WEBSOCKET.capabilities == Capabilities()


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (Outgoing.message(""), "m"),
        (Outgoing.message("mh\u00e9\u2028😀\0"), "mmh\u00e9\u2028😀\0"),
        (Outgoing.message(b""), "b"),
        (Outgoing.message(b"\0\x07\xff"), "bAAf/"),
        (Outgoing.dropped(12), "d12"),
        (RoomItem("a,b", "1.2.x", Outgoing.message("é")), "ha%2Cb,1.2.x,mé"),
        (RoomItem("chat", "1.2.x", Outgoing.message(b"\0\x07\xff")), "hchat,1.2.x,bAAf/"),
        (RoomNote("100%", "1"), "h100%25,1"),
        (RoomNote("chat", "1", 3), "hchat,1,d3"),
        (Outgoing.close(3000, "one, two"), "c3000,one, two"),
        (Outgoing.close(1000, ""), "c1000,"),
        (Outgoing.close(1000, "two\nlines\0"), "c1000,two lines "),
        (Outgoing.close(1000, "é" * 100), "c1000," + "é" * 61),
    ],
    ids=repr,
)
def test_numbered_items(item: Outgoing, text: str) -> None:
    assert LONG.item(item) == json.dumps(text, ensure_ascii=False).encode()
    assert MESSAGES.item(item) == (item.data if item.kind == "b" else text)


def test_a_message_is_framed_once_for_all_carriers_of_a_kind() -> None:
    item = Outgoing.message("hello")
    assert WEBSOCKET.item(item) is WEBSOCKET.item(item)
    assert LONG.item(item) is PLAIN.item(item)  # both lay batches
    assert MESSAGES.item(item) == "mhello"
    assert WEBSOCKET.item(item) == b"\x81\x06mhello"
    assert len(item.encoded) == 3
    own = Unshared.message("hello")
    assert WEBSOCKET.item(own) == WEBSOCKET.item(item)
    assert not own.encoded


def test_a_flush_of_a_stream_is_laid_once_for_all_who_write_the_same() -> None:
    first, last = Outgoing.message("one"), Outgoing.message("two")
    parts = [STREAM.item(first), STREAM.item(last)]
    made = share(STREAM, last, parts)
    assert list(made) == list(STREAM.wrap(parts)) == [b'["mone","mtwo"]\n']
    assert share(STREAM, last, [*parts]) is made
    other = share(STREAM, last, [STREAM.ack(1, 1), *parts])  # whose ack was due
    assert list(other) == [b'["a1,1","mone","mtwo"]\n']
    assert list(share(EVENTS, last, parts)) == [b'data: ["mone","mtwo"]\n\n']
    assert share(STREAM, last, parts) is not made
    assert list(share(STREAM, last, parts)) == list(made)


def test_unnumbered_frames() -> None:
    assert MESSAGES.number(7) == "n7"
    assert MESSAGES.ack(7, 5) == "a7,5"
    assert MESSAGES.attach_answer(7, 5) == "r7,5"
    assert MESSAGES.ping() == "p"
    assert MESSAGES.pong("x") == "qx"
    assert MESSAGES.end_of_carrier("superseded") == "esuperseded"
    assert MESSAGES.abrupt(4404, "session", None, "who, you?") == "x4404,session,,who, you?"
    assert MESSAGES.abrupt(1000, "session", 0, "") == "x1000,session,0,"
    assert MESSAGES.cursors(7, {"a,b": "1.2.x"}) == "l7,a%2Cb,1.2.x"
    assert MESSAGES.rooms_taken(7, 12) == "f7,12"
    assert MESSAGES.room("a,b") == "la%2Cb"
    assert MESSAGES.room(RoomNote("a", "1.2.x", 3)) == "la,1.2.x,d3"
    item = RoomItem("a", "1.2.x", Outgoing.message("hello"))
    assert MESSAGES.room(item) == "la,1.2.x,mhello"
    assert MESSAGES.room(item) is MESSAGES.room(item)  # made once for all who hear it
    assert MESSAGES.item(item) == "ha,1.2.x,mhello"
    assert MESSAGES.text("zfuture") == "zfuture"
    assert list(MESSAGES.wrap(["p", b"\0"])) == ["p", b"\0"]


@pytest.mark.parametrize(
    ("value", "text"), [(0, "g0"), (2**53 - 1, "g9007199254740991"), (2.5, "g2.5"), (1e-7, "g0.0")]
)
def test_delays_and_last_numbers_are_decimal(value: float, text: str) -> None:
    assert MESSAGES.go_away(value) == text
