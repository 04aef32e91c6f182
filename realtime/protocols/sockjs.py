"""SockJS 0.3.3: its frames, its bodies and its options, from the protocol document in sockjs/sockjs-protocol.

Pure. The frames of the server are `o`, `h`, `a[…]` and `c[code,"reason"]`; clients send arrays of strings. How frames
lie on a transport is in transports/sockjs; what a session without numbers and acks is, in core/plain_machine.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Sequence

from ..core.carrier import Capabilities, Part, Shape
from ..core.config import Config
from ..core.errors import LocalProtocolError, RemoteProtocolError, clip
from ..core.frames import CLOSE, TEXT, Outgoing
from ..core.plain_machine import INTERRUPTED
from ..core.settings import check, flag, number, text, whole
from ..transports.form import parse_fields
from ..transports.sockjs import FRAMINGS, HEARTBEAT, Framing

__all__ = [
    "BROKEN",
    "CAPABILITIES",
    "CODECS",
    "EMPTY",
    "OPEN",
    "SHORT",
    "Messages",
    "SockJS",
    "SockJSCodec",
    "check_callback",
    "close_frame",
    "iframe_page",
    "parse_body",
    "parse_form",
    "parse_frame",
    "quote",
]

OPEN = b"o"
# The document's own words, which clients and suites look for.
EMPTY = "Payload expected."
BROKEN = "Broken JSON encoding."
NO_CALLBACK = '"callback" parameter required'
BAD_CALLBACK = 'invalid "callback" parameter'

CAPABILITIES = Capabilities(binary=False, heartbeat="tell", protocol="SockJS", greeting=OPEN)
# A WebSocket's pings are answered.
ASKS = dataclasses.replace(CAPABILITIES, heartbeat="ask")

_CALLBACK = re.compile(r"[a-zA-Z0-9\-_.]{1,32}")
# JSON allows these as they are; some browsers change or lose them (section "JSON Unicode Encoding").
_MANGLED = re.compile("[\x7f\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_encode = json.JSONEncoder(ensure_ascii=False).encode
# An array longer than this, in bytes, is looked through before anything is made of it: most is made of what is short.
SHORT = 1024
# RFC 8259 §7. What was matched is never tried otherwise, so that no list of ways back is kept.
_QUOTED = rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"'
_STRING = re.compile(_QUOTED)
_SPACE = rb"[ \t\r\n]*+"
_ARRAY = re.compile(
    _SPACE + rb"\[" + _SPACE + rb"(?:" + _QUOTED + _SPACE + rb"(?:," + _SPACE + _QUOTED + _SPACE + rb")*+)?+\]" + _SPACE
)
_URL = re.compile(r"""(?:https?:/)?/[^\s"'<>&\\]+""")
# A script from elsewhere runs in our origin, so it has to be the one that was meant (W3C Subresource Integrity).
_INTEGRITY = re.compile(r"sha(?:256-[A-Za-z0-9+/]{43}=|384-[A-Za-z0-9+/]{64}|512-[A-Za-z0-9+/]{86}==)")
CLIENT_URL = "https://cdn.jsdelivr.net/npm/sockjs-client@1.6.1/dist/sockjs.min.js"
CLIENT_INTEGRITY = "sha384-svdnwiXBL+Js+yUneJSRFy24NgGiOfDM/vkQl/vCeVrcbYD6yW8EwPr1FnxTEZsR"
_RULES = {
    "websocket": flag(),
    "cookie_needed": flag(),
    "heartbeat_delay": number(0, above=True),
    "disconnect_delay": number(0, above=True),
    "response_limit": whole(4096),
    "client_url": text("a URL or a path"),
    "client_integrity": text('hashes such as "sha384-…", "" for the right ones').or_none("none"),
}
_IFRAME = """<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="{}"{}></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>"""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SockJS:
    """The options of SockJS at one endpoint: `@rt.endpoint("/chat", sockjs=realtime.SockJS(cookie_needed=True))`.

    `heartbeat_delay` and `disconnect_delay` are in seconds, `response_limit` in bytes with all framing. `client_url` is
    the script that the iframe page loads, and `client_integrity` its hash, as in HTML ("sha384-…", several with spaces
    between them). The default script has one, and a script of the server's own origin ("/…") needs none; for any
    other the hash has to be given, or None, which lets whoever serves that URL run what they like in your origin.
    Raises TypeError for a misspelt option, LocalProtocolError for one out of bounds.
    """

    websocket: bool = True
    cookie_needed: bool = False
    heartbeat_delay: float = 25.0
    disconnect_delay: float = 5.0
    response_limit: int = 131_072
    client_url: str = CLIENT_URL
    client_integrity: str | None = ""  # not said

    def __post_init__(self) -> None:
        for name, rule in _RULES.items():
            check(name, getattr(self, name), rule)
        if not _URL.fullmatch(self.client_url):
            raise LocalProtocolError(
                f'client_url={self.client_url!r}: must start with "/", "http://" or "https://" and need no quoting'
            )
        if self.client_integrity:
            if not all(_INTEGRITY.fullmatch(value) for value in self.client_integrity.split(" ")):
                raise LocalProtocolError(
                    f'client_integrity={self.client_integrity!r}: must be like "sha384-…", with the hash in base64'
                )
        elif self.client_integrity is not None and not self._is_known:
            raise LocalProtocolError(
                f"client_url={self.client_url!r} is a script of another origin: give its hash, client_integrity="
                '"sha384-…", or client_integrity=None for a script that may change'
            )

    @property
    def _is_known(self) -> bool:
        """Whether the script is the default one, or of the server's own origin."""
        return self.client_url == CLIENT_URL or not self.client_url.startswith(("//", "http:", "https:"))

    @property
    def script_integrity(self) -> str | None:
        """The hash that the iframe page names, if any."""
        if self.client_integrity != "":
            return self.client_integrity
        return CLIENT_INTEGRITY if self.client_url == CLIENT_URL else None

    def settings(self, config: Config) -> Config:
        """The settings of a session, from those of its endpoint."""
        return dataclasses.replace(
            config,
            ping_interval=self.heartbeat_delay,
            resume_window=self.disconnect_delay,
            max_stream_size=self.response_limit,
            max_batch_size=min(config.max_batch_size, self.response_limit),
        )


# -- frames out ----------------------------------------------------------------------------------------------------


class Message(bytes):
    """A message as a string of JSON, to be joined with others; `alone` is the finished frame that carries no other."""

    alone: bytes


def quote(text: str) -> bytes:
    """A message as a string of JSON, in which every character arrives as it is."""
    return _MANGLED.sub(lambda found: f"\\u{ord(found[0]):04x}", _encode(text)).encode()


def close_frame(code: int, reason: str) -> bytes:
    """`c`. A connection that was cut is told as the document says it."""
    if code == INTERRUPTED:
        code, reason = 1002, "Connection interrupted"
    return b"c[%d,%b]" % (code, quote(clip(reason)))


class SockJSCodec:
    """SockJS on one of its transports. See core.carrier.Codec."""

    def __init__(self, framing: Framing) -> None:
        self.framing = framing
        self.name = framing.name
        self.shape = framing.shape
        self.capabilities = ASKS if framing.shape is Shape.DUPLEX else CAPABILITIES
        self._key = f"sockjs {framing.path}"

    def item(self, item: Outgoing) -> Part:
        """A message, made once for all receivers on carriers of this kind; a close; nothing for a note of drops."""
        if item.kind == TEXT:
            part = item.encoded.get(self._key)
            if part is None:
                part = item.encoded[self._key] = Message(quote(str(item.data)))
                part.alone = self.framing.lay(b"a[%b]" % part)
            return part
        return close_frame(item.code, str(item.data)) if item.kind == CLOSE else b""

    def ping(self) -> Part:
        """`h`."""
        return HEARTBEAT

    def abrupt(self, code: int, scope: str, received: int | None, reason: str) -> Part:
        """`c`."""
        return close_frame(code, reason)

    def wrap(self, parts: Sequence[Part]) -> Sequence[Part]:
        """A buffer a frame; messages that follow one another share one."""
        frames: list[Part] = []
        messages: list[Message] = []
        for part in parts:
            if isinstance(part, Message):
                messages.append(part)
                continue
            self._gather(messages, frames)
            if part:
                assert isinstance(part, bytes)
                frames.append(self.framing.lay(part))
        self._gather(messages, frames)
        return frames

    def _gather(self, messages: list[Message], frames: list[Part]) -> None:
        if len(messages) == 1:
            frames.append(messages[0].alone)
        elif messages:
            frames.append(self.framing.lay(b"a[%b]" % b",".join(messages)))
        messages.clear()


# By the last part of their URLs.
CODECS = {path: SockJSCodec(framing) for path, framing in FRAMINGS.items()}


# -- what comes ----------------------------------------------------------------------------------------------------


def _broken(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(1002, what)


def _decode(text: bytes) -> object:
    """JSON in UTF-8. Raises RemoteProtocolError."""
    try:
        return json.loads(text.decode())
    except (ValueError, RecursionError):
        raise _broken(BROKEN) from None


def _messages(value: object) -> list[str]:
    """The strings of an array. Raises RemoteProtocolError."""
    if not isinstance(value, list):
        raise _broken(EMPTY)
    if not all(isinstance(message, str) for message in value):
        raise _broken(BROKEN)  # SockJS carries strings: anything else would arrive as something else
    # A lone surrogate is no character; browsers' own WebSockets replace it likewise.
    return [message if message.isascii() else _SURROGATE.sub("\ufffd", message) for message in value]


class Messages:
    """The strings of an array that is too long to be kept in pieces: each is parsed when it is taken."""

    def __init__(self, array: bytes) -> None:
        """Raises RemoteProtocolError."""
        if not _ARRAY.fullmatch(array):
            raise _broken(BROKEN if array.lstrip(b" \t\r\n")[:1] == b"[" else EMPTY)
        try:
            array.decode()
        except UnicodeDecodeError:
            raise _broken(BROKEN) from None
        self._array = array

    def __iter__(self) -> Iterator[str]:
        for found in _STRING.finditer(self._array):
            yield from _messages([_decode(found[0])])


def _parse(array: bytes) -> Iterable[str]:
    return _messages(_decode(array)) if len(array) <= SHORT else Messages(array)


def parse_body(body: bytes) -> Iterable[str]:
    """The messages of an `xhr_send`. Raises RemoteProtocolError, whose reason is the document's text."""
    if not body:
        raise _broken(EMPTY)
    return _parse(body)


def parse_form(form: bytes) -> Iterable[str]:
    """The messages of a `jsonp_send` by a form. Raises RemoteProtocolError."""
    try:
        (data,) = parse_fields(form, "d")
    except RemoteProtocolError:
        data = None
    if not data:
        raise _broken(EMPTY)
    return _parse(data)


def parse_frame(data: str | bytes) -> Iterable[str]:
    """The messages of a WebSocket message: an array of strings, or one string; none when it is empty.

    Raises RemoteProtocolError.
    """
    array = data.encode() if isinstance(data, str) else data
    if not array:
        return []
    if len(array) > SHORT and array[:1] != b'"':
        return Messages(array)
    value = _decode(array)
    return _messages([value] if isinstance(value, str) else value)


def check_callback(name: str | None) -> str:
    """The name of a page's function. Raises RemoteProtocolError, whose reason is the document's text."""
    if not name:
        raise RemoteProtocolError(1002, NO_CALLBACK)
    if not _CALLBACK.fullmatch(name):
        raise RemoteProtocolError(1002, BAD_CALLBACK)
    return name


def iframe_page(options: SockJS) -> bytes:
    """The page that brings a client into its server's origin."""
    integrity = options.script_integrity
    attributes = f' integrity="{integrity}" crossorigin="anonymous"' if integrity else ""
    return _IFRAME.format(options.client_url, attributes).encode()
