"""Sessions of protocols that neither number nor acknowledge: one carrier at a time, heartbeats, and every end."""

from __future__ import annotations

from typing import Any

import pytest

from realtime.core.carrier import Capabilities, Carrier
from realtime.core.config import Config
from realtime.core.errors import Refusal, RemoteProtocolError
from realtime.core.frames import Outgoing
from realtime.core.lifecycle import State
from realtime.core.machine import FOREVER
from realtime.core.plain_machine import NO_WINDOW, PlainMachine
from realtime.metrics.tally import Tally

from .fakes import Diary, FakeCodec, FakeLink, duplex, life, poll, stream, texts

TELL = Capabilities(binary=False, heartbeat="tell", protocol="Plain", greeting="o")
ASK = Capabilities(greeting="o")
SETTINGS = {"max_queue": 16, "ping_interval": 20.0, "ping_timeout": 10.0, "resume_window": 5.0}


class Codec(FakeCodec):
    """Says nothing of drops."""

    def item(self, item: Outgoing) -> str:
        """m, b or c; nothing for a note of drops."""
        return "" if item.kind == "d" else str(super().item(item))


def plain(name: str = "chosen", capabilities: Capabilities = TELL, **settings: Any) -> tuple[PlainMachine, Diary]:
    """A session that has just been made, at 0 s."""
    diary = Diary()
    config = Config(**{**SETTINGS, **settings})
    return PlainMachine(config, NO_WINDOW, diary, 0.0, capabilities=capabilities, sid="s1", nonce=name), diary


def spoken(pair: tuple[Carrier, FakeLink], capabilities: Capabilities = TELL) -> tuple[Carrier, FakeLink]:
    """A carrier on which this protocol is spoken."""
    carrier, link = pair
    carrier.codec = Codec(carrier.codec.shape, capabilities=capabilities, name=carrier.codec.name)
    return carrier, link


def opened(
    kind: Any = stream, capabilities: Capabilities = TELL, **settings: Any
) -> tuple[PlainMachine, Diary, Carrier, FakeLink]:
    """A session on its first carrier, which has said `o`."""
    machine, diary = plain(capabilities=capabilities, **settings)
    carrier, link = spoken(kind(), capabilities)
    machine.take_up(carrier, 0.0)
    assert link.said == ["o"]
    diary.read()
    return machine, diary, carrier, link


def polled(machine: PlainMachine, now: float) -> tuple[Carrier, FakeLink]:
    """The next poll, and what was due is written."""
    carrier, link = spoken(poll(now))
    machine.take_up(carrier, now)
    machine.flush(now)
    return carrier, link


# -- carriers --------------------------------------------------------------------------------------------------------


def test_the_first_poll_is_told_that_the_session_is_open_and_nothing_else() -> None:
    machine, _, _, link = opened(poll)
    assert link.closed == (1000, "")
    assert machine.carrier is None
    assert life(machine) is State.OPEN
    assert machine.deadline() == 5.0


def test_who_cannot_come_is_waited_for() -> None:
    """Where its client names the session, and nobody can say for a while whose it is; then it has all its time."""
    machine, _, _, _ = opened(poll)
    answering = 0.0
    machine.reachable_for = lambda: answering
    for now in (5.0, 10.0, 15.0):
        machine.expire(now)
        assert machine.outcome is None
        assert machine.deadline() == now + 5.0
    answering = 3.0
    machine.expire(20.0)
    assert machine.deadline() == 22.0
    answering = 5.0
    machine.expire(22.0)
    assert machine.outcome is not None
    assert machine.outcome.code == 4410


def test_who_could_have_come_is_not_waited_for() -> None:
    machine, _, _, _ = opened(poll)
    machine.reachable_for = lambda: FOREVER
    machine.expire(5.0)
    assert machine.outcome is not None


def test_each_answer_brings_what_waits() -> None:
    machine, _, _, _ = opened(poll)
    for item in texts("1", "2"):
        machine.send(item)
    machine.flush(0.0)  # nobody is there
    carrier, link = polled(machine, 1.0)
    assert link.said == ["m1", "m2"]
    assert carrier.finished
    assert machine.outbox.acked == 2
    _, link = polled(machine, 2.0)
    assert link.said == []
    machine.send(*texts("3"))
    machine.flush(3.0)
    assert link.said == ["m3"]


def test_a_second_carrier_is_refused_and_changes_nothing() -> None:
    machine, _, carrier, link = opened()
    with pytest.raises(Refusal) as refused:
        machine.take_up(spoken(stream())[0], 1.0)
    assert refused.value.code == 4409
    machine.send(*texts("1"))
    machine.flush(1.0)
    assert link.said == ["m1"]
    assert machine.carrier is carrier


def test_who_comes_late_is_told_how_it_ended() -> None:
    machine, _, _, _ = opened()
    machine.end(3000, "bye", 1.0)
    with pytest.raises(Refusal) as refused:
        machine.take_up(spoken(stream())[0], 1.0)
    assert refused.value.code == 3000


def test_a_carrier_that_is_cut_ends_the_session() -> None:
    machine, diary, carrier, link = opened()
    machine.lost(carrier, 1.0)
    assert machine.outcome == (1006, "the connection was interrupted", False)
    assert link.said == []
    assert "ended" in diary.read()
    machine.lost(carrier, 2.0)


def test_a_carrier_that_has_done_its_work_can_be_lost() -> None:
    machine, _, carrier, _ = opened(poll)
    machine.lost(carrier, 1.0)
    assert machine.outcome is None


def test_the_peer_leaves() -> None:
    machine, _, carrier, link = opened(duplex, ASK)
    machine.peer_left(carrier, 1001, "going", 1.0)
    assert machine.outcome == (1001, "going", True)
    assert link.closed == (1001, "going")
    assert link.said == []
    machine.peer_left(carrier, 1000, "", 2.0)
    assert machine.outcome.code == 1001


def test_a_stream_that_has_brought_enough_is_let_go() -> None:
    machine, _, carrier, link = opened(max_stream_size=4096, max_batch_size=3000)
    for item in texts("x" * 3000, "y" * 3000, "z" * 3000):
        machine.send(item)
    machine.flush(1.0)
    assert [str(part)[:2] for part in link.said] == ["mx", "my"]
    assert link.closed == (1000, "")
    assert machine.carrier is None
    assert carrier.finished
    carrier, link = spoken(stream(2.0))
    machine.take_up(carrier, 2.0)
    machine.flush(2.0)
    assert [str(part)[:2] for part in link.said] == ["mz"]


def test_a_carrier_whose_way_is_going_away_is_let_go() -> None:
    machine, _, _, link = opened(stream)
    machine.recycle(1.0)
    assert (link.said, link.closed) == ([], (1000, ""))
    machine.recycle(1.0)  # there is none
    _, link = polled(machine, 2.0)
    machine.recycle(3.0)
    assert (link.said, link.closed) == (["p"], (1000, ""))
    assert life(machine) is State.OPEN


def test_what_cannot_be_gone_on_with_is_kept() -> None:
    machine, _, carrier, link = opened(duplex)
    machine.recycle(1.0)
    assert (link.closed, machine.carrier) == (None, carrier)


def test_metrics_see_carriers() -> None:
    tally = Tally()
    machine, _ = plain()
    machine.observers = (tally,)
    machine.take_up(spoken(poll())[0], 0.0)
    machine.take_up(spoken(poll())[0], 1.0)
    assert {cause for _, cause in tally.attaches} == {"open", "next"}


# -- receiving -------------------------------------------------------------------------------------------------------


def test_messages_come_without_numbers_and_nothing_is_acknowledged() -> None:
    machine, diary, _, link = opened()
    machine.receive("a", 1, 1.0)
    machine.receive("b", 1, 1.0)
    assert machine.take(2.0) == "a"
    assert "acknowledged" in diary.read()  # there may be room
    assert machine.take(2.0) == "b"
    machine.flush(100.0)
    assert link.said == []
    machine.end(1000, "", 3.0)
    machine.receive("late", 4, 3.0)
    assert not machine.inbox


def test_what_was_received_can_be_taken_after_the_end() -> None:
    machine, _, carrier, _ = opened()
    machine.receive("a", 1, 1.0)
    machine.lost(carrier, 1.0)
    assert machine.take(2.0) == "a"


def test_a_message_that_is_too_large() -> None:
    machine, _, _, _ = opened(max_size=3)
    with pytest.raises(RemoteProtocolError) as broken:
        machine.receive("four", 4, 1.0)
    assert broken.value.close_code == 1009


def test_a_rate_makes_room_late() -> None:
    machine, diary, _, _ = opened(max_message_rate=1.0, rate_burst=1.0)
    for _ in range(2):
        machine.receive("x", 1, 0.0)
        machine.take(0.0)
    assert machine.deadline() == 1.0
    diary.read()
    machine.expire(1.0)
    assert "acknowledged" in diary.read()
    assert machine.inbox.taken == 2


def test_bytes_where_there_is_only_text() -> None:
    machine, _, _, _ = opened()
    assert "Plain carries text only" in machine.unfit(Outgoing.message(b"x"))
    assert machine.unfit(Outgoing.message("x")) == ""
    assert plain(capabilities=ASK)[0].unfit(Outgoing.message(b"x")) == ""


def test_nobody_is_asked_for_acks() -> None:
    machine, diary, _, link = opened(duplex, ASK)
    machine.ask_for_acks()
    assert diary.read() == ["dirty"]
    machine.flush(1.0)
    assert link.said == []


# -- closing ---------------------------------------------------------------------------------------------------------


def test_a_close_follows_all_that_was_sent() -> None:
    machine, _, _, link = opened()
    machine.send(*texts("1"))
    machine.close(3000, "bye", 1.0)
    machine.flush(1.0)
    assert link.said == ["m1", "c3000,bye"]
    assert link.closed == (3000, "bye")
    assert machine.outcome == (3000, "bye", True)
    assert machine.remembered == 5.0


def test_a_close_has_an_answer_to_itself() -> None:
    machine, _, _, _ = opened(poll)
    machine.send(*texts("1"))
    machine.close(3000, "bye", 1.0)
    assert polled(machine, 1.0)[1].said == ["m1"]
    assert polled(machine, 2.0)[1].said == ["c3000,bye"]
    assert machine.outcome == (3000, "bye", True)


def test_a_close_that_nobody_fetches() -> None:
    machine, _, _, _ = opened(poll)
    machine.close(3000, "bye", 1.0)
    machine.expire(5.0)
    assert machine.outcome is not None
    assert machine.outcome.code == 4410


def test_a_close_that_is_not_taken() -> None:
    machine, _, _, link = opened()
    link.writable = False
    machine.close(3000, "bye", 0.0)
    machine.expire(35.0)
    assert machine.outcome is not None
    assert machine.outcome.code == 4412


def test_what_comes_behind_a_close_is_discarded() -> None:
    machine, diary, _, _ = opened(poll)
    machine.receive("before", 6, 0.5)
    machine.close(3000, "bye", 1.0)
    diary.read()
    machine.receive("behind", 6, 1.5)
    assert not machine.inbox.items
    assert machine.inbox.taken == machine.inbox.received == 2
    assert "readable" not in diary.read()


def test_an_abrupt_end_is_told() -> None:
    machine, _, _, link = opened()
    machine.end(1008, "too slow", 1.0)
    assert link.said == ["x1008,session,,too slow"]
    assert link.closed == (1008, "too slow")


def test_who_is_not_named_is_not_remembered() -> None:
    machine, _ = plain(name="")
    machine.take_up(spoken(duplex())[0], 0.0)
    machine.end(1000, "", 1.0)
    assert machine.remembered == 0.0


def test_a_note_of_drops_is_not_told_and_answers_no_poll() -> None:
    machine, _, _, _ = opened(poll)
    _, link = polled(machine, 1.0)
    machine.outbox.drop_new()
    machine.flush(1.0)
    assert link.closed is None
    machine.send(*texts("1"))
    machine.flush(1.0)
    assert link.said == ["m1"]


def test_draining_waits_for_the_handler_only() -> None:
    machine, diary, _, link = opened()
    machine.receive("a", 1, 1.0)
    machine.drain(1.0)
    machine.drain(1.0)
    assert life(machine) is State.DRAINING
    assert link.said == []
    assert not machine.drained
    machine.take(1.0)
    assert machine.drained
    assert "may_be_drained" in diary.read()
    machine.close(1012, "the server restarts", 2.0)
    assert not machine.drained


def test_polls_go_on_while_draining() -> None:
    machine, diary, _, _ = opened(poll)
    machine.drain(1.0)
    diary.read()
    polled(machine, 1.0)
    assert "changed" in diary.read()
    assert life(machine) is State.DRAINING


# -- time ------------------------------------------------------------------------------------------------------------


def test_nobody_comes_back() -> None:
    machine, _, _, _ = opened(poll)
    machine.expire(4.9)
    assert machine.outcome is None
    machine.expire(5.0)
    assert machine.outcome is not None
    assert machine.outcome.code == 4410
    assert machine.remembered == 0.0  # its name is free
    assert machine.deadline() == FOREVER
    machine.expire(6.0)
    machine.flush(6.0)


def test_a_held_poll_is_answered_by_a_heartbeat() -> None:
    machine, _, _, _ = opened(poll)
    _, link = polled(machine, 1.0)
    assert machine.deadline() == 21.0
    machine.expire(20.9)
    assert link.said == []
    link.writable = False  # its connection has closed, and nobody has looked
    machine.expire(21.0)
    assert link.said == []
    link.writable = True
    machine.expire(21.0)
    assert link.said == ["p"]
    assert link.closed == (1000, "")
    assert machine.deadline() == 26.0


def test_heartbeats_of_a_stream_are_told_and_not_answered() -> None:
    machine, _, _, link = opened()
    for beat in (20.0, 40.0, 60.0):
        assert machine.deadline() == beat
        machine.expire(beat - 1)
        assert link.said == []
        machine.expire(beat)
        assert link.said == ["p"]
    machine.send(*texts("1"))
    machine.flush(70.0)
    assert machine.deadline() == 90.0


def test_a_stream_that_takes_nothing_is_cut() -> None:
    machine, _, _, link = opened()
    link.writable = False
    assert machine.deadline() == 30.0
    machine.expire(29.0)
    assert not link.aborted
    machine.expire(30.0)
    assert link.aborted
    assert machine.outcome is not None
    assert machine.outcome.code == 1006


def test_a_duplex_peer_is_asked_for_a_sign_of_life() -> None:
    machine, _, carrier, link = opened(duplex, ASK)
    machine.expire(20.0)
    assert link.said == ["p"]
    machine.sign_of_life(carrier, 21.0)
    assert machine.deadline() == 40.0
    machine.expire(40.0)
    assert link.said == ["p"]
    machine.expire(51.0)
    assert link.aborted
    assert machine.outcome is not None
    assert machine.outcome.code == 1006


def test_a_peer_that_is_not_read_is_not_silent() -> None:
    machine, _, _, link = opened(duplex, ASK)
    for _ in range(16):
        machine.receive("x", 1, 1.0)
    machine.pause(1.0)  # who brings another
    machine.expire(100.0)
    assert not link.aborted
    machine.resume()
    machine.expire(200.0)
    assert link.aborted


def test_a_peer_whose_large_message_waits_is_not_silent() -> None:
    machine, _, _, link = opened(duplex, ASK)
    machine.receive("x", 1, 1.0)
    machine.pause(1.0)
    machine.expire(100.0)
    assert not link.aborted


def test_no_heartbeats() -> None:
    machine, _, _, link = opened(ping_interval=None)
    assert machine.deadline() == FOREVER
    machine.expire(1000.0)
    assert link.said == []


def test_a_protocol_whose_sessions_open_without_a_word() -> None:
    machine, _ = plain(capabilities=Capabilities())
    carrier, link = spoken(duplex(), Capabilities())
    machine.take_up(carrier, 0.0)
    assert link.writes == []
    assert machine.carrier is carrier


def test_who_could_not_come_while_the_process_stood_still_has_its_time_anew() -> None:
    machine, _, _, _ = opened(poll)
    machine.excuse(30.0)
    machine.expire(30.0)
    assert (machine.outcome, machine.deadline()) == (None, 35.0)


def test_a_client_about_which_the_application_is_asked_is_not_absent() -> None:
    machine, _, _, _ = opened(poll)
    machine.asked = 1
    machine.expire(5.0)
    assert machine.outcome is None
    machine.asked = 0
    machine.expire(5.25)
    assert (machine.outcome is not None and machine.outcome.code) == 4410
