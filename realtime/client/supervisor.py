"""Which transport carries a client's session: opening, falling back, upgrading.

A driver is a task that carries the session by one transport (drivers/). The supervisor starts one, waits for its end,
and starts the next; what is learnt from the ends is in the ledger. Opening races a WebSocket against HTTP, so that a
network that lets no WebSocket through costs a fraction of a second and not a time-out (the way RFC 8305 treats
addresses).
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from ..core.carrier import Shape
from ..core.errors import LocalProtocolError, NegotiationError
from ..core.lifecycle import State
from .authorization import Authorization
from .context import Context
from .drivers import drive, open_beside, probe
from .ends import CarrierEnd
from .ledger import better_than
from .wire import has_shape, posts_apart

__all__ = ["Carried", "Supervisor"]

# How often each transport is tried before opening is given up.
OPENING_ROUNDS = 2
# How long a WebSocket that has reached the server may take to answer after HTTP has.
GRACE = 0.5


class Carried(Protocol):
    """What the supervisor looks at of the session it keeps a driver under."""

    @property
    def state(self) -> State: ...

    @property
    def transport(self) -> str: ...

    def on_change(self, callback: Callable[[str], object]) -> Callable[[], None]: ...


class Supervisor:
    """Keeps a driver under a session."""

    def __init__(self, session: Carried, context: Context, authorization: Authorization) -> None:
        self._session = session
        self._context = context
        self._authorization = authorization
        self._settings = context.settings
        self._machine = context.machine
        self._ledger = context.ledger
        self._driving = ""  # the transport of the driver
        self._nudged = asyncio.Event()  # a driver has ended, or was replaced

    # -- opening ---------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Tries the transports until the session is open, has ended, or all have failed. See session.opened."""
        names = self._settings.transports
        polls = [name for name in names if has_shape(name, Shape.POLL)]
        if has_shape(names[0], Shape.DUPLEX) and polls and await self._race(names[0], polls[0], [*names[1:]]):
            return
        for attempt in itertools.count(1):
            patience = self._ledger.patience()
            for name in names:
                # What the race has shown to fail waits for the second round.
                if not self._ledger.is_allowed(name) or (
                    attempt == 1 and name in self._ledger.attempts and len(names) > 1
                ):
                    continue
                self._drive(name)
                if await self._opening():
                    return
                assert self._context.driver is not None
                refusal = self._context.driver.result().refusal
                if refusal is not None and refusal.code != 4406:
                    return  # the server does not want this client; another transport would not help
            if attempt >= OPENING_ROUNDS and self._ledger.patience() == patience:
                return  # nothing was waited for in vain, so more patience would not help
            await self._context.sleep(self._settings.backoff[0] * random.random())

    async def _opening(self) -> bool:
        """Waits until the session is opened (or ended), or the driver has failed."""
        assert self._context.driver is not None
        opened = asyncio.ensure_future(self._context.opened.wait())
        try:
            await asyncio.wait({opened, self._context.driver}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            opened.cancel()
        if not self._context.opened.is_set():
            self._ledger.ended(self._context.driver.result())
        return self._context.opened.is_set()

    async def _race(self, name: str, poll: str, rest: list[str]) -> bool:
        """A WebSocket (`name`) at once, and HTTP beside it after a short delay: one session, whichever wins.

        Returns whether the session is open, or can't be.
        """
        gen = self._machine.reserve()  # lower than the WebSocket's, which is the one we want
        self._drive(name)
        websocket = self._context.driver
        assert websocket is not None
        await self._first_of(websocket, self._settings.race_delay)
        if self._context.opened.is_set() or websocket.done():
            return await self._after_websocket(websocket)
        answer = self._context.spawn(open_beside(self._context, poll, gen), "opening")
        opened = asyncio.ensure_future(self._context.opened.wait())
        try:
            await asyncio.wait({websocket, answer, opened}, return_when=asyncio.FIRST_COMPLETED)
            if self._machine.carrier is not None and self._machine.carrier.attached:
                return True  # the WebSocket has won
            if not answer.done() and not opened.done():  # it has failed
                self._ledger.ended(websocket.result())
                await asyncio.wait({answer})
        finally:
            opened.cancel()
            if not answer.done() and self._machine.sid:
                answer.cancel()
        if not answer.done():
            await asyncio.wait({answer})
        end: CarrierEnd | None = answer.result()
        if not self._machine.sid:
            if end is not None:
                self._ledger.ended(end)
            if not websocket.done():
                await asyncio.wait({websocket})
            return await self._after_websocket(websocket)
        if end is not None and end.superseded and not websocket.done():
            # The WebSocket has reached the server; if its answer gets through as well, it is the better one.
            await self._first_of(websocket, GRACE, attached=True)
            if self._machine.carrier is not None and self._machine.carrier.attached:
                return True
        if self._machine.outcome is None:
            self._slow(name, websocket)
            self._drive(self._ledger.choose(rest))
        return True

    def _slow(self, name: str, websocket: asyncio.Task[CarrierEnd]) -> None:
        """HTTP has won the race."""
        if websocket.done():
            return
        self._ledger.ended(CarrierEnd(name, "no answer while HTTP had one"))
        websocket.cancel()

    async def _after_websocket(self, websocket: asyncio.Task[CarrierEnd]) -> bool:
        if self._context.opened.is_set():
            return True
        end = websocket.result()
        self._ledger.ended(end)
        return end.refusal is not None and end.refusal.code != 4406

    async def _first_of(self, driver: asyncio.Task[CarrierEnd], seconds: float, *, attached: bool = False) -> None:
        """Waits until the driver's carrier has opened the session (or attached), or failed, or time is up."""
        event = self._context.attached if attached else self._context.opened
        waits = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(self._context.sleep(seconds))]
        try:
            await asyncio.wait({driver, *waits}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    # -- one driver after the other ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Drives one transport after the other for as long as the session lives."""
        while self._machine.outcome is None:
            assert self._context.driver is not None
            while not self._context.driver.done():
                self._nudged.clear()
                await self._nudged.wait()
            if self._context.driver.cancelled():
                return
            end = self._context.driver.result()
            if self._machine.outcome is not None:
                return
            self._ledger.ended(end)
            if end.recycled:
                await self._back_off(end)
                if self._machine.outcome is None:
                    self._drive(end.transport)
                continue
            if end.refusal is not None and end.refusal.code == 4401:
                await self._authorization.renew(end.refusal)
            await self._back_off(end)
            if self._machine.outcome is None:
                self._drive(self._ledger.choose(self._settings.transports))

    def _drive(self, name: str) -> None:
        """Starts the task that carries the session by transport `name`."""
        self._take_over(name, drive(self._context, name))

    def _take_over(self, name: str, carrying: Coroutine[Any, Any, CarrierEnd]) -> None:
        """Makes what carries by transport `name` the task whose end starts another carrier."""
        driver = self._context.spawn(carrying, name)
        self._context.driver, self._driving = driver, name
        driver.add_done_callback(lambda _: self._nudged.set())
        self._nudged.set()

    def session_ended(self) -> None:
        """Nothing is to be carried any more."""
        self._nudged.set()

    async def _back_off(self, end: CarrierEnd) -> None:
        if pause := self._ledger.pause(end):
            await self._context.sleep(pause)

    # -- upgrading ---------------------------------------------------------------------------------------------------

    async def upgrade(self) -> None:
        """While a lesser transport carries the session, tries the better ones beside it, again and again."""
        while self._machine.outcome is None:
            self._context.upgrade_news.clear()
            wait = await self._try_better()
            if wait is None:
                await self._context.upgrade_news.wait()
            else:
                sleeper = asyncio.ensure_future(self._context.sleep(wait * (1 + random.random() / 4)))
                news = asyncio.ensure_future(self._context.upgrade_news.wait())
                try:
                    await asyncio.wait({sleeper, news}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    sleeper.cancel()
                    news.cancel()

    async def _try_better(self) -> float | None:
        """Tries the best transport that is better than the current one and due; how long to wait, None for no end."""
        names, current = self._settings.transports, self._session.transport
        better = [name for name in better_than(current, names) if self._ledger.is_allowed(name)]
        if not better:
            return None
        if self._session.state is not State.OPEN or self._driving != current:
            return self._settings.upgrade_interval[0] / 5
        due = [name for name in better if self._ledger.is_due(name)]
        if due:
            end = await self._probe(due[0])
            if end is not None and self._machine.outcome is None:
                self._ledger.failed_beside(end)
        soonest = min(map(self._ledger.retry_at, better))
        return max(soonest - self._context.clock.now(), self._settings.upgrade_interval[0] / 5)

    async def _probe(self, name: str) -> CarrierEnd | None:
        """Tries a transport beside the current one, and moves to it if it got through."""
        found = await probe(self._context, name)
        if isinstance(found, CarrierEnd):
            return found
        if self._machine.outcome is None:
            self._take_over(name, found())
        return None

    async def doubt_posts(self, what: str) -> None:
        """What goes up beside the carrier in use does not get through: moves to a transport that carries it by itself.

        If there is none, or none gets through, all stays as it is.
        """
        for name in self._settings.transports:
            if posts_apart(name) and self._ledger.is_allowed(name):
                self._ledger.doubt(name, what)
        for name in self._settings.transports:
            if posts_apart(name) or not self._ledger.is_due(name):
                continue
            end = await self._probe(name)
            if end is None or self._machine.outcome is not None:
                return
            self._ledger.failed_beside(end)

    async def switch(self, transport: str) -> None:
        """See ClientSession.switch()."""
        session = self._session
        if transport not in self._settings.transports:
            raise LocalProtocolError(f"{transport!r} is not among transports={self._settings.transports!r}")
        self._context.check_open()
        if has_shape(transport, Shape.DUPLEX):
            end = await self._probe(transport)
            if end is not None:
                self._context.check_open()
                raise NegotiationError(f"the session stays on {session.transport}", {transport: end.what})
        else:
            self._drive(transport)
        driver = self._context.driver
        assert driver is not None
        carried = asyncio.Event()
        undo = session.on_change(lambda _: carried.set())
        try:
            while session.transport != transport:
                if driver.done() or driver is not self._context.driver:
                    self._context.check_open()
                    raise NegotiationError(f"{transport} did not get through", self._ledger.attempts)
                carried.clear()
                waits = asyncio.ensure_future(carried.wait())
                await asyncio.wait({waits, driver}, return_when=asyncio.FIRST_COMPLETED)
                waits.cancel()
        finally:
            undo()

    def network_changed(self) -> None:
        """See ClientSession.network_changed()."""
        self._ledger.network_changed()
        self._context.upgrade_news.set()
