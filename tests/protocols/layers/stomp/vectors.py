"""tests/vectors/stomp.json, as Python has it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from realtime.protocols.layers.stomp.frames import Frame

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[3] / "vectors" / "stomp.json").read_text("ascii"))
assert len({vector["name"] for vector in VECTORS}) == len(VECTORS)


def some(**members: Any) -> pytest.MarkDecorator:
    """Parametrises a test with the vectors that have these members."""
    chosen = [one for one in VECTORS if all(one.get(name) == value for name, value in members.items())]
    assert chosen
    return pytest.mark.parametrize("vector", chosen, ids=lambda vector: str(vector["name"]))


def wire(vector: dict[str, Any]) -> bytes:
    """The bytes of a vector."""
    return base64.b64decode(vector["base64"]) if "base64" in vector else str(vector["frame"]).encode()


def frame(vector: dict[str, Any]) -> Frame:
    """What it means."""
    means = vector["means"]
    body = base64.b64decode(means["base64"]) if "base64" in means else means.get("body", "").encode()
    return Frame(means["command"], means["headers"], body)
