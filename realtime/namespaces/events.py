"""What an endpoint's events are registered at, which is its handler: its namespaces, and who may be in which."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from ..core.errors import LocalProtocolError
from ..core.settings import check, number, whole
from ..endpoint import check_coroutine, check_takes
from ..events.connection import Limits
from ..protocols.dialects import SocketIO
from ..protocols.layers.socketio.packets import check_namespace
from ..service import Service
from ..session import Session
from .away import Away
from .connection import ServerConnection
from .namespace import Bound, Namespace

__all__ = ["Events"]

_RULES = {
    "max_attachments": whole(1),
    "max_waiting": whole(1),
    "max_waiting_size": whole(65_536),
    "attachment_timeout": number(0, above=True),
    "max_namespaces": whole(1),
}


class Events(Namespace):
    """Handlers of the events of one endpoint: `rt.endpoint("/chat", socketio="/socket.io")(events)`.

    Native clients come to the endpoint, by connect() and `session.events()`; those of Socket.IO to a path of their own,
    if `socketio` names one. Events() itself is the namespace "/".

    `max_attachments`: so many bytes objects may be in one event of a client. While a handler waits for the answer to a
    call, at most `max_waiting` events of `max_waiting_size` bytes together are kept for later; more end the session
    with 1008. An event with its attachments has at most `max_waiting_size` bytes, too, and they have to come within
    `attachment_timeout` seconds. A client is in `max_namespaces` at most.
    Raises TypeError for a value of the wrong type, and LocalProtocolError for one out of bounds.
    """

    def __init__(
        self,
        *,
        max_attachments: int = 64,
        max_waiting: int = 1024,
        max_waiting_size: int = 4_194_304,
        attachment_timeout: float = 30.0,
        max_namespaces: int = 16,
    ) -> None:
        given = {
            "max_attachments": max_attachments,
            "max_waiting": max_waiting,
            "max_waiting_size": max_waiting_size,
            "attachment_timeout": attachment_timeout,
            "max_namespaces": max_namespaces,
        }
        for name, rule in _RULES.items():
            check(name, given[name], rule)
        super().__init__("/", Bound())
        self._limits = Limits(max_attachments, max_waiting, max_waiting_size, attachment_timeout)
        self._max_namespaces = max_namespaces
        self._away: Away | None = None  # where clients may go on
        self._by_name: dict[str, Namespace] = {"/": self}
        self._by_rule: list[tuple[Callable[[str, dict[str, Any]], Awaitable[object]], Namespace]] = []

    def namespace(self, name: str | re.Pattern[str] | Callable[[str, dict[str, Any]], Awaitable[object]]) -> Namespace:
        """The namespace of this name, such as "/admin": clients may be in it from now on.

        Or all whose names a pattern matches as a whole, `re.compile("/game-[0-9]+")`, or which a coroutine function
        lets in that is asked with the name and the client's auth data: they have one set of handlers, and
        `.named("/game-7")` sends to one of them. Those with a name of their own come before these, which are asked in
        their order. Raises LocalProtocolError for what is no name, and TypeError for anything else.
        """
        if isinstance(name, str):
            check_namespace(name)
            if name not in self._by_name:
                self._by_name[name] = Namespace(name, self._bound)
            return self._by_name[name]
        if isinstance(name, re.Pattern):
            pattern = name

            async def matches(name: str, _: dict[str, Any]) -> bool:
                return pattern.fullmatch(name) is not None

            rule: Callable[[str, dict[str, Any]], Awaitable[object]] = matches
            shown = name.pattern
        elif callable(name):
            check_coroutine(name, "what lets in namespaces")
            check_takes(name, "what lets in namespaces", "the name", "the auth data")
            rule, shown = name, getattr(name, "__name__", type(name).__name__)
        else:
            raise TypeError(f"a namespace is a str, a pattern or a coroutine function, not {type(name).__name__}")
        many = Namespace(None, self._bound, shown)
        self._by_rule.append((rule, many))
        return many

    def _namespaces(self) -> list[Namespace]:
        """All of them: those with a name, and then those that stand for many."""
        return [*self._by_name.values(), *(namespace for _, namespace in self._by_rule)]

    async def _find(self, name: str, auth: dict[str, Any]) -> Namespace | None:
        """The namespace that a client asks for, if there is one."""
        found = self._by_name.get(name)
        if found is not None:
            return found
        for rule, namespace in self._by_rule:
            if await rule(name, auth):
                return namespace
        return None

    def _register(self, service: Service, path: str, options: SocketIO | None) -> None:
        """They are an endpoint's from here. Raises LocalProtocolError when they are another's."""
        if self._bound.hub is not None:
            raise LocalProtocolError(f"these events are the endpoint {self._bound.path!r}'s: make another Events()")
        self._bound.hub, self._bound.path = service.sessions.hub, path
        if options is not None:
            self._bound.connect_timeout = options.connect_timeout
            if options.recovery is not None:
                self._away = Away(options, options.recovery, service)
                service.sessions.handlers.absent.append(self._away)

    async def __call__(self, session: Session) -> None:
        """Handles the events of one session: what the server calls."""
        most, bound, away = self._max_namespaces, self._bound, self._away
        await ServerConnection(self._find, session, self._limits, most, bound, away).run()
