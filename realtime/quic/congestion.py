"""How much of a connection may be on its way: BBR, by what the path delivers and how far it is, not by single losses.

aioquic's own (Reno, CUBIC) take each lost packet for a sign of too much, as TCP did: where packets are lost by chance,
as over radio, hardly anything is left on its way. Here the two things are measured that a path has: the rate at which
it delivers, as the most of the last rounds, and its shortest round trip. Their product is what it holds, and is sent at
that rate (N. Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue 14/5, 2016; rates are measured as
in draft-cheng-iccrg-delivery-rate-estimation). Where much is lost, that is no chance any more, and less is sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import Enum
from math import inf
from typing import Any

from aioquic.quic.congestion.base import QuicCongestionControl, register_congestion_control
from aioquic.quic.packet_builder import QuicSentPacket
from aioquic.quic.recovery import QuicPacketPacer

__all__ = ["ALGORITHM", "Bbr", "Mode", "Pacer"]

ALGORITHM = "realtime-bbr"
# So much faster than it delivers is sent to find out what a path holds: what doubles the rate each round (2 / ln 2).
FULL_SPEED = 2.885
# A round that delivers a quarter more than the fullest before goes on so; so many that don't have filled the path.
GROWTH, PLATEAU = 1.25, 3
# Then the rate goes up and down, a round trip each, to notice when a path can do more.
CYCLE = (1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
# So much may be on its way, of what a path holds: its acknowledgements come late, or several at a time.
ROOM = 2.0
# For so many rounds the highest rate counts; and for so many seconds the shortest round trip, which is then measured
# anew with so few packets on their way, for so many seconds.
ROUNDS = 10
FRESH, FEW, LOOK = 10.0, 4, 0.2
# So much of what is sent in one round is not lost by chance, if it is more than some packets; then nothing more is
# tried for so many rounds.
HEAVY, SOME, CALM = 0.2, 8, 8
# At once go so many seconds' worth, but so many packets at least, and at most; and what a timer that is late has held
# back, up to so many seconds: or whoever is slow would take that for the path, and grow slower still.
BURST, LEAST_BURST, MOST_BURST = 0.005, 4, 32
LATE = 0.1
# A clock may say that a round trip took no time, in seconds: nothing goes faster than one of these.
LEAST_RTT = 1e-6
# Of a packet, what is waited for when there is nothing left: a timer is not set for less.
SHARE = 0.5


class Mode(Enum):
    """What is being found out."""

    START = "start"  # how much it is, at ever higher rates
    DRAIN = "drain"  # nothing: what was too much has to go
    CRUISE = "cruise"  # whether it is more now
    LOOK = "look"  # how far it is


class Bbr(QuicCongestionControl):
    """See aioquic's QuicCongestionControl. Bytes and seconds."""

    def __init__(self, *, max_datagram_size: int) -> None:
        super().__init__(max_datagram_size=max_datagram_size)
        self._size = max_datagram_size
        self._first_window = self.congestion_window
        self.mode: Mode = Mode.START
        self._delivered = 0
        self._delivered_at = 0.0
        self._first_sent = 0.0
        self._limited = 0  # until so much is delivered, the application had not more to send
        self._round_ends = 0  # when so much is delivered
        self._round = 0
        self._round_lost = self._round_began = 0
        self._rates: deque[tuple[int, float]] = deque()  # rounds and rates, falling: the first is the highest
        self._rtt = inf
        self._rtt_at = 0.0
        self._look_until: float | None = None
        self._look_rtt = inf
        self._fullest = 0.0
        self._plateau = 0
        self._phase, self._phase_at = 2, 0.0
        self._calm_until = 0  # this round

    # -- what is known -------------------------------------------------------------------------------------------------

    @property
    def rate(self) -> float:
        """What the path delivers in a second; 0 while that is not known."""
        return self._rates[0][1] if self._rates else 0.0

    @property
    def held(self) -> float:
        """What the path holds; 0 while that is not known."""
        return self.rate * self._rtt if self._rates and self._rtt < inf else 0.0

    @property
    def pacing_rate(self) -> float:
        """How fast to send; 0 while nothing is known."""
        rate = self.rate
        if rate and self.mode is Mode.START:  # what little was said till now says nothing
            rate = max(rate, self._first_window / self._rtt)
        return rate * self._speed

    @property
    def _speed(self) -> float:
        if self.mode is Mode.START:
            return FULL_SPEED
        if self.mode is Mode.DRAIN:
            return 1 / FULL_SPEED
        if self.mode is Mode.LOOK:
            return 1.0
        return min(CYCLE[self._phase], 1.0) if self._round < self._calm_until else CYCLE[self._phase]

    # -- what aioquic tells --------------------------------------------------------------------------------------------

    def on_packet_sent(self, *, packet: QuicSentPacket) -> None:
        """Notes how far things were then."""
        assert packet.sent_time is not None
        if self.bytes_in_flight == 0:
            self._first_sent = self._delivered_at = packet.sent_time
        noted: Any = packet
        noted.then = self._delivered, self._delivered_at, self._first_sent, self._delivered < self._limited
        self.bytes_in_flight += packet.sent_bytes

    def on_packet_acked(self, *, now: float, packet: QuicSentPacket) -> None:
        """Measures the rate over this packet's way there and back."""
        assert packet.sent_time is not None
        noted: Any = packet
        delivered, delivered_at, first_sent, limited = noted.then
        self.bytes_in_flight -= packet.sent_bytes
        self._delivered += packet.sent_bytes
        self._delivered_at = now
        self._first_sent = max(self._first_sent, packet.sent_time)
        if delivered >= self._round_ends:
            self._next_round(limited)
        took = max(packet.sent_time - first_sent, now - delivered_at)
        if took > 0 and took >= self._rtt / 2:
            self._measured((self._delivered - delivered) / took, limited)
        self._move(now)
        self._open(packet.sent_bytes)

    def on_packets_lost(self, *, now: float, packets: Iterable[QuicSentPacket]) -> None:
        """Only counts them."""
        for packet in packets:
            self.bytes_in_flight -= packet.sent_bytes
            self._round_lost += packet.sent_bytes

    def on_packets_expired(self, *, packets: Iterable[QuicSentPacket]) -> None:
        """They do not count."""
        for packet in packets:
            self.bytes_in_flight -= packet.sent_bytes

    def on_persistent_congestion(self) -> None:
        """Nothing came through for long: all is found out anew, from the least on. It may be another path by now, and
        farther (RFC 9002 §5.2)."""
        self.congestion_window = self._first_window = 2 * self._size
        self._rtt = self._look_rtt = inf
        self._round_lost = 0  # this is what has come of it: by the next round it would be too much once more
        self.mode = Mode.START
        self._forget()

    def on_rtt_measurement(self, *, now: float, rtt: float) -> None:
        """Keeps the shortest."""
        rtt = max(rtt, LEAST_RTT)
        if rtt <= self._rtt:
            self._rtt, self._rtt_at = rtt, now
        elif self.mode is not Mode.LOOK and now - self._rtt_at > FRESH:
            self.mode, self._look_until, self._look_rtt = Mode.LOOK, None, rtt
        self._look_rtt = min(self._look_rtt, rtt)

    def sent_all_there_was(self) -> None:
        """Nothing waits to be sent, unless the window is full. If it is not, rates measured with what is on its way now
        say nothing of the path."""
        if self.bytes_in_flight + self._size < self.congestion_window:
            self._limited = self._delivered + max(self.bytes_in_flight, 1)

    # -- what follows from it ------------------------------------------------------------------------------------------

    def _measured(self, rate: float, limited: bool) -> None:
        if limited and rate < self.rate:
            return
        rates = self._rates
        while rates and rates[-1][1] <= rate:
            rates.pop()
        rates.append((self._round, rate))
        while rates[0][0] <= self._round - ROUNDS:
            rates.popleft()

    def _forget(self) -> None:
        """How much it is has to be found out from the beginning."""
        self._rates.clear()
        self._fullest, self._plateau, self._calm_until = 0.0, 0, 0

    def _next_round(self, limited: bool) -> None:
        came, lost = self._delivered - self._round_began, self._round_lost
        self._round += 1
        self._round_ends = self._round_began = self._delivered
        self._round_lost = 0
        if lost > HEAVY * (lost + came) and lost > SOME * self._size:
            self._too_much(came / (lost + came))
        elif self.mode is Mode.START and not limited:
            if self.rate >= self._fullest * GROWTH:
                self._fullest, self._plateau = self.rate, 0
            else:
                self._plateau += 1
                if self._plateau >= PLATEAU:
                    self.mode = Mode.DRAIN

    def _too_much(self, share: float) -> None:
        """Only this share of what was sent has come."""
        if self._rates:
            rate = self.rate * share
            self._rates.clear()
            self._rates.append((self._round, rate))
        self._calm_until = self._round + CALM
        if self.mode is Mode.START:
            self.mode = Mode.DRAIN
        self.congestion_window = max(int(self.congestion_window * share), FEW * self._size)

    def _move(self, now: float) -> None:
        if self.mode is Mode.DRAIN and self.bytes_in_flight <= self.held:
            self.mode, self._phase, self._phase_at = Mode.CRUISE, 2, now
        elif self.mode is Mode.CRUISE and now - self._phase_at > self._rtt:
            self._phase, self._phase_at = (self._phase + 1) % len(CYCLE), now
        elif self.mode is Mode.LOOK:
            if self._look_until is None:
                if self.bytes_in_flight <= FEW * self._size:
                    self._look_until = now + LOOK
            elif now >= self._look_until:
                if self._look_rtt > ROOM * self._rtt:  # so little was on the way that it said nothing of the path
                    self._forget()
                self._rtt, self._rtt_at = self._look_rtt, now
                full = self._plateau >= PLATEAU or self._calm_until
                self.mode, self._phase, self._phase_at = Mode.CRUISE if full else Mode.START, 2, now

    def _open(self, size: int) -> None:
        """So much was delivered: as much more may be sent, up to what the path is to hold."""
        least = FEW * self._size
        if self.mode is Mode.LOOK:
            self.congestion_window = least
            return
        held = self.held
        if not held:
            self.congestion_window += size
            return
        room = FULL_SPEED if self.mode in (Mode.START, Mode.DRAIN) else ROOM
        target = int(room * held) + 3 * self._size
        if self.mode is Mode.START:  # never less, before it is known what there is
            target = max(target, self.congestion_window)
        self.congestion_window = max(min(self.congestion_window + size, target), least)


class Pacer(QuicPacketPacer):
    """When the next packet may go: at the rate that Bbr says, as soon as it says one, on the average exactly, and a few
    at a time. (By aioquic's own one may go whenever anything was acknowledged.)"""

    def __init__(self, control: Bbr, *, max_datagram_size: int) -> None:
        super().__init__(max_datagram_size=max_datagram_size)
        self._control = control
        self._size = max_datagram_size
        self._rate = 0.0  # 0: nothing is known
        self._credit = self._most = float(LEAST_BURST * max_datagram_size)
        self._at = 0.0
        self._due = inf  # when somebody asked to be called

    def next_send_time(self, now: float) -> float | None:  # type: ignore[override] # as aioquic's is
        """When; None for now."""
        if not self._rate:
            return None
        if now > self._at:
            late = min(max(0.0, now - self._due), LATE)  # 0 as well where nobody has asked to be called
            self._credit = min(self._credit + (now - self._at) * self._rate, self._most + late * self._rate)
            self._at, self._due = now, inf
        if self._credit > 0:
            return None
        self._due = now + (SHARE * self._size - self._credit) / self._rate
        return self._due

    def update_after_send(self, now: float) -> None:
        """A packet has gone. Those that only acknowledge go at any time, and are small: more than one is not owed."""
        if self._rate:
            self._credit = max(self._credit - self._size, -float(self._size))

    def update_rate(self, congestion_window: int, smoothed_rtt: float) -> None:
        """What was measured has changed."""
        self._rate = self._control.pacing_rate or congestion_window / max(smoothed_rtt, LEAST_RTT)
        self._most = min(max(self._rate * BURST, LEAST_BURST * self._size), MOST_BURST * self._size)


register_congestion_control(ALGORITHM, Bbr)
