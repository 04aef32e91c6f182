"""SockJS's gate: a session by the name that its client chose, taken up by polls and streams, and fed by POSTs."""

from __future__ import annotations

from functools import partial

from ..core.carrier import Carrier
from ..core.errors import Refusal
from ..core.plain_machine import PlainMachine
from ..endpoint import Endpoint
from ..owners import Elsewhere
from ..protocols.sockjs.bodies import parse_body, parse_form, parse_frame
from ..protocols.sockjs.codec import CAPABILITIES, CODECS
from ..protocols.sockjs.options import SockJS
from ..request import SessionRequest
from ..session import Session
from .base import Wait, wait
from .plain import PlainGate
from .plain_connection import Wire
from .requests import Read

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
        which was said on it. Whoever serves the request calls lost() when it has ended. Raises Gone, and Elsewhere."""
        try:
            return await self.take_up(request, endpoint, _kind(options), _claim(endpoint, name), carrier, wait)
        except Elsewhere:
            raise
        except Refusal as refusal:
            self.refuse(carrier, refusal)
            return None

    def refuse(self, carrier: Carrier, refusal: Refusal) -> None:
        """Says on a carrier why it carries nothing."""
        if refusal.scope != "session":
            self.service.refused(refusal.code)
        code, reason = SECOND if refusal.code == 4409 else (refusal.code, refusal.reason)
        carrier.finish([carrier.codec.abrupt(code, "carrier", None, reason)])

    async def bring(self, request: SessionRequest, endpoint: Endpoint, name: str, read: Read, *, form: bool) -> bool:
        """Messages by a POST, as JSON or in a `form`: see send()."""
        limit = endpoint.config.max_body
        if form:  # three bytes for one is the worst that percent-encoding does
            return await self.send(request, _claim(endpoint, name), read, 3 * limit, parse_form)
        return await self.send(request, _claim(endpoint, name), read, limit, parse_body)


def _claim(endpoint: Endpoint, name: str) -> str:
    """What stands for a session's name, which another endpoint's may have as well."""
    return f"sockjs {endpoint.path} {name}"


def _kind(options: SockJS) -> partial[PlainMachine]:
    return partial(_machine, options)


def _machine(options: SockJS, config: object, *arguments: object, **named: object) -> PlainMachine:
    """The machine of a session with these options."""
    return PlainMachine(options.settings(config), *arguments, capabilities=CAPABILITIES, **named)  # type: ignore[arg-type]
