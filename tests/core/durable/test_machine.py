"""The server's end of a durable session: what is said when, before and behind a write."""

from __future__ import annotations

from typing import Any

import pytest

from realtime.core.carrier import NumberedCarrier
from realtime.core.config import Config
from realtime.core.durable.changes import Commit, Ended, Sends
from realtime.core.durable.machine import MOVED, DurableMachine
from realtime.core.durable.owner import Outcome, Owner
from realtime.core.durable.record import Close, Record, Stage, created
from realtime.core.errors import RemoteProtocolError, SessionClosed
from realtime.core.frames import Dropped, Outgoing, Window
from realtime.core.machine import FOREVER
from realtime.core.machine import Ended as Outcomes

from ..fakes import WIDE, Diary, FakeLink, duplex, life, poll


class Writer(Diary):
    """A Listener that writes down what is to be written."""

    def __init__(self) -> None:
        super().__init__()
        self.closes: list[Close] = []

    def unwritten(self) -> None:
        self.entries.append("unwritten")

    def finish(self, close: Close) -> None:
        self.closes.append(close)


class Ids:
    """Ids of writes."""

    count = 0

    @classmethod
    def new(cls) -> str:
        cls.count += 1
        return f"w{cls.count}"


def made(window: Window = WIDE, settings: dict[str, Any] | None = None, **fields: Any) -> tuple[DurableMachine, Writer]:
    """One that goes on as a record says."""
    record = created("i0", "one", "t1", "", 1)._replace(**fields)
    diary = Writer()
    config = Config(**{"max_queue": 16, "max_queue_size": 65_536, **(settings or {})})
    machine = DurableMachine(config, window, diary, 0.0, owner=Owner(record), sid="d.s")
    machine.restore(0.0)
    return machine, diary


def attached(**fields: Any) -> tuple[DurableMachine, Writer, NumberedCarrier, FakeLink]:
    """With a duplex carrier that has read all there was."""
    machine, diary = made(**fields)
    carrier, link = duplex()
    sent = machine.owner.record.sent
    machine.attach(carrier, 1, sent, sent, machine.owner.received + 1, 0.0)
    link.writes.clear()
    diary.read()
    return machine, diary, carrier, link


def write(machine: DurableMachine, now: float = 0.0) -> Record:
    """Writes what waits, which the store takes."""
    before = machine.owner.record
    machine.writing()
    new = machine.owner.write(Ids.new())
    assert machine.owner.answered(new.record.id) is Outcome.STORED
    machine.stored(before, now)
    return machine.owner.record


def said(machine: DurableMachine, link: FakeLink, now: float = 100.0) -> list[Any]:
    machine.flush(now)
    return link.said


@pytest.mark.parametrize("settings", [{}, {"max_message_rate": 1, "rate_burst": 1, "on_rate": "close"}])
def test_what_waits_is_within_all_limits_where_the_session_goes_on(settings: dict[str, Any]) -> None:
    """It came in time for another worker, which may have had others."""
    machine, _ = made(settings=settings, received=20, inbox=("x" * 9_999,) * 20)
    assert (machine.inbox.received, machine.inbox.taken, machine.inbox.size) == (20, 0, 199_980)
    assert not machine.inbox.has_room(1)
    machine.owner.change(Commit("null", 1, takes=True))
    write(machine)
    assert (machine.inbox.received, machine.inbox.taken) == (20, 1)


# -- what comes --------------------------------------------------------------------------------------------------------


def test_what_comes_counts_when_it_is_stored() -> None:
    machine, diary, carrier, link = attached()
    machine.message(carrier, "a", 1, 1.0)
    machine.message(carrier, "b", 1, 1.0)
    assert diary.read() == ["unwritten", "readable"] * 2
    assert said(machine, link) == []
    assert write(machine).inbox == ("a", "b")
    assert said(machine, link) == ["a2,0"]


def test_what_comes_again_changes_nothing_and_a_gap_is_an_error() -> None:
    machine, _, carrier, _ = attached()
    machine.message(carrier, "a", 1, 1.0)
    carrier.receive_cursor = 1
    machine.message(carrier, "a", 1, 1.0)
    assert machine.duplicates == 1
    carrier.receive_cursor = 3
    with pytest.raises(RemoteProtocolError, match="a gap"):
        machine.message(carrier, "c", 1, 1.0)
    carrier.ignores = True
    carrier.receive_cursor = 2
    machine.message(carrier, "b", 1, 1.0)
    assert (carrier.receive_cursor, machine.owner.received) == (2, 1)


def test_the_window_holds_for_what_is_not_stored_too() -> None:
    machine, _, carrier, _ = attached()
    with pytest.raises(RemoteProtocolError, match="max_size"):
        machine.message(carrier, "x", 10_000_000, 1.0)
    carrier.receive_cursor = 1
    machine.message(carrier, "x" * 65_000, 65_000, 1.0)
    with pytest.raises(RemoteProtocolError, match="window"):
        machine.message(carrier, "x" * 1000, 1000, 1.0)
    carrier.receive_cursor = 2
    for number in range(2, 17):
        machine.message(carrier, str(number), 1, 1.0)
    with pytest.raises(RemoteProtocolError, match="window"):
        machine.message(carrier, "x", 1, 1.0)


def test_a_note_of_drops_is_a_number() -> None:
    machine, _, carrier, _ = attached()
    machine.drop_note(carrier, 3, 1.0)
    assert write(machine).inbox == (Dropped(3),)
    machine.drop_note(carrier, 3, 1.0)
    machine.peer_closed(carrier, 1000, "", 1.0)
    carrier.receive_cursor = 2
    machine.drop_note(carrier, 3, 1.0)
    machine.peer_closed(carrier, 1000, "", 1.0)
    assert machine.owner.received == 3


def test_the_clients_close_is_acknowledged_at_once_and_not_waited_for() -> None:
    machine, _, carrier, link = attached()
    machine.message(carrier, "a", 1, 1.0)
    machine.peer_closed(carrier, 1000, "bye", 1.0)
    record = write(machine, 1.0)
    assert record.closed == Close(1000, "bye")
    assert said(machine, link, 1.0) == ["a2,0"]
    machine.message(carrier, "late", 4, 1.0)
    assert machine.owner.received == 2
    machine.lost(carrier, 1.0)
    assert machine.deadline() == FOREVER
    machine.expire(1e6)
    assert machine.ending is None
    machine.owner.change(Commit("null", 1, takes=True))
    write(machine)
    machine.end(1000, "bye", 2.0, clean=True)
    write(machine)
    assert machine.outcome == Outcomes(1000, "bye", True)


def test_what_came_in_its_time_may_be_stored_at_once() -> None:
    """Where the store takes its time, that is no rate of the client's."""
    limits = {"max_message_rate": 1, "rate_burst": 2, "on_rate": "close"}
    machine, _, carrier, _ = attached(settings=limits)
    for second in range(6):
        machine.message(carrier, "x", 1, 10.0 + second)
    assert write(machine, 20.0).received == 6
    assert machine.ending is None
    assert machine.inbox.received == 6


def test_what_came_faster_than_it_may_ends_the_session() -> None:
    machine, _, carrier, _ = attached(settings={"max_message_rate": 1.0, "rate_burst": 1.0, "on_rate": "close"})
    for number in range(3):
        machine.message(carrier, str(number), 1, 1.0)
    write(machine, 1.0)
    assert machine.ending is not None
    assert machine.ending.code == 1008


# -- what goes ---------------------------------------------------------------------------------------------------------


def test_what_is_sent_goes_when_it_is_stored() -> None:
    machine, diary, _, link = attached()
    machine.send(Outgoing.message("a"))
    assert diary.read() == ["unwritten"]
    assert said(machine, link) == []
    machine.owner.change(Commit("null", 0, sends=("b", b"c")))
    assert write(machine).sent == 3
    assert said(machine, link) == ["ma", "mb", "bb'c'"]
    assert machine.outbox.last == 3


def test_the_outbox_counts_what_waits_for_a_write() -> None:
    machine, _, carrier, link = attached(settings={"max_outbox": 2})
    assert machine.offer(Outgoing.message("a")) is False
    machine.writing()
    new = machine.owner.write("x1")
    assert machine.offer(Outgoing.message("b")) is False
    assert not machine.has_room
    assert machine.offer(Outgoing.message("c")) is None
    machine.drop_new(1)
    machine.drop_new(2)
    before = machine.owner.record
    machine.owner.answered(new.record.id)
    machine.stored(before, 0.0)
    write(machine)
    assert said(machine, link) == ["ma", "mb"]
    machine.acknowledged(2, 2, 1.0)
    assert write(machine).outbox == (Dropped(3),)
    assert said(machine, link) == ["d3"]
    assert machine.outbox.dropped == 3
    assert carrier.send_cursor == 4


def test_what_is_dropped_behind_the_end_is_not_told() -> None:
    machine, diary, _, _ = attached()
    machine.end(1000, "", 1.0)
    diary.read()
    machine.drop_new(1)
    assert diary.read() == []


# -- carriers ----------------------------------------------------------------------------------------------------------


def test_a_session_that_was_taken_over_goes_on() -> None:
    fields: dict[str, Any] = {"used": True, "gen": 3, "sent": 5, "outbox": ("d", "e"), "received": 4, "taken": 2}
    machine, _ = made(**fields, inbox=("c", Dropped(1)))
    assert (life(machine), machine.gen, machine.inbox.received, machine.inbox.taken) == ("detached", 3, 4, 2)
    carrier, link = duplex()
    assert machine.attach(carrier, 4, 4, 4, 5, 0.0)  # it has d, of which the store does not know
    assert said(machine, link) == ["r4,2", "me"]
    machine.message(carrier, "x", 1, 1.0)
    assert write(machine).outbox == ("e",)


def test_a_session_whose_client_has_closed_is_taken_over_with_that() -> None:
    machine, _ = made(used=True, received=2, taken=0, inbox=("a",), closed=Close(1000))
    assert (machine.inbox.received, machine.inbox.notes) == (2, 1)


def test_acks_of_what_was_never_sent_are_an_error() -> None:
    machine, _, _, _ = attached()
    with pytest.raises(RemoteProtocolError):
        machine.acknowledged(1, 1, 0.0)


def test_a_post_that_begins_above_a_gap_changes_nothing() -> None:
    machine, _, carrier, _ = attached()
    machine.message(carrier, "a", 1, 1.0)
    for first, ignores in ((2, False), (3, True)):
        post, _ = poll()
        assert machine.uplink(post, 0, 0, first, 1.0)
        assert post.ignores is ignores
        post, _ = poll()
        machine.attach(post, 2, 0, 0, first, 1.0)
        assert post.ignores is ignores
    machine.end(1000, "", 1.0)
    assert not machine.uplink(post, 0, 0, 2, 1.0)


def test_a_poll_that_has_brought_something_is_answered_when_that_is_stored() -> None:
    machine, _, _, _ = attached()
    carrier, link = poll()
    machine.attach(carrier, 2, 0, 0, 1, 1.0)
    machine.message(carrier, "a", 1, 1.0)
    assert machine.brought() == 1
    machine.flush(100.0)
    assert link.said == []
    write(machine, 1.0)
    assert said(machine, link) == ["r1,0"]


# -- ends --------------------------------------------------------------------------------------------------------------


def test_an_end_is_told_when_it_is_stored() -> None:
    machine, diary, carrier, link = attached()
    machine.end(4410, "gone", 1.0)
    machine.end(1000, "", 1.0)
    assert diary.read() == ["unwritten", "acknowledged", "readable"]
    assert machine.over
    with pytest.raises(SessionClosed) as closed:
        machine.check_open()
    assert closed.value.code == 4410
    machine.message(carrier, "late", 4, 1.0)
    assert machine.deadline() == FOREVER
    machine.expire(1e6)
    assert (machine.outcome, link.said) == (None, [])
    assert write(machine).stage is Stage.ENDED
    assert machine.outcome == Outcomes(4410, "gone", False)
    assert link.said == ["a0,0", "x4410,session,0,gone"]
    assert machine.remembered == machine.config.lifetime
    machine.end(1000, "", 1.0)
    machine.close(1000, "", 1.0)
    assert diary.closes == []


def test_a_close_is_sent_when_it_is_stored() -> None:
    machine, diary, carrier, link = attached()
    machine.close(1000, "done", 1.0)
    machine.close(1011, "again", 1.0)
    assert diary.closes == [Close(1000, "done")]
    with pytest.raises(SessionClosed, match="done"):
        machine.check_open()
    machine.message(carrier, "discarded", 9, 1.0)
    machine.owner.change(Commit("null", 0, close=Close(1000, "done")))
    write(machine, 1.0)
    assert machine.closing == (1000, "done")
    assert said(machine, link) == ["a1,1", "c1000,done"]
    machine.acknowledged(1, 1, 2.0)
    assert machine.ending == Outcomes(1000, "done", True)
    write(machine)
    assert machine.outcome == Outcomes(1000, "done", True)


def test_a_handler_that_returns_behind_the_clients_close_ends_the_session() -> None:
    machine, _, carrier, _ = attached()
    machine.peer_closed(carrier, 3001, "mine", 1.0)
    machine.owner.change(Commit("null", 0, close=Close(1000)))
    write(machine)
    assert machine.ending == Outcomes(3001, "mine", True)


@pytest.mark.parametrize(
    ("fields", "ending"),
    [
        ({"sent": 1, "outbox": (Close(1000, "done"),), "end": Close(1000, "done")}, None),
        ({"sent": 1, "end": Close(1000, "done")}, Outcomes(1000, "done", True)),
        ({"sent": 1}, Outcomes(1000, "", True)),
        ({"sent": 1, "received": 1, "taken": 0, "closed": Close(1001)}, Outcomes(1001, "", True)),
    ],
    ids=["not acknowledged", "acknowledged", "of nobody", "the client's"],
)
def test_a_session_whose_handler_has_returned_is_taken_over(fields: dict[str, Any], ending: Outcomes | None) -> None:
    machine, _ = made(used=True, stage=Stage.CLOSING, **fields)
    assert machine.ending == ending
    assert (machine.closing is None) == (ending is not None)


def test_an_end_that_another_has_written_is_that_one() -> None:
    """An orphan's sweep, say: who finds it in its own write."""
    machine, _, _, _ = attached()
    machine.owner.change(Ended(Close(4410)))
    write(machine)
    assert machine.outcome == Outcomes(4410, "", False)


def test_one_that_is_fenced_says_nothing() -> None:
    machine, diary, _, link = attached()
    machine.cut(1.0)
    assert (link.said, link.aborted, machine.moved, machine.remembered) == ([], True, True, 0.0)
    assert machine.outcome == Outcomes(*MOVED, False)
    machine.cut(2.0)
    assert diary.read().count("ended") == 1


def test_a_close_that_another_owner_begun_to_send_is_taken_over() -> None:
    machine, _ = made(used=True, stage=Stage.CLOSING, sent=2, outbox=("a", Close(1000)), end=Close(1000))
    carrier, _ = duplex()
    machine.attach(carrier, 2, 2, 2, 1, 0.0)
    assert machine.ending == Outcomes(1000, "", True)


def test_one_that_is_handed_over_has_its_client_come_again() -> None:
    machine, _, _, link = attached()
    machine.hand_over(1.0)
    assert link.said == ["erecycled"]
    assert machine.outcome == Outcomes(*MOVED, False)
    machine, _ = made()
    machine.hand_over(1.0)
    assert machine.moved


def test_what_requests_are_told_that_were_asked_about_meanwhile() -> None:
    machine, _, _, _ = attached()
    machine.hand_over(1.0)
    assert (machine.refusal().code, machine.refusal().scope) == (4503, "carrier")
    machine, _, _, _ = attached()
    machine.end(4410, "gone", 1.0)
    write(machine)
    assert (machine.refusal().code, machine.refusal().scope) == (4410, "session")


def test_time_goes_on_as_ever() -> None:
    machine, _, carrier, _ = attached()
    machine.lost(carrier, 1.0)
    assert machine.deadline() == 1.0 + machine.config.resume_window
    machine.expire(1000.0)
    assert machine.ending is not None
    assert machine.ending.code == 4410


def test_open_is_checked_as_ever() -> None:
    machine, _, _, _ = attached()
    machine.check_open()
    machine.owner.change(Sends(("x",)))
    write(machine)
    assert machine.has_room
