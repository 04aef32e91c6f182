"""The vectors of packets (tests/vectors/events.json), and how they are read."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, cast

from realtime.protocols.layers.socketio import packets
from realtime.protocols.layers.socketio.packets import Packet

__all__ = ["TYPES", "VECTORS", "messages", "packet", "plain"]

FILE = Path(__file__).parents[3] / "vectors" / "events.json"
VECTORS = cast("list[dict[str, Any]]", json.loads(FILE.read_text("ascii")))
TYPES = {
    "connect": packets.CONNECT,
    "disconnect": packets.DISCONNECT,
    "event": packets.EVENT,
    "ack": packets.ACK,
    "connect_error": packets.CONNECT_ERROR,
}


def plain(value: Any) -> Any:
    """A value of the vectors, in which `{"base64": …}` are bytes."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        if list(value) == ["base64"]:
            return base64.b64decode(value["base64"])
        return {key: plain(item) for key, item in value.items()}
    return value


def messages(vector: dict[str, Any]) -> list[str | bytes]:
    """What is on the wire."""
    return [plain(message) for message in vector["messages"]]


def packet(vector: dict[str, Any]) -> Packet:
    """What it means."""
    means = vector["means"]
    return Packet(TYPES[means["type"]], means["namespace"], plain(means.get("data")), means.get("id"))
