"""The native protocol's gate: what a client said first and a carrier in, a session out, and frames fed to it.

Every order of steps of docs/protocol.md §3 to §9 that takes a client, a session and a carrier stands here, and in
nothing that knows a socket: a carrier may be aiohttp's, another library's, or another worker's. What a gate asks of it
is a Link, and the facts of its request.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hmac import compare_digest
from operator import itemgetter
from typing import NamedTuple

from ..admission import Admission
from ..core.addresses import address_key
from ..core.carrier import NumberedCarrier, Part, Shape
from ..core.config import Config
from ..core.errors import Refusal, RemoteProtocolError
from ..core.numbered_machine import NumberedMachine
from ..core.proof import ATTACH, SEND, Proof
from ..endpoint import Endpoint, no_endpoint
from ..protocols.native import (
    RENEWED,
    NativeCodec,
    Open,
    Renewal,
    RequestHead,
    feed_server,
    is_text,
    opened_frame,
    parse_head,
    parse_renewal,
    refusal_frame,
    ticket_frame,
    ticket_frames,
    verdicts,
)
from ..request import SessionRequest
from ..service import Service
from ..session import Session
from ..transports import Frame
from .base import Wait, wait
from .durable import allows, answerable, check_key, greeted, late, renewed, settled
from .openings import Openings
from .origins import RAW_SIGNS, asker

__all__ = ["Begun", "NativeGate", "check_url", "is_probe", "machine_of", "probed", "tell"]

# The first character of a frame, and those of the wishes for tickets.
KIND = itemgetter(slice(0, 1))
WISHES = frozenset((ATTACH, SEND))
# Where auth data stand in a URL.
NO_AUTH_HERE = "auth data do not belong in a URL, which is logged: send them by POST, a form, or a WebSocket's frame"
NO_CURSORS_HERE = "cursors do not belong in a URL: open by POST, a form, or a WebSocket's frame"


class Begun(NamedTuple):
    """The result of begin(): the session that a request has opened or attached to."""

    session: Session
    superseded: bool  # a newer carrier was there: what this one brought counts, and nothing is to be written on it
    status: int  # to answer with, where its client reads one


def machine_of(session: Session) -> NumberedMachine:
    """The machine of a session that was found or opened here."""
    machine = session._machine
    assert isinstance(machine, NumberedMachine)
    return machine


def is_probe(frame: Frame) -> bool:
    """Whether this, the first frame of a stream, only asks whether streams get through."""
    return frame[:1] == "p"


def probed(carrier: NumberedCarrier, frame: Frame) -> None:
    """Answers a probe, on a connection that carries nothing yet."""
    payload = frame[1:65]
    carrier.write([carrier.codec.pong(payload if isinstance(payload, str) and is_text(payload) else "")])


class NativeGate:
    """The order of steps for every carrier of the native protocol, independent of the HTTP library."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._now = service.clock.now
        self._openings = Openings(service)

    # -- requests --------------------------------------------------------------------------------------------------

    async def begin(
        self,
        request: SessionRequest,
        endpoint: Endpoint,
        carrier: NumberedCarrier,
        frames: Sequence[Frame],
        wait: Wait = wait,
    ) -> Begun:
        """A poll or a stream: opens a session or attaches to one, and feeds what came behind the head.

        Whoever serves the request calls lost() when its connection is gone, and in any case when it has ended. Of a
        carrier that is superseded a POST is told so here; a GET that reads an event stream is best answered with 204.
        Raises Refusal, RemoteProtocolError, and Gone for an open whose client did not wait for it.
        """
        head = parse_head(frames[0], endpoint.config.max_auth_size)
        if request.method == "GET":
            check_url(head)
        if isinstance(head, RequestHead) and head.gen == 0:
            starts = "poll starts with o or r" if carrier.codec.shape is Shape.POLL else "stream starts with o, r or p"
            raise RemoteProtocolError(4400, f"u is for send; a {starts}")
        behind = frames[1:]
        if isinstance(head, Open):
            session = await self.open(request, endpoint, carrier, head, wait)
        else:
            session = await self.attach(request, endpoint, carrier, head, behind)
        if endpoint.durable and carrier.finished and not carrier.attached:
            return Begun(session, True, 200)  # it came late, and nothing that it brings counts
        machine = session._machine
        assert isinstance(machine, NumberedMachine)
        superseded = machine.carrier is not carrier
        status = 200
        if behind or machine.outcome is not None:
            try:
                status = await self._feed(request, machine, session, carrier, behind)
                if endpoint.durable:
                    await answerable(session)
                if status != 200 and carrier.codec.shape is Shape.STREAM:
                    raise machine.refusal()
            except BaseException:
                self.lost(session, carrier)
                raise
        superseded = superseded and not carrier.finished
        if superseded and not (carrier.codec.shape is Shape.STREAM and request.method == "GET"):
            machine.retire(carrier)
        return Begun(session, superseded, status)

    async def send(
        self, request: SessionRequest, endpoint: Endpoint, carrier: NumberedCarrier, frames: Sequence[Frame]
    ) -> tuple[int, list[Part]]:
        """An uplink batch: the HTTP status and the parts of its answer. `carrier` never attaches.

        Raises Refusal and RemoteProtocolError.
        """
        head = parse_head(frames[0], endpoint.config.max_auth_size)
        behind = frames[1:]
        if request.method == "GET":
            check_url(head)
        if isinstance(head, Open) or head.gen:
            raise RemoteProtocolError(4400, "a send starts with u<sid>,<received>,<taken>,<first>,<key>")
        if request.method == "GET":
            _check_script(behind)
        session, machine, due = await self._find(request, endpoint, head, behind)
        if endpoint.durable:
            await allows(session, carrier, head)
        now = self._now()
        status = 200
        parts: list[Part] = []
        try:
            alone = not behind
            if due and machine.uplink(carrier, head.received, head.taken, head.first, now, alone=alone) and behind:
                status = await self._feed(request, machine, session, carrier, behind, parts)
        except RemoteProtocolError as absurd:
            status = absurd.http_status
            machine.fail(absurd, now)
        if endpoint.durable:
            await settled(session)
        if machine.outcome is not None:
            parts.clear()  # whatever was said before the end, the answer is the end
        elif request.method != "GET" and (machine.tickets is not None or not WISHES.isdisjoint(map(KIND, behind))):
            # Who shows a ticket is not given any.
            assert isinstance(carrier.codec, NativeCodec)
            parts += map(carrier.codec.text, ticket_frames(machine, behind))
        parts.insert(0, machine.uplink_answer(carrier))
        return status, parts

    def lost(self, session: Session, carrier: NumberedCarrier) -> None:
        """The connection under a carrier is gone, or its answer has ended. Harmless when that was known."""
        machine_of(session).lost(carrier, self._now())

    def writable_again(self, session: Session) -> None:
        """A link of this session, which was not writable, is."""
        machine_of(session).listener.dirty()

    def check_key(self, frame: Frame) -> None:
        """Checks that this head (`r` or `u`) names a living session and has its key: only then may its batch be as
        large as the session allows. Raises Refusal, and RemoteProtocolError for what cannot be read."""
        head = parse_head(frame)
        assert isinstance(head, RequestHead)
        check_key(self.service.sessions, head.sid, Proof(head.proof))

    async def find_owner(self, frame: Frame) -> None:
        """Raises Elsewhere where this head (`r` or `u`) names another worker's session, and otherwise as check_key()
        does, but for the key."""
        head = parse_head(frame)
        assert isinstance(head, RequestHead)
        if head.sid not in self.service.sessions.by_sid:
            await self.service.sessions.route(head.sid, Proof(head.proof))

    # -- opening and attaching -------------------------------------------------------------------------------------

    async def attach(
        self,
        request: SessionRequest,
        endpoint: Endpoint,
        carrier: NumberedCarrier,
        head: RequestHead,
        frames: Sequence[Frame] = (),
    ) -> Session:
        """Attaches a carrier whose head was parsed; `frames` are those behind it, for their proof and their auth data.
        Raises as begin() does."""
        codec = carrier.codec
        assert isinstance(codec, NativeCodec)
        session, machine, due = await self._find(request, endpoint, head, frames)
        if not due:
            return late(session, carrier)  # it changes nothing
        if endpoint.durable and not await allows(session, carrier, head):
            return session
        now = self._now()
        if codec.shape is Shape.DUPLEX:  # which may fail where a URL gets through
            carrier.tickets = [codec.text(ticket_frame(machine, head.gen + 1))]
        try:
            alone = not frames and not session._listener.woken
            machine.attach(carrier, head.gen, head.received, head.taken, head.first, now, alone=alone)
        except RemoteProtocolError as error:
            machine.fail(error, now)
            await settled(session, 0)
            raise machine.refusal() from None
        except Refusal:
            # A request whose acks completed a clean close has done well: _feed() answers it, with 200.
            if machine.outcome is None or codec.shape is Shape.DUPLEX:
                raise
        return session

    async def open(
        self,
        request: SessionRequest,
        endpoint: Endpoint,
        carrier: NumberedCarrier,
        head: Open,
        wait: Wait,
    ) -> Session:
        """Opens a session, or finds the one that the same open has opened before. Raises as begin() does."""
        if endpoint.absent:
            raise no_endpoint(endpoint.path)
        service, codec = self.service, carrier.codec
        assert isinstance(codec, NativeCodec)
        request._raw_auth = head.auth
        address = address_key(request.remote)
        identity = None
        asked = service.admission.hook is not None
        if not asked:
            if service.admission.limits_rate:
                service.admission.check_rate(address)
        else:
            service.admission.arrived(request)
            identity = await wait(self._openings.identify(endpoint.path, head.nonce, request, address))
        signs = None if request._unsigned else request._first(RAW_SIGNS)
        binding = (endpoint.path, asker(signs, request.host) if signs else None, identity)
        if endpoint.durable and head.durable:
            assert service.keeper is not None
            session: Session = await service.keeper.open(
                endpoint, head.nonce, head.gen, binding, head.window, identity, request, address, head.rooms or {}
            )
        else:
            session = await service.sessions.open(
                endpoint,
                nonce=head.nonce,
                binding=binding,
                window=head.window,
                identity=identity,
                request=request,
                address=address,
            )
        if asked:
            service.admission.authorized(session, request)
        if head.rooms is not None:
            session._takes_positions(head.rooms)
        machine = session._machine
        assert isinstance(machine, NumberedMachine)
        choices = service.networks.negotiate(endpoint, request, head.transports, head.failed, head.tried, codec.name)
        service.networks.decided(session, choices)

        def opened(received: int, taken: int) -> Part:
            return text(opened_frame(machine, codec.name, verdicts(choices), received, taken))

        text = codec.text
        carrier.greeting = opened
        if session.durable and not greeted(session, carrier, head):
            return session
        carrier.tickets = [text(ticket_frame(machine, head.gen + 1))]
        machine.open(carrier, head.gen, self._now())
        return session

    async def _find(
        self, request: SessionRequest, endpoint: Endpoint, head: RequestHead, frames: Sequence[Frame]
    ) -> tuple[Session, NumberedMachine, bool]:
        """The session that a request names, if the request may, with its machine, and whether it came in time. `frames`
        are those behind the head. Raises Refusal."""
        if request.method != "GET" or request.transport == "websocket":
            proof = Proof(head.proof)
        else:
            proof = _ticket(head, frames)
        session = self.service.sessions.by_sid.get(head.sid)
        if session is None or not session._machine.secret:
            session = await self.service.sessions.route(head.sid, proof)
        machine = session._machine
        assert isinstance(machine, NumberedMachine)
        shown, secret = head.proof.encode("utf-8", "replace"), machine.secret.encode()
        due = (not proof.use and compare_digest(shown, secret)) or machine.prove(proof)  # fits(), without a call
        if session._path != endpoint.path:
            raise Refusal(4404, f"no such session at {endpoint.path}", scope="session")
        if self.service.admission.hook is not None:
            await _admit(self.service.admission, request, session, _renewal(frames, endpoint.config))
        return session, machine, due

    # -- what comes behind -----------------------------------------------------------------------------------------

    async def _feed(
        self,
        request: SessionRequest,
        machine: NumberedMachine,
        session: Session,
        carrier: NumberedCarrier,
        frames: Sequence[Frame],
        answer: list[Part] | None = None,
    ) -> int:
        """Feeds what came behind the head of a batch, and returns the HTTP status to answer with: a broken frame, and
        fresh auth data that are refused, end the session.

        `answer` takes what is to be said to it in the answer to a send, which is no carrier. Raises Refusal.
        """
        try:
            for frame in frames:
                if machine.outcome is not None:
                    break
                renewal = feed_server(machine, carrier, frame, self._now())
                if renewal is not None:
                    await self.renew(request, session, carrier, renewal, answer)
                    if machine.outcome is not None:
                        return machine.refusal().http_status
        except RemoteProtocolError as error:
            machine.fail(error, self._now())
            return error.http_status
        finally:
            if answer is None and machine.outcome is not None and not carrier.finished:
                refusal = machine.refusal()
                carrier.finish([carrier.codec.abrupt(refusal.code, refusal.scope, refusal.received, refusal.reason)])
        return 200

    async def renew(
        self,
        request: SessionRequest,
        session: Session,
        carrier: NumberedCarrier,
        renewal: Renewal,
        answer: list[Part] | None = None,
    ) -> None:
        """Asks the application about fresh auth data, and tells the client the result. Raises Refusal (4503).

        Frames behind them wait for the answer, and are fed only if the fresh data are accepted.
        """
        await self.service.admission.reauthorize(session, request._renewed(renewal.auth))
        await renewed(session)
        if session.closed:
            return
        assert isinstance(carrier.codec, NativeCodec)
        taken = carrier.codec.text(RENEWED)
        if answer is not None:
            answer.append(taken)
        elif carrier.codec.shape is not Shape.POLL:  # the answer to a poll says so by being no refusal
            carrier.write([taken])

    # -- refusing --------------------------------------------------------------------------------------------------

    def refuse(self, carrier: NumberedCarrier, refusal: Refusal) -> None:
        """Says on a connection or stream why it carries nothing, or no more, and ends it. It is counted, once."""
        if not carrier.finished:
            self.service.refused(refusal.code)
            tell(carrier, refusal)


def tell(carrier: NumberedCarrier, refusal: Refusal) -> None:
    """The refusal, as the last that is written on a carrier."""
    codec = carrier.codec
    assert isinstance(codec, NativeCodec)
    carrier.finish([codec.text(refusal_frame(refusal))], refusal.code, refusal.reason)


async def _admit(admission: Admission, request: SessionRequest, session: Session, renewal: Renewal | None) -> None:
    """Asks the application whether this request may go on with a session. Raises Refusal.

    Whose auth data have expired may bring fresh ones along; if these are refused nothing has changed.
    """
    request._raw_auth = session.request._raw_auth
    try:
        await admission.admit(session, request)
    except Refusal as refusal:
        if renewal is None or refusal.code != 4401:
            raise
        request._raw_auth = renewal.auth
        await admission.admit(session, request)
        session.request._raw_auth = renewal.auth


def _renewal(frames: Sequence[Frame], config: Config) -> Renewal | None:
    """The fresh auth data directly behind the head of a batch. What cannot be read is none: it ends the session when
    it is fed."""
    try:
        return parse_renewal(frames[0], config.max_auth_size) if frames else None
    except RemoteProtocolError:
        return None


def _ticket(head: RequestHead, frames: Sequence[Frame]) -> Proof:
    """What a request shows by its URL, which has no key in it."""
    said = json.dumps([*head, *frames]).encode()
    return Proof(head.proof, ATTACH, head.gen, said) if head.gen else Proof(head.proof, SEND, head.first, said)


def check_url(head: Open | RequestHead) -> None:
    """URLs are logged, and short. Raises RemoteProtocolError (4400) for auth data or cursors in one."""
    if isinstance(head, Open) and head.auth is not None:
        raise RemoteProtocolError(4400, NO_AUTH_HERE)
    if isinstance(head, Open) and head.rooms:
        raise RemoteProtocolError(4400, NO_CURSORS_HERE)


def _check_script(frames: Sequence[Frame]) -> None:
    """What a send by URL may say behind its head. Raises RemoteProtocolError (4400)."""
    kinds = {frame[:1] for frame in frames}
    if "t" in kinds:
        raise RemoteProtocolError(4400, NO_AUTH_HERE)
    if not kinds & {"m", "b", "d", "c"}:  # its ticket is good for the first of them
        raise RemoteProtocolError(4400, "a send by URL brings a message; acks go by POST, a form, or with an attach")
