"""The client's session, as its application holds it: what the server's has, too, and choosing transports.

The supervisor keeps a carrier under it, as the policy says; another task sends what goes up by POSTs. What they stand
on is the session's Context.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..base_session import BaseSession, Message
from ..clock import Clock, SystemClock
from ..core.carrier import Shape
from ..core.client_machine import LEAST_ACK_SHARE, ClientMachine
from ..core.config import Config
from ..core.cursors import Gap, Last
from ..core.errors import LocalProtocolError, NegotiationError
from ..core.frames import Outgoing, RoomMessage, RoomPosition
from ..core.inbox import Received
from ..core.machine import check_close
from ..listener import SessionListener
from ..loops import begin, gives_way
from ..runtime import Runtime
from .authorization import Authorization, Hung
from .context import Context
from .events import ClientEvents, ClientNamespace
from .settings import Settings
from .supervisor import Supervisor
from .uplink import Sender, acknowledge_close, say_end
from .wire import has_shape

__all__ = ["ClientSession"]

# How long who has given up opening is held for the goodbye to the server, in seconds: a round trip, as a rule.
GOODBYE = 0.5


class ClientListener(SessionListener[ClientMachine]):
    """A session's listener at the client: who only sends hears of its rooms, too."""

    def __init__(
        self, runtime: Runtime, ended: Callable[[ClientMachine], object], take_notes: Callable[[], object]
    ) -> None:
        super().__init__(runtime, ended)
        self._take_notes = take_notes

    def noted(self) -> None:
        """There is a note, and nothing before it: it is taken."""
        self._take_notes()


class ClientSession(BaseSession[ClientMachine]):
    """A session at the client: see realtime.connect()."""

    def __init__(self, settings: Settings, config: Config, clock: Clock | None = None) -> None:
        self._runtime = Runtime(clock or SystemClock(), "client")
        self._runtime.on_flush = (self._flushed,)
        listener = ClientListener(self._runtime, self._over, self._take_notes)
        super().__init__(listener, config.on_full)
        self._bind(ClientMachine(config, listener, self._now(), random.uniform(LEAST_ACK_SHARE, 1)))
        self._context = Context(settings, self._machine, self._runtime.clock, self._opened_by)
        self._authorization = Authorization(self._context)
        self._supervisor = Supervisor(self, self._context, self._authorization)
        self._runtime.on_standstill = self._supervisor.stood_still
        self._sender = Sender(self._context, self._authorization)
        self._finishing: asyncio.Task[None] | None = None
        self._gap: Gap | None = None
        self._events: ClientEvents | None = None

    # -- opening ---------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        """Opens the session. Raises NegotiationError when no transport gets through, or none is allowed in."""
        context, settings = self._context, self._context.settings
        try:
            context.auth = await self._authorization.ask()
            context.policy.restart(self._now())
            await self._supervisor.open()
        except Hung as error:
            context.policy.choice.attempts["auth"] = str(error)
        except BaseException:
            await self._abandon()
            raise
        if not self._machine.sid:
            outcome = self._machine.outcome
            await self._abandon()
            message = f"no session at {settings.url}"
            if outcome is not None:
                message += f": closed with {outcome.code} ({outcome.reason})"
            tried = self.attempts
            wanted = [*(name for name in settings.transports if name in tried), *tried]  # most wanted first
            raise NegotiationError(message, {name: tried[name] for name in wanted})
        if self._machine.outcome is None:
            self._sender.start()

    def _opened_by(self, transport: str) -> None:
        """A poll has opened the session beside a carrier that has not attached yet."""
        if not self._listener.transport:
            self._listener.transport = transport

    async def _abandon(self) -> None:
        """Nobody wants it any more. What has to be said of that yet goes on in the background behind GOODBYE."""
        await asyncio.wait({self._wind_up_once()}, timeout=GOODBYE)

    async def _give_up(self) -> None:
        """Ends it. What the server is opening just now is closed there when it says so, or would stay for its
        open_timeout."""
        machine, context = self._machine, self._context
        try:
            if not machine.sid:
                settings = context.settings
                await self._supervisor.answers(min(settings.attach_timeout, settings.open_timeout))
        finally:
            untold = machine.outcome is None and machine.uplink_wanted
            machine.end(4411, "given up by the application", self._now())
        if untold:
            await say_end(context)

    # -- transports --------------------------------------------------------------------------------------------------

    @property
    def negotiation(self) -> Sequence[Mapping[str, str]]:
        """The server's transports, most wanted first, each with its verdict and reason; empty before it has come."""
        return self._context.negotiation

    @property
    def durable(self) -> bool:
        """Whether the session outlives the process that serves it: its endpoint is `durable=True`. It ends with 4414 if
        the server's store has lost what this client has."""
        return bool(self._machine.following.tenure)

    @property
    def attempts(self) -> Mapping[str, str]:
        """What happened to each transport that failed last, in words."""
        return self._context.policy.choice.attempts

    @property
    def timings(self) -> Mapping[str, float]:
        """How many seconds each transport took to get through, the first time it did."""
        return self._context.policy.choice.timings

    @gives_way
    async def switch(self, transport: str) -> None:
        """Moves the session to another of its transports now, without losing, repeating or reordering a message.

        Returns when that transport carries it. The client goes on choosing for itself: a better transport may be taken
        again later, unless connect() was told `upgrade=False`. Raises NegotiationError when the transport does not get
        through (the session then stays where it was, or comes back there), and SessionClosed when the session ends.
        """
        self._check_loop()
        await self._supervisor.switch(transport)

    def network_changed(self) -> None:
        """The application has noticed another network: what failed before is forgotten, upgrades are tried now, and
        what is under way on connections that may be dead is begun anew."""
        self._check_loop()
        self._supervisor.network_changed()
        self._sender.network_changed()

    @gives_way
    async def reauthorize(self, auth: Any) -> None:
        """Gives the server fresh auth data for this session, before those it has expire.

        Returns when the server has taken them. Raises SessionClosed when it refuses them, or finds them to be another
        identity's, which ends the session (4401, 4403); TypeError or LocalProtocolError for what is no JSON.
        """
        self._check_loop()
        await self._authorization.reauthorize(auth)

    # -- rooms -----------------------------------------------------------------------------------------------------

    @property
    def last(self) -> Last:
        """Where the message that receive() returned last came from: `.room`, and `.cursor`, the position behind it.

        Both are None for a message that no room has sent, or a room without history. Where several tasks receive, look
        at it before anything is awaited.
        """
        return self._last or Last(None, None)

    @property
    def cursors(self) -> dict[str, str]:
        """How far the application has received each room with history: room → cursor, the one it heard of last at the
        end; of at most 64 rooms. With connect(cursors=…) another session goes on there, if its handler joins the room.
        Cursors are text, safe in JSON, and may be stored; what is in them is the server's affair.
        """
        self._take_notes()
        return dict(self._context.heard)

    @property
    def gap(self) -> Gap | None:
        """What was told missing last, of the room `.room`: `.missing` messages (0: nobody knows) in front of `.cursor`,
        because the history no longer reaches back to where this client was, or the store has lost it. None if
        nothing was. on_change() tells it, as "gap", before the next message of that room is received.
        """
        return self._gap

    def _told(self, item: Received) -> str | bytes | None:
        context = self._context
        if isinstance(item, RoomMessage):
            context.heard.heard(item.room, item.cursor)
            self._last = Last(item.room, item.cursor)
            return item.data
        if isinstance(item, RoomPosition):
            context.heard.heard(item.room, item.cursor)
            missing = item.missing
            if context.withheld and context.withheld.pop(item.room, item.cursor) != item.cursor and missing is None:
                missing = 0  # the server does not know where this client was
            if missing is not None:
                self._gap = Gap(item.room, item.cursor, missing)
                self._listener.tell("gap")
            return None
        return super()._told(item)

    def _take_notes(self) -> None:
        """Takes the notes in front of the next message: they are none, and nobody needs to receive() for them."""
        inbox = self._machine.inbox
        while inbox.items and isinstance(inbox.items[0], RoomPosition):
            self._told(self._machine.take(self._now()))

    # -- events ----------------------------------------------------------------------------------------------------

    def events(self, namespace: str = "/", *, auth: dict[str, Any] | None = None) -> ClientNamespace:
        """The events of a namespace, where the endpoint is one of realtime.Events(): asks the server to be in, with
        `auth` for its "connect" handler, unless this client is, or has asked, already.

        Handlers that are registered before anything else is awaited miss nothing. From the first call on all that
        comes is taken for events: receive() is not for the application any more. Raises LocalProtocolError for what is
        no name, TypeError for `auth` that is no dict, and SessionClosed.
        """
        self._check_loop()
        if self._events is None:
            self._events = ClientEvents(self)
        return self._events.namespace(namespace, auth)

    # -- sending ---------------------------------------------------------------------------------------------------

    def _outgoing(self, message: Message) -> Outgoing:
        item = super()._outgoing(message)
        if self._machine.sid and item.size > self._machine.server.max_size:
            raise LocalProtocolError(
                f"a message of {item.size} bytes is above the server's max_size={self._machine.server.max_size}"
            )
        return item

    async def send(self, message: Message) -> None:
        """As at the server; raises LocalProtocolError also for a message above the server's max_size."""
        await super().send(message)

    def send_nowait(self, message: Message) -> None:
        """As at the server; raises LocalProtocolError also for one above the server's max_size."""
        super().send_nowait(message)

    # -- the end ---------------------------------------------------------------------------------------------------

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes the session cleanly: as at the server. Then lets go of every connection and task. What connect() was
        given as `auth` closes it at once, with 4412: the server hears of nothing before that has returned."""
        if self._authorization.asks_here:
            check_close(code, reason)
            self._machine.end(4412, "closed while the server waits for auth data", self._now())
        elif self._sender.was_cancelled:  # so asyncio.run() ends, before it closes the generator of an `async for`
            check_close(code, reason)
            self._machine.end(4412, "closed when its tasks had been cancelled", self._now())
        await super().close(code, reason)
        if self._machine.outcome is None:
            self._machine.end(4412, "the close was not acknowledged in time", self._now())
        await self._finish()

    async def __aenter__(self) -> ClientSession:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def _finish(self) -> None:
        await asyncio.shield(self._wind_up_once())

    async def _wind_up(self) -> None:
        """Tells the server what it has to know yet, then ends all tasks and connections."""
        machine, context = self._machine, self._context
        try:
            if machine.outcome is None:
                await self._give_up()
            if machine.final_ack:
                machine.final_ack = False
                await acknowledge_close(context)
            if machine.following.unsaid:
                machine.following.unsaid = False
                await say_end(context)
            if machine.sid:  # a WebSocket's last frame and closing handshake
                duplex = [name for name in context.settings.transports if has_shape(name, Shape.DUPLEX)]
                await context.wait_for(duplex, min(2.0, machine.config.close_timeout))
        finally:  # also where the event loop ends before the server has heard
            try:
                await context.close()
            finally:
                self._runtime.stop()

    # -- what the runtime and the machine tell ------------------------------------------------------------------------

    def _flushed(self, seconds: float) -> None:
        self._context.flushed()
        self._supervisor.flushed()

    def _over(self, machine: ClientMachine) -> None:
        """The session is over: winds up in the background."""
        self._context.session_ended()
        self._supervisor.session_ended()
        self._wind_up_once()

    def _wind_up_once(self) -> asyncio.Task[None]:
        if self._finishing is None:
            self._finishing = begin(self._wind_up(), "realtime client end")
        return self._finishing
