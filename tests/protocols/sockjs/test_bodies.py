"""What SockJS clients send, by vectors written from its document (0.3.3)."""

from __future__ import annotations

from urllib.parse import quote as percent

import pytest

from realtime.core.errors import RemoteProtocolError
from realtime.protocols.sockjs.bodies import SHORT, Messages, check_callback, parse_body, parse_form, parse_frame


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
