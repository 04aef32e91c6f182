"""What a client's session gives to whatever works for it: its machine, the policy that chooses its carriers, its HTTP
client, its clock and its tasks. The drivers, the supervisor, the sender of POSTs and the renewal of auth data stand on
this, and on nothing above it; the session that applications hold is above them all.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Concatenate, Literal, ParamSpec

import aiohttp

from ..clock import Clock
from ..core.carrier import NumberedCarrier
from ..core.choice import Rules
from ..core.client_machine import ClientMachine
from ..core.config import TIMER_GRACE
from ..core.cursors import Cursors
from ..core.errors import LocalProtocolError, RemoteProtocolError, SessionClosed
from ..core.supervision import Supervision
from ..loops import begin, failure
from ..protocols.native import Opened, feed_client, parse_refusal
from ..transports import Frame
from .ends import SESSION_ENDED, CarrierEnd
from .handshake import no_redirects
from .settings import Settings
from .wire import kind_of, needs_url, with_origin

__all__ = ["Context"]

log: logging.Logger = logging.getLogger("realtime.session")

# No server's clients pause longer between two polls, whatever it says: it takes them for gone after TIMER_GRACE.
LONGEST_PAUSE = TIMER_GRACE / 2

# What the reason of an `e` means for what comes next (docs/protocol.md §4).
ENDS: dict[str, Literal["superseded", "recycled", "lost"]] = {
    "superseded": "superseded",
    "recycled": "recycled",
    "idle": "recycled",
}

P = ParamSpec("P")


class Context:
    """Of one session. `opened_by` is told which poll has opened it beside a carrier that has not attached yet."""

    def __init__(
        self, settings: Settings, machine: ClientMachine, clock: Clock, opened_by: Callable[[str], None]
    ) -> None:
        self.settings = settings
        self.machine = machine
        self.clock = clock
        self.opened_by = opened_by
        self.policy: Supervision = Supervision(
            [(name, kind_of(name)) for name in settings.transports],
            Rules(
                attach_timeout=settings.attach_timeout,
                open_timeout=settings.open_timeout,
                race_delay=settings.race_delay,
                backoff=settings.backoff,
                upgrade_interval=settings.upgrade_interval,
                upgrade=settings.upgrade,
            ),
            random.random,
            clock.now(),
        )
        self.turn_soon: Callable[[], None] = _nothing  # asks the policy what is to be done; the supervisor's
        self.nonce: str = secrets.token_urlsafe(18)  # makes opening idempotent
        self.auth: Any = None  # what the server is given
        self.heard: Cursors = Cursors(settings.cursors)  # how far the application has heard its rooms
        self.cursors: dict[str, str] = self.heard.said()  # what the open says of that, each time it is repeated
        self.withheld: dict[str, str] = {}  # what it has no way to say: how far rooms were heard, until they are joined
        if all(map(needs_url, settings.transports)):
            self.cursors, self.withheld = {}, dict(self.heard)
        self.negotiation: Sequence[Mapping[str, str]] = ()  # the server's ranked list, with reasons
        self.return_delay: float = 0.0  # a draining server's wish: come back within so many seconds
        self.opened: asyncio.Event = asyncio.Event()  # there is a sid, or an end
        self.renewed: bool = False  # the server has taken fresh auth data
        self.renewal_news: asyncio.Event = asyncio.Event()  # it has, or a carrier has ended, or the session
        self.uplink_news: asyncio.Event = asyncio.Event()  # for who sends by POSTs: there may be something to say
        self._http = settings.http
        self._tasks: set[asyncio.Task[Any]] = set()

    # -- facts -------------------------------------------------------------------------------------------------------

    @property
    def http(self) -> aiohttp.ClientSession:
        """The HTTP client. One of the application's own that was closed raises ClientConnectionError, and ends the
        session: nothing can carry it any more."""
        if self._http is None:
            self._http = aiohttp.ClientSession(trace_configs=[no_redirects()])
        if self._http.closed:
            why = "the aiohttp.ClientSession given as http is closed"
            if self.machine.sid:
                self.machine.end(4411, why, self.clock.now())
            raise aiohttp.ClientConnectionError(why)
        return self._http

    @cached_property
    def headers(self) -> dict[str, str]:
        """What is said with every request: the same with all of a session, whatever cookies come meanwhile, since an
        open that is repeated has to come from the same page."""
        return with_origin(self.http, self.settings.url, self.settings.headers)

    @property
    def opens_in_url(self) -> bool:
        """Whether all that the open says may stand in a URL (docs/protocol.md §3.1)."""
        return self.auth is None and not self.cursors

    def check_open(self) -> None:
        """Raises SessionClosed when the session has ended."""
        outcome = self.machine.outcome
        if outcome is not None:
            raise SessionClosed(outcome.code, outcome.reason)

    # -- what has come, and what has happened --------------------------------------------------------------------------

    def tell(self, event: Callable[Concatenate[float, P], None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Tells the policy what has happened, and sees to it that it is asked what is to be done."""
        event(self.clock.now(), *args, **kwargs)
        self.turn_soon()

    def feed(self, carrier: NumberedCarrier, frames: Sequence[Frame]) -> CarrierEnd | None:
        """Feeds frames from the server; returns the carrier's end if that is what they say."""
        machine, now = self.machine, self.clock.now()
        name = carrier.codec.name
        other = False
        newest, brought, acked = carrier is machine.carrier, machine.brought, machine.outbox.acked
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
                    how = ENDS.get(reason, "lost")
                    if how == "recycled":
                        machine.recycled(carrier)
                    return CarrierEnd(name, f"ended by the server: {reason}", how)
                if kind == "o":
                    other = self._learn(Opened.parse(str(frame[1:])))
                if kind == "t":
                    self.renewed = True
                    self.renewal_news.set()
                if kind == "g":
                    self.return_delay = _delay(str(frame[1:]))
                feed_client(machine, carrier, frame, now)
                if carrier.ignores and other:
                    return CarrierEnd(name, "opened another session than this one", "superseded")
                if carrier.ignores:
                    return CarrierEnd(name, "answered by an owner from before", "recycled")
        except RemoteProtocolError as error:
            machine.fail(error, now)
            return CarrierEnd(name, str(error))
        finally:
            if machine.sid and not self.policy.is_open:
                server = machine.server
                held = min(server.silence, server.hold * 2)
                self.tell(self.policy.opened, server.lifetime, held, server.poll_interval)
                self.opened.set()
            if newest and (machine.brought > brought or machine.outbox.acked > acked):
                self.tell(self.policy.delivered, machine.outbox.acked > acked)
        return None

    def _learn(self, opened: Opened) -> bool:
        """Takes over what the server announced. Returns whether that is of another session. Raises RemoteProtocolError
        (1002) for what no server of ours may be told to be."""
        machine = self.machine
        if machine.sid and machine.sid != opened.sid:
            return True
        least, most = opened.poll_interval
        try:
            machine.server = replace(
                machine.config,
                max_size=opened.max_size,
                max_batch=max(3, opened.max_batch[0]),
                ping_interval=opened.ping_interval,
                ping_timeout=opened.ping_timeout,
                resume_window=opened.resume_window,
                poll_interval=(min(least, LONGEST_PAUSE), min(most, LONGEST_PAUSE)),
            )
        except LocalProtocolError as error:
            raise RemoteProtocolError(1002, f"the server's o has {error}") from None
        self.negotiation = opened.transports
        return False

    def flushed(self) -> None:
        """Something has happened to the session, so there may be something to say."""
        self.uplink_news.set()

    def session_ended(self) -> None:
        """The session is over: whoever waits for it finds out."""
        for event in (self.opened, self.renewal_news, self.uplink_news):
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

    # -- tasks -------------------------------------------------------------------------------------------------------

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Starts a task that ends with the session."""
        task = begin(coroutine, f"realtime client {name}")
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        """A helper that fails is a bug of ours, and no reason to end a session that is well."""
        self._tasks.discard(task)
        error = failure(task)
        if error is not None:
            log.error("the task %s of session %s failed", task.get_name(), self.machine.label, exc_info=error)

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
        try:
            if tasks:
                await asyncio.wait(tasks)
        finally:
            if self.settings.http is None and self._http is not None:
                await self._http.close()


def _nothing() -> None:
    """Before there is a supervisor."""


def _delay(text: str) -> float:
    try:
        return min(max(0.0, float(text)), 3600.0)  # in this order: of what is no number nothing is left
    except ValueError:
        return 0.0
