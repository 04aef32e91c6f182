"""What a packet is to be taken for, by where its client is."""

from __future__ import annotations

import pytest

from realtime.core.errors import RemoteProtocolError
from realtime.protocols.layers.socketio.membership import Act, Membership
from realtime.protocols.layers.socketio.packets import ACK, CONNECT, CONNECT_ERROR, DISCONNECT, EVENT, Packet


def test_in_and_out() -> None:
    membership = Membership(2)
    assert not membership.begun
    assert membership.take(Packet(CONNECT)) is Act.ASK
    assert membership.begun
    assert "/" not in membership
    assert membership.take(Packet(CONNECT)) is Act.IGNORE
    membership.accept("/")
    assert "/" in membership
    assert list(membership) == ["/"]
    assert membership.take(Packet(CONNECT)) is Act.IGNORE
    assert membership.take(Packet(EVENT, data=["a"])) is Act.GIVE
    assert membership.take(Packet(ACK, data=[], id=1)) is Act.ANSWER
    assert membership.take(Packet(DISCONNECT)) is Act.LEAVE
    assert list(membership) == []
    assert membership.take(Packet(CONNECT)) is Act.ASK


def test_what_was_under_way_is_ignored() -> None:
    membership = Membership(2)
    assert membership.take(Packet(CONNECT, "/a")) is Act.ASK
    for packet in (Packet(EVENT, "/a", ["a"]), Packet(EVENT, "/b", ["a"]), Packet(ACK, "/", [], 1), Packet(DISCONNECT)):
        assert membership.take(packet) is Act.IGNORE
    membership.refuse("/a")
    membership.refuse("/a")
    assert membership.take(Packet(EVENT, "/a", ["a"])) is Act.IGNORE
    assert membership.take(Packet(CONNECT, "/a")) is Act.ASK


def test_too_many() -> None:
    membership = Membership(2)
    assert [membership.ask(name) for name in ("/a", "/b", "/c", "/a")] == [
        Act.ASK,
        Act.ASK,
        Act.TURN_AWAY,
        Act.IGNORE,
    ]
    membership.refuse("/b")
    assert membership.ask("/c") is Act.ASK


@pytest.mark.parametrize("packet", [Packet(EVENT, data=["a"]), Packet(ACK, data=[], id=1), Packet(DISCONNECT)])
def test_the_first_packet_is_a_connect(packet: Packet) -> None:
    with pytest.raises(RemoteProtocolError, match="has to be a CONNECT") as caught:
        Membership(2).take(packet)
    assert caught.value.close_code == 1002
    assert Membership(2, begun=True).take(packet) is Act.IGNORE


def test_a_client_refuses_nobody() -> None:
    with pytest.raises(RemoteProtocolError, match="refuses nobody"):
        Membership(2, begun=True).take(Packet(CONNECT_ERROR, data={}))
