"""What an application holds: `async for`, receive, send, flush and close over a session's machine.

BaseSession is the part that server and client share; Session is the server's. asyncio begins here: the machine calls
back synchronously, and what waits for it waits on futures. Knows no aiohttp.
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import json
import logging
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar
from urllib.parse import parse_qsl

from multidict import CIMultiDict, CIMultiDictProxy, MultiDict, MultiDictProxy

from .clock import Clock
from .core.config import Config, OnFull
from .core.cookies import parse_cookies
from .core.dialects import Dialect
from .core.errors import LocalProtocolError, SendBufferFull, SessionClosed, Unauthorized
from .core.frames import Dropped, Outgoing
from .core.lifecycle import State
from .core.machine import SessionMachine, check_close_code
from .core.negotiation import Choice
from .core.server_machine import ServerMachine

if TYPE_CHECKING:
    from .hub import Hub

__all__ = ["BaseSession", "Endpoint", "Handler", "Runtime", "Session", "SessionRequest"]

log = logging.getLogger("realtime.session")

# What a header takes in memory besides its text, in bytes.
HEADER = 128
Message = str | bytes | bytearray | memoryview
M = TypeVar("M", bound=SessionMachine)
Handler: TypeAlias = Callable[["Session"], Awaitable[object]]


class SessionRequest:
    """The facts of a request that opens a session or goes on with one. Kept raw, parsed when asked."""

    def __init__(
        self,
        *,
        method: str = "GET",
        path: str = "/",
        query_string: str = "",
        http_version: tuple[int, int] = (1, 1),
        scheme: str = "http",
        host: str = "",
        remote: str | None = None,
        raw_headers: tuple[tuple[bytes, bytes], ...] = (),
        transport: str = "",
        auth: Any = None,
        raw_auth: bytes | None = None,
        subprotocol: str | None = None,
        http: Any = None,
    ) -> None:
        self.method = method  # "GET" and so on
        self.path = path  # of the URL, decoded, without the query
        self.query_string = query_string  # decoded, without the question mark
        self.http_version = http_version  # such as (1, 1)
        self.scheme = scheme  # "http" or "https" (past trusted_proxies)
        self.host = host  # the host that was asked for, with its port if it was named
        self.remote = remote  # the client's address (past trusted_proxies)
        self.raw_headers = raw_headers  # as they came, but for cookies and log-ins that do not count
        self.transport = transport  # the transport of this request
        # What the client gave as `auth`, at last: JSON in UTF-8, as it came. Parsed it may be a hundred times as large.
        self._raw_auth = raw_auth if auth is None else json.dumps(auth).encode()
        self.subprotocol = subprotocol  # of a bare WebSocket, what endpoint(subprotocols=…) and its client agreed on
        self._withdrawals = 0  # how many of the server's there were when it came: see Server.close_identity()
        self._http = None if http is None else weakref.ref(http)
        self._shown = 0  # how many may look at `http` now

    @property
    def http(self) -> Any:
        """The request as aiohttp has it, a `web.Request`: for `request.http.app`, `config_dict`, what middlewares have
        stored (`request.http["user"]`), and packages that go by it, such as aiohttp-session (docs/login.md).

        It is there while the authorize hook runs, and for a handler until it first waits for something; it is never
        kept. To be read, but for its body. Its `remote`, `scheme` and `host` are the connection's, a proxy's perhaps.

        Raises LocalProtocolError later, and where there is none; Unauthorized, of which the client is told, when the
        request has cookies or a log-in that do not count, since a middleware may have taken them for its user's.
        """
        if self._http is None:
            raise LocalProtocolError("this request did not come by HTTP")
        http = self._http() if self._shown else None
        if http is None:
            raise LocalProtocolError(
                "the HTTP request is not kept: look at request.http in the authorize hook, or in a handler before it"
                " first waits for anything"
            )
        if http.raw_headers != self.raw_headers:  # what the application is not shown
            raise Unauthorized("cookies and browsers' log-ins count only beside an Origin that may connect")
        return http

    def _show_http(self) -> Callable[[], None]:
        """Keeps the request of the web framework, and lets `http` be asked for, until what this returns is called."""
        kept = [None if self._http is None else self._http()]
        self._shown += 1

        def hide() -> None:
            if kept:
                kept.clear()
                self._shown -= 1

        return hide

    @cached_property
    def headers(self) -> CIMultiDictProxy[str]:
        """The request's headers, case-insensitive."""
        decode = "utf-8", "surrogateescape"
        return CIMultiDictProxy(
            CIMultiDict((name.decode(*decode), value.decode(*decode)) for name, value in self.raw_headers)
        )

    @property
    def _kept(self) -> int:
        """About how many bytes the headers take for as long as they are kept."""
        return sum(len(name) + len(value) + HEADER for name, value in self.raw_headers)

    @property
    def auth(self) -> Any:
        """What the client gave as `auth`, at last: any JSON. Parsed anew each time it is asked for, and not kept."""
        return None if self._raw_auth is None else json.loads(self._raw_auth.decode("utf-8", "surrogatepass"))

    @property
    def _credentials(self) -> bytes:
        """The bytes of Cookie and Authorization: two requests with the same are taken for the same client's."""
        return b"\0".join(
            b"%b=%b" % (name.lower(), value)
            for name, value in self.raw_headers
            if name.lower() in (b"cookie", b"authorization")
        )

    def _renewed(self, raw_auth: bytes) -> SessionRequest:
        """The same request with other auth data."""
        request = copy.copy(self)
        request._raw_auth = raw_auth
        request._shown = 0
        return request

    @cached_property
    def query(self) -> MultiDictProxy[str]:
        """The parsed query string of the request, the protocol's own parameters included."""
        return MultiDictProxy(MultiDict(parse_qsl(self.query_string, keep_blank_values=True)))

    @cached_property
    def cookies(self) -> MappingProxyType[str, str]:
        """The request's cookies, as aiohttp's own requests show them; what makes no sense is missing."""
        return MappingProxyType(parse_cookies(self.headers.get("Cookie", "")))

    def __repr__(self) -> str:
        return f"<SessionRequest {self.method} {self.path} over {self.transport}>"


class Runtime(Protocol):
    """What a session needs of whoever runs it: the server, or the client."""

    clock: Clock

    def mark_dirty(self, session: Any) -> None:
        """Flush the session in this turn of the event loop."""

    def wake_session(self, session: Any, when: float) -> None:
        """Call the machine's expire() at `when`."""

    def session_ended(self, session: Any) -> None:
        """The session is over."""


class Waiters:
    """Whoever waits for the next time something happens, each on a future of its own."""

    __slots__ = ("_futures",)

    def __init__(self) -> None:
        self._futures: list[asyncio.Future[None]] = []

    def __bool__(self) -> bool:
        return bool(self._futures)

    def add(self) -> asyncio.Future[None]:
        """A place in the queue, to be given to wait()."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._futures.append(future)
        return future

    async def wait(self, future: asyncio.Future[None]) -> None:
        """Returns at the next wake()."""
        try:
            await future
        finally:
            if future in self._futures:
                self._futures.remove(future)

    def wake_first(self, count: int) -> None:
        """Wakes the `count` that have waited longest. Who was woken keeps its place until it runs."""
        for future in self._futures[:count]:
            if not future.done():
                future.set_result(None)

    def wake(self) -> None:
        """Wakes all who wait."""
        if self._futures:
            futures, self._futures = self._futures, []
            for future in futures:
                if not future.done():
                    future.set_result(None)


class BaseSession(Generic[M]):
    """A session, as its application sees it on either end. Made by realtime, not by applications."""

    def __init__(self, runtime: Runtime, on_full: OnFull) -> None:
        self._runtime = runtime
        self._now = runtime.clock.now
        self._on_full = on_full
        self._machine: M
        self._receivers = Waiters()  # for the inbox
        self._progress = Waiters()  # for acks, or the end
        self._sending: asyncio.Lock | None = None  # held by who waits for room
        self._senders = 0  # who waits for room, or for the lock
        self._observers: list[Callable[[str], object]] | None = None
        self._data: dict[Any, Any] | None = None
        self._transport = ""
        self._asked = 0  # the ack of this number was asked for, to make room
        self._dirty = False
        self._woken = False  # a receiver was woken and has not run yet
        self.dropped = 0  # messages the peer told it had dropped

    # -- facts -----------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The session's id, for no log (see label). Empty at a client that has not opened yet."""
        return self._machine.sid

    @property
    def label(self) -> str:
        """What logs call the session, this library's and best yours too: 12 hexadecimal digits of a hash of its id,
        the same at both ends, from which nobody finds the id. Empty at a client that has not opened yet."""
        return self._machine.label

    @property
    def state(self) -> State:
        """connecting, open, detached, draining, closing or closed."""
        return self._machine.state

    @property
    def transport(self) -> str:
        """The name of the transport that carries the session now, or did last; empty before the first."""
        return self._transport

    @property
    def closed(self) -> bool:
        """Whether the session has ended."""
        return self._machine.outcome is not None

    @property
    def close_code(self) -> int | None:
        """The code the session ended with, or None while it has not."""
        outcome = self._machine.outcome
        return None if outcome is None else outcome.code

    @property
    def close_reason(self) -> str | None:
        """The reason the session ended with, or None while it has not."""
        outcome = self._machine.outcome
        return None if outcome is None else outcome.reason

    @property
    def data(self) -> dict[Any, Any]:
        """A dictionary for the application's own use."""
        if self._data is None:
            self._data = {}
        return self._data

    @property
    def unacknowledged(self) -> list[str | bytes]:
        """What was sent and never acknowledged by the peer, oldest first. Some of it may have arrived."""
        return self._machine.outbox.unacknowledged()

    def on_change(self, callback: Callable[[str], object]) -> Callable[[], None]:
        """Calls `callback(event)` when the session's state or transport changes; returns its own undo.

        `event` is "state", "transport" or "dropped". The callback is plain, quick, and called from within the event
        loop; what it raises is logged.
        """
        if self._observers is None:
            self._observers = []
        observers = self._observers
        observers.append(callback)

        def undo() -> None:
            if callback in observers:
                observers.remove(callback)

        return undo

    def _tell(self, event: str) -> None:
        for callback in tuple(self._observers or ()):
            try:
                callback(event)
            except Exception:
                log.exception("an on_change callback of session %s raised", self.label)

    # -- receiving -------------------------------------------------------------------------------------------------

    async def receive(self) -> str | bytes:
        """The next message: str for text, bytes for binary.

        Raises SessionClosed when the session has ended and all that was received has been taken, or when this side
        has called close(). Cancelling it loses nothing.
        """
        machine = self._machine
        receivers = self._receivers
        woken = False
        while True:
            # Who calls while others wait, woken or not, comes after them.
            if machine.inbox and (woken or not receivers):
                item = machine.take(self._now())
                if receivers:
                    receivers.wake_first(len(machine.inbox))
                if type(item) is not Dropped:
                    return item  # type: ignore[return-value] # str or bytes is what is left
                self.dropped += item.count
                self._tell("dropped")
                continue
            if not machine.inbox:
                machine.check_open()
            waiter = receivers.add()
            if machine.state is State.DRAINING:
                self.may_be_drained()
            try:
                await receivers.wait(waiter)
            except asyncio.CancelledError:
                receivers.wake_first(len(machine.inbox))  # it may have been woken: the message is the next one's
                raise
            woken = True
            self._woken = False

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return self

    async def __anext__(self) -> str | bytes:
        try:
            return await self.receive()
        except SessionClosed:
            raise StopAsyncIteration from None

    async def wait_for_room(self, size: int) -> bool:
        """For protocols without windows: waits until the inbox takes a message of `size` bytes. False when none will
        be taken any more."""
        machine = self._machine
        while machine.outcome is None and machine.closing is None:
            if machine.inbox.has_room(size):
                return True
            await self._progress.wait(self._progress.add())
        return False

    # -- sending ---------------------------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """Queues a message; returns when it is buffered. flush() tells when it is acknowledged.

        While there is no room it waits, or drops or closes, by `on_full`. Raises SessionClosed when the session has
        ended or is closing, LocalProtocolError for text with lone surrogates and for what the client's protocol can't
        carry, TypeError for other than str and bytes.
        """
        item = self._outgoing(message)
        machine = self._machine
        if not self._has_room(item.size):
            if self._on_full != "wait":
                self.offer(item)
                machine.check_open()
                return
            if self._sending is None:
                self._sending = asyncio.Lock()
            self._senders += 1
            try:
                async with self._sending:  # first come, first served
                    while not machine.outbox.has_room(item.size):
                        machine.check_open()
                        self._ask_for_room()
                        await self._progress.wait(self._progress.add())
                    machine.check_open()
                    self._put(item)
            finally:
                self._senders -= 1
            return
        self._put(item)

    def _outgoing(self, message: Message) -> Outgoing:
        """A message that may be sent. Raises as send() does."""
        item = Outgoing.message(message)
        self._machine.check_open()
        unfit = self._machine.unfit(item)
        if unfit:
            raise LocalProtocolError(unfit)
        return item

    def _has_room(self, size: int) -> bool:
        return not self._senders and self._machine.outbox.has_room(size)

    def send_nowait(self, message: Message) -> None:
        """Queues a message at once. Raises SendBufferFull when there is no room; else like send()."""
        item = self._outgoing(message)
        machine = self._machine
        if not self._has_room(item.size):
            raise SendBufferFull(len(machine.outbox), machine.outbox.size)
        self._put(item)

    def offer(self, item: Outgoing) -> None:
        """Takes a message that nobody waits for (a room's): a full outbox drops, or closes with 1008.

        What the client's protocol can't carry is skipped, and counted as dropped.
        """
        machine = self._machine
        if machine.outcome is not None or machine.closing is not None:
            return
        if machine.unfit(item):
            machine.outbox.dropped += 1
            return
        if machine.outbox.has_room(item.size):
            self._put(item)
        elif self._on_full == "close":
            machine.outbox.dropped += 1
            machine.end(1008, "too slow: the outbox was full (on_full='close')", self._now())
        else:
            self._ask_for_room()
            if machine.outbox.make_room(item.size):
                machine.send(item)
            else:
                machine.outbox.drop_new()

    def _put(self, item: Outgoing) -> None:
        """Queues a message for which there is room."""
        machine = self._machine
        machine.send(item)
        if machine.outbox.half_full:
            self._ask_for_room()

    def _ask_for_room(self) -> None:
        """A peer need not acknowledge before a quarter of its window has come, which may be more than the outbox
        holds: so it is asked, once for each time that it has answered."""
        outbox = self._machine.outbox
        if outbox.acked >= self._asked:
            self._asked = max(outbox.last, outbox.acked + 1)
            self._machine.ask_for_acks()

    async def flush(self) -> None:
        """Waits until everything sent so far is acknowledged by the peer.

        Raises SessionClosed when the session ends before that.
        """
        outbox = self._machine.outbox
        target = outbox.appended
        # First until a carrier was handed all of it (or the policy dropped it), then until that is acked.
        # A ping goes behind each part that is written, or the last part's ack would wait for its delay.
        while outbox.appended - outbox.unnumbered < target:
            self._machine.ask_for_acks()
            await self._wait_for_progress()
        number = outbox.last
        if outbox.acked < number:
            self._machine.ask_for_acks()
        while outbox.acked < number:
            await self._wait_for_progress()

    async def _wait_for_progress(self) -> None:
        machine = self._machine
        if machine.outcome is not None:
            raise SessionClosed(machine.outcome.code, machine.outcome.reason)
        await self._progress.wait(self._progress.add())

    # -- closing ---------------------------------------------------------------------------------------------------

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes the session cleanly: the peer gets all that was sent, then the close.

        Returns when the peer has acknowledged it, or after close_timeout seconds, when the session goes on closing in
        the background. What arrives from now on is discarded. Closing twice is harmless.
        Raises LocalProtocolError for a code that applications may not use.
        """
        check_close_code(code)
        self._machine.close(code, reason, self._now())
        try:
            async with asyncio.timeout(self._machine.config.close_timeout):
                await self.wait_closed()
        except TimeoutError:
            log.debug("= session %s: close not acknowledged within close_timeout", self.label)

    async def wait_closed(self) -> None:
        """Waits until the session has ended."""
        while self._machine.outcome is None:
            await self._wait_for_progress()

    # -- the machine's calls (core.machine.Listener) -------------------------------------------------------------------

    def readable(self) -> None:
        """The inbox has something."""
        if self._receivers:
            self._woken = True
            self._receivers.wake_first(len(self._machine.inbox))

    def acknowledged(self) -> None:
        """The outbox shrank, or the peer has received more, or the inbox may have room."""
        self._progress.wake()

    def dirty(self) -> None:
        """There may be something to write."""
        if not self._dirty:
            self._dirty = True
            self._runtime.mark_dirty(self)

    def changed(self, before: State, after: State) -> None:
        """The state moved, or a carrier took over."""
        carrier = self._machine.carrier
        if carrier is not None and carrier.attached and carrier.codec.name != self._transport:
            old, self._transport = self._transport, carrier.codec.name
            log.debug("= session %s: %s -> %s", self.label, old or "(none)", self._transport)
            self._tell("transport")
        if before is not after:
            log.debug("= session %s is %s", self.label, after)
            if after is State.CLOSING:  # nothing will be received or sent any more
                self._receivers.wake()
                self._progress.wake()
            self._tell("state")

    def may_be_drained(self) -> None:
        """A draining session may have nothing left to do."""

    def ended(self) -> None:
        """The session has ended: whatever waits finds out."""
        self._receivers.wake()
        self._progress.wake()
        self._runtime.session_ended(self)

    def wake(self, when: float) -> None:
        """expire() wants to be called at `when`."""
        self._runtime.wake_session(self, when)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.label or '(no id)'} {self.state} over {self.transport or 'nothing'}>"


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """A path below the prefix, and the coroutine that serves its sessions."""

    path: str
    handler: Handler
    config: Config
    dialects: tuple[Dialect, ...] = ()  # what it speaks beside the native protocol, each of another type


class Session(BaseSession[ServerMachine]):
    """A session at the server: what a handler is given."""

    def __init__(self, runtime: Runtime, endpoint: Endpoint, hub: Hub, request: SessionRequest) -> None:
        super().__init__(runtime, endpoint.config.on_full)
        self._hub = hub
        self._endpoint = endpoint
        self._choices: tuple[Choice, ...] = ()
        self._authorized: tuple[bytes, float] | None = None  # for which credentials, and when
        self.request = request  # what opened it

    @property
    def negotiation(self) -> tuple[Choice, ...]:
        """Every transport with its verdict and reason, in the order of `transports`: why this one carries."""
        current = self.transport
        return tuple(
            choice._replace(verdict="taken", code="taken")
            if choice.name == current
            else choice._replace(verdict="offered", code="offered")
            if choice.verdict == "taken"
            else choice
            for choice in self._choices
        )

    @property
    def path(self) -> str:
        """The path of its endpoint."""
        return self._endpoint.path

    @property
    def subprotocol(self) -> str | None:
        """The sub-protocol that was agreed on with a bare WebSocket client (RFC 6455 §1.9), such as "mqtt".

        None where the client offered none of the endpoint's `subprotocols`, and for clients of any other protocol.
        """
        return self.request.subprotocol

    @property
    def identity(self) -> str | None:
        """Who the client is, as the application's authorisation said; None where it said nobody."""
        return self._machine.identity

    async def join(self, room: str) -> None:
        """Enters a room: its messages are sent to this session. Joining twice is harmless.

        Raises SessionClosed when the session has ended.
        """
        self._machine.check_open()
        self._hub.join(self, room)

    async def leave(self, room: str) -> None:
        """Leaves a room. Leaving one it is not in is harmless. A session that ends leaves all its rooms."""
        self._hub.leave(self, room)

    def may_be_drained(self) -> None:
        """Drained: everything is here, and the handler has come back for more. Now the close can go out."""
        if self._machine.drained and self._receivers:
            self._machine.close(1012, "the server restarts", self._now())
