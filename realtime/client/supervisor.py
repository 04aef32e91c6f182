"""Keeps a carrier under a client's session: does what the policy says, and tells it what happens.

The policy (core/supervision.py) chooses; this shell has its timer, and a task for each carrier (drivers/). The task of
a carrier that is let go of is cancelled; nothing is decided by that.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from ..clock import STOOD_STILL, Patience, Timer
from ..core.attempts import OPEN_TIMED_OUT
from ..core.carrier import Shape
from ..core.errors import LocalProtocolError, NegotiationError, Refusal
from ..core.lifecycle import State
from ..core.supervision import LATER
from ..loops import ends
from .authorization import Authorization
from .carrying import Carrying
from .context import Context
from .drivers import drive
from .drivers.streams import post_beside
from .ends import CarrierEnd
from .wire import has_shape

__all__ = ["Carried", "Supervisor"]

log: logging.Logger = logging.getLogger("realtime.negotiation")

ASLEEP = 10.0  # seconds: who stood still for so long has slept, and finds out whether what seems to live does


class Carried(Protocol):
    """What the supervisor looks at of the session it keeps a carrier under."""

    @property
    def transport(self) -> str: ...

    def on_change(self, callback: Callable[[str], object]) -> Callable[[], None]: ...


class Supervisor:
    """The policy's shell."""

    def __init__(self, session: Carried, context: Context, authorization: Authorization) -> None:
        self._session = session
        self._context = context
        self._authorization = authorization
        self._machine = context.machine
        self._policy = context.policy
        self._under_way: dict[int, Carrying] = {}  # by the policy's number
        self._reserved = 0  # the gen of what opens beside a WebSocket
        self._unauthorised: Refusal | None = None  # why other auth data are wanted
        self._told_later = False  # in the log: while it opens, the server has said to come back
        self._turn_due = False
        self._timer: Timer | None = None
        self._timer_due = float("inf")  # what it was set for, and not before it was set
        context.turn_soon = self.turn_soon

    # -- turns -------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Starts. Returns when there is a session, an end of it, or no hope of one."""
        self.turn_soon()
        await self._context.opened.wait()

    async def answers(self, seconds: float) -> None:
        """Starts nothing more. Returns when what is under way has opened the session, or can't any more, `seconds`
        later at the latest."""
        self.session_ended()
        if self._under_way:
            self._context.opened.clear()
            with suppress(TimeoutError):
                async with Patience(seconds):
                    await self._context.opened.wait()

    def turn_soon(self) -> None:
        """Asks the policy in the next turn of the event loop."""
        if not self._turn_due and self._machine.outcome is None:
            self._turn_due = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_due = False
        machine, policy, clock = self._machine, self._policy, self._context.clock
        if machine.outcome is not None:
            return
        now = clock.now()
        if now - self._timer_due > STOOD_STILL:
            policy.restart(now)
        try:
            policy.contact = machine.contact
            policy.calm = machine.state is State.OPEN
            for verb, *details in policy.turn(now):
                getattr(self, f"_do_{verb}")(*details)
        except Exception as error:
            # A bug of ours: a session that nobody supervises would only hang.
            log.error("the supervisor of session %s failed", machine.label, exc_info=error)
            machine.end(1011, "the client failed", clock.now())
            return
        self._set_timer(policy.deadline())

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_due = None, float("inf")
        if when < float("inf") and self._machine.outcome is None:
            clock = self._context.clock
            self._timer, self._timer_due = clock.call_at(when, self._turn), max(when, clock.now())

    def session_ended(self) -> None:
        """Nothing more is to be carried."""
        self._policy.over(self._context.clock.now())
        self._set_timer(float("inf"))
        for carrying in self._under_way.values():
            carrying.taken.set()

    # -- what the policy says ------------------------------------------------------------------------------------------

    def _do_start(self, number: int, name: str, role: str) -> None:
        carrying = Carrying(self._context, number, name, role, self._ended)
        if role == "open":
            carrying.gen = self._reserved
        elif not self._machine.sid and has_shape(name, Shape.DUPLEX):
            self._reserved = self._machine.reserve()  # lower than the WebSocket's, which is the one that is wanted
        self._under_way[number] = carrying
        carrying.task = self._context.spawn(self._drive(carrying), name)

    def _do_test(self, number: int) -> None:
        carrying = self._under_way[number]  # started just now
        carrying.tester = self._context.spawn(post_beside(self._context, carrying), "stream test")

    def _do_stop(self, number: int) -> None:
        carrying = self._under_way.pop(number, None)
        if carrying is not None:
            log.debug("- session %s: lets go of %s", self._machine.label, carrying.name)
            carrying.let_go()
            self._context.renewal_news.set()

    def _do_take(self, number: int) -> None:
        carrying = self._under_way.get(number)
        if carrying is not None:  # else it has ended meanwhile
            carrying.role = "carry"
            carrying.taken.set()

    def _do_anew(self) -> None:
        # Nothing was sent behind it: applications get their session when it is open.
        self._context.nonce = secrets.token_urlsafe(18)

    def _do_renew(self, reason: str) -> None:
        self._context.spawn(self._renew(self._unauthorised or Refusal(4401, reason)), "renewal")

    def _do_end(self, code: int, reason: str) -> None:
        if self._machine.sid:
            self._machine.end(code, reason, self._context.clock.now())
        else:
            if reason == OPEN_TIMED_OUT:
                settings, attempts = self._context.settings, self._policy.choice.attempts
                attempts.setdefault("open_timeout", f"{settings.open_timeout:g} s passed")
            self._context.opened.set()  # given up

    async def _renew(self, refusal: Refusal) -> None:
        try:
            await self._authorization.renew(refusal)
        finally:
            self._context.tell(self._policy.renewed)

    # -- what happens --------------------------------------------------------------------------------------------------

    async def _drive(self, carrying: Carrying) -> None:
        """The task of a carrier."""
        try:
            end = await drive(self._context, carrying)
        except BaseException as error:
            if ends(error):
                raise
            # A bug of ours, or of what it stands on: this carrier is lost, and no more than that.
            log.error("%s of session %s failed", carrying.name, self._machine.label, exc_info=error)
            end = CarrierEnd(carrying.name, f"this client failed: {error!r}")
        carrying.finish(end)

    def _ended(self, carrying: Carrying, end: CarrierEnd) -> None:
        """A carrier has ended, of itself."""
        context, policy, number = self._context, self._policy, carrying.number
        context.renewal_news.set()
        if self._under_way.pop(number, None) is None or self._machine.outcome is not None:
            return
        if policy.is_over and not self._under_way:
            context.opened.set()
        log.debug("! session %s: %s %s", self._machine.label, end.transport, end.what)
        if end.refusal is not None:
            if end.refusal.code == 4401:
                self._unauthorised = end.refusal
            if end.refusal.code in LATER and not (policy.is_open or self._told_later):
                self._told_later = True
                url, seconds = context.settings.url, context.settings.open_timeout
                log.warning("! no session yet at %s: %s; asked again, for %g s in all", url, end.what, seconds)
            context.tell(policy.refused, number, end.refusal.code, end.what, end.wait)
        elif end.how == "lost":
            context.tell(policy.lost, number, end.what, end.wait)
        elif end.how == "answered":
            context.tell(policy.answered, number, end.news)
            self.flushed()
        elif end.how == "superseded":
            context.tell(policy.superseded, number)
        elif end.how == "recycled":
            context.tell(policy.recycled, number)
        else:
            context.tell(policy.proven, number)

    def flushed(self) -> None:
        """Something has happened to the session: between two polls there may be something to send."""
        machine, policy = self._machine, self._policy
        if policy.newest is None and (
            machine.may_answer(machine.outbox.acked + 1) or machine.outbox.pending(machine.outbox.acked + 1)
        ):
            self._context.tell(policy.news)
        elif policy.calm is not (machine.state is State.OPEN):
            self.turn_soon()

    def stood_still(self, now: float, late: float) -> None:
        """This process did, for `late` seconds at least."""
        if late > ASLEEP:
            self._policy.online(now, another=False)
            self.turn_soon()

    def network_changed(self) -> None:
        """See ClientSession.network_changed()."""
        self._context.tell(self._policy.online, True)

    # -- what the application wants ------------------------------------------------------------------------------------

    async def switch(self, transport: str) -> None:
        """See ClientSession.switch()."""
        session, context, policy = self._session, self._context, self._policy
        if transport not in context.settings.transports:
            raise LocalProtocolError(f"{transport!r} is not among transports={context.settings.transports!r}")
        context.check_open()
        context.tell(policy.switch, transport)
        tried = policy.beside or policy.newest
        assert tried is not None
        self._turn()
        carrying = self._under_way.get(tried.id)
        news = asyncio.Event()
        undo = session.on_change(lambda _: news.set())
        if carrying is not None:
            carrying.on_over = news.set
        try:
            while session.transport != transport:
                context.check_open()
                if carrying is None or carrying.over:
                    raise NegotiationError(
                        f"{transport} did not get through; the session stays on {session.transport}",
                        {transport: policy.choice.attempts.get(transport, "another transport carries the session")},
                    )
                news.clear()
                await news.wait()
        finally:
            undo()
