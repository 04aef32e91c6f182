"""SockJS's frames, by vectors written from its document (0.3.3)."""

from __future__ import annotations

import json

from realtime.core.frames import Outgoing
from realtime.protocols.sockjs.codec import CODECS, close_frame, quote


def test_a_message_is_quoted_and_what_browsers_mangle_is_escaped() -> None:
    assert quote('é"\\') == '"é\\"\\\\"'.encode()
    mangled = [*range(0x20), 0x7F, *range(0x200C, 0x2010), *range(0x2028, 0x2030), *range(0x2060, 0x2070)]
    for point in [*mangled, *range(0xFFF0, 0x10000)]:
        quoted = quote(chr(point))
        assert quoted.isascii()
        assert json.loads(quoted) == chr(point)
    assert quote("\u2028\ufffe") == b'"\\u2028\\ufffe"'
    assert quote("\U0001f600") == '"\U0001f600"'.encode()


def test_closes() -> None:
    assert close_frame(3000, "Go away!") == b'c[3000,"Go away!"]'
    assert close_frame(1006, "whatever") == b'c[1002,"Connection interrupted"]'
    assert close_frame(1000, 'a "b"\n') == b'c[1000,"a \\"b\\" "]'


def test_messages_share_a_frame_and_everything_else_has_its_own() -> None:
    codec = CODECS["xhr_streaming"]
    one, two = codec.item(Outgoing.message("1")), codec.item(Outgoing.message("2"))
    close = codec.item(Outgoing.close(3000, "bye"))
    nothing = codec.item(Outgoing.dropped(3))
    assert nothing == b""
    assert codec.wrap([codec.capabilities.greeting, one, two, nothing, close]) == [
        b"o\n",
        b'a["1","2"]\n',
        b'c[3000,"bye"]\n',
    ]
    assert codec.wrap([one]) == [b'a["1"]\n']
    assert codec.wrap([nothing]) == []
    assert codec.wrap([one, two]) == [b'a["1","2"]\n']


def test_a_message_is_made_once_for_each_kind_of_carrier() -> None:
    item = Outgoing.message("x")
    assert CODECS["xhr"].item(item) is CODECS["xhr"].item(item)
    websocket = CODECS["websocket"]
    assert websocket.wrap([websocket.item(item)])[0] is websocket.wrap([websocket.item(item)])[0]
    assert websocket.wrap([websocket.item(item)]) == [b'\x81\x06a["x"]']


def test_a_heartbeat_and_an_abrupt_end() -> None:
    codec = CODECS["xhr"]
    assert codec.ping() == b"h"
    assert codec.abrupt(1011, "session", None, "no") == b'c[1011,"no"]'


def test_what_it_can_do_is_declared() -> None:
    for path, codec in CODECS.items():
        capabilities = codec.capabilities
        assert (capabilities.protocol, capabilities.binary, capabilities.greeting) == ("SockJS", False, b"o")
        assert capabilities.heartbeat == ("ask" if path == "websocket" else "tell")
