"""What every server's end has: whose it is, what observers are told of it, and what latecomers are."""

from __future__ import annotations

from typing import Any

import pytest

from realtime.core.config import Config
from realtime.core.errors import Refusal
from realtime.core.frames import Outgoing
from realtime.core.machine import SessionMachine
from realtime.core.numbered_machine import NumberedMachine
from realtime.core.observer import Cause, Result
from realtime.core.proof import ATTACH, SEND, Key, Proof, ticket
from realtime.core.server_machine import ServerMachine

from .fakes import WIDE, Diary, duplex, poll, stream


def server(**settings: Any) -> NumberedMachine:
    """A session that has just been made, at 0 s."""
    return NumberedMachine(Config(**settings), WIDE, Diary(), 0.0, sid="s1", nonce="n1", identity="ann", address="::1")


def test_whose_it_is() -> None:
    machine: ServerMachine = server()
    assert (machine.sid, machine.nonce, machine.identity, machine.address) == ("s1", "n1", "ann", "::1")
    assert (machine.binding, machine.transport, machine.observers) == (None, "", ())
    assert not machine.used
    machine.key = Key("secret")
    assert machine.key == "secret"
    assert "secret" not in repr(machine.key)


def test_a_stream_is_worn_out_when_it_has_brought_enough_and_its_reader_has_it() -> None:
    machine = server(max_stream_size=4096)
    for carrier, _ in (duplex(), poll()):
        carrier.written = 4096
        assert not machine._worn_out(carrier)
    carrier, link = stream()
    carrier.written = 4095
    assert not machine._worn_out(carrier)
    carrier.written = 4096
    assert machine._worn_out(carrier)
    link.writable = False
    assert not machine._worn_out(carrier)


def test_the_refusal_of_an_ended_session_tells_what_was_received() -> None:
    machine = server()
    carrier, _ = duplex()
    machine.attach(carrier, 1, 0, 0, 1, 0.0)
    machine.message(carrier, "a", 1, 0.0)
    machine.end(1011, "failed", 0.0)
    refusal = machine.refusal()
    assert (refusal.code, refusal.scope, refusal.received, refusal.http_status) == (1011, "session", 1, 410)


def test_who_could_not_come_while_the_process_stood_still_has_its_time_anew() -> None:
    machine = server(resume_window=100.0)
    carrier, _ = duplex()
    machine.attach(carrier, 1, 0, 0, 1, 0.0)
    machine.used = True
    machine.excuse(10.0)  # nobody is absent
    machine.lost(carrier, 20.0)
    machine.excuse(130.0)
    machine.expire(131.0)
    assert (machine.outcome, machine.deadline()) == (None, 230.0)


def test_a_client_about_which_the_application_is_asked_is_neither_absent_nor_has_it_never_come() -> None:
    machine = server(open_timeout=10.0, resume_window=100.0)
    carrier, _ = duplex()
    machine.attach(carrier, 1, 0, 0, 1, 0.0, named=False)
    machine.asked = 1
    machine.expire(10.0)
    machine.used = True
    machine.lost(carrier, 20.0)
    machine.expire(120.0)
    assert machine.outcome is None
    machine.asked = 0
    machine.expire(120.0)
    assert (machine.outcome is not None and machine.outcome.code) == 4410


# -- what an observer is told ----------------------------------------------------------------------------------------


class Watcher:
    """An Observer that writes down the attaches; a machine tells it of nothing else."""

    def __init__(self) -> None:
        self.attaches: list[tuple[Cause, str, str, bool]] = []
        self.sids: set[str] = set()

    def attached(self, machine: SessionMachine, cause: Cause, before: str, after: str, lost: bool) -> None:
        """Written down."""
        self.sids.add(machine.sid)
        self.attaches.append((cause, before, after, lost))

    def opened(self, machine: SessionMachine, transport: str) -> None: ...

    def ended(self, machine: SessionMachine) -> None: ...

    def refused(self, code: int) -> None: ...

    def flushed(self, seconds: float) -> None: ...

    def handled(self, machine: SessionMachine, seconds: float, result: Result) -> None: ...


def watched() -> tuple[NumberedMachine, Watcher]:
    """A session that has just been made, and who watches it."""
    machine = server(transports=("websocket", "sse", "polling"))
    watcher = Watcher()
    machine.observers = (watcher,)
    return machine, watcher


def test_an_observer_hears_of_openings() -> None:
    machine, watcher = watched()
    machine.open(duplex(name="websocket")[0], 1, 0.0)
    machine.open(duplex(name="websocket")[0], 1, 0.0)
    machine.open(duplex(name="websocket")[0], 2, 0.0)
    machine.open(poll(name="polling")[0], 3, 0.0)
    assert watcher.attaches == [
        (Cause.OPEN, "", "websocket", False),
        (Cause.REPEATED, "websocket", "websocket", False),
        (Cause.REPEATED, "websocket", "websocket", False),
        (Cause.DOWNGRADE, "websocket", "polling", False),
    ]
    assert watcher.sids == {"s1"}


def test_an_observer_hears_of_polls_and_of_what_is_lost() -> None:
    machine, watcher = watched()
    machine.attach(poll(name="polling")[0], 1, 0, 0, 1, 0.0)
    machine.attach(poll(name="polling")[0], 2, 0, 0, 1, 1.0)  # the first was never answered
    machine.send(Outgoing.message("a"))
    machine.flush(1.0)
    machine.attach(poll(name="polling")[0], 3, 1, 1, 1, 2.0)  # the second was
    machine.attach(poll(name="polling")[0], 2, 1, 1, 1, 3.0)
    machine.lost(machine.carrier or pytest.fail("no carrier"), 4.0)
    machine.attach(poll(name="polling")[0], 4, 1, 1, 1, 5.0)
    assert watcher.attaches == [
        (Cause.OPEN, "", "polling", False),
        (Cause.RESUME, "polling", "polling", False),
        (Cause.NEXT, "polling", "polling", False),
        (Cause.LATE, "polling", "polling", False),
        (Cause.RESUME, "polling", "polling", True),
    ]
    assert machine.transport == "polling"


def test_an_observer_hears_of_changes_in_the_order_of_the_endpoints_transports() -> None:
    machine, watcher = watched()
    machine.attach(duplex(name="sse")[0], 1, 0, 0, 1, 0.0)
    machine.attach(duplex(name="websocket")[0], 2, 0, 0, 1, 0.0)
    machine.lost(machine.carrier or pytest.fail("no carrier"), 1.0)
    machine.attach(poll(name="polling")[0], 3, 0, 0, 1, 2.0)
    machine.attach(duplex(name="unheard-of")[0], 4, 0, 0, 1, 3.0)
    machine.attach(duplex(name="websocket")[0], 1, 0, 0, 1, 3.0)
    assert watcher.attaches[1:] == [
        (Cause.UPGRADE, "sse", "websocket", False),
        (Cause.DOWNGRADE, "websocket", "polling", True),
        (Cause.DOWNGRADE, "polling", "unheard-of", False),
        (Cause.LATE, "unheard-of", "websocket", False),
    ]
    assert machine.transport == "unheard-of"


def test_a_transport_that_is_wanted_most_without_being_in_the_list() -> None:
    """Where the server has opened a port for it."""
    machine = server()
    assert machine._rank("webtransport") < machine._rank("websocket") < machine._rank("unheard-of")
    named = server(transports=("websocket", "webtransport", "polling"))
    assert named._rank("websocket") < named._rank("webtransport") < named._rank("polling")


def test_each_observer_is_told() -> None:
    machine, watcher = watched()
    other = Watcher()
    machine.observers = (watcher, other)
    machine.open(duplex(name="websocket")[0], 1, 0.0)
    assert watcher.attaches == other.attaches == [(Cause.OPEN, "", "websocket", False)]


def test_how_long_an_end_is_remembered() -> None:
    machine = server()
    assert machine.remembered == machine.config.lifetime


# -- who may ---------------------------------------------------------------------------------------------------------


def test_a_machine_says_who_may() -> None:
    machine = NumberedMachine(Config(), WIDE, Diary(), 0.0, sid="s1", key="secret")
    machine.gen = 4

    def by_url(use: str, number: int, said: bytes = b"x") -> bool:
        return machine.prove(Proof(Key(ticket("secret", use, number)), use, number, said))

    assert machine.prove(Proof(Key("secret")))
    with pytest.raises(Refusal, match="the session's key"):
        machine.prove(Proof(Key("no")))
    assert not by_url(ATTACH, 3)
    assert by_url(ATTACH, 4)
    assert by_url(SEND, 1)
    assert machine.out_of_tickets
    machine.handed = 5
    assert not machine.out_of_tickets
    machine.gen = 5  # another carrier came, by its key
    assert not by_url(ATTACH, 4)
    keyless = NumberedMachine(Config(), WIDE, Diary(), 0.0, sid="s2")
    with pytest.raises(Refusal):
        keyless.prove(Proof(Key("")))


def test_what_is_offered_is_flushed_where_there_is_a_carrier() -> None:
    diary = Diary()
    machine = NumberedMachine(Config(max_outbox=16), WIDE, diary, 0.0, sid="s1", nonce="n1")
    assert machine.offer(Outgoing.message("one")) is not None
    assert diary.read() == []
    carrier, link = duplex()
    machine.attach(carrier, 1, 0, 0, 1, 0.0)
    diary.read()
    assert machine.offer(Outgoing.message("two")) is not None
    assert diary.read() == ["dirty"]
    machine.flush(0.0)
    assert link.said == ["r0,0", "mone", "mtwo"]
    while machine.outbox.has_room(1):
        machine.offer(Outgoing.message("x"))
    diary.read()
    assert machine.offer(Outgoing.message("x")) is None
    assert diary.read() == []
