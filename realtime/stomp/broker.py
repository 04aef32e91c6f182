"""What an endpoint's STOMP is registered at, which is its handler: destinations, hooks and limits."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from ..core.dialects import Dialect
from ..core.errors import LocalProtocolError
from ..core.settings import Rule, check, having, instance, number, shown, texts, whole
from ..endpoint import Endpoint, check_coroutine, check_takes
from ..hub import Hub
from ..loops import ends, gives_way
from ..protocols.dialects import speaking
from ..protocols.layers.stomp.conversation import Limits
from ..protocols.layers.stomp.handshake import HeartBeat
from ..protocols.layers.stomp.messages import SERVERS
from ..session import Session
from .bound import Bound, Called, Handler, Sizes, StompClient
from .connection import StompConnection
from .destinations import Kind, Template, kind_of
from .messages import body_of
from .port import Port
from .queues import MemoryQueues, Queues
from .shared_queues import SharedQueues

__all__ = ["STOMP"]

log: logging.Logger = logging.getLogger("realtime.server")

C = TypeVar("C", bound=Called)
X = TypeVar("X", bound=Callable[[StompClient], Awaitable[str | None]])
W = TypeVar("W", bound=Callable[[StompClient, str, str], Awaitable[bool]])

# What is agreed on with bare WebSockets, first choice first.
SUBPROTOCOLS = ("v12.stomp", "v11.stomp", "v10.stomp")


def _is_address(value: object) -> bool:
    return (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int)
        and not isinstance(value[1], bool)
    )


_HEADERS = texts().or_none("none")
_SECONDS = number(0, 3600)  # milliseconds, as other servers have them, would be hours, and no heart-beats at all

_RULES: dict[str, Rule] = {
    "tcp": Rule(
        'a host and a port such as ("127.0.0.1", 61613)', _is_address, lambda value: 0 <= value[1] < 65_536
    ).or_none("no port"),
    "tls": instance("an ssl.SSLContext", ssl.SSLContext).or_none("none"),
    "heart_beat": Rule(
        "two numbers of seconds, each from 0 to 3,600",
        lambda value: isinstance(value, (tuple, list)) and len(value) == 2 and all(map(_SECONDS.is_type, value)),
        lambda value: all(map(_SECONDS.fits, value)),
    ),
    "max_headers": whole(8),
    "max_header_size": whole(1024),
    "max_body_size": whole(1),
    "max_subscriptions": whole(1),
    "max_unacknowledged": whole(1),
    "max_transactions": whole(1),
    "max_transaction_size": whole(1),
    "max_queues": whole(1),
    "max_queue_messages": whole(1),
    "max_queue_size": whole(1),
    "max_deliveries": whole(1).or_none("no limit"),
    "dead_letters": instance('a destination such as "/queue/dead"', str).or_none("none"),
    "ack_timeout": number(0, above=True).or_none("none"),
    "connect_timeout": number(0, above=True),
    "queues": having("settle", "what has the methods of realtime.stomp.queues.Queues", text=False).or_none("in memory"),
}


class STOMP:
    """STOMP 1.0 to 1.2 at one endpoint: `rt.endpoint("/stomp")(stomp)`, and at a TCP port.

    "/topic/…" are the server's rooms by that name, "/queue/…" give each message to one of their subscribers, "/app/…"
    are handlers (see on()), and "/user/…" is what is sent to one identity alone (docs/stomp.md).

    `tcp` is the address of a port for clients that speak STOMP over TCP, such as ("127.0.0.1", 61613), with port 0 for
    any that is free (see `addresses`), and `tls` its ssl.SSLContext. It is open while the application runs. Its clients
    come to the authorize hook with `request.auth = {"login": …, "passcode": …}`. `heart_beat`: every so many seconds
    the server can send something, and wants to hear something; 0 for never.

    A frame has `max_headers` headers, `max_header_size` bytes in front of its body and `max_body_size` in that. A
    client has `max_subscriptions`, `max_unacknowledged` messages that it has not acknowledged, and
    `max_transactions` with `max_transaction_size` bytes in all of them. Its CONNECT comes within `connect_timeout`
    seconds. Each of these is answered by an ERROR, and the end of the session.

    A queue has `max_queue_messages`; who sends more gets an ERROR. Without a broker they are in this process's memory:
    `max_queues`, and `max_queue_size` bytes in all. With one they are those of all workers. A message that is not
    acknowledged within `ack_timeout` seconds is given again. One that was given `max_deliveries` times, and nobody has
    taken, goes to the queue `dead_letters`, or is dropped. `queues` is where they are kept instead
    (realtime/stomp/queues.py). Raises TypeError for a value of the wrong type, and LocalProtocolError for one out of
    bounds.
    """

    def __init__(
        self,
        *,
        tcp: tuple[str, int] | None = None,
        tls: ssl.SSLContext | None = None,
        heart_beat: tuple[float, float] = (10.0, 10.0),
        max_headers: int = 64,
        max_header_size: int = 16_384,
        max_body_size: int = 1_000_000,
        max_subscriptions: int = 256,
        max_unacknowledged: int = 1024,
        max_transactions: int = 16,
        max_transaction_size: int = 1_048_576,
        max_queues: int = 10_000,
        max_queue_messages: int = 10_000,
        max_queue_size: int = 67_108_864,
        max_deliveries: int | None = 16,
        dead_letters: str | None = None,
        ack_timeout: float | None = 60.0,
        connect_timeout: float = 10.0,
        queues: Queues | None = None,
    ) -> None:
        given = {
            "tcp": tcp,
            "tls": tls,
            "heart_beat": heart_beat,
            "max_headers": max_headers,
            "max_header_size": max_header_size,
            "max_body_size": max_body_size,
            "max_subscriptions": max_subscriptions,
            "max_unacknowledged": max_unacknowledged,
            "max_transactions": max_transactions,
            "max_transaction_size": max_transaction_size,
            "max_queues": max_queues,
            "max_queue_messages": max_queue_messages,
            "max_queue_size": max_queue_size,
            "max_deliveries": max_deliveries,
            "dead_letters": dead_letters,
            "ack_timeout": ack_timeout,
            "connect_timeout": connect_timeout,
            "queues": queues,
        }
        for name, rule in _RULES.items():
            check(name, given[name], rule)
        if dead_letters is not None:
            try:
                kind = kind_of(dead_letters)
            except LocalProtocolError as error:
                raise LocalProtocolError(f"dead_letters={shown(dead_letters)}: {error}") from None
            if kind is not Kind.QUEUE:
                raise LocalProtocolError(
                    f'dead_letters={shown(dead_letters)}: takes the destination of a queue, such as "/queue/dead"'
                )
        if tls is not None and tcp is None:
            raise LocalProtocolError("tls is for the TCP port: give tcp=(host, port) as well")
        can, wants = heart_beat
        self._bound = Bound(
            Limits(max_subscriptions, max_unacknowledged, max_transactions, max_transaction_size),
            Sizes(max_headers, max_header_size, max_body_size, connect_timeout, ack_timeout),
            HeartBeat(round(can * 1000), round(wants * 1000)),
        )
        self._queues = queues
        self._max_queues = max_queues
        self._max_queue_size = max_queue_size
        self._keeping: dict[str, Any] = {
            "max_messages": max_queue_messages,
            "max_attempts": max_deliveries,
            "dead_letters": dead_letters,
        }
        self._port = None if tcp is None else Port(tcp[0], tcp[1], tls, self._bound.sizes)

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Where the TCP port listens: hosts and ports, while the application runs."""
        return () if self._port is None else tuple(self._port.addresses)

    # -- what applications register ------------------------------------------------------------------------------------

    def on(self, destination: str, *, reply: str | None = None) -> Callable[[C], C]:
        """Registers the handler of what clients send to a destination: `@stomp.on("/app/greet")`.

        A coroutine function that is given the StompClient and the StompMessage. In the destination "{name}" stands for
        any text without a slash, and is in `message.params`. What it returns, unless that is None, is sent to the
        destination that the client has named in `reply-to`, or else to `reply`: text for a str, bytes as they are, JSON
        for anything else. A reply to "/user/…" goes to the client's own identity, or to its session where it has none.
        The client's next frame is taken when it has returned. If it raises realtime.Unauthorized or
        realtime.EventError, the client is told in an ERROR, and its session ends; of anything else it is told that the
        server has failed.

        Raises LocalProtocolError for a destination that does not begin with "/app/", or that has a handler, and
        TypeError for a handler that is no coroutine function.
        """
        template = Template(destination)
        if reply is not None and kind_of(reply) is Kind.APP:
            raise LocalProtocolError(f"a reply goes to a topic, a queue or a user, not to {reply!r}")

        def register(function: C) -> C:
            check_coroutine(function, f"the handler of {destination!r}")
            check_takes(function, f"the handler of {destination!r}", "the client", "the message")
            self._bound.add(Handler(template, function, reply))
            return function

        return register

    def connect(self, hook: X) -> X:
        """Registers the coroutine that is asked when a client's CONNECT has come, with the StompClient.

        It looks at `client.login` and `client.passcode`, and returns an identity, which is `client.identity` from then
        on, None to leave that as it is, or raises realtime.Unauthorized. The server's authorize hook has been asked
        before. Raises TypeError for a hook that is no coroutine function.
        """
        check_coroutine(hook, "the connect hook")
        check_takes(hook, "the connect hook", "the client")
        self._bound.connect = hook
        return hook

    def allow(self, hook: W) -> W:
        """Registers the coroutine that is asked about each SUBSCRIBE and each SEND: `hook(client, action, destination)`
        with "subscribe" or "send".

        Where it returns what is false, or raises realtime.Unauthorized, the client gets an ERROR, and its session ends.
        Without a hook clients may do all but send to "/user/…". Raises TypeError for a hook that is no coroutine
        function.
        """
        check_coroutine(hook, "the allow hook")
        check_takes(hook, "the allow hook", "the client", "the action", "the destination")
        self._bound.allow = hook
        return hook

    @gives_way
    async def send(self, destination: str, message: Any, *, headers: Mapping[str, str] | None = None) -> None:
        """Sends to a topic, a queue, or one identity ("/user/ada/queue/news", the identity percent-encoded).

        The message is text for a str, bytes as they are, JSON for anything else; `headers` are told to STOMP's clients,
        and a "content-type" among them in place of the usual one. Raises LocalProtocolError for any other destination,
        for headers that the server itself says, and where the queue is full, TypeError for what is no JSON and for
        headers that are no text, and BrokerError.
        """
        check("headers", headers, _HEADERS)
        if taken := SERVERS.intersection(headers or ()):
            raise LocalProtocolError(f"headers: what the server itself says of a message is {', '.join(sorted(taken))}")
        body, kind = body_of(message)
        self._bound.rooms.check()
        await self._bound.publish(destination, {"content-type": kind, **(headers or {})}, body)

    # -- what the server calls -----------------------------------------------------------------------------------------

    def _dialects(self, spoken: Sequence[Dialect]) -> tuple[Dialect, ...]:
        """What the endpoint speaks: bare WebSockets agree on STOMP's sub-protocols, unless others are named."""
        return speaking(spoken, SUBPROTOCOLS)

    def _register(self, hub: Hub, endpoint: Endpoint, *, shared: bool) -> Port | None:
        """It is an endpoint's from here; the port that is to be opened for it. Its queues are those of all workers
        where there is a broker (`shared`). Raises LocalProtocolError when it is another's."""
        bound = self._bound
        if bound.hub is not None:
            raise LocalProtocolError(f"this STOMP is the endpoint {bound.path!r}'s: make another STOMP()")
        bound.hub, bound.path = hub, endpoint.path
        if self._queues is not None:
            bound.kept = self._queues
        elif shared:
            bound.kept = SharedQueues(hub, **self._keeping)
        else:
            bound.kept = MemoryQueues(max_queues=self._max_queues, max_size=self._max_queue_size, **self._keeping)
        return self._port

    async def _close(self) -> None:
        """The server shuts down, and the sessions have ended."""
        try:
            await self._bound.queues.close()
        except BaseException as raised:
            if ends(raised):
                raise
            log.exception("the queues of the endpoint %r raised when they were closed", self._bound.path)

    async def __call__(self, session: Session) -> None:
        """Speaks with the client of one session: what the server calls."""
        await StompConnection(self._bound, session).run()
