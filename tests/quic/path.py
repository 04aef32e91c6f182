"""A path as a congestion control sees one: a bottleneck with a queue, a distance, and packets that are lost by chance.
All of it in time of its own.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from random import Random

from aioquic.quic.congestion.base import QuicCongestionControl
from aioquic.quic.packet import QuicPacketType
from aioquic.quic.packet_builder import QuicSentPacket
from aioquic.quic.recovery import QuicPacketPacer
from aioquic.tls import Epoch

from realtime.quic.congestion import Bbr, Pacer

__all__ = ["SIZE", "Path", "Sender"]

SIZE = 1200  # of a packet, in bytes
# Packets behind so many others that came are lost (RFC 9002 §6.1.1); and all, when nothing has come for so long.
REORDERED, SILENCE = 3, 1.0


class Path:
    """Delivers `rate` bytes a second, keeps `queue` bytes meanwhile, and drops the rest; a round trip takes `distance`
    seconds more. `loss` is the chance of a packet to vanish."""

    def __init__(self, *, rate: float, distance: float, queue: float, loss: float = 0.0, seed: int = 1) -> None:
        self.rate = rate
        self.distance = distance
        self.queue = queue
        self.loss = loss
        self.now = 0.0
        self.dropped = self.passed = 0
        self._free = 0.0  # when the bottleneck is
        self._random = Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Something happens then."""
        heapq.heappush(self._events, (when, next(self._numbers), call))

    def run(self, until: float) -> None:
        """Time passes."""
        while self._events and self._events[0][0] <= until:
            self.now, _, call = heapq.heappop(self._events)
            call()
        self.now = until

    @property
    def waiting(self) -> float:
        """How many bytes are in the queue."""
        return max(0.0, self._free - self.now) * self.rate

    def send(self, delivered: Callable[[], None]) -> None:
        """A packet."""
        if self.waiting > self.queue:
            self.dropped += 1
            return
        self._free = max(self._free, self.now) + SIZE / self.rate
        self.passed += 1
        if self._random.random() >= self.loss:
            self.at(self._free + self.distance, delivered)


class Sender:
    """Sends as much as it may, or one packet each `every` seconds."""

    def __init__(self, path: Path, control: QuicCongestionControl | None = None, every: float = 0.0) -> None:
        self.path = path
        self.every = every
        self.control = control or Bbr(max_datagram_size=SIZE)
        self.pacer: QuicPacketPacer
        if isinstance(self.control, Bbr):
            self.pacer = Pacer(self.control, max_datagram_size=SIZE)
        else:
            self.pacer = QuicPacketPacer(max_datagram_size=SIZE)
        self.delivered = 0
        self.windows: deque[int] = deque(maxlen=1000)
        self._on_the_way: dict[int, QuicSentPacket] = {}
        self._number = 0
        self._smoothed = 0.0
        self._heard = 0.0
        self._waits = False
        path.at(path.now, self._send)
        path.at(path.now + SILENCE, self._watch)

    def _send(self) -> None:
        path, control = self.path, self.control
        self._waits = False
        while control.bytes_in_flight + SIZE <= control.congestion_window:
            later = self.pacer.next_send_time(path.now)
            if later is not None:
                self._again(later)
                return
            self._number += 1
            packet = QuicSentPacket(
                Epoch.ONE_RTT, True, True, False, self._number, QuicPacketType.ONE_RTT, path.now, SIZE
            )
            control.on_packet_sent(packet=packet)
            self._on_the_way[packet.packet_number] = packet
            path.send(lambda packet=packet: self._acked(packet))
            self.pacer.update_after_send(path.now)
            if self.every:
                if isinstance(control, Bbr):
                    control.sent_all_there_was()  # as a connection says behind each look
                self._again(path.now + self.every)
                return

    def _again(self, when: float) -> None:
        if not self._waits:
            self._waits = True
            self.path.at(when, self._send)

    def _acked(self, packet: QuicSentPacket) -> None:
        now, number = self.path.now, packet.packet_number
        if self._on_the_way.pop(number, None) is None:
            return  # it was taken for lost
        self._heard = now
        self.delivered += SIZE
        assert packet.sent_time is not None
        rtt = now - packet.sent_time
        self._smoothed = 7 / 8 * self._smoothed + rtt / 8 if self._smoothed else rtt
        self.control.on_packet_acked(now=now, packet=packet)
        self.control.on_rtt_measurement(now=now, rtt=rtt)
        self.pacer.update_rate(congestion_window=self.control.congestion_window, smoothed_rtt=self._smoothed)
        self._lose([self._on_the_way.pop(one) for one in [*self._on_the_way] if one <= number - REORDERED])
        self.windows.append(self.control.congestion_window)
        if not self.every:
            self._send_or_wait()
        elif isinstance(self.control, Bbr):
            self.control.sent_all_there_was()

    def _send_or_wait(self) -> None:
        if not self._waits:
            self._send()

    def _lose(self, packets: list[QuicSentPacket]) -> None:
        if packets:
            self.control.on_packets_lost(now=self.path.now, packets=packets)

    def _watch(self) -> None:
        """All that is silent for long is lost, and the control is told so."""
        if self._on_the_way and self.path.now - self._heard >= SILENCE:
            packets, self._on_the_way = [*self._on_the_way.values()], {}
            self._lose(packets)
            self.control.on_persistent_congestion()
            self._send_or_wait()
        self.path.at(self.path.now + SILENCE, self._watch)
