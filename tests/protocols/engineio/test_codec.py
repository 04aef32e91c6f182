"""How items lie on each kind of carrier."""

from __future__ import annotations

import pytest

from realtime.core.carrier import Codec as CodecInterface
from realtime.core.carrier import Shape
from realtime.core.frames import Outgoing
from realtime.protocols.engineio.codec import CODECS, codec

TEXT, BYTES = Outgoing.message("hello"), Outgoing.message(b"\x01\x02\x03\x04")


@pytest.mark.parametrize(
    ("version", "transport", "base64", "body"),
    [
        (4, "polling", False, b"4hello\x1ebAQIDBA=="),
        (4, "polling", True, b"4hello\x1ebAQIDBA=="),
        (3, "polling", True, b"6:4hello10:b4AQIDBA=="),
        (3, "polling", False, b"\x00\x06\xff4hello\x01\x05\xff\x04\x01\x02\x03\x04"),
        (4, "websocket", False, b"\x81\x064hello\x82\x04\x01\x02\x03\x04"),
        (4, "websocket", True, b"\x81\x064hello\x82\x04\x01\x02\x03\x04"),
        (3, "websocket", False, b"\x81\x064hello\x82\x05\x04\x01\x02\x03\x04"),
        (3, "websocket", True, b"\x81\x064hello\x81\x0ab4AQIDBA=="),
    ],
)
def test_messages(version: int, transport: str, base64: bool, body: bytes) -> None:
    found = codec(version, transport, base64=base64)
    assert found.wrap([found.item(TEXT), found.item(Outgoing.dropped(3)), found.item(BYTES)]) == [body]
    assert (found.shape is Shape.POLL) == (transport == "polling")
    assert found.name == transport


def test_encoded_once() -> None:
    item = Outgoing.message("x")
    found = codec(4, "websocket", base64=False)
    assert found.item(item) is found.item(item)


def test_every_codec_can_say_every_part() -> None:
    for found in CODECS.values():
        interface: CodecInterface = found
        assert interface.capabilities.protocol == "Engine.IO"
        close = found.packet("1")
        assert found.item(Outgoing.close(1000, "")) == found.abrupt(1000, "session", None, "") == close
        assert found.ping() == found.packet("2")
