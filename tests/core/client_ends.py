"""Sessions at a client's end, as the tests of its machine begin with them."""

from __future__ import annotations

from typing import Any

from realtime.core.carrier import NumberedCarrier
from realtime.core.client_machine import ClientMachine
from realtime.core.config import Config

from .fakes import WIDE, Diary, FakeLink, duplex, poll, stream, texts

__all__ = ["client", "opened", "polling", "send", "streaming"]


def client(**settings: Any) -> tuple[ClientMachine, Diary]:
    """A session that nothing was done for, made at 0 s."""
    diary = Diary()
    times = {"ping_interval": 20.0, "ping_timeout": 10.0, "resume_window": 100.0}
    config = Config(**{"max_queue": 16, "max_queue_size": 65_536, **times, **settings})
    return ClientMachine(config, diary, 0.0), diary


def opened(now: float = 0.0, **settings: Any) -> tuple[ClientMachine, Diary, NumberedCarrier, FakeLink]:
    """A session open on a duplex carrier, its sid confirmed; what that said is forgotten."""
    machine, diary = client(**settings)
    carrier, link = duplex(now)
    machine.start(carrier, now)
    machine.opened(carrier, "s1", WIDE, 0, 0, now)
    machine.flush(now)
    link.writes.clear()
    diary.read()
    diary.moves.clear()
    diary.woken.clear()
    return machine, diary, carrier, link


def polling(now: float = 0.0, **settings: Any) -> tuple[ClientMachine, Diary, NumberedCarrier]:
    """A session opened by a poll, with a held poll out."""
    machine, diary = client(**settings)
    first, _ = poll(now)
    machine.start(first, now)
    machine.opened(first, "s1", WIDE, 0, 0, now)
    first.finished = True
    held, _ = poll(now)
    machine.start(held, now)
    machine.confirm = False
    diary.read()
    diary.moves.clear()
    return machine, diary, held


def send(machine: ClientMachine, *messages: str) -> None:
    """Queues text messages."""
    for item in texts(*messages):
        machine.send(item)


def streaming(now: float = 0.0, **settings: Any) -> tuple[ClientMachine, Diary, NumberedCarrier, FakeLink]:
    """A session open on a stream, its sid confirmed."""
    machine, diary = client(**settings)
    carrier, link = stream(now)
    machine.start(carrier, now)
    machine.opened(carrier, "s1", WIDE, 0, 0, now)
    batch = machine.uplink(now)
    assert batch is not None
    machine.uplink_answered(batch, now)
    diary.read()
    return machine, diary, carrier, link
