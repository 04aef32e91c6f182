"""One packet: read, written, and refused where it is none."""

from __future__ import annotations

import re
from typing import Any

import pytest

from realtime.core.errors import LocalProtocolError, RemoteProtocolError
from realtime.protocols.layers.socketio import packets
from realtime.protocols.layers.socketio.packets import (
    ACK,
    CONNECT,
    DISCONNECT,
    EVENT,
    MAX_ID,
    MAX_NAMESPACE,
    RESERVED,
    Packet,
    attachments,
    check_event,
    check_namespace,
    parse,
    write,
)

from .vectors import VECTORS, messages, packet

MEMBERS = {"name", "version", "from", "messages", "means", "error", "canonical"}


def named(vector: dict[str, Any]) -> str:
    """How a test of it is called."""
    return str(vector["name"])


def test_the_vectors_are_as_their_readme_says() -> None:
    assert len({vector["name"] for vector in VECTORS}) == len(VECTORS)
    for vector in VECTORS:
        assert set(vector) <= MEMBERS
        assert ("means" in vector) != ("error" in vector)
        assert vector["from"] in ("client", "server", "both")
        assert vector["version"] in (3, 4, 5)
        assert not (vector.get("canonical") and "error" in vector)


@pytest.mark.parametrize("vector", [one for one in VECTORS if "means" in one], ids=named)
def test_packets_are_read(vector: dict[str, Any]) -> None:
    text, *attachments = messages(vector)
    assert isinstance(text, str)
    found, count = parse(vector["version"], text)
    assert count == len(attachments)
    assert found[:2] == packet(vector)[:2]
    assert found.id == packet(vector).id
    if not attachments:
        assert found == packet(vector)


@pytest.mark.parametrize(
    "vector", [one for one in VECTORS if "error" in one and one["messages"][1:] == [] != one["messages"]], ids=named
)
def test_what_is_no_packet(vector: dict[str, Any]) -> None:
    (text,) = messages(vector)
    if isinstance(text, bytes):
        return  # which no packet begins with
    with pytest.raises(RemoteProtocolError) as caught:
        parse(vector["version"], text)
    assert caught.value.close_code == vector["error"]


@pytest.mark.parametrize("vector", [one for one in VECTORS if one.get("canonical")], ids=named)
def test_packets_are_written(vector: dict[str, Any]) -> None:
    assert write(vector["version"], packet(vector)) == messages(vector)


def test_bytes_of_every_kind_are_attachments() -> None:
    for data in (b"ab", bytearray(b"ab"), memoryview(b"ab")):
        assert write(5, Packet(EVENT, data=["a", data])) == ['51-["a",{"_placeholder":true,"num":0}]', b"ab"]
    assert write(5, Packet(EVENT, data=["a", (b"1", (b"2",))]))[1:] == [b"1", b"2"]


def test_a_query_of_version_4_is_what_its_connect_says() -> None:
    assert parse(4, "0/admin?") == (Packet(CONNECT, "/admin", ""), 0)
    assert parse(4, "0/admin?a=1,") == (Packet(CONNECT, "/admin", "a=1"), 0)
    with pytest.raises(RemoteProtocolError):
        parse(4, '2/admin?a=1,["a"]')


def test_only_events_and_acks_can_hold_bytes() -> None:
    with pytest.raises(LocalProtocolError, match="only events and acks"):
        write(5, Packet(CONNECT, data={"a": b""}))
    assert write(5, Packet(DISCONNECT, "/a")) == ["1/a,"]
    assert write(5, Packet(ACK, data=[b""], id=0)) == ['61-0[{"_placeholder":true,"num":0}]', b""]


def test_names() -> None:
    for name in ("/", "/admin", "/a/b c", "/" + "a" * (MAX_NAMESPACE - 1)):
        check_namespace(name)
        assert parse(5, write(5, Packet(EVENT, name, ["a"]))[0]) == (Packet(EVENT, name, ["a"]), 0)  # type: ignore[arg-type] # text
    for name in ("", "admin", "/a,b", "/a?b", "/a#b", "/" + "a" * MAX_NAMESPACE):
        with pytest.raises(LocalProtocolError, match="a namespace is"):
            check_namespace(name)
    check_event("message")
    with pytest.raises(TypeError, match="a namespace is known by a str, not NoneType"):
        check_namespace(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="an event has a name, not list"):
        check_event([])  # type: ignore[arg-type]
    for name in RESERVED:
        with pytest.raises(LocalProtocolError, match=name):
            check_event(name)


def test_how_many_attachments_a_text_says_it_has() -> None:
    for vector in VECTORS:
        text, *rest = messages(vector)
        if isinstance(text, str) and "means" in vector:
            assert attachments(text) == len(rest), vector["name"]
    for text in ("", "5", "51", "5-", "51", "2", "21-", "2[1-]", "512345678901-", "x"):
        assert attachments(text) == 0
    assert attachments("51234567890-") == 1234567890


BEGINNINGS = (
    "2",
    "20",
    "27",
    "2" + "9" * 15,
    "2" + "9" * 16,
    "2" + "9" * 17,
    "2" + str(MAX_ID),
    "2/a,",
    "2/a,1",
    "20-",
    "51-",
)
NAMES = ('"message"', '""', '"connect"', "5", "5.5", "null", "true", "{}", "[]")


@pytest.mark.parametrize("version", [3, 4, 5])
def test_the_short_way_reads_the_same(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every beginning, with every name of an event, in every kind of payload: packets, and what is none."""

    def read(text: str) -> object:
        try:
            return parse(version, text)
        except RemoteProtocolError as wrong:
            return wrong.close_code, wrong.reason

    payloads = [text for name in NAMES for text in (f"[{name}]", f'[{name},1,{{"a":[]}}]', f" [{name}]", f"[{name}] ")]
    payloads += ["[]", "[", "", "{}", '["a"', '["a"]]', '["a",NaN]', "[" * 65 + "]" * 65]
    texts = [begin + payload for begin in BEGINNINGS for payload in payloads]
    short = {text: read(text) for text in texts}
    monkeypatch.setattr(packets, "_EVENT", re.compile("(?!)"))
    assert short == {text: read(text) for text in texts}
    assert len({type(found[0]) for found in short.values() if isinstance(found, tuple)}) == 2
