"""Inputs for what does no I/O: the decoders, the parsers, and live machines that are fed frame by frame.

Nothing but RemoteProtocolError and Refusal may come out, and the machines keep their bounds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from realtime.core.carrier import NumberedCarrier, Part
from realtime.core.client_machine import ClientMachine
from realtime.core.config import Config
from realtime.core.deadlines import Deadlines
from realtime.core.errors import Refusal, RemoteProtocolError
from realtime.core.frames import Outgoing, Window
from realtime.core.lifecycle import State
from realtime.core.machine import SessionMachine
from realtime.core.numbered_machine import NumberedMachine
from realtime.protocols.native import (
    NativeCodec,
    Open,
    Opened,
    feed_client,
    feed_server,
    parse_head,
    parse_open,
    parse_refusal,
    refusal_frame,
)
from realtime.transports import TRANSPORTS, WebSocketMessages
from realtime.transports.batch import BatchDecoder
from tests.core.fakes import Diary, FakeLink

from . import events, frames
from .dice import Dice

__all__ = ["run"]

CODECS = [NativeCodec(transport) for transport in TRANSPORTS.values()]
CLIENT_CODECS = [NativeCodec(WebSocketMessages(), "client"), *CODECS[1:]]
SMALL = Config(max_queue=16, max_queue_size=65_536, max_size=4096, max_batch=20, max_batch_size=8000, max_outbox=30)


def run(dice: Dice) -> None:
    """One input. Raises AssertionError, or whatever should not have come out."""
    dice.choices(INPUTS, WEIGHTS)[0](dice)


def _decoders(dice: Dice) -> None:
    """One body, in any pieces: what comes out does not depend on them, and nothing is kept beyond the limit."""
    codec = dice.choice(CODECS[1:])
    batches = [[frames.server_frame(dice, "w.s") for _ in range(dice.randrange(5))] for _ in range(dice.randrange(4))]
    body = b""
    for each in batches:
        try:
            parts = codec.wrap([codec.text(frame) for frame in each])
        except UnicodeEncodeError:  # the server's own frames have no lone surrogates
            continue
        body += b"".join(part for part in parts if isinstance(part, bytes))
    body += codec.transport.tail()
    if dice.chance(0.5):
        body = dice.mutated(body)
    elif dice.chance(0.1):
        body = frames.batch(dice, ["m"])

    def decoded(pieces: list[bytes]) -> object:
        decoder = codec.transport.decoder(20, 10_000)
        out = []
        try:
            for piece in pieces:
                out += decoder.feed(piece)
                assert isinstance(decoder, BatchDecoder)
                assert sum(map(len, decoder._chunks)) == decoder._size <= 10_000
            out += decoder.end()
        except RemoteProtocolError as error:
            return _says(error, 4400, 4413)
        assert all(isinstance(frame, str) for frame in out)
        return out

    assert decoded([body]) == decoded(dice.cut(body))


def _heads(dice: Dice) -> None:
    frame = dice.choice(
        (
            frames.attach(dice, dice.name(), dice.number()),
            frames.uplink(dice, dice.name()),
            "o" + json.dumps(frames.open_members(dice)),
            frames.client_frame(dice, "w.s"),
        )
    )
    if dice.chance(0.3):
        frame = dice.mutated(frame.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")
    try:
        head = parse_head(frame)
    except RemoteProtocolError as error:
        _says(error, 4400)
    else:
        numbers = (head.gen, *head.window) if isinstance(head, Open) else head[1:5]
        assert all(0 <= number < 2**53 for number in numbers)
    try:
        parse_open(frame[1:] if dice.chance(0.8) else "[" * 100_000)
    except RemoteProtocolError as error:
        _says(error, 4400, 4413)


def _refusals(dice: Dice) -> None:
    frame = frames.server_frame(dice, "w.s")
    try:
        refusal = parse_refusal(frame)
    except RemoteProtocolError as error:
        _says(error, 1002)
    else:
        assert 1000 <= refusal.code <= 4999
        assert 400 <= refusal.http_status < 504
        assert parse_refusal(refusal_frame(refusal)).code == refusal.code


def _opened(dice: Dice) -> None:
    text = json.dumps(frames.opened_members(dice, "w.s"))
    if dice.chance(0.2):
        text = dice.mutated(text.encode()).decode("utf-8", "replace")
    try:
        opened = Opened.parse(text)
    except RemoteProtocolError as error:
        _says(error, 1002)
    else:
        times = (opened.resume_window, opened.ping_interval or 0, opened.ping_timeout or 0, *opened.poll_interval)
        assert 0.0 + sum(times) < float("inf")


def _says(error: RemoteProtocolError, *codes: int) -> int:
    """A refusal can always be told. Its code is one of these, if there are any."""
    assert not codes or error.close_code in codes
    frame = refusal_frame(Refusal(error.close_code, error.reason))
    assert len(frame.encode()) < 200
    assert frame.isprintable()
    return error.close_code


class _Meter(Diary):
    """Wakes its machine in time."""

    machine: NumberedMachine | ClientMachine

    def __init__(self) -> None:
        super().__init__()
        self.deadlines = Deadlines()

    def wake(self, when: float) -> None:
        self.deadlines.schedule(self.machine, when)


def _server_machine(dice: Dice) -> None:
    meter = _Meter()
    window = Window(dice.choice((1, 2, 16)), dice.choice((1, 10, 65_536)))
    machine = NumberedMachine(SMALL, window, meter, 0.0, sid="w.s", nonce="n")
    meter.machine = machine
    now = 0.0
    carriers = [_carrier(dice, CODECS, now)]
    machine.open(carriers[0], 1, now)
    for _ in range(dice.choice((3, 10, 40))):
        now += dice.choice((0.0, 0.0, 0.1, 1.0, 21.0, 41.0, 130.0)) if dice.chance(0.3) else 0.0
        carrier = dice.choice(carriers)
        try:
            match dice.randrange(12):
                case 0:
                    carriers.append(_carrier(dice, CODECS, now))
                    numbers = dice.randrange(5), dice.number(), dice.randrange(3), dice.randrange(4)
                    if machine.outcome is None and not machine.attach(carriers[-1], *numbers, now):
                        machine.retire(carriers[-1])
                case 1:
                    other = _carrier(dice, CODECS[4:], now)
                    if machine.outcome is None:
                        machine.uplink(other, dice.number(), dice.number(), dice.number(), now)
                        machine.uplink_answer(other)
                case 2:
                    machine.lost(carrier, now)
                case 3:
                    machine.flush(now)
                case 4:
                    meter.deadlines.run(now)
                case 5:
                    _application(dice, machine, now)
                case _:
                    feed_server(machine, carrier, _frame(dice), now)
        except RemoteProtocolError as error:
            _says(error)
            machine.fail(error, now)
        except Refusal:
            pass
        _holds(machine, now)
    machine.expire(now + 10_000)
    machine.expire(now + 20_000)
    assert machine.outcome is not None or machine.carrier is not None


def _client_machine(dice: Dice) -> None:
    meter = _Meter()
    machine = ClientMachine(SMALL, meter, 0.0)
    meter.machine = machine
    now = 0.0
    carriers = [_carrier(dice, CLIENT_CODECS, now)]
    machine.start(carriers[0], now)
    for _ in range(dice.choice((3, 10, 40))):
        now += dice.choice((0.0, 0.1, 1.0, 21.0, 41.0)) if dice.chance(0.3) else 0.0
        carrier = dice.choice(carriers)
        try:
            match dice.randrange(10):
                case 0 if machine.outcome is None:
                    carriers.append(_carrier(dice, CLIENT_CODECS, now))
                    machine.start(carriers[-1], now)
                case 1:
                    machine.lost(carrier, now)
                case 2:
                    machine.flush(now)
                    batch = machine.uplink(now)
                    if batch is not None:
                        machine.uplink_answered(batch, now) if dice.chance(0.5) else machine.uplink_lost(batch)
                case 3:
                    meter.deadlines.run(now)
                case 4:
                    _application(dice, machine, now)
                case _:
                    frame = frames.server_frame(dice, dice.choice(("w.s", "w.s", "w.t")))
                    if frame[:1] == "x":
                        told = parse_refusal(frame)
                        machine.refused(carrier, told.code, told.received, told.reason, now)
                    else:
                        feed_client(machine, carrier, frame, now)
        except RemoteProtocolError as error:
            _says(error)
            machine.fail(error, now)
        _holds(machine, now)


def _carrier(dice: Dice, codecs: list[NativeCodec], now: float) -> NumberedCarrier:
    link = _Link()
    link.writable = dice.chance(0.9)
    return NumberedCarrier(dice.choice(codecs), link, now)


class _Link(FakeLink):
    """Sees that text can go on a wire."""

    def write(self, buffers: Sequence[Part]) -> None:
        for buffer in buffers:
            assert isinstance(buffer, bytes) or buffer.encode()


def _frame(dice: Dice) -> str | bytes:
    if dice.chance(0.1):
        return dice.randbytes(dice.size())
    return frames.client_frame(dice, "w.s")


def _application(dice: Dice, machine: SessionMachine, now: float) -> None:
    match dice.randrange(8):
        case 0:
            machine.close(1000, "done", now)
        case 1 if isinstance(machine, NumberedMachine):
            machine.drain(5.0)
        case 2:
            machine.ask_for_acks()
        case 3 | 4 if machine.outcome is None and machine.closing is None and machine.outbox.has_room(5):
            machine.send(Outgoing.message("hello"))
        case _ if len(machine.inbox):
            machine.take(now)


def _holds(machine: NumberedMachine | ClientMachine, now: float) -> None:
    """What is true of a machine at any time."""
    inbox, outbox = machine.inbox, machine.outbox
    assert 0 <= inbox.taken <= inbox.received
    assert len(inbox) <= machine.config.max_queue
    assert inbox.size <= machine.config.max_queue_size
    assert 0 <= outbox.taken <= outbox.acked <= outbox.last
    assert len(outbox) <= machine.config.max_outbox + 1  # a close needs no room
    assert 0 <= outbox.size <= machine.config.max_outbox_size
    assert (machine.outcome is not None) == (machine.state is State.CLOSED)
    assert machine.outcome is None or machine.carrier is None
    assert machine.carrier is None or not machine.carrier.finished
    assert machine.deadline() == machine.deadline()  # not NaN
    if isinstance(machine, NumberedMachine):
        machine.flush(now)  # as in each turn of the event loop
        assert machine.outcome is not None or machine.wake_at <= max(now, machine.deadline())


INPUTS: list[Callable[[Dice], None]] = [
    _decoders,
    _heads,
    _refusals,
    _opened,
    _server_machine,
    _client_machine,
    events.run,
]
WEIGHTS = (4, 4, 1, 3, 6, 4, 3)
