"""The Observer: what a server reports to code that counts or traces, and the enumerations it reports in.

A server has none unless Server.observe() is given one; then nothing is called, counted or timed for it.
"""

from __future__ import annotations

import enum
from typing import Protocol

from .machine import SessionMachine

__all__ = ["Cause", "Observer", "Result"]


class Cause(enum.StrEnum):
    """Why a carrier came."""

    OPEN = "open"  # the session's first
    NEXT = "next"  # the next poll, or the next stream after one that was recycled
    RESUME = "resume"  # again by the same transport: the one before was lost, or its client thinks so
    UPGRADE = "upgrade"  # by a transport that the endpoint lists before the last one
    DOWNGRADE = "downgrade"  # by a transport that it lists after the last one
    REPEATED = "repeated"  # the same request again, or a further open by the same nonce
    LATE = "late"  # a newer one has overtaken it: it is read, and carries nothing


class Result(enum.StrEnum):
    """How a handler ended."""

    RETURNED = "returned"  # or met the end of its session
    RAISED = "raised"
    CANCELLED = "cancelled"  # it did not return within close_timeout after the session's end, or the server stopped


class Observer(Protocol):
    """The interface of code that counts or traces. All calls are synchronous; they must be quick and never raise. (What
    an application's raises is logged, and goes no further.)

    What concerns a session is told with its machine first: `machine.label` is what logs call it, and
    `machine.sid` is a secret.
    """

    def opened(self, machine: SessionMachine, transport: str) -> None:
        """A new session, by a request of this transport."""

    def attached(self, machine: SessionMachine, cause: Cause, before: str, after: str, lost: bool) -> None:
        """A carrier of transport `after` came to the session, whose newest was of `before` ("" for none).

        `lost`: that one was known to be gone, and no next poll could be expected any more.
        """

    def ended(self, machine: SessionMachine) -> None:
        """The session has ended. Its counters move no more."""

    def refused(self, code: int) -> None:
        """A request or a WebSocket was refused with this code."""

    def flushed(self, seconds: float) -> None:
        """What was due in one turn of the event loop was written, in so many seconds."""

    def handled(self, machine: SessionMachine, seconds: float, result: Result) -> None:
        """The session's handler is done, so many seconds after it started."""
