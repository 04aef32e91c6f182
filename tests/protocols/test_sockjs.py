"""SockJS's frames, bodies and options, by vectors written from its document (0.3.3)."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote as percent

import pytest

from realtime.core.config import Config
from realtime.core.errors import LocalProtocolError, RemoteProtocolError
from realtime.core.frames import Outgoing
from realtime.protocols.sockjs import (
    CLIENT_INTEGRITY,
    CLIENT_URL,
    CODECS,
    SHORT,
    Messages,
    SockJS,
    check_callback,
    close_frame,
    iframe_page,
    parse_body,
    parse_form,
    parse_frame,
    quote,
)

HASH = "sha384-" + "A" * 64

# -- frames out ----------------------------------------------------------------------------------------------------


def test_a_message_is_quoted_and_what_browsers_mangle_is_escaped() -> None:
    assert quote('é"\\') == '"é\\"\\\\"'.encode()
    mangled = [*range(0x20), 0x7F, *range(0x200C, 0x2010), *range(0x2028, 0x2030), *range(0x2060, 0x2070)]
    for point in [*mangled, *range(0xFFF0, 0x10000)]:
        quoted = quote(chr(point))
        assert quoted.isascii()
        assert json.loads(quoted) == chr(point)
    assert quote("\u2028\ufffe") == b'"\\u2028\\ufffe"'
    assert quote("\U0001f600") == '"\U0001f600"'.encode()


def test_closes() -> None:
    assert close_frame(3000, "Go away!") == b'c[3000,"Go away!"]'
    assert close_frame(1006, "whatever") == b'c[1002,"Connection interrupted"]'
    assert close_frame(1000, 'a "b"\n') == b'c[1000,"a \\"b\\" "]'


def test_messages_share_a_frame_and_everything_else_has_its_own() -> None:
    codec = CODECS["xhr_streaming"]
    one, two = codec.item(Outgoing.message("1")), codec.item(Outgoing.message("2"))
    close = codec.item(Outgoing.close(3000, "bye"))
    nothing = codec.item(Outgoing.dropped(3))
    assert nothing == b""
    assert codec.wrap([codec.capabilities.greeting, one, two, nothing, close]) == [
        b"o\n",
        b'a["1","2"]\n',
        b'c[3000,"bye"]\n',
    ]
    assert codec.wrap([one]) == [b'a["1"]\n']
    assert codec.wrap([nothing]) == []
    assert codec.wrap([one, two]) == [b'a["1","2"]\n']


def test_a_message_is_made_once_for_each_kind_of_carrier() -> None:
    item = Outgoing.message("x")
    assert CODECS["xhr"].item(item) is CODECS["xhr"].item(item)
    websocket = CODECS["websocket"]
    assert websocket.wrap([websocket.item(item)])[0] is websocket.wrap([websocket.item(item)])[0]
    assert websocket.wrap([websocket.item(item)]) == [b'\x81\x06a["x"]']


def test_a_heartbeat_and_an_abrupt_end() -> None:
    codec = CODECS["xhr"]
    assert codec.ping() == b"h"
    assert codec.abrupt(1011, "session", None, "no") == b'c[1011,"no"]'


def test_what_it_can_do_is_declared() -> None:
    for path, codec in CODECS.items():
        capabilities = codec.capabilities
        assert (capabilities.protocol, capabilities.binary, capabilities.greeting) == ("SockJS", False, b"o")
        assert capabilities.heartbeat == ("ask" if path == "websocket" else "tell")


# -- what comes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        (b"[]", []),
        (b'["x"]', ["x"]),
        (b'["a","b"]', ["a", "b"]),
        ('["é\\u0000\\ud83d\\ude00"]'.encode(), ["é\0\U0001f600"]),
        (b'["\\ud800"]', ["\ufffd"]),  # half of a pair is no character
    ],
)
def test_bodies(body: bytes, messages: list[str]) -> None:
    for longer in (body, body[:-1] + b" " * SHORT + b"]"):  # which is not parsed as a whole
        assert list(parse_body(longer)) == messages
        assert list(parse_frame(longer)) == list(parse_frame(longer.decode())) == messages
        assert list(parse_form(b"x=y&d=" + percent(longer).encode())) == messages


def test_long_bodies_are_parsed_piece_by_piece() -> None:
    body = b'[ "" , "a\\"]\\\\" ,"\xc3\xa9" ' + b',"x"' * 1000 + b"\n]\t"
    messages = parse_body(body)
    assert isinstance(messages, Messages)
    assert list(messages) == list(messages) == ["", 'a"]\\', "é", *"x" * 1000]
    for wrong in (
        b"1",
        b'"',
        b'"x',
        b"[]",
        b'"\\x"',
        b'"\\u12"',
        b'"\x01"',
        b'"\xff"',
        b'"a" "b"',
        b"",
        b'"a",',
        b'"a"][',
    ):
        with pytest.raises(RemoteProtocolError, match=r"Broken JSON encoding\."):
            parse_body(b'["x"' + b',"x"' * 1000 + b"," + wrong + b"]")
    with pytest.raises(RemoteProtocolError, match=r"Broken JSON encoding\."):
        parse_body(body + b"x")
    with pytest.raises(RemoteProtocolError, match=r"Payload expected\."):
        parse_body(b'{"x":' + body + b"}")


@pytest.mark.parametrize("body", [b"", b"{}", b'"x"', b"1", b"null"])
def test_no_payload(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match=r"Payload expected\."):
        parse_body(body)


@pytest.mark.parametrize("body", [b'["x', b"\xff", b"[1]", b'["a",null]', b"[" * 100_000, b"[NaN]"])
def test_broken(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match=r"Broken JSON encoding\."):
        parse_body(body)


def test_forms() -> None:
    for form in (b"", b"d=", b"p=p", b"d=[]&d=[]", b"d=%zz", b"&" * 40):
        with pytest.raises(RemoteProtocolError, match=r"Payload expected\."):
            parse_form(form)
    with pytest.raises(RemoteProtocolError, match=r"Broken JSON encoding\."):
        parse_form(b'd=["x')


def test_websocket_messages() -> None:
    assert parse_frame("") == parse_frame(b"") == []
    assert parse_frame('"alone"') == ["alone"]
    with pytest.raises(RemoteProtocolError):
        parse_frame('["a')
    with pytest.raises(RemoteProtocolError):
        parse_frame("7")


@pytest.mark.parametrize("name", ["callback", "_jp.a", "a-b", "x" * 32])
def test_callbacks(name: str) -> None:
    assert check_callback(name) == name


@pytest.mark.parametrize("name", [" ", "*", "abc(", "x" * 33, "é", "a\n"])
def test_what_is_no_callback(name: str) -> None:
    with pytest.raises(RemoteProtocolError, match='invalid "callback" parameter'):
        check_callback(name)


def test_a_callback_is_required() -> None:
    for missing in (None, ""):
        with pytest.raises(RemoteProtocolError, match='"callback" parameter required'):
            check_callback(missing)


# -- options -------------------------------------------------------------------------------------------------------


def test_the_iframe_page_loads_the_client() -> None:
    page = iframe_page(SockJS(client_url="/static/sockjs.js")).decode()
    assert re.search(r'<script src="([^"]*)">', page)[1] == "/static/sockjs.js"  # type: ignore[index]
    assert "SockJS.bootstrap_iframe();" in page


@pytest.mark.parametrize(
    ("options", "tag"),
    [
        ({}, f'<script src="{CLIENT_URL}" integrity="{CLIENT_INTEGRITY}" crossorigin="anonymous"></script>'),
        ({"client_integrity": None}, f'<script src="{CLIENT_URL}"></script>'),
        ({"client_url": "/sockjs.js"}, '<script src="/sockjs.js"></script>'),
        (
            {"client_url": "/sockjs.js", "client_integrity": HASH},
            f'<script src="/sockjs.js" integrity="{HASH}" crossorigin="anonymous"></script>',
        ),
        (
            {"client_url": "//cdn.example/s.js", "client_integrity": f"{HASH} sha256-{'A' * 43}="},
            f'<script src="//cdn.example/s.js" integrity="{HASH} sha256-{"A" * 43}=" crossorigin="anonymous"></script>',
        ),
        (
            {"client_url": "https://cdn.example/s.js", "client_integrity": None},
            '<script src="https://cdn.example/s.js"></script>',
        ),
    ],
)
def test_a_script_of_another_origin_is_the_one_that_was_meant(options: dict[str, Any], tag: str) -> None:
    assert tag in iframe_page(SockJS(**options)).decode()


@pytest.mark.parametrize("url", ["//cdn.example/s.js", "http://cdn.example/s.js", "https://cdn.example/s.js"])
def test_a_script_of_another_origin_needs_a_hash(url: str) -> None:
    with pytest.raises(LocalProtocolError, match="client_integrity"):
        SockJS(client_url=url)


@pytest.mark.parametrize(
    "options",
    [
        {"heartbeat_delay": 0},
        {"disconnect_delay": float("inf")},
        {"response_limit": 4095},
        {"client_url": "sockjs.js"},
        {"client_url": '/x"><script>'},
        {"client_integrity": "sha384-abc"},
        {"client_integrity": "md5-" + "A" * 22},
        {"client_integrity": '"><script>'},
        {"client_integrity": f"{HASH}  {HASH}"},
    ],
)
def test_options_out_of_bounds(options: dict[str, object]) -> None:
    (name,) = options
    with pytest.raises(LocalProtocolError, match=name):
        SockJS(**options)  # type: ignore[arg-type]


def test_a_misspelt_option_raises() -> None:
    with pytest.raises(TypeError, match="cookie_neded"):
        SockJS(cookie_neded=True)  # type: ignore[call-arg]


def test_the_settings_of_a_session() -> None:
    settings = SockJS(heartbeat_delay=30, disconnect_delay=7, response_limit=5000).settings(Config(max_size=100))
    assert settings.ping_interval == 30
    assert settings.resume_window == 7
    assert settings.max_stream_size == settings.max_batch_size == 5000
    assert settings.max_size == 100
