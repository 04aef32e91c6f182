"""What becomes of a request of the native protocol that comes to nothing (docs/protocol.md §9)."""

from __future__ import annotations

from aiohttp import web

from ..core.carrier import Part
from ..core.errors import Refusal, RemoteProtocolError
from ..gates.base import Gone
from ..gates.requests import Unreadable
from ..protocols.native import refusal_frame
from ..service import Service
from .answers import lines_of
from .bodies import turn_away
from .handshake import left_behind
from .replies import SAFE, BadCallback, Reply, answer, in_words, refusal_headers, refused

__all__ = ["REFUSALS", "refuse", "told"]

# Why a request may come to nothing.
REFUSALS = (Gone, BadCallback, Unreadable, Refusal, RemoteProtocolError)


async def refuse(service: Service, request: web.Request, why: Exception, reply: Reply) -> web.StreamResponse:
    """The answer to a request that comes to nothing, for one of REFUSALS. It is counted."""
    if isinstance(why, Gone):
        return left_behind()
    if isinstance(why, BadCallback):
        service.refused(4400)
        return in_words(400, str(why), SAFE)
    if isinstance(why, Unreadable):
        service.refused(why.refusal.code)
        response = answer(request, why.refusal.http_status, [refusal_frame(why.refusal)])
        return await turn_away(request, response, linger=not service.closing)
    if isinstance(why, Refusal):
        service.refused(why.code)
        return refused(request, why, reply=reply)
    assert isinstance(why, RemoteProtocolError)
    service.refused(why.close_code)
    return answer(request, why.http_status, [_broken(why)], reply=reply)


def told(service: Service, why: Refusal | RemoteProtocolError, reply: Reply) -> tuple[int, Part, bytes]:
    """The same for what is answered without a response of aiohttp's: its status, its body, and the lines of the headers
    that not every answer of this Reply has."""
    codec = reply.codec
    if isinstance(why, Refusal):
        service.refused(why.code)
        return why.http_status, codec.wrap([codec.text(refusal_frame(why))])[0], lines_of(refusal_headers(why))
    service.refused(why.close_code)
    return why.http_status, codec.wrap([codec.text(_broken(why))])[0], b""


def _broken(why: RemoteProtocolError) -> str:
    return refusal_frame(Refusal(why.close_code, why.reason))
