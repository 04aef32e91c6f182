"""Auth data that expire: asking the application for others, and bringing them to the server."""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextlib import suppress
from typing import Any

from ..clock import Patience
from ..core.carrier import Shape
from ..core.errors import Refusal, SessionClosed
from ..core.settings import shown
from ..protocols.native import auth_text, renewal_frame
from .context import Context
from .ends import CarrierEnd
from .exchange import send_aside

__all__ = ["Authorization", "Hung"]

log: logging.Logger = logging.getLogger("realtime.session")


class Hung(TimeoutError):
    """The application's callable has not come back in time."""


class Authorization:
    """What a session shows the server, from its opening to its end."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._auth = context.settings.auth
        self._renewing = asyncio.Lock()
        self._asking: asyncio.Task[None] | None = None  # a renewal, for all whose requests were refused meanwhile

    async def ask(self) -> Any:
        """The auth data to give the server now. Raises as auth_text() does, what the application's callable raises, and
        Hung where that takes longer than open_timeout."""
        auth, seconds = self._auth, self._context.settings.open_timeout
        if callable(auth):
            auth = auth()
            if inspect.isawaitable(auth):
                patience = Patience(seconds)
                try:
                    async with patience:
                        auth = await auth
                except TimeoutError:
                    if not patience.expired():  # the application's own
                        raise
                    raise Hung(f"no answer within open_timeout={seconds:g} s") from None
        auth_text(auth)
        return auth

    @property
    def asks_here(self) -> bool:
        """Whether the task that runs is the one in which the application is asked for other auth data: nothing that it
        waits for reaches the server, unless a carrier does that takes both ways."""
        carrier = self._context.machine.carrier
        duplex = carrier is not None and carrier.codec.shape is Shape.DUPLEX and carrier.attached
        return self._asking is not None and self._asking is asyncio.current_task() and not duplex

    async def reauthorize(self, auth: Any) -> None:
        """See ClientSession.reauthorize()."""
        context, machine = self._context, self._context.machine
        frame = renewal_frame(auth)
        async with self._renewing:
            context.check_open()
            context.auth = auth
            attempts = 0
            while (end := await self._bring(frame)) is not None:
                context.check_open()
                if end.refusal is not None and end.refusal.code in (4401, 4403):
                    machine.end(end.refusal.code, end.refusal.reason, context.clock.now())
                    break
                attempts += 1
                await context.sleep(context.settings.pause(attempts))
            context.check_open()

    async def renew(self, refusal: Refusal) -> None:
        """The server no longer takes the auth data it has: asks for others, once, or gives up."""
        if self._asking is None or self._asking.done():
            self._asking = self._context.spawn(self._ask_again(refusal), "renewal")
        await asyncio.shield(self._asking)

    async def _ask_again(self, refusal: Refusal) -> None:
        machine, now = self._context.machine, self._context.clock.now
        reason = f"no longer authorised: {refusal.reason}"
        if not callable(self._auth):
            reason += "; to go on, give connect() a callable as auth, or call reauthorize() in time"
            machine.end(4401, reason, now())
            return
        try:
            auth = await self.ask()
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling()):
                raise  # the session has ended; else something of the application's was cancelled
            # Not 4401: nobody was refused, and who was asked may have been away.
            if isinstance(error, Hung):
                machine.end(4411, f"{reason}; and auth() gave {error}", now())
                log.error("auth=%s gave %s", shown(self._auth), error)
            else:
                machine.end(4411, f"{reason}; and auth() raised {shown(error)}", now())
                log.error("auth=%s raised", shown(self._auth), exc_info=error)
            return
        with suppress(SessionClosed):
            await self.reauthorize(auth)

    async def _bring(self, frame: str) -> CarrierEnd | None:
        """Brings fresh auth data (a `t`): on the WebSocket if there is one, else by a send of their own.

        Returns None once the server has taken them, or has ended the session; else what came in between.
        """
        context = self._context
        carrier = context.machine.carrier
        context.renewed = False
        if carrier is None or carrier.codec.shape is not Shape.DUPLEX or not carrier.attached:
            return await send_aside(context, frame)
        carrier.write([frame])
        while not (context.renewed or carrier.finished or context.machine.outcome is not None):
            context.renewal_news.clear()
            await context.renewal_news.wait()
        if context.renewed or context.machine.outcome is not None:
            return None
        return CarrierEnd(carrier.codec.name, "lost before the auth data were taken")
