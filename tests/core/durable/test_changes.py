"""What writes change, one by one."""

from __future__ import annotations

import pytest

from realtime.core.durable.changes import (
    Attempt,
    Change,
    Commit,
    Context,
    Ended,
    HandedOver,
    Joins,
    Published,
    Publishes,
    PutOut,
    Renewed,
    Sends,
    Touch,
    discarded,
)
from realtime.core.durable.record import Close, Publish, Record, Stage, Tenure
from realtime.core.frames import Dropped
from realtime.core.rooms import Position

LIVE = Record("i2", "w1", (Tenure("t1"),), begun=True, received=2, inbox=("u1", "u2"), data="1", attempts=2, starts=1)
HERE = Position(1, 4, "p4")


def applied(record: Record, *changes: Change, floor: int = 0, most: int | None = None) -> Record:
    for change in changes:
        record = change.apply(record, Context(floor, most))
    return record


def test_a_turn_is_stored_at_once() -> None:
    commit = Commit("2", 1, True, ("a", b"b"), (("chat", HERE),), (("news", "p"),))
    record = applied(LIVE, commit)
    assert (record.taken, record.inbox, record.data, record.attempts) == (1, ("u2",), "2", 0)
    assert (record.sent, record.outbox) == (2, ("a", b"b"))
    assert record.rooms == (("chat", HERE),)
    assert record.publishes == (Publish("i2-0", "news", "p"),)
    assert not record.redelivered


def test_a_commit_within_a_turn_leaves_its_message() -> None:
    record = applied(LIVE, Commit("2", 1, False, ("a",)))
    assert (record.taken, record.inbox, record.redelivered, record.attempts) == (0, ("u1", "u2"), True, 2)
    assert applied(record, Commit("2", 1, True)).redelivered is False


def test_what_precedes_the_first_message_is_a_turn_of_its_own() -> None:
    record = applied(LIVE._replace(begun=False), Commit("0", 0))
    assert (record.begun, record.starts, record.redelivered, record.taken) == (True, 0, False, 0)
    assert record.attempts == 2  # of the message, which is still to come


def test_rooms_are_joined_and_left() -> None:
    record = applied(LIVE, Commit("1", 1, False, joins=(("a", HERE), ("b", HERE))))
    again = Position(1, 9, "p9")
    record = applied(record, Commit("1", 1, False, joins=(("a", None), ("b", again), ("c", None))))
    assert record.rooms == (("b", again),)


def test_publishes_of_one_write_have_names_of_their_own() -> None:
    one = Commit("1", 1, False, publishes=(("r", "x"), ("r", "y")))
    record = applied(
        LIVE._replace(publishes=(Publish("i1-0", "r", "old"),)), one, Commit("1", 1, True, publishes=(("r", "z"),))
    )
    assert [publish.id for publish in record.publishes] == ["i1-0", "i2-0", "i2-1", "i2-2"]
    beside = applied(record, Publishes((("r", "beside"), ("r", b"b")))).publishes[len(record.publishes) :]
    assert [one[1:] for one in beside] == [("r", "beside"), ("r", b"b")]
    assert (
        len({one.id for one in applied(record, Publishes((("r", "beside"),))).publishes}) == len(record.publishes) + 1
    )
    assert [publish.id for publish in applied(record, Published(frozenset({"i2-0", "i1-0"}))).publishes] == [
        "i2-1",
        "i2-2",
    ]


def test_only_a_handlers_commits_bring_its_state() -> None:
    record = applied(LIVE, Sends(("a",)), Touch(), Published(frozenset()))
    assert record == LIVE._replace(sent=1, outbox=("a",))


def test_a_handler_that_returns_closes_its_stream_and_wants_nothing_more() -> None:
    record = applied(LIVE, Commit("2", 1, True, ("bye",), close=Close(1000)))
    assert (record.stage, record.end, record.outbox, record.sent) == (
        Stage.CLOSING,
        Close(1000),
        ("bye", Close(1000)),
        2,
    )
    assert (record.taken, record.inbox) == (2, ())
    assert applied(record, Sends(("late",))) == record
    closed = record._replace(received=3, closed=Close(1001))
    assert discarded(closed).taken == 2


def test_nothing_numbered_follows_a_close() -> None:
    closed = LIVE._replace(closed=Close(1000))
    assert applied(closed, Commit("2", 1, True, ("a",))).sent == 0


def test_an_attempt_is_counted_for_the_message_or_for_the_beginning() -> None:
    assert applied(LIVE, Attempt(1)) == LIVE._replace(attempts=3)
    assert applied(LIVE, Attempt(0)) == LIVE._replace(starts=2)


def test_an_end_is_final_and_keeps_only_what_is_to_be_published() -> None:
    full = LIVE._replace(sent=1, outbox=("a",), rooms=(("chat", HERE),), publishes=(Publish("i1-0", "r", "x"),))
    record = applied(full, Ended(Close(1011, "why")), Ended(Close(1000)), Commit("9", 1, True, ("b",)), Sends(("c",)))
    assert (record.stage, record.end, record.publishes) == (Stage.ENDED, Close(1011, "why"), full.publishes)
    assert (record.outbox, record.inbox, record.rooms, record.data, record.sent) == ((), (), (), "1", 1)


def test_it_is_handed_over_to_anybody() -> None:
    assert applied(LIVE, HandedOver()).owner == ""


@pytest.mark.parametrize(
    ("outbox", "floor", "sends", "expected"),
    [
        (("a",), 0, ("b",), ("a", "b")),  # there is room
        (("a", "b"), 0, ("c", "d"), ("a", "b", Dropped(2))),  # there is none
        (("a",), 0, ("b", "c"), ("a", "b", Dropped(1))),  # for one of two
        (("a", Dropped(2)), 1, ("c",), ("a", Dropped(3))),  # nobody can have read the note
        (("a", Dropped(2)), 2, ("c",), ("a", Dropped(2), Dropped(1))),  # somebody may have
        ((), 0, (), ()),
    ],
)
def test_what_finds_no_room_is_dropped(
    outbox: tuple[str | Dropped, ...], floor: int, sends: tuple[str, ...], expected: tuple[str | Dropped, ...]
) -> None:
    record = applied(LIVE._replace(sent=len(outbox), outbox=outbox), Sends(sends), floor=floor, most=2)
    assert (record.outbox, record.sent) == (expected, len(expected))


def test_a_note_can_be_the_first_and_a_close_is_never_dropped() -> None:
    record = applied(LIVE, Sends(("a",)), most=0)
    assert record.outbox == (Dropped(1),)
    record = applied(record, Commit("1", 1, True, ("b",), close=Close(1000)), floor=1, most=1)
    assert record.outbox == (Dropped(1), Dropped(1), Close(1000))


def test_what_is_done_between_two_messages_takes_none() -> None:
    """A handler that gave up its receive() sends something, and counts on."""
    record = applied(LIVE, Commit("2", None, False, ("a",)))
    assert (record.data, record.taken, record.inbox, record.redelivered) == ("2", LIVE.taken, LIVE.inbox, False)
    assert record.outbox[-1:] == ("a",)


def test_fresh_auth_data_replace_those_of_the_opening() -> None:
    assert applied(LIVE, Renewed('{"auth":"new"}')) == LIVE._replace(opening='{"auth":"new"}')


def test_a_room_that_was_closed_loses_who_had_joined_before() -> None:
    rooms = (("a", Position(1, 3, "x")), ("b", Position(1, 3, "y")))
    record = LIVE._replace(rooms=rooms)
    assert applied(record, PutOut("a", (1, 4))).rooms == rooms[1:]
    assert applied(record, PutOut("a", (1, 3))).rooms == rooms
    assert applied(record, PutOut("c", (1, 9))).rooms == rooms


def test_what_a_session_says_of_itself_goes_with_its_rooms() -> None:
    here = Position(1, 3, "x")
    record = applied(LIVE, Commit("1", 1, joins=(("a", here), ("b", here)), infos=(("a", "{1}"), ("b", "{2}"))))
    assert record.infos == (("a", "{1}"), ("b", "{2}"))
    record = applied(record, Commit("1", 1, joins=(("b", None),), infos=(("a", "{3}"), ("c", "{4}"))))
    assert (record.rooms, record.infos) == ((("a", here),), (("a", "{3}"),))
    assert applied(record, Commit("1", 1, infos=(("a", ""),))).infos == ()
    assert applied(record, PutOut("a", (1, 4))).infos == ()
    assert applied(record, Ended(Close(1000))).infos == ()


def test_cursors_of_earlier_sessions_are_kept_until_their_rooms_are_joined() -> None:
    here, cursors = Position(1, 3, "x"), (("a", "1.1.x"), ("b", "1.2.y"))
    record = LIVE._replace(cursors=cursors)
    assert applied(record, Commit("1", 1, joins=(("c", here), ("b", None)))).cursors == cursors
    assert applied(record, Commit("1", 1, joins=(("a", here),))).cursors == cursors[1:]
    assert applied(record, Ended(Close(1000))).cursors == ()


def test_another_task_joins_and_leaves() -> None:
    """It changes nothing of the turn that is under way."""
    record = LIVE._replace(rooms=(("b", HERE),), infos=(("b", "{1}"),), cursors=(("a", "1.1.x"),))
    moved = applied(record, Joins((("a", HERE), ("b", None)), (("a", "{2}"), ("b", "{3}"))))
    assert moved == record._replace(rooms=(("a", HERE),), infos=(("a", "{2}"),), cursors=())
    for stage in (Stage.CLOSING, Stage.ENDED):
        over = LIVE._replace(stage=stage)
        assert applied(over, Joins((("a", HERE),))) == over
