"""The client's end of a session: which carrier is the newest, what an open, attach or uplink batch says, and when
a client without contact gives up (docs/protocol.md §4 to §8).

Which transport to try, and when to try again, is the shell's to choose (client/).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .carrier import NumberedCarrier, Part, Shape
from .client_uplink import ClientUplink, Uplink
from .config import INITIAL_WINDOW, Config
from .durable.following import Following
from .durable.record import Tenure
from .errors import LocalProtocolError
from .frames import Window
from .lifecycle import Event, State
from .machine import FOREVER, Listener, shown
from .proof import Key

__all__ = ["LEAST_ACK_SHARE", "NO_KEY", "Attach", "ClientMachine", "Uplink"]

# Whoever makes a client draws its `ack_share`, from this to 1: for that part of the usual delay an ack waits for
# something to ride on, and for that part of the usual quarter of the window. So the acks of a broadcast, or of many in
# a row, do not all come at once.
LEAST_ACK_SHARE = 0.75

NO_KEY = Key("")


class Attach(NamedTuple):
    """What a carrier says first. `sid` is empty for an open. `proof` is the session's key; in a URL a ticket takes its
    place. `tenure` is empty where the session is not durable."""

    sid: str
    gen: int
    received: int
    taken: int
    first: int
    proof: Key
    tenure: str = ""

    def __repr__(self) -> str:
        return shown(self)


class Tickets(NamedTuple):
    """Tickets for carriers that start in a URL, from this gen on."""

    first: int
    tickets: tuple[str, ...]

    def of(self, gen: int) -> str:
        """The one for this gen; empty where there is none."""
        return self.tickets[gen - self.first] if 0 <= gen - self.first < len(self.tickets) else ""


class ClientMachine(ClientUplink):
    """The client's end. The shell calls start() for each carrier, and tells what became of it."""

    __slots__ = ("ack_share", "final_ack", "following", "opening", "tickets")

    def __init__(self, config: Config, listener: Listener, now: float, ack_share: float = 1.0) -> None:
        super().__init__(config, INITIAL_WINDOW, listener, now)
        self.ack_share: float = ack_share
        self.inbox.announce_by(ack_share)
        self.outbox.initial = True
        self.confirm: bool = False  # the server does not know yet that `o` has arrived
        self.uplink_out: Uplink | None = None
        self.going_due: bool = False  # the server drains and waits for our last number
        self.final_ack: bool = False  # the server's `c` came and its ack could not be written on a duplex carrier
        self.opening: set[NumberedCarrier] = set()  # carriers that started with an open
        self.key: Key = NO_KEY  # what `o` said: all but URLs show it
        self.tickets: Tickets = Tickets(0, ())
        self.following: Following = Following()
        # What the server announced; ours until it does. Its max_batch_size is the payload that fits the body it takes,
        # whatever has to be escaped: a sixth.
        self.server: Config = config

    # -- carriers --------------------------------------------------------------------------------------------------

    def reserve(self) -> int:
        """A gen for a carrier that may be started later, beside one that is wanted more: see start()."""
        self.gen += 1
        return self.gen

    def start(self, carrier: NumberedCarrier, now: float, *, gen: int | None = None) -> Attach:
        """Makes `carrier` the newest and returns what it has to say first.

        The one before goes on being read until it ends. With a `gen` that was reserved before the newest one started,
        the carrier runs beside that, and never takes over.
        """
        if self.outcome is not None:
            raise LocalProtocolError("the session has ended; no carrier can be started")
        if gen is not None:
            carrier.gen = gen
            self.opening.add(carrier)
            return Attach(self.sid, gen, 0, 0, 1, self.key, self.following.starts(carrier))
        received, taken = self.inbox.ack()
        carrier.gen = self.reserve()
        carrier.started = carrier.last_received = now
        carrier.send_cursor = self.outbox.acked + 1
        carrier.receive_cursor = received + 1
        self.carrier = carrier
        self.transport = carrier.codec.name
        if self.sid:
            self.inbox.announced(received, taken)
        else:
            self.opening.add(carrier)
        self.listener.dirty()
        named = self.following.starts(carrier)
        return Attach(self.sid, self.gen, received, taken, carrier.send_cursor, self.key, named)

    def hand_out(self, gen: int, tickets: Sequence[str]) -> None:
        """`k` came: tickets for carriers that start in a URL, from this gen on."""
        self.tickets = Tickets(gen, tuple(tickets))

    def ticket(self) -> str:
        """What the next carrier shows if it starts in a URL; empty where the server has to be asked for one first."""
        return self.tickets.of(self.gen + 1)

    def opened(
        self,
        carrier: NumberedCarrier,
        sid: str,
        window: Window,
        received: int,
        taken: int,
        now: float,
        key: str = "",
        tenure: str = "",
    ) -> bool:
        """`o` came. Returns False when it names another session: the carrier must be dropped, with all on it."""
        if not self.sid:
            if tenure:
                self._becomes_durable()
            self.sid = sid
            self.key = Key(key)
            self.outbox.window = window
            self.outbox.initial = False
            if carrier is not self.carrier and self.state is State.CONNECTING:
                self._move(Event.ATTACH)  # opened by a carrier beside the newest one
        elif sid != self.sid:
            self.lost(carrier, now)
            return False
        if self.following.rooms is not None and not self._follows(carrier, tenure, None, now):
            return True
        self.confirm = True  # each time: what confirmed another carrier's `o` may have been lost
        self._joined(carrier, received, taken, now)
        return True

    def attach_answered(
        self,
        carrier: NumberedCarrier,
        received: int,
        taken: int,
        now: float,
        tenure: str = "",
        began: Tenure | None = None,
    ) -> None:
        """`r` came."""
        if self.following.rooms is None or self._follows(carrier, tenure, began, now):
            self._joined(carrier, received, taken, now)

    def _joined(self, carrier: NumberedCarrier, received: int, taken: int, now: float) -> None:
        carrier.attached = True
        self.acknowledged(received, taken, now)
        if self.outcome is None and carrier is self.carrier:
            before = self.state
            self._move(Event.ATTACH)
            if self.state is before:
                self.listener.changed(before, before)
            self.wake_by(self.deadline())
            self.listener.dirty()

    def lost(self, carrier: NumberedCarrier, now: float) -> None:
        """A carrier ended: cut, refused, superseded or given up. Only the newest one's end detaches."""
        newest = self.carrier is carrier
        self.recycled(carrier)
        if newest and self.state in (State.OPEN, State.DRAINING, State.CLOSING):
            self._move(Event.DETACH)

    def recycled(self, carrier: NumberedCarrier) -> None:
        """`erecycled` came: the server has ended a carrier on purpose, for the next to start at once. So the session
        is as open as between two polls; if that one fails it is detached."""
        carrier.finished = True
        self.opening.discard(carrier)
        self.following.lost(carrier)
        if self.carrier is carrier:
            self.carrier = None
            self.wake_by(self.deadline())

    def refused(self, carrier: NumberedCarrier, code: int, received: int | None, reason: str, now: float) -> None:
        """`x` of scope session came: the session is over.

        A late refusal of an open is ignored: this client has its session by another carrier. An `x` that covers
        our own close is its ack, whatever its code.
        """
        if carrier in self.opening and self.sid and not carrier.attached:
            self.lost(carrier, now)
            return
        outbox = self.outbox
        if received is not None and received <= outbox.last:
            outbox.acknowledge(max(received, outbox.taken), outbox.taken)
        if self.closing is not None and outbox.closed_cleanly:
            self.end(*self.closing, now, clean=True)
        else:
            self.end(code, reason, now)

    def pinged(self, carrier: NumberedCarrier, payload: str) -> None:
        """`p` came. On a stream it is answered by an uplink batch, which has the acks it asks for."""
        if carrier.codec.shape is Shape.STREAM:
            self.inbox.ask()
            self.confirm = True
            self.listener.dirty()
        else:
            super().pinged(carrier, payload)

    # -- draining --------------------------------------------------------------------------------------------------

    def going_away(self, now: float) -> None:
        """`g` came: nothing new gets a number, and the server is told the highest one in use."""
        if self.state in (State.CLOSING, State.CLOSED):
            return
        self.outbox.held = True
        self.going_due = True
        if self.state is not State.DRAINING:
            self._move(Event.DRAIN)
        self.listener.dirty()

    # -- writing ---------------------------------------------------------------------------------------------------

    def flush(self, now: float) -> None:
        """Writes what may go on the newest carrier, if it is a duplex one."""
        carrier = self.carrier
        if carrier is None or self.outcome is not None or carrier.codec.shape is not Shape.DUPLEX:
            return
        self.flush_ordered(carrier, now)
        if carrier.finished or not carrier.attached or not carrier.link.writable:
            return
        if self.confirm:
            self.confirm = False
            carrier.write([self._announce(carrier)])
        if self.may_answer(max(carrier.send_cursor, self.outbox.acked + 1)):
            self.going_due = False
            carrier.write([carrier.codec.go_away(self.outbox.last)])
        if self.following.rooms is not None:
            self._tell_of_rooms(carrier, now)
        self.wake_by(self._ack_at())

    # -- ending ----------------------------------------------------------------------------------------------------

    def end(self, code: int, reason: str, now: float, *, clean: bool = False) -> None:
        """See SessionMachine.end()."""
        if self.outcome is None:
            # Unless the ack goes with the farewell; the end of our own close owes none.
            self.final_ack = clean and not self.outbox.closed_cleanly
        super().end(code, reason, now, clean=clean)

    def _farewell(self) -> None:
        """Acks the server's close where it can be read in order; says an abrupt end; else leaves it to the shell."""
        carrier, self.carrier = self.carrier, None
        assert carrier is not None
        assert self.outcome is not None
        code, reason, clean = self.outcome
        if carrier.codec.shape is Shape.DUPLEX and carrier.attached and not carrier.finished:
            part: Part = (
                self._announce(carrier) if clean else carrier.codec.abrupt(code, "session", self.inbox.received, reason)
            )
            carrier.finish([part])
            self.final_ack = False
        else:
            carrier.finish([])

    # -- time ------------------------------------------------------------------------------------------------------

    def deadline(self) -> float:
        """When expire() has something to do next."""
        if self.outcome is not None:
            return FOREVER
        when = min(self.close_deadline, self._gives_up_at())
        carrier = self.carrier
        if carrier is None:
            return when
        when = min(when, self._ack_at())
        interval = self._ping_after()
        if carrier.codec.shape is Shape.STREAM and carrier.attached and not carrier.finished:
            return min(when, carrier.last_received + self.server.silence)
        if carrier.codec.shape is Shape.DUPLEX and carrier.attached and interval is not None:
            when = min(when, carrier.last_received + (self.server.silence if carrier.pinged else interval))
        return when

    def expire(self, now: float) -> None:
        """Does what is due by `now`: acks, pings, silence, giving up."""
        if self.outcome is not None:
            return
        if now >= self.close_deadline:
            self.end(4412, "the close was not acknowledged in time", now)
            return
        if now >= self._gives_up_at():
            self.end(4411, "no contact with the server", now)
            return
        carrier, silence = self.carrier, self.server.silence
        if carrier is not None and carrier.attached:
            silent = not carrier.finished and now >= carrier.last_received + silence
            if carrier.codec.shape is Shape.DUPLEX:
                self._ping_or_drop(carrier, self._ping_after(), silence, now)
            elif carrier.codec.shape is Shape.STREAM and silent:
                self._drop(carrier, now)
        self.listener.dirty()

    @property
    def _hold(self) -> float:
        return self.server.hold

    def _ping_after(self) -> float | None:
        """The silence after which this side pings: later than the server, whose ping is then on its way."""
        interval = self.server.ping_interval
        if interval is None:
            return None
        return min(interval + (self.server.ping_timeout or 0.0) / 2, self.server.silence)

    def _gives_up_at(self) -> float:
        # Where there are no pings, a silent carrier is no sign of a lost server.
        if self.carrier is not None and self.carrier.attached and self.server.ping_interval is None:
            return FOREVER
        return self.contact + self.server.lifetime
