"""Keeps so many operations under way, counts them, and notices when one is lost or too many come back.

Knows peers only by the interface below, and neither protocols nor servers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

__all__ = ["Broadcast", "Echo", "Failed", "Limit", "Peer", "Tally"]


class Failed(Exception):
    """The server, or this harness, has not done what the protocol says: there is no figure."""


class Limit(NamedTuple):
    """When to start no more operations: after so many seconds or operations, whichever comes first."""

    seconds: float
    operations: float = float("inf")


class Peer(Protocol):
    """One session, seen from the client."""

    sent: int
    received: int
    delivered: Callable[[Peer, int], None]  # is told of every few messages that have come

    async def open(self, *, speaks: bool = True) -> None:
        """Opens the session, and returns when the server has said so. Those who never post say so."""

    def post(self, count: int) -> None:
        """Sends the next `count` messages, as soon as the server's window allows."""

    async def leave(self) -> None:
        """Ends the session by the protocol, and returns when the connection is gone."""

    async def abort(self) -> None:
        """Cuts whatever is open."""


class Tally:
    """What is under way and what is done, for one measurement. Failures end up here too."""

    # How long after the last start everything must be back, in seconds.
    PATIENCE = 30.0

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.done = 0
        self._under_way = 0
        self._stopping = False
        self._operations = float("inf")
        self._finished: asyncio.Future[None] | None = None

    def fail(self, error: Exception) -> None:
        """Something went wrong: whoever waits is told. The first failure counts."""
        if self.error is None:
            self.error = error
        if self._finished is not None and not self._finished.done():
            self._finished.set_result(None)

    def check(self) -> None:
        """Raises Failed if anything has gone wrong so far."""
        if self.error is not None:
            raise Failed(str(self.error)) from self.error

    def begin(self, count: int) -> None:
        """So many operations have started."""
        self._under_way += count

    def complete(self, count: int) -> bool:
        """So many operations have ended; whether others may start."""
        self.done += count
        self._under_way -= count
        if self.done >= self._operations:
            self._stopping = True
        if self._stopping and self._under_way <= 0 and self._finished is not None and not self._finished.done():
            self._finished.set_result(None)
        return not self._stopping

    def _stop(self) -> None:
        self._stopping = True
        self.complete(0)

    async def run(self, limit: Limit, start: Callable[[], None]) -> int:
        """Starts, goes on until the limit, and waits for what is under way then; returns how many were completed.

        Raises Failed when anything went wrong or never came back.
        """
        loop = asyncio.get_running_loop()
        self.done = self._under_way = 0
        self._stopping = False
        self._operations = limit.operations
        self._finished = loop.create_future()
        timer = loop.call_later(limit.seconds, self._stop) if limit.seconds < float("inf") else None
        self.check()
        start()
        try:
            await asyncio.wait_for(self._finished, None if timer is None else limit.seconds + self.PATIENCE)
        except TimeoutError:
            raise Failed(f"{self._under_way} operations never completed") from None
        finally:
            self._finished = None
            if timer is not None:
                timer.cancel()
        self.check()
        if self._under_way:
            raise Failed(f"{-self._under_way} more operations were completed than started")
        return self.done


class Echo:
    """Every session keeps `in_flight` messages under way: one operation is a message that came back."""

    def __init__(self, peers: Sequence[Peer], in_flight: int, tally: Tally) -> None:
        self._peers = peers
        self._in_flight = in_flight
        self._tally = tally
        self._times: list[float] = []
        self._posted: dict[Peer, float] = {}
        for peer in peers:
            peer.delivered = self._delivered if in_flight > 1 else self._timed

    def latencies(self) -> tuple[float, ...]:
        """How long each message was under way, in seconds and sorted, in the last run with one of each session."""
        return tuple(sorted(self._times))

    async def run(self, limit: Limit) -> int:
        """See Tally.run(). Raises Failed, too, unless every session received exactly what it sent."""
        done = await self._tally.run(limit, self._start)
        for peer in self._peers:
            if peer.sent != peer.received:
                raise Failed(f"a session sent {peer.sent} messages and received {peer.received}")
        return done

    def _start(self) -> None:
        self._times = []
        for peer in self._peers:
            self._tally.begin(self._in_flight)
            self._posted[peer] = time.perf_counter()
            peer.post(self._in_flight)

    def _timed(self, peer: Peer, count: int) -> None:
        now = time.perf_counter()
        self._times.append(now - self._posted[peer])
        self._posted[peer] = now
        self._delivered(peer, count)

    def _delivered(self, peer: Peer, count: int) -> None:
        if self._tally.complete(count):
            self._tally.begin(count)
            peer.post(count)


class Broadcast:
    """A speaker keeps `in_flight` messages under way: one operation is the delivery of one to one listener.

    A message is done when the last listener has it; only then does the next one start.
    """

    def __init__(self, speaker: Peer, listeners: Sequence[Peer], in_flight: int, tally: Tally) -> None:
        self._speaker = speaker
        self._listeners = listeners
        self._in_flight = in_flight
        self._tally = tally
        self._complete = 0  # how many messages all listeners have
        self._counts = [0] * in_flight  # how many listeners have each of those under way, as a ring
        self._times: list[float] = []
        self._said = 0.0
        speaker.delivered = self._never
        for listener in listeners:
            listener.delivered = self._delivered if in_flight > 1 else self._timed

    def latencies(self) -> tuple[float, ...]:
        """How long after it was said a listener had a message, in seconds and sorted, in the last run with one under
        way."""
        return tuple(sorted(self._times))

    def _timed(self, peer: Peer, count: int) -> None:
        self._times.append(time.perf_counter() - self._said)
        self._delivered(peer, count)

    async def run(self, limit: Limit) -> int:
        """See Tally.run(). Raises Failed, too, unless every listener received exactly what was said."""
        done = await self._tally.run(limit, self._start)
        for listener in self._listeners:
            if listener.received != self._speaker.sent:
                raise Failed(f"{self._speaker.sent} messages were sent and a listener received {listener.received}")
        return done

    def _start(self) -> None:
        self._times = []
        self._say(self._in_flight)

    def _say(self, count: int) -> None:
        self._said = time.perf_counter()
        self._tally.begin(count * len(self._listeners))
        self._speaker.post(count)

    def _delivered(self, peer: Peer, count: int) -> None:
        everyone = len(self._listeners)
        counts, size = self._counts, self._in_flight
        last = peer.received
        if last > self._complete + size:
            self._tally.fail(Failed("a listener received more than was said"))
            return
        complete = 0
        for number in range(last - count, last):
            place = number % size
            counts[place] += 1
            if counts[place] == everyone:
                counts[place] = 0
                complete += 1
        if complete:
            self._complete += complete
            if self._tally.complete(complete * everyone):
                self._say(complete)

    def _never(self, peer: Peer, count: int) -> None:
        self._tally.fail(Failed("the speaker, who only speaks, was sent a message"))
