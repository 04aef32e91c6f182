"""A session as Engine.IO knows it: the server's end, without numbers and acks on the wire.

The life, the outbox and the inbox are every session's (core.machine). What is different stands here:

- A commit counts as the ack, so nothing is ever sent again, and a session lives no longer than its connection: a poll
  that is cut, a WebSocket that is lost and a missed heartbeat end it.
- There are no windows. Whoever feeds the machine stops reading while it is `full`, and goes on at when_room().
- Heartbeats are the session's, not a carrier's. Version 4: the server pings at every interval, whatever else travels,
  and is answered within ping_timeout. Version 3: the client pings.
- The upgrade has two carriers (upgrade.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ...core.carrier import Carrier, Part, Shape
from ...core.config import Config
from ...core.errors import Refusal, RemoteProtocolError
from ...core.frames import TEXT, Dropped, Outgoing, Window
from ...core.inbox import Inbox
from ...core.lifecycle import Event, State
from ...core.machine import FOREVER, Listener
from ...core.rates import Meter
from ...core.server_machine import ServerMachine
from . import packets
from .codec import Codec
from .options import POLLING, WEBSOCKET, EngineIO
from .packets import Packet
from .payloads import SEPARATOR
from .upgrade import Act, Stage, Upgrade
from .upgrade import Event as Trial

__all__ = ["BOUNDLESS", "EngineMachine"]

BOUNDLESS = Window(2**53 - 1, 2**53 - 1)
# While an upgrade is under way a poll without news is held so long, in seconds: the first is answered at once.
PROBED_HOLD = 0.1


class EngineMachine(ServerMachine):
    """The server's end of one Engine.IO session."""

    __slots__ = (
        "_beat_at",
        "_control",
        "_last_word",
        "_noop_at",
        "_silent_at",
        "_thirsty",
        "options",
        "posting",
        "text_only",
        "trial",
        "trial_until",
        "upgrade",
        "version",
    )

    def __init__(
        self,
        config: Config,
        peer_window: Window,
        listener: Listener,
        now: float,
        *,
        version: int,
        options: EngineIO,
        text_only: bool = False,
        **facts: Any,
    ) -> None:
        super().__init__(config, peer_window, listener, now, **facts)
        self.inbox = Inbox(BOUNDLESS, Meter.of(config, now))
        self.version = version
        self.options = options
        self.text_only = text_only  # the client that opened it takes no bytes
        self.used = True  # nobody opens it a second time
        self.absent_at = FOREVER  # between two polls it is not absent
        self.posting = False  # a POST is being read
        self.upgrade = Upgrade(possible=bool(options.upgrades))
        self.trial: Carrier | None = None  # the WebSocket that is tried
        self.trial_until = FOREVER
        self._control: dict[str, str] = {}  # packets other than messages that wait for a carrier: type → data
        self._last_word = packets.CLOSE  # what the last poll is answered with
        self._beat_at = FOREVER  # version 4: when the next ping goes
        self._silent_at = FOREVER  # when the peer counts as gone
        self._noop_at = -FOREVER  # while probed: when a poll without news is answered
        self._thirsty: list[Callable[[], None]] = []

    # -- carriers --------------------------------------------------------------------------------------------------

    def begin(self, carrier: Carrier, now: float) -> None:
        """The carrier whose request has opened the session."""
        if self.outcome is not None:
            carrier.finish([], self.outcome.code, self.outcome.reason)
            return
        carrier.head = self._opened
        if carrier.codec.shape is not Shape.POLL:
            self.upgrade = Upgrade(possible=False)
        interval, timeout = self.options.ping_interval, self.options.ping_timeout
        if self.version == 3:
            self._silent_at = now + interval + timeout
        else:
            self._beat_at = now + interval
        self._carry(carrier, now)

    def _opened(self, received: int, taken: int) -> Part:
        """The handshake ("Handshake"); intervals are milliseconds."""
        options = self.options
        carrier = self.carrier
        assert carrier is not None
        polling = carrier.codec.shape is Shape.POLL
        members = {
            "sid": self.sid,
            "upgrades": list(options.upgrades) if polling else [],
            "pingInterval": round(options.ping_interval * 1000),
            "pingTimeout": round(options.ping_timeout * 1000),
            "maxPayload": options.max_payload,
        }
        return self._packet(carrier, packets.OPEN, json.dumps(members, separators=(",", ":")))

    def poll(self, carrier: Carrier, now: float) -> None:
        """A poll has come. Raises Refusal when it may not: two at once end the session."""
        self.check_polling(now)
        if self.carrier is not None:
            self.end(1002, "a poll came while another was parked", now)
            raise self.refusal()
        self._carry(carrier, now)

    def check_polling(self, now: float) -> None:
        """Raises Refusal unless the session goes over polls."""
        self.expire(now)  # the sweep may be late
        if self.outcome is not None:
            raise self.refusal()
        if self.transport != POLLING:
            raise Refusal(4400, "this session does not go over polls")

    def _carry(self, carrier: Carrier, now: float) -> None:
        """The carrier takes up the session."""
        gen = self.gen + 1
        if self.observer is not None:
            self._observe(self.observer, carrier.codec.name, gen, now)
        carrier.gen = self.gen = gen
        carrier.attached = True
        carrier.send_cursor = self.outbox.acked + 1
        self.contact = now
        self.carrier = carrier
        self.transport = carrier.codec.name
        if carrier.codec.shape is not Shape.POLL and carrier.head is not None:
            carrier.write([carrier.head(0, 0)])
        before = self.state
        self._move(Event.ATTACH)
        if before is self.state:
            self.listener.changed(before, before)
        self.wake_by(self.deadline())
        self.listener.dirty()

    def lost(self, carrier: Carrier, now: float, code: int = 1006, reason: str = "the connection was lost") -> None:
        """The connection under a carrier is gone, which ends the session unless it was only tried."""
        carrier.over = True
        if self.trial is carrier:
            self._tried(Trial.LOST, now)
        elif self.carrier is carrier:
            self.end(code, reason, now, clean=code in (1000, 1001))

    # -- the upgrade -------------------------------------------------------------------------------------------------

    def connect(self, carrier: Carrier, now: float) -> bool:
        """A WebSocket names the session. Returns whether it is tried; if not it is to be closed."""
        self.expire(now)
        if self.outcome is not None or self.upgrade.step(Trial.CONNECT) is Act.REFUSE:
            return False
        self.trial = carrier
        self.trial_until = now + self.options.upgrade_timeout
        self.wake_by(self.trial_until)
        return True

    def _feed_trial(self, packet: Packet, now: float) -> None:
        if packet == (packets.PING, "probe"):
            self._tried(Trial.PROBE, now)
        elif packet.type == packets.UPGRADE:
            self._tried(Trial.UPGRADE, now)
        else:
            self._tried(Trial.OTHER, now)

    def _tried(self, event: Trial, now: float) -> None:
        carrier = self.trial
        assert carrier is not None
        act = self.upgrade.step(event)
        if act is Act.ANSWER:
            carrier.write([self._packet(carrier, packets.PONG, "probe")])
            self._noop_at = now
            self.flush(now)
            return
        self.trial, self.trial_until = None, FOREVER
        if act is Act.DROP:
            carrier.finish([], 1000, "the upgrade was not completed")
            return
        poll = self.carrier
        if poll is not None:
            poll.finish([self._packet(poll, packets.NOOP)])
        self._carry(carrier, now)

    # -- what packets say --------------------------------------------------------------------------------------------

    def feed(self, carrier: Carrier, packet: Packet, now: float) -> None:
        """One packet from the client. Raises RemoteProtocolError (1002) for a heartbeat in the wrong direction, and
        whatever message() raises."""
        if self.outcome is not None:
            return
        if carrier is self.trial:
            self._feed_trial(packet, now)
            return
        self.contact = now
        kind = packet.type
        if self._silent_at < FOREVER:
            self._alive(now)
        if kind == packets.MESSAGE:
            data = packet.data
            carrier.receive_cursor = self.inbox.received + 1
            size = len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode())
            self.message(carrier, data, size, now)
            self._nothing_to_announce()
        elif kind == packets.PING:
            if self.version != 3:
                raise RemoteProtocolError(1002, "a ping: in version 4 the server pings")
            self._say(packets.PONG, str(packet.data))
        elif kind == packets.PONG:
            if self.version == 3:
                raise RemoteProtocolError(1002, "a pong: in version 3 the client pings")
            self._silent_at = FOREVER
            self._beat_at = now + self.options.ping_interval
            self.wake_by(self._beat_at)
        elif kind == packets.CLOSE:
            self._last_word = packets.NOOP
            self.end(1000, "", now, clean=True)

    def _alive(self, now: float) -> None:
        """The peer was heard."""
        interval, timeout = self.options.ping_interval, self.options.ping_timeout
        self._silent_at = now + timeout + (interval if self.version == 3 else 0.0)

    def _nothing_to_announce(self) -> None:
        self.inbox.announced(*self.inbox.ack())

    # -- back-pressure -----------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether the application has so much to take that nothing more is to be read."""
        if self.outcome is not None or self.closing is not None:
            return False
        inbox, config = self.inbox, self.config
        return inbox.received - inbox.taken >= config.max_queue or inbox.size >= config.max_queue_size

    def when_room(self, callback: Callable[[], None]) -> None:
        """Calls back once when it is no longer full. Meanwhile the peer's silence is our doing."""
        self._thirsty.append(callback)
        self.wake_by(self.inbox.releases_at)

    def _offer_room(self) -> None:
        if self._thirsty and not self.full:
            thirsty, self._thirsty = self._thirsty, []
            for callback in thirsty:
                callback()

    def take(self, now: float) -> str | bytes | Dropped:
        """The oldest message received. Raises IndexError when there is none."""
        item = super().take(now)
        self._nothing_to_announce()
        if self._thirsty:
            self._offer_room()
            self.wake_by(self.inbox.releases_at)
        return item

    # -- writing -----------------------------------------------------------------------------------------------------

    def unfit(self, item: Outgoing) -> str:
        """Why this can't be sent on what carries the session; empty when it can."""
        if self.version != 3 and item.kind == TEXT and SEPARATOR in str(item.data) and self.transport != WEBSOCKET:
            return "text with U+001E can't go over Engine.IO's long-polling, where it separates packets"
        return ""

    def ask_for_acks(self) -> None:
        """What is written is acknowledged."""
        self.listener.dirty()

    def _say(self, kind: str, data: str = "") -> None:
        """A packet that is no message goes with the next flush; one of each kind is enough."""
        self._control[kind] = data
        self.listener.dirty()

    def _packet(self, carrier: Carrier, kind: str, data: str = "") -> Part:
        codec = carrier.codec
        assert isinstance(codec, Codec)
        return codec.packet(kind, data)

    def flush(self, now: float) -> None:
        """Writes what is due on the session's carrier."""
        carrier = self.carrier
        if carrier is None or self.outcome is not None:
            return
        if carrier.codec.shape is Shape.POLL:
            if self._answer_due(carrier, now):
                self._answer(carrier, now)
        elif carrier.link.writable:
            if self._control:
                carrier.write(self._take_control(carrier))
            self.flush_duplex(carrier, now)

    def _take_control(self, carrier: Carrier) -> list[Part]:
        control, self._control = self._control, {}
        return [self._packet(carrier, kind, data) for kind, data in control.items()]

    def _answer_due(self, carrier: Carrier, now: float) -> bool:
        return (
            carrier.head is not None
            or bool(self._control)
            or self.outbox.pending(carrier.send_cursor)
            or (self.upgrade.stage is Stage.PROBED and now >= self._noop_at)
        )

    def _answer(self, carrier: Carrier, now: float) -> None:
        """Answers the parked poll, which is then no carrier any more."""
        if not carrier.link.writable:
            self.lost(carrier, now)  # its peer has left: what would be written would be lost
            return
        parts = [] if carrier.head is None else [carrier.head(0, 0)]
        parts += self._take_control(carrier)
        most = min(self.config.max_batch, self.options.max_packets - len(parts))
        first, items = self.outbox.peek(carrier.send_cursor, most, self.config.max_batch_size)
        parts += self.numbered(carrier, first, items)
        if not any(parts):
            parts.append(self._packet(carrier, packets.NOOP))
        carrier.finish(parts)
        self._noop_at = now + PROBED_HOLD
        self._commit(carrier, first, items, now)
        if self.carrier is carrier:  # the commit may have ended the session
            self.carrier = None

    # -- ending ------------------------------------------------------------------------------------------------------

    def close(self, code: int, reason: str, now: float) -> None:
        """Ends the session cleanly: the peer gets all that was sent, then the close."""
        super().close(code, reason, now)
        self._offer_room()

    def end(self, code: int, reason: str, now: float, *, clean: bool = False) -> None:
        """Ends the session, and the upgrade that was under way."""
        super().end(code, reason, now, clean=clean)
        trial, self.trial = self.trial, None
        if trial is not None:
            trial.finish([], code, reason)
        self._offer_room()

    def _farewell(self, carrier: Carrier) -> None:
        assert self.outcome is not None
        parts: list[Part] = []
        if self.outbox.close_number is None:  # else that was said already
            parts.append(self._packet(carrier, self._last_word))
        carrier.finish(parts, self.outcome.code, self.outcome.reason)

    def drain(self, delay: float) -> None:
        """Closes when the handler has taken what is here. The protocol has no word to ask the client to stop."""
        if self.state in (State.CLOSED, State.CLOSING, State.DRAINING):
            return
        self._move(Event.DRAIN)
        self.peer_last = 0
        self.listener.quiet()

    # -- what the native protocol asks of its sessions -----------------------------------------------------------------

    def attach(self, carrier: Carrier, gen: int, received: int, taken: int, first: int, now: float) -> bool:
        """No carrier of another protocol takes up this session. Raises Refusal."""
        raise Refusal(4404, "no such session: it never was, or ended too long ago", scope="session")

    def uplink(self, carrier: Carrier, received: int, taken: int, first: int, now: float) -> bool:
        """Nothing comes by another protocol. Raises Refusal."""
        raise Refusal(4404, "no such session: it never was, or ended too long ago", scope="session")

    # -- time --------------------------------------------------------------------------------------------------------

    def _ack_at(self) -> float:
        return FOREVER

    def deadline(self) -> float:
        """When expire() has something to do next."""
        if self.outcome is not None:
            return FOREVER
        when = min(self.close_deadline, self._beat_at, self._silent_at, self.trial_until)
        if self.carrier is not None and self.upgrade.stage is Stage.PROBED:
            when = min(when, self._noop_at)
        if self._thirsty:
            when = min(when, self.inbox.releases_at)
        return when

    def expire(self, now: float) -> None:
        """Does what is due by `now`: heartbeats, silence, an upgrade that takes too long, a close nobody fetched."""
        if self.outcome is not None:
            return
        if now >= self.close_deadline:
            self.end(4412, "the close was not fetched in time", now)
            return
        if now >= self._beat_at:
            # A sweep is late by its grain, and by much where the whole process stood still.
            timeout = self.options.ping_timeout
            self._silent_at = (self._beat_at if now < self._beat_at + timeout / 2 else now) + timeout
            self._beat_at = FOREVER
            self._say(packets.PING)
        if now >= self._silent_at:
            if not self._thirsty:
                self.end(4410, "the client was silent for longer than ping_timeout", now)
                return
            self._alive(now)  # what it says waits to be read, by us
        if now >= self.trial_until:
            self._tried(Trial.OTHER, now)
        self.inbox.release(now)
        self._offer_room()
        self.flush(now)
