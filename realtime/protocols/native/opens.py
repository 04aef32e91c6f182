"""How a session is opened: the client's `o`, and the server's (docs/protocol.md §5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

from ...core.config import OPEN_SIZE, Config
from ...core.durable.machine import DurableMachine
from ...core.errors import RemoteProtocolError, clip
from ...core.frames import Window, window_of
from ...core.machine import shown
from ...core.negotiation import Choice
from ...core.numbered_machine import NumberedMachine
from ...core.proof import Key
from .durable import is_tenure
from .rooms import parse_rooms
from .values import (
    MAX_NUMBER,
    NAME,
    as_it_came,
    compact,
    is_number,
    is_sid,
    is_span,
    is_text,
    is_time,
    malformed,
    parse_json,
    parse_one,
)

__all__ = ["MAX_AUTH", "Open", "Opened", "open_frame", "opened_frame", "parse_open", "verdicts"]

MAX_AUTH = Config().max_auth_size  # bytes, where nothing else is set

_NONCE = re.compile(r"[A-Za-z0-9_-]{22,64}")
_SPACE = re.compile(r"[ \t\r\n]*")
# Opens of one kind are alike but for this: see parse_open().
_NONCE_MEMBER = re.compile(r'"nonce": ?"([A-Za-z0-9_-]{22,64})"')
MOST_ALIKE = 512  # characters
MOST_KINDS = 128
# What is wrong with one.
WINDOW = "open: window is [messages, bytes], both from 1"
TRANSPORTS = "open: transports is an array of names, of 1 to 64 characters A-Z a-z 0-9 - _ each"


# -- the client's ------------------------------------------------------------------------------------------------------


class Open(NamedTuple):
    """A client's open."""

    nonce: str
    gen: int
    window: Window
    transports: tuple[str, ...]
    auth: bytes | None  # JSON, as it came
    failed: Mapping[str, tuple[str, float]] = {}  # transport → how, and how many seconds ago
    tried: Mapping[str, float] = {}  # transport → seconds it took to get through
    rooms: Mapping[str, str] | None = None  # room → cursor, of a client that takes `h`
    durable: bool = False  # it keeps the rules of durable sessions

    def __repr__(self) -> str:
        return shown(self)


def open_frame(
    nonce: str,
    gen: int,
    window: Window,
    transports: Sequence[str],
    auth: Any = None,
    failed: Mapping[str, tuple[str, float]] | None = None,
    tried: Mapping[str, float] | None = None,
    rooms: Mapping[str, str] | None = None,
    durable: bool = False,
) -> str:
    """The client's `o`; with `rooms`, empty or not, it takes `h`, and if it is `durable`, keeps the rules of durable
    sessions. Raises TypeError or ValueError when `auth` is not JSON."""
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
    if rooms is not None:
        members["rooms"] = dict(rooms)
    if durable:
        members["durable"] = True
    return "o" + compact(members)


# The same in a URL, where no client escapes what a nonce consists of.
_NONCE_IN_URL = re.compile(r"%22nonce%22%3A(?:%20|\+)?%22([A-Za-z0-9_-]{22,64})%22")
# What opens say behind the nonce, by what is written around it: where that is nothing of a client's own.
_kinds: dict[tuple[str, str], tuple[Any, ...]] = {}


def parse_open(text: str, max_auth: int = MAX_AUTH) -> Open:
    """The JSON object of a client's `o`. Raises RemoteProtocolError (4400, 4413).

    All clients of a kind say the same but for the nonce: of those the text is parsed once.
    """
    found = _NONCE_MEMBER.search(text) if len(text) <= MOST_ALIKE else None
    if found is None:
        return _parse(text, max_auth)
    around = text[: found.start(1)], text[found.end(1) :]
    said = _kinds.get(around)
    if said is not None:
        return Open(found[1], *said)
    head = _parse(text, max_auth)
    if _is_alike(head, text):
        _keep(around, head)
    return head


def parse_open_in_url(url: str, decode: Callable[[], str | None], max_auth: int) -> Open | None:
    """The same where it stands in a URL, in the query's only field, as `decode` has it; None where that is missing. Of
    clients of a kind at one path that is done once. Raises as parse_open() and `decode` do."""
    found = _NONCE_IN_URL.search(url) if len(url) <= 2 * MOST_ALIKE else None
    if found is not None:
        around = url[: found.start(1)], url[found.end(1) :]
        said = _kinds.get(around)
        if said is not None:
            return Open(found[1], *said)
    text = decode()
    if text is None:
        return None
    head = parse_open(text, max_auth)
    if found is not None and "&" not in url and "#" not in url and _is_alike(head, text):
        _keep(around, head)
    return head


def _is_alike(head: Open, text: str) -> bool:
    """Whether an open that says the same around another nonce says the same: nothing in it is its client's own. Where
    the word stands there once, and nothing is escaped, it can only be that member."""
    own = head.auth is not None or head.failed or head.tried or head.rooms
    return not own and text.count("nonce") == 1 and "\\" not in text


def _keep(around: tuple[str, str], head: Open) -> None:
    if len(_kinds) >= MOST_KINDS:
        _kinds.clear()
    _kinds[around] = head[1:]


def _parse(text: str, max_auth: int) -> Open:
    if len(text) > OPEN_SIZE + max_auth:
        raise RemoteProtocolError(
            4413, f"the open is above {OPEN_SIZE} characters, and {max_auth} bytes of auth data (max_auth_size)"
        )
    try:
        members, end = parse_one(text, 0) if text.startswith("{") else (None, 0)
        if end != len(text):  # white space around it, or what is no JSON
            members = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise malformed(f"the open is not JSON: {error}") from None
    if not isinstance(members, dict):
        raise malformed("the open is not a JSON object")
    nonce, gen = members.get("nonce"), members.get("gen")
    if type(nonce) is not str or not _NONCE.fullmatch(nonce):
        raise malformed("open: nonce is 22 to 64 characters of A-Z a-z 0-9 - _")
    if type(gen) is not int or not 0 < gen <= MAX_NUMBER:
        raise malformed("open: gen is a number from 1")
    window, transports = members.get("window"), members.get("transports", [])
    if type(window) is not list or len(window) != 2:
        raise malformed(WINDOW)
    if type(transports) is not list:
        raise malformed(TRANSPORTS)
    try:
        announced, named = _kind(*window, *transports)
    except TypeError:  # what has no hash is no number, and no name: this raises
        announced, named = _judge_kind(*window, *transports)
    failed, tried = _parse_history(members) if "failed" in members or "tried" in members else ({}, {})
    rooms = parse_rooms(members["rooms"]) if "rooms" in members else None
    auth = None
    if members.get("auth") is not None:
        auth = as_it_came(_auth_of(text))
        if len(auth) > max_auth:
            raise RemoteProtocolError(4413, f"open: auth is above max_auth_size={max_auth} bytes")
    durable = members.get("durable") is True
    return Open(nonce, gen, announced, named, auth, failed, tried, rooms, durable)


def _judge_kind(most: object, size: object, *transports: object) -> tuple[Window, tuple[str, ...]]:
    """The window of a client, and the names of transports that it can run. Raises RemoteProtocolError (4400)."""
    if type(most) is not int or type(size) is not int or min(most, size) < 1 or max(most, size) > MAX_NUMBER:
        raise malformed(WINDOW)
    names = tuple(name for name in transports if isinstance(name, str) and NAME.fullmatch(name))
    if len(names) < len(transports):
        raise malformed(TRANSPORTS)
    if len(names) > 32:
        raise malformed("open: more than 32 transports")
    return window_of(most, size), names


# The same for all clients of a kind, which are given one object. (True is no 1, though it equals it.)
_kind = lru_cache(maxsize=128, typed=True)(_judge_kind)


def _auth_of(text: str) -> str:
    """The text of the member `auth`, the last of that name, in an object that has one and was parsed before."""
    found, at = "", text.index("{")
    while text[at] != "}":
        key, at = parse_one(text, _skip(text, at + 1))
        begin = _skip(text, _skip(text, at) + 1)
        _, end = parse_one(text, begin)
        if key == "auth":
            found = text[begin:end]
        at = _skip(text, end)
    return found


def _skip(text: str, at: int) -> int:
    """Where the white space from here on ends."""
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def _parse_history(members: dict[str, Any]) -> tuple[dict[str, tuple[str, float]], dict[str, float]]:
    """What the client says of earlier attempts: `failed` and `tried`. Raises RemoteProtocolError (4400)."""
    failed, tried = members.get("failed", {}), members.get("tried", {})
    if not isinstance(failed, dict) or not isinstance(tried, dict) or len(failed) > 32 or len(tried) > 32:
        raise malformed("open: failed and tried are objects of at most 32 transports")
    history: dict[str, tuple[str, float]] = {}
    for name, entry in failed.items():
        if (
            not NAME.fullmatch(name)
            or not isinstance(entry, list)
            or len(entry) != 2
            or not is_text(entry[0])
            or not is_span(entry[1])
        ):
            raise malformed("open: failed maps the name of a transport to [how, seconds ago]")
        history[name] = (clip(entry[0]), float(entry[1]))
    if not all(NAME.fullmatch(name) and is_span(took) for name, took in tried.items()):
        raise malformed("open: tried maps the name of a transport to seconds")
    return history, {name: float(took) for name, took in tried.items()}


# -- the server's ------------------------------------------------------------------------------------------------------


# What verdicts() has worded, by the id of the tuple, which is kept here: that is asked for sooner than its hash.
_worded: dict[int, tuple[tuple[Choice, ...], str]] = {}


def verdicts(choices: tuple[Choice, ...]) -> str:
    """The member `transports` of the server's `o`. All clients of a kind are given one tuple, most of the time."""
    worded = _worded.get(id(choices))
    if worded is None:
        if len(_worded) >= MOST_KINDS:
            _worded.clear()
        worded = _worded[id(choices)] = choices, compact([choice.as_dict() for choice in choices])
    return worded[1]


def opened_frame(machine: NumberedMachine, transport: str, transports: str, received: int, taken: int) -> str:
    """The server's `o`; see verdicts()."""
    config = machine.config
    same = config._told.get(transport) or _tell(config, transport)
    # Sids and keys have no character that JSON would escape (docs/protocol.md §5).
    whose = f'"sid":"{machine.sid}","key":"{machine.secret}","ack":[{received},{taken}]'
    durable = type(machine) is not NumberedMachine and isinstance(machine, DurableMachine)  # the second takes longer
    tenure = f'"tenure":"{cast(DurableMachine, machine).owner.tenure.id}",' if durable else ""
    return f'o{{{whose},{tenure}{same},"transports":{transports}}}'


def _tell(config: Config, transport: str) -> str:
    """The members of the server's `o` that are the same for all sessions with these settings, by one transport."""
    members = {
        "window": config.window,
        "max_size": config.max_size,
        "max_batch": [config.max_batch, config.max_body],
        "ping_interval": config.ping_interval,
        "ping_timeout": config.ping_timeout,
        "resume_window": config.resume_window,
        "poll_interval": config.poll_interval,
        "transport": transport,
    }
    told = config._told[transport] = compact(members)[1:-1]
    return told


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
    tenure: str = ""  # its owner's; empty where the session is not durable

    def __repr__(self) -> str:
        return shown(self)

    @classmethod
    def parse(cls, text: str) -> Opened:
        """Raises RemoteProtocolError (1002) for anything a server would not say."""
        if len(text) > OPEN_SIZE:  # parsed, it may be a hundred times as large
            raise RemoteProtocolError(1002, f"the server's o is above {OPEN_SIZE} characters")
        try:
            members = parse_json(text)
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
                tenure=members.get("tenure", ""),
            )
        except (ValueError, RecursionError, KeyError, TypeError, IndexError) as error:
            raise RemoteProtocolError(1002, f"the server's o cannot be read: {error!r}") from None
        if not is_sid(opened.sid):
            raise RemoteProtocolError(1002, "the server's o has no proper sid")
        if not is_sid(opened.key):
            raise RemoteProtocolError(1002, "the server's o has no proper key")
        sizes = (*opened.window, opened.max_size, *opened.max_batch)
        if not all(map(is_number, opened.ack)) or not all(is_number(size) and size >= 1 for size in sizes):
            raise RemoteProtocolError(1002, "the server's o has wrong numbers")
        times = (opened.ping_interval, opened.ping_timeout)
        if not all(time is None or is_time(time) for time in times) or not is_time(opened.resume_window):
            raise RemoteProtocolError(1002, "the server's o has wrong times")
        least, most = opened.poll_interval
        if not is_time(least) or not is_time(most) or least > most:
            raise RemoteProtocolError(1002, "the server's o has a wrong poll_interval")
        if opened.tenure != "" and not is_tenure(opened.tenure):
            raise RemoteProtocolError(1002, "the server's o has no proper tenure")
        if not all(isinstance(transport, dict) for transport in opened.transports):
            raise RemoteProtocolError(1002, "the server's o has transports that are no objects")
        return opened
