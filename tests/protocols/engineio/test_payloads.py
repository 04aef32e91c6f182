"""Payloads of both versions, and JSONP."""

from __future__ import annotations

import contextlib
import json
import re
from urllib.parse import quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from realtime.core.errors import RemoteProtocolError
from realtime.protocols.engineio import payloads
from realtime.protocols.engineio.packets import Packet, message
from realtime.protocols.engineio.payloads import is_binary, join, join_counted, jsonp, unwrap_form


def split(version: int, body: bytes, *, binary: bool = False) -> list[Packet]:
    """The packets of a body, which may be gone through again."""
    payload = payloads.split(version, body, binary=binary)
    packets = list(payload)
    assert list(payload) == packets
    return packets


def refused(version: int, body: bytes, *, binary: bool = False) -> None:
    """The whole body is refused."""
    with pytest.raises(RemoteProtocolError) as error:
        split(version, body, binary=binary)
    assert error.value.close_code == 1002


def test_version_4_separates() -> None:
    body = b"4hello\x1e2\x1ebAQIDBA==\x1e4"
    packets = [Packet("4", "hello"), Packet("2"), Packet("4", b"\x01\x02\x03\x04"), Packet("4")]
    assert split(4, body) == packets
    assert join(["4hello", "2", "bAQIDBA==", "4"]) == body


@pytest.mark.parametrize("body", [b"", b"abc", b"4a\x1e", b"\x1e4a", b"4a\x1e\x1e4b", b"4\xff", b"4a\x1ebx"])
def test_version_4_is_taken_whole_or_not_at_all(body: bytes) -> None:
    refused(4, body)


@pytest.mark.parametrize("body", [b"4a", "4é\x1e2\x1ebAQIDBA==".encode()])
def test_a_payload_of_version_4_is_text_whatever_its_client_calls_it(body: bytes) -> None:
    assert split(4, body, binary=True) == split(4, body)


def test_version_3_counts_utf_16_units() -> None:
    assert join_counted(["4hello", "4€", "4\U0001f600"]) == "6:4hello2:4€3:4\U0001f600".encode()
    assert split(3, "6:4hello2:4€3:4\U0001f6001:2".encode()) == [
        Packet("4", "hello"),
        Packet("4", "€"),
        Packet("4", "\U0001f600"),
        Packet("2"),
    ]
    assert split(3, b"10:b4AQIDBA==") == [Packet("4", b"\x01\x02\x03\x04")]


def test_nothing_may_have_no_length() -> None:
    """It says nothing, and is counted: who reads half a million of them in one body lets others have their turn."""
    assert split(3, b"0:") == [Packet("6")]
    assert split(3, b"0:1:20:") == [Packet("6"), Packet("2"), Packet("6")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"4hello",
        b":4a",
        b"3:4a",
        b"1:4a",
        b"x:4",
        b"-1:4",
        b"2",
        b"12345678901:4",
        b"3:abc",
        b"2:4\xff",
        "2:4\U0001f600".encode(),
        "9:4\U0001f600".encode(),
        "\U0001f600".encode(),
        "٢:4a".encode(),
    ],
    ids=repr,
)
def test_version_3_is_taken_whole_or_not_at_all(body: bytes) -> None:
    refused(3, body)


def test_version_3_in_bytes() -> None:
    body = b"\x00\x04\xff4\xe2\x82\xac\x01\x05\xff\x04\x01\x02\x03\x04"
    assert join_counted(["4€", b"\x04\x01\x02\x03\x04"]) == body
    assert is_binary(body)
    assert not is_binary(join_counted(["4€"]))
    assert split(3, body, binary=True) == [Packet("4", "€"), Packet("4", b"\x01\x02\x03\x04")]
    long = b"\x04" + bytes(1234)
    assert join_counted([long])[:6] == b"\x01\x01\x02\x03\x05\xff"
    assert split(3, join_counted([long]), binary=True) == [Packet("4", bytes(1234))]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"6:4hello",
        b"\x00",
        b"\x00\xff4",
        b"\x00\x02\xff4",
        b"\x02\x01\xff4",
        b"\x00\x0a\xff4",
        b"\x00" + b"\x01" * 20 + b"\xff4",
        b"\x00\x02\xff4\xff",
        b"\x01\x01\xff\x07",
        b"\x00\x01\xff9",
    ],
    ids=repr,
)
def test_bytes_are_taken_whole_or_not_at_all(body: bytes) -> None:
    refused(3, body, binary=True)


@given(st.lists(st.text().map(lambda text: text.replace("\x1e", "")) | st.binary(), min_size=1))
def test_what_goes_out_in_version_4_comes_in(data: list[str | bytes]) -> None:
    packets = [message(4, item, text_only=True) for item in data]
    assert split(4, join([str(packet) for packet in packets])) == [Packet("4", item) for item in data]


@given(st.lists(st.text() | st.binary(), min_size=1), st.booleans())
@example(["\x1e", "a\U0001f600b", "\ud7ff"], False)
def test_what_goes_out_in_version_3_comes_in(data: list[str | bytes], text_only: bool) -> None:
    body = join_counted([message(3, item, text_only=text_only) for item in data])
    assert split(3, body, binary=is_binary(body)) == [Packet("4", item) for item in data]


@pytest.mark.parametrize("version", [4, 3])
@given(st.binary(max_size=64), st.booleans())
def test_rubbish_raises_nothing_else(version: int, body: bytes, binary: bool) -> None:
    with contextlib.suppress(RemoteProtocolError):
        split(version, body, binary=binary)


HOSTILE = "4\"'\\\n\r</script><!--<script>&+\u2028\u2029\x00\x7f\U0001f600"


def test_a_script_says_nothing_but_its_literal() -> None:
    script = jsonp("7", HOSTILE.encode())
    assert script.isascii()
    found = re.fullmatch(rb'___eio\[7\]\(("(?:[^"\\]|\\.)*")\);', script)
    assert found
    assert json.loads(found[1]) == HOSTILE
    for dangerous in b"<>&'+\x7f\n\r":
        assert dangerous not in script


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("6:4hello", "6:4hello"),
        (r"4:4a\nb", "4:4a\nb"),
        (r"5:4a\\nb", r"5:4a\nb"),
        (r"4a\b\\", r"4a\b\\"),
        ("4é+&=", "4é+&="),
    ],
)
def test_a_form_escapes_its_newlines(written: str, text: str) -> None:
    assert unwrap_form(b"d=" + quote_plus(written).encode()) == text.encode()


@pytest.mark.parametrize(
    "text",
    ["\r", "a\rb", "a\r\nb", "\r\r\n\n\r", "\\\r", "\\r\r\\n\n", "\\n\r\\"],
)
def test_a_form_makes_two_of_a_carriage_return(text: str) -> None:
    area = text.replace("\\n", "\\\n").replace("\n", "\\n")  # what engine.io-client writes into it
    sent = re.sub("\r\n|\r|\n", "\r\n", area)  # what a browser makes of that when it sends it
    assert unwrap_form(b"d=" + quote_plus(sent).encode()) == text.encode()
    assert unwrap_form(b"d=" + quote_plus(area).encode()) == text.encode()  # of one that leaves it as it is


@pytest.mark.parametrize("form", [b"", b"e=1", b"d=%zz", b"d=1&d=2", b"d=%ff"])
def test_a_form_without_a_payload(form: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as error:
        unwrap_form(form)
    assert error.value.close_code == 1002
