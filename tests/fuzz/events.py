"""Inputs for the layer of events: packets, and messages of any kind, whole and mutated.

What a decoder gives can be written again; what it refuses, it refuses with a code; and it keeps no more than it may.
"""

from __future__ import annotations

from realtime.core.errors import LocalProtocolError, RemoteProtocolError
from realtime.protocols.layers.socketio import packets
from realtime.protocols.layers.socketio.decoder import Decoder
from realtime.protocols.layers.socketio.packets import Packet

from .dice import Dice

__all__ = ["run"]

TYPES = (packets.EVENT, packets.EVENT, packets.EVENT, packets.ACK, packets.CONNECT, packets.DISCONNECT, 4)
NAMES = ("/", "/", "/admin", "/é ", "/a/b")


def run(dice: Dice) -> None:
    """Some messages of one session. Raises AssertionError, or whatever should not have come out."""
    version = dice.choice((5, 5, 4, 3))
    decoder = Decoder(version, max_attachments=4, max_size=50_000, patience=10.0)
    for _ in range(dice.randrange(1, 5)):
        for message in _messages(dice, version):
            try:
                found = decoder.feed(message, 0.0)
                assert sum(map(len, decoder._attachments)) <= decoder._size <= 50_000
                assert len(decoder._attachments) < 4
                if found is not None:
                    _check(decoder.version, *found)
            except RemoteProtocolError as error:
                if error.close_code in (1002, 1009):
                    return
                raise


def _check(version: int, packet: Packet, size: int) -> None:
    """What came out can be said again, and means the same."""
    assert 0 < size <= 500_000
    query = isinstance(packet.data, str)  # a CONNECT's, which only clients of old say
    if not query:
        again = Decoder(version, max_attachments=100_000, max_size=10**9, patience=10.0)
        told = [found for part in packets.write(version, packet) if (found := again.feed(part, 0.0))]
        assert [one for one, _ in told] == [packet]


def _messages(dice: Dice, version: int) -> list[str | bytes]:
    if dice.chance(0.2):
        return [dice.randbytes(dice.size()) if dice.chance(0.3) else _clean(dice.text())]
    kind = dice.choice(TYPES)
    data: list[object] | None = None
    if kind in (packets.EVENT, packets.ACK):
        data = [dice.choice(("a", "message", "connect", 3, None))] if kind == packets.EVENT else []
        data += [dice.value() for _ in range(dice.randrange(3))]
        data += [dice.randbytes(dice.randrange(5)) for _ in range(dice.choice((0, 0, 1, 2, 5)))]
    elif dice.chance(0.5):
        data = [dice.value()]
    number = dice.number() if kind == packets.ACK or dice.chance(0.3) else None
    try:
        written = packets.write(version, Packet(kind, dice.choice(NAMES), data, number))
    except LocalProtocolError:  # numbers that JSON has not, and bytes where none may be
        written = ["2[NaN]"]
    if dice.chance(0.4):
        text = written[0]
        assert isinstance(text, str)
        written[0] = _clean(dice.mutated(text.encode("utf-8", "replace")).decode("utf-8", "replace"))
    if dice.chance(0.2):
        dice.shuffle(written)
    if dice.chance(0.1):
        written.pop()
    return written


def _clean(text: str) -> str:
    """Text as a session brings it: without lone surrogates."""
    return text.encode("utf-8", "replace").decode()
