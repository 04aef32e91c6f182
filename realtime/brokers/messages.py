"""A room's message as a broker carries it: its kind, who is skipped, and what it says."""

from __future__ import annotations

import json

from ..core.frames import BINARY, TEXT, Outgoing

__all__ = ["decoded", "encoded"]


def encoded(item: Outgoing, skipped: frozenset[str]) -> bytes:
    """A message for a broker: one line, and the payload."""
    data = item.data if isinstance(item.data, bytes) else item.data.encode()
    head = item.kind + (json.dumps(sorted(skipped), separators=(",", ":")) if skipped else "")
    return b"%s\n%s" % (head.encode(), data)


def decoded(payload: bytes) -> tuple[Outgoing, frozenset[str]] | None:
    """The message, and who is skipped; None for what is none of ours."""
    head, newline, data = payload.partition(b"\n")
    try:
        kind, skipped = head[:1].decode(), json.loads(head[1:]) if len(head) > 1 else ()
        if not newline or kind not in (TEXT, BINARY) or not all(isinstance(one, str) for one in skipped):
            return None
        return Outgoing.message(data if kind == BINARY else data.decode()), frozenset(skipped)
    except (ValueError, TypeError):
        return None
