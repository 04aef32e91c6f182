"""What a record keeps of an open, as text."""

from __future__ import annotations

import json

import pytest

from realtime.core.durable.opening import Opening, is_durable
from realtime.core.frames import Window
from realtime.core.proof import Key

WHOLE = Opening(
    "/orders",
    Key("secret"),
    "digest",
    "ada",
    "10.0.0.1",
    Window(16, 65_536),
    b'{"token":1}',
    {"method": "GET", "http_version": [1, 1], "remote": None},
    ((b"Host", b"example.org"), (b"X-Name", b"caf\xc3\xa9")),
    105.0,
)


def test_it_is_read_as_it_was_written() -> None:
    assert Opening.read(WHOLE.written()) == WHOLE
    bare = WHOLE._replace(identity=None, auth=None, headers=())
    assert Opening.read(bare.written()) == bare


def test_cookies_and_log_ins_are_not_stored() -> None:
    headers = ((b"Cookie", b"a=b"), (b"AUTHORIZATION", b"Basic x"), (b"Proxy-Authorization", b"y"), (b"Host", b"h"))
    assert Opening.read(WHOLE._replace(headers=headers).written()).headers == ((b"Host", b"h"),)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", json.dumps({"path": "/", "headers": "*"})])
def test_what_cannot_be_read_says_so_without_its_content(text: str) -> None:
    with pytest.raises(ValueError, match="opened with what cannot be read"):
        Opening.read(text)


def test_sids() -> None:
    assert is_durable("d.x")
    assert not is_durable("dddd.x")
