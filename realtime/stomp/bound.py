"""What the sessions of one endpoint's STOMP share: limits, hooks, handlers and queues; and sending."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol

from ..core.errors import LocalProtocolError, Unauthorized
from ..hub import Hub
from ..protocols.layers.stomp.conversation import Limits
from ..protocols.layers.stomp.handshake import HeartBeat
from ..request import SessionRequest
from ..session import Session
from .destinations import Kind, Template, kind_of, room_for_user
from .messages import StompMessage, as_outgoing
from .queues import Queues

__all__ = ["Bound", "Handler", "Sizes", "StompClient"]


UNREGISTERED = 'register the destinations first: rt.endpoint("/stomp")(stomp)'


class StompClient:
    """A client of STOMP that is connected, or asks to be: what hooks and handlers are given."""

    __slots__ = ("_data", "headers", "host", "identity", "login", "passcode", "session", "version")

    def __init__(
        self,
        session: Session,
        version: str,
        login: str | None,
        passcode: str | None,
        host: str | None,
        headers: Mapping[str, str],
    ) -> None:
        self.session: Session = session  # what carries it
        self.version: str = version  # of STOMP: "1.0", "1.1" or "1.2"
        self.login: str | None = login  # what it logs in with, if it does
        self.passcode: str | None = passcode  # None once the connect hook has let it in
        self.host: str | None = host  # the virtual host that it names
        self.headers: Mapping[str, str] = headers  # of its CONNECT, but for the passcode
        # Who it is: as the connect hook has said, or else the authorize hook of the server; None for nobody.
        self.identity: str | None = session.identity
        self._data: dict[Any, Any] | None = None

    @property
    def data(self) -> dict[Any, Any]:
        """A dictionary for the application's own use."""
        if self._data is None:
            self._data = {}
        return self._data

    @property
    def request(self) -> SessionRequest:
        """What opened the session."""
        return self.session.request

    def __repr__(self) -> str:
        return f"<StompClient of STOMP {self.version} in {self.session!r}>"


class Called(Protocol):
    """What a handler of the application is: a coroutine function."""

    async def __call__(self, client: StompClient, message: StompMessage, /) -> Any: ...


class Handler(NamedTuple):
    """A handler of a destination, and where its answers go."""

    template: Template
    function: Called
    reply: str | None


class Sizes(NamedTuple):
    """What one frame may be, and how long what may take (seconds)."""

    max_headers: int
    max_header_size: int
    max_body_size: int
    connect_timeout: float
    ack_timeout: float | None


class Bound:
    """One endpoint's STOMP."""

    def __init__(self, limits: Limits, sizes: Sizes, beats: HeartBeat) -> None:
        self.limits: Limits = limits
        self.sizes: Sizes = sizes
        self.beats: HeartBeat = beats
        self.hub: Hub | None = None  # of the server, once there is one
        self.path: str = ""
        self.kept: Queues | None = None  # where queues are kept, once there is a server
        self.connect: Callable[[StompClient], Awaitable[str | None]] | None = None
        self.allow: Callable[[StompClient, str, str], Awaitable[bool]] | None = None
        self.handlers: list[Handler] = []
        self._plain: dict[str, Handler] = {}
        self._process = secrets.token_urlsafe(6)
        self._number = 0

    def number(self) -> str:
        """An id for a message, which no other has."""
        self._number += 1
        return f"{self._process}-{self._number:x}"

    # -- handlers ------------------------------------------------------------------------------------------------------

    def add(self, handler: Handler) -> None:
        """Registers a handler. Raises LocalProtocolError when its destination has one."""
        text = handler.template.text
        if any(one.template.text == text for one in self.handlers):
            raise LocalProtocolError(f"there is a handler of {text!r} already")
        self.handlers.append(handler)
        if handler.template.plain:
            self._plain[text] = handler

    def find(self, destination: str) -> tuple[Handler, dict[str, str]] | None:
        """The handler of a destination, and what the names in its own stand for: the first that fits, and those without
        names before all others."""
        found = self._plain.get(destination)
        if found is not None:
            return found, {}
        for handler in self.handlers:
            if not handler.template.plain:
                params = handler.template.match(destination)
                if params is not None:
                    return handler, params
        return None

    # -- who may -------------------------------------------------------------------------------------------------------

    async def check(self, client: StompClient, action: str, destination: str) -> None:
        """Raises Unauthorized unless the client may "send" to a destination, or "subscribe" to it."""
        if self.allow is not None:
            if not await self.allow(client, action, destination):
                raise Unauthorized(f"this client may not {action} to {destination[:64]!r}", status=403)
        elif action == "send" and kind_of(destination) is Kind.USER:
            raise Unauthorized("nobody may send to other identities, unless the allow hook says so", status=403)

    # -- sending -------------------------------------------------------------------------------------------------------

    @property
    def queues(self) -> Queues:
        """All queues. Raises LocalProtocolError where there is no server."""
        if self.kept is None:
            raise LocalProtocolError(UNREGISTERED)
        return self.kept

    @property
    def rooms(self) -> Hub:
        """The server's rooms. Raises LocalProtocolError where there is no server."""
        if self.hub is None:
            raise LocalProtocolError(UNREGISTERED)
        return self.hub

    async def publish(self, destination: str, headers: Mapping[str, str], body: bytes) -> None:
        """Sends to a topic, a queue or an identity. Raises LocalProtocolError for any other destination and where a
        queue is full, and BrokerError."""
        kind = kind_of(destination)
        if kind is Kind.QUEUE:
            await self.queues.put(destination, headers, body)
        elif kind is Kind.APP:
            raise LocalProtocolError(f"{destination[:64]!r} is for clients: the application calls its handlers itself")
        else:
            await self.to_room(destination if kind is Kind.TOPIC else room_for_user(destination), headers, body)

    async def to_room(self, room: str, headers: Mapping[str, str], body: bytes) -> None:
        """Sends to everyone in a room. Raises BrokerError."""
        await self.rooms.room(room)._send(as_outgoing(body, headers), ())
