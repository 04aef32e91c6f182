"""What a durable session was opened with, as its record keeps it: whose it is, its key, its client's window, and the
facts of its request, without cookies and log-ins. Pure.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any, NamedTuple

from ..frames import Window, window_of
from ..proof import Key

__all__ = ["HIDDEN", "PREFIX", "Opening", "is_durable"]

PREFIX = "d."
"""What the sids of durable sessions begin with: they name no worker."""
HIDDEN = frozenset((b"cookie", b"authorization", b"proxy-authorization"))
"""Headers that are not stored."""


def is_durable(sid: str) -> bool:
    """Whether this is the sid of a durable session."""
    return sid.startswith(PREFIX)


class Opening(NamedTuple):
    """What a session was opened with."""

    path: str  # of its endpoint
    key: Key
    binding: str  # the digest of what an open by its nonce has to come with
    identity: str | None
    address: str  # what the limits per address count
    window: Window  # its client's
    auth: bytes | None  # JSON, as it came: the authorize hook is asked with it again
    facts: dict[str, Any]  # of the request, by their names in JSON
    headers: tuple[tuple[bytes, bytes], ...]
    life: float  # for how many seconds the store keeps what nobody comes for, also where its endpoint is not known

    def written(self) -> str:
        """As text."""
        headers = b"\n".join(part for header in self.headers if header[0].lower() not in HIDDEN for part in header)
        fields = {
            "path": self.path,
            "key": str(self.key),
            "binding": self.binding,
            "identity": self.identity,
            "address": self.address,
            "window": self.window,
            "auth": None if self.auth is None else b64encode(self.auth).decode(),
            "facts": self.facts,
            "headers": b64encode(headers).decode(),
            "life": self.life,
        }
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def read(cls, text: str) -> Opening:
        """Of a text. Raises ValueError for what is none."""
        try:
            fields = json.loads(text)
            parts = b64decode(fields["headers"]).split(b"\n") if fields["headers"] else []
            auth = fields["auth"]
            return cls(
                fields["path"],
                Key(fields["key"]),
                fields["binding"],
                fields["identity"],
                fields["address"],
                window_of(*fields["window"]),
                None if auth is None else b64decode(auth),
                fields["facts"],
                tuple(zip(parts[::2], parts[1::2], strict=True)),
                float(fields["life"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"a durable session was opened with what cannot be read: {type(error).__name__}") from None
