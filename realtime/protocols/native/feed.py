"""Frames in: what each of them asks of a machine, which is called directly.

Whatever comes from the peer is checked here or in the machine, and what is wrong raises RemoteProtocolError with the
close code of docs/protocol.md §9.
"""

from __future__ import annotations

import re

from ...core.carrier import NumberedCarrier
from ...core.client_machine import ClientMachine
from ...core.durable.machine import DurableMachine
from ...core.errors import RemoteProtocolError, clip
from ...core.frames import ROOM, RoomMessage
from ...core.machine import may_close_with
from ...core.numbered_machine import NumberedMachine
from ...core.numbering import Numbering
from ...core.proof import ATTACH, SEND
from ...transports import Frame
from .durable import Left, parse_attached, parse_cursors, parse_room_of, parse_taken
from .opens import Opened
from .refusals import parse_refusal
from .renewals import Renewal, parse_renewal
from .rooms import parse_room
from .tickets import MORE_TICKETS
from .values import is_text, parse_base64, parse_number

__all__ = ["feed_client", "feed_server"]

MAX_PING = 64  # characters
# What the rate of messages does not count twice: numbered frames, and acks until it is seen what they tell.
NUMBERED_OR_ACK = ("m", "b", "d", "c", "a", "f")
# Two numbers behind a frame's kind, as they usually are: neither can be above MAX_NUMBER.
_PAIR = re.compile(r".(0|[1-9][0-9]{0,14}),(0|[1-9][0-9]{0,14})")


def feed_server(machine: NumberedMachine, carrier: NumberedCarrier, frame: Frame, now: float) -> Renewal | None:
    """One frame from a client, behind the head. Raises RemoteProtocolError.

    Returns the fresh auth data that it brings: only the application can tell what they are worth.
    """
    carrier.last_received = machine.contact = now
    if carrier.pinged:  # the next ping is due earlier than the end of silence was
        carrier.pinged = False
        machine.wake_by(machine.deadline())
    if type(frame) is str:  # _feed(), without a call, as it usually is
        if frame.startswith("m") and frame.isascii():
            machine.message(carrier, frame[1:], len(frame) - 1, now)
            return None
        if frame.startswith("a") and not machine.inbox.metered and (pair := _PAIR.fullmatch(frame)) is not None:
            machine.acknowledged(int(pair[1]), int(pair[2]), now)
            machine.used = True  # it has read our `o`
            return None
    if _feed(machine, carrier, frame, now):
        if not machine.used and frame[:1] == "a":
            machine.used = True  # it has read our `o`
        return None
    kind = frame[:1]
    if kind == "t":
        return parse_renewal(frame, machine.config.max_auth_size)
    if kind == "g":
        machine.peer_going(parse_number(str(frame[1:]), "g"))
    elif kind == "x":
        refusal = parse_refusal(str(frame))
        if not may_close_with(refusal.code) and refusal.code not in (1002, 1003, 1007, 1009):
            raise RemoteProtocolError(1002, f"a client does not end with {refusal.code}")
        machine.end(refusal.code, refusal.reason, now)
    elif kind in ("l", "f"):
        news = isinstance(machine, DurableMachine) and _feed_rooms(machine, str(frame))
        if not news and kind == "f":
            machine.inbox.other(now)
    elif kind in (ATTACH, SEND):  # whoever answers gives the tickets
        parse_number(str(frame[1:]), str(kind))
    elif kind in ("o", "r", "u"):
        raise RemoteProtocolError(1002, f"{kind} can only be the first frame")
    return None


def _feed_rooms(machine: DurableMachine, frame: str) -> bool:
    """What a client says of its rooms; whether that is news. Raises RemoteProtocolError."""
    if frame[:1] == "l":
        cursors = parse_cursors(frame)
        machine.rooms_heard(cursors.gen, cursors.rooms)
        return True
    taken = parse_taken(frame)
    return machine.rooms_taken(taken.gen, taken.number)


def feed_client(machine: ClientMachine, carrier: NumberedCarrier, frame: Frame, now: float) -> None:
    """One frame from the server. Raises RemoteProtocolError."""
    if carrier.ignores:
        return
    carrier.last_received = machine.contact = now
    if carrier.pinged:  # the next ping is due earlier than the end of silence was
        carrier.pinged = False
        machine.wake_by(machine.deadline())
    if machine.following.rooms is not None and isinstance(frame, str) and _feed_durable(machine, carrier, frame, now):
        return
    if _feed(machine, carrier, frame, now):
        return
    assert isinstance(frame, str)
    kind = frame[:1]
    if kind == ROOM:
        told, size = parse_room(frame)
        if isinstance(told, RoomMessage):
            machine.message(carrier, told, size, now)
        else:
            machine.room_position(carrier, told, now)
    elif kind == "r":
        machine.attach_answered(carrier, *_pair(frame, "r"), now)
    elif kind == "o":
        opened = Opened.parse(frame[1:])
        ack, key, tenure = opened.ack, opened.key, opened.tenure
        if not machine.opened(carrier, opened.sid, opened.window, *ack, now, key, tenure):
            carrier.ignores = True  # another session's: nothing that follows on it is ours
    elif kind == ATTACH:
        first, *tickets = frame[1:].split(",", MORE_TICKETS + 1)
        machine.hand_out(parse_number(first, kind), tickets[:MORE_TICKETS])
    elif kind == "g":
        machine.going_away(now)


def _feed_durable(machine: ClientMachine, carrier: NumberedCarrier, frame: str, now: float) -> bool:
    """What is different in a durable session (docs/protocol.md §13). Returns False for the other frames."""
    kind = frame[:1]
    if kind == "l":
        told, size = parse_room_of(frame)
        if isinstance(told, Left):
            machine.room_left(carrier, told.room, now)
        else:
            machine.room_came(carrier, told, size, now)
    elif kind == "r":
        held = parse_attached(frame)
        machine.attach_answered(carrier, held.received, held.taken, now, held.tenure, held.began)
    elif kind == "a" and not carrier.gen:
        held = parse_attached(frame)
        machine.send_answered(carrier, held.received, held.taken, held.tenure, now)
    elif kind == ROOM:
        raise RemoteProtocolError(1002, "messages of rooms have no number in a durable session")
    else:
        return False
    return True


def _feed(machine: Numbering, carrier: NumberedCarrier, frame: Frame, now: float) -> bool:
    """The frames that mean the same both ways. Returns False for the others."""
    if isinstance(frame, bytes):
        machine.message(carrier, frame, len(frame), now)
        return True
    kind = frame[:1]
    metered = machine.inbox.metered
    if metered and kind not in NUMBERED_OR_ACK:
        machine.inbox.other(now)
    if kind == "m":
        text = frame[1:]
        try:
            size = len(text) if text.isascii() else len(text.encode())
        except UnicodeEncodeError:
            raise RemoteProtocolError(1007, "text with a lone surrogate; replace it by U+FFFD") from None
        machine.message(carrier, text, size, now)
    elif kind == "a":
        if not machine.acknowledged(*_pair(frame, "a"), now) and metered:
            machine.inbox.other(now)
    elif kind == "b":
        data = parse_base64(frame[1:])
        machine.message(carrier, data, len(data), now)
    elif kind == "p":
        payload = frame[1 : MAX_PING + 1]
        if not is_text(payload):  # it could not be said back
            raise RemoteProtocolError(1007, "a ping with a lone surrogate")
        machine.pinged(carrier, payload)
    elif kind == "n":
        machine.renumber(carrier, parse_number(frame[1:].partition(",")[0], "n"))
    elif kind == "c":
        code, _, reason = frame[1:].partition(",")
        machine.peer_closed(carrier, _clean_code(code), clip(reason), now)
    elif kind == "d":
        machine.drop_note(carrier, parse_number(frame[1:], "d"), now)
    elif kind == "q":
        pass
    elif kind == "":
        raise RemoteProtocolError(1002, "an empty frame")
    else:
        return False
    return True


def _pair(frame: str, what: str) -> tuple[int, int]:
    found = _PAIR.fullmatch(frame)
    if found is not None:
        return int(found[1]), int(found[2])
    received, _, rest = frame[1:].partition(",")
    return parse_number(received, what), parse_number(rest.partition(",")[0], what)


def _clean_code(text: str) -> int:
    code = parse_number(text, "a close code")
    if not may_close_with(code):
        raise RemoteProtocolError(1002, f"no clean close has the code {code}")
    return code
