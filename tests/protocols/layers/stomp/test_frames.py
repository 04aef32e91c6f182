"""How frames are written: the vectors, escapes there and back, and what no header can say."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.core.errors import LocalProtocolError, RemoteProtocolError
from realtime.protocols.layers.stomp.frames import (
    V10,
    V11,
    V12,
    VERSIONS,
    Frame,
    escape,
    head,
    is_bare,
    size_of,
    unescape,
    write,
)

from .vectors import frame, some, wire

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@some(canonical=True)
def test_the_vectors_are_written(vector: dict[str, Any]) -> None:
    assert write(vector["version"], frame(vector)) == wire(vector)


def test_a_body_gets_its_length_unless_it_has_one() -> None:
    assert write(V12, Frame("SEND", {"a": "b"}, "é".encode())) == "SEND\na:b\ncontent-length:2\n\né\0".encode()
    assert write(V12, Frame("SEND", {"content-length": "1"}, b"x")) == b"SEND\ncontent-length:1\n\nx\0"
    assert write(V12, Frame("SEND", {})) == b"SEND\n\n\0"


@pytest.mark.parametrize("value", ["%02d", "é%02d", "\U0001f600%02d", "\U0001f600%02d" + "a" * 200])
def test_headers_count_as_much_as_they_take(value: str) -> None:
    """They were counted by their characters: with 60 of two bytes each a queue held twenty times what it may."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = [{f"name{number}": value % number for number in range(60)} for _ in range(20)]
        taken = (tracemalloc.get_traced_memory()[0] - before) / 20
    finally:
        tracemalloc.stop()
    assert 0.5 < taken / size_of(kept[0]) < 1.5


@given(st.sampled_from((V11, V12)), TEXT)
def test_escapes_there_and_back(version: str, text: str) -> None:
    escaped = escape(version, text)
    assert unescape(version, escaped) == text
    assert "\n" not in escaped
    assert ":" not in escaped
    assert version == V11 or "\r" not in escaped


@pytest.mark.parametrize(("version", "text"), [(V11, "\\r"), (V11, "\\"), (V12, "\\t"), (V12, "a\\"), (V12, "\\\n")])
def test_escapes_there_are_not(version: str, text: str) -> None:
    with pytest.raises(RemoteProtocolError, match=f"STOMP {version} has no escape") as caught:
        unescape(version, text)
    assert caught.value.close_code == 1002


def test_which_frames_have_no_escapes() -> None:
    assert all(is_bare(version, command) for version in VERSIONS for command in ("CONNECT", "STOMP", "CONNECTED"))
    assert is_bare(V10, "SEND")
    assert not is_bare(V11, "SEND")
    assert not is_bare(V12, "ERROR")


@pytest.mark.parametrize(
    ("version", "name", "value"),
    [
        (V10, "a", "b\nc"),
        (V10, "a\n", "b"),
        (V10, "a", "\0"),
        (V10, "a:b", "c"),
        (V11, "a", "\0"),
        (V12, "\0", "a"),
        (V12, "", "a"),
        (V12, "a", "\ud800"),
    ],
)
def test_what_no_header_says(version: str, name: str, value: str) -> None:
    with pytest.raises(LocalProtocolError):
        head(version, "MESSAGE", [(name, value)])
