"""How the transports that carry frames both ways are tried: WebSocket, and WebTransport at its port of its own.

Both open, ping, are left idle, and ping again; in how they fail they have nothing in common.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from statistics import median
from typing import Any, Protocol

import aiohttp
from aiohttp import WSMsgType

from ...core.errors import Refusal
from ...quic.failures import NoSession, Progress
from ...quic.loading import open_channel
from ...transports import WEBTRANSPORT, Frame
from ..drivers.webtransport import Place, offers_of, place_of
from ..handshake import connect_websocket
from ..wire import FAILURES, beginning_of, with_origin, words
from .findings import Blocked
from .probing import MOST, PINGS, Probe, Target, judge

__all__ = ["find_webtransport", "probe_websocket", "probe_webtransport"]


class Wire(Protocol):
    """What carries frames both ways."""

    async def send(self, frame: str) -> None:
        """Raises one of FAILURES."""

    async def receive(self) -> Frame:
        """Raises Blocked when it has ended."""


class Talk:
    """Reads and writes one frame at a time."""

    def __init__(self, probe: Probe, wire: Wire) -> None:
        self._probe = probe
        self._wire = wire

    async def read(self, wanted: Callable[[Frame], bool], limit: float, mute: str) -> None:
        """Reads until the wanted frame comes. Raises Blocked: mute, cut, or what an `x` says."""
        try:
            async with asyncio.timeout(limit):
                while True:
                    frame = await self._wire.receive()
                    self._probe.take(frame)
                    if isinstance(frame, str) and frame[:1] == "p":
                        await self._wire.send("q" + frame[1:])
                    if wanted(frame):
                        return
        except TimeoutError:
            raise Blocked("mute", mute) from None

    async def ping(self) -> float:
        """One ping; how long its pong took."""
        word = secrets.token_hex(4)
        started = self._probe.loop.time()
        try:
            await self._wire.send("p" + word)
        except FAILURES:
            raise Blocked("cut", "opens, and is cut at once") from None
        await self.read(lambda frame: frame == "q" + word, self._probe.target.step, "opens, and pings are not answered")
        return self._probe.loop.time() - started

    async def idle(self) -> None:
        """Says nothing for a while, but for the answers to the server's pings."""
        limit = self._probe.idle_until() - self._probe.loop.time()
        try:
            await self.read(lambda frame: False, limit, "")
        except Blocked as blocked:
            if blocked.state != "mute":
                raise


async def _try(probe: Probe, wire: Wire, hello: str | None, started: float) -> None:
    """Opens, unless that is under way, pings, leaves it idle, pings again, and says goodbye."""
    finding, talk = probe.finding, Talk(probe, wire)
    if hello is not None:
        await wire.send(hello)
    await talk.read(lambda frame: probe.opened is not None, probe.target.step, "opens, and nothing comes")
    finding.first_byte = probe.loop.time() - started
    await wire.send("a0,0")
    finding.round_trip = median([await talk.ping() for _ in range(PINGS)])
    finding.through = True
    since = probe.loop.time()
    try:
        await talk.idle()
        await talk.ping()
    except Blocked as blocked:
        if blocked.state == "ended":
            raise
        finding.cut_after = probe.loop.time() - since
        how = "goes mute" if blocked.state == "mute" else "is cut"
        probe.settle("cut", f"gets through, and {how} after {finding.cut_after:.1f} s without data")
    else:
        with suppress(*FAILURES):  # the goodbye; no matter if it comes too late
            await wire.send("c1000,")
            probe.closed = True


# -- WebSocket -----------------------------------------------------------------------------------------------------


async def probe_websocket(probe: Probe) -> None:
    """Tries a WebSocket."""
    target, finding, loop = probe.target, probe.finding, probe.loop
    hello = probe.hello()
    url = target.address(finding.transport)
    started = loop.time()
    try:
        async with asyncio.timeout(target.step):
            ws = await connect_websocket(
                probe.http,
                url if target.auth is not None else url.update_query(open=hello[1:]),
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                max_msg_size=MOST,
                **probe.options(),
            )
    except aiohttp.WSServerHandshakeError as error:
        raise await _no_handshake(probe, error) from None
    except TimeoutError:
        raise Blocked("hung", "the handshake was never answered") from None
    async with ws:
        await _try(probe, _Messages(ws), None if target.auth is None else hello, started)


class _Messages:
    """A WebSocket as a Wire."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self._ws = ws

    async def send(self, frame: str) -> None:
        await self._ws.send_str(frame)

    async def receive(self) -> Frame:
        message = await self._ws.receive()
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            raise Blocked("cut", f"opens, and is cut at once (close code {self._ws.close_code or 1006})")
        frame: Frame = message.data
        return frame


async def _no_handshake(probe: Probe, error: aiohttp.WSServerHandshakeError) -> Blocked:
    """Why a handshake was answered with something else: asks again, to read the answer's body."""
    options = probe.options()
    options["headers"] |= {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(secrets.token_bytes(16)).decode(),
    }
    refused = Blocked("refused", f"the handshake is answered with HTTP {error.status}", status=error.status)
    if error.status == 101:
        return Blocked("altered", f"the handshake's answer is wrong: {error.message}", status=101)
    try:
        async with probe.http.get(
            probe.target.address(probe.finding.transport),
            timeout=aiohttp.ClientTimeout(total=probe.target.step),
            allow_redirects=False,
            raise_for_status=False,
            **options,
        ) as response:
            if response.status == 101:
                return refused  # the second time it went well
            for frame in judge(response, await beginning_of(response, MOST)):
                probe.take(frame, response.status)
    except Blocked as blocked:
        if blocked.code == 4400:
            return Blocked("stripped", "the server got the handshake without its Upgrade header", status=error.status)
        return blocked
    except FAILURES:
        pass
    return refused


# -- WebTransport --------------------------------------------------------------------------------------------------


async def find_webtransport(target: Target) -> Place | Blocked:
    """Where the server's WebTransport is, or why it is not tried."""
    try:
        async with target.http() as http, asyncio.timeout(target.step):
            headers = with_origin(http, target.url, target.headers)
            offers = await offers_of(http, target.url, headers, target.proxy)
    except FAILURES as error:
        return Blocked("skipped", f"not tried: the server does not say where it is ({words(error)})")
    try:
        return place_of(offers, target.url.host or "")
    except Refusal as refusal:
        why = [str(offer.get("reason")) for offer in offers if offer.get("name") == WEBTRANSPORT.name]
        return Blocked("skipped", f"not tried: {', '.join([refusal.reason, *why])}")


async def probe_webtransport(probe: Probe) -> None:
    """Tries WebTransport, where the server says that it is."""
    target, loop, progress = probe.target, probe.loop, Progress()
    where = target.webtransport
    assert where is not None
    if isinstance(where, Blocked):
        raise where
    if target.via is not None:
        probe.finding.notes.append("UDP does not go by the forward proxy")
    url = target.address(probe.finding.transport)
    started = loop.time()
    try:
        async with asyncio.timeout(target.step):
            channel = await open_channel(
                where.host, where.port, url.raw_path_qs, tuple(probe.headers.items()), where.digest, progress
            )
    except ImportError as missing:
        raise Blocked("skipped", f"not tried: {missing}") from None
    except TimeoutError:
        raise _no_answer(where, progress, loop.time() - started) from None
    except NoSession as error:
        raise _no_session(error) from None
    except OSError as error:
        what = f"nothing is at UDP port {where.port} of {where.host}: {error.strerror or error}"
        raise Blocked("unreachable", what) from None
    try:
        await _try(probe, _Stream(channel), probe.hello(), started)
        if probe.closed:
            await channel.finish(target.goodbye)  # the goodbye has to arrive
    finally:
        channel.close()


class _Stream:
    """A WebTransport session's stream as a Wire."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._decoder = WEBTRANSPORT.decoder(0, MOST)
        self._frames: deque[Frame] = deque()

    async def send(self, frame: str) -> None:
        self._channel.write(WEBTRANSPORT.frame(frame))

    async def receive(self) -> Frame:
        while not self._frames:
            data = await self._channel.receive()
            if data is None:
                raise Blocked("cut", "opens, and is cut at once")
            self._frames += self._decoder.feed(data)
        return self._frames.popleft()


def _no_answer(where: Place, progress: Progress, seconds: float) -> Blocked:
    """What it means that an attempt came to no end."""
    if not progress.heard:
        return Blocked("dark", f"nothing came back from UDP port {where.port} of {where.host} in {seconds:.1f} s")
    what = "its session is not answered" if progress.secure else "its handshake is not finished"
    return Blocked("hung", f"UDP gets through, and {what} in {seconds:.1f} s")


def _no_session(error: NoSession) -> Blocked:
    """What it means that an attempt came to this end."""
    if error.why == "certificate":
        return Blocked("untrusted", f"UDP gets through, and the certificate is not taken: {error}")
    if error.status == 403:
        why = "a page of another host than the port's has to be in allowed_origins"
        return Blocked("policy", f"refused by the server's policy with HTTP 403: {why}", status=403, code=4403)
    if error.why == "ended":
        return Blocked("cut", f"UDP gets through, and the connection is ended: {error}")
    return Blocked("foreign", f"UDP gets through, and no WebTransport answers there: {error}", status=error.status)
