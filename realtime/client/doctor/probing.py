"""What the probes of all transports share: a session held by hand, its POSTs, and what a failure means.

A probe speaks the protocol itself instead of using ClientSession, which would hide what it is to find: it
retries, moves on and reconnects.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import aiohttp
from yarl import URL

from ...core.errors import Refusal, RemoteProtocolError
from ...core.frames import Window
from ...protocols.native import Opened, open_frame, parse_refusal
from ...transports import Frame
from ...transports.batch import decode_body, join, quote
from ..drivers.webtransport import Place
from ..wire import BATCH, FAILURES, address, beginning_of, connect_error, tls_error, with_origin
from .findings import Blocked, Finding

__all__ = ["Probe", "Target", "blocked_by", "judge", "reach"]

# Refusals that the server makes by its own decision (docs/protocol.md §9).
POLICY = (4401, 4403, 4406, 4409, 4429, 4503)
# An answer is read up to here; a server of ours would not say more to a probe.
MOST = 1 << 20
PINGS = 3
# More empty notes than this are not sent to provoke an ack.
MOST_NOTES = 1024
WINDOW = Window(256, 1_048_576)


@dataclass
class Target:
    """What is probed and how, and what the probes have learnt together."""

    url: URL
    headers: Mapping[str, str]
    auth: Any
    proxy: URL | None
    http: Callable[[], aiohttp.ClientSession]
    step: float  # seconds that one handshake or answer may take
    patience: float  # seconds that a carrier is left idle
    goodbye: float  # seconds that closing a session may take
    deadline: float  # by the event loop's clock: nothing is left idle beyond
    realtime: bool = False  # something has answered in the protocol
    ping_interval: float | None = None  # the server's
    distance: float | None = None  # how long the first answer took, the connection included
    via: str | None = None  # the forward proxy that requests go by
    webtransport: Place | Blocked | None = None  # where that is, or why it is not tried

    def address(self, name: str) -> URL:
        """The URL of a transport, or of "send"."""
        return address(self.url, name)

    @property
    def late(self) -> float:
        """After how many seconds what should have come at once is late (docs/protocol.md §7)."""
        return min(self.step, 0.5 + 2 * (self.distance or self.step))


async def reach(target: Target) -> None:
    """Asks something that needs no session, to learn how far the server is, and whether it is one of ours."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with target.http() as http:
        probe = Probe(target, Finding("send"), http)
        try:
            await probe.request("send", [])
        except Blocked as blocked:
            if blocked.code is None:
                return  # the probes will say what it is
    target.distance = loop.time() - started


Run = Callable[["Probe"], Awaitable[None]]


class Probe:
    """One transport's session, from open to close."""

    def __init__(self, target: Target, finding: Finding, http: aiohttp.ClientSession | None = None) -> None:
        self.target = target
        self.finding = finding
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self._http = http
        self._nonce = secrets.token_urlsafe(18)
        self._gen = 0
        self.sent: int = 0  # numbered frames: all of them empty notes
        self.opened: Opened | None = None
        self.closed: bool = False  # the session is known to be over, or was told goodbye

    async def run(self, probe: Run) -> None:
        """Probes, and closes the session whatever happened. Never raises for what the network does."""
        finding = self.finding
        async with self.target.http() as self._http:
            try:
                await probe(self)
                if finding.state == "hung":
                    finding.state, finding.what = "ok", "gets through"
            except Blocked as blocked:
                finding.state, finding.what = blocked.state, blocked.what
                finding.status, finding.code = blocked.status, blocked.code
                finding.through = finding.through and blocked.state != "astray"
            except FAILURES as error:
                failure = blocked_by(error)
                finding.state, finding.what = failure.state, failure.what
            except (RemoteProtocolError, ValueError) as error:
                finding.state, finding.what = "altered", f"what came makes no sense: {error}"
            finally:
                await self.goodbye()

    @property
    def http(self) -> aiohttp.ClientSession:
        """The HTTP client of this probe alone."""
        assert self._http is not None
        return self._http

    @property
    def sid(self) -> str:
        """The session's id; raises Blocked where there is none."""
        assert self.opened is not None
        return self.opened.sid

    def time_is_up(self) -> None:
        """The examination ends before this probe did: what was seen so far counts."""
        if self.finding.through and self.finding.state == "hung":
            self.settle("ok", "gets through")
            self.finding.notes.append("the time was up before everything was tried")

    def settle(self, state: str, what: str) -> None:
        """Takes down what was found, and goes on."""
        self.finding.state, self.finding.what = state, what

    # -- frames ------------------------------------------------------------------------------------------------------

    def hello(self) -> str:
        """The next carrier's first frame: an open until there is a sid, then an attach."""
        self._gen += 1
        if self.opened is not None:
            return f"r{self.sid},{self._gen},0,0,{self.sent + 1},{self.opened.key}"
        return open_frame(self._nonce, self._gen, WINDOW, [self.finding.transport], self.target.auth)

    def head(self, first: int = 0) -> str:
        """The head of an uplink batch, which begins with the next message, or an earlier one."""
        assert self.opened is not None
        return f"u{self.sid},0,0,{first or self.sent + 1},{self.opened.key}"

    def take(self, frame: Frame, status: int | None = None) -> None:
        """Reads a frame that came. Raises Blocked for a refusal, the session's end, and what makes no sense: anybody
        may answer with JSON that looks like a batch."""
        try:
            self._take(frame, status)
        except RemoteProtocolError as error:
            raise Blocked("altered", f"what came makes no sense: {error}", status=status) from None

    def _take(self, frame: Frame, status: int | None) -> None:
        if not isinstance(frame, str):
            return
        if frame[:1] == "o" and self.opened is None:
            self.opened = Opened.parse(frame[1:])
            self.finding.worker = self.opened.sid.rpartition(".")[0] or None
            self.target.realtime = True
            self.target.ping_interval = self.opened.ping_interval
        elif frame[:1] == "x":
            self.target.realtime = True
            self.closed = self.closed or frame.split(",")[1:2] == ["session"]
            raise _refused(parse_refusal(frame), status)

    async def nudge(self) -> float | None:
        """Makes the server write an ack on the down carrier; returns when that was asked for.

        It has to write one when a quarter of its window was received (docs/protocol.md §6); what is sent are notes
        that no message was dropped, which no application sees. None when that would take too many, or the window is
        full.
        """
        assert self.opened is not None
        quarter = max(1, self.opened.window.messages // 4)
        if quarter > min(MOST_NOTES, self.opened.max_batch[0] - 1) or self.sent + quarter > self.opened.window.messages:
            return None
        first, self.sent = self.sent + 1, self.sent + quarter
        await self.request("send", [self.head(first), *["d0"] * quarter])
        return self.loop.time()

    def is_nudged(self, frame: Frame) -> bool:
        """Whether this frame acknowledges all that was sent."""
        return isinstance(frame, str) and frame[:1] in ("a", "r") and frame[1:].partition(",")[0] == str(self.sent)

    # -- requests ----------------------------------------------------------------------------------------------------

    def options(self) -> dict[str, Any]:
        """What every request has."""
        return {"headers": self.headers, "proxy": self.target.proxy}

    @property
    def headers(self) -> dict[str, str]:
        """What is said with every request."""
        return with_origin(self.http, self.target.url, self.target.headers)

    async def request(self, name: str, frames: Sequence[str], patience: float | None = None) -> list[Frame]:
        """One POST; the frames of the answer, each taken. Raises Blocked."""
        options = self.options()
        options["headers"] |= BATCH
        try:
            async with self.http.post(
                self.target.address(name),
                data=join([quote(frame) for frame in frames]),
                timeout=aiohttp.ClientTimeout(total=patience or self.target.step),
                allow_redirects=False,
                raise_for_status=False,
                **options,
            ) as response:
                answer = judge(response, await beginning_of(response, MOST))
        except FAILURES as error:
            raise blocked_by(error) from None
        for frame in answer:
            self.take(frame, response.status)
        return answer

    async def measure_sends(self) -> None:
        """The round trip: the median of a few uplink batches that bring nothing."""
        times = []
        for _ in range(PINGS):
            started = self.loop.time()
            await self.request("send", [self.head()])
            times.append(self.loop.time() - started)
        self.finding.round_trip = median(times)

    async def goodbye(self) -> None:
        """Closes the session, so that it does not linger. What fails is of no interest."""
        if self.opened is not None and not self.closed:
            self.closed = True
            with contextlib.suppress(Blocked):
                await self.request("send", [self.head(), "c1000,"], self.target.goodbye)

    def idle_until(self) -> float:
        """When leaving the carrier idle ends, by the event loop's clock."""
        return min(self.loop.time() + self.target.patience, self.target.deadline)


# -- what answers and failures mean ----------------------------------------------------------------------------------


def judge(response: aiohttp.ClientResponse, body: bytes) -> list[Frame]:
    """The frames of an answer. Raises Blocked when it is none of ours."""
    try:
        frames = decode_body(body, MOST, MOST)
    except RemoteProtocolError:
        frames = []
    if frames:
        return frames
    status = response.status
    box = response.headers.get("Server", "")
    by = f" by {box}" if box and "aiohttp" not in box.lower() else ""
    if status == 407:
        raise Blocked("refused", "the forward proxy wants a user name and password (HTTP 407)", status=status)
    if status in (200, 404, 405, 301, 302, 307, 308):
        raise Blocked("foreign", f"answered with HTTP {status}{by}, and not in the protocol", status=status)
    raise Blocked("refused", f"refused with HTTP {status}{by}, not by the server itself", status=status)


def _refused(refusal: Refusal, status: int | None) -> Blocked:
    code, reason = refusal.code, refusal.reason
    if refusal.scope == "session" and code == 4404:
        return Blocked("astray", f"the session is unknown where this request arrived ({reason})", code=code)
    if refusal.scope == "session":
        return Blocked("ended", f"the server ended the session with {code} ({reason or 'no reason'})", code=code)
    if code in POLICY:
        return Blocked("policy", f"refused by the server's policy with {code}: {reason}", status=status, code=code)
    return Blocked("altered", f"the server got something else than was sent: {code} {reason}", status=status, code=code)


def blocked_by(error: BaseException) -> Blocked:
    """What a failure of the HTTP client means."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        if error.status == 407:
            return Blocked("refused", "the forward proxy wants a user name and password (HTTP 407)", status=407)
        return Blocked("refused", f"the forward proxy refuses the connection with HTTP {error.status}")
    if isinstance(error, aiohttp.ClientSSLError):
        untrusted = isinstance(error, aiohttp.ClientConnectorCertificateError)
        return Blocked("untrusted" if untrusted else "unreachable", tls_error(error))
    if isinstance(error, aiohttp.ClientConnectorError):
        which = "the forward proxy" if isinstance(error, aiohttp.ClientProxyConnectionError) else "the server"
        return Blocked("unreachable", f"cannot connect to {which}, {connect_error(error)}")
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Blocked("unreachable", "no connection in time")
    if isinstance(error, TimeoutError):
        return Blocked("hung", "the request was never answered")
    if isinstance(error, aiohttp.ClientPayloadError):
        return Blocked("cut", "the answer was cut off in the middle")
    if isinstance(error, (aiohttp.ServerDisconnectedError, OSError)):
        return Blocked("cut", "the connection was cut without an answer")
    return Blocked("altered", f"the answer cannot be read: {str(error) or type(error).__name__}")
