"""What the native gate does otherwise for durable sessions (docs/protocol.md §13): a request is judged by the tenure
that it names, and answered when what it has brought is stored.
"""

from __future__ import annotations

from collections.abc import Awaitable

from ..clock import Patience
from ..core.carrier import NumberedCarrier
from ..core.durable.lineage import Shown, Verdict
from ..core.durable.opening import is_durable
from ..core.errors import Refusal
from ..core.proof import Proof
from ..durable.session import DurableSession
from ..protocols.native import NativeCodec, Open, RequestHead
from ..protocols.native.durable import check_tenure
from ..protocols.native.tenures import SendCodec, TenureCodec
from ..session import Session
from ..sessions import Sessions

__all__ = ["allows", "answerable", "check_key", "greeted", "late", "renewed", "settled"]

NOT_STORED = "what this request has brought could not be stored in time; come back later"
ELSEWHERE = "the session is not at this worker; come back later"
LATER = "this request names a tenure that is not known any more; attach"
AHEAD = "the store has lost what this client has"


def check_key(sessions: Sessions, sid: str, proof: Proof) -> None:
    """See Sessions.check_key(). Raises Refusal (4503) for a durable session that this worker neither has nor has ended:
    it may be anywhere."""
    if is_durable(sid) and sid not in sessions.by_sid and sid not in sessions.registry.tombstones:
        raise Refusal(4503, ELSEWHERE)
    sessions.check_key(sid, proof)


def late(session: Session, carrier: NumberedCarrier) -> Session:
    """Its ticket came late."""
    if session.durable:
        supersede(carrier)
    return session


def supersede(carrier: NumberedCarrier) -> None:
    """It came late: nothing that it brings counts."""
    carrier.finish([carrier.codec.end_of_carrier("superseded")], reason="superseded")


async def allows(session: Session, carrier: NumberedCarrier, head: RequestHead) -> bool:
    """Judges an attach, or a send, of which the session was found, and lets its carrier answer as that wants. False for
    one that comes late: nothing that it brings counts. Raises Refusal, and RemoteProtocolError."""
    if not isinstance(session, DurableSession):
        return True
    check_tenure(head.tenure)
    holding, machine = session._holding, session._machine
    owner, codec = holding.owner, carrier.codec
    assert isinstance(codec, NativeCodec)
    if holding.giving or not holding.running:
        raise Refusal(4503, "the session is about to go on at another worker; come back")
    shown = Shown(head.tenure, head.received, head.taken, head.first, head.gen)
    verdict = owner.judge(shown)
    if verdict is Verdict.SUPERSEDED:
        supersede(carrier)
        return False
    if verdict is Verdict.LATER:
        raise Refusal(4503, LATER)
    if verdict is Verdict.AHEAD:
        machine.end(4414, AHEAD, session._now())
        await settled(session, 0)
        raise machine.refusal()
    began = owner.accept(shown)
    kind = TenureCodec if head.gen else SendCodec
    carrier.codec = kind(codec, owner.tenure.id, began)
    return True


def greeted(session: Session, carrier: NumberedCarrier, head: Open) -> bool:
    """An open has found or made its session: its answer names the tenure. False for one that comes late."""
    assert isinstance(session, DurableSession)
    owner, codec, greeting = session._holding.owner, carrier.codec, carrier.greeting
    assert isinstance(codec, NativeCodec)
    assert greeting is not None
    shown = Shown("", gen=head.gen)
    if owner.judge(shown) is not Verdict.FINE:
        supersede(carrier)
        return False
    owner.accept(shown)
    carrier.codec = TenureCodec(codec, owner.tenure.id)
    return True


async def answerable(session: Session) -> None:
    """A poll or a stream has brought something. What a poll answers waits until that is stored; and so does an end."""
    if isinstance(session, DurableSession):
        session._machine.brought()
        await settled(session, 0)


async def renewed(session: Session) -> None:
    """The application has taken fresh auth data: the client is told so when another worker would know them. Raises as
    settled() does."""
    if isinstance(session, DurableSession) and not session.closed:
        await _in_time(session, session._holding.reauthorized(session.request._raw_auth))
    await settled(session, 0)


async def settled(session: Session, number: int | None = None) -> None:
    """Waits until all that has come is stored, and an end that is to be. Raises Refusal (4503) where that takes too
    long, or another worker has the session."""
    if not isinstance(session, DurableSession):
        return
    holding = session._holding
    brought = holding.owner.received if number is None else number
    if not await _in_time(session, holding.settled(brought)):
        raise Refusal(4503, "the session goes on at another worker; come back")


async def _in_time(session: DurableSession, stored: Awaitable[bool]) -> bool:
    try:
        async with Patience(session._machine.config.request_timeout):
            return await stored
    except TimeoutError:
        raise Refusal(4503, NOT_STORED) from None
