"""What rooms have sent, on the carriers of a durable session: at once on ordered ones, with the answers to polls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from realtime.core.carrier import NumberedCarrier
from realtime.core.durable.changes import Commit
from realtime.core.durable.machine import DurableMachine
from realtime.core.durable.record import Close, Stage
from realtime.core.durable.room_machine import READING
from realtime.core.durable.room_outbox import Passed
from realtime.core.frames import Outgoing, RoomItem
from realtime.core.rooms import Entry, Position, Reading

from ..fakes import FakeLink, duplex, poll, stream
from .test_machine import Writer, made, write

JOINED = Position(1, 3, "p3")


def passed(offset: int, text: str) -> Passed:
    position = Position(1, offset, f"p{offset}")
    return Passed(position, RoomItem("r", position.cursor, Outgoing.message(text)), frozenset())


class Room:
    """One room, of which some has to be read."""

    def __init__(self, start: int = 3) -> None:
        self.start = start
        self.passed: list[Passed] = []
        self.asked: list[int] = []

    def after(self, room: str, position: Position, seen: bool) -> Iterable[Passed] | None:
        if position.offset < self.start:
            return None
        return [one for one in self.passed if one.position.offset > position.offset]

    def read(self, question: int, room: str, position: Position) -> None:
        self.asked.append(question)

    def said(self, room: str, entry: Entry) -> Passed:
        return passed(entry.offset, entry.payload.decode())


def member(room: Room, **fields: Any) -> tuple[DurableMachine, Writer]:
    machine, diary = made(**{"used": True, "gen": 0, "rooms": (("r", JOINED),), **fields})
    machine.rooms.source = room
    return machine, diary


def attached(machine: DurableMachine, kind: Any = duplex, gen: int = 1, **options: Any) -> tuple[NumberedCarrier, Any]:
    carrier, link = kind(**options)
    machine.attach(carrier, gen, 0, 0, 1, 0.0)
    return carrier, link


@pytest.mark.parametrize("kind", [duplex, stream])
def test_on_ordered_carriers_it_is_said_at_once(kind: Any) -> None:
    room = Room()
    machine, diary = member(room)
    carrier, link = attached(machine, kind)
    machine.flush(1.0)
    link.writes.clear()
    room.passed.append(passed(4, "a"))
    machine.room_passed("r")
    machine.flush(1.0)
    assert link.writes == []  # it has brought no cursors
    diary.read()
    machine.rooms_heard(1, {"gone": "1.1.x"})
    assert diary.read() == ["dirty"]
    machine.flush(2.0)
    assert link.writes == [["lgone", "lr,1.3.p3", "lr,1.4.p4,ma"]]
    assert carrier.last_written == 2.0
    link.writes.clear()
    room.passed.append(passed(5, "b"))
    machine.room_passed("r")
    assert diary.read() == ["dirty"]
    link.writable = False
    machine.flush(2.0)
    assert link.writes == []
    link.writable = True
    machine.flush(2.0)
    assert link.writes == [["lr,1.5.p5,mb"]]
    machine.rooms_heard(7, {})
    assert not machine.rooms_taken(7, 1)  # of another carrier
    assert machine.rooms_taken(1, 1)
    assert not machine.rooms_taken(1, 1)  # it was said before
    assert diary.read() == []  # nothing waits for that


def test_more_goes_when_the_client_has_taken_some() -> None:
    room = Room()
    machine, diary = member(room)
    _, link = attached(machine)
    machine.rooms_heard(1, {})
    room.passed = [passed(number, "x") for number in range(4, 4 + 150)]
    machine.flush(1.0)
    assert len(link.said) == 100 + 1  # the answer to its attach
    diary.read()
    machine.rooms_taken(1, 10)
    assert diary.read() == ["dirty"]
    machine.flush(1.0)
    assert len(link.said) == 10


def test_a_poll_is_answered_when_a_room_has_something() -> None:
    room = Room()
    machine, diary = member(room)
    carrier, link = attached(machine, poll)
    carrier.greeting = None
    machine.rooms_heard(1, {"r": JOINED.cursor, "gone": "1.1.x"})
    machine.flush(1.0)
    assert link.writes == []  # that it is not in a room is no reason
    room.passed.append(passed(4, "a"))
    machine.room_passed("r")
    machine.flush(1.0)
    assert link.writes == [["r0,0", "lgone", "lr,1.4.p4,ma"]]
    assert carrier.finished
    diary.read()
    machine.room_passed("r")
    assert diary.read() == []  # there is nobody to tell


def test_a_poll_that_is_answered_says_which_rooms_were_left() -> None:
    machine, _ = member(Room(), rooms=())
    _, link = attached(machine, poll, held=False)
    machine.rooms_heard(1, {"gone": "1.1.x"})
    machine.flush(1.0)
    assert link.writes == [["r0,0", "lgone"]]


def test_a_poll_waits_a_moment_for_what_is_read() -> None:
    room = Room(start=9)
    machine, diary = member(room)
    _, link = attached(machine, poll, held=False)
    machine.rooms_heard(1, {})
    machine.flush(0.5)
    assert (link.writes, room.asked) == ([], [1])
    assert READING in diary.woken
    entry = Entry(1, 4, "p4", "p3", b"a")
    machine.rooms.answer(1, "r", Reading(1, 4, "p4", entries=[entry]))
    machine.flush(0.5)
    assert link.writes == [["r0,0", "lr,1.3.p3", "lr,1.4.p4,ma"]]
    _, link = attached(machine, poll, gen=2, held=False)
    machine.rooms_heard(2, {"r": "1.4.p4"})
    machine.flush(1.0)
    assert link.writes == []
    machine.flush(READING)  # nobody answers
    assert link.writes == [["r0,0"]]


def test_a_poll_that_has_to_come_again_waits_for_nothing() -> None:
    room = Room(start=9)
    machine, _ = member(room)
    _, link = attached(machine, poll)
    machine.rooms_heard(1, {})
    machine.flush(0.5)
    assert link.writes == []
    machine.recycle(0.5)
    assert link.writes == [["r0,0"]]


def test_a_carrier_that_comes_late_changes_nothing() -> None:
    room = Room()
    machine, _ = member(room)
    _, link = attached(machine, gen=3)
    machine.rooms_heard(3, {})
    attached(machine, gen=2)
    room.passed.append(passed(4, "a"))
    machine.flush(1.0)
    assert link.said[-1] == "lr,1.4.p4,ma"
    assert machine.rooms.gen == 3


def test_a_handler_that_has_returned_is_in_no_rooms() -> None:
    room = Room()
    machine, _ = member(room)
    _, link = attached(machine)
    machine.rooms_heard(1, {})
    machine.flush(1.0)
    link.writes.clear()
    machine.owner.change(Commit("null", 0, close=Close(1000)))
    assert write(machine).stage is Stage.CLOSING
    machine.flush(1.0)
    assert "lr" in link.said
    machine.end(1000, "", 1.0)
    write(machine)
    machine.flush(1.0)
    assert isinstance(link, FakeLink)


def test_a_poll_that_has_brought_something_waits_until_that_is_stored() -> None:
    room = Room()
    machine, _ = member(room)
    carrier, link = attached(machine, poll)
    machine.message(carrier, "a", 1, 0.0)
    assert machine.brought() == 1
    machine.rooms_heard(1, {})
    machine.flush(0.0)
    assert link.writes == []
    write(machine)
    machine.flush(0.0)
    assert link.writes == [["r1,0", "lr,1.3.p3"]]
