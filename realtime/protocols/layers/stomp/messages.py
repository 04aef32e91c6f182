"""MESSAGE frames: what all receivers of a message share, which is made once, and what is one receiver's own; and ERROR
frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ....core.errors import LocalProtocolError
from .frames import END, head

__all__ = ["SERVERS", "error", "own_part", "passed_on", "shared_part"]

# Headers that the server says in a MESSAGE, or that are about the SEND itself: none of them is a message's own.
SERVERS: frozenset[str] = frozenset(
    ("ack", "content-length", "destination", "message-id", "receipt", "redelivered", "subscription", "transaction")
)


def passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of a SEND that belong to the message."""
    return {name: value for name, value in headers.items() if name not in SERVERS}


def shared_part(version: str, destination: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """The end of a MESSAGE, from the destination on. Headers that cannot be said in this version are left out."""
    said = [("destination", destination), ("content-length", str(len(body)))]
    return b"".join(_sayable(version, (*said, *headers.items()))) + b"\n" + body + END


def own_part(
    version: str, subscription: str, message: str, acknowledge: str | None = None, *, redelivered: bool = False
) -> bytes:
    """The beginning of a MESSAGE: whose it is, its id, and in 1.2 by what it is acknowledged. Where a client gave its
    subscription no name ("", in 1.0) there is none."""
    said = [("subscription", subscription)] if subscription else []
    said.append(("message-id", message))
    if acknowledge is not None:
        said.append(("ack", acknowledge))
    if redelivered:
        said.append(("redelivered", "true"))
    return b"MESSAGE\n" + b"".join(_sayable(version, said))


def error(version: str, reason: str, headers: Mapping[str, str]) -> bytes:
    """An ERROR, whatever the reason has in it: its words may be the application's, and theirs a client's. Other headers
    that cannot be said in this version are left out."""
    text = reason.replace("\0", " ").encode("utf-8", "replace")
    said = [("message", " ".join(text.decode().split())), ("content-type", "text/plain"), *headers.items()]
    said.append(("content-length", str(len(text))))
    return b"ERROR\n" + b"".join(_sayable(version, said)) + b"\n" + text + END


def _sayable(version: str, headers: Iterable[tuple[str, str]]) -> Iterable[bytes]:
    for header in headers:
        try:
            # The command and the blank line are left out.
            yield head(version, "", (header,))[1:-1]
        except LocalProtocolError:
            continue
