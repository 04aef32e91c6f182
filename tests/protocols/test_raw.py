"""Plain WebSocket messages."""

from __future__ import annotations

from typing import Any

import pytest

from realtime.core.carrier import Shape
from realtime.core.errors import LocalProtocolError
from realtime.core.frames import Outgoing
from realtime.core.settings import shown
from realtime.protocols.raw import CODEC, Raw
from realtime.server import Server


def test_messages_are_websocket_messages_made_once() -> None:
    text, binary = Outgoing.message("hé"), Outgoing.message(b"\x00\xff")
    assert CODEC.item(text) == b"\x81\x03h\xc3\xa9"
    assert CODEC.item(binary) == b"\x82\x02\x00\xff"
    assert CODEC.item(text) is CODEC.item(text)
    assert CODEC.wrap([CODEC.item(text), CODEC.item(binary)]) == [b"\x81\x03h\xc3\xa9\x82\x02\x00\xff"]


def test_everything_else_is_websockets_own_affair() -> None:
    assert CODEC.item(Outgoing.close(3000, "bye")) == CODEC.item(Outgoing.dropped(2)) == b""
    assert CODEC.ping() == b"\x89\x00"
    assert CODEC.abrupt(1011, "session", None, "no") == b""
    assert CODEC.shape is Shape.DUPLEX
    assert CODEC.capabilities.binary
    assert CODEC.capabilities.greeting == b""


@pytest.mark.parametrize("names", [(), ("v12.stomp", "v11.stomp", "mqtt"), ["wamp.2.json"]])
def test_sub_protocols(names: Any) -> None:
    assert Raw(subprotocols=names).subprotocols == tuple(names)


class Mute:
    """What cannot even be shown."""

    def __repr__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    "names", ["mqtt", ("",), ("a b",), ("a,b",), ("é",), ("a", "a"), (1,), 5, {"mqtt"}, None, Mute()], ids=shown
)
def test_sub_protocols_that_are_none(names: Any) -> None:
    with pytest.raises(LocalProtocolError, match="subprotocols="):
        Raw(subprotocols=names)
    with pytest.raises(LocalProtocolError, match="subprotocols="):
        Server().endpoint("/x", subprotocols=names)
