"""Packets with their attachments, from the messages of a session: whole, in bounds, in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.core.errors import RemoteProtocolError
from realtime.core.machine import FOREVER
from realtime.protocols.layers.socketio.decoder import Decoder, decode
from realtime.protocols.layers.socketio.packets import ACK, EVENT, Packet, write

from .vectors import VECTORS, messages, packet


def decoder(version: int = 5, **settings: Any) -> Decoder:
    """One with bounds."""
    return Decoder(version, **({"max_attachments": 3, "max_size": 200_000, "patience": 10.0} | settings))


def feed(reader: Decoder, sent: Sequence[str | bytes], now: float = 0.0) -> list[Packet]:
    """The packets that come of these messages."""
    return [found[0] for message in sent if (found := reader.feed(message, now))]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["name"]))
def test_the_vectors(vector: dict[str, Any]) -> None:
    reader = decoder(vector["version"])
    if "error" in vector:
        with pytest.raises(RemoteProtocolError) as caught:
            feed(reader, messages(vector))
        assert caught.value.close_code == vector["error"]
    else:
        assert feed(reader, messages(vector)) == [packet(vector)]
        assert reader.deadline == FOREVER
        assert feed(reader, ['2["next"]']) == [Packet(EVENT, data=["next"])]


@pytest.mark.parametrize("vector", [one for one in VECTORS if "means" in one], ids=lambda vector: str(vector["name"]))
def test_what_was_found_whole_is_decoded_again(vector: dict[str, Any]) -> None:
    assert decode(vector["version"], messages(vector)) == packet(vector)


def test_sizes_are_counted_with_the_attachments() -> None:
    reader = decoder()
    assert reader.feed('2["é"]', 0.0) == (Packet(EVENT, data=["é"]), 7)
    head = '52-["a"]'
    assert reader.feed(head, 0.0) is None
    assert reader.feed(b"12", 0.0) is None
    assert reader.feed(b"345", 0.0) == (Packet(EVENT, data=["a"]), len(head) + 5)


def test_too_many_attachments() -> None:
    assert feed(decoder(), ['53-["a"]', b"", b"", b""]) == [Packet(EVENT, data=["a"])]
    for count in ("4", "9999999999"):
        with pytest.raises(RemoteProtocolError, match="max_attachments") as caught:
            decoder().feed(f'5{count}-["a"]', 0.0)
        assert caught.value.close_code == 1009


def test_too_large_ones() -> None:
    cases: list[list[str | bytes]] = [['51-["' + "a" * 20 + '"]'], ['52-["a"]', b"123456", b"789012"]]
    for sent in cases:
        with pytest.raises(RemoteProtocolError, match="more than 16 bytes") as caught:
            feed(decoder(max_size=16), sent)
        assert caught.value.close_code == 1009
    assert feed(decoder(max_size=16), ['52-["a"]', b"1234", b"5678"]) == [Packet(EVENT, data=["a"])]


def test_an_attachment_in_many_places() -> None:
    """Whoever writes such an event again makes one of each place."""
    place = '{"_placeholder":true,"num":0}'
    for count, size in ((4, 0), (3, 70_000)):
        with pytest.raises(RemoteProtocolError, match="in all their places") as caught:
            feed(decoder(), ['53-["a",' + ",".join([place] * count) + "]", b"x" * size, b"", b""])
        assert caught.value.close_code == 1009
    assert feed(decoder(), [f'51-["a",{place},{place}]', b"x"]) == [Packet(EVENT, data=["a", b"x", b"x"])]


def test_attachments_that_never_come() -> None:
    reader = decoder()
    assert reader.deadline == FOREVER
    reader.expire(1e9)
    reader.feed('52-["a"]', 5.0)
    assert reader.deadline == 15.0
    reader.expire(14.9)
    reader.feed(b"", 14.9)
    assert reader.deadline == 15.0
    with pytest.raises(RemoteProtocolError, match="in time"):
        reader.expire(15.0)


def test_one_of_the_first_clients_is_known_by_its_acks() -> None:
    acks: list[list[str | bytes]] = [["30-1[]"], ['31-1[{"_placeholder":true,"num":0}]', b"x"]]
    for ack in acks:
        reader = decoder(4)
        assert feed(reader, ["31[]"]) == [Packet(ACK, data=[], id=1)]
        assert feed(reader, ['2["3-"]', '61-1[{"_placeholder":true,"num":0}]', b"x"])[1].type == ACK
        assert reader.version == 4
        feed(reader, ack)
        assert reader.version == 3


@given(st.lists(st.lists(st.binary(max_size=9), max_size=3), max_size=5), st.sampled_from((5, 4, 3)))
def test_what_is_written_comes_whole(events: list[list[bytes]], version: int) -> None:
    sent = [Packet(EVENT, "/n", ["e", *event], number) for number, event in enumerate(events)]
    assert feed(decoder(version), [part for one in sent for part in write(version, one)]) == sent
