"""The native protocol, version 1: frames as text, and what each of them asks of a machine (docs/protocol.md).

Pure. Everything that comes from the peer is checked here or in the machine, and what is wrong raises
RemoteProtocolError with the close code of docs/protocol.md §9.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, TypeGuard

from ..core.carrier import Capabilities, NumberedCarrier, Part, Shape
from ..core.client_machine import NO_KEY, Attach, ClientMachine, Uplink
from ..core.config import OPEN_SIZE, Config
from ..core.errors import Refusal, RemoteProtocolError, clip
from ..core.frames import BINARY, CLOSE, TEXT, Outgoing, Window
from ..core.machine import may_close_with, shown
from ..core.numbered_machine import NumberedMachine
from ..core.numbering import Numbering
from ..core.proof import ATTACH, SEND, Key, ticket
from ..transports import Frame, Transport

__all__ = [
    "RENEWED",
    "VERSION",
    "NativeCodec",
    "Open",
    "Opened",
    "Renewal",
    "RequestHead",
    "attach_frame",
    "feed_client",
    "feed_server",
    "is_text",
    "open_frame",
    "opened_frame",
    "parse_head",
    "parse_open",
    "parse_refusal",
    "parse_renewal",
    "refusal_frame",
    "renewal_frame",
    "ticket_frame",
    "ticket_frames",
    "uplink_frames",
]

VERSION = 1
CAPABILITIES = Capabilities()
MAX_NUMBER = 2**53 - 1
MAX_PING = 64  # characters
TICKETS = 4  # handed out unasked: a few attempts may fail before a client has to ask
MORE_TICKETS = 16  # and when it asks
MAX_AUTH = Config().max_auth_size  # bytes, where nothing else is set
# What the rate of messages does not count twice: numbered frames, and acks until it is seen what they tell.
NUMBERED_OR_ACK = ("m", "b", "d", "c", "a")
RENEWED = "t"  # the server's answer to a `t`

_NONCE = re.compile(r"[A-Za-z0-9_-]{22,64}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SID = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _not_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_not_json)
_parse_json = _decoder.decode
_parse_one = _decoder.raw_decode
_SPACE = re.compile(r"[ \t\r\n]*")


# -- frames out ----------------------------------------------------------------------------------------------------


class NativeCodec:
    """The native protocol on one transport. See core.carrier.NumberedCodec."""

    capabilities = CAPABILITIES

    def __init__(self, transport: Transport, kind: str = "server") -> None:
        self.transport = transport
        self.name = transport.name
        self.shape = transport.shape
        self.held = transport.held
        # Transports that lay frames alike share what was encoded.
        self.key = f"native {kind} {transport.lays}"
        self.wrap = transport.wrap

    def item(self, item: Outgoing) -> Part:
        """A numbered item; made once for all receivers on carriers of this kind."""
        part = item.encoded.get(self.key)
        if part is None:
            part = item.encoded[self.key] = self.transport.frame(self._text(item))
        return part

    def _text(self, item: Outgoing) -> Frame:
        if item.kind == TEXT:
            return f"m{item.data!s}"
        if item.kind == BINARY:
            assert isinstance(item.data, bytes)
            if self.shape is Shape.DUPLEX:
                return item.data
            return "b" + binascii.b2a_base64(item.data, newline=False).decode()
        if item.kind == CLOSE:
            return f"c{item.code},{clip(str(item.data))}"
        return f"d{item.code}"

    def number(self, number: int) -> Part:
        """`n`: the next numbered frame here has this number."""
        return self.transport.frame(f"n{number}")

    def ack(self, received: int, taken: int) -> Part:
        """`a`."""
        return self.transport.frame(f"a{received},{taken}")

    def attached(self, received: int, taken: int) -> Part:
        """`r`, as the server says it."""
        return self.transport.frame(f"r{received},{taken}")

    def ping(self) -> Part:
        """`p`."""
        return self.transport.frame("p")

    def pong(self, payload: str) -> Part:
        """`q`, with what the ping carried."""
        return self.transport.frame("q" + payload)

    def end_of_carrier(self, reason: str) -> Part:
        """`e`."""
        return self.transport.frame("e" + reason)

    def abrupt(self, code: int, scope: str, received: int | None, reason: str) -> Part:
        """`x`."""
        return self.transport.frame(refusal_frame(Refusal(code, reason, scope=scope, received=received)))

    def go_away(self, value: float) -> Part:
        """`g`. A delay has milliseconds: never an exponent, which is no decimal number."""
        return self.transport.frame(f"g{round(value, 3)}")

    def text(self, frame: str) -> Part:
        """Any frame already in words."""
        return self.transport.frame(frame)


def refusal_frame(refusal: Refusal) -> str:
    """The `x` that tells of a refusal."""
    received = "" if refusal.received is None else refusal.received
    return f"x{refusal.code},{refusal.scope},{received},{clip(refusal.reason)}"


def open_frame(
    nonce: str,
    gen: int,
    window: Window,
    transports: Sequence[str],
    auth: Any = None,
    failed: Mapping[str, tuple[str, float]] | None = None,
    tried: Mapping[str, float] | None = None,
) -> str:
    """The client's `o`. Raises TypeError or ValueError when `auth` is not JSON."""
    members: dict[str, Any] = {
        "nonce": nonce,
        "gen": gen,
        "window": list(window),
        "transports": list(transports),
    }
    if auth is not None:
        members["auth"] = auth
    if failed:
        members["failed"] = {name: [clip(how), round(ago, 1)] for name, (how, ago) in failed.items()}
    if tried:
        members["tried"] = {name: round(took, 4) for name, took in tried.items()}
    return "o" + _compact(members)


def renewal_frame(auth: Any) -> str:
    """The client's `t`. Raises TypeError or ValueError when `auth` is not JSON."""
    return "t" + _compact(auth)


def attach_frame(attach: Attach) -> str:
    """The client's `r`."""
    return f"r{attach.sid},{attach.gen},{attach.received},{attach.taken},{attach.first},{attach.proof}"


def uplink_frames(codec: NativeCodec, batch: Uplink) -> list[Part]:
    """The frames of an uplink batch, its head first."""
    head = f"u{batch.sid},{batch.received},{batch.taken},{batch.first},{batch.proof}"
    parts = [codec.text(head), *map(codec.item, batch.items)]
    if batch.going is not None:
        parts.append(codec.go_away(batch.going))
    return parts


def ticket_frame(machine: NumberedMachine, gen: int, count: int = TICKETS) -> str:
    """The server's `k`: tickets for attaches by URL, from this gen on."""
    machine.tickets.handed = max(machine.tickets.handed, gen + count - 1)
    return _tickets(machine.key, ATTACH, gen, count)


def ticket_frames(machine: NumberedMachine, frames: Sequence[Frame]) -> list[str]:
    """The tickets that are due in the answer to a send with these frames, which were fed: those that it asks for, and
    new ones where the last was used."""
    asked: dict[str, int] = {}
    for frame in frames:
        if isinstance(frame, str) and frame[:1] in (ATTACH, SEND):
            asked[frame[:1]] = int(frame[1:])
    found = []
    if ATTACH in asked:
        found.append(ticket_frame(machine, asked[ATTACH], MORE_TICKETS))
    elif machine.out_of_tickets:
        found.append(ticket_frame(machine, machine.gen + 1))
    if SEND in asked:
        found.append(_tickets(machine.key, SEND, asked[SEND], MORE_TICKETS))
    return found


def _tickets(key: str, use: str, number: int, count: int) -> str:
    number = min(number, MAX_NUMBER)
    return ",".join((f"{use}{number}", *(ticket(key, use, number + ahead) for ahead in range(count))))


def opened_frame(
    machine: NumberedMachine, transport: str, transports: Sequence[Mapping[str, str | float]], received: int, taken: int
) -> str:
    """The server's `o`."""
    config = machine.config
    return "o" + _compact(
        {
            "sid": machine.sid,
            "key": machine.key,
            "ack": [received, taken],
            "window": list(config.window),
            "max_size": config.max_size,
            "max_batch": [config.max_batch, config.max_body],
            "ping_interval": config.ping_interval,
            "ping_timeout": config.ping_timeout,
            "resume_window": config.resume_window,
            "poll_interval": list(config.poll_interval),
            "transport": transport,
            "transports": list(transports),
        }
    )


# -- heads of requests -----------------------------------------------------------------------------------------------


class Open(NamedTuple):
    """A client's open."""

    nonce: str
    gen: int
    window: Window
    transports: tuple[str, ...]
    auth: bytes | None  # JSON, as it came
    failed: Mapping[str, tuple[str, float]] = {}  # transport → how, and how many seconds ago
    tried: Mapping[str, float] = {}  # transport → seconds it took to get through

    def __repr__(self) -> str:
        return shown(self)


class RequestHead(NamedTuple):
    """An attach (`gen` ≥ 1) or the head of an uplink batch (`gen` 0). `proof` is a key or ticket; empty for none."""

    sid: str
    gen: int
    received: int
    taken: int
    first: int
    proof: Key = NO_KEY

    def __repr__(self) -> str:
        return shown(self)


def _malformed(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(4400, what)


def _number(text: str, what: str) -> int:
    """A decimal number without sign or leading zeros, at most 2**53 - 1."""
    if text.isascii() and text.isdigit() and len(text) <= 16 and (text[0] != "0" or text == "0"):
        number = int(text)
        if number <= MAX_NUMBER:
            return number
    raise RemoteProtocolError(1002, f"{what} is not a number: {text[:32]!r}")


def parse_open(text: str, max_auth: int = MAX_AUTH) -> Open:
    """The JSON object of a client's `o`. Raises RemoteProtocolError (4400, 4413)."""
    if len(text) > OPEN_SIZE + max_auth:
        raise RemoteProtocolError(
            4413, f"the open is above {OPEN_SIZE} characters, and {max_auth} bytes of auth data (max_auth_size)"
        )
    try:
        members = _parse_json(text)
    except (ValueError, RecursionError) as error:
        raise _malformed(f"the open is not JSON: {error}") from None
    if not isinstance(members, dict):
        raise _malformed("the open is not a JSON object")
    nonce, gen, window = members.get("nonce"), members.get("gen"), members.get("window")
    transports = members.get("transports", [])
    if not isinstance(nonce, str) or not _NONCE.fullmatch(nonce):
        raise _malformed("open: nonce is 22 to 64 characters of A-Z a-z 0-9 - _")
    if not _is_number(gen) or not gen:
        raise _malformed("open: gen is a number from 1")
    if not isinstance(window, list) or len(window) != 2 or not all(_is_number(n) and n >= 1 for n in window):
        raise _malformed("open: window is [messages, bytes], both from 1")
    if not isinstance(transports, list) or not all(isinstance(n, str) and _NAME.fullmatch(n) for n in transports):
        raise _malformed("open: transports is an array of names, of 1 to 64 characters A-Z a-z 0-9 - _ each")
    if len(transports) > 32:
        raise _malformed("open: more than 32 transports")
    failed, tried = _parse_history(members)
    auth = None
    if members.get("auth") is not None:
        auth = _as_it_came(_auth_of(text))
        if len(auth) > max_auth:
            raise RemoteProtocolError(4413, f"open: auth is above max_auth_size={max_auth} bytes")
    return Open(nonce, gen, Window(*window), tuple(transports), auth, failed, tried)


def _auth_of(text: str) -> str:
    """The text of the member `auth`, the last of that name, in an object that has one and was parsed before."""
    found, at = "", text.index("{")
    while text[at] != "}":
        key, at = _parse_one(text, _skip(text, at + 1))
        begin = _skip(text, _skip(text, at) + 1)
        _, end = _parse_one(text, begin)
        if key == "auth":
            found = text[begin:end]
        at = _skip(text, end)
    return found


def _skip(text: str, at: int) -> int:
    """Where the white space from here on ends."""
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def _as_it_came(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(_as_it_came(text))


def _parse_history(members: dict[str, Any]) -> tuple[dict[str, tuple[str, float]], dict[str, float]]:
    """What the client says of earlier attempts: `failed` and `tried`. Raises RemoteProtocolError (4400)."""
    failed, tried = members.get("failed", {}), members.get("tried", {})
    if not isinstance(failed, dict) or not isinstance(tried, dict) or len(failed) > 32 or len(tried) > 32:
        raise _malformed("open: failed and tried are objects of at most 32 transports")
    history: dict[str, tuple[str, float]] = {}
    for name, entry in failed.items():
        if (
            not _NAME.fullmatch(name)
            or not isinstance(entry, list)
            or len(entry) != 2
            or not is_text(entry[0])
            or not _is_span(entry[1])
        ):
            raise _malformed("open: failed maps the name of a transport to [how, seconds ago]")
        history[name] = (clip(entry[0]), float(entry[1]))
    if not all(_NAME.fullmatch(name) and _is_span(took) for name, took in tried.items()):
        raise _malformed("open: tried maps the name of a transport to seconds")
    return history, {name: float(took) for name, took in tried.items()}


def _is_span(value: object) -> bool:
    """Whether this is a finite number of seconds, 0 or more."""
    return type(value) in (int, float) and 0 <= value < 1e9  # type: ignore[operator] # a number


def is_text(value: object) -> bool:
    """Whether this is a string of Unicode scalar values."""
    return isinstance(value, str) and value.encode("utf-8", "replace").decode() == value


def _is_sid(value: object) -> bool:
    return isinstance(value, str) and _SID.fullmatch(value) is not None


def _is_number(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= MAX_NUMBER


def _is_time(value: object) -> bool:
    """Whether this is a number of seconds above 0 that can be reckoned with."""
    return type(value) in (int, float) and 0 < value <= MAX_NUMBER  # type: ignore[operator] # a number


def parse_head(frame: Frame, max_auth: int = MAX_AUTH) -> Open | RequestHead:
    """The first frame of a connection or batch: `o`, `r` or `u`. Raises RemoteProtocolError (4400, 4413)."""
    if not isinstance(frame, str) or frame[:1] not in ("o", "r", "u"):
        raise _malformed("the first frame must be o (open), r (attach) or u (uplink)")
    if frame[0] == "o":
        return parse_open(frame[1:], max_auth)
    fields = frame[1:].split(",")
    expected = 5 if frame[0] == "r" else 4
    if len(fields) < expected or not _SID.fullmatch(fields[0]):
        raise _malformed(
            "attach is r<sid>,<gen>,<received>,<taken>,<first>,<key>"
            if expected == 5
            else "an uplink batch starts with u<sid>,<received>,<taken>,<first>,<key>"
        )
    try:
        numbers = [_number(field, "a field of the head") for field in fields[1:expected]]
    except RemoteProtocolError:  # which is not repeated: where a field is missing it is the key
        raise _malformed("a field of the head is not a number, or is missing") from None
    gen = numbers.pop(0) if expected == 5 else 0
    if (expected == 5 and gen < 1) or numbers[2] < 1:
        raise _malformed("gen and first count from 1")
    received, taken, first = numbers
    return RequestHead(fields[0], gen, received, taken, first, Key(*fields[expected : expected + 1]))


# -- frames in -------------------------------------------------------------------------------------------------------


class Renewal(NamedTuple):
    """Fresh auth data of a session."""

    auth: bytes  # JSON, as it came


def parse_renewal(frame: Frame, max_auth: int = MAX_AUTH) -> Renewal | None:
    """A client's `t`, or None for any other frame. Raises RemoteProtocolError."""
    if not isinstance(frame, str) or frame[:1] != "t":
        return None
    if _size(frame) - 1 > max_auth:
        raise RemoteProtocolError(1009, f"fresh auth data are above max_auth_size={max_auth} bytes")
    try:
        _parse_json(frame[1:])
        return Renewal(_as_it_came(frame[1:]))
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError(1002, f"fresh auth data are t<JSON>: {error}") from None


def feed_server(machine: NumberedMachine, carrier: NumberedCarrier, frame: Frame, now: float) -> Renewal | None:
    """One frame from a client, behind the head. Raises RemoteProtocolError.

    Returns the fresh auth data that it brings: only the application can tell what they are worth.
    """
    carrier.last_received = machine.contact = now
    if carrier.pinged:  # the next ping is due earlier than the end of silence was
        carrier.pinged = False
        machine.wake_by(machine.deadline())
    if _feed(machine, carrier, frame, now):
        if not machine.used and frame[:1] == "a":
            machine.use()  # it has read our `o`
        return None
    kind = frame[:1]
    if kind == "t":
        return parse_renewal(frame, machine.config.max_auth_size)
    if kind == "g":
        machine.peer_going(_number(str(frame[1:]), "g"))
    elif kind == "x":
        refusal = parse_refusal(str(frame))
        if not may_close_with(refusal.code) and refusal.code not in (1002, 1003, 1007, 1009):
            raise RemoteProtocolError(1002, f"a client does not end with {refusal.code}")
        machine.end(refusal.code, refusal.reason, now)
    elif kind in (ATTACH, SEND):  # whoever answers gives the tickets
        _number(str(frame[1:]), str(kind))
    elif kind in ("o", "r", "u"):
        raise RemoteProtocolError(1002, f"{kind} can only be the first frame")
    return None


def feed_client(machine: ClientMachine, carrier: NumberedCarrier, frame: Frame, now: float) -> None:
    """One frame from the server. Raises RemoteProtocolError."""
    if carrier.ignores:
        return
    carrier.last_received = machine.contact = now
    if carrier.pinged:  # the next ping is due earlier than the end of silence was
        carrier.pinged = False
        machine.wake_by(machine.deadline())
    if _feed(machine, carrier, frame, now):
        return
    assert isinstance(frame, str)
    kind = frame[:1]
    if kind == "r":
        machine.attached(carrier, *_pair(frame, "r"), now)
    elif kind == "o":
        opened = Opened.parse(frame[1:])
        if not machine.opened(carrier, opened.sid, opened.window, *opened.ack, now, opened.key):
            carrier.ignores = True  # another session's: nothing that follows on it is ours
    elif kind == ATTACH:
        first, *tickets = frame[1:].split(",", MORE_TICKETS + 1)
        machine.hand_out(_number(first, kind), tickets[:MORE_TICKETS])
    elif kind == "g":
        machine.going_away(now)


def _feed(machine: Numbering, carrier: NumberedCarrier, frame: Frame, now: float) -> bool:
    """The frames that mean the same both ways. Returns False for the others."""
    if isinstance(frame, bytes):
        machine.message(carrier, frame, len(frame), now)
        return True
    kind = frame[:1]
    if kind not in NUMBERED_OR_ACK:
        machine.inbox.other(now)
    if kind == "m":
        text = frame[1:]
        try:
            size = len(text) if text.isascii() else len(text.encode())
        except UnicodeEncodeError:
            raise RemoteProtocolError(1007, "text with a lone surrogate; replace it by U+FFFD") from None
        machine.message(carrier, text, size, now)
    elif kind == "a":
        if not machine.acknowledged(*_pair(frame, "a"), now):
            machine.inbox.other(now)
    elif kind == "b":
        try:
            data = binascii.a2b_base64(frame[1:], strict_mode=True)
        except ValueError:
            raise RemoteProtocolError(1007, "a binary message that is not base64 (RFC 4648 section 4)") from None
        machine.message(carrier, data, len(data), now)
    elif kind == "p":
        payload = frame[1 : MAX_PING + 1]
        if not is_text(payload):  # it could not be said back
            raise RemoteProtocolError(1007, "a ping with a lone surrogate")
        machine.pinged(carrier, payload)
    elif kind == "n":
        machine.renumber(carrier, _number(frame[1:].partition(",")[0], "n"))
    elif kind == "c":
        code, _, reason = frame[1:].partition(",")
        machine.peer_closed(carrier, _clean_code(code), clip(reason), now)
    elif kind == "d":
        machine.drop_note(carrier, _number(frame[1:], "d"), now)
    elif kind == "q":
        pass
    elif kind == "":
        raise RemoteProtocolError(1002, "an empty frame")
    else:
        return False
    return True


def _pair(frame: str, what: str) -> tuple[int, int]:
    received, _, rest = frame[1:].partition(",")
    return _number(received, what), _number(rest.partition(",")[0], what)


def _close_code(text: str) -> int:
    code = _number(text, "a close code")
    if not 1000 <= code <= 4999:
        raise RemoteProtocolError(1002, f"close code {code} is not from 1000 to 4999")
    return code


def _clean_code(text: str) -> int:
    code = _number(text, "a close code")
    if not may_close_with(code):
        raise RemoteProtocolError(1002, f"no clean close has the code {code}")
    return code


def parse_refusal(frame: str) -> Refusal:
    """An `x`. Raises RemoteProtocolError."""
    fields = frame[1:].split(",", 3)
    if frame[:1] != "x" or len(fields) < 4 or fields[1] not in ("session", "carrier"):
        raise RemoteProtocolError(1002, "an abrupt end is x<code>,<session or carrier>,<received>,<reason>")
    received = _number(fields[2], "x") if fields[2] else None
    return Refusal(_close_code(fields[0]), clip(fields[3]), scope=fields[1], received=received)


class Opened(NamedTuple):
    """A server's `o`, as the client reads it."""

    sid: str
    key: Key
    ack: tuple[int, int]
    window: Window
    max_size: int
    max_batch: tuple[int, int]
    ping_interval: float | None
    ping_timeout: float | None
    resume_window: float
    poll_interval: tuple[float, float]
    transports: tuple[Mapping[str, Any], ...]

    def __repr__(self) -> str:
        return shown(self)

    @classmethod
    def parse(cls, text: str) -> Opened:
        """Raises RemoteProtocolError (1002) for anything a server would not say."""
        if len(text) > OPEN_SIZE:  # parsed, it may be a hundred times as large
            raise RemoteProtocolError(1002, f"the server's o is above {OPEN_SIZE} characters")
        try:
            members = _parse_json(text)
            opened = cls(
                sid=members["sid"],
                key=Key(members["key"] if isinstance(members["key"], str) else ""),
                ack=(members["ack"][0], members["ack"][1]),
                window=Window(*members["window"]),
                max_size=members["max_size"],
                max_batch=(members["max_batch"][0], members["max_batch"][1]),
                ping_interval=members["ping_interval"],
                ping_timeout=members["ping_timeout"],
                resume_window=members["resume_window"],
                poll_interval=(members["poll_interval"][0], members["poll_interval"][1]),
                transports=tuple(members["transports"]),
            )
        except (ValueError, RecursionError, KeyError, TypeError, IndexError) as error:
            raise RemoteProtocolError(1002, f"the server's o cannot be read: {error!r}") from None
        if not _is_sid(opened.sid):
            raise RemoteProtocolError(1002, "the server's o has no proper sid")
        if not _is_sid(opened.key):
            raise RemoteProtocolError(1002, "the server's o has no proper key")
        sizes = (*opened.window, opened.max_size, *opened.max_batch)
        if not all(map(_is_number, opened.ack)) or not all(_is_number(size) and size >= 1 for size in sizes):
            raise RemoteProtocolError(1002, "the server's o has wrong numbers")
        times = (opened.ping_interval, opened.ping_timeout)
        if not all(time is None or _is_time(time) for time in times) or not _is_time(opened.resume_window):
            raise RemoteProtocolError(1002, "the server's o has wrong times")
        least, most = opened.poll_interval
        if not _is_time(least) or not _is_time(most) or least > most:
            raise RemoteProtocolError(1002, "the server's o has a wrong poll_interval")
        if not all(isinstance(transport, dict) for transport in opened.transports):
            raise RemoteProtocolError(1002, "the server's o has transports that are no objects")
        return opened
