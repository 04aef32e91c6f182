"""How SockJS's frames lie on each of its transports (its document, sections "WebSocket" to "JsonpPolling")."""

from __future__ import annotations

import json
import re

import pytest

from realtime.core.carrier import Shape
from realtime.protocols.sockjs.framings import FRAMINGS, NOT_CACHED
from realtime.transports import TRANSPORTS

NASTY = 'a["\\"\\\\</script><!-- & \u2028\u2029 %41 é"]'.encode()


def test_each_is_named_like_the_native_transport_that_works_alike() -> None:
    for framing in FRAMINGS.values():
        assert TRANSPORTS[framing.name].shape is framing.shape
        assert TRANSPORTS[framing.name].method == framing.method
    assert {path: framing.name for path, framing in FRAMINGS.items()} == {
        "websocket": "websocket",
        "xhr": "long_polling",
        "xhr_streaming": "xhr_streaming",
        "eventsource": "sse",
        "htmlfile": "htmlfile",
        "jsonp": "jsonp",
    }
    assert [path for path, framing in FRAMINGS.items() if framing.scripted] == ["htmlfile", "jsonp"]


def test_nothing_may_be_kept_and_nothing_sniffed() -> None:
    for framing in FRAMINGS.values():
        head = framing.head("f")
        if framing.shape is Shape.DUPLEX:
            assert head == (101, (), b"")
            continue
        headers = dict(head.headers)
        assert head.status == 200
        assert headers["Cache-Control"] == NOT_CACHED[1]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert ("X-Accel-Buffering" in headers) == (framing.shape is Shape.STREAM)


def test_websocket() -> None:
    framing = FRAMINGS["websocket"]
    assert framing.lay(b'a["x"]') == b'\x81\x06a["x"]'
    assert framing.lay(b"h") == b"\x81\x01h\x89\x00"  # and a ping
    assert framing.tail() == b""


def test_xhr_and_xhr_streaming() -> None:
    for path in ("xhr", "xhr_streaming"):
        framing = FRAMINGS[path]
        assert dict(framing.head("").headers)["Content-Type"] == "application/javascript; charset=UTF-8"
        assert framing.lay(NASTY) == NASTY + b"\n"
        assert framing.tail() == b""
    assert FRAMINGS["xhr"].head("").prelude == b""
    assert FRAMINGS["xhr_streaming"].head("").prelude == b"h" * 2048 + b"\n"


def test_eventsource_escapes_what_its_client_decodes() -> None:
    framing = FRAMINGS["eventsource"]
    assert dict(framing.head("").headers)["Content-Type"] == "text/event-stream"
    assert framing.head("").prelude == b"\r\n"
    assert framing.lay(b"o") == b"data: o\r\n\r\n"
    assert framing.lay(b"100%\r\n\x00.") == b"data: 100%25%0D%0A%00.\r\n\r\n"
    assert framing.tail() == b""


def test_htmlfile() -> None:
    framing = FRAMINGS["htmlfile"]
    head = framing.head("_jp.abc")
    assert dict(head.headers)["Content-Type"] == "text/html; charset=UTF-8"
    assert len(head.prelude) > 1024
    assert head.prelude.strip().endswith(b"</script>")
    assert b"var c = parent._jp.abc;" in head.prelude
    assert framing.lay(b'a["x"]') == b'<script>\np("a[\\"x\\"]");\n</script>\r\n'
    assert framing.tail() == b""


def test_jsonp() -> None:
    framing = FRAMINGS["jsonp"]
    head = framing.head("callback")
    assert dict(head.headers)["Content-Type"] == "application/javascript; charset=UTF-8"
    assert head.prelude + framing.lay(b"o") + framing.tail() == b'/**/callback("o");\r\n'


@pytest.mark.parametrize("path", ["htmlfile", "jsonp"])
def test_text_cannot_run_as_code(path: str) -> None:
    laid = FRAMINGS[path].lay(NASTY)
    if path == "htmlfile":
        laid = laid.removeprefix(b"<script>\np(").removesuffix(b");\n</script>\r\n")
    assert laid.isascii()
    assert not re.search(rb"[<>&\n\r]", laid)
    assert re.fullmatch(rb'"(?:[^"\\]|\\u[0-9a-f]{4}|\\["\\])*"', laid)
    assert json.loads(laid) == NASTY.decode()
