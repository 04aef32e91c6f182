"""Identities: whom the authorize hook has named, wherever they are. What applications send them, and close; and the
identities of this process.

What goes over a broker does brokers/identities (docs/scaling.md §11).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from .admission import Admission
from .broadcasts import Broadcasts, Receiver, ids_of
from .core.frames import Outgoing
from .core.identities import SessionInfo, room_of
from .core.machine import check_close
from .loops import gives_way
from .runtime import Runtime
from .session import Session
from .sessions import Sessions

__all__ = ["Here", "Identity", "Reach"]


class Reach(Protocol):
    """Where identities can be reached."""

    def check(self) -> None:
        """Raises LocalProtocolError where they may not be used."""

    async def send(self, identity: str, item: Outgoing, skipped: frozenset[str]) -> None:
        """Sends to all sessions of one. Raises BrokerError."""

    async def close(self, identity: str, code: int, reason: str) -> int:
        """Ends them; how many there were. Raises BrokerError."""

    async def sessions(self, identity: str) -> list[SessionInfo]:
        """Which they are. Raises BrokerError."""


class Identity:
    """Whom the authorize hook has called `name`: all sessions of that identity, at all workers of the broker. Without a
    broker, those of this process."""

    __slots__ = ("_identities", "name")

    def __init__(self, identities: Reach, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"an identity is a str, not {type(name).__name__}")
        self._identities = identities
        self.name: str = name  # as the authorize hook has it

    @gives_way
    async def send(
        self,
        message: str | bytes | bytearray | memoryview,
        *,
        skip: Receiver | str | Iterable[Receiver | str] = (),
    ) -> None:
        """Sends a message to all sessions of the identity but `skip` (a session or its id, or several), as
        `room.send()` does to those in a room: in one order for all, and without waiting for any of them.

        A session hears what is sent from its handler's start on, if the broker is reached then. Raises TypeError or
        LocalProtocolError for what is not a message, LocalProtocolError in another thread or event loop than the
        server's, and BrokerError when the broker does not have it within `broker_timeout`; its `maybe_sent` says
        whether it may be heard all the same.
        """
        self._identities.check()
        item = Outgoing.message(message)
        await self._identities.send(self.name, item, ids_of(skip))

    @gives_way
    async def close(self, code: int = 4401, reason: str = "") -> int:
        """Ends all sessions of the identity at once, also those whose clients are away; returns how many there were.

        What was not delivered is lost, and the clients are told `code` and `reason`. Opens about which the authorize
        hook is being asked now are refused (4401) if it says that they are this identity's. Whoever opens later is let
        in unless the hook refuses them: take away first what they log in with.

        Over a broker it ends those of this process first, and returns when all workers have confirmed that they have
        done the same. Where some have not within `broker_timeout` it raises BrokerError, whose `workers` names them
        (and names none where the broker itself does not answer). They close when they hear of it: it is told on for
        ten minutes, while this process lives. Raises LocalProtocolError for a code that applications may not use, and
        TypeError for a reason that is no text.
        """
        check_close(code, reason)
        self._identities.check()
        return await self._identities.close(self.name, code, reason or "the identity was withdrawn")

    @gives_way
    async def sessions(self) -> list[SessionInfo]:
        """The sessions of the identity, at all workers, which are asked now. Raises BrokerError when not all answer
        within `broker_timeout`: its `workers` names those that have not."""
        self._identities.check()
        return await self._identities.sessions(self.name)

    def __repr__(self) -> str:
        return f"<Identity {self.name!r}>"


class Here:
    """The identities of this process; others are reached over the broker, if there is one."""

    def __init__(self, sessions: Sessions, admission: Admission, runtime: Runtime) -> None:
        self._sessions = sessions
        self._admission = admission
        self._runtime = runtime

    # -- what applications ask for -------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raises LocalProtocolError in another event loop or thread than the server's."""
        self._runtime.check()

    async def send(self, identity: str, item: Outgoing, skipped: frozenset[str]) -> None:
        """Sends to all sessions of one. Raises BrokerError."""
        if self._sessions.shared is not None:
            await self._sessions.shared.send(identity, item, skipped)
        else:
            await self.broadcasts.send(room_of(identity), self.of(identity), item, skipped)

    async def close(self, identity: str, code: int, reason: str) -> int:
        """Ends them; how many there were. Raises BrokerError."""
        if self._sessions.shared is not None:
            return await self._sessions.shared.close(identity, code, reason)
        return self.withdraw(identity, code, reason)

    async def sessions(self, identity: str) -> list[SessionInfo]:
        """Which they are. Raises BrokerError."""
        if self._sessions.shared is not None:
            return await self._sessions.shared.sessions(identity)
        return self.infos(identity, self._sessions.worker)

    # -- those of this process -----------------------------------------------------------------------------------------

    @property
    def broadcasts(self) -> Broadcasts:
        """How many are sent to."""
        return self._sessions.hub.broadcasts

    def of(self, identity: str) -> tuple[Session, ...]:
        """The sessions of an identity."""
        return self._sessions.of(identity)

    def withdraw(self, identity: str, code: int, reason: str) -> int:
        """Ends them, and refuses the opens that are asked about; how many ended."""
        ended = self._sessions.end(code, reason, identity=identity)
        self._sessions.handlers.end_absent(code, identity)
        self._admission.withdraw(identity, reason)
        return ended

    def infos(self, identity: str, worker: str) -> list[SessionInfo]:
        """What is told of them."""
        return [SessionInfo(one.id, one.path, worker, one.transport, one.state) for one in self.of(identity)]
