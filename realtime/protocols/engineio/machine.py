"""A session as Engine.IO knows it: the server's end, without numbers and acks on the wire.

What it shares with other protocols without numbers and acks is in core.plain_machine. What is different stands here:

- Between two polls the client is not absent: only a heartbeat it misses tells that it is gone.
- Heartbeats are the session's, not a carrier's (heartbeat.py).
- The upgrade has two carriers (upgrade.py).
"""

from __future__ import annotations

from typing import Any

from ...core.carrier import POLL, Carrier, Part
from ...core.config import Config
from ...core.errors import Refusal, RemoteProtocolError
from ...core.frames import TEXT, Outgoing, Window, payload_size
from ...core.machine import FOREVER, Listener
from ...core.plain_machine import PlainMachine
from . import packets
from .codec import CAPABILITIES, Codec
from .heartbeat import Heartbeat
from .options import POLLING, WEBSOCKET, EngineIO
from .packets import Packet
from .payloads import SEPARATOR
from .upgrade import Act, Event, Stage, Upgrade, event_of

__all__ = ["EngineMachine"]

# While an upgrade is under way a poll without news is held so long, in seconds: the first is answered at once.
PROBED_HOLD = 0.1


class EngineMachine(PlainMachine):
    """The server's end of one Engine.IO session."""

    __slots__ = (
        "_control",
        "_greeted",
        "_heartbeat",
        "_last_word",
        "_most",
        "_noop_at",
        "options",
        "posting",
        "text_only",
        "trial",
        "trial_until",
        "upgrade",
        "version",
    )

    carrier: Carrier | None  # the base's: see PlainMachine

    def __init__(
        self,
        config: Config,
        peer_window: Window,
        listener: Listener,
        now: float,
        *facts: Any,
        version: int,
        options: EngineIO,
        text_only: bool = False,
        takes_many: bool = False,
        **named: Any,
    ) -> None:
        super().__init__(config, peer_window, listener, now, *facts, capabilities=CAPABILITIES[version], **named)
        self.version: int = version
        self.options: EngineIO = options
        self.text_only: bool = text_only  # the client that opened it takes no bytes
        most = options.max_packets
        self._most: int = max(most, config.max_batch) if takes_many else most  # packets in the answer to a poll
        self.absent_at = FOREVER  # between two polls it is not absent
        self.posting: bool = False  # a POST is being read
        self.upgrade: Upgrade = Upgrade(possible=bool(options.upgrades))
        self.trial: Carrier | None = None  # the WebSocket that is tried
        self.trial_until: float = FOREVER
        self._control: dict[str, str] = {}  # packets other than messages that wait for a carrier: type → data
        self._greeted = False  # the handshake has been said
        self._last_word = packets.CLOSE  # what the last poll is answered with
        self._heartbeat = Heartbeat(version, options.ping_interval, options.ping_timeout)
        self._noop_at = -FOREVER  # while probed: when a poll without news is answered

    @property
    def remembered(self) -> float:
        """Its client knows the sid."""
        return self.config.lifetime

    # -- carriers --------------------------------------------------------------------------------------------------

    def begin(self, carrier: Carrier, now: float) -> None:
        """The carrier whose request has opened the session."""
        if self.outcome is not None:
            carrier.finish([], self.outcome.code, self.outcome.reason)
            return
        if carrier.codec.shape is not POLL:
            self.upgrade = Upgrade(possible=False)
        self._heartbeat.start(now)
        self._carry(carrier, now)

    def _handshake(self, carrier: Carrier) -> Part:
        """The handshake."""
        self._greeted = True
        said = self.options.handshake(self.sid, polling=carrier.codec.shape is POLL)
        return _packet(carrier, packets.OPEN, said)

    def poll(self, carrier: Carrier, now: float) -> None:
        """A poll has come. Raises Refusal when it may not: two at once end the session."""
        self.check_polling()
        if self.carrier is not None:
            self.end(1002, "a poll came while another was parked", now)
            raise self.refusal()
        self._carry(carrier, now)

    def check_polling(self) -> None:
        """Raises Refusal unless the session goes over polls. One that is overdue is the sweep's to judge: where that is
        late, as behind a standstill, the answer to its ping may lie unread in another connection."""
        if self.outcome is not None:
            raise self.refusal()
        if self.transport != POLLING:
            raise Refusal(4400, "this session does not go over polls")

    def _greet(self, carrier: Carrier, now: float) -> None:
        if carrier.codec.shape is not POLL:  # in a poll it goes with what the handler sends at once
            carrier.write([self._handshake(carrier)])

    def lost(self, carrier: Carrier, now: float, reason: str = "the connection was lost") -> None:
        """The connection under a carrier is gone, which ends the session unless it was only tried."""
        super().lost(carrier, now, reason)
        if self.trial is carrier:
            self._tried(Event.LOST, now)

    def peer_left(self, carrier: Carrier, code: int, reason: str, now: float) -> None:
        """The client has closed the WebSocket, which is an ordinary end with any code, or none."""
        carrier.finished = True
        super().peer_left(carrier, code if code == 1001 else 1000, "the client closed the WebSocket", now)

    # -- the upgrade -------------------------------------------------------------------------------------------------

    def connect(self, carrier: Carrier, now: float) -> bool:
        """A WebSocket names the session. Returns whether it is tried; if not it is to be closed."""
        if self.outcome is not None or self.upgrade.step(Event.CONNECT) is Act.REFUSE:
            return False
        self.trial = carrier
        self.trial_until = now + self.options.upgrade_timeout
        self.wake_by(self.trial_until)
        return True

    def _tried(self, event: Event, now: float) -> None:
        carrier = self.trial
        assert carrier is not None
        act = self.upgrade.step(event)
        if act is Act.ANSWER:
            carrier.write([_packet(carrier, packets.PONG, "probe")])
            self._noop_at = now
            self.flush(now)
            return
        self.trial, self.trial_until = None, FOREVER
        if act is Act.DROP:
            carrier.finish([], 1000, "the upgrade was not completed")
            return
        poll = self.carrier
        if poll is not None:
            poll.finish([_packet(poll, packets.NOOP)])
        self._carry(carrier, now)

    @property
    def hurried(self) -> bool:
        """Whether a POST is to be answered at once. A client that upgrades has paused its polls and waits for that
        answer before it says `5`; its payload may wait for the handler, and the handler for a poll."""
        return self.upgrade.stage is Stage.PROBED or self.transport == WEBSOCKET

    # -- what packets say --------------------------------------------------------------------------------------------

    def pause(self, now: float) -> None:
        """Somebody waits for room in the inbox: what the client says next is not read before resume()."""
        super().pause(now)
        self.wake_by(self._heartbeat.unread(now))

    def feed(self, carrier: Carrier, packet: Packet, now: float) -> None:
        """One packet from the client. Raises RemoteProtocolError, 1002 for a heartbeat in the wrong direction."""
        if self.outcome is not None:
            return
        if carrier is self.trial:
            self.inbox.other(now)
            self._tried(event_of(packet), now)
            return
        self.contact = now
        kind = packet.type
        self._heartbeat.received(now)
        if kind == packets.MESSAGE:
            self.receive(packet.data, payload_size(packet.data), now)
            return
        self.inbox.other(now)
        if kind == packets.PING:
            if self.version != 3:
                raise RemoteProtocolError(1002, "a ping: in version 4 the server pings")
            self._say(packets.PONG, str(packet.data))
        elif kind == packets.PONG:
            if self.version == 3:
                raise RemoteProtocolError(1002, "a pong: in version 3 the client pings")
            self._heartbeat.answered()
        elif kind == packets.CLOSE:
            self._last_word = packets.NOOP
            self.end(1000, "", now, clean=True)

    # -- writing -----------------------------------------------------------------------------------------------------

    def unfit(self, item: Outgoing) -> str:
        """Why this can't be sent on what carries the session; empty when it can."""
        if self.version != 3 and item.kind == TEXT and SEPARATOR in str(item.data) and self.transport != WEBSOCKET:
            return "text with U+001E can't go over Engine.IO's long-polling, where it separates packets"
        return ""

    def _say(self, kind: str, data: str = "") -> None:
        """A packet that is no message goes with the next flush; one of each kind is enough."""
        self._control[kind] = data
        self.listener.dirty()

    def recycle(self, now: float) -> None:
        """Has a parked poll answered. (A WebSocket ends with its session.)"""
        if self.carrier is not None and self.carrier.codec.shape is POLL:
            self._say(packets.NOOP)

    def flush(self, now: float) -> None:
        """Writes what is due on the session's carrier."""
        carrier = self.carrier
        if carrier is None or self.outcome is not None:
            return
        if carrier.codec.shape is POLL:
            if self._answer_due(carrier, now):
                self._answer(carrier, now)
        else:
            if self._control and carrier.link.writable:
                carrier.write(self._take_control(carrier))
            super().flush(now)

    def _take_control(self, carrier: Carrier) -> list[Part]:
        control, self._control = self._control, {}
        return [_packet(carrier, kind, data) for kind, data in control.items()]

    def _answer_due(self, carrier: Carrier, now: float) -> bool:
        return (
            not self._greeted
            or bool(self._control)
            or self.outbox.pending(carrier.send_cursor)
            or (self.upgrade.stage is Stage.PROBED and now >= self._noop_at)
        )

    def _answer(self, carrier: Carrier, now: float) -> None:
        """Answers the parked poll, which is then no carrier any more."""
        if not carrier.link.writable:
            self.lost(carrier, now)  # its peer has left: what would be written would be lost
            return
        parts = [] if self._greeted else [self._handshake(carrier)]
        parts += self._take_control(carrier)
        most = min(self.config.max_batch, self._most - len(parts))
        first, items = self.outbox.peek(carrier.send_cursor, most, self.config.max_batch_size)
        parts += map(carrier.codec.item, items)
        if not any(parts):
            parts.append(_packet(carrier, packets.NOOP))
        carrier.finish(parts)
        self._noop_at = now + PROBED_HOLD
        self._commit(carrier, first, items, now)
        if self.carrier is carrier:  # the commit may have ended the session
            self.carrier = None

    # -- ending ------------------------------------------------------------------------------------------------------

    def end(self, code: int, reason: str, now: float, *, clean: bool = False) -> None:
        """Ends the session, and the upgrade that was under way."""
        super().end(code, reason, now, clean=clean)
        trial, self.trial = self.trial, None
        if trial is not None:
            trial.finish([], code, reason)

    def _farewell(self) -> None:
        carrier, self.carrier = self.carrier, None
        assert carrier is not None
        assert self.outcome is not None
        parts: list[Part] = []
        if self.outbox.close_number is None:  # else that was said already
            parts.append(_packet(carrier, self._last_word))
        carrier.finish(parts, self.outcome.code, self.outcome.reason)

    # -- time --------------------------------------------------------------------------------------------------------

    def deadline(self) -> float:
        """When expire() has something to do next."""
        if self.outcome is not None:
            return FOREVER
        when = min(
            self.close_deadline,
            self.inbox.releases_at,
            self._heartbeat.beat_at,
            self._heartbeat.gone_at,
            self.trial_until,
        )
        if self.carrier is not None and self.upgrade.stage is Stage.PROBED:
            when = min(when, self._noop_at)
        return when

    def expire(self, now: float) -> None:
        """Does what is due by `now`: heartbeats, silence, an upgrade that takes too long, a close nobody fetched."""
        if self.outcome is not None:
            return
        if now >= self.close_deadline:
            self.end(4412, "the close was not fetched in time", now)
            return
        heartbeat = self._heartbeat
        if now >= heartbeat.beat_at:
            packet = heartbeat.beat(now, unread=bool(self.waiting))
            if packet:
                self._say(packet)
        if now >= heartbeat.gone_at:
            if not self.asked and not self._is_unread(now):
                self.end(4410, "the client was silent for longer than ping_timeout", now)
                return
            heartbeat.received(now)
        if now >= self.trial_until:
            self._tried(Event.OTHER, now)
        self._release(now)
        self.flush(now)

    def _is_unread(self, now: float) -> bool:
        """Whether the client's silence is our doing: what it says waits behind messages that wait for room. Where it
        polls it goes on doing that; who does not is gone, whatever of its messages still waits."""
        if not self.waiting:
            return False
        return self.transport != POLLING or now < self.contact + self.options.ping_interval + self.options.ping_timeout


def _packet(carrier: Carrier, kind: str, data: str = "") -> Part:
    """A packet as it lies on this carrier."""
    codec = carrier.codec
    assert isinstance(codec, Codec)
    return codec.packet(kind, data)
