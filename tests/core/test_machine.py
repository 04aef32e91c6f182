"""What every end of a session has: a lifecycle, messages both ways, one close and one end (docs/protocol.md §6, §8)."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from realtime.core.carrier import Carrier
from realtime.core.errors import LocalProtocolError, RemoteProtocolError, SessionClosed
from realtime.core.frames import Outgoing, Window
from realtime.core.inbox import Received
from realtime.core.lifecycle import State
from realtime.core.machine import FOREVER, SessionMachine, check_close, label_of, shown
from realtime.core.queues import EMPTY

from .fakes import SMALL, WIDE, Diary, FakeLink, duplex, life, texts


class Machine(SessionMachine):
    """An end that says goodbye in one word, and does nothing by itself."""

    __slots__ = ()

    def take(self, now: float) -> Received:
        """As the inbox has it."""
        return self.inbox.take(now)

    def ask_for_acks(self) -> None: ...

    def flush(self, now: float) -> None:
        """All there is."""
        assert self.carrier is not None
        first, items = self.outbox.peek(self.carrier.send_cursor, 100, 1_000_000)
        self.carrier.write([self.carrier.codec.item(item) for item in items])
        self._commit(self.carrier, first, items, now)

    def _farewell(self) -> None:
        carrier, self.carrier = self.carrier, None
        assert carrier is not None
        carrier.finish(["goodbye"])

    def _ack_at(self) -> float:
        return self.inbox.due_at(1.0)

    def deadline(self) -> float:
        """Never."""
        return FOREVER

    def expire(self, now: float) -> None: ...


def attached(window: Window = WIDE) -> tuple[Machine, Diary, Carrier, FakeLink]:
    """An open machine on a duplex carrier."""
    diary = Diary()
    machine = Machine(SMALL, window, diary, 0.0)
    carrier, link = duplex()
    machine.state = State.OPEN
    machine.carrier = carrier
    return machine, diary, carrier, link


# -- messages --------------------------------------------------------------------------------------------------------


def test_an_end_has_to_say_what_it_does() -> None:
    with pytest.raises(TypeError, match="abstract"):
        SessionMachine(SMALL, Window(1, 1), Diary(), 0.0)  # type: ignore[abstract]


def test_what_is_received_can_be_taken_and_its_ack_is_waited_for() -> None:
    machine, diary, _, _ = attached()
    machine._receive("a", 1, 2.0)
    assert (diary.read(), diary.woken) == (["readable"], [3.0])
    assert machine.take(2.0) == "a"


def test_what_is_received_behind_our_close_is_discarded() -> None:
    machine, diary, _, _ = attached()
    machine.close(1000, "", 0.0)
    diary.read()
    machine._receive("late", 4, 0.0)
    assert diary.read() == []
    assert machine.inbox.ack() == (1, 1)


def test_what_is_handed_to_a_carrier_moves_its_cursor() -> None:
    machine, _, carrier, link = attached()
    for item in texts("a", "b"):
        machine.send(item)
    machine.flush(0.0)
    assert (link.said, carrier.send_cursor) == (["ma", "mb"], 3)
    machine._commit(carrier, 3, [], 0.0)
    assert carrier.send_cursor == 3


def test_an_ack_is_told_and_asks_for_a_flush_where_something_waits() -> None:
    machine, diary, _, _ = attached(Window(1, 1000))
    for item in texts("a", "b"):
        machine.send(item)
    machine.flush(0.0)
    diary.read()
    machine.acknowledged(1, 1, 0.0)
    assert diary.read() == ["acknowledged", "dirty"]
    machine.flush(0.0)
    machine.acknowledged(2, 1, 0.0)
    assert diary.read() == ["acknowledged"]


def test_an_ack_that_says_nothing_new_is_not_told() -> None:
    machine, diary, _, _ = attached()
    assert not machine.acknowledged(0, 0, 0.0)
    for item in texts("a", "b"):
        machine.send(item)
    machine.flush(0.0)
    assert machine.acknowledged(2, 1, 0.0)
    diary.read()
    for received, taken in ((2, 1), (1, 1), (2, 0), (0, 0)):
        assert not machine.acknowledged(received, taken, 0.0)
    assert diary.read() == []
    machine.send(*texts("a"))
    machine.flush(0.0)
    machine.acknowledged(1, 1, 0.0)
    diary.read()
    assert machine.acknowledged(1, 0, 0.0) is False  # an older one, that was late
    assert diary.read() == []


def test_an_ack_for_what_was_never_sent() -> None:
    machine, _, _, _ = attached()
    machine.send(Outgoing.message("waits"))
    with pytest.raises(RemoteProtocolError) as caught:
        machine.acknowledged(1, 0, 0.0)
    assert caught.value.close_code == 1002


def test_every_message_is_fit_to_be_sent() -> None:
    machine, _, _, _ = attached()
    assert [machine.unfit(item) for item in (*texts("a"), Outgoing.message(b"b"))] == ["", ""]


# -- closing and ending ----------------------------------------------------------------------------------------------


def test_a_clean_close_ends_the_session_when_it_is_acknowledged() -> None:
    machine, diary, _, link = attached()
    machine.close(3000, "enough", 5.0)
    assert (machine.state, machine.close_deadline) == (State.CLOSING, 5.0 + SMALL.lifetime)
    assert diary.woken == [machine.close_deadline]
    machine.flush(5.0)
    machine.acknowledged(1, 0, 5.0)
    assert machine.outcome == (3000, "enough", True)
    assert life(machine) is State.CLOSED
    assert link.said == ["c3000,enough", "goodbye"]
    assert machine.carrier is None


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1012, 1013, 3000, 4000, 4999])
def test_codes_an_application_may_close_with(code: int) -> None:
    check_close(code, "")


@pytest.mark.parametrize("code", [-1, 0, 999, 1002, 1005, 1006, 1009, 1010, 1014, 1015, 2999, 5000])
def test_codes_an_application_may_not_close_with(code: int) -> None:
    with pytest.raises(LocalProtocolError, match=f"close code {code}: use 1000"):
        check_close(code, "")


def test_what_is_no_code_and_no_reason() -> None:
    with pytest.raises(TypeError, match="code='1000': takes a whole number, not str"):
        check_close("1000", "")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="reason=None: takes text, not None"):
        check_close(1000, None)  # type: ignore[arg-type]


def test_closing_again_changes_nothing() -> None:
    machine, _, _, _ = attached()
    machine.close(3000, "first", 0.0)
    machine.close(3001, "second", 1.0)
    assert machine.closing == (3000, "first")
    assert len(machine.outbox) == 1
    machine.end(1011, "over", 2.0)
    machine.close(3002, "third", 3.0)
    assert machine.closing == (3000, "first")


def test_the_first_end_counts_and_is_told_once() -> None:
    machine, diary, _, link = attached()
    machine.fail(RemoteProtocolError(1002, "a gap"), 0.0)
    machine.end(1000, "", 0.0, clean=True)
    assert machine.outcome == (1002, "a gap", False)
    assert diary.read() == ["changed", "ended"]
    assert diary.moves == [(State.OPEN, State.CLOSED)]
    assert link.said == ["goodbye"]


def test_an_end_without_a_carrier_says_goodbye_to_nobody() -> None:
    machine, _, carrier, link = attached()
    machine.carrier = None
    machine.end(4410, "", 0.0)
    assert not carrier.finished
    assert link.writes == []


def test_check_open() -> None:
    machine, _, _, _ = attached()
    machine.check_open()
    assert not machine.over
    machine.close(3000, "ours", 0.0)
    assert machine.over
    with pytest.raises(SessionClosed) as caught:
        machine.check_open()
    assert (caught.value.code, caught.value.reason) == (3000, "ours")
    machine.end(1011, "worse", 0.0)
    with pytest.raises(SessionClosed) as caught:
        machine.check_open()
    assert (caught.value.code, caught.value.reason) == (1011, "worse")


# -- time and the rest -----------------------------------------------------------------------------------------------


def test_only_an_earlier_wake_is_asked_for() -> None:
    machine, diary, _, _ = attached()
    machine.wake_at = 10.0
    machine.wake_by(10.0)
    machine.wake_by(11.0)
    machine.wake_by(FOREVER)
    assert diary.woken == []
    machine.wake_by(9.0)
    assert diary.woken == [9.0]


def test_repr() -> None:
    machine, _, _, _ = attached()
    machine._receive("a", 1, 0.0)
    machine.send(Outgoing.message("b"))
    machine.flush(0.0)
    assert repr(machine) == "<Machine (no sid) open gen=0 in=1,0 out=0/1>"
    machine.sid = "s1"
    assert repr(machine).startswith(f"<Machine {machine.label} open")
    assert re.fullmatch("[0-9a-f]{12}", machine.label)
    assert machine.label == label_of("s1") != label_of("s2")
    assert label_of("") == ""


def test_what_holds_secrets_is_shown_without_them() -> None:
    class Head(NamedTuple):
        sid: str
        gen: int
        nonce: str

    assert shown(Head("secret", 3, "another")) == "<Head gen=3>"


def test_what_is_offered_is_queued_where_there_is_room() -> None:
    machine, diary, _, _ = attached()
    (item,) = texts("a")
    assert machine.offer(item) is False
    assert diary.read() == ["dirty"]
    for _ in range(SMALL.max_outbox - 1):
        machine.send(item)
    diary.read()
    assert machine.offer(item) is None
    assert diary.read() == []


def test_only_the_first_news_asks_to_be_woken() -> None:
    machine, diary, _, _ = attached()
    machine._receive("a", 1, 1.0)
    machine._receive("b", 1, 2.0)
    assert len(diary.woken) == 1


def test_what_rests_takes_no_room() -> None:
    machine, _, _, _ = attached()
    machine._receive("a", 1, 0.0)
    machine.take(0.0)
    assert machine.inbox.items is not EMPTY
    machine._rest()
    assert machine.inbox.items is EMPTY
    assert machine.outbox.waiting is EMPTY
