"""The first frame of a connection or batch: which session it is for, and how far that is (docs/protocol.md §5)."""

from __future__ import annotations

import re
from typing import NamedTuple

from ...core.carrier import Part
from ...core.client_machine import NO_KEY, Attach, Uplink
from ...core.machine import shown
from ...core.proof import Key
from ...transports import Frame
from .codec import NativeCodec
from .durable import with_tenure
from .opens import MAX_AUTH, Open, parse_open
from .values import MAX_NUMBER, SID, malformed

__all__ = ["RequestHead", "attach_frame", "parse_head", "uplink_frames"]


# A head as clients write it; numbers of more than 15 digits are looked at more closely.
_USUAL = re.compile(
    r"(?:r([A-Za-z0-9_.-]{1,128}),([1-9][0-9]{0,14})|u([A-Za-z0-9_.-]{1,128}))"
    r",(0|[1-9][0-9]{0,14}),(0|[1-9][0-9]{0,14}),([1-9][0-9]{0,14}),([^,]*)(?:,([^,]*))?"
)


class RequestHead(NamedTuple):
    """An attach (`gen` ≥ 1) or the head of an uplink batch (`gen` 0). `proof` is a key or ticket; empty for none."""

    sid: str
    gen: int
    received: int
    taken: int
    first: int
    proof: Key = NO_KEY
    tenure: str = ""  # of a durable session: that its client read of last, as it came

    def __repr__(self) -> str:
        return shown(self)


def parse_head(frame: Frame, max_auth: int = MAX_AUTH) -> Open | RequestHead:
    """The first frame of a connection or batch: `o`, `r` or `u`. Raises RemoteProtocolError (4400, 4413)."""
    if not isinstance(frame, str) or frame[:1] not in ("o", "r", "u"):
        raise malformed("the first frame must be o (open), r (attach) or u (uplink)")
    if frame[0] == "o":
        return parse_open(frame[1:], max_auth)
    usual = _USUAL.match(frame)
    if usual is not None:
        sid, gen_text, other, *counts, proof, tenure = usual.groups("")
        received, taken, first = map(int, counts)
        return RequestHead(sid or other, int(gen_text or 0), received, taken, first, Key(proof), tenure)
    fields = frame[1:].split(",")
    expected = 5 if frame[0] == "r" else 4
    if len(fields) < expected or not SID.fullmatch(fields[0]):
        raise malformed(
            "attach is r<sid>,<gen>,<received>,<taken>,<first>,<key>"
            if expected == 5
            else "an uplink batch starts with u<sid>,<received>,<taken>,<first>,<key>"
        )
    texts = fields[1:expected]
    try:
        numbers = list(map(int, texts))
    except ValueError:
        numbers = [-1]
    # parse_number() of each, without calls: what is written in any other way than that comes out differently.
    if list(map(str, numbers)) != texts or min(numbers) < 0 or max(numbers) > MAX_NUMBER:
        # Nor is it repeated: where a field is missing it is the key.
        raise malformed("a field of the head is not a number, or is missing")
    received, taken, first = numbers[-3:]
    gen = numbers[0] if expected == 5 else 0
    if first < 1 or (expected == 5 and gen < 1):
        raise malformed("gen and first count from 1")
    tenure = fields[expected + 1] if len(fields) > expected + 1 else ""
    return RequestHead(fields[0], gen, received, taken, first, Key(*fields[expected : expected + 1]), tenure)


def attach_frame(attach: Attach) -> str:
    """The client's `r`."""
    head = f"r{attach.sid},{attach.gen},{attach.received},{attach.taken},{attach.first},{attach.proof}"
    return with_tenure(head, attach.tenure) if attach.tenure else head


def uplink_frames(codec: NativeCodec, batch: Uplink) -> list[Part]:
    """The frames of an uplink batch, its head first."""
    head, news = f"u{batch.sid},{batch.received},{batch.taken},{batch.first},{batch.proof}", batch.news
    parts = [codec.text(with_tenure(head, batch.tenure) if batch.tenure else head)]
    if news.cursors is not None:
        parts.append(codec.cursors(news.gen, news.cursors))
    if news.taken is not None:
        parts.append(codec.rooms_taken(news.gen, news.taken))
    parts += map(codec.item, batch.items)
    if batch.going is not None:
        parts.append(codec.go_away(batch.going))
    if batch.asks:
        parts.append(codec.ping())
    return parts
