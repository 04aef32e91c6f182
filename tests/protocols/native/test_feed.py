"""Frames in, with real machines behind them (docs/protocol.md §3-§9)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest

from realtime.core.carrier import NumberedCarrier
from realtime.core.client_machine import ClientMachine
from realtime.core.config import Config
from realtime.core.durable.machine import DurableMachine
from realtime.core.durable.owner import Owner
from realtime.core.durable.record import created
from realtime.core.errors import RemoteProtocolError
from realtime.core.frames import Dropped, Outgoing, RoomMessage, RoomPosition
from realtime.core.lifecycle import State
from realtime.core.numbered_machine import NumberedMachine
from realtime.protocols.native import Renewal, feed_client, feed_server
from realtime.protocols.native.feed import _pair

from ...core.durable.test_machine import Writer
from ...core.fakes import SMALL, WIDE, Diary, FakeLink
from .ends import MESSAGES, connecting, opened_text, serving


def test_messages_to_a_server() -> None:
    machine, carrier, _ = serving()
    frames: tuple[str | bytes, ...] = ("mh\u00e9😀", "bAAf/", b"\xff", "d3", "m")
    for frame in frames:
        feed_server(machine, carrier, frame, 5.0)
    assert machine.inbox.size == 7 + 3 + 1
    assert [machine.take(5.0) for _ in range(5)] == ["h\u00e9😀", b"\0\x07\xff", b"\xff", Dropped(3), ""]


def test_messages_of_rooms_to_a_client() -> None:
    machine, carrier, _ = connecting()
    for frame in ("hchat,1.1.x", "hchat,1.2.x,mé", "hchat,1.3.x,bAAf/", "hchat,1.9.x,d5"):
        feed_client(machine, carrier, frame, 5.0)
    assert (machine.inbox.size, machine.inbox.received, machine.inbox.messages) == (5, 4, 2)
    assert [machine.take(5.0) for _ in range(4)] == [
        RoomPosition("chat", "1.1.x", None),
        RoomMessage("é", "chat", "1.2.x"),
        RoomMessage(b"\0\x07\xff", "chat", "1.3.x"),
        RoomPosition("chat", "1.9.x", 5),
    ]
    with pytest.raises(RemoteProtocolError, match="a message of a room is"):
        feed_client(machine, carrier, "hchat", 5.0)


def test_any_frame_is_a_sign_of_life() -> None:
    machine, carrier, _ = serving()
    frames: tuple[str | bytes, ...] = ("q", "zunknown", "a0,0", b"", "p")
    for number, frame in enumerate(frames, 1):
        carrier.pinged = True
        feed_server(machine, carrier, frame, float(number))
        assert (carrier.last_received, machine.contact, carrier.pinged) == (number, number, False)


def test_an_answered_ping_brings_the_next_one_forward() -> None:
    """Not only at the end of the silence that the first ping had begun."""
    machine, carrier, _ = serving()
    carrier.pinged = True
    feed_server(machine, carrier, "q", 1.0)
    assert isinstance(machine.listener, Diary)
    assert machine.listener.woken[-1] == machine.deadline()
    peer, theirs, _ = connecting()
    theirs.pinged = True
    feed_client(peer, theirs, "q", 1.0)
    assert isinstance(peer.listener, Diary)
    assert peer.listener.woken[-1] == peer.deadline()


def test_unknown_unnumbered_frames_move_no_cursor() -> None:
    machine, carrier, _ = serving()
    for frame in ("zx", "Mx", "\0", "😀", "eidle", "qx"):
        feed_server(machine, carrier, frame, 0.0)
    assert (carrier.receive_cursor, machine.inbox.received, machine.outcome) == (1, 0, None)


def test_only_an_ack_behind_the_o_uses_the_sid() -> None:
    machine, carrier, _ = serving()
    others: tuple[str | bytes, ...] = ("mhello", b"a0,0", "p", "zx")
    for frame in others:
        feed_server(machine, carrier, frame, 0.0)
        assert not machine.used
    feed_server(machine, carrier, "a0,0", 0.0)
    assert machine.used
    feed_server(machine, carrier, "a0,0", 0.0)
    feed_server(machine, carrier, "mhello", 0.0)


def test_acks_pings_and_renumbering() -> None:
    machine, carrier, link = serving("a", "b")
    feed_server(machine, carrier, "a2,1,future", 0.0)
    assert (machine.outbox.acked, machine.outbox.taken) == (2, 1)
    feed_server(machine, carrier, "p" + "é" * 65, 0.0)
    assert link.said == ["q" + "é" * 64]
    feed_server(machine, carrier, "n1,future", 0.0)
    feed_server(machine, carrier, "mone", 0.0)
    assert machine.inbox.received == 1
    feed_server(machine, carrier, "n3", 0.0)
    with pytest.raises(RemoteProtocolError, match="gap"):
        feed_server(machine, carrier, "mthree", 0.0)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("a1,0", 1002),  # nothing was sent
        ("a0,1", 1002),
        ("a0", 1002),
        ("m\ud83d", 1007),
        ("p\ud83d", 1007),
        ("bQQ", 1007),
        ("b\u00e9", 1007),
        ("n01", 1002),
        ("n9007199254740992", 1002),  # 2**53
        ("n" + "9" * 5000, 1002),
        ("n\u0661", 1002),
        ("d-1", 1002),
        ("c999,", 1002),
        ("c1006,", 1002),
        ("gsoon", 1002),
        ("x1000", 1002),
        ("", 1002),
        ("o{}", 1002),
        ("rs1,2,0,0,1", 1002),
        ("us1,0,0,1", 1002),
        ("m" + "x" * (SMALL.max_size + 1), 1009),
        ("m" + "é" * (SMALL.max_size // 2 + 1), 1009),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_what_ends_a_session(frame: str, code: int) -> None:
    machine, carrier, _ = serving()
    with pytest.raises(RemoteProtocolError) as caught:
        feed_server(machine, carrier, frame, 0.0)
    assert caught.value.close_code == code


def test_exceeding_the_window_ends_a_session() -> None:
    machine, carrier, _ = serving()
    for _ in range(16):
        feed_server(machine, carrier, "m", 0.0)
    feed_server(machine, carrier, "a0,0", 0.0)  # a receiver never stops reading
    with pytest.raises(RemoteProtocolError, match="window"):
        feed_server(machine, carrier, "m", 0.0)


def test_a_clean_close_is_answered_on_the_spot() -> None:
    machine, carrier, link = serving()
    feed_server(machine, carrier, "mlast", 0.0)
    feed_server(machine, carrier, "c3000,one, two", 0.0)
    assert machine.outcome == (3000, "one, two", True)
    assert link.said == ["a2,0", "x3000,session,2,one, two"]


def test_an_abrupt_end_by_the_client() -> None:
    machine, carrier, _ = serving("a")
    feed_server(machine, carrier, "x1002,session,0,a gap", 0.0)
    assert machine.outcome == (1002, "a gap", False)
    assert machine.outbox.unacknowledged() == ["a"]


@pytest.mark.parametrize("code", [4411, 3000, 1002, 1003, 1007, 1009, 1011])
def test_codes_a_client_ends_with(code: int) -> None:
    machine, carrier, _ = serving()
    feed_server(machine, carrier, f"x{code},session,,", 0.0)
    assert machine.outcome == (code, "", False)


@pytest.mark.parametrize("code", [1004, 1005, 1006, 1010, 1015, 2999])
def test_codes_a_client_does_not_end_with(code: int) -> None:
    machine, carrier, _ = serving()
    with pytest.raises(RemoteProtocolError, match=f"does not end with {code}"):
        feed_server(machine, carrier, f"x{code},session,,", 0.0)


def test_a_drain_is_answered_by_the_last_number() -> None:
    machine, carrier, _ = serving()
    machine.drain(5.0)
    feed_server(machine, carrier, "g1", 0.0)
    assert not machine.drained
    feed_server(machine, carrier, "mlast", 0.0)
    machine.take(0.0)
    assert machine.drained


def test_of_tickets_no_more_are_kept_than_a_server_hands_out() -> None:
    machine, carrier, _ = connecting()
    feed_client(machine, carrier, "k7" + ",T" * 100_000, 1.0)
    assert machine.tickets == (7, tuple("T" * 16))
    feed_client(machine, carrier, "k8,A,B", 1.0)
    assert machine.tickets == (8, tuple("AB"))


def test_opening_and_one_message_each_way() -> None:
    machine, carrier, link = connecting()
    feed_client(machine, carrier, "o" + opened_text(ack=[0, 0]), 1.0)
    machine.send(Outgoing.message("hello"))
    machine.flush(1.0)
    assert link.said == ["mhello", "a0,0"]
    feed_client(machine, carrier, "a1,1", 2.0)
    feed_client(machine, carrier, "mhello back", 2.0)
    assert machine.take(2.0) == "hello back"
    assert (machine.sid, machine.state, machine.outbox.taken, machine.contact) == ("s1", State.OPEN, 1, 2.0)


def test_nothing_counts_on_a_carrier_whose_o_names_another_session() -> None:
    machine, carrier, _ = connecting()
    other = NumberedCarrier(MESSAGES, FakeLink(), 0.0)
    machine.start(other, 0.0)
    feed_client(machine, other, "o" + opened_text(ack=[0, 0]), 1.0)
    for frame in ("o" + opened_text(sid="s2"), "mnot ours", "a9,9", "c1000,", "g5", ""):
        feed_client(machine, carrier, frame, 2.0)
    assert (machine.sid, machine.inbox.received, machine.state) == ("s1", 0, State.OPEN)
    assert machine.carrier is other


def test_a_client_attaches_and_drains() -> None:
    machine, carrier, _ = connecting()
    feed_client(machine, carrier, "o" + opened_text(ack=[0, 0]), 0.0)
    following = NumberedCarrier(MESSAGES, FakeLink(), 0.0)
    machine.start(following, 0.0)
    feed_client(machine, following, "r0,0,future", 0.0)
    assert following.attached
    feed_client(machine, following, "g30", 0.0)
    assert machine.state is State.DRAINING


def durable() -> tuple[ClientMachine, NumberedCarrier]:
    """A durable session whose open was answered, and which has told its cursors."""
    machine, carrier, _ = connecting()
    feed_client(machine, carrier, "o" + opened_text(ack=[0, 0], tenure="t1"), 0.0)
    machine.flush(0.0)
    return machine, carrier


def test_messages_of_rooms_in_a_durable_session_have_no_number() -> None:
    machine, carrier = durable()
    for frame in ("lchat,1.1.x", "lchat,1.2.x,mhi", "mnumbered", "la%2Cb,1.1.x,bAAH/", "lchat,1.9.x,d0", "lchat"):
        feed_client(machine, carrier, frame, 1.0)
    assert [machine.take(1.0) for _ in range(5)] == [
        RoomPosition("chat", "1.1.x", None),
        RoomMessage("hi", "chat", "1.2.x"),
        "numbered",
        RoomMessage(b"\x00\x01\xff", "a,b", "1.1.x"),
        RoomPosition("chat", "1.9.x", 0),
    ]
    assert machine.inbox.received == 1
    with pytest.raises(RemoteProtocolError) as caught:
        feed_client(machine, carrier, "hchat,1.3.x,mhi", 1.0)
    assert caught.value.close_code == 1002


def test_a_client_follows_the_owners_of_a_durable_session() -> None:
    machine, carrier = durable()
    machine.send(Outgoing.message("a"))
    machine.flush(0.0)
    feed_client(machine, carrier, "a1,0", 1.0)  # of its own carrier: there is nothing to name
    assert machine.outbox.acked == 1
    answer = NumberedCarrier(MESSAGES, FakeLink(), 0.0)
    machine.following.sends(answer, "t1")
    feed_client(machine, answer, "a1,1,t1", 1.0)
    assert machine.outbox.taken == 1
    with pytest.raises(RemoteProtocolError) as caught:
        feed_client(machine, answer, "a1,1", 1.0)
    assert caught.value.close_code == 1002
    following = NumberedCarrier(MESSAGES, FakeLink(), 0.0)
    assert machine.start(following, 1.0).tenure == "t1"
    feed_client(machine, following, "r1,1,t2,0,1,1", 1.0)
    assert machine.following.tenure == "t2"
    with pytest.raises(RemoteProtocolError) as caught:
        feed_client(machine, following, "r1,1", 1.0)
    assert caught.value.close_code == 1002


def test_in_other_sessions_what_durable_ones_say_means_nothing() -> None:
    machine, carrier, _ = connecting()
    feed_client(machine, carrier, "o" + opened_text(ack=[0, 0]), 0.0)
    for frame in ("lchat,1.2.x,mhi", "lchat", "l%", "f1,2"):
        feed_client(machine, carrier, frame, 1.0)
    assert (machine.outcome, len(machine.inbox)) == (None, 0)


def test_what_means_nothing_to_a_client_is_ignored() -> None:
    machine, carrier, _ = connecting()
    for frame in ("zx", "us1,0,0,1", "esuperseded", "Mx", "q"):
        feed_client(machine, carrier, frame, 1.0)
    assert (machine.outcome, machine.state, carrier.last_received) == (None, State.CONNECTING, 1.0)


@pytest.mark.parametrize(("frame", "code"), [("r1,0", 1002), ("r", 1002), ("o{}", 1002), ("a1,1", 1002), ("b=", 1007)])
def test_what_ends_a_session_at_the_client(frame: str, code: int) -> None:
    machine, carrier, _ = connecting()
    with pytest.raises(RemoteProtocolError) as caught:
        feed_client(machine, carrier, frame, 0.0)
    assert caught.value.close_code == code


def test_the_servers_close() -> None:
    machine, carrier, link = connecting()
    feed_client(machine, carrier, "o" + opened_text(ack=[0, 0]), 0.0)
    feed_client(machine, carrier, "c1012,restart", 0.0)
    assert machine.outcome == (1012, "restart", True)
    assert link.said == ["a1,0"]


def test_what_follows_the_o_of_another_session_is_not_ours() -> None:
    machine, carrier, _ = connecting()
    feed_client(machine, carrier, "o" + opened_text(ack=[0, 0]), 0.0)
    late = NumberedCarrier(MESSAGES, FakeLink(), 0.0)
    machine.start(late, 0.0)
    feed_client(machine, late, "o" + opened_text(ack=[0, 0], sid="s2"), 0.0)
    feed_client(machine, late, "mnot for us", 0.0)
    assert (machine.sid, machine.inbox.received) == ("s1", 0)


@pytest.mark.parametrize("frame", ["x1000,session,,", "x4000,session,1,", "x1009,session,,too large"])
def test_codes_a_client_may_end_with(frame: str) -> None:
    machine, carrier, _ = serving("a")
    feed_server(machine, carrier, frame, 0.0)
    assert machine.outcome is not None
    assert machine.outcome.code == int(frame[1:5])


@pytest.mark.parametrize("frame", ["x1005,session,,", "x1011x,session,,", "x2999,session,,", "c1002,", "c1006,"])
def test_codes_a_client_may_not_end_with(frame: str) -> None:
    machine, carrier, _ = serving("a")
    with pytest.raises(RemoteProtocolError) as caught:
        feed_server(machine, carrier, frame, 0.0)
    assert caught.value.close_code == 1002


def test_asking_for_tickets_is_a_frame_with_a_number() -> None:
    machine, carrier, _ = serving()
    for frame in ("k3", "s1"):
        assert feed_server(machine, carrier, frame, 1.0) is None
    with pytest.raises(RemoteProtocolError, match="k is not a number"):
        feed_server(machine, carrier, "k", 1.0)


def test_a_client_keeps_the_tickets_it_is_given() -> None:
    machine = ClientMachine(Config(), Diary(), 0.0)
    carrier = NumberedCarrier(MESSAGES, FakeLink(), 0.0)
    machine.start(carrier, 0.0)
    feed_client(machine, carrier, "k2,one,two", 1.0)
    assert machine.tickets == (2, ("one", "two"))
    assert machine.ticket() == "one"


def test_fresh_auth_data_are_handed_to_whoever_can_judge_them() -> None:
    machine, carrier, _ = serving()
    assert feed_server(machine, carrier, "t[1]", 3.0) == Renewal(b"[1]")
    assert (machine.contact, machine.inbox.received, machine.outcome) == (3.0, 0, None)


@pytest.mark.parametrize("number", ["0", "7", "999999999999999", "1000000000000000", "9007199254740991"])
@pytest.mark.parametrize("behind", ["", ",", ",more\n"])
def test_an_ack_is_two_numbers_and_whatever_stands_behind(number: str, behind: str) -> None:
    assert _pair(f"a{number},{number}{behind}", "a") == (int(number), int(number))


@pytest.mark.parametrize("number", ["", "01", "00", "-1", "+1", "1 ", " 1", "1_0", "\u0661", "9007199254740992", "1\n"])
def test_an_ack_of_what_is_no_number(number: str) -> None:
    for frame in (f"a{number},0", f"a0,{number}"):
        with pytest.raises(RemoteProtocolError, match="a is not a number"):
            _pair(frame, "a")


@pytest.mark.parametrize("frame", ["p", "q", "z", "a0,0"])
def test_what_is_no_news_is_counted_where_messages_have_a_rate(frame: str) -> None:
    config = Config(max_queue=16, max_queue_size=65_536, max_message_rate=1.0, rate_burst=1.0)
    machine = NumberedMachine(config, WIDE, Diary(), 0.0, sid="s1", nonce="n1")
    carrier = NumberedCarrier(MESSAGES, FakeLink(), 0.0)
    machine.open(carrier, 1, 0.0)
    for _ in range(1 + config.max_queue):
        feed_server(machine, carrier, frame, 0.0)
    with pytest.raises(RemoteProtocolError) as caught:
        feed_server(machine, carrier, frame, 0.0)
    assert caught.value.close_code == 1008


def test_what_a_client_says_of_its_rooms() -> None:
    machine, carrier, _ = serving()
    for frame in ("l1,chat,1.1.x", "lwhatever", "f1,2", "f"):
        feed_server(machine, carrier, frame, 1.0)  # an ordinary session has no use for them
    told: list[object] = []

    class Durable(DurableMachine):
        def rooms_heard(self, gen: int, cursors: Mapping[str, str]) -> None:
            told.append((gen, cursors))

        def rooms_taken(self, gen: int, count: int) -> bool:
            told.append((gen, count))
            return gen == 1

    durable = Durable(SMALL, WIDE, Writer(), 0.0, owner=Owner(created("i", "one", "t", "", 1)), sid="d.s")
    for frame in ("l1,chat%2C,1.1.x", "l2", "f1,2"):
        feed_server(durable, carrier, frame, 1.0)
    assert told == [(1, {"chat,": "1.1.x"}), (2, {}), (1, 2)]
    config = dataclasses.replace(SMALL, max_message_rate=1.0, rate_burst=1.0)
    metered = Durable(config, WIDE, Writer(), 0.0, owner=Owner(created("i", "one", "t", "", 1)), sid="d.s")
    for _ in range(2 * (config.max_queue + 1)):
        feed_server(metered, carrier, "f1,2", 1.0)
    with pytest.raises(RemoteProtocolError, match="no message"):
        for _ in range(2 * (config.max_queue + 1)):
            feed_server(metered, carrier, "f2,2", 1.0)  # which tells nothing
    for frame in ("l1,chat", "lx", "f1", "f1,x", "l1,chat,no cursor"):
        with pytest.raises(RemoteProtocolError) as error:
            feed_server(durable, carrier, frame, 1.0)
        assert error.value.close_code == 1002
