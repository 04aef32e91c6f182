"""Which transport carries a client's session: opening, falling back, upgrading, and what is learnt from failures.

A driver is a task that carries the session by one transport (drivers.py). The supervisor starts one, waits for its end,
and starts the next. Opening races a WebSocket against HTTP, so that a network that lets no WebSocket through costs a
fraction of a second and not a time-out (the way RFC 8305 treats addresses).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.carrier import Shape
from ..core.errors import LocalProtocolError, NegotiationError, Refusal
from ..core.health import Health
from ..core.lifecycle import State
from ..transports import TRANSPORTS

if TYPE_CHECKING:
    from .session import ClientSession

__all__ = ["Fate", "Supervisor"]

log = logging.getLogger("realtime.negotiation")

# A carrier that lived so long, in seconds, was a good one: its end is no evidence against its transport.
GOOD_LIFE = 10.0
# How often each transport is tried before opening is given up.
OPENING_ROUNDS = 2
# How long a WebSocket that has reached the server may take to answer after HTTP has.
GRACE = 0.5
# So much of the time that a session has left without contact one attempt may take at the most.
SHARE = 0.25


@dataclass(frozen=True)
class Fate:
    """What became of a driver."""

    transport: str
    what: str  # in words, for people
    since: float | None = None  # when it began to carry; None if it never did
    superseded: bool = False
    recycled: bool = False  # ended on purpose, to start again
    held: bool = False  # a stream that something in between keeps back
    refusal: Refusal | None = None
    waited: float = 0.0  # how long an attempt was waited for in vain; 0 if it failed in another way


def is_poll(name: str) -> bool:
    """Whether a transport is one of polls."""
    return TRANSPORTS[name].shape is Shape.POLL


def is_stream(name: str) -> bool:
    """Whether a transport is a stream."""
    return TRANSPORTS[name].shape is Shape.STREAM


def posts_apart(name: str) -> bool:
    """Whether what goes up beside a carrier of this transport goes by POSTs of its own."""
    return is_stream(name) or TRANSPORTS[name].held


def better_than(current: str, names: Sequence[str]) -> list[str]:
    """Those of `names`, most wanted first, that a session carried by `current` would rather have.

    The one in use counts at its own place in the order, whatever opened the session. From one stream to another nothing
    is won.
    """
    if current not in names:
        return []
    wanted = names[: names.index(current)]
    return [name for name in wanted if not (is_stream(name) and is_stream(current))]


class Supervisor:
    """Keeps a driver under a session."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self._settings = session.settings
        self._machine = session.machine
        self._now = session.clock.now
        self._health = Health(*self._settings.upgrade_interval)
        self._driver: asyncio.Task[Fate] | None = None
        self._driving = ""  # the transport of the driver
        self._nudged = asyncio.Event()  # a driver has ended, or was replaced
        self._news = asyncio.Event()  # for the upgrader: another transport carries, or another network
        self._failed_in_a_row = 0  # forgotten when something was delivered, or after a good life
        self._failed_at: dict[str, float] = {}  # when, by transport, those did last
        self._superseded_in_a_row = 0
        self._patience = 0.0  # twice what was waited in vain for the last carrier, since one got through
        self._probe_patience: dict[str, float] = {}  # the same for what was tried beside one
        self._not_allowed: set[str] = set()
        self.attempts: dict[str, str] = {}  # what happened to each transport that failed last
        self.timings: dict[str, float] = {}  # seconds each took to get through

    # -- opening ---------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Tries the transports until the session is open, has ended, or all have failed. See session.opened."""
        names = self._settings.transports
        polls = [name for name in names if is_poll(name)]
        if names[0] == "websocket" and polls and await self._race(polls[0], [*names[1:]]):
            return
        for attempt in itertools.count(1):
            patience = self._patience
            for name in names:
                # What the race has shown to fail waits for the second round.
                if name in self._not_allowed or (attempt == 1 and name in self.attempts and len(names) > 1):
                    continue
                self.drive(name)
                if await self._opening():
                    return
                assert self._driver is not None
                refusal = self._driver.result().refusal
                if refusal is not None and refusal.code != 4406:
                    return  # the server does not want this client; another transport would not help
            if attempt >= OPENING_ROUNDS and self._patience == patience:
                return  # nothing was waited for in vain, so more patience would not help
            await self._session.sleep(self._settings.backoff[0] * random.random())

    def opening_poll(self) -> str | None:
        """The most wanted of the polls that are allowed and well, if any: what opens a session for a stream."""
        now = self._now()
        for name in self._settings.transports:
            if is_poll(name) and name not in self._not_allowed and self._health.is_well(name, now):
                return name
        return None

    async def _opening(self) -> bool:
        """Waits until the session is opened (or ended), or the driver has failed."""
        assert self._driver is not None
        opened = asyncio.ensure_future(self._session.opened.wait())
        try:
            await asyncio.wait({opened, self._driver}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            opened.cancel()
        if not self._session.opened.is_set():
            self._ended(self._driver.result())
        return self._session.opened.is_set()

    async def _race(self, poll: str, rest: list[str]) -> bool:
        """A WebSocket at once, and HTTP beside it after a short delay: one session, whichever wins.

        Returns whether the session is open, or can't be.
        """
        from .drivers import open_beside

        gen = self._machine.reserve()  # lower than the WebSocket's, which is the one we want
        self.drive("websocket")
        websocket = self._driver
        assert websocket is not None
        await self._first_of(websocket, self._settings.race_delay)
        if self._session.opened.is_set() or websocket.done():
            return await self._after_websocket(websocket)
        answer = self._session.spawn(open_beside(self._session, poll, gen), "opening")
        opened = asyncio.ensure_future(self._session.opened.wait())
        try:
            await asyncio.wait({websocket, answer, opened}, return_when=asyncio.FIRST_COMPLETED)
            if self._machine.carrier is not None and self._machine.carrier.attached:
                return True  # the WebSocket has won
            if not answer.done() and not opened.done():  # it has failed
                self._ended(websocket.result())
                await asyncio.wait({answer})
        finally:
            opened.cancel()
            if not answer.done() and self._machine.sid:
                answer.cancel()
        if not answer.done():
            await asyncio.wait({answer})
        fate: Fate | None = answer.result()
        if not self._machine.sid:
            if fate is not None:
                self._ended(fate)
            if not websocket.done():
                await asyncio.wait({websocket})
            return await self._after_websocket(websocket)
        if fate is not None and fate.superseded and not websocket.done():
            # The WebSocket has reached the server; if its answer gets through as well, it is the better one.
            await self._first_of(websocket, GRACE, attached=True)
            if self._machine.carrier is not None and self._machine.carrier.attached:
                return True
        if self._machine.outcome is None:
            self._slow(websocket)
            self.drive(self._choose(rest))
        return True

    def _slow(self, websocket: asyncio.Task[Fate]) -> None:
        """HTTP has won the race."""
        if websocket.done():
            return
        self._ended(Fate("websocket", "no answer while HTTP had one"))
        websocket.cancel()

    async def _after_websocket(self, websocket: asyncio.Task[Fate]) -> bool:
        if self._session.opened.is_set():
            return True
        fate = websocket.result()
        self._ended(fate)
        return fate.refusal is not None and fate.refusal.code != 4406

    async def _first_of(self, driver: asyncio.Task[Fate], seconds: float, *, attached: bool = False) -> None:
        """Waits until the driver's carrier has opened the session (or attached), or failed, or time is up."""
        event = self._session.attached if attached else self._session.opened
        waits = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(self._session.sleep(seconds))]
        try:
            await asyncio.wait({driver, *waits}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    # -- one driver after the other ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Drives one transport after the other for as long as the session lives."""
        while self._machine.outcome is None:
            assert self._driver is not None
            while not self._driver.done():
                self._nudged.clear()
                await self._nudged.wait()
            if self._driver.cancelled():
                return
            fate = self._driver.result()
            if self._machine.outcome is not None:
                return
            self._ended(fate)
            if fate.recycled:
                await self._back_off(fate)
                if self._machine.outcome is None:
                    self.drive(fate.transport)
                continue
            if fate.refusal is not None and fate.refusal.code == 4401:
                await self._session.renew(fate.refusal)
            await self._back_off(fate)
            if self._machine.outcome is None:
                self.drive(self._choose(self._settings.transports))

    def drive(self, name: str) -> None:
        """Starts the task that carries the session by transport `name`."""
        from .drivers import DRIVERS  # drivers know sessions

        self.take_over(name, self._session.spawn(DRIVERS[name](self._session, name), name))

    def take_over(self, name: str, driver: asyncio.Task[Fate]) -> None:
        """Makes `driver`, which carries by transport `name`, the task whose end starts another carrier."""
        self._driver, self._driving = driver, name
        driver.add_done_callback(lambda _: self._nudged.set())
        self._nudged.set()

    @property
    def driver(self) -> asyncio.Task[Fate] | None:
        """The task that carries the session, or did last."""
        return self._driver

    def drives(self) -> bool:
        """Whether the calling task still is the session's driver."""
        return self._driver is asyncio.current_task() and self._machine.outcome is None

    def got_through(self, name: str, since: float) -> None:
        """A carrier of this transport, started at `since`, begins to carry."""
        self.timings.setdefault(name, self._now() - since)
        self._patience = 0.0
        if not posts_apart(name):
            self._session.sender.through()
        self._news.set()

    def of_use(self) -> None:
        """The newest carrier has brought a message, or word of one that had not been acknowledged, or has lived well.

        So the failures before it are forgotten.

        That it could attach says less: something in between may cut every carrier at its first message.
        """
        self._failed_in_a_row = 0
        self._failed_at.clear()

    def patience(self, name: str = "") -> float:
        """How many seconds an attempt to carry may take; or to get through beside the carrier in use, by `name`.

        Each that was waited for in vain doubles it; other failures say nothing about how slow the way is.
        """
        least, machine = self._settings.attach_timeout, self._machine
        grown = self._probe_patience.get(name, 0.0) if name else self._patience
        if machine.sid:
            grown = min(grown, (machine.contact + machine.server.lifetime - self._now()) * SHARE)
        return max(least, grown)

    def failed_beside(self, fate: Fate) -> None:
        """Keeps account of an attempt that was made beside what carries, or is to."""
        self.attempts[fate.transport] = fate.what
        if fate.waited:
            self._probe_patience[fate.transport] = 2 * fate.waited
        if fate.refusal is not None and fate.refusal.code == 4406:
            self._not_allowed.add(fate.transport)
        else:
            self._health.failed(fate.transport, fate.what, self._now())

    def nudge(self) -> None:
        """The session has ended."""
        self._nudged.set()
        self._news.set()

    def _choose(self, names: tuple[str, ...] | list[str]) -> str:
        """The most wanted transport that is allowed and well; if none is, the one that will be soonest.

        Those that have not failed since a carrier was of use come first, then the one that failed longest ago: two that
        fail slowly enough would else be well again in turns, and the third never be tried.
        """
        now = self._now()
        allowed = [name for name in names if name not in self._not_allowed] or list(names)
        well = [name for name in allowed if self._health.is_well(name, now)]
        if not well:
            return min(allowed, key=lambda name: self._health.retry_at(name, now))
        return min(well, key=lambda name: self._failed_at.get(name, -1.0))

    def _ended(self, fate: Fate) -> None:
        """Keeps account of a driver's end."""
        now = self._now()
        lived_well = fate.since is not None and now - fate.since >= GOOD_LIFE
        if lived_well:
            self._superseded_in_a_row = 0
            self.of_use()
        if fate.superseded:
            self._superseded_in_a_row += 1
            return
        if fate.recycled:
            self._failed_in_a_row += 1  # unless it has delivered: then the next one comes at once
            return
        self._patience = max(self._patience, 2 * fate.waited)
        log.debug("! session %s: %s %s", self._session.label, fate.transport, fate.what)
        self.attempts[fate.transport] = fate.what
        if fate.refusal is not None and fate.refusal.code == 4406:
            self._not_allowed.add(fate.transport)  # policy is no evidence
            return
        self._failed_in_a_row += 1
        if lived_well:
            self._health.worked(fate.transport)
            return
        self._failed_at[fate.transport] = now
        self._health.failed(fate.transport, fate.what, now)
        if fate.held:  # what keeps one stream back keeps them all
            for name in self._settings.transports:
                if is_stream(name) and name != fate.transport:
                    self._health.failed(name, "another stream was held back", now)

    async def _back_off(self, fate: Fate) -> None:
        least, most = self._settings.backoff
        if fate.superseded:
            most = min(most, self._machine.server.resume_window / 3)
            await self._session.sleep(min(0.3 * 2.0 ** min(self._superseded_in_a_row - 1, 60), most))
        elif self._failed_in_a_row > 1:  # the first attempt after a good carrier is made at once
            delay = min(least * 2.0 ** min(self._failed_in_a_row - 2, 60), most)
            await self._session.sleep(delay * (0.5 + random.random() / 2))

    def history(self) -> dict[str, tuple[str, float]]:
        """What failed lately: how, and how many seconds ago. Told to the server with an open."""
        now = self._now()
        failures = {name: self._health.failure(name, now) for name in self._settings.transports}
        return {name: (failure.how, now - failure.at) for name, failure in failures.items() if failure is not None}

    # -- upgrading ---------------------------------------------------------------------------------------------------

    async def upgrade(self) -> None:
        """While a lesser transport carries the session, tries the better ones beside it, again and again."""
        while self._machine.outcome is None:
            self._news.clear()
            wait = await self._try_better()
            if wait is None:
                await self._news.wait()
            else:
                sleeper = asyncio.ensure_future(self._session.sleep(wait * (1 + random.random() / 4)))
                news = asyncio.ensure_future(self._news.wait())
                try:
                    await asyncio.wait({sleeper, news}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    sleeper.cancel()
                    news.cancel()

    async def _try_better(self) -> float | None:
        """Tries the best transport that is better than the current one and due; how long to wait, None for no end."""
        names, current, now = self._settings.transports, self._session.transport, self._now()
        better = [name for name in better_than(current, names) if name not in self._not_allowed]
        if not better:
            return None
        if self._session.state is not State.OPEN or self._driving != current:
            return self._settings.upgrade_interval[0] / 5
        due = [name for name in better if self._health.is_well(name, now)]
        if due:
            fate = await self._probe(due[0])
            if fate is not None and self._machine.outcome is None:
                self.failed_beside(fate)
        now = self._now()
        soonest = min(self._health.retry_at(name, now) for name in better)
        return max(soonest - now, self._settings.upgrade_interval[0] / 5)

    async def _probe(self, name: str) -> Fate | None:
        """Tries a transport beside the current one, and moves to it if it got through."""
        from .drivers import probe_poll, probe_stream, probe_websocket

        if name == "websocket":
            return await probe_websocket(self._session)
        probe = probe_stream if is_stream(name) else probe_poll
        fate = await probe(self._session, name)
        if fate is not None:
            return fate
        if self._machine.outcome is None:
            self.drive(name)
        return None

    async def doubt_posts(self, what: str) -> None:
        """What goes up beside the carrier in use does not get through: moves to a transport that carries it by itself.

        If there is none, or none gets through, all stays as it is.
        """
        for name in self._settings.transports:
            if posts_apart(name) and name not in self._not_allowed:
                self.attempts[name] = what
                self._health.failed(name, what, self._now())
        for name in self._settings.transports:
            if posts_apart(name) or name in self._not_allowed or not self._health.is_well(name, self._now()):
                continue
            fate = await self._probe(name)
            if fate is None or self._machine.outcome is not None:
                return
            self.failed_beside(fate)

    async def switch(self, transport: str) -> None:
        """See ClientSession.switch()."""
        session = self._session
        if transport not in self._settings.transports:
            raise LocalProtocolError(f"{transport!r} is not among transports={self._settings.transports!r}")
        session.check_open()
        if TRANSPORTS[transport].name == "websocket":
            fate = await self._probe(transport)
            if fate is not None:
                raise NegotiationError(f"the session stays on {session.transport}", {transport: fate.what})
        else:
            self.drive(transport)
        driver = self._driver
        assert driver is not None
        carried = asyncio.Event()
        undo = session.on_change(lambda _: carried.set())
        try:
            while session.transport != transport:
                if driver.done() or driver is not self._driver:
                    session.check_open()
                    raise NegotiationError(f"{transport} did not get through", self.attempts)
                carried.clear()
                waits = asyncio.ensure_future(carried.wait())
                await asyncio.wait({waits, driver}, return_when=asyncio.FIRST_COMPLETED)
                waits.cancel()
        finally:
            undo()

    def network_changed(self) -> None:
        """See ClientSession.network_changed()."""
        self._health.forget()
        self._patience = 0.0
        self._probe_patience.clear()
        self._news.set()
