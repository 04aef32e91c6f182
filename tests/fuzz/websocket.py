"""What a client sends on a WebSocket, as bytes: frames of RFC 6455, fine and broken."""

from __future__ import annotations

from .dice import Dice

__all__ = ["message", "rubbish"]

MASK = b"\x01\x02\x03\x04"


def frame(first: int, payload: bytes, *, masked: bool = True, size: int | None = None) -> bytes:
    """One frame. `size`: what its header says."""
    length = len(payload) if size is None else size
    bit = 0x80 if masked else 0
    if length < 126:
        header = bytes((first, bit | length))
    elif length < 65_536:
        header = bytes((first, bit | 126)) + length.to_bytes(2, "big")
    else:
        header = bytes((first, bit | 127)) + (length % 2**64).to_bytes(8, "big")
    if masked:
        mask = (MASK * (len(payload) // 4 + 1))[: len(payload)]
        masked_payload = int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")
        return header + MASK + masked_payload.to_bytes(len(payload), "big")
    return header + payload


def message(text: str | bytes) -> bytes:
    """A whole message. Lone surrogates become invalid UTF-8."""
    if isinstance(text, bytes):
        return frame(0x82, text)
    return frame(0x81, text.encode("utf-8", "surrogatepass"))


def rubbish(dice: Dice, text: str) -> bytes:
    """Something between a message cut in pieces and noise."""
    payload = text.encode("utf-8", "surrogatepass")
    match dice.randrange(10):
        case 0:
            pieces = dice.cut(payload)
            out = frame(0x01 if len(pieces) > 1 else 0x81, pieces[0])
            for number, piece in enumerate(pieces[1:], 2):
                if dice.chance(0.3):
                    out += frame(0x89, b"between")
                out += frame(0x80 if number == len(pieces) else 0x00, piece)
            return out
        case 1:
            return frame(0x81, payload, masked=False)
        case 2:
            return frame(dice.choice((0x81, 0x82, 0x01)), payload, size=dice.choice((200_000, 2**31, 2**63, 2**64 - 1)))
        case 3:
            return frame(dice.choice((0xC1, 0xA1, 0x91, 0xF1, 0x83, 0x87, 0x8B, 0x8F)), payload)
        case 4:
            return frame(
                dice.choice((0x88, 0x89, 0x8A, 0x09, 0x08)), dice.randbytes(dice.choice((0, 1, 125, 126, 300)))
            )
        case 5:
            code = dice.choice((1000, 1001, 1002, 1005, 1006, 1015, 0, 999, 3000, 4999, 5000, 65_535))
            return frame(0x88, code.to_bytes(2, "big") + payload[:123])
        case 6:
            return frame(
                0x81, dice.choice((b"m\xff", b"m\xed\xa0\x80", b"m\xc0\x80", b"\xf8\x88\x80\x80\x80", b"m\xe2\x98"))
            )
        case 7:
            return frame(dice.choice((0x80, 0x00)), payload)
        case 8:
            return frame(0x82, dice.randbytes(dice.choice((0, 1, 4096, 4097, 70_000))))
    return dice.mutated(frame(0x81, payload))
