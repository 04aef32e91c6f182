"""What a room has sent last, for members that read it: what is there, what has to be read, and how much is kept."""

from __future__ import annotations

from typing import Any

import pytest

from realtime.brokers.feed import MOST, MOST_SIZE, Feed, said
from realtime.brokers.messages import encoded
from realtime.core.frames import Outgoing
from realtime.core.rooms import Entry, Position


def at(offset: int, epoch: int = 1, id: str | None = None) -> Position:
    return Position(epoch, offset, f"p{offset}" if id is None else id)


def entry(offset: int, text: str = "x", skipped: frozenset[str] = frozenset(), epoch: int = 1) -> Entry:
    payload = encoded(Outgoing.message(text), skipped)
    return Entry(epoch, offset, f"p{offset}", f"p{offset - 1}", payload)


class Reader:
    """A member that reads, or one that is offered what comes."""

    id = "member"

    def __init__(self) -> None:
        self.told: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *what: self.told.append((name, *what))


def offsets(feed: Feed, position: Position, *, seen: bool = False) -> list[int] | None:
    found = feed.after(position, seen)
    return None if found is None else [one.position.offset for one in found]


def made(*offsets: int, start: int = 3) -> Feed:
    feed = Feed("r")
    feed.begins(at(start))
    for offset in offsets:
        feed.passes(said("r", entry(offset)))
    return feed


def test_nothing_is_known_before_the_room_is_followed() -> None:
    feed, reader = Feed("r"), Reader()
    feed.readers[reader] = None
    feed.passes(said("r", entry(4)))
    assert offsets(feed, at(3)) is None
    feed.begins(at(4))
    feed.begins(at(2))
    assert reader.told == [("_may_read", "r")]
    assert offsets(feed, at(4)) == []


def test_what_follows_a_position_that_was_there() -> None:
    feed = made(4, 5, 6)
    assert offsets(feed, at(3)) == [4, 5, 6]
    assert offsets(feed, at(5)) == [6]
    assert offsets(feed, at(6)) == []
    assert offsets(feed, at(2)) is None  # before what is kept
    assert offsets(feed, at(5, epoch=2)) is None
    assert offsets(feed, at(5, id="other")) is None
    assert offsets(feed, at(5, id="other"), seen=True) is None
    assert offsets(feed, at(5, id="")) is None  # which proves nothing
    assert offsets(feed, at(5, id=""), seen=True) == [6]
    assert offsets(feed, at(7)) is None  # it may never have been there
    assert offsets(feed, at(7), seen=True) == []  # read, and on its way here


def test_a_gap_begins_it_anew() -> None:
    feed = made(4, 5)
    feed.gap(at(9, epoch=2))
    assert offsets(feed, at(5)) is None
    feed.passes(said("r", entry(10, epoch=2)))
    assert offsets(feed, at(9, epoch=2)) == [10]


def test_it_is_bounded() -> None:
    feed = made(*range(4, 4 + MOST + 2))
    assert offsets(feed, at(4)) is None
    assert len(offsets(feed, at(5)) or ()) == MOST
    feed = made()
    for offset in range(4, 8):
        feed.passes(said("r", entry(offset, "x" * (MOST_SIZE // 2))))
    assert offsets(feed, at(5)) == [6, 7]
    feed.passes(said("r", entry(8, "x" * (2 * MOST_SIZE))))
    assert offsets(feed, at(7)) == [8]  # one of any size


def test_what_is_none_of_ours_is_for_nobody() -> None:
    passed = said("r", Entry(1, 4, "p4", "p3", b"nothing that we know"))
    assert (passed.position, passed.item, passed.skipped) == (at(4), None, frozenset())
    passed = said("r", entry(4, "text", frozenset(("a",))))
    assert passed.item is not None
    assert passed.item.data == "text"
    assert passed.skipped == frozenset(("a",))


@pytest.mark.parametrize("ours", [True, False])
def test_who_does_not_read_is_offered_it(ours: bool) -> None:
    feed, reader, other = made(), Reader(), Reader()
    feed.readers[reader] = None
    passed = said("r", entry(4, "text") if ours else Entry(1, 4, "p4", "p3", b"?"))
    feed.offer(passed, reader)
    feed.offer(passed, other)
    assert [name for name, *_ in reader.told] == ["_offer_position"]
    assert [name for name, *_ in other.told] == ["_offer"] * ours
