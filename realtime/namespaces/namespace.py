"""One namespace at the server: who handles its events, and what is sent to all in it. Knows no connections."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import count
from typing import Any, ParamSpec, TypeVar

from ..core.errors import LocalProtocolError
from ..endpoint import check_coroutine, check_takes
from ..events.listeners import Listeners, check_named
from ..hub import Hub, Receiver
from ..protocols.layers.socketio.packets import check_namespace
from .emitted import Emission, Emitted, maker
from .rooms import EventRoom, event_group, everybody, room_name

__all__ = ["Bound", "Namespace"]

H = TypeVar("H", bound=Callable[..., Any])
M = TypeVar("M", bound=Callable[..., Awaitable[Any]])
P = ParamSpec("P")


class Bound:
    """Where the Events of some namespaces are registered, once they are."""

    def __init__(self) -> None:
        self.hub: Hub | None = None
        self.path: str = ""
        self.connect_timeout: float = 45.0
        # Of the calls of Socket.IO's clients, which may answer in another session than they were asked in, or at
        # another worker.
        self.numbers: Iterator[int] = count(secrets.randbelow(2**31))

    def rooms(self) -> Hub:
        """The server's rooms. Raises LocalProtocolError where there is no server."""
        if self.hub is None:
            raise LocalProtocolError('register the events first: rt.endpoint("/chat")(events)')
        return self.hub


class Namespace:
    """A part of an endpoint's events, in which clients are apart from those in other parts:
    `events.namespace("/admin")` is one, and Events itself is "/"."""

    def __init__(self, name: str | None, bound: Bound, rule: str = "") -> None:
        self._name = name
        self._rule = rule  # which names it stands for, if for many
        self._bound = bound
        self._listeners = Listeners(1, {"connect": 1, "disconnect": 1})
        self._middlewares: list[Callable[..., Awaitable[Any]]] = []
        self._emitted: Emitted = {}

    @property
    def name(self) -> str:
        """Its name, such as "/admin". Raises LocalProtocolError for one that stands for many (see named())."""
        if self._name is None:
            raise LocalProtocolError("this stands for many namespaces: name one, by .named('/some-name')")
        return self._name

    def on(self, event: str, *, concurrent: int = 1) -> Callable[[H], H]:
        """Registers the handler of an event: a function, which is called at once, or a coroutine function.

        It is given the EventSession and the event's arguments. What it returns is the acknowledgement, if the client
        wants one: a tuple is several values, None is none. If it raises EventError, the ack tells that; if it raises
        anything else, the ack tells that it failed, and the error is logged.

        An event with other arguments than it takes is not given to it: the ack says why. What it takes say its
        annotations: str, int, float, bool, bytes, None, Any, list, dict, tuple, Literal, unions and classes of these
        (dataclasses, TypedDicts, enumerations, msgspec's Structs, pydantic's models), which are made of objects.

        Events of one client are handled one after the other, in all its namespaces, and the next waits for a coroutine
        to return. With `concurrent` the next need not wait, until so many of this handler run for this client.

        "connect" is told when a client comes in, with what it gave as auth data (any JSON object; {} where it gave
        none): raise realtime.Unauthorized, with `data` if you like, to refuse it. "disconnect" is told with the reason
        when it has gone. Both may leave out that argument. "*" takes what has no handler of its own, with the event's
        name in front of its arguments.

        Raises LocalProtocolError for an event that has a handler already, and TypeError for what is no handler, and for
        an annotation that no argument can be held against.
        """

        check_named(event, "on")

        def register(handler: H) -> H:
            self._listeners.add(event, handler, concurrent)
            return handler

        return register

    def use(self, middleware: M) -> M:
        """Puts a coroutine function around all handlers of this namespace, "connect" among them: behind those that
        were put there before.

        It is called with the EventSession, the event, the list of its arguments, which it may change, and a coroutine
        function that goes on to the handler: `return await proceed()`. What it returns is the acknowledgement, and what
        it raises is taken as if the handler had. Raises TypeError for what is no coroutine function.
        """
        check_coroutine(middleware, "a middleware")
        check_takes(middleware, "a middleware", "the session", "the event", "its arguments", "what goes on")
        self._middlewares.append(middleware)
        return middleware

    def emits(self, event: str) -> Callable[[Callable[P, object]], Callable[P, Emission]]:
        """Declares an event that the server sends, by a function that has its arguments, and returns what a client
        answers to a call. The function is never called. What it becomes makes the event, its name and arguments, for
        any emit() or call(), and type checkers hold these against the declaration: `await events.emit(*said("hello"))`.

        `realtime types` tells pages of the events that are declared; while none is, any may come. Nothing is checked
        when an event is sent.

        Raises LocalProtocolError for an event that is declared already, or that nobody can send, and TypeError for what
        is no such function.
        """

        check_named(event, "emits")

        def declare(function: Callable[P, object]) -> Callable[P, Emission]:
            return maker(self._emitted, event, function)

        return declare

    async def emit(
        self,
        event: str,
        *args: Any,
        skip: Receiver | str | Iterable[Receiver | str] = (),
        volatile: bool = False,
    ) -> str:
        """Sends an event to everyone in the namespace, at all workers, but `skip`: see EventRoom.emit()."""
        name = self.name
        try:
            room = self._bound.rooms().room(everybody(name, self._bound.path))
            return await room._send(event_group(name, event, args, volatile=volatile), skip)
        except Exception:
            await asyncio.sleep(0)  # gives_way(), without a coroutine of its own
            raise

    def room(self, name: str) -> EventRoom:
        """A room of this namespace: `await events.room("lobby").emit("message", "hello")`."""
        full = room_name(self.name, name)
        return EventRoom(self._bound.rooms().room(full), self.name, name)

    def named(self, name: str) -> Namespace:
        """Of many namespaces that have the same handlers the one of this name, to send to. Raises TypeError and
        LocalProtocolError for what is no name."""
        check_namespace(name)
        one = Namespace(name, self._bound)
        one._listeners, one._middlewares, one._emitted = self._listeners, self._middlewares, self._emitted
        return one

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name or 'of many names'}>"
