"""Frames and batches of the protocol: fine, almost fine, and nothing like it."""

from __future__ import annotations

import base64
import json
from typing import Any

from realtime.core.proof import ATTACH, SEND, ticket

from .dice import Dice

__all__ = ["attach", "batch", "client_frame", "open_members", "opened_members", "server_frame", "uplink"]

REASONS = ("superseded", "recycled", "idle", "", "other")


def _base64(dice: Dice) -> str:
    text = base64.b64encode(dice.randbytes(dice.randrange(12))).decode()
    if dice.chance(0.8):
        return text
    return dice.choice((text + "=", text[:-1], text + "\n", "====", "A", "AAA", "Ā", text.replace("A", "-")))


def _close(dice: Dice) -> str:
    code = dice.choice(("1000", "1001", "1008", "1012", "3000", "4999", "999", "1005", "1006", "2999", "5000", "4404"))
    return f"{dice.digits() if dice.chance(0.1) else code},{dice.text()}"


def _common(dice: Dice) -> str:
    kind = dice.choices("mbanpqdc?", (30, 10, 8, 5, 4, 2, 4, 2, 4))[0]
    match kind:
        case "m":
            return "m" + dice.text()
        case "b":
            return "b" + _base64(dice)
        case "a":
            return f"a{dice.digits()},{dice.digits()}" + (",7" if dice.chance(0.1) else "")
        case "n" | "d":
            return kind + dice.digits()
        case "p" | "q":
            return kind + dice.text()
        case "c":
            return "c" + _close(dice)
    return dice.text()


def _abrupt(dice: Dice) -> str:
    scope = dice.choice(("session", "carrier", "", "x"))
    return f"x{dice.choice(('1000', '1002', '1009', '4404', dice.digits()))},{scope},{dice.digits()},{dice.text()}"


def _room(dice: Dice) -> str:
    return dice.choice(("chat", "", "100%", "a,b", "%2C", "é😀", "a" * 256, "a" * 257, dice.text()))


def _cursor(dice: Dice) -> Any:
    return dice.choice(("1.2.x", "0", dice.name(), "a" * 128, "a" * 129, "", "a b", "é", dice.value(1)))


def _of_room(dice: Dice) -> str:
    place = f"h{_room(dice)},{_cursor(dice)}"
    return dice.choice((place, f"{place},m{dice.text()}", f"{place},b{_base64(dice)}", f"{place},d{dice.digits()}"))


def client_frame(dice: Dice, sid: str) -> str:
    """Something a client might say behind the head."""
    if dice.chance(0.9):
        return _common(dice)
    match dice.randrange(7):
        case 0:
            return "g" + dice.digits()
        case 5:
            return "t" + json.dumps(dice.value())
        case 1:
            return _abrupt(dice)
        case 2:
            return attach(dice, sid, 1)
        case 3:
            return uplink(dice, sid)
        case 4:
            return "o" + json.dumps(open_members(dice))
    return chr(dice.randrange(32, 0x2FF)) + dice.text()


def server_frame(dice: Dice, sid: str) -> str:
    """Something a server might say."""
    if dice.chance(0.7):
        return _common(dice)
    if dice.chance(0.3):
        return _of_room(dice)
    match dice.randrange(5):
        case 0:
            return f"r{dice.digits()},{dice.digits()}"
        case 1:
            return "o" + json.dumps(opened_members(dice, sid))
        case 2:
            return _abrupt(dice)
        case 3:
            return "e" + dice.choice(REASONS)
    return "g" + dice.choice((dice.digits(), "0.5", "-0.1", "nan"))


def attach(dice: Dice, sid: str, gen: int, key: str = "", *, url: bool = False) -> str:
    """The head of an attach; its numbers are mostly low. With a `key` it mostly shows the right thing."""
    fields = [sid, str(gen), "0", "0", "1", ticket(key, ATTACH, gen) if url else key]
    return "r" + ",".join(_spoilt(dice, fields))


def uplink(dice: Dice, sid: str, key: str = "", *, url: bool = False) -> str:
    """The head of an uplink batch."""
    return "u" + ",".join(_spoilt(dice, [sid, "0", "0", "1", ticket(key, SEND, 1) if url else key]))


def _spoilt(dice: Dice, fields: list[str]) -> list[str]:
    if dice.chance(0.3):
        fields[dice.randrange(1, len(fields))] = dice.digits()
    if dice.chance(0.04):
        fields[0] = dice.choice(("", "no.such", dice.text(), fields[0] + "x", fields[0][:-1], "a" * 129))
    if dice.chance(0.03):
        fields.pop()
    elif dice.chance(0.03):
        fields.append("more")
    return fields


def open_members(dice: Dice, nonce: str = "") -> dict[str, Any]:
    """The object of an open, of this nonce."""
    members: dict[str, Any] = {
        "nonce": nonce or dice.name(),
        "gen": dice.choice((1, 1, 1, 2, 3, 2**53 - 1)),
        "window": [dice.choice((1, 16, 256)), dice.choice((1, 100, 65_536, 2**53 - 1))],
        "transports": ["websocket", "polling"],
    }
    if dice.chance(0.1):
        members["auth"] = dice.value()
    if dice.chance(0.2):
        members["rooms"] = {_room(dice): _cursor(dice) for _ in range(dice.choice((0, 1, 3, 64, 65)))}
    _spoil(dice, members, 0.25)
    return members


def opened_members(dice: Dice, sid: str) -> dict[str, Any]:
    """The object that a server answers an open with."""
    members: dict[str, Any] = {
        "sid": sid,
        "key": dice.name(),
        "ack": [0, 0],
        "window": [256, 1_048_576],
        "max_size": 1_048_576,
        "max_batch": [1024, 6_357_024],
        "ping_interval": dice.choice((20.0, 20, None)),
        "ping_timeout": dice.choice((20.0, None)),
        "resume_window": 120.0,
        "poll_interval": [0.1, 5.0],
        "transport": "websocket",
        "transports": [{"name": "websocket", "verdict": "taken", "reason": ""}],
    }
    _spoil(dice, members, 0.5)
    return members


def _spoil(dice: Dice, members: dict[str, Any], probability: float) -> None:
    while dice.chance(probability):
        name = dice.choice(list(members)) if members and dice.chance(0.9) else dice.text()
        value = members.get(name)
        if dice.chance(0.1):
            members.pop(name, None)
        elif isinstance(value, list) and value and dice.chance(0.6):
            value[dice.randrange(len(value))] = dice.value(1)
        else:
            members[name] = dice.value()


def batch(dice: Dice, frames: list[str]) -> bytes:
    """A body with these frames, seldom spoilt."""
    if dice.chance(0.02):
        return dice.choice((b"", b" ", b"\n", b"[]", b"{}", b"null", b'"m"', b"[1]", b"[[]]", b"\xff", b"[" * 5000))
    if dice.chance(0.02):
        return json.dumps(dice.value()).encode()
    if dice.chance(0.02):
        frames = frames * 12
    body = json.dumps(frames).encode()
    if dice.chance(0.2):
        body = json.dumps(frames, ensure_ascii=False).encode("utf-8", dice.choice(("surrogatepass", "replace")))
    if dice.chance(0.1):
        body += dice.choice((b"\n", b"\r\n", b"\n\n", b"\n[]", b"\x00"))
    return dice.mutated(body) if dice.chance(0.15) else body
