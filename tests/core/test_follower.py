"""One room as a worker follows it: what is delivered, held, told as lost, and when the store went back."""

from __future__ import annotations

from typing import Any

import pytest

from realtime.core.follower import RECENT, Follower
from realtime.core.rooms import CLOSING, Entry, Position, Reading


class Owner:
    """Writes down what the follower asks for."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    def read(self, after: Position | None, known: Position | None) -> None:
        self.said.append(("read", after and after.offset, known and known.offset))

    def raise_epoch(self, seen: int, above: int) -> None:
        self.said.append(("raise", seen, above))

    def retry(self) -> None:
        self.said.append(("retry",))

    def deliver(self, entry: Entry) -> None:
        self.said.append(("deliver", entry.epoch, entry.offset))

    def gap(self, position: Position, lost: int | None) -> None:
        self.said.append(("gap", position.epoch, position.offset, lost))

    def closed(self, at: tuple[int, int]) -> None:
        self.said.append(("closed", *at))

    def ready(self) -> None:
        self.said.append(("ready",))

    def told(self) -> list[tuple[Any, ...]]:
        """What was said since the last time."""
        said, self.said = self.said, []
        return said


def entry(offset: int, *, epoch: int = 7, id: str = "", previous: str | None = None, payload: bytes = b"") -> Entry:
    before = f"i{offset - 1}" if offset > 1 else ""
    return Entry(epoch, offset, id or f"i{offset}", before if previous is None else previous, payload)


def reading(top: int, *entries: Entry, epoch: int = 7, **more: Any) -> Reading:
    return Reading(epoch, top, more.pop("id", f"i{top}" if top else ""), entries=entries, **more)


def following(top: int = 3, *, history: bool = True, **settings: Any) -> tuple[Follower, Owner]:
    """A follower that is live at so many messages."""
    owner = Owner()
    follower = Follower(history, owner, **settings)
    follower.subscribed()
    follower.answer(reading(top), 0.0)
    assert owner.told() == [("read", None, None), ("ready",)]
    return follower, owner


# -- the ordinary course -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("history", [True, False])
def test_it_begins_at_the_end_and_delivers_in_order(history: bool) -> None:
    follower, owner = following(history=history)
    assert follower.position == Position(7, 3, "i3")
    for offset in (4, 5, 5, 4, 6):  # some come twice
        follower.message(entry(offset))
    assert owner.told() == [("deliver", 7, 4), ("deliver", 7, 5), ("deliver", 7, 6)]


def test_what_comes_before_the_first_comparison_waits() -> None:
    owner = Owner()
    follower = Follower(True, owner)
    follower.subscribed()
    follower.message(entry(4))
    assert not follower.live
    follower.missed()  # while it is read
    follower.answer(reading(3), 0.0)
    assert owner.told() == [("read", None, None), ("deliver", 7, 4), ("ready",), ("read", 4, 4)]


def test_after_a_lost_subscription_all_is_held_until_it_is_compared() -> None:
    follower, owner = following()
    follower.unsubscribed()
    follower.subscribed()
    follower.message(entry(4))
    assert owner.told() == [("read", 3, 3)]
    follower.answer(reading(3, ids={3: "i3"}), 0.0)
    assert owner.told() == [("deliver", 7, 4), ("ready",)]


def test_what_is_held_is_bounded_and_read_again() -> None:
    follower, owner = following(max_held=2, max_held_size=10)
    follower.unsubscribed()
    follower.subscribed()
    follower.message(entry(4, payload=b"x" * 10))
    follower.message(entry(5, payload=b"x"))
    follower.message(entry(6, payload=b"x"))
    follower.answer(reading(3), 0.0)
    assert owner.told() == [("read", 3, 3), ("deliver", 7, 4), ("ready",), ("read", 4, 4)]
    follower.answer(reading(6, entry(5), entry(6)), 0.0)
    assert owner.told() == [("deliver", 7, 5), ("deliver", 7, 6), ("ready",)]


def test_an_unanswered_reading_is_tried_again() -> None:
    follower, owner = following()
    follower.missed()
    follower.answer(None, 0.0)
    assert owner.told() == [("read", 3, 3), ("retry",)]


def test_what_comes_while_it_is_read_is_not_delivered_again() -> None:
    follower, owner = following()
    follower.missed()
    follower.message(entry(4))
    follower.answer(reading(4, entry(4)), 0.0)
    assert owner.told() == [("read", 3, 3), ("deliver", 7, 4), ("ready",)]


# -- gaps --------------------------------------------------------------------------------------------------------------


def test_what_is_missing_is_read_and_what_is_behind_it_waits() -> None:
    follower, owner = following()
    follower.message(entry(5))
    follower.message(entry(6))
    assert owner.told() == [("read", 3, 3)]
    follower.answer(reading(5, entry(4), entry(5)), 0.0)  # made before 6
    assert owner.told() == [("deliver", 7, 4), ("deliver", 7, 5), ("deliver", 7, 6), ("ready",)]


def test_long_gaps_are_read_in_parts() -> None:
    follower, owner = following()
    follower.message(entry(6))
    follower.answer(reading(6, entry(4), more=True), 0.0)
    assert owner.told() == [("read", 3, 3), ("deliver", 7, 4), ("read", 4, 4), ("ready",)]
    follower.answer(reading(6, entry(5), entry(6)), 0.0)
    assert owner.told() == [("deliver", 7, 5), ("deliver", 7, 6), ("ready",)]


def test_what_is_not_kept_any_more_is_told() -> None:
    follower, owner = following()
    follower.message(entry(9))
    follower.answer(reading(9, entry(8), entry(9)), 0.0)
    assert owner.told() == [("read", 3, 3), ("gap", 7, 7, 4), ("deliver", 7, 8), ("deliver", 7, 9), ("ready",)]
    follower.unsubscribed()
    follower.subscribed()
    follower.answer(reading(12), 0.0)  # the whole stream has expired
    assert owner.told() == [("read", 9, 9), ("gap", 7, 12, 3), ("ready",)]


def test_a_history_that_is_outrun_by_what_is_on_its_way_is_no_gap() -> None:
    """The subscription stands: what is not read any more comes by it. Else a busy room would lose what it has."""
    follower, owner = following()
    follower.compare()
    follower.answer(reading(9, entry(8), entry(9)), 1.0)
    for offset in range(4, 10):
        follower.message(entry(offset))
    follower.compare()
    follower.answer(reading(12, entry(12)), 5.0)
    assert owner.told() == [
        ("read", 3, 3), ("ready",), *(("deliver", 7, offset) for offset in range(4, 10)), ("read", 9, 9), ("ready",)
    ]  # fmt: skip


def test_a_history_that_is_outrun_by_what_does_not_come_is_a_gap_later() -> None:
    follower, owner = following()
    for now in (1.0, 2.0, 4.0):
        follower.compare()
        follower.answer(reading(9, entry(8), entry(9)), now)
    read = [("read", 3, 3), ("ready",)]
    told = [("gap", 7, 7, 4), ("deliver", 7, 8), ("deliver", 7, 9), ("ready",)]
    assert owner.told() == [*read, *read, ("read", 3, 3), *told]
    follower.missed()
    follower.answer(reading(20), 5.0)
    follower.compare()
    follower.answer(reading(2, epoch=9), 6.0)
    follower.compare()
    follower.answer(reading(30, epoch=9), 20.0)  # a suspicion of another epoch is none of this
    assert ("gap", 9, 30, 28) not in owner.told()


def test_without_history_a_gap_is_told_at_once() -> None:
    follower, owner = following(history=False)
    follower.message(entry(6))
    follower.message(entry(8, epoch=9))
    assert owner.told() == [("gap", 7, 5, 2), ("deliver", 7, 6), ("gap", 9, 7, None), ("deliver", 9, 8)]


def test_without_history_a_top_is_a_loss_if_it_is_missing_still() -> None:
    follower, owner = following(history=False, patience=2.0)
    follower.missed()
    follower.answer(reading(5), 10.0)
    follower.missed()
    follower.answer(reading(6), 11.0)
    assert owner.told() == [("read", 3, 3), ("ready",)] * 2  # it may be on its way
    follower.missed()
    follower.answer(reading(7), 12.0)
    assert owner.told() == [("read", 3, 3), ("gap", 7, 5, 2), ("ready",)]
    follower.missed()
    follower.answer(reading(7), 14.0)
    assert owner.told() == [("read", 5, 5), ("gap", 7, 7, 2), ("ready",)]
    follower.missed()
    follower.answer(reading(7), 20.0)
    assert owner.told() == [("read", 7, 7), ("ready",)]


def test_without_history_a_top_that_came_late_is_no_loss() -> None:
    follower, owner = following(history=False, patience=2.0)
    follower.missed()
    follower.answer(reading(4), 10.0)
    follower.message(entry(4))
    follower.missed()
    follower.answer(reading(5), 13.0)
    assert owner.told() == [("read", 3, 3), ("ready",), ("deliver", 7, 4), ("read", 4, 4), ("ready",)]
    follower.message(entry(5))
    assert owner.told() == [("deliver", 7, 5)]


# -- a store that goes back --------------------------------------------------------------------------------------------


def test_a_message_that_names_another_predecessor() -> None:
    follower, owner = following()
    follower.message(entry(4, previous="other"))
    follower.message(entry(5))
    assert owner.told() == [("raise", 7, 7)]
    follower.raised(True)
    new = reading(5, entry(5, epoch=9), epoch=9, base=4, base_id="i4")
    follower.answer(new, 0.0)
    # What was held is of the epoch before: compared once more, to be sure.
    assert owner.told() == [("read", 3, 3), ("gap", 9, 4, None), ("deliver", 9, 5), ("read", 5, 5), ("ready",)]
    assert follower.position == Position(9, 5, "i5")


def test_a_raise_that_is_not_answered_is_tried_again() -> None:
    follower, owner = following()
    follower.raised(False)
    assert owner.told() == [("retry",)]


@pytest.mark.parametrize(
    "found",
    [
        reading(2),
        reading(9, epoch=6),
        reading(3, id="other"),
        reading(5, entry(4, previous="other"), entry(5)),
        reading(9, ids={3: "other"}),
    ],
    ids=["lower", "an earlier epoch", "another at the top", "another before the next", "another, asked for"],
)
def test_a_store_that_knows_less_or_something_else(found: Reading) -> None:
    follower, owner = following()
    follower.missed()
    follower.answer(found, 0.0)
    assert owner.told() == [("read", 3, 3), ("raise", found.epoch, 7)]
    assert follower.position == Position(7, 3, "i3")


def test_what_was_only_told_of_is_compared_too() -> None:
    follower, owner = following()
    follower.learn(Position(7, 5, "mine"))
    follower.learn(Position(7, 4, "i4"))
    follower.missed()
    follower.answer(reading(6, entry(4), entry(5), entry(6)), 0.0)
    assert owner.told() == [("read", 3, 5), ("raise", 7, 7)]


def test_another_message_at_an_offset_that_was_heard() -> None:
    follower, owner = following()
    follower.message(entry(4))
    follower.message(entry(4, id="other"))
    follower.message(entry(9, epoch=6))
    assert owner.told() == [("deliver", 7, 4), ("read", 4, 4)]


def test_ids_of_long_ago_are_not_kept() -> None:
    follower, owner = following(0)
    for offset in range(1, RECENT + 3):
        follower.message(entry(offset))
    owner.told()
    follower.message(entry(2))
    assert owner.told() == [("read", RECENT + 2, RECENT + 2)]


def test_a_new_epoch_goes_on_above_its_base() -> None:
    follower, owner = following()
    follower.missed()
    follower.answer(reading(6, entry(5, epoch=9), entry(6, epoch=9), epoch=9, base=2, base_id="i2"), 0.0)
    # 3 and 4 of the new epoch are not kept any more
    assert owner.told() == [
        ("read", 3, 3), ("gap", 9, 4, None), ("deliver", 9, 5), ("deliver", 9, 6), ("ready",),
    ]  # fmt: skip


def test_a_new_epoch_without_history_goes_on_at_its_end() -> None:
    follower, owner = following(history=False)
    follower.missed()
    follower.answer(reading(6, epoch=9, base=2), 0.0)
    assert owner.told() == [("read", 3, 3), ("gap", 9, 6, None), ("ready",)]


def test_a_message_of_a_new_epoch_waits_for_what_is_before_it() -> None:
    follower, owner = following()
    follower.message(entry(5, epoch=9))
    assert owner.told() == [("read", 3, 3)]
    follower.answer(reading(5, entry(4, epoch=9), entry(5, epoch=9), epoch=9, base=3, base_id="i3"), 0.0)
    assert owner.told() == [
        ("gap", 9, 3, None), ("deliver", 9, 4), ("deliver", 9, 5), ("ready",),
    ]  # fmt: skip


def test_a_reading_from_before_the_epoch_was_raised_says_nothing() -> None:
    follower, owner = following(history=False)
    follower.missed()
    follower.message(entry(8, epoch=9))
    follower.answer(reading(5), 0.0)
    assert owner.told() == [("read", 3, 3), ("gap", 9, 7, None), ("deliver", 9, 8), ("ready",)]
    assert follower.position == Position(9, 8, "i8")


def test_a_suspicion_of_another_epoch_is_none() -> None:
    follower, owner = following(history=False, patience=2.0)
    follower.missed()
    follower.answer(reading(5), 10.0)
    owner.told()
    follower.message(entry(4, epoch=9))
    follower.missed()
    follower.answer(reading(5, epoch=9), 20.0)
    assert owner.told() == [("gap", 9, 3, None), ("deliver", 9, 4), ("read", 4, 4), ("ready",)]


# -- a room that is closed ---------------------------------------------------------------------------------------------


def closing(offset: int, **more: Any) -> Entry:
    return entry(offset, payload=CLOSING, **more)


def test_a_closing_is_delivered_in_its_order_and_known() -> None:
    follower, owner = following()
    follower.message(closing(4))
    follower.message(entry(5))
    assert owner.told() == [("deliver", 7, 4), ("deliver", 7, 5)]
    assert follower.closed == (7, 4)
    follower.compare()
    follower.answer(reading(5, closed=(7, 4)), 1.0)
    assert owner.told() == [("read", 5, 5), ("ready",)]


def test_a_closing_of_before_it_began_is_none() -> None:
    owner = Owner()
    follower = Follower(True, owner)
    follower.subscribed()
    follower.answer(reading(5, closed=(7, 2)), 0.0)
    assert owner.told() == [("read", None, None), ("ready",)]
    follower.message(entry(6))
    assert owner.told() == [("deliver", 7, 6)]


def test_a_closing_that_is_not_kept_any_more_is_behind_its_gap_and_before_what_follows() -> None:
    follower, owner = following()
    follower.unsubscribed()
    follower.subscribed()
    follower.answer(reading(9, entry(8), entry(9), closed=(7, 6)), 1.0)
    assert owner.told() == [
        ("read", 3, 3), ("gap", 7, 7, 4), ("closed", 7, 6), ("deliver", 7, 8), ("deliver", 7, 9), ("ready",)
    ]  # fmt: skip


def test_a_closing_in_a_gap_without_history_is_told_with_the_next_comparison() -> None:
    follower, owner = following(history=False)
    follower.message(entry(6))
    assert owner.told() == [("gap", 7, 5, 2), ("deliver", 7, 6)]
    follower.compare()
    follower.answer(reading(6, closed=(7, 5)), 1.0)
    follower.compare()
    follower.answer(reading(6, closed=(7, 5)), 1.0)
    assert owner.told() == [("read", 6, 6), ("closed", 7, 5), ("ready",), ("read", 6, 6), ("ready",)]


def test_a_last_closing_that_was_lost_without_history_is_told_with_its_gap() -> None:
    follower, owner = following(history=False)
    for now in (1.0, 2.0, 4.0):
        follower.compare()
        follower.answer(reading(4, closed=(7, 4)), now)
    assert owner.told() == [
        ("read", 3, 3), ("ready",), ("read", 3, 3), ("ready",),
        ("read", 3, 3), ("gap", 7, 4, 1), ("closed", 7, 4), ("ready",),
    ]  # fmt: skip


def test_a_closing_of_a_higher_epoch() -> None:
    follower, owner = following()
    follower.subscribed()
    follower.answer(reading(5, entry(5, epoch=9), epoch=9, base=3, base_id="i3", closed=(9, 4)), 1.0)
    assert owner.told() == [("read", 3, 3), ("gap", 9, 4, None), ("closed", 9, 4), ("deliver", 9, 5), ("ready",)]


def test_what_an_earlier_subscription_brought_is_read_and_not_believed() -> None:
    """The store may have taken it back; who has heard it elsewhere would hear it twice."""
    for history, told in ((True, []), (False, [("deliver", 7, 4)])):
        follower, owner = following(history=history)
        follower.unsubscribed()
        follower.message(entry(4))
        follower.subscribed()
        follower.answer(reading(3), 1.0)
        assert owner.told() == [("read", 3, 3), *told, ("ready",)]
