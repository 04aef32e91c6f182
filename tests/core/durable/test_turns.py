"""What a handler does between two commits, and the data it keeps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from realtime.core.cursors import MAX_CURSORS
from realtime.core.durable.changes import Commit
from realtime.core.durable.record import Close
from realtime.core.durable.turns import Turn, serialised
from realtime.core.errors import LocalProtocolError, SendBufferFull
from realtime.core.rooms import Position

HERE = Position(1, 4, "p4")
OLD = Position(1, 1, "p1")


@pytest.mark.parametrize("data", [None, {"a": [1, 2.5, "ü", True, None], "b": {}}, [], "x", 0])
def test_data_are_json(data: Any) -> None:
    assert json.loads(serialised(data, 100)) == data


@pytest.mark.parametrize("data", [object(), {1, 2}, float("nan"), float("inf"), "\ud800", {"a": b"b"}])
def test_what_is_no_json_is_refused(data: Any) -> None:
    with pytest.raises(LocalProtocolError, match="has to be JSON, and is not"):
        serialised(data, 100)


def test_what_leads_into_itself_is_refused() -> None:
    data: list[Any] = []
    data.append(data)
    with pytest.raises(LocalProtocolError, match="and is not"):
        serialised(data, 100)


@pytest.mark.parametrize("data", [(1, 2), {1: "a"}, {"a": (1,)}])
def test_what_would_read_back_as_something_else_is_refused(data: Any) -> None:
    with pytest.raises(LocalProtocolError, match="reads back the same"):
        serialised(data, 100)


def test_data_are_bounded() -> None:
    assert serialised("x" * 8, 10) == '"xxxxxxxx"'
    with pytest.raises(LocalProtocolError, match="takes 11 characters as JSON, and at most 10"):
        serialised("x" * 9, 10)


def nested(depth: int) -> Any:
    data: Any = "x"
    for level in range(depth):
        data = [data] if level % 2 else {"a": data, "b": "[{"}
    return data


def test_data_of_a_class_that_raises_are_refused() -> None:
    class Lazy(dict[str, int]):
        def items(self) -> Any:
            raise KeyError("not yet")

    with pytest.raises(LocalProtocolError, match="has to be JSON, and is not: 'not yet'"):
        serialised({"a": Lazy(a=1)}, 100)


def test_data_are_not_nested_deeper_than_whoever_takes_over_can_read() -> None:
    """Which is never a matter of how much of the stack was left to the handler that has stored them."""
    whole: Any
    for whole in (nested(100), {"wide": [[]] * 1000}, "[" * 1000):
        assert json.loads(serialised(whole, 10_000)) == whole
    for depth in (101, 102, 500):
        with pytest.raises(LocalProtocolError, match="nested more than 100 deep"):
            serialised(nested(depth), 100_000)


def test_a_commit_has_all_that_was_done_and_the_next_one_only_what_is_new() -> None:
    turn = Turn(3, {"old": OLD}, 10, 100)
    assert turn.empty
    turn.send("a")
    turn.send(b"b")
    turn.publish("news", "p")
    turn.join("chat", HERE)
    turn.leave("old")
    assert not turn.empty
    assert turn.commit("1") == Commit("1", 3, False, ("a", b"b"), (("chat", HERE), ("old", None)), (("news", "p"),))
    assert turn.empty
    assert turn.commit("2", takes=True, close=Close(1000)) == Commit("2", 3, True, close=Close(1000))


def test_a_turn_is_bounded_and_raises() -> None:
    turn = Turn(1, {}, 2, 5)
    turn.send("123")
    with pytest.raises(SendBufferFull, match=r"1 messages \(3 bytes\) wait for the turn's commit; call session.commit"):
        turn.send("456")
    turn.publish("r", "45")
    with pytest.raises(SendBufferFull):
        turn.send("")
    turn.commit("0")
    turn.send("12345")


def test_a_larger_message_is_taken_alone() -> None:
    """As ordinary sessions do (max_outbox_size)."""
    turn = Turn(1, {}, 3, 5)
    turn.send("123456")
    with pytest.raises(SendBufferFull):
        turn.send("")
    turn.commit("0")
    turn.publish("r", b"1234567")
    turn.commit("0")
    turn.send("")
    with pytest.raises(SendBufferFull):
        turn.send("123456")


def test_a_session_is_in_no_more_rooms_than_its_client_has_cursors_for() -> None:
    turn = Turn(1, {f"r{index}": OLD for index in range(MAX_CURSORS)}, 10, 100)
    turn.join("r0", HERE)
    with pytest.raises(LocalProtocolError, match="64 rooms at most"):
        turn.join("one more", HERE)
    turn.leave("r1")
    turn.join("one more", HERE)


def test_what_is_joined_and_left_within_a_turn_leaves_nothing() -> None:
    turn = Turn(1, {"in": OLD}, 10, 100)
    for number in range(100):
        turn.join(f"r{number}", HERE)
        assert f"r{number}" in turn
        turn.leave(f"r{number}")
    turn.leave("never")
    assert turn.empty
    turn.join("new", HERE)
    turn.commit("1")
    turn.leave("new")
    assert turn.commit("2").joins == (("new", None),)
    assert "new" not in turn


def test_a_room_that_was_closed_is_left_by_who_had_joined_before() -> None:
    turn = Turn(1, {"old": OLD, "late": OLD}, 10, 100)
    turn.join("here", Position(1, 3, "x"))
    turn.join("late", Position(1, 9, "y"))
    for room in ("old", "late", "here", "none"):
        turn.closed(room, (1, 5))
    assert [room in turn for room in ("old", "late", "here")] == [False, True, False]
    assert turn.commit("1").joins == (("late", Position(1, 9, "y")), ("old", None))


def test_what_is_said_in_rooms_is_committed_with_their_joins() -> None:
    turn = Turn(1, {"in": OLD}, 10, 100)
    turn.tell("in", "{1}")
    assert not turn.empty
    turn.join("new", HERE)
    turn.tell("new", "{2}")
    turn.join("other", HERE)
    turn.tell("other", "{3}")
    turn.leave("other")
    assert turn.commit("1").infos == (("in", "{1}"), ("new", "{2}"))
    assert turn.empty


def test_a_commit_changes_the_rooms_that_the_session_is_in() -> None:
    rooms = {"in": OLD, "out": OLD}
    turn = Turn(1, rooms, 10, 100)
    turn.leave("out")
    turn.join("in", HERE)
    turn.join("new", HERE)
    assert rooms == {"in": OLD, "out": OLD}
    turn.commit("1")
    assert rooms == {"in": HERE, "new": HERE}


def test_what_another_task_joins_and_leaves_overtakes_the_turn() -> None:
    rooms = {"left": OLD, "in": OLD}
    turn = Turn(1, rooms, 10, 100)
    turn.leave("left")
    turn.join("joined", HERE)
    turn.tell("joined", "{1}")
    turn.tell("in", "{2}")
    assert [turn.overtaken(room) for room in ("left", "joined", "in", "none")] == [None, HERE, None, None]
    assert turn.empty
    assert [room in turn for room in ("left", "joined", "in")] == [True, False, True]
    rooms["joined"] = HERE  # it was joined by the other task
    del rooms["in"]
    assert [room in turn for room in ("left", "joined", "in")] == [True, True, False]
    turn.leave("joined")
    assert turn.commit("1").joins == (("joined", None),)
    assert rooms == {"left": OLD}
