"""Sessions of both ends for the tests beside this file: opened, or about to be."""

from __future__ import annotations

import json
from typing import Any

from realtime.core.carrier import NumberedCarrier
from realtime.core.client_machine import ClientMachine
from realtime.core.config import Config
from realtime.core.frames import Outgoing, Window
from realtime.core.numbered_machine import NumberedMachine
from realtime.protocols.native import NativeCodec, opened_frame
from realtime.transports import WebSocketMessages

from ...core.fakes import SMALL, WIDE, Diary, FakeLink

__all__ = ["MESSAGES", "NONCE", "connecting", "opened_text", "serving"]

MESSAGES = NativeCodec(WebSocketMessages(), "client")
NONCE = "abcdefghij-_0123456789"


def opened_text(**changes: Any) -> str:
    """The JSON of a server's `o`."""
    machine = NumberedMachine(Config(), Window(16, 65_536), Diary(), 0.0, sid="s1", key="K")
    members = json.loads(opened_frame(machine, "websocket", '[{"name":"websocket"}]', 3, 2)[1:])
    return json.dumps(members | changes)


def serving(*messages: str) -> tuple[NumberedMachine, NumberedCarrier, FakeLink]:
    """A server's session, opened on a WebSocket, that has sent these messages; what was written is forgotten."""
    machine = NumberedMachine(SMALL, WIDE, Diary(), 0.0, sid="s1", nonce=NONCE)
    link = FakeLink()
    carrier = NumberedCarrier(MESSAGES, link, 0.0)
    carrier.greeting = lambda received, taken: "o{}"
    machine.open(carrier, 1, 0.0)
    for message in messages:
        machine.send(Outgoing.message(message))
    machine.flush(0.0)
    link.writes.clear()
    return machine, carrier, link


def connecting() -> tuple[ClientMachine, NumberedCarrier, FakeLink]:
    """A client's session whose open is out."""
    machine = ClientMachine(SMALL, Diary(), 0.0)
    link = FakeLink()
    carrier = NumberedCarrier(MESSAGES, link, 0.0)
    machine.start(carrier, 0.0)
    return machine, carrier, link
