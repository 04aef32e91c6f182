"""Identities over a broker: names, what is told, and which closings are news."""

from __future__ import annotations

import json

import pytest

from realtime.core.errors import LocalProtocolError
from realtime.core.identities import (
    CLOSINGS,
    MOST_KNOWN,
    QUESTIONS,
    RESERVED,
    SKEW,
    Closing,
    Closings,
    Question,
    SessionInfo,
    answered,
    check_room,
    is_of_identity,
    room_of,
    sessions_in,
)
from realtime.core.lifecycle import State

ADA = Closing("worker-1", "ada", 4401, "out", 1000.5)


def test_the_servers_own_rooms_are_no_applications() -> None:
    for own in (CLOSINGS, QUESTIONS, room_of("ada"), RESERVED):
        with pytest.raises(LocalProtocolError, match="does not begin with a NUL"):
            check_room(own)
    for other in ("", "ada", "a\0", "identity/ada"):
        check_room(other)
    with pytest.raises(TypeError, match="a room is known by a str, not int"):
        check_room(5)
    assert [is_of_identity(room) for room in (room_of("ada"), CLOSINGS, QUESTIONS, "ada")] == [
        True,
        False,
        False,
        False,
    ]


def test_each_identity_has_a_room_of_its_own() -> None:
    identities = ["", "ada", "Ada", "ada ", "\0", "\ud800", "ä€\n", "x" * 100_000]
    rooms = [room_of(identity) for identity in identities]
    assert len(set(rooms)) == len(rooms)
    assert {len(room) for room in rooms} == {50}
    assert rooms == [room_of(identity) for identity in identities]


@pytest.mark.parametrize("identity", ["ada", "", "\ud800 \0", "ä€\n"])
def test_what_is_told_is_read_again(identity: str) -> None:
    closing = Closing("w-2", identity, 4002, 'bye "\n', 17.0, 0.5)
    assert closing.text.isascii()
    assert Closing.parse(closing.text) == closing
    question = Question("w-3", identity)
    assert Question.parse(question.text) == question
    sessions = [
        SessionInfo("abcd.x", "/chat", "w", "websocket", State.OPEN),
        SessionInfo("abcd.y", "/x", "w", "", State.DETACHED),
    ]
    assert sessions_in(answered(sessions), "w") == sessions


def test_what_a_later_version_adds_is_passed_over() -> None:
    closing, question = Closing("w-2", "ada", 4002, "bye", 17.0, 0.5), Question("w-3", "ada")
    assert Closing.parse(json.dumps([*closing, "more", None])) == closing
    assert Question.parse(json.dumps([*question, {"more": 1}])) == question
    told = SessionInfo("abcd.x", "/chat", "w", "websocket", State.OPEN)
    assert sessions_in('[["abcd.x","/chat","websocket","open","more"]]', "w") == [told]


NONSENSE = [
    "",
    "nonsense",
    b"\xff",
    "{}",
    "null",
    "[]",
    "[" * 100_000,
    '[1,"ada",4401,"out",1,0]',
    '["id",null,4401,"out",1,0]',
    '["id"]',
    '["id",1]',
]
NO_CLOSINGS = [
    '["id","ada",4401,"out"]',
    '["id","ada",4401,"out",1]',
    '["id","ada",4401,"out",1,"0",3]',
    '["id","ada",4401,"out",1,"2"]',
    '["id","ada",1006,"out",1,0]',
    '["id","ada","4401","out",1,0]',
]


@pytest.mark.parametrize("text", NONSENSE)
def test_what_is_none_of_ours_is_nothing(text: str | bytes) -> None:
    assert Closing.parse(text) is None
    assert Question.parse(text) is None


@pytest.mark.parametrize("text", NO_CLOSINGS)
def test_what_is_no_closing_is_nothing(text: str) -> None:
    assert Closing.parse(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '["x"]',
        '[["id","/x"]]',
        '[["id","/x",1,"open"]]',
        '[[1,"/x","sse","open"]]',
        '[["id","/x","sse","up"]]',
    ],
)
def test_an_answer_that_is_none_of_ours_is_nothing(text: str) -> None:
    assert sessions_in(text, "w") == []


def test_a_closing_counts_once_and_not_for_who_came_later() -> None:
    closings = Closings(1000.0)
    assert closings.concerns(ADA, 0.0)
    assert closings.missed(ADA)
    assert closings.ended(ADA.id) is None
    closings.done(ADA.id, 3)
    assert not closings.concerns(ADA, 0.0)
    assert not closings.missed(ADA)
    assert closings.ended(ADA.id) == 3
    assert closings.missed(ADA._replace(id="worker-2"))
    assert closings.missed(ADA._replace(id="worker-3", at=1000.0 - SKEW))
    assert not closings.missed(ADA._replace(id="worker-3", at=999.9 - SKEW))


def test_of_what_is_told_just_now_no_clock_has_to_be_right() -> None:
    closings = Closings(1000.0)
    assert closings.concerns(ADA._replace(at=-1e9), 5.0)
    assert closings.concerns(ADA._replace(at=1e9, age=5.0 + SKEW), 5.0)
    assert not closings.concerns(ADA._replace(age=5.1 + SKEW), 5.0)  # told again: it is older than the worker


def test_what_is_known_is_bounded() -> None:
    closings = Closings(0.0)
    for number in range(MOST_KNOWN + 1):
        closings.done(str(number), 0)
    assert closings.ended("0") is None
    assert closings.ended("1") == 0
