"""Admission: what the authorize hook says of a request's client, how long that holds, which identities were withdrawn,
and how often an address may open.

Raises Refusal for everybody else. Knows sessions, and nothing of how requests come.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, cast

from .clock import Clock, Patience
from .core.config import Config
from .core.errors import Refusal, leaves_of
from .core.rates import AddressBuckets
from .loops import ends
from .request import SessionRequest
from .session import Session

__all__ = ["MOST_WITHDRAWN", "Admission", "Authorize"]

log: logging.Logger = logging.getLogger("realtime.server")

Authorize: TypeAlias = Callable[[SessionRequest], Awaitable[str | None]]

# So many withdrawals are remembered, for requests that were on their way.
MOST_WITHDRAWN = 4096


class Admission:
    """Asks the application's authorize hook, where it has one."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self.hook: Authorize | None = None  # the authorize hook, which may take its time
        self._config = config
        self._clock = clock
        self._withdrawals = 0  # how many there were: a request knows how many it has seen
        self._withdrawn: dict[str, tuple[int, str]] = {}  # the latest of an identity, and its reason
        self._all_withdrawn = 0  # of those before this one, not all are remembered
        self._asked: dict[Patience, asyncio.Task[Any]] = {}  # the questions under way, and who waits for the answer
        self._all_answered: asyncio.Event | None = None  # waited for by stop()
        self._opens: AddressBuckets | None
        self.reset()

    def reset(self) -> None:
        """Forgets how often each address has opened."""
        rate = self._config.opens_per_second_per_address
        self._opens = None if rate is None else AddressBuckets(rate)
        self.limits_rate: bool = rate is not None  # check_rate() has something to do

    def check_rate(self, address: str) -> None:
        """Counts an attempt to open from this address ("" for none that counts). Raises Refusal (4429) when it makes
        too many."""
        if self._opens is not None and address:
            wait = self._opens.take(address, self._clock.now())
            if wait:
                reason = f"too many opens from {address} (opens_per_second_per_address); try again in {wait:.1f} s"
                raise Refusal(4429, reason, retry_after=wait)

    # -- withdrawals ---------------------------------------------------------------------------------------------------

    def withdraw(self, identity: str, reason: str) -> None:
        """What the application said before of this identity holds no more."""
        self._withdrawals += 1
        self._withdrawn.pop(identity, None)
        self._withdrawn[identity] = self._withdrawals, reason
        if len(self._withdrawn) > MOST_WITHDRAWN:
            self._all_withdrawn, _ = self._withdrawn.pop(next(iter(self._withdrawn)))

    def arrived(self, request: SessionRequest) -> None:
        """Marks a request to open a session: only identities that are withdrawn from now on are refused to it."""
        request._withdrawals = self._withdrawals

    def check_withdrawn(self, identity: str | None, request: SessionRequest) -> None:
        """Raises Refusal when the identity was withdrawn after this request came: the hook's answer may be older than
        the withdrawal."""
        if identity is None:
            return
        when, reason = self._withdrawn.get(identity, (0, ""))
        if when > request._withdrawals:
            raise Refusal(4401, reason)
        if self._all_withdrawn > request._withdrawals:
            raise Refusal(4503, "too many identities were withdrawn meanwhile; come back later")

    # -- whose request it is -------------------------------------------------------------------------------------------

    async def identify(self, request: SessionRequest) -> str | None:
        """Asks the application who the client is. Raises Refusal: 4401, 4403 when it refuses, 4503 when it fails, and
        when it has not answered before stop()."""
        if self.hook is None:
            return None
        asked = Patience(None)
        request._show_http()
        try:
            async with asked:
                self._asked[asked] = cast(asyncio.Task[Any], asyncio.current_task())
                identity = await self.hook(request)
            if identity is not None and not isinstance(identity, str):
                raise TypeError(
                    f"authorize returns an identity, such as a user's id as str, or None, not {type(identity).__name__}"
                )
        except Refusal:
            raise
        except BaseException as error:
            if ends(error):
                raise
            if asked.expired():
                raise Refusal(4503, "the server is shutting down; come back later") from None
            # What asyncio.TaskGroup raises holds what its tasks have raised, of which a refusal is an answer.
            refusal = next((leaf for leaf in leaves_of(error) if isinstance(leaf, Refusal)), None)
            rest = error.split(Refusal)[1] if isinstance(error, ExceptionGroup) else error
            if rest is not None:
                log.error("the authorize hook raised; to refuse a client, raise realtime.Unauthorized", exc_info=rest)
            if refusal is not None:
                raise refusal from None
            raise Refusal(4503, "the server cannot authorise anybody now; come back later") from None
        finally:
            self._asked.pop(asked, None)
            if self._all_answered is not None and not self._asked:
                self._all_answered.set()
            request._hide_http()
        return identity

    async def stop(self, patience: float) -> None:
        """Shutting down: the hook has half of so many seconds to answer, and is cancelled then. Waits until who has
        asked it is told so, for as long again at most."""
        if self._asked:
            self._all_answered = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with Patience(patience / 2):
                    await self._all_answered.wait()
        late = self._asked.copy()
        for asked in late:
            asked.end()
        if late:
            await asyncio.wait(late.values(), timeout=patience / 2)

    async def admit(self, session: Session, request: SessionRequest) -> None:
        """Checks that this request may name this session. Raises Refusal: as identify() does, 4403 when the session is
        another identity's, and the session's own end if it ended meanwhile."""
        if self.hook is not None and not self._still_authorized(session, request):
            machine = session._machine
            machine.asked += 1
            try:
                identity = await self.identify(request)
            finally:
                machine.asked -= 1
            if identity != session.identity:
                raise Refusal(4403, "the session belongs to another identity")
            if session.closed:
                raise machine.refusal()
            self.authorized(session, request)

    def _still_authorized(self, session: Session, request: SessionRequest) -> bool:
        if session._authorized is None:
            return False
        credentials, when = session._authorized
        # Who shows neither is known by the auth data of the open, and asked about each time.
        return (
            credentials != b""
            and credentials == request._credentials
            and self._clock.now() < when + self._config.authorize_ttl
        )

    def authorized(self, session: Session, request: SessionRequest) -> None:
        """The application has said that this request is by the session's client."""
        if self.hook is not None:
            session._authorized = request._credentials, self._clock.now()

    async def reauthorize(self, session: Session, request: SessionRequest) -> None:
        """The session's client, admitted already, has brought the fresh auth data in `request`.

        Ends the session (4401, 4403) when the application refuses them, or finds somebody else. Raises Refusal (4503)
        when it cannot tell.
        """
        try:
            if self.hook is not None and await self.identify(request) != session.identity:
                raise Refusal(4403, "the fresh auth data are another identity's")
        except Refusal as refusal:
            if refusal.code not in (4401, 4403):
                raise
            session._machine.end(refusal.code, refusal.reason, self._clock.now())
            return
        self.authorized(session, request)
        session.request._raw_auth = request._raw_auth
