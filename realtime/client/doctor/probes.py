"""How each transport is tried: open, measure, leave idle, see whether it still lives.

What carries both ways is in duplex. A probe raises Blocked where it can't go on, and settles what it found beside that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from statistics import median
from typing import Any

import aiohttp

from ...core.carrier import Shape
from ...core.errors import RemoteProtocolError
from ...transports import TRANSPORTS, WEBTRANSPORT, Frame
from ..wire import FAILURES, begin_stream, beginning_of, has_shape, needs_url, own_transports
from .duplex import probe_websocket, probe_webtransport
from .findings import Blocked
from .probing import MOST, PINGS, Probe, blocked_by, judge

__all__ = ["probe_of"]

# A piece of a stream that comes so much later than the answer to what provoked it is held back, in seconds.
LAG = 0.1
NUDGES = 3
# A wait is cut into so many.
PARTS = 8


# -- streams -------------------------------------------------------------------------------------------------------


class Stream:
    """One long response, read by a task of its own."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self.begun: bool = False  # its head has come
        self.first_at: float | None = None  # its first byte
        self.last_at: float = probe.loop.time()  # its last byte
        self.frames: list[tuple[float, Frame]] = []
        self.blocked: Blocked | None = None
        self.finished: bool = False
        self._taken = 0
        self._news = asyncio.Event()

    async def read(self, hello: str) -> None:
        """Reads until the response ends, and keeps why."""
        probe = self._probe
        try:
            async with self._begin(hello) as response:
                self.begun = True
                self._news.set()
                decoder = TRANSPORTS[probe.finding.transport].decoder(MOST, MOST)
                if response.status != 200:
                    answer = judge(response, await beginning_of(response, MOST))
                    self.frames += [(probe.loop.time(), frame) for frame in answer]
                    self._take(response.status)
                seen = b""
                async for chunk in response.content.iter_any():
                    self.last_at = probe.loop.time()
                    self.first_at = self.first_at or self.last_at
                    seen = seen or chunk
                    self.frames += [(self.last_at, frame) for frame in decoder.feed(chunk)]
                    self._take(response.status)
                    self._news.set()
                if probe.opened is None:
                    judge(response, seen)
        except Blocked as blocked:
            self.blocked = blocked
        except FAILURES as error:
            self.blocked = blocked_by(error)
        except (RemoteProtocolError, ValueError) as error:
            self.blocked = Blocked("altered", f"what came makes no sense: {error}")
        finally:
            self.finished = True
            self._news.set()

    def _take(self, status: int) -> None:
        while self.frames and self._taken < len(self.frames):
            self._taken += 1
            self._probe.take(self.frames[self._taken - 1][1], status)

    def _begin(self, hello: str) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        probe, target = self._probe, self._probe.target
        return begin_stream(probe.http, target.url, probe.finding.transport, hello, probe.headers, target.proxy)

    def acked(self, after: int) -> float:
        """When the ack came that nudge() had asked for, among the frames after so many; 0 while it has not."""
        return next((when for when, frame in self.frames[after:] if self._probe.is_nudged(frame)), 0.0)

    def pinged(self, before: int) -> bool:
        """Whether more pings came than so many."""
        return self.pings > before

    @property
    def pings(self) -> int:
        """How many pings came."""
        return sum(1 for _, frame in self.frames if frame[:1] == "p")

    async def until(self, happened: Callable[[], object], limit: float) -> bool:
        """Waits until something has happened, or the stream is over; whether it happened in `limit` seconds.

        They are waited for in parts: a pause of this process uses up one of them, and is not blamed on the network.
        """
        for _ in range(PARTS):
            with suppress(TimeoutError):
                async with asyncio.timeout(limit / PARTS):
                    while not happened() and not self.finished:
                        self._news.clear()
                        await self._news.wait()
                    break
        return bool(happened())


async def probe_stream(probe: Probe) -> None:
    """Opens a stream, sees when its pieces come, leaves it idle, sees whether pieces still come."""
    if probe.target.auth is not None and needs_url(probe.finding.transport):
        raise Blocked("skipped", "not tried: it opens by its URL, where auth data must not stand")
    stream = Stream(probe)
    started = probe.loop.time()
    reader = probe.loop.create_task(stream.read(probe.hello()))
    try:
        if not await stream.until(lambda: probe.opened is not None, probe.target.late + 0.5):
            raise stream.blocked or await _held(probe, stream)
        assert stream.first_at is not None
        probe.finding.first_byte = stream.first_at - started
        await probe.measure_sends()
        await _measure_lag(probe, stream)
        if probe.finding.through:
            await _leave_idle(probe, stream)
    finally:
        if not reader.done():
            await probe.goodbye()  # while somebody reads what it brings
            reader.cancel()
        with suppress(asyncio.CancelledError):
            await reader


async def _held(probe: Probe, stream: Stream) -> Blocked:
    """Why a stream says nothing: takes its session over by a poll, so that it ends, and sees what comes then."""
    waited = probe.target.late + 0.5
    polls = [name for name in own_transports() if has_shape(name, Shape.POLL)]
    for name in sorted(polls, key=lambda name: TRANSPORTS[name].held):  # one that is answered at once, if there is one
        try:
            await probe.request(name, [probe.hello()])
            break
        except Blocked as blocked:
            if blocked.state != "policy":
                break
    if probe.opened is not None:
        await stream.until(lambda: stream.first_at is not None, probe.target.late)
        if stream.first_at is not None:
            return Blocked("buffered", f"nothing of the stream came in {waited:.1f} s, and all of it when it ended")
    if stream.begun:
        return Blocked("mute", "the answer begins, and nothing of the stream comes")
    return Blocked("hung", "the request was never answered")


async def _measure_lag(probe: Probe, stream: Stream) -> None:
    """Provokes a few pieces, and sees how much later they come than the answer to what provoked them."""
    lags = []
    for _ in range(NUDGES):
        seen = len(stream.frames)
        answered = await probe.nudge()
        if answered is None:
            break
        if not await stream.until(partial(stream.acked, seen), max(1.0, probe.target.late)):
            if stream.blocked is not None or stream.finished:
                raise stream.blocked or Blocked("cut", "opens, and ends at once")
            raise Blocked("buffered", "the beginning of the stream comes, and what follows is held back")
        lags.append(max(0.0, stream.acked(seen) - answered))
    probe.finding.through = True
    if lags:
        probe.finding.lag = median(lags)
        if min(lags) >= LAG:
            probe.settle("lagged", f"gets through, {probe.finding.lag:.2g} s late")


async def _leave_idle(probe: Probe, stream: Stream) -> None:
    finding, loop = probe.finding, probe.loop
    until = probe.idle_until()
    answered = 0
    while not stream.finished and loop.time() < until:
        if stream.pings > answered:  # a server takes a client for gone that does not answer
            answered = stream.pings
            await probe.request("send", [probe.head()])
        await stream.until(partial(stream.pinged, answered), until - loop.time())
    if stream.finished:
        if stream.blocked is not None and stream.blocked.state == "ended":
            raise stream.blocked
        if stream.frames and str(stream.frames[-1][1]).startswith("e"):
            finding.notes.append(f"the server ended the stream on purpose ({str(stream.frames[-1][1])[1:]})")
            return
        finding.cut_after = loop.time() - stream.last_at
        probe.settle("cut", f"gets through, and is cut after {finding.cut_after:.1f} s without data")
        return
    silent_since, seen = stream.last_at, len(stream.frames)
    if await probe.nudge() is None:
        return
    if not await stream.until(partial(stream.acked, seen), max(1.0, probe.target.late)):
        finding.cut_after = loop.time() - silent_since
        probe.settle("cut", f"gets through, and goes mute within {finding.cut_after:.1f} s without data")


# -- polls ---------------------------------------------------------------------------------------------------------


async def probe_polling(probe: Probe) -> None:
    """Opens by a poll, and polls a few times more."""
    await _open_by_poll(probe)
    times = []
    for _ in range(PINGS):
        started = probe.loop.time()
        await probe.request(probe.finding.transport, [probe.hello()])
        times.append(probe.loop.time() - started)
    probe.finding.round_trip = median(times)
    probe.finding.through = True


async def probe_long_polling(probe: Probe) -> None:
    """Opens by a poll, holds one, and sees whether it is cut, and whether its answer comes when it should."""
    finding, loop = probe.finding, probe.loop
    await _open_by_poll(probe)
    await probe.measure_sends()
    finding.through = True
    until = probe.idle_until()
    while True:
        since = loop.time()
        poll = loop.create_task(_poll(probe))
        try:
            await asyncio.wait({poll}, timeout=until - since)
            answered = None if poll.done() else await probe.nudge()
            await asyncio.wait({poll}, timeout=max(1.0, probe.target.late) if answered else 0)
            if not poll.done():
                if answered is not None:
                    finding.through = False
                    raise Blocked("mute", "a held request is never answered")
                return
        finally:
            if not poll.done():
                poll.cancel()
                await asyncio.wait({poll})
        error = poll.exception()
        if isinstance(error, Blocked):
            if error.state in ("ended", "astray", "policy"):
                finding.through = error.state == "ended"
                raise error
            finding.status = error.status
            finding.cut_after = loop.time() - since
            probe.settle("cut", f"gets through, and a held request is cut after {finding.cut_after:.1f} s")
            return
        if answered is not None:
            finding.lag = max(0.0, poll.result() - answered)
            if finding.lag >= max(LAG, 5 * (finding.round_trip or 0)):
                probe.settle("lagged", f"gets through, {finding.lag:.2g} s late")
            return
        if loop.time() >= until:
            return


async def _poll(probe: Probe) -> float:
    """One held poll; when it was answered."""
    await probe.request(probe.finding.transport, [probe.hello()], probe.target.patience + 2 * probe.target.step)
    return probe.loop.time()


async def _open_by_poll(probe: Probe) -> None:
    started = probe.loop.time()
    await probe.request(probe.finding.transport, [probe.hello()])
    probe.finding.first_byte = probe.loop.time() - started
    if probe.opened is None:
        raise Blocked("altered", "the answer does not open a session")


def probe_of(name: str) -> Callable[[Probe], Coroutine[Any, Any, None]]:
    """How a transport is tried."""
    if name == WEBTRANSPORT.name:
        return probe_webtransport
    shape = TRANSPORTS[name].shape
    if shape is Shape.DUPLEX:
        return probe_websocket
    if shape is Shape.STREAM:
        return probe_stream
    return probe_long_polling if TRANSPORTS[name].held else probe_polling
