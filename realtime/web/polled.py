"""A keep-alive connection on which a client polls: its usual requests are answered without aiohttp's machinery.

Once a usual poll or send was answered there, a PolledConnection stands between the transport and aiohttp. It parses no
HTTP. It knows heads of requests, byte for byte, that aiohttp has read on this very connection and our routes have
answered in the usual way; a request with such a head, whose body is all that comes with it, goes to the gate at once.
Whatever else comes goes to aiohttp as it came, to a handler that is made for it where there is none: so there is one
parser of HTTP, and nobody to disagree with it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from ..clock import CATCHING_UP, STOOD_STILL
from ..core.carrier import NumberedCarrier, Part
from ..core.errors import Refusal, RemoteProtocolError
from ..endpoint import Endpoint
from ..gates.native import NativeGate
from ..loops import run
from ..request import SessionRequest
from ..session import Session
from ..transports import Frame
from .answers import HEAD, closing_lines, laid_out
from .links import NoLink
from .refusals import told
from .replies import Reply
from .takeover import InFront, detach

__all__ = ["HeldAnswer", "Known", "PolledConnection", "head_of"]

# A connection's known heads: how many, and of how many bytes at most each.
HEADS = 4
HEAD_SIZE = 4096
# So many bytes of a connection are kept here while a request is under way, or until it is whole.
MOST_BEHIND = 65_536
# A piece that aiohttp was given, of so many bytes at most, is remembered until the next but one.
MOST_PASSED = 8192
# How long the rest of a body may take to follow its head before aiohttp is to wait for it, in seconds.
PATIENCE = 0.1
# A request that is not known counts so much, one that is takes one off: at the limit a connection is left to aiohttp.
MISS = 4
MOST_MISSES = 32
# With these a request is not only what its head and its length say.
UNUSUAL = frozenset((b"transfer-encoding", b"content-encoding", b"expect", b"upgrade", b"trailer", b"http2-settings"))
NO_LINK = NoLink()


class Known(NamedTuple):
    """A head that is known: what stands before the digits of its Content-Length, and behind; and what follows."""

    before: bytes
    behind: bytes
    endpoint: Endpoint
    sends: bool  # or it polls
    facts: SessionRequest
    reply: Reply
    lines: bytes  # the headers of the answer


def head_of(request: web.Request) -> tuple[bytes, bytes, bytes] | None:
    """The head of a request as it has to be written to be this request and no other: before the digits of its
    Content-Length, these, and behind. None where there is anything else to it than the head and so many bytes."""
    said = f"{request.method} {request.raw_path} HTTP/1.1\r\n".encode("utf-8", "surrogateescape")
    before = digits = None
    for name, value in request.raw_headers:
        kind = name.lower()
        if kind in UNUSUAL or (kind == b"connection" and value.lower() != b"keep-alive"):
            return None
        if kind != b"content-length":
            said += b"%b: %b\r\n" % (name, value)
        elif before is None:
            before, digits, said = b"%b%b: " % (said, name), value, b"\r\n"
        else:
            return None
    if before is None or digits is None or len(before) + len(said) > HEAD_SIZE:
        return None
    return before, digits, said + b"\r\n"


class Answering(Protocol):
    """Whoever has these connections: see straight."""

    @property
    def gate(self) -> NativeGate:
        """To which requests go."""

    @property
    def now(self) -> Callable[[], float]:
        """The time, in seconds."""

    def frames(self, known: Known, body: bytes, /) -> list[Frame] | None:
        """What a body says, if it is the usual. Nothing has changed by then."""

    def lost(self, held: HeldAnswer, /) -> None:
        """A poll that was held is not answered, or its session has not let it go."""

    def over(self, connection: PolledConnection, /) -> None:
        """A connection is gone, or aiohttp's alone."""

    def handler(self, server: web.Server, /, *, for_good: bool) -> RequestHandler:
        """A handler of aiohttp's for a connection that has none; perhaps for all that will come on it."""


class HeldAnswer:
    """The link of one poll that is answered straight: one write, then the end."""

    __slots__ = ("_connection", "body", "carrier", "known", "session")

    writable = True

    def __init__(self, connection: PolledConnection, known: Known) -> None:
        self._connection = connection
        self.body: bytes | None = b""  # None: it was answered
        self.known = known
        self.carrier: NumberedCarrier
        self.session: Session | None = None  # from when it is held

    @property
    def transport(self) -> asyncio.Transport:
        """asyncio's end of the connection."""
        return self._connection.transport

    def write(self, buffers: Sequence[Part]) -> None:
        """Takes the body."""
        self.body = b"".join(buffers)  # type: ignore[arg-type] # batches are bytes

    def close(self, code: int, reason: str) -> None:
        """Lets the answer go, as soon as it is known what it says."""
        if self.session is not None and self.body is not None:
            body, self.body = self.body, None
            self._connection.answer_held(self, self.session, body)

    def abort(self) -> None:
        """Ends the poll with an empty answer; the client notices silence by itself."""
        self.close(4408, "")


class PolledConnection(InFront):
    """The protocol of a connection's transport, with aiohttp's behind it while anything is there for that."""

    __slots__ = (
        "_behind",
        "_expiry",
        "_keep_alive",
        "_known",
        "_loop",
        "_misses",
        "_part",
        "_passed",
        "_reading",
        "_rested",
        "_server",
        "_under_way",
        "_writable",
        "handler",
        "straight",
        "transport",
    )

    def __init__(self, straight: Answering, transport: asyncio.Transport, handler: RequestHandler) -> None:
        assert handler._manager is not None  # until the connection is lost
        self._loop = asyncio.get_running_loop()
        self.straight: Answering = straight
        self._server = handler._manager
        self._keep_alive = handler.keepalive_timeout
        self.transport: asyncio.Transport = transport
        self.handler: RequestHandler | None = handler  # None: aiohttp has nothing of this connection
        self._known: tuple[Known, ...] = ()
        self._passed = (b"", b"")  # the last that went to the handler
        self._behind = b""  # what has come and waits
        self._under_way: HeldAnswer | None = None  # a poll that is held
        self._part: asyncio.TimerHandle | None = None  # the rest of a body is waited for
        self._expiry: asyncio.TimerHandle | None = None  # looks whether it has rested for too long
        self._rested = 0.0  # since when
        self._misses = 0
        self._reading = True
        self._writable = True

    # -- what asyncio's transport tells ------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """What has come."""
        handler = self.handler
        if handler is not None:
            if self._misses < MOST_MISSES:
                self._passed = self._passed[1], data if len(data) <= MOST_PASSED else b""
            handler.data_received(data)
        elif self._under_way is None and self._writable:
            self._take(self._whole(data) if self._behind else data)
        else:
            self._keep(data)

    def eof_received(self) -> None:
        """The peer sends nothing more: the transport closes, as with aiohttp's."""

    def pause_writing(self) -> None:
        """The peer does not read its answers: it gets no further one."""
        if self.handler is not None:
            self.handler.pause_writing()
        self._writable = False

    def resume_writing(self) -> None:
        """It does."""
        self._writable = True
        if self.handler is not None:
            self.handler.resume_writing()
        else:
            self._rest()
            self._go_on()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone, and with it the poll that was held."""
        self.straight.over(self)
        self._stop_timers()
        self._behind = b""
        handler, self.handler = self.handler, None
        if handler is not None:
            handler.connection_lost(error)
        elif (held := self._under_way) is not None:
            self._under_way = held.body = None
            self.straight.lost(held)

    # -- what comes for nobody yet -----------------------------------------------------------------------------------

    def _whole(self, data: bytes) -> bytes:
        """What had come, and this."""
        behind, self._behind = self._behind, b""
        return behind + data if behind else data

    def _keep(self, data: bytes) -> None:
        """Something is under way: this waits."""
        self._behind += data
        if len(self._behind) >= MOST_BEHIND and self._reading:
            self._reading = False
            self.transport.pause_reading()

    def _go_on(self) -> None:
        """Nothing is under way any more: what waited is taken."""
        if self._under_way is not None or self.handler is not None or not self._writable:
            return  # whoever ends that goes on
        self._read_on()
        if self._behind and self._part is None and not self.transport.is_closing():
            self._take(self._whole(b""))

    def _read_on(self) -> None:
        if not self._reading:
            self._reading = True
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def _take(self, data: bytes) -> None:
        """Answers a request that is known; anything else is aiohttp's."""
        for known in self._known:
            if data.startswith(known.before):
                at = len(known.before)
                end = data.find(b"\r", at, at + 8)
                digits = data[at:end]
                if not digits.isdigit() or digits[0] == 48 or not data.startswith(known.behind, end):
                    continue
                body = data[end + len(known.behind) :]
                missing = int(digits) - len(body)
                if not missing and (frames := self.straight.frames(known, body)) is not None:
                    if self._part is not None:
                        self._part.cancel()
                        self._part = None
                    self._serve(known, frames)
                    return
                if missing > 0 and len(data) + missing <= MOST_BEHIND:
                    self._behind = data
                    if self._part is None:  # which counts from the first part on
                        self._part = self._loop.call_later(PATIENCE, self._hand_back_part)
                    return
                break
        self._hand_back(data)

    def _hand_back_part(self) -> None:
        if not self.transport.is_closing():  # since this turn of the loop: the next one tells that it is lost
            self._hand_back(self._whole(b""))

    def _hand_back(self, data: bytes) -> None:
        """Gives to aiohttp what has come."""
        self._stop_timers()
        self._read_on()
        self._misses += MISS
        self._passed = b"", data if len(data) <= MOST_PASSED else b""
        if not self.may_serve:
            self._known, self._passed = (), (b"", b"")
        handler = self.handler = self.straight.handler(self._server, for_good=not self.may_serve)
        handler.connection_made(self.transport)
        handler.data_received(data)

    # -- taking a connection from aiohttp ----------------------------------------------------------------------------

    @property
    def may_serve(self) -> bool:
        """Whether it is not left to aiohttp for good."""
        return self._misses < MOST_MISSES

    def knows(self, known: Known) -> None:
        """A usual request with this head was answered."""
        others = [other for other in self._known if other[:2] != known[:2]]
        self._known = (known, *others[: HEADS - 1])

    def between(self, whole: bytes, size: int) -> bool:
        """Whether aiohttp has read a request with this head and a body of that size, and nothing behind it: then it
        stands between two requests, and what comes next is one from its start.

        It does where the request is all that came last. Had it begun before that, or behind its beginning, then its
        head would have more lines than were read, or fewer, or another first one.
        """
        handler = self.handler
        assert handler is not None
        if handler._messages or handler._reading_paused or handler._buffer_paused or handler.writing_paused:
            return False
        (before, last), self._passed = self._passed, (b"", b"")
        size += len(whole)
        return (len(last) == size and last.startswith(whole)) or (
            len(before) + len(last) == size and (before + last).startswith(whole)
        )

    def take_over(self, request: web.Request) -> None:
        """Takes the connection from aiohttp, of which this was the last request there."""
        detach(request)
        self.handler, self._passed = None, (b"", b"")
        self._rest()

    def hold(self, known: Known, carrier: NumberedCarrier, session: Session) -> None:
        """A poll that aiohttp has read is answered here, when it is due."""
        held = self._under_way = HeldAnswer(self, known)
        held.carrier, held.session, carrier.link = carrier, session, held

    # -- answering ---------------------------------------------------------------------------------------------------

    def _serve(self, known: Known, frames: list[Frame]) -> None:
        """Answers one request, by the gate, which has nobody to wait for."""
        if self._misses:
            self._misses -= 1
        self._server.requests_count += 1
        codec, gate, now = known.reply.codec, self.straight.gate, self.straight.now()
        try:
            if known.sends:
                carrier = NumberedCarrier(codec, NO_LINK, now)
                status, parts = run(gate.send(known.facts, known.endpoint, carrier, frames))
                body = codec.wrap(parts)[0]
            else:
                held = HeldAnswer(self, known)
                held.carrier = carrier = NumberedCarrier(codec, held, now)
                session, _, status = run(gate.begin(known.facts, known.endpoint, carrier, frames))
                if not carrier.finished:
                    held.session, self._under_way = session, held
                    return
                session._polled = self.transport
                body, held.body = held.body or b"", None
            self._write(status, known.lines, body)
        except (Refusal, RemoteProtocolError) as why:
            status, body, more = told(gate.service, why, known.reply)
            self._write(status, known.lines + more, body)
        except Exception as error:
            context = {"message": "a poll or a send failed", "exception": error, "transport": self.transport}
            self._loop.call_exception_handler(context)
            self.transport.abort()

    def answer_held(self, held: HeldAnswer, session: Session, body: bytes) -> None:
        """The poll that was held is answered."""
        self._under_way = None
        session._polled = self.transport
        if not held.carrier.finished:
            self.straight.lost(held)
        self._write(200, held.known.lines, body)
        if self._behind or not self._reading:
            self._loop.call_soon(self._go_on)

    def _write(self, status: int, lines: bytes, body: Part) -> None:
        if not self.transport.is_closing():
            assert isinstance(body, bytes)
            # laid_out(), without a call, as it usually is.
            usual = HEAD % (lines, len(body), closing_lines(int(time.time()))) + body if status == 200 else None
            self.transport.write(usual or laid_out(status, lines, body))
        self._rested = self._loop.time()
        if self._expiry is None:
            self._rest()  # for the first time, or since long

    # -- how long it may rest ----------------------------------------------------------------------------------------

    def _rest(self) -> None:
        """It rests from now on."""
        self._rested = self._loop.time()
        if self._expiry is None:
            self._expire_at(self._rested + self._keep_alive)

    def _expire_at(self, when: float) -> None:
        self._expiry = self._loop.call_at(when, self._expire, when)

    def _expire(self, due: float) -> None:
        self._expiry = None
        if self._under_way is None and self._writable and not self._behind:
            now, until = self._loop.time(), self._rested + self._keep_alive
            if now < until:
                self._expire_at(until)
            elif now - due > STOOD_STILL:  # a request may lie unread
                self._expire_at(now + CATCHING_UP)
            else:
                self.transport.close()

    def _stop_timers(self) -> None:
        for timer in (self._part, self._expiry):
            if timer is not None:
                timer.cancel()
        self._part = self._expiry = None

    def end(self) -> None:
        """The application has shut down, and told its sessions: nothing more is answered here."""
        if self.handler is None:
            self._stop_timers()
            self.transport.close()

    def step_aside(self) -> None:
        """aiohttp's handler, if there is one, has the connection to itself."""
        if self.handler is not None:
            self.transport.set_protocol(self.handler)
            self.straight.over(self)
