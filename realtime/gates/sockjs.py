"""SockJS's gate: a session by the name that its client chose, taken up by polls and streams, and fed by POSTs."""

from __future__ import annotations

from functools import partial

from ..core.carrier import Carrier
from ..core.errors import Refusal, RemoteProtocolError
from ..core.plain_machine import INTERRUPTED, PlainMachine
from ..protocols.sockjs.bodies import parse_body, parse_form, parse_frame
from ..protocols.sockjs.codec import CAPABILITIES, CODECS
from ..protocols.sockjs.options import SockJS
from ..session import Endpoint, Session, SessionRequest
from .base import Wait, wait
from .plain import PlainGate, machine_of
from .plain_connection import Wire
from .requests import Held, Read

__all__ = ["SockJSGate"]

# What the document says of a second receiver (section "Protocol errors").
SECOND = 2010, "Another connection still open"


class SockJSGate(PlainGate):
    """What every request of a SockJS client goes through, but for those that are no session's."""

    def wire(self, endpoint: Endpoint, options: SockJS) -> Wire:
        """SockJS on a WebSocket, which is a session of its own."""
        return Wire(CODECS["websocket"], parse_frame, _kind(options), endpoint.config.max_body)

    async def receive(
        self,
        request: SessionRequest,
        endpoint: Endpoint,
        options: SockJS,
        name: str,
        carrier: Carrier,
        wait: Wait = wait,
    ) -> Session | None:
        """A poll or a stream takes up the session of this name, the one there is or a new one; None where it may not,
        which was said on it. Whoever serves the request calls lost() when it has ended. Raises Gone."""
        try:
            session = await self._session(request, endpoint, options, name, wait)
            machine = machine_of(session)
            before = machine.carrier
            if before is not None and isinstance(before.link, Held) and before.link.gone:
                machine.lost(before, self.now())  # nobody has looked yet
                before.link.abort()
            machine.take_up(carrier, self.now())
        except Refusal as refusal:
            if refusal.scope != "session":
                self.server.refused(refusal.code)
            code, reason = SECOND if refusal.code == 4409 else (refusal.code, refusal.reason)
            carrier.finish([carrier.codec.abrupt(code, "carrier", None, reason)])
            return None
        return session

    async def _session(
        self, request: SessionRequest, endpoint: Endpoint, options: SockJS, name: str, wait: Wait
    ) -> Session:
        session = await self.server.claimed(_claim(endpoint, name))
        if session is None:
            return await self.open(request, endpoint, _kind(options), wait, _claim(endpoint, name))
        await self.server.admit(session, request)
        return session

    def lost(self, session: Session, carrier: Carrier) -> None:
        """The connection under a carrier is gone, or its answer has ended. Harmless when that was known."""
        machine_of(session).lost(carrier, self.now())

    async def send(self, request: SessionRequest, endpoint: Endpoint, name: str, read: Read, *, form: bool) -> bool:
        """Messages by a POST, or by a `form`; False where there is no session of this name any more.

        Nothing is read before its client may send. Raises RemoteProtocolError, Refusal and Unreadable.
        """
        try:
            session = await self.server.claimed(_claim(endpoint, name))
            if session is None:
                return False
            await self.server.admit(session, request)
            limit = endpoint.config.max_body
            # Three bytes for one is the worst that percent-encoding does.
            body = await read(3 * limit if form else limit)
            size = len(body)
            messages = parse_form(body) if form else parse_body(body)
            del body  # what is kept while it waits for room is what the messages are made of
            machine = machine_of(session)
            try:
                await self.feed(session, messages, size)
            except RemoteProtocolError as error:
                machine.fail(error, self.now())
                raise
            return machine.outcome is None or machine.outcome.clean
        except Refusal as refusal:
            if refusal.scope != "session":
                raise
            return refusal.code != INTERRUPTED  # we have closed it; what comes across that is discarded


def _claim(endpoint: Endpoint, name: str) -> str:
    """What stands for a session's name, which another endpoint's may have as well."""
    return f"sockjs {endpoint.path} {name}"


def _kind(options: SockJS) -> partial[PlainMachine]:
    return partial(_machine, options)


def _machine(options: SockJS, config: object, *arguments: object, **named: object) -> PlainMachine:
    """The machine of a session with these options."""
    return PlainMachine(options.settings(config), *arguments, capabilities=CAPABILITIES, **named)  # type: ignore[arg-type]
