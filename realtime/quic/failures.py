"""Why a client has no WebTransport session, and how far it came: for whoever wants to say more than that there is none.

Needs no aioquic.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["NoSession", "Progress", "Why"]

# The certificate is not taken; what is there is no WebTransport; a request was answered with another status; the
# connection was ended, or the server has forgotten it.
Why: TypeAlias = Literal["certificate", "protocol", "status", "ended"]


class NoSession(ConnectionError):
    """A connection that answered, and of which no session came; `status` where HTTP said so."""

    def __init__(self, why: Why, said: str, status: int | None = None) -> None:
        super().__init__(said)
        self.why: Why = why
        self.status = status


class Progress:
    """How far an attempt has come, which may never come to an end."""

    def __init__(self) -> None:
        self.heard: bool = False  # a datagram has come back
        self.secure: bool = False  # the handshake is done
