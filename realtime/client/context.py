"""What a client's session gives to whatever works for it: its machine, its account of failures, its HTTP client, its
clock and its tasks. The drivers, the supervisor, the sender of POSTs and the renewal of auth data stand on this, and on
nothing above it; the session that applications hold is above them all.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import aiohttp

from ..clock import Clock
from ..core.carrier import NumberedCarrier
from ..core.client_machine import ClientMachine
from ..core.config import TIMER_GRACE
from ..core.errors import RemoteProtocolError, SessionClosed
from ..protocols.native import Opened, feed_client, parse_refusal
from ..transports import Frame
from .ends import SESSION_ENDED, CarrierEnd
from .handshake import no_redirects
from .ledger import Ledger
from .settings import Settings
from .wire import with_origin

__all__ = ["Context"]

log = logging.getLogger("realtime.session")

# No server's clients pause longer between two polls, whatever it says: it takes them for gone after TIMER_GRACE.
LONGEST_PAUSE = TIMER_GRACE / 2


class Context:
    """Of one session. `opened_by` is told which poll has opened it beside a carrier that has not attached yet."""

    def __init__(
        self, settings: Settings, machine: ClientMachine, clock: Clock, opened_by: Callable[[str], None]
    ) -> None:
        self.settings = settings
        self.machine = machine
        self.clock = clock
        self.opened_by = opened_by
        self.ledger = Ledger(settings, machine, clock.now)
        self.nonce = secrets.token_urlsafe(18)  # makes opening idempotent
        self.auth: Any = None  # what the server is given
        self.driver: asyncio.Task[CarrierEnd] | None = None  # the task that carries the session, or did last
        self.negotiation: Sequence[Mapping[str, str]] = ()  # the server's ranked list, with reasons
        self.return_delay = 0.0  # a draining server's wish: come back within so many seconds
        self.come_back_at = 0.0  # the server, or what stands before it, wants no requests before that
        self.opened = asyncio.Event()  # there is a sid, or an end
        self.attached = asyncio.Event()  # the newest carrier carries, for the first time
        self.renewed = asyncio.Event()  # the server has taken fresh auth data, or the session is over
        self.upgrade_news = asyncio.Event()  # another transport carries, or another network
        self.uplink_news = asyncio.Event()  # for who sends by POSTs: there may be something to say
        self._poll_news = asyncio.Event()
        self._http = settings.http
        self._tasks: set[asyncio.Task[Any]] = set()

    # -- facts -------------------------------------------------------------------------------------------------------

    @property
    def http(self) -> aiohttp.ClientSession:
        """The HTTP client."""
        if self._http is None:
            self._http = aiohttp.ClientSession(trace_configs=[no_redirects()])
        return self._http

    @cached_property
    def headers(self) -> dict[str, str]:
        """What is said with every request: the same with all of a session, whatever cookies come meanwhile, since an
        open that is repeated has to come from the same page."""
        return with_origin(self.http, self.settings.url, self.settings.headers)

    def drives(self) -> bool:
        """Whether the calling task still is the one that carries the session."""
        return self.driver is asyncio.current_task() and self.machine.outcome is None

    def check_open(self) -> None:
        """Raises SessionClosed when the session has ended."""
        outcome = self.machine.outcome
        if outcome is not None:
            raise SessionClosed(outcome.code, outcome.reason)

    # -- what has come, and what has happened --------------------------------------------------------------------------

    def feed(self, carrier: NumberedCarrier, frames: Sequence[Frame]) -> CarrierEnd | None:
        """Feeds frames from the server; returns the carrier's end if that is what they say."""
        machine, now = self.machine, self.clock.now()
        name = carrier.codec.name
        newest, received, acked = carrier is machine.carrier, machine.inbox.received, machine.outbox.acked
        try:
            for frame in frames:
                if machine.outcome is not None:
                    return CarrierEnd(name, SESSION_ENDED)
                kind = frame[:1] if isinstance(frame, str) else ""
                if kind == "x":
                    refusal = parse_refusal(str(frame))
                    if refusal.scope == "session":
                        machine.refused(carrier, refusal.code, refusal.received, refusal.reason, now)
                    return CarrierEnd(name, f"refused with {refusal.code}: {refusal.reason}", refusal=refusal)
                if kind == "e":
                    reason = str(frame[1:])
                    return CarrierEnd(
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
                    return CarrierEnd(name, "opened another session than this one")
        except RemoteProtocolError as error:
            machine.fail(error, now)
            return CarrierEnd(name, str(error))
        finally:
            if newest and (machine.inbox.received > received or machine.outbox.acked > acked):
                self.ledger.of_use()
        if machine.sid and not self.opened.is_set():
            self.opened.set()
        if carrier.attached and carrier is machine.carrier and not self.attached.is_set():
            self.attached.set()
        return None

    def _learn(self, opened: Opened) -> None:
        """Takes over what the server announced."""
        machine = self.machine
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

    def got_through(self, name: str, started: float) -> None:
        """A carrier of this transport, started at `started`, begins to carry."""
        self.ledger.got_through(name, started)
        self.upgrade_news.set()

    def heed(self, retry_after: str) -> None:
        """An answer had a Retry-After header (RFC 9110 §10.2.3). One that names a date is not heeded."""
        if retry_after.isascii() and retry_after.isdigit():
            self.come_back_at = max(self.come_back_at, self.clock.now() + float(retry_after[:9]))

    def flushed(self) -> None:
        """Something has happened to the session, so there may be something to say."""
        self.uplink_news.set()
        self._poll_news.set()

    def session_ended(self) -> None:
        """The session is over: whoever waits for it finds out."""
        for event in (self.opened, self.renewed, self.uplink_news, self._poll_news, self.upgrade_news):
            event.set()

    # -- waiting -----------------------------------------------------------------------------------------------------

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
        machine = self.machine
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

    # -- tasks -------------------------------------------------------------------------------------------------------

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
            name, label = task.get_name(), self.machine.label
            log.error("the task %s of session %s failed", name, label, exc_info=task.exception())
            self.machine.end(1011, "the client failed", self.clock.now())

    def dispose(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        """Closes a WebSocket in the background: its peer may take its time, or be gone."""
        if not ws.closed:
            self.spawn(ws.close(), "closing")

    async def wait_for(self, names: Sequence[str], seconds: float) -> None:
        """Waits until the tasks of these names have ended, for so long at the most."""
        wanted = {f"realtime client {name}" for name in names}
        if tasks := {task for task in self._tasks if task.get_name() in wanted}:
            await asyncio.wait(tasks, timeout=seconds)

    async def close(self) -> None:
        """Ends all tasks and connections."""
        tasks = {task for task in self._tasks if task is not asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self.settings.http is None and self._http is not None:
            await self._http.close()


def _delay(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 3600.0)
    except ValueError:
        return 0.0
