"""What one carrier is told of a durable session's rooms: where they begin, what follows, and how much of it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from realtime.core.cursors import MAX_CURSORS
from realtime.core.durable.room_outbox import Passed, RoomOutbox, Told
from realtime.core.durable.rooms import MAX_NOTES
from realtime.core.frames import Group, Outgoing, RoomItem, RoomNote, Window
from realtime.core.rooms import Entry, Position, Reading

SID = "d.s"
WINDOW = Window(8, 100)


def at(offset: int, epoch: int = 1, id: str | None = None) -> Position:
    return Position(epoch, offset, f"p{offset}" if id is None else id)


def passed(
    offset: int, text: str | None = None, *, room: str = "r", skipped: Iterable[str] = (), epoch: int = 1
) -> Passed:
    item = None if text is None else RoomItem(room, at(offset, epoch).cursor, Outgoing.message(text))
    return Passed(at(offset, epoch), item, frozenset(skipped))


def entry(offset: int, text: str = "", epoch: int = 1) -> Entry:
    return Entry(epoch, offset, f"p{offset}", f"p{offset - 1}", text.encode())


class Rooms:
    """What rooms have: of each what has passed from an offset on. Of others, and of what is before, one has to read."""

    def __init__(self) -> None:
        self.has: dict[str, tuple[int, list[Passed]]] = {}
        self.asked: list[tuple[int, str, Position]] = []
        self.seen: list[bool] = []

    def after(self, room: str, position: Position, seen: bool) -> Iterable[Passed] | None:
        start, them = self.has.get(room, (10**9, []))
        self.seen.append(seen)
        if position.offset < start:
            return None
        return [one for one in them if one.position.offset > position.offset]

    def read(self, question: int, room: str, position: Position) -> None:
        self.asked.append((question, room, position))

    def said(self, room: str, entry: Entry) -> Passed:
        return passed(entry.offset, entry.payload.decode() or None, room=room, epoch=entry.epoch)


def made(
    *rooms: tuple[str, Position], window: Window = WINDOW, cursors: dict[str, str] | None = None
) -> tuple[RoomOutbox, Rooms]:
    """With a carrier that has brought cursors."""
    source = Rooms()
    outbox = RoomOutbox(window, 50, 60, SID)
    outbox.source = source
    outbox.update(rooms)
    outbox.begin(1)
    assert outbox.show(1, cursors or {})
    return outbox, source


def words(told: Iterable[Told]) -> list[str]:
    found = []
    for one in told:
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, RoomItem):
            found.append(f"{one.room} {one.cursor} {one.data!s}")
        else:
            found.append(f"{one.room} {one.cursor}{'' if one.missing is None else f' -{one.missing}'}")
    return found


def test_a_room_begins_where_it_was_joined_and_goes_on() -> None:
    outbox, source = made(("r", at(3)))
    source.has["r"] = 3, [passed(4, "a"), passed(5), passed(6, "x", skipped=[SID]), passed(7, "b")]
    assert outbox.prepare()
    assert words(outbox.frames()) == ["r 1.3.p3", "r 1.4.p4 a", "r 1.5.p5", "r 1.6.p6", "r 1.7.p7 b"]
    assert outbox.frames() == []
    source.has["r"][1].append(passed(8, "c"))
    assert outbox.frames() == []  # nobody has said so
    assert outbox.heard("r")
    assert not outbox.heard("other")
    assert words(outbox.frames()) == ["r 1.8.p8 c"]
    assert source.seen[-1]


def test_nothing_is_told_before_there_are_cursors_and_the_first_count() -> None:
    outbox, source = made(("r", at(3)))
    source.has["r"] = 3, [passed(4, "a")]
    outbox.begin(2)
    assert not outbox.heard("r")
    assert not outbox.prepare()
    assert not outbox.show(1, {})
    assert outbox.show(2, {"r": at(4).cursor})
    assert not outbox.show(2, {})
    assert outbox.frames() == []  # it has all that there is
    assert source.seen == [False]


@pytest.mark.parametrize("cursor", ["1.1.x", "no cursor"])
def test_a_cursor_before_the_join_does_not_count(cursor: str) -> None:
    outbox, source = made(("r", at(3)), cursors={"r": cursor})
    source.has["r"] = 3, []
    assert words(outbox.frames()) == ["r 1.3.p3"]
    outbox, source = made(("r", at(3)), cursors={"r": at(3).cursor})
    source.has["r"] = 3, []
    assert outbox.frames() == []
    assert source.seen == [False]  # it is stored, too, but not seen here


def test_what_was_missing_at_a_join_is_told_where_it_begins() -> None:
    outbox, source = made()
    source.has["r"] = 0, []
    outbox.missed("r", at(3), 2)
    outbox.missed("other", at(3), 0)
    outbox.update([("r", at(3)), ("other", at(5))])
    source.has["other"] = 0, []
    assert words(outbox.frames()) == ["r 1.3.p3 -2", "other 1.5.p5"]
    for number in range(MAX_CURSORS + 1):
        outbox.missed(f"r{number}", at(3), 1)
    source.has |= {"r0": (0, []), "r1": (0, [])}
    outbox.update([("r0", at(3)), ("r1", at(3))])
    assert words(outbox.frames())[-2:] == ["r0 1.3.p3", "r1 1.3.p3 -1"]  # the oldest was forgotten


def test_rooms_that_were_left_are_said_first() -> None:
    outbox, source = made(("r", at(3)), cursors={"r": at(4).cursor, "gone": "1.1.x"})
    source.has |= {"r": (0, []), "new": (0, [])}
    assert not outbox.prepare()  # that a room is gone is no reason for an answer
    assert words(outbox.frames()) == ["gone"]
    outbox.update([("new", at(1))])
    outbox.update([("new", at(1))])
    assert words(outbox.frames()) == ["r", "new 1.1.p1"]
    outbox.update([("r", at(9)), ("new", at(2))])  # it was left, and joined again
    assert words(outbox.frames()) == ["new", "new 1.2.p2", "r 1.9.p9"]


def test_a_room_that_is_joined_again_before_what_was_told_repeats_nothing() -> None:
    outbox, source = made(("r", at(3)))
    source.has["r"] = 0, [passed(4, "a"), passed(5, "b")]
    outbox.frames()
    outbox.update([])
    assert words(outbox.frames()) == ["r"]
    outbox.update([("r", at(2))])
    assert outbox.frames() == []
    for number in range(3 * MAX_CURSORS):  # of rooms that come and go not all is known for ever
        outbox.taken(1, 10**6)
        source.has["s"] = 0, []
        source.has[f"s{number}"] = 0, []
        outbox.update([("r", at(2)), (f"s{number}", at(1))])
        assert words(outbox.frames())[-1] == f"s{number} 1.1.p1"
    assert outbox._cursors is not None
    assert len(outbox._cursors) == 2 * MAX_CURSORS


def test_a_room_that_is_left_before_it_began() -> None:
    outbox, _ = made(("r", at(3)), cursors={"r": at(4).cursor})
    outbox.update([])
    assert words(outbox.frames()) == ["r"]
    outbox, _ = made(("r", at(3)))
    outbox.update([])
    assert outbox.frames() == []  # the client has never heard of it


def test_the_window_holds() -> None:
    outbox, source = made(("r", at(0, id="")), window=Window(4, 10))
    source.has["r"] = 0, [passed(number, "abc") for number in range(1, 9)]
    assert words(outbox.frames())[1:] == ["r 1.1.p1 abc", "r 1.2.p2 abc", "r 1.3.p3 abc"]
    assert not outbox.taken(2, 9)
    assert outbox.taken(1, 1)
    assert outbox.frames() == []  # of bytes it is full
    assert outbox.taken(1, 2)
    assert words(outbox.frames()) == ["r 1.4.p4 abc"]
    assert outbox.taken(1, 5)
    assert len(outbox.frames()) == 3
    assert outbox.taken(1, 8)
    assert len(outbox.frames()) == 1
    assert outbox.taken(1, 9)
    assert not outbox.due


def test_what_no_frame_carries_is_a_gap() -> None:
    outbox, source = made(("r", at(0, id="")))
    group = RoomItem("r", at(2).cursor, Group("a", b"b"))
    source.has["r"] = 0, [passed(1, "x" * 51), Passed(at(2), group, frozenset()), passed(3, "c")]
    assert words(outbox.frames())[1:] == ["r 1.1.p1 -1", "r 1.2.p2 -1", "r 1.3.p3 c"]


def test_positions_may_go_beyond_the_window_and_not_for_ever() -> None:
    outbox, source = made(window=Window(1, 10))
    source.has |= {"a": (0, []), "b": (0, [])}
    outbox.update([("a", at(1))])
    count = 0
    while outbox.frames():  # each says that it was left, and where it begins
        count += 1
        outbox.update([("a", at(count + 1))])
        assert count < 1000
    assert 2 * count == MAX_NOTES + 2
    outbox.update([("a", at(count + 1)), ("b", at(1))])
    assert outbox.frames() == []
    assert outbox.taken(1, MAX_NOTES)
    assert words(outbox.frames()) == ["a", f"a {at(count + 1).cursor}", f"b {at(1).cursor}"]
    # Rooms that were not told of yet, likewise.
    outbox, source = made(window=Window(1, 10), cursors={f"g{number}": "1.1.x" for number in range(300)})
    assert len(outbox.frames()) == MAX_NOTES + 1
    assert outbox.taken(1, 100)
    assert len(outbox.frames()) == 300 - MAX_NOTES - 1
    assert outbox.taken(1, 200)
    assert not outbox.due


def test_that_a_room_was_left_is_told_when_something_was_taken_though_nothing_else_is_due() -> None:
    outbox, _ = made(window=Window(1, 10), cursors={"g": "1.1.x"})
    assert words(outbox.frames()) == ["g"]
    for _ in range(MAX_NOTES):
        outbox._flow.sent(0)
    for rooms in ([("g", at(1))], []):  # it was there for a moment
        outbox.update(rooms)
        assert outbox.frames() == []
    assert outbox.taken(1, 1)
    assert words(outbox.frames()) == ["g"]
    assert outbox.taken(1, 2)
    assert not outbox.due


# -- what has to be read -----------------------------------------------------------------------------------------------


def test_what_nobody_has_is_read_a_room_at_a_time() -> None:
    outbox, source = made(("r", at(3)), ("s", at(7)))
    assert words(outbox.frames()) == ["r 1.3.p3", "s 1.7.p7"]
    assert source.asked == [(1, "r", at(3))]
    assert outbox.waits
    assert outbox.frames() == []
    assert outbox.answer(1, "r", Reading(1, 5, "p5", entries=[entry(4, "a"), entry(5, "b")])) is None
    assert words(outbox.frames()) == ["r 1.4.p4 a", "r 1.5.p5 b"]
    assert source.asked[1:] == [(2, "s", at(7))]
    outbox.unanswered(2)
    assert not outbox.waits
    assert outbox.frames() == []
    outbox.heard("s")
    assert outbox.frames() == []
    assert source.asked[2:] == [(3, "s", at(7))]
    assert outbox.answer(3, "s", Reading(1, 9, "p9", entries=[entry(8, "c")], more=True)) is None
    assert words(outbox.frames()) == ["s 1.8.p8 c"]
    assert source.asked[3:] == [(4, "s", at(8))]
    source.has["s"] = 8, [passed(9, "d", room="s")]
    outbox.heard("s")  # while it is read
    assert words(outbox.frames()) == ["s 1.9.p9 d"]
    assert outbox.answer(4, "s", Reading(1, 9, "p9")) is None  # asked before: what is there already is passed over
    assert outbox.frames() == []


def test_answers_to_other_carriers_and_of_rooms_that_were_left_count_nothing() -> None:
    outbox, source = made(("r", at(3)))
    outbox.frames()
    outbox.begin(2)
    assert outbox.answer(1, "r", Reading(1, 4, "p4", entries=[entry(4, "a")])) is None
    outbox.show(2, {})
    outbox.frames()
    assert outbox.answer(1, "r", Reading(1, 4, "p4", entries=[entry(4, "a")])) is None
    outbox.unanswered(1)
    assert outbox.waits
    outbox.update([])
    assert words(outbox.frames()) == ["r"]
    assert outbox.answer(2, "r", Reading(1, 4, "p4", entries=[entry(4, "a")])) is None
    assert (outbox.frames(), outbox.waits) == ([], False)
    assert len(source.asked) == 2


def test_more_than_the_window_takes_is_read_again() -> None:
    outbox, source = made(("r", at(0, id="")), window=Window(3, 100))
    outbox.frames()
    page = [entry(number, "x") for number in range(1, 5)]
    outbox.answer(1, "r", Reading(1, 4, "p4", entries=page))
    assert len(outbox.frames()) == 2
    assert len(source.asked) == 1  # for nothing that could be told now
    assert outbox.taken(1, 1)
    outbox.frames()
    assert source.asked[1:] == [(2, "r", at(2))]
    outbox.answer(2, "r", Reading(1, 4, "p4", entries=page[2:]))
    assert words(outbox.frames()) == ["r 1.3.p3 x"]


def test_gaps_are_told() -> None:
    outbox, _ = made(("r", at(3)))
    outbox.frames()
    outbox.answer(1, "r", Reading(1, 9, "p9", entries=[entry(8, "a"), entry(9)]))
    assert words(outbox.frames()) == ["r 1.7.p7 -4", "r 1.8.p8 a", "r 1.9.p9"]


def test_what_only_the_client_says_is_answered_by_a_gap() -> None:
    outbox, _ = made(("r", at(3)), cursors={"r": at(7).cursor})
    outbox.frames()
    assert outbox.answer(1, "r", Reading(1, 5, "p5")) is None
    assert words(outbox.frames()) == ["r 1.5.p5 -0"]


def test_what_was_known_to_be_there_raises_the_epoch() -> None:
    outbox, source = made(("r", at(7)))
    outbox.frames()
    assert outbox.answer(1, "r", Reading(1, 5, "p5")) == (1, 1)
    assert outbox.frames() == []
    outbox.heard("r")
    outbox.frames()
    assert source.asked[1:] == [(2, "r", at(7))]
    assert outbox.answer(2, "r", Reading(2, 6, "q6", 5, "p5", [entry(6, "a", epoch=2)])) is None
    assert words(outbox.frames()) == ["r 2.5.p5 -0", "r 2.6.p6 a"]


def test_a_gap_waits_for_the_client_too() -> None:
    outbox, _ = made(("r", at(3)), window=Window(2, 10))
    outbox.frames()
    while outbox._flow.may_note:
        outbox._flow.sent(0)
    outbox.answer(1, "r", Reading(1, 9, "p9"))
    assert outbox.frames() == []
    assert outbox.taken(1, MAX_NOTES + 2)
    outbox.frames()
    outbox.answer(2, "r", Reading(1, 9, "p9"))
    assert words(outbox.frames()) == ["r 1.9.p9 -6"]
    assert isinstance(RoomNote("r", "1.1.x"), Outgoing)


def test_what_another_carrier_was_told_is_known_to_this_worker() -> None:
    outbox, source = made(("r", at(3)))
    source.has["r"] = 3, [passed(4, "a")]
    outbox.frames()
    source.has.clear()
    outbox.begin(2)
    outbox.show(2, {"r": at(4).cursor})
    assert outbox.frames() == []
    assert outbox.answer(1, "r", Reading(1, 3, "p3")) == (1, 1)
    outbox.update([])
    outbox.update([("r", at(3))])
    outbox.begin(3)
    outbox.show(3, {"r": at(4).cursor})  # which it has forgotten with the room
    outbox.frames()
    assert outbox.answer(2, "r", Reading(1, 3, "p3")) is None


def test_no_more_waits_to_be_written_than_a_batch() -> None:
    outbox, source = made(("r", at(0, id="")))
    source.has["r"] = 0, [passed(number, "x" * 25) for number in range(1, 4)]
    assert len(outbox.frames()) == 1 + 2
    assert len(outbox.frames()) == 1
    outbox, source = made(("r", at(0, id="")))
    outbox.frames()
    page = [entry(number, "x" * 25) for number in range(1, 4)]
    outbox.answer(1, "r", Reading(1, 3, "p3", entries=page))
    assert len(outbox.frames()) == 2
    assert source.asked[1:] == [(2, "r", at(2))]


def test_what_has_come_while_it_was_read_is_no_gap() -> None:
    """A room that keeps nothing is followed since the question was asked, and its message is here."""
    outbox, source = made(("r", at(3)))
    outbox.frames()
    source.has["r"] = 3, [passed(4, "a")]
    assert outbox.answer(1, "r", Reading(1, 4, "p4")) is None
    assert words(outbox.frames()) == ["r 1.4.p4 a"]
