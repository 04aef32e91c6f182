"""The first frame of a connection or batch, said and read."""

from __future__ import annotations

import pytest

from realtime.core.client_machine import Attach, Uplink
from realtime.core.durable.following import RoomNews
from realtime.core.errors import RemoteProtocolError
from realtime.core.frames import Outgoing, Window
from realtime.core.proof import Key
from realtime.protocols.native import (
    NativeCodec,
    Open,
    RequestHead,
    attach_frame,
    open_frame,
    parse_head,
    uplink_frames,
)
from realtime.transports import LongPolling

from .ends import MESSAGES, NONCE

LONG = NativeCodec(LongPolling())


def test_the_frames_of_an_uplink_batch() -> None:
    batch = Uplink("s1", 3, 2, 7, [Outgoing.message("a"), Outgoing.message(b"b")], None, Key("K"))
    assert uplink_frames(MESSAGES, batch) == ["us1,3,2,7,K", "ma", b"b"]
    assert uplink_frames(LONG, batch) == [b'"us1,3,2,7,K"', b'"ma"', b'"bYg=="']
    assert uplink_frames(MESSAGES, batch._replace(items=[], going=6)) == ["us1,3,2,7,K", "g6"]
    assert uplink_frames(MESSAGES, batch._replace(items=[], asks=True)) == ["us1,3,2,7,K", "p"]


def test_an_attach() -> None:
    assert attach_frame(Attach("s1", 4, 3, 2, 7, Key("K"))) == "rs1,4,3,2,7,K"
    assert attach_frame(Attach("s1", 4, 3, 2, 7, Key("K"), "t1")) == "rs1,4,3,2,7,K,t1"


def test_what_a_batch_says_of_rooms_stands_before_its_messages() -> None:
    news = RoomNews(4, {"a,b": "1.2.x"}, 7)
    batch = Uplink("s1", 3, 2, 7, [Outgoing.message("a")], 8, Key("K"), "t1", news)
    assert uplink_frames(MESSAGES, batch) == ["us1,3,2,7,K,t1", "l4,a%2Cb,1.2.x", "f4,7", "ma", "g8"]
    assert uplink_frames(MESSAGES, batch._replace(news=RoomNews(4, {}), going=None)) == ["us1,3,2,7,K,t1", "l4", "ma"]


def test_heads() -> None:
    assert parse_head("rs1,4,3,2,7,K") == RequestHead("s1", 4, 3, 2, 7, Key("K"))
    assert parse_head("us1,3,2,7,K,more") == RequestHead("s1", 0, 3, 2, 7, Key("K"), "more")
    assert parse_head("us1,3,2,7") == RequestHead("s1", 0, 3, 2, 7, Key(""))
    assert parse_head(open_frame(NONCE, 1, Window(1, 2), [])) == Open(NONCE, 1, Window(1, 2), (), None)


@pytest.mark.parametrize(
    ("frame", "match"),
    [
        (b"rs1,4,3,2,7", "first frame must be"),
        ("", "first frame must be"),
        ("mhello", "first frame must be"),
        ("rs1,4,3,2", "attach is r<sid>"),
        ("us1,4,3", "starts with u<sid>"),
        ("r,4,3,2,7", "attach is"),
        ("rs1,4,3,2,x", "a field of the head is not a number, or is missing"),
        ("rs1,0,0,0,1", "count from 1"),
        ("us1,0,0,0", "count from 1"),
    ],
)
def test_no_heads(frame: str | bytes, match: str) -> None:
    with pytest.raises(RemoteProtocolError, match=match) as caught:
        parse_head(frame)
    assert caught.value.close_code == 4400


def test_an_error_quotes_only_the_beginning_of_what_it_could_not_read() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_head("us1,0,0," + "x" * 10_000)
    assert len(caught.value.reason) < 100


def test_a_head_does_not_show_its_secrets() -> None:
    head = parse_head("rs1,2,0,0,1,secret")
    assert "gen=2" in repr(head)
    assert "s1" not in repr(head)
    assert "secret" not in repr(head)
