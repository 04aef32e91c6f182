"""What a client may have missed, and how it goes on there: by the vectors of tests/vectors/recovery.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from realtime.core.frames import Group
from realtime.protocols.layers.socketio.recovery import Sent, ends_with_text, wish, with_offset

FILE = Path(__file__).parents[3] / "vectors" / "recovery.json"
VECTORS = cast("list[dict[str, Any]]", json.loads(FILE.read_text("ascii")))


def of(member: str) -> pytest.MarkDecorator:
    """The vectors that have this member."""
    some = [vector for vector in VECTORS if member in vector]
    assert some
    return pytest.mark.parametrize("vector", some, ids=lambda vector: str(vector["name"]))


def test_each_has_a_name() -> None:
    assert len({vector["name"] for vector in VECTORS}) == len(VECTORS)


@of("text")
def test_offsets(vector: dict[str, Any]) -> None:
    assert with_offset(vector["text"], vector["offset"]) == vector["with"]
    assert ends_with_text(vector["text"]) == vector.get("taken", False)
    assert ends_with_text(vector["with"])


@of("auth")
def test_wishes(vector: dict[str, Any]) -> None:
    auth = dict(vector["auth"])
    asked = wish(auth)
    assert (None if asked is None else asked._asdict()) == vector["means"]
    assert auth == vector["rest"]
    if asked is not None:
        assert wish(auth | asked.said) == asked


@of("missed")
def test_what_was_missed(vector: dict[str, Any]) -> None:
    sent = Sent("start", vector["max_events"], vector["max_size"])
    for offset, size in vector["sent"]:
        sent.add(offset, Group("x" * size))
    assert sent.last == (vector["sent"][-1][0] if vector["sent"] else "start")
    assert sent.size <= vector["max_size"]
    assert sent.end == len(vector["sent"])
    number = sent.behind(vector["has"])
    missed = None if number is None else [sent.at(one) for one in range(number, sent.end)]
    assert (None if missed is None else [one and one.offset for one in missed]) == vector["missed"]


def test_what_is_not_kept_any_more_is_nowhere() -> None:
    sent = Sent("start", 1, 10)
    sent.add("a", Group("1"))
    sent.add("b", Group("2"))
    assert sent.first == 1
    assert sent.at(0) is None
    kept = sent.at(1)
    assert kept is not None
    assert (kept.offset, kept.group.data) == ("b", "2")
