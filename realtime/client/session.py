"""The client's session: the same machine as the server's, and the tasks that keep a carrier under it.

One task supervises: it drives a transport until that ends, then the next, with a back-off. While HTTP carries the
session another task tries to upgrade it to a better transport, and another sends what goes up by POSTs. Each
transport's way of carrying is in drivers.py.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
import secrets
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
from yarl import URL

from ..clock import Clock, SystemClock, Timer
from ..core.carrier import NumberedCarrier
from ..core.client_machine import ClientMachine
from ..core.config import TIMER_GRACE, Config
from ..core.deadlines import Deadlines
from ..core.errors import LocalProtocolError, NegotiationError, Refusal, RemoteProtocolError, SessionClosed
from ..core.frames import Outgoing
from ..protocols.native import Opened, feed_client, parse_refusal, renewal_frame
from ..session import BaseSession, Message
from ..transports import Frame
from .supervisor import Fate, Supervisor
from .uplink import Sender

__all__ = ["ClientSession", "Settings"]

log = logging.getLogger("realtime.session")

# No server's clients pause longer between two polls, whatever it says: it takes them for gone after TIMER_GRACE.
LONGEST_PAUSE = TIMER_GRACE / 2


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What connect() was told."""

    url: URL
    transports: tuple[str, ...] = ("websocket", "xhr_streaming", "sse", "long_polling", "polling")
    headers: Mapping[str, str] = field(default_factory=dict)
    auth: Any = None  # any JSON, or a callable that returns it
    http: aiohttp.ClientSession | None = None
    upgrade: bool = True
    race_delay: float = 0.25  # how long a WebSocket has to itself at opening, before HTTP is tried beside it
    open_timeout: float = 30.0  # for opening, all transports together
    attach_timeout: float = 5.0  # for one carrier to open or attach
    post_timeout: float = 10.0  # for an uplink batch to be answered
    backoff: tuple[float, float] = (0.1, 10.0)  # between failed attempts: first, longest
    upgrade_interval: tuple[float, float] = (5.0, 300.0)  # between failed upgrades: first, longest


class ClientSession(BaseSession[ClientMachine]):
    """A session at the client: see realtime.connect()."""

    def __init__(self, settings: Settings, config: Config, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        super().__init__(self, config.on_full)
        self.settings = settings
        self.negotiation: Sequence[Mapping[str, str]] = ()  # the server's ranked list, with reasons
        self.return_delay = 0.0  # a draining server's wish: come back within so many seconds
        self._nonce = secrets.token_urlsafe(18)
        self._machine = ClientMachine(config, self, self.clock.now())
        self._deadlines = Deadlines()
        self._timer: Timer | None = None
        self.auth: Any = None  # what the server is given, once open() has asked
        self.renewed = asyncio.Event()  # the server has taken fresh auth data, or the session is over
        self._renewing = asyncio.Lock()
        self._asking: asyncio.Task[None] | None = None  # a renewal, for all whose requests were refused meanwhile
        self._http = settings.http
        self._tasks: set[asyncio.Task[Any]] = set()
        self._finishing: asyncio.Task[None] | None = None
        self.opened = asyncio.Event()  # there is a sid, or an end
        self.attached = asyncio.Event()  # the newest carrier carries, for the first time
        self.uplink_news = asyncio.Event()  # for who sends by POSTs: there may be something to say
        self.come_back_at = 0.0  # the server, or what stands before it, wants no requests before that
        self._poll_news = asyncio.Event()
        self.supervisor = Supervisor(self)
        self.sender = Sender(self)

    # -- opening ---------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Opens the session. Raises NegotiationError when no transport gets through, or none is allowed in."""
        if self._http is None:
            self._http = aiohttp.ClientSession()
        try:
            async with asyncio.timeout(self.settings.open_timeout):
                self.auth = await self._ask_for_auth()
                await self.supervisor.open()
        except TimeoutError:
            self.supervisor.attempts.setdefault("open_timeout", f"{self.settings.open_timeout:g} s passed")
        except BaseException:
            await self._abandon()
            raise
        if not self._machine.sid:
            outcome = self._machine.outcome
            await self._abandon()
            message = f"no session at {self.settings.url}"
            if outcome is not None:
                message += f": closed with {outcome.code} ({outcome.reason})"
            raise NegotiationError(message, self.attempts)
        if self._machine.outcome is None:
            self.spawn(self.supervisor.run(), "supervisor")
            self.spawn(self.sender.run(), "uplink")
            if self.settings.upgrade:
                self.spawn(self.supervisor.upgrade(), "upgrade")

    async def _abandon(self) -> None:
        self._machine.end(4411, "given up by the application", self._now())
        await self._finish()

    # -- choosing transports (supervisor.py) -------------------------------------------------------------------------

    @property
    def attempts(self) -> Mapping[str, str]:
        """What happened to each transport that failed last, in words."""
        return self.supervisor.attempts

    @property
    def timings(self) -> Mapping[str, float]:
        """How many seconds each transport took to get through, the first time it did."""
        return self.supervisor.timings

    async def switch(self, transport: str) -> None:
        """Moves the session to another of its transports now, without losing, repeating or reordering a message.

        Returns when that transport carries it. The client goes on choosing for itself: a better transport may be taken
        again later, unless connect() was told `upgrade=False`. Raises NegotiationError when the transport does not get
        through (the session then stays where it was, or comes back there), and SessionClosed when the session ends.
        """
        await self.supervisor.switch(transport)

    def network_changed(self) -> None:
        """The application has noticed another network: what failed before is forgotten, and upgrades are tried now."""
        self.supervisor.network_changed()

    # -- auth data that expire ---------------------------------------------------------------------------------------

    async def _ask_for_auth(self) -> Any:
        """The auth data to give the server now."""
        auth = self.settings.auth
        if callable(auth):
            auth = auth()
            if inspect.isawaitable(auth):
                auth = await auth
        return auth

    async def reauthorize(self, auth: Any) -> None:
        """Gives the server fresh auth data for this session, before those it has expire.

        Returns when the server has taken them. Raises SessionClosed when it refuses them, or finds them to be another
        identity's, which ends the session (4401, 4403); TypeError or ValueError for what is no JSON.
        """
        from .drivers import renew

        frame = renewal_frame(auth)
        async with self._renewing:
            self.check_open()
            self.auth = auth
            attempts = 0
            while (fate := await renew(self, frame)) is not None:
                self.check_open()
                if fate.refusal is not None and fate.refusal.code in (4401, 4403):
                    self._machine.end(fate.refusal.code, fate.refusal.reason, self._now())
                    break
                attempts += 1
                least, most = self.settings.backoff
                await self.sleep(min(least * 2.0 ** min(attempts, 60), most) * (0.5 + random.random() / 2))
            self.check_open()

    async def renew(self, refusal: Refusal) -> None:
        """The server no longer takes the auth data it has: asks for others, once, or gives up."""
        if self._asking is None or self._asking.done():
            self._asking = self.spawn(self._ask_again(refusal), "renewal")
        await asyncio.wait({self._asking})

    async def _ask_again(self, refusal: Refusal) -> None:
        reason = f"no longer authorised: {refusal.reason}"
        if not callable(self.settings.auth):
            reason += "; to go on, give connect() a callable as auth, or call reauthorize() in time"
            self._machine.end(4401, reason, self._now())
            return
        try:
            auth = await self._ask_for_auth()
        except Exception as error:
            log.error("auth=%r raised", self.settings.auth, exc_info=error)
            self._machine.end(4401, f"{reason}; and auth() raised {error!r}", self._now())
            return
        with suppress(SessionClosed):
            await self.reauthorize(auth)

    # -- what drivers use ------------------------------------------------------------------------------------------

    @property
    def machine(self) -> ClientMachine:
        """The session's machine."""
        return self._machine

    @property
    def http(self) -> aiohttp.ClientSession:
        """The HTTP client."""
        assert self._http is not None
        return self._http

    @property
    def driver(self) -> asyncio.Task[Fate] | None:
        """The task that carries the session."""
        return self.supervisor.driver

    @property
    def nonce(self) -> str:
        """What makes opening idempotent."""
        return self._nonce

    def address(self, transport: str) -> URL:
        """The URL of a transport, or of "send"."""
        url = self.settings.url
        return url.with_path(f"{url.path.rstrip('/')}/v1/{transport}").with_query(url.query)

    def feed(self, carrier: NumberedCarrier, frames: Sequence[Frame]) -> Fate | None:
        """Feeds frames from the server; returns the carrier's fate if they end it."""
        machine, now = self._machine, self._now()
        name = carrier.codec.name
        newest, received, acked = carrier is machine.carrier, machine.inbox.received, machine.outbox.acked
        try:
            for frame in frames:
                if machine.outcome is not None:
                    return Fate(name, "ended with the session")
                kind = frame[:1] if isinstance(frame, str) else ""
                if kind == "x":
                    refusal = parse_refusal(str(frame))
                    if refusal.scope == "session":
                        machine.refused(carrier, refusal.code, refusal.received, refusal.reason, now)
                    return Fate(name, f"refused with {refusal.code}: {refusal.reason}", refusal=refusal)
                if kind == "e":
                    reason = str(frame[1:])
                    return Fate(
                        name,
                        f"ended by the server: {reason}",
                        superseded=reason == "superseded",
                        recycled=reason in ("recycled", "idle"),
                    )
                if kind == "o":
                    self._learn(Opened.parse(str(frame[1:])))
                if kind == "t":
                    self.renewed.set()
                if kind == "g":
                    self.return_delay = _delay(str(frame[1:]))
                feed_client(machine, carrier, frame, now)
                if carrier.ignores:
                    return Fate(name, "opened another session than this one")
        except RemoteProtocolError as error:
            machine.fail(error, now)
            return Fate(name, str(error))
        finally:
            if newest and (machine.inbox.received > received or machine.outbox.acked > acked):
                self.supervisor.of_use()
        if machine.sid and not self.opened.is_set():
            self.opened.set()
        if carrier.attached and carrier is machine.carrier and not self.attached.is_set():
            self.attached.set()
        return None

    def opened_by(self, transport: str) -> None:
        """A poll has opened the session beside a carrier that has not attached yet."""
        if not self._transport:
            self._transport = transport

    def _learn(self, opened: Opened) -> None:
        """Takes over what the server announced."""
        machine = self._machine
        if machine.sid and machine.sid != opened.sid:
            return
        self.negotiation = opened.transports
        machine.server = replace(
            machine.config,
            max_size=opened.max_size,
            max_batch=max(3, opened.max_batch[0]),
            ping_interval=opened.ping_interval,
            ping_timeout=opened.ping_timeout,
            resume_window=opened.resume_window,
            poll_interval=(min(opened.poll_interval[0], LONGEST_PAUSE), min(opened.poll_interval[1], LONGEST_PAUSE)),
        )

    def heed(self, retry_after: str) -> None:
        """An answer had a Retry-After header (RFC 9110 §10.2.3). One that names a date is not heeded."""
        if retry_after.isascii() and retry_after.isdigit():
            self.come_back_at = max(self.come_back_at, self._now() + float(retry_after[:9]))

    def dispose(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        """Closes a WebSocket in the background: its peer may take its time, or be gone."""
        if not ws.closed:
            self.spawn(ws.close(), "closing")

    async def sleep(self, seconds: float) -> None:
        """Sleeps on the session's clock."""
        done = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not done.done():
                done.set_result(None)

        timer = self.clock.call_at(self.clock.now() + seconds, wake)
        try:
            await done
        finally:
            timer.cancel()

    async def poll_pause(self, seconds: float) -> None:
        """Waits between two plain polls, or less if there is something to send."""
        machine = self._machine
        sleeper = asyncio.ensure_future(self.sleep(seconds))
        try:
            while not (sleeper.done() or machine.going_due or machine.outbox.pending(machine.outbox.acked + 1)):
                # Whatever happens to the session is news, and most of it is no reason to poll.
                self._poll_news.clear()
                news = asyncio.ensure_future(self._poll_news.wait())
                try:
                    await asyncio.wait({sleeper, news}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    news.cancel()
        finally:
            sleeper.cancel()

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Starts a task that ends with the session."""
        task = asyncio.get_running_loop().create_task(coroutine, name=f"realtime client {name}")
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # A bug of ours: a session that went on without this task would only hang.
            log.error("the task %s of session %s failed", task.get_name(), self.label, exc_info=task.exception())
            self._machine.end(1011, "the client failed", self._now())

    # -- sending ---------------------------------------------------------------------------------------------------

    def _check_size(self, message: Message) -> None:
        size = Outgoing.message(message).size
        if self._machine.sid and size > self._machine.server.max_size:
            raise LocalProtocolError(
                f"a message of {size} bytes is above the server's max_size={self._machine.server.max_size}"
            )

    async def send(self, message: Message) -> None:
        """Like BaseSession.send(); raises LocalProtocolError also for a message above the server's max_size."""
        self._check_size(message)
        await super().send(message)

    def send_nowait(self, message: Message) -> None:
        """Like BaseSession.send_nowait(); raises LocalProtocolError also for one above the server's max_size."""
        self._check_size(message)
        super().send_nowait(message)

    # -- the end ---------------------------------------------------------------------------------------------------

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes the session cleanly: see BaseSession.close(). Then lets go of every connection and task."""
        await super().close(code, reason)
        if self._machine.outcome is None:
            self._machine.end(4412, "the close was not acknowledged in time", self._now())
        await self._finish()

    async def __aenter__(self) -> ClientSession:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def _finish(self) -> None:
        if self._finishing is None:
            self._finishing = asyncio.get_running_loop().create_task(self._wind_up())
        await asyncio.shield(self._finishing)

    async def _wind_up(self) -> None:
        """Tells the server what it has to know yet, then ends all tasks and connections."""
        from .drivers import acknowledge_close

        machine = self._machine
        if machine.final_ack:
            machine.final_ack = False
            await acknowledge_close(self)
        drivers = {task for task in self._tasks if task.get_name() == "realtime client websocket"}
        if drivers and machine.sid:  # a WebSocket's last frame and closing handshake
            await asyncio.wait(drivers, timeout=min(2.0, machine.config.close_timeout))
        tasks = {task for task in self._tasks if task is not asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._timer is not None:
            self._timer.cancel()
        if self.settings.http is None and self._http is not None:
            await self._http.close()

    # -- session.Runtime: this session runs itself -------------------------------------------------------------------

    def mark_dirty(self, session: Any) -> None:
        """Flush in this turn of the event loop."""
        asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._dirty = False
        self._machine.flush(self._now())
        self.uplink_news.set()
        self._poll_news.set()

    def wake_session(self, session: Any, when: float) -> None:
        """Look at the machine at `when`."""
        if self._deadlines.schedule(self._machine, when):
            self._set_timer(when)

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.clock.call_at(when, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        self._deadlines.run(self._now())
        when = self._deadlines.next()
        if when < float("inf"):
            self._set_timer(when)

    def session_ended(self, session: Any) -> None:
        """The session is over: wind up in the background."""
        self.opened.set()
        self.renewed.set()
        self.uplink_news.set()
        self._poll_news.set()
        self.supervisor.nudge()
        if self._finishing is None:
            self._finishing = asyncio.get_running_loop().create_task(self._wind_up())

    def check_open(self) -> None:
        """Raises SessionClosed when the session has ended."""
        if self._machine.outcome is not None:
            raise SessionClosed(self._machine.outcome.code, self._machine.outcome.reason)


def _delay(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 3600.0)
    except ValueError:
        return 0.0
