"""Requests as bytes: methods × paths × versions × headers × bodies, mostly plausible."""

from __future__ import annotations

import gzip
import json
import zlib
from urllib.parse import quote

from .dice import Dice

__all__ = ["FORM", "PREFIXES", "form", "handshake", "post", "request", "script", "strange_path", "url"]

PREFIXES = ("/realtime", "/open")
FORM = "Content-Type: application/x-www-form-urlencoded"
METHODS = ("POST", "POST", "POST", "GET", "GET", "OPTIONS", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "get", "P\x00ST")
VERSIONS = ("HTTP/1.1",) * 16 + ("HTTP/1.0", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.9", "HTTP", "")
NAMES = ("websocket", "sse", "xhr_streaming", "multipart", "htmlfile", "long_polling", "polling", "jsonp", "send")
CALLBACKS = ("take",) * 8 + (
    "_rt.calls.$7",
    "",
    "a b",
    "alert(1)",
    "</script>",
    "é",
    "x" * 65,
    "a.",
    "\0",
    "take&callback=take",
)
STRANGE_NAMES = ("", "Jsonp", "Send", "send%20", "%00", "%ff", "%ED%A0%80", "%2e%2e", "😀", "x" * 3000, "<script>")
ENDPOINTS = ("/echo", "/echo", "/echo", "/park", "/few", "/moody")
STRANGE_ENDPOINTS = ("/nowhere", "//echo", "/echo/../park", "/%65cho", "/echo%2F", "/e{x}", "/<script>", "/%0d%0aX:1")
VERSIONS_OF_OURS = ("v1",) * 20 + ("v2", "v0", "v01", "v" + "9" * 5000, "v٣", "v", "V1")
ORIGINS = (
    *("http://h", "http://h:80", "https://h", "http://evil.example", "null", "", "//h", "http://", "h", "http://h/x"),
    *("http://[::1", "http://h:x", "http://H", "file://", "http://h\x01", "ümlaut", "*", "http://h, http://h"),
)
SITES = ("same-origin", "none", "cross-site", "same-site", "", "?1", "ü")
ENCODINGS = ("gzip", "deflate", "br", "zstd", "identity", "x-nothing", "gzip, gzip", "")


def url(dice: Dice, prefix: str, endpoint: str, name: str) -> str:
    """An address, seldom a strange one."""
    if dice.chance(0.05):
        return strange_path(dice)
    return f"{prefix}{endpoint}/{dice.choice(VERSIONS_OF_OURS)}/{name}"


def strange_path(dice: Dice) -> str:
    """An address that may not exist."""
    if dice.chance(0.1):
        return dice.choice(("*", "/", "", "http://h/realtime/echo/v1/send", "h:80", "/realtime", "//", "?", "/\x00"))
    endpoint = dice.choice(STRANGE_ENDPOINTS if dice.chance(0.5) else ENDPOINTS)
    name = dice.choice(STRANGE_NAMES if dice.chance(0.5) else NAMES)
    path = f"{dice.choice(PREFIXES)}{endpoint}/{dice.choice(VERSIONS_OF_OURS)}/{name}"
    return path + dice.choice(("", "", "?", "?frame=", "?open=%", "?x=1&x=2", "#f", "/", "?" + "a" * 9000))


def _headers(dice: Dice) -> list[str]:
    """What may stand in any request."""
    if dice.chance(0.5):
        return ["Host: h", "Referer: http://h/page"] if dice.chance(0.7) else ["Host: h"]
    lines = []
    if dice.chance(0.96):
        lines.append("Host: " + (dice.choice(("", "h:80", "H", "[::1]:1", "h h", "é")) if dice.chance(0.1) else "h"))
    if dice.chance(0.15):
        lines.append("Origin: " + dice.choice(ORIGINS))
    if dice.chance(0.08):
        lines.append("Sec-Fetch-Site: " + dice.choice(SITES))
    if dice.chance(0.08):
        lines.append("Referer: " + dice.choice(ORIGINS) + "/page")
    if dice.chance(0.05):
        lines.append("X-Name: " + dice.choice(("anna", "bert", "mallory", "eve", "", "ü", "a" * 5000)))
    if dice.chance(0.05):
        lines.append("Cookie: " + dice.choice(("a=b", "=;;=", "a" * 3000, "\x80=\xff", 'x="', "a=b; a=c")))
    if dice.chance(0.04):
        lines.append("Connection: " + dice.choice(("close", "keep-alive", "upgrade", "Upgrade, close", "x")))
    if dice.chance(0.03):
        lines.append("Access-Control-Request-Headers: " + dice.choice(("x-a", "ü", "\x01", "a, b", "")))
    if dice.chance(0.03):
        lines.append("Expect: " + dice.choice(("100-continue", "nothing", "")))
    if dice.chance(0.03):
        lines.append("X-Forwarded-For: " + dice.choice(("1.2.3.4", "x, y", "::1", "'")))
    if dice.chance(0.03):
        wrong = ("X", ": x", "X : y", " folded", "X: \x00", "X: \x0b", "X: " + "y" * 9000, "Ü: x", "X: y\rZ: w")
        lines.append(dice.choice(wrong))
    if dice.chance(0.02):
        lines += [f"X-{number}: y" for number in range(dice.choice((5, 300)))]
    return lines


def _framed(dice: Dice, body: bytes) -> tuple[list[str], bytes]:
    """A body with what says how long it is; sometimes that is wrong, or said twice."""
    lines: list[str] = []
    if dice.chance(0.05):
        encoding = dice.choice(ENCODINGS)
        lines.append("Content-Encoding: " + encoding)
        if encoding == "gzip":
            body = gzip.compress(dice.choice((body, b" " * 5_000_000 + body)), mtime=0)
        elif encoding == "deflate":
            body = zlib.compress(body)
        if dice.chance(0.3):
            body = dice.mutated(body)
    if dice.chance(0.85):
        return [*lines, f"Content-Length: {len(body)}"], body
    chunks = [b"%x%b\r\n%b\r\n" % (len(piece), dice.choice((b"", b";x=y")), piece) for piece in dice.cut(body) if piece]
    chunked = b"".join(chunks) + dice.choice((b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n"))
    if dice.chance(0.4):
        return [*lines, "Transfer-Encoding: chunked"], chunked
    if dice.chance(0.3):
        return [*lines, "Transfer-Encoding: chunked"], dice.mutated(chunked)
    length = dice.choice((str(len(body) + 5), str(max(0, len(body) - 3)), "0", "-1", "x", "1" * 30, "+4", "4, 4", ""))
    coding = dice.choice(("chunked", "gzip, chunked", "identity", "chunked, chunked", "xchunked", ""))
    both = [f"Content-Length: {length}", f"Transfer-Encoding: {coding}"]
    wrong = dice.choice((both, both[:1], both[1:], [both[0], both[0]], [both[0], f"Content-Length: {len(body)}"], []))
    return lines + wrong, dice.choice((body, chunked))


def post(dice: Dice, path: str, body: bytes, *extra: str) -> bytes:
    """A POST with this body, seldom spoilt."""
    framing, body = _framed(dice, body)
    return _bytes(dice, "POST", path, [*_headers(dice), *extra, *framing], body)


def request(dice: Dice, path: str, body: bytes) -> bytes:
    """Any method."""
    framing, body = _framed(dice, body) if dice.chance(0.7) else ([], b"")
    return _bytes(dice, dice.choice(METHODS), path, [*_headers(dice), *framing], body)


def handshake(dice: Dice, path: str) -> bytes:
    """A WebSocket handshake, or nearly."""
    lines = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    if dice.chance(0.1):
        lines["Sec-WebSocket-Protocol"] = dice.choice(("chat", "a, b", "", "ü"))
    if dice.chance(0.1):
        offers = ("permessage-deflate", "permessage-deflate; client_max_window_bits=99", "x", ";;")
        lines["Sec-WebSocket-Extensions"] = dice.choice(offers)
    if dice.chance(0.1):
        name = dice.choice(list(lines))
        if dice.chance(0.5):
            del lines[name]
        else:
            lines[name] = dice.choice(("", "x", "8", "h2c", "keep-alive", "Upgrade", "\x01", "ü", "dGhl"))
    return _bytes(dice, "GET", path, [*_headers(dice), *map(": ".join, lines.items())], b"")


def query(name: str, text: str) -> str:
    """A frame in a URL."""
    return f"?{name}=" + quote(text.encode("utf-8", "surrogatepass"), safe="")


def form(dice: Dice, batch: bytes) -> bytes:
    """A form with this batch, seldom spoilt; also good for a query."""
    encoded = quote(batch, safe="") if dice.chance(0.8) else batch.decode("utf-8", "replace").replace(" ", "+")
    fields = ["batch=" + encoded, "callback=" + dice.choice(CALLBACKS)]
    if dice.chance(0.1):
        fields.append(dice.choice(("", "x", "batch=", "callback=", "%", "=&=", "&" * 40)))
    if dice.chance(0.1):
        fields.reverse()
    body = "&".join(fields).encode()
    return dice.mutated(body) if dice.chance(0.1) else body


def script(dice: Dice, path: str, name: str, text: str) -> bytes:
    """What a script tag or an iframe asks: a frame, or a batch for `send`."""
    said = query("batch" if name == "send" else "frame", text)
    if dice.chance(0.95):
        said += "&callback=" + quote(dice.choice(CALLBACKS), safe="&=")
    return _bytes(dice, "GET", path + said, _headers(dice), b"")


def open_query(dice: Dice, members: object) -> str:
    """`?open=` with an object, seldom spoilt."""
    text = json.dumps(members)
    if dice.chance(0.1):
        text = dice.mutated(text.encode()).decode("utf-8", "replace")
    return query("open", text)


def _bytes(dice: Dice, method: str, path: str, lines: list[str], body: bytes) -> bytes:
    version = dice.choice(VERSIONS)
    end = "\n" if dice.chance(0.01) else "\r\n"
    head = end.join([f"{method} {path} {version}", *lines, "", ""]).encode("utf-8", "surrogatepass")
    return (dice.mutated(head) if dice.chance(0.03) else head) + body
