"""A member's place while it catches up: a snapshot, then what came meanwhile, without a gap or a repetition."""

from __future__ import annotations

from typing import Any

import pytest

from realtime.core.rooms import Entry, Position, Reading
from realtime.core.tail import Tail

from .test_follower import closing, entry, reading


class Member:
    """Writes down what the tail says."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    def read(self, after: Position | None, last: int) -> None:
        self.said.append(("read", after and after.offset, last))

    def retry(self) -> None:
        self.said.append(("retry",))

    def starts(self, position: Position, at: float) -> None:
        self.said.append(("starts", position.epoch, position.offset, at))

    def take(self, entry: Entry) -> None:
        self.said.append(("take", entry.offset))

    def gap(self, position: Position) -> None:
        self.said.append(("gap", position.epoch, position.offset))

    def gone(self, seen: int, above: int) -> None:
        self.said.append(("gone", seen, above))

    def told(self) -> list[tuple[Any, ...]]:
        said, self.said = self.said, []
        return said


def joining(history: bool = True, **settings: Any) -> tuple[Tail, Member]:
    member = Member()
    tail = Tail(history, member, **settings)
    tail.again()
    return tail, member


def test_the_last_messages_and_then_those_that_came_meanwhile() -> None:
    tail, member = joining(last=2)
    for offset in (4, 5, 6):
        tail.offer(entry(offset))
    assert member.told() == [("read", None, 2)]
    tail.answer(Reading(7, 5, "i5", entries=(entry(4), entry(5)), at=12.5))
    assert member.told() == [("starts", 7, 3, 12.5), ("take", 4), ("take", 5), ("take", 6)]
    tail.offer(entry(6))
    tail.offer(entry(7))
    assert member.told() == [("take", 7)]
    assert not tail.pending


def test_without_a_snapshot_it_starts_at_the_end() -> None:
    tail, member = joining()
    tail.answer(reading(5))
    tail.offer(entry(6))
    assert member.told() == [("read", None, 0), ("starts", 7, 5, 0.0), ("take", 6)]


def test_an_unanswered_reading_is_tried_again() -> None:
    tail, member = joining()
    tail.answer(None)
    assert member.told() == [("read", None, 0), ("retry",)]
    assert tail.pending


def test_long_histories_come_in_parts() -> None:
    tail, member = joining(last=3)
    tail.answer(reading(6, entry(4), more=True))
    assert member.told() == [("read", None, 3), ("starts", 7, 3, 0.0), ("take", 4), ("read", 4, 0)]
    tail.answer(reading(6, entry(5), entry(6)))
    assert member.told() == [("take", 5), ("take", 6)]


@pytest.mark.parametrize("cursor", [Position(7, 3, "i3"), Position(7, 3, "")])
def test_a_cursor_that_is_there(cursor: Position) -> None:
    tail, member = joining(cursor=cursor, last=50)
    tail.answer(reading(5, entry(4), entry(5)))
    assert member.told() == [("read", 3, 50), ("take", 4), ("take", 5)]


@pytest.mark.parametrize(
    ("cursor", "answer", "told"),
    [
        (Position(7, 3, "x"), reading(5, entry(4), entry(5)), [("gap", 7, 5)]),
        (Position(7, 9, "x"), reading(5), [("gap", 7, 5)]),
        (Position(9, 1, "x"), reading(5), [("gap", 7, 5)]),
        (Position(7, 1, "i1"), reading(5, entry(4), entry(5)), [("gap", 7, 3), ("take", 4), ("take", 5)]),
        (Position(7, 1, "i1"), reading(5), [("gap", 7, 5)]),
        (
            Position(6, 9, "x"),
            reading(5, entry(3), entry(4), entry(5), base=2, base_id="i2"),
            [("gap", 7, 2), ("take", 3), ("take", 4), ("take", 5)],
        ),
        (Position(6, 9, "x"), reading(5, entry(5), base=2, base_id="i2"), [("gap", 7, 4), ("take", 5)]),
        (Position(6, 9, "x"), reading(5, base=2, base_id="i2"), [("gap", 7, 2), ("gap", 7, 5)]),
    ],
    ids=[
        "another id",
        "ahead",
        "a later epoch",
        "too old",
        "expired",
        "an earlier epoch",
        "and trimmed",
        "and expired",
    ],
)
def test_a_cursor_that_is_not_there_is_told(cursor: Position, answer: Reading, told: list[tuple[Any, ...]]) -> None:
    tail, member = joining(cursor=cursor)
    member.told()
    tail.answer(answer)
    assert member.told() == told
    tail.offer(entry(6))
    assert member.told() == [("take", 6)]


def test_without_history_a_cursor_is_good_at_the_end_only() -> None:
    for cursor, told in ((Position(7, 5, "i5"), []), (Position(7, 4, "i4"), [("gap", 7, 5)])):
        tail, member = joining(history=False, cursor=cursor)
        member.told()
        tail.answer(reading(5, ids={4: "i4"}))
        assert member.told() == told


def test_what_is_held_is_bounded_and_read_again() -> None:
    tail, member = joining(max_held=2)
    for offset in (4, 5, 6, 7):
        tail.offer(entry(offset))
    tail.answer(reading(4))
    assert member.told() == [("read", None, 0), ("starts", 7, 4, 0.0), ("read", 4, 0)]
    tail.offer(entry(8))
    tail.answer(reading(7, entry(5), entry(6), entry(7)))
    assert member.told() == [("take", 5), ("take", 6), ("take", 7), ("take", 8)]


def test_a_gap_that_all_are_told_goes_on_at_its_position() -> None:
    tail, member = joining()
    tail.answer(reading(5))
    member.told()
    tail.offer(Position(7, 5, "i5"))
    tail.offer(Position(9, 2, "x"))
    tail.offer(entry(3, epoch=9))
    assert member.told() == [("gap", 9, 2), ("take", 3)]
    assert tail.position == Position(9, 3, "i3")


def test_what_does_not_follow_is_read() -> None:
    tail, member = joining()
    tail.answer(reading(5))
    member.told()
    tail.offer(entry(8))
    assert member.told() == [("read", 5, 0)]
    tail.answer(reading(8, entry(6), entry(7), entry(8)))
    assert member.told() == [("take", 6), ("take", 7), ("take", 8)]
    tail.offer(entry(9, epoch=9))
    assert member.told() == [("read", 8, 0)]


def test_without_history_what_does_not_follow_is_told() -> None:
    tail, member = joining(history=False)
    tail.answer(reading(5))
    member.told()
    tail.offer(entry(8))
    tail.offer(entry(9, epoch=9))
    assert member.told() == [("gap", 7, 7), ("take", 8), ("gap", 9, 8), ("take", 9)]


@pytest.mark.parametrize(
    ("answer", "gone"),
    [
        (reading(4), ("gone", 7, 7)),
        (reading(9, epoch=6), ("gone", 6, 7)),
        (reading(5, id="other"), ("gone", 7, 7)),
    ],
    ids=["lower", "an earlier epoch", "another message"],
)
def test_what_it_was_given_is_gone(answer: Reading, gone: tuple[Any, ...]) -> None:
    tail, member = joining()
    tail.answer(reading(5))
    tail.offer(entry(7))
    member.told()
    tail.answer(answer)
    assert member.told() == [gone]
    tail.again()
    tail.offer(entry(6))  # of before
    tail.answer(reading(4, epoch=9, base=4, base_id="j4"))
    assert member.told() == [("read", 5, 0), ("gap", 9, 4)]


# -- a room that is closed ---------------------------------------------------------------------------------------------


def test_who_catches_up_gets_what_was_sent_before_a_closing_and_leaves() -> None:
    tail, member = joining(last=2)
    tail.closed((7, 6))
    for item in (closing(6), entry(7)):
        tail.offer(item)
    assert not tail.leaves
    tail.answer(Reading(7, 5, "i5", entries=(entry(4), entry(5))))
    assert member.told() == [("read", None, 2), ("starts", 7, 3, 0.0), ("take", 4), ("take", 5), ("take", 6)]
    assert tail.leaves
    tail.offer(entry(8))
    assert member.told() == []


def test_the_first_of_two_closings_counts() -> None:
    tail, member = joining()
    tail.answer(reading(3))
    for offset in (4, 5):
        tail.closed((7, offset))
        tail.offer(closing(offset))
    assert member.told() == [("read", None, 0), ("starts", 7, 3, 0.0), ("take", 4)]
    assert tail.leaves


def test_who_has_read_behind_a_closing_stays() -> None:
    tail, member = joining()
    tail.closed((7, 6))  # heard before the answer
    tail.answer(reading(6))
    tail.offer(closing(6))
    tail.closed((7, 6))  # and behind it
    tail.offer(entry(7))
    assert not tail.leaves
    assert member.told() == [("read", None, 0), ("starts", 7, 6, 0.0), ("take", 7)]


def test_a_closing_in_a_gap() -> None:
    tail, member = joining()
    tail.answer(reading(3))
    tail.closed((7, 5))
    tail.offer(Position(7, 6, "i6"))
    assert tail.leaves
    assert member.told() == [("read", None, 0), ("starts", 7, 3, 0.0), ("gap", 7, 6)]
