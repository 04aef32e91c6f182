"""A room's message as a broker carries it: its kind, who is skipped, what is said about it, and what it says."""

from __future__ import annotations

import json
from typing import Any

from ..core.frames import BINARY, TEXT, Group, Outgoing

__all__ = ["decoded", "encoded"]

# Kinds of groups: their messages follow each other, the first of them text and the others bytes, behind a line of how
# long each is.
GROUP = "e"
VOLATILE = "v"


def encoded(item: Outgoing, skipped: frozenset[str]) -> bytes:
    """A message for a broker: one line, and the payload."""
    kind, data = item.kind, _bytes(item)
    if isinstance(item, Group):
        kind, parts = VOLATILE if item.volatile else GROUP, [_bytes(part) for part in item.parts]
        data = b"%s\n%s" % (",".join(str(len(part)) for part in parts).encode(), b"".join(parts))
    said: Any = sorted(skipped)
    if item.about:
        said = {"skip": said, "about": item.about}
    head = kind + (json.dumps(said, separators=(",", ":")) if said else "")
    return b"%s\n%s" % (head.encode(), data)


def _bytes(item: Outgoing) -> bytes:
    return item.data if isinstance(item.data, bytes) else item.data.encode()


def decoded(payload: bytes) -> tuple[Outgoing, frozenset[str]] | None:
    """The message, or group, and who is skipped; None for what is none of ours."""
    head, newline, data = payload.partition(b"\n")
    try:
        kind, skipped = head[:1].decode(), json.loads(head[1:]) if len(head) > 1 else ()
        about: Any = ""
        if isinstance(skipped, dict):
            about, skipped = skipped["about"], skipped["skip"]
        if not newline or not isinstance(about, str) or not all(isinstance(one, str) for one in skipped):
            return None
        item = _item(kind, data)
        if item is None:
            return None
        item.about = about
        return item, frozenset(skipped)
    except (ValueError, TypeError, KeyError):
        return None


def _item(kind: str, data: bytes) -> Outgoing | None:
    if kind in (TEXT, BINARY):
        return Outgoing.message(data if kind == BINARY else data.decode())
    if kind not in (GROUP, VOLATILE):
        return None
    head, _, rest = data.partition(b"\n")
    sizes = [int(size) for size in head.split(b",")]
    if min(sizes) < 0 or sum(sizes) != len(rest):
        return None
    parts, at = [], 0
    for size in sizes:
        parts.append(rest[at : at + size])
        at += size
    return Group(parts[0].decode(), *parts[1:], volatile=kind == VOLATILE)
