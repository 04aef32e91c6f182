"""The native protocol on one connection that carries frames both ways, from its first frame to its last."""

from __future__ import annotations

from collections.abc import Awaitable

from ..core.carrier import Link, NumberedCarrier
from ..core.errors import Refusal, RemoteProtocolError
from ..core.machine import FOREVER
from ..core.numbered_machine import NumberedMachine
from ..endpoint import Endpoint
from ..loops import at_once
from ..owners import Elsewhere
from ..protocols.native import NativeCodec, Open, Renewal, RequestHead, feed_server, parse_head, parse_open
from ..request import SessionRequest
from ..session import Session
from .base import Gone, Wait, wait
from .native import NativeGate, check_url, probed, tell

__all__ = ["NativeConnection"]

# The first characters that must not be ignored in front of the head.
HEADS_AND_NUMBERED = ("o", "r", "u", "m", "b", "c", "d", "")


class NativeConnection(NumberedCarrier):
    """See gates.base.Connection. The first frame opens a session or names one, unless the URL did (`opening`).

    Until then it is `silent`, for open_timeout at most. It is the session's carrier itself: every idle session has one.
    """

    __slots__ = (
        "_endpoint",
        "_gate",
        "_machine",
        "_now",
        "_opening",
        "_request",
        "_wait",
        "session",
        "silent",
        "wake_at",
    )

    def __init__(
        self,
        gate: NativeGate,
        request: SessionRequest,
        endpoint: Endpoint,
        codec: NativeCodec,
        link: Link,
        wait: Wait = wait,
        opening: Open | str | None = None,
    ) -> None:
        super().__init__(codec, link, gate.service.clock.now())
        self._gate = gate
        self._request = request
        self._endpoint = endpoint
        self._wait = wait
        self._opening = opening
        self._now = gate.service.clock.now
        self.wake_at: float = FOREVER  # when the sweep will look, while it is silent: see core.deadlines.Expiring
        self.session: Session | None = None  # as soon as it is known
        self._machine: NumberedMachine | None = None
        self.silent: bool = True  # nothing was said yet that a session could come of

    def connected(self) -> Awaitable[None] | None:
        """Takes the open that stood in the URL."""
        opening = self._opening
        if opening is None:
            self._gate.service.runtime.wake(self, self.started + self._endpoint.config.open_timeout)
            return None
        try:
            limit = self._endpoint.config.max_auth_size
            head = opening if isinstance(opening, Open) else parse_open(opening, limit)
            check_url(head)
        except RemoteProtocolError as error:
            self.refuse(Refusal(error.close_code, error.reason))
            return None
        return self._begin(head)

    def message(self, data: str | bytes) -> Awaitable[None] | None:
        """One frame."""
        machine = self._machine
        if machine is None:
            return self._first(data) if self.silent else None
        try:
            renewal = feed_server(machine, self, data, self._now())
        except RemoteProtocolError as error:
            self._failed(machine, error)
            return None
        return None if renewal is None else self._renew(renewal)

    def _first(self, frame: str | bytes) -> Awaitable[None] | None:
        """A frame before there is a session: its head, behind any probes."""
        if isinstance(frame, str) and frame[:1] not in HEADS_AND_NUMBERED:
            if frame[0] == "p" and self.link.writable:
                probed(self, frame)
            return None  # unnumbered frames that say nothing here, or that nobody knows yet
        try:
            head = parse_head(frame, self._endpoint.config.max_auth_size)
            if isinstance(head, RequestHead) and head.gen == 0:
                raise RemoteProtocolError(4400, "a WebSocket starts with o (open) or r (attach)")
        except RemoteProtocolError as error:
            self.refuse(Refusal(error.close_code, error.reason))
            return None
        return self._begin(head)

    def deadline(self) -> float:
        """Never again."""
        return FOREVER

    def expire(self, now: float) -> None:
        """Nothing was said in time."""
        if self.silent:
            timeout = self._endpoint.config.open_timeout
            self.refuse(Refusal(4408, f"no open or attach within open_timeout={timeout:g}"))

    def _spoken(self) -> None:
        self.silent = False
        self.wake_at = FOREVER  # what the sweep has noted is passed over

    @property
    def settled(self) -> bool:
        """Whether its session is known, or that there is none."""
        return self.session is not None or self.finished

    def _begin(self, head: Open | RequestHead) -> Awaitable[None] | None:
        """Takes up the session. Raises Elsewhere, when it is awaited, where another worker has it."""
        self.silent, self.wake_at = False, FOREVER  # _spoken(), without a call
        self.started = self.last_received = self._now()
        taking_up = self._take_up(head)
        service = self._gate.service
        # opens_at_once, without a call.
        here = service.admission.hook is None and service.sessions.owners is None and not self._endpoint.durable
        return at_once(taking_up) if here else taking_up

    async def _take_up(self, head: Open | RequestHead) -> None:
        try:
            if isinstance(head, Open):
                session = await self._gate.open(self._request, self._endpoint, self, head, self._wait)
            else:
                session = await self._gate.attach(self._request, self._endpoint, self, head)
        except Gone:
            self.finished = True
        except Elsewhere:
            raise
        except Refusal as refusal:
            self.refuse(refusal)
        except RemoteProtocolError as error:
            self.refuse(Refusal(error.close_code, error.reason))
        else:
            self.session, machine = session, session._machine
            if self.finished and not self.attached:
                return  # it came late, and nothing that it brings counts
            assert isinstance(machine, NumberedMachine)
            self._machine = machine
            if machine.carrier is not self and not self.finished:
                machine.retire(self)

    async def _renew(self, renewal: Renewal) -> None:
        session, machine = self.session, self._machine
        assert session is not None
        assert machine is not None
        try:
            await self._gate.renew(self._request, session, self, renewal)
        except RemoteProtocolError as error:
            self._failed(machine, error)
        except Refusal as refusal:
            if not self.finished:
                tell(self, refusal)
                machine.lost(self, self._now())

    def _failed(self, machine: NumberedMachine, error: RemoteProtocolError) -> None:
        machine.fail(error, self._now())
        if not self.finished and machine.outcome is not None:  # a durable session's end is told when it is stored
            tell(self, machine.refusal())

    def control(self) -> bool:
        """A ping or a pong has come, which is no sign of life: whatever stands in between may have sent it. Whether a
        ping is to be answered."""
        machine = self._machine
        if machine is None:
            return not self.finished
        try:
            machine.inbox.other(self._now())
        except RemoteProtocolError as error:
            self._failed(machine, error)
            return False
        return True

    def closed(self, code: int, reason: str) -> None:
        """The peer closes the connection: the session goes on."""

    def failed(self, code: int) -> None:
        """The connection was closed with this code, for what the peer sent."""
        machine = self._machine
        if machine is not None and code in (1007, 1009):  # which can never succeed, on no carrier
            machine.end(code, "text that is not UTF-8" if code == 1007 else "a message above max_size", self._now())

    def writable_again(self) -> None:
        """The link takes more."""
        if self._machine is not None:
            self._machine.listener.dirty()

    def refuse(self, refusal: Refusal) -> None:
        """Says why the connection carries nothing, and ends it."""
        self._spoken()
        self._gate.refuse(self, refusal)

    def lost(self) -> None:
        """The connection has ended."""
        self._spoken()
        machine = self._machine
        if machine is not None:
            if machine.carrier is self:
                self._gate.service.note_end(machine.sid, self.codec.name, self.started)
            machine.lost(self, self._now())
        self.finished = True
