"""Opens for which the authorize hook is running. An open that is repeated meanwhile asks and counts only once."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from ..core.errors import Refusal
from ..request import SessionRequest
from ..service import Service
from .origins import asker

__all__ = ["Openings"]

# What the protocol itself puts into a query: it differs from one attempt to the next.
OWN = ("open", "frame", "batch", "callback")
# So do headers that say what is asked for and how, and those that proxies write anew for each request. (Of which page a
# request is, asker() says: browsers show that one way or another.) By any other the application may know its client.
PASSING = frozenset(
    b"accept accept-encoding accept-language cache-control connection content-length content-type expect keep-alive"
    b" last-event-id origin pragma priority referer sec-gpc sec-websocket-extensions sec-websocket-key"
    b" sec-websocket-version te transfer-encoding upgrade upgrade-insecure-requests via"
    b" cf-ray traceparent tracestate x-amzn-trace-id x-cloud-trace-context x-correlation-id x-request-id"
    b" x-request-start".split()
)
PASSING_KINDS = (b"sec-ch-", b"sec-fetch-", b"x-b3-")


class PendingOpen(NamedTuple):
    """An open, and a future for the application's answer, which is cancelled if there is none."""

    facts: SessionRequest
    answer: asyncio.Future[str | Refusal | None]


class Openings:
    """The pending opens, by endpoint and nonce."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._pending: dict[tuple[str, str], PendingOpen] = {}

    def __len__(self) -> int:
        return len(self._pending)

    async def identify(self, path: str, nonce: str, facts: SessionRequest, address: str) -> str | None:
        """The identity of the client that opens a session at the endpoint `path`: see Admission.check_rate() and
        Admission.identify(). Raises Refusal.

        A client that finds the answer late opens again by the same nonce; when it shows the same of all that the
        application could know it by, it gets the answer to the question that was asked already, as old as that is.
        """
        if self._service.admission.hook is None:
            self._service.admission.check_rate(address)
            return None
        key = path, nonce
        while (first := self._pending.get(key)) is not None and _alike(first.facts, facts):
            await asyncio.wait([first.answer])
            if not first.answer.cancelled():
                answer = first.answer.result()
                if isinstance(answer, Refusal):
                    raise answer
                facts._withdrawals = first.facts._withdrawals
                return answer
        self._service.admission.check_rate(address)
        if first is not None:  # another's question, by a nonce that only one client should know
            return await self._service.admission.identify(facts)
        pending = self._pending[key] = PendingOpen(facts, asyncio.get_running_loop().create_future())
        try:
            identity = await self._service.admission.identify(facts)
        except Refusal as refusal:
            pending.answer.set_result(refusal)
            raise
        else:
            pending.answer.set_result(identity)
            return identity
        finally:
            pending.answer.cancel()  # nothing, if it was told
            del self._pending[key]


def _alike(one: SessionRequest, other: SessionRequest) -> bool:
    """Whether the application would be asked the same again."""
    return _shown(one) == _shown(other)


def _shown(request: SessionRequest) -> tuple[object, ...]:
    """All that an application could know the client of this request by."""
    headers = sorted(
        (name.lower(), value)
        for name, value in request.raw_headers
        if name.lower() not in PASSING and not name.lower().startswith(PASSING_KINDS)
    )
    page = asker(request.headers, request.host)
    return request.remote, request.scheme, request.host, page, request._raw_auth, headers, _query(request)


def _query(request: SessionRequest) -> list[tuple[str, str]]:
    return [(name, value) for name, value in request.query.items() if name not in OWN]
