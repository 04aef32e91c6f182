"""A session as Engine.IO knows it, without sockets or a clock."""

from __future__ import annotations

import json
from unittest.mock import Mock

import pytest

from realtime.core.carrier import Carrier
from realtime.core.config import Config
from realtime.core.errors import Refusal, RemoteProtocolError
from realtime.core.frames import Outgoing
from realtime.core.lifecycle import State
from realtime.core.machine import FOREVER
from realtime.core.observer import Cause, Observer
from realtime.core.plain_machine import NO_WINDOW
from realtime.protocols.engineio.codec import codec
from realtime.protocols.engineio.machine import EngineMachine
from realtime.protocols.engineio.options import EngineIO
from realtime.protocols.engineio.packets import Packet
from realtime.protocols.engineio.upgrade import Stage

from ...core.fakes import Diary, FakeLink

SMALL = Config(max_queue=16, max_queue_size=65_536)
OPTIONS = EngineIO(ping_interval=10, ping_timeout=5, upgrade_timeout=3)


class Game:
    """A machine, and the requests that its client makes."""

    def __init__(
        self, version: int = 4, config: Config = SMALL, options: EngineIO = OPTIONS, *, takes_many: bool = False
    ) -> None:
        self.listener = Diary()
        self.machine = EngineMachine(
            config, NO_WINDOW, self.listener, 0.0, version=version, options=options, takes_many=takes_many, sid="s"
        )
        self.version = version

    def carrier(self, transport: str) -> tuple[Carrier, FakeLink]:
        """A carrier that nobody has taken up."""
        link = FakeLink()
        return Carrier(codec(self.version, transport, base64=True), link, 0.0), link

    def begin(self, transport: str = "polling", now: float = 0.0) -> tuple[Carrier, FakeLink]:
        """Opens the session; what its client is told is left to be read."""
        carrier, link = self.carrier(transport)
        self.machine.begin(carrier, now)
        self.machine.flush(now)
        return carrier, link

    def poll(self, now: float = 0.0) -> FakeLink:
        """A poll."""
        carrier, link = self.carrier("polling")
        self.machine.poll(carrier, now)
        self.machine.flush(now)
        return link

    def polled(self, now: float = 0.0) -> str:
        """A poll that is answered at once."""
        return said(self.poll(now))

    def post(self, *packets: str | bytes, now: float = 0.0) -> None:
        """A POST of messages (bytes) and packets (text)."""
        carrier, _ = self.carrier("polling")
        for packet in packets:
            parsed = Packet("4", packet) if isinstance(packet, bytes) else Packet(packet[0], packet[1:])
            self.machine.feed(carrier, parsed, now)

    def connect(self, now: float = 0.0) -> tuple[Carrier, FakeLink]:
        """A WebSocket that names the session."""
        carrier, link = self.carrier("websocket")
        assert self.machine.connect(carrier, now)
        return carrier, link

    def feed(self, carrier: Carrier, packet: str, now: float = 0.0) -> None:
        """One packet on a carrier."""
        self.machine.feed(carrier, Packet(packet[:1], packet[1:]), now)
        self.machine.flush(now)

    def send(self, text: str, now: float = 0.0) -> None:
        """The application sends."""
        self.machine.send(Outgoing.message(text))
        self.machine.flush(now)


def said(link: FakeLink) -> str:
    """The body of an answered poll."""
    assert link.closed is not None, "not answered"
    (body,) = link.said
    assert isinstance(body, bytes)
    return body.decode()


def frames(link: FakeLink) -> list[bytes]:
    """The payloads of short WebSocket frames."""
    data = b"".join(part for part in link.said if isinstance(part, bytes))
    found = []
    while data:
        size = data[1]
        start = 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        found.append(data[start : start + size])
        data = data[start + size :]
    return found


# -- opening -----------------------------------------------------------------------------------------------------------


def test_the_handshake_over_polling() -> None:
    game = Game(options=EngineIO(ping_interval=0.3, ping_timeout=0.2))
    _, link = game.begin()
    text = said(link)
    assert text[0] == "0"
    assert json.loads(text[1:]) == {
        "sid": "s",
        "upgrades": ["websocket"],
        "pingInterval": 300,
        "pingTimeout": 200,
        "maxPayload": 1_000_000,
    }
    assert game.machine.carrier is None
    assert game.machine.state is State.OPEN


def test_the_handshake_over_websocket() -> None:
    game = Game()
    _, link = game.begin("websocket")
    (frame,) = frames(link)
    assert json.loads(frame[1:])["upgrades"] == []
    assert game.machine.upgrade.stage is Stage.DONE
    assert "begin" not in repr(game.machine)


def test_what_the_handler_sends_at_once_goes_along() -> None:
    game = Game()
    game.machine.send(Outgoing.message("hello"))
    _, link = game.begin()
    assert said(link).endswith("\x1e4hello")


def test_a_session_that_ended_before_its_first_carrier_came() -> None:
    game = Game()
    game.machine.end(1001, "gone", 0)
    _, link = game.begin("websocket")
    assert (link.said, link.closed) == ([], (1001, "gone"))


# -- polling -----------------------------------------------------------------------------------------------------------


def test_a_poll_waits_for_news() -> None:
    game = Game()
    game.begin()
    link = game.poll()
    assert link.closed is None
    game.send("a")
    assert said(link) == "4a"
    game.send("b")
    game.send("c")
    assert game.polled() == "4b\x1e4c"
    assert game.machine.outbox.acked == 3


def test_a_poll_whose_way_is_going_away_is_answered() -> None:
    game = Game()
    game.begin()
    link = game.poll()
    game.machine.recycle(2.0)
    game.machine.flush(2.0)
    assert said(link) == "6"
    assert game.machine.outcome is None


def test_a_websocket_whose_way_is_going_away_hears_nothing_of_it() -> None:
    """No other could take its place in the session."""
    game = Game()
    _, link = game.begin("websocket")
    game.machine.flush(1.0)
    link.said.clear()
    game.machine.recycle(2.0)
    game.machine.flush(2.0)
    assert link.said == []
    assert game.machine.outcome is None


def test_a_burst_takes_as_many_polls_as_batches() -> None:
    game = Game(config=Config(max_batch=400), options=EngineIO(max_packets=1000))
    game.begin()
    for number in range(1000):
        game.send(str(number))
    got = [packet for _ in range(3) for packet in game.polled().split("\x1e")]
    assert got == [f"4{number}" for number in range(1000)]


def test_no_answer_has_more_packets_than_clients_take() -> None:
    game = Game()
    for number in range(100):
        game.machine.send(Outgoing.message(str(number)))
    _, link = game.begin()
    assert len(said(link).split("\x1e")) == 16
    game.machine.expire(10)
    assert game.polled(10).split("\x1e") == ["2", *(f"4{number}" for number in range(15, 30))]


def test_who_takes_many_gets_a_batch() -> None:
    """And with one that is smaller than all else that may be said, no less than others."""
    for most, got in ((64, 64), (3, 16)):
        game = Game(config=Config(max_batch=most), takes_many=True)
        for number in range(100):
            game.machine.send(Outgoing.message(str(number)))
        _, link = game.begin()
        packets = said(link).split("\x1e")
        assert packets[0][0] == "0"
        assert packets[1:] == [f"4{number}" for number in range(len(packets) - 1)]
        assert len(packets) == min(got, most + 1)


def test_a_note_of_drops_says_nothing() -> None:
    game = Game()
    game.begin()
    game.machine.outbox.drop_new()
    game.machine.flush(0)
    assert game.polled() == "6"


def test_messages_come_in() -> None:
    game = Game()
    game.begin()
    game.post("4a", b"\x00", "4é", "6", "0", "5")
    assert [game.machine.take(0) for _ in range(3)] == ["a", b"\x00", "é"]
    assert game.machine.inbox.total == 4


def test_a_message_above_max_size() -> None:
    game = Game(config=Config(max_size=3))
    game.begin()
    with pytest.raises(RemoteProtocolError) as error:
        game.post("4aéb")
    assert error.value.close_code == 1009


def test_a_second_poll_ends_the_session() -> None:
    game = Game()
    game.begin()
    first = game.poll()
    with pytest.raises(Refusal):
        game.poll()
    assert said(first) == "1"
    assert game.machine.outcome is not None
    assert game.machine.outcome.code == 1002
    with pytest.raises(Refusal):
        game.poll()


def test_a_cut_poll_ends_the_session() -> None:
    game = Game()
    game.begin()
    carrier, _ = game.carrier("polling")
    game.machine.poll(carrier, 0)
    game.machine.lost(carrier, 0)
    assert game.machine.outcome == (1006, "the connection was lost", False)


def test_nothing_is_written_for_a_poll_whose_peer_has_left() -> None:
    game = Game()
    game.begin()
    link = game.poll()
    link.writable = False
    game.send("a")
    assert link.said == []
    assert game.machine.outcome is not None
    assert game.machine.outbox.unacknowledged() == ["a"]


def test_the_loss_of_what_carries_nothing_is_no_loss() -> None:
    game = Game()
    carrier, _ = game.begin()
    game.machine.lost(carrier, 0)
    assert game.machine.outcome is None


def test_the_client_closes() -> None:
    game = Game()
    game.begin()
    link = game.poll()
    game.post("1", "4late")
    assert said(link) == "6"
    assert game.machine.remembered == SMALL.lifetime
    assert game.machine.outcome == (1000, "", True)
    assert len(game.machine.inbox) == 0


# -- heartbeats --------------------------------------------------------------------------------------------------------


def test_version_4_pings_whatever_else_travels() -> None:
    game = Game()
    game.begin()
    machine = game.machine
    assert machine.deadline() == 10
    link = game.poll(9)
    game.send("a", 9)
    assert said(link) == "4a"
    link = game.poll(9.5)
    machine.expire(10.5)
    assert said(link) == "2"
    assert machine.deadline() == 15
    game.post("3", now=12)
    assert machine.deadline() == 20.5  # an interval after the ping, however late the answer was read
    link = game.poll(12)
    machine.expire(20.5)
    assert said(link) == "2"
    assert machine.outcome is None


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_version_4_pings_on_while_the_client_is_not_read(transport: str) -> None:
    """A client leaves when it was not pinged for an interval and a timeout, whatever the server waits for."""
    game = Game()
    _, link = game.begin(transport)
    machine = game.machine
    machine.pause(1)
    told = len(frames(link)) - 1
    for now in range(1, 101):
        if transport == "polling" and machine.carrier is None:
            link = game.poll(now)
        machine.expire(now)
        machine.flush(now)
        if transport == "polling":
            told += bool(link.writes) and said(link) == "2"
        else:
            told += frames(link) == [b"2"]
        assert told == now // 10
    machine.resume()
    game.post("3", now=101)
    assert machine.deadline() == 110
    machine.expire(110)
    machine.expire(115)
    assert machine.outcome is not None


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_version_3_is_given_signs_of_life_while_it_is_not_read(transport: str) -> None:
    """Its pings wait to be read, and it leaves when nothing at all came for a timeout since it pinged."""
    game = Game(3)
    _, link = game.begin(transport)
    machine = game.machine
    link.writes.clear()
    quiet = 0
    machine.pause(0)
    machine.pause(0)
    machine.resume()
    for tenth in range(1, 1001):
        now = tenth / 10
        if transport == "polling" and machine.carrier is None:
            link = game.poll(now)
        machine.expire(now)
        machine.flush(now)
        if link.writes:
            assert frames(link) == [b"6"] if transport == "websocket" else said(link) == "1:6"
            quiet = tenth
        assert tenth - quiet < 10 * OPTIONS.ping_timeout / 2
    assert machine.outcome is None
    machine.resume()
    machine.expire(102)
    machine.expire(104)
    assert machine.deadline() <= 115  # no more of them: the client's own pings are read
    machine.expire(115)
    assert machine.outcome is not None
    assert machine.outcome.code == 4410


def test_a_ping_waits_for_a_poll() -> None:
    game = Game()
    game.begin()
    game.machine.expire(10)
    assert game.polled(11) == "2"


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_version_4_without_a_pong(transport: str) -> None:
    game = Game()
    game.begin(transport)
    game.machine.expire(10)
    game.machine.expire(14.9)
    assert game.machine.outcome is None
    game.machine.expire(15)
    assert game.machine.outcome is not None
    assert game.machine.outcome.code == 4410
    game.machine.expire(100)


def test_one_late_look_finds_ping_and_silence() -> None:
    game = Game()
    game.begin()
    game.machine.expire(12.4)
    assert game.machine.deadline() == 15
    game = Game()
    game.begin()
    game.machine.expire(100)  # the process stood still: nobody could have answered
    assert game.machine.deadline() == 105


def test_whoever_speaks_is_alive() -> None:
    game = Game()
    game.begin()
    game.machine.expire(10)
    game.post("4a", now=14)
    assert game.machine.deadline() == 19


@pytest.mark.parametrize("version", [3, 4])
def test_whose_poll_comes_first_when_the_sweep_is_late_is_judged_by_the_sweep(version: int) -> None:
    """Behind a standstill the POST with the sign of life may be read after the poll."""
    game = Game(version)
    game.begin()
    if version == 4:
        game.machine.expire(10)
        game.polled(10)
    game.poll(15)
    game.post("2" if version == 3 else "3", now=15)
    game.machine.expire(15)
    assert game.machine.outcome is None


def test_a_client_about_which_the_application_is_asked_is_not_silent() -> None:
    game = Game()
    game.begin()
    game.machine.expire(10)
    game.machine.asked = 1
    game.machine.expire(15)
    assert (game.machine.outcome, game.machine.deadline()) == (None, 20)


def test_version_3_is_pinged() -> None:
    game = Game(3)
    game.begin()
    machine = game.machine
    assert machine.deadline() == 15
    link = game.poll()
    game.post("2", now=12)
    machine.flush(12)
    assert said(link) == "1:3"
    assert machine.deadline() == 27
    game.post("2probe", "2again", now=13)
    assert game.polled(13) == "6:3again"
    machine.expire(28)
    assert machine.outcome is not None
    assert machine.outcome.code == 4410


@pytest.mark.parametrize(("version", "packet"), [(4, "2"), (3, "3")])
def test_heartbeats_in_the_wrong_direction(version: int, packet: str) -> None:
    game = Game(version)
    game.begin()
    with pytest.raises(RemoteProtocolError):
        game.post(packet)


# -- WebSocket ---------------------------------------------------------------------------------------------------------


def test_a_websocket_carries_both_ways() -> None:
    game = Game()
    carrier, link = game.begin("websocket")
    frames(link)
    game.send("a")
    game.feed(carrier, "4b")
    game.feed(carrier, "4c")
    assert frames(link) == [b"4a"]
    assert [game.machine.take(0), game.machine.take(0)] == ["b", "c"]
    game.machine.expire(10)
    assert frames(link) == [b"2"]
    game.feed(carrier, "3", 11)
    with pytest.raises(Refusal) as refusal:
        game.poll()
    assert refusal.value.code == 4400


def test_a_websocket_that_takes_no_more() -> None:
    game = Game()
    _, link = game.begin("websocket")
    frames(link)
    link.writable = False
    game.send("a")
    game.machine.expire(10)
    assert link.said == []
    link.writable = True
    game.machine.flush(10)
    assert frames(link) == [b"2", b"4a"]


@pytest.mark.parametrize(("said_code", "code"), [(1000, 1000), (1001, 1001), (1005, 1000), (4000, 1000)])
def test_a_websocket_that_is_closed_by_its_client(said_code: int, code: int) -> None:
    game = Game()
    carrier, link = game.begin("websocket")
    frames(link)
    game.machine.peer_left(carrier, said_code, "bye", 0)
    game.machine.lost(carrier, 0)
    assert game.machine.outcome == (code, "the client closed the WebSocket", True)
    assert link.said == []


# -- the upgrade -------------------------------------------------------------------------------------------------------


def test_the_upgrade() -> None:
    game = Game()
    game.begin()
    machine = game.machine
    parked = game.poll()
    carrier, link = game.connect()
    assert link.said == []
    game.feed(carrier, "2probe", 1)
    assert frames(link) == [b"3probe"]
    assert said(parked) == "6"
    game.send("between", 1)
    game.feed(carrier, "5", 1)
    assert frames(link) == [b"4between"]
    assert machine.carrier is carrier
    assert machine.upgrade.stage is Stage.DONE
    game.feed(carrier, "4up", 1)
    assert machine.take(1) == "up"
    with pytest.raises(Refusal):
        game.poll(1)
    other, _ = game.carrier("websocket")
    assert not machine.connect(other, 1)


def test_a_poll_while_probed_is_soon_answered_and_never_spins() -> None:
    game = Game()
    game.begin()
    carrier, _ = game.connect()
    game.feed(carrier, "2probe", 1)
    assert game.polled(1) == "6"
    parked = game.poll(1.01)
    assert parked.closed is None
    assert game.machine.deadline() == pytest.approx(1.1)
    game.send("news", 1.02)
    assert said(parked) == "4news"


def test_a_poll_still_parked_when_the_websocket_takes_over() -> None:
    game = Game()
    game.begin()
    parked = game.poll()
    carrier, _ = game.connect()
    game.feed(carrier, "5")
    assert said(parked) == "6"
    assert game.machine.carrier is carrier


@pytest.mark.parametrize("packet", ["2", "2prob", "4a", "1", "3", ""])
def test_anything_else_ends_the_trial_and_changes_nothing(packet: str) -> None:
    game = Game()
    game.begin()
    parked = game.poll()
    carrier, link = game.connect()
    game.feed(carrier, packet)
    assert link.closed is not None
    assert game.machine.trial is None
    game.send("a")
    assert said(parked) == "4a"
    game.connect()


def test_an_upgrade_that_dies_after_the_probe() -> None:
    game = Game()
    game.begin()
    carrier, _ = game.connect()
    game.feed(carrier, "2probe")
    game.send("a")
    game.machine.lost(carrier, 0)
    assert game.machine.outcome is None
    assert game.polled() == "4a"
    assert game.poll().closed is None


def test_an_upgrade_that_takes_too_long() -> None:
    game = Game()
    game.begin()
    _, link = game.connect(1)
    assert game.machine.deadline() == 4
    game.machine.expire(4)
    assert link.closed is not None
    assert game.machine.deadline() == 10


def test_a_second_websocket_while_one_is_tried() -> None:
    game = Game()
    game.begin()
    game.connect()
    other, _ = game.carrier("websocket")
    assert not game.machine.connect(other, 0)


def test_a_session_that_ends_in_mid_upgrade() -> None:
    game = Game()
    game.begin()
    carrier, link = game.connect()
    game.feed(carrier, "2probe")
    game.machine.end(1001, "gone", 0)
    assert link.closed == (1001, "gone")
    game.feed(carrier, "5")
    other, _ = game.carrier("websocket")
    assert not game.machine.connect(other, 0)


def test_a_session_that_closes_in_mid_upgrade() -> None:
    game = Game()
    game.begin()
    carrier, link = game.connect()
    game.feed(carrier, "2probe")
    game.send("last")
    game.machine.close(1000, "", 0)
    game.feed(carrier, "5")
    assert frames(link) == [b"3probe", b"4last", b"1"]
    assert game.machine.outcome == (1000, "", True)


def test_a_client_that_upgrades_is_in_a_hurry() -> None:
    game = Game()
    game.begin()
    carrier, link = game.connect()
    assert not game.machine.hurried  # it polls, and need not have an answer
    game.feed(carrier, "2probe")
    assert game.machine.hurried
    game.machine.lost(carrier, 0)
    assert not game.machine.hurried
    carrier, link = game.connect()
    game.feed(carrier, "5")
    assert frames(link) == []
    assert game.machine.hurried


# -- back-pressure -----------------------------------------------------------------------------------------------------


def test_reading_stops_while_the_application_is_behind() -> None:
    game = Game()
    game.begin()
    machine = game.machine
    game.post(*(f"4{number}" for number in range(16)))
    assert not machine.inbox.has_room(1)
    with pytest.raises(RemoteProtocolError):
        game.post("4x")  # nobody asked
    machine.pause(9)
    game.poll(9)
    machine.expire(10)
    game.poll(10)
    machine.expire(15)  # our doing
    machine.expire(20)
    assert machine.outcome is None
    game.listener.read()
    machine.take(20)
    assert "acknowledged" in game.listener.read()
    assert machine.inbox.has_room(1)
    machine.resume()
    machine.expire(25)
    assert machine.outcome == (4410, "the client was silent for longer than ping_timeout", False)


@pytest.mark.parametrize("version", [4, 3])
def test_who_does_not_even_poll_is_gone_though_its_messages_wait(version: int) -> None:
    """Else it would stay for ever: its handler may wait for a poll to take what it answers."""
    game = Game(version)
    game.begin()
    machine = game.machine
    machine.pause(0)
    game.poll(8)
    for now in range(9, 23):
        machine.expire(now)
        assert machine.outcome is None
    machine.expire(30)
    assert machine.outcome == (4410, "the client was silent for longer than ping_timeout", False)


def test_bytes_fill_it_as_well() -> None:
    game = Game()
    game.begin()
    game.post(bytes(65_536))
    assert not game.machine.inbox.has_room(1)


@pytest.mark.parametrize("how", ["end", "close"])
def test_nobody_waits_for_room_in_a_session_that_is_over(how: str) -> None:
    game = Game()
    game.begin()
    game.post(*("4a" for _ in range(16)))
    game.listener.read()
    if how == "end":
        game.machine.end(1001, "", 0)
        assert "ended" in game.listener.read()
    else:
        game.machine.close(1000, "", 0)
        assert "changed" in game.listener.read()
    game.post("4late")
    assert len(game.machine.inbox) == (16 if how == "end" else 0)


def test_a_rate_gives_room_when_its_time_comes() -> None:
    config = Config(max_queue=16, max_queue_size=65_536, max_message_rate=1, rate_burst=1)
    game = Game(config=config)
    game.begin()
    game.post(*("4a" for _ in range(16)))
    for _ in range(16):
        game.machine.take(0)
    game.post("4a")
    assert not game.machine.inbox.has_room(1)
    assert game.machine.deadline() == 1
    game.listener.read()
    game.machine.expire(0.5)
    assert "acknowledged" not in game.listener.read()
    game.machine.expire(1)
    assert "acknowledged" in game.listener.read()
    assert game.machine.inbox.has_room(1)


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_text_with_a_separator_goes_over_websockets_and_version_3_only() -> None:
    item = Outgoing.message("a\x1eb")
    game = Game()
    game.begin()
    assert "U+001E" in game.machine.unfit(item)
    assert game.machine.unfit(Outgoing.message("ab")) == ""
    assert game.machine.unfit(Outgoing.message(b"\x1e")) == ""
    carrier, _ = game.connect()
    game.feed(carrier, "5")
    assert game.machine.unfit(item) == ""
    game = Game(3)
    game.begin()
    assert game.machine.unfit(item) == ""


def test_flushing_asks_for_nothing() -> None:
    game = Game()
    _, link = game.begin("websocket")
    frames(link)
    game.machine.ask_for_acks()
    game.send("a")
    assert frames(link) == [b"4a"]


# -- ends --------------------------------------------------------------------------------------------------------------


def test_a_close_goes_with_the_parked_poll() -> None:
    game = Game()
    game.begin()
    link = game.poll()
    game.machine.send(Outgoing.message("last"))
    game.machine.close(1000, "", 0)
    game.machine.flush(0)
    assert said(link) == "4last\x1e1"
    assert game.machine.outcome == (1000, "", True)


def test_a_close_goes_over_a_websocket() -> None:
    game = Game()
    _, link = game.begin("websocket")
    frames(link)
    game.machine.close(3000, "Go away!", 0)
    game.machine.flush(0)
    assert frames(link) == [b"1"]
    assert link.closed == (3000, "Go away!")


def test_an_end_is_told() -> None:
    game = Game()
    _, link = game.begin("websocket")
    frames(link)
    game.machine.end(1008, "too slow", 0)
    assert frames(link) == [b"1"]
    assert link.closed == (1008, "too slow")
    assert game.machine.deadline() == FOREVER


def test_a_close_that_nobody_fetches() -> None:
    options = EngineIO(ping_interval=1000, ping_timeout=1000)
    game = Game(options=options)
    game.begin()
    game.machine.close(1000, "", 0)
    assert game.machine.deadline() == 160
    game.machine.expire(160)
    assert game.machine.outcome is not None
    assert game.machine.outcome.code == 4412


def test_draining_waits_for_the_application_only() -> None:
    game = Game()
    game.begin()
    game.post("4a")
    game.machine.drain(5)
    assert game.machine.state is State.DRAINING
    assert not game.machine.drained
    game.machine.take(0)
    assert game.machine.drained
    game.machine.drain(5)
    link = game.poll()
    game.machine.close(1012, "", 0)
    game.machine.flush(0)
    assert said(link) == "1"


# -- observers ------------------------------------------------------------------------------------------------------


def test_an_observer_is_told_of_the_upgrade() -> None:
    seen: list[tuple[Cause, str, str]] = []
    observer = Mock(spec=Observer)
    observer.attached = lambda _, cause, before, after, lost: seen.append((cause, before, after))
    game = Game()
    game.machine.observers = (observer,)
    game.begin()
    game.poll()
    carrier, _ = game.connect()
    game.feed(carrier, "5")
    assert seen == [
        (Cause.OPEN, "", "polling"),
        (Cause.NEXT, "polling", "polling"),
        (Cause.UPGRADE, "polling", "websocket"),
    ]
