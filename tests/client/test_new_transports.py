"""A transport that this client has never heard of: once it is in TRANSPORTS it is driven, tried, chosen and examined by
its shape.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from multidict import CIMultiDict

import realtime
from realtime.client.doctor import examine
from realtime.client.wire import browsers_only, own_transports
from realtime.core.carrier import Part, Shape
from realtime.core.errors import RemoteProtocolError
from realtime.protocols.native import NativeCodec
from realtime.request import SessionRequest
from realtime.testing import serve
from realtime.transports import ALL_TRANSPORTS, TRANSPORTS, Facts, Form, Frame, Transport
from realtime.transports.htmlfile import HtmlFile
from realtime.transports.long_polling import LongPolling
from realtime.transports.polling import Polling
from realtime.transports.xhr_streaming import XhrStreaming
from realtime.web import native, replies
from realtime.web.answers import lines_of

from ..patience import arrives, eventually
from .test_client import echo_server


class RecordDecoder:
    """A frame as a JSON string between two record separators (RFC 7464), as many as come."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._rest = b""

    def feed(self, data: bytes) -> list[Frame]:
        *records, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > self._max_bytes:
            raise RemoteProtocolError(4413, "a record is too long")
        return [json.loads(record[1:]) for record in records if record[:1] == b"\x1e"]

    def end(self) -> list[Frame]:
        return []


class Records(XhrStreaming):
    """A stream with a framing of its own."""

    name = "records"
    framing = "records"

    def frame(self, frame: Frame) -> bytes:
        return b"\x1e" + super().frame(frame) + b"\n"

    def wrap(self, parts: Sequence[Part]) -> Sequence[Part]:
        return [part if isinstance(part, bytes) else part.encode() for part in parts]

    def decoder(self, max_frames: int, max_bytes: int) -> RecordDecoder:  # type: ignore[override] # another framing
        return RecordDecoder(max_bytes)


class HeldToy(LongPolling):
    """A held poll."""

    name = "held_toy"


class PlainToy(Polling):
    """A poll that is answered at once."""

    name = "plain_toy"


class PageToy(HtmlFile):
    """What only a page can run."""

    name = "page_toy"


TOYS: tuple[Transport, ...] = (Records(), HeldToy(), PlainToy())


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if each had its line in TRANSPORTS: the server made its tables of them when it was imported."""
    for toy in (*TOYS, PageToy()):
        for known in (TRANSPORTS, ALL_TRANSPORTS):  # the one is made of the other
            monkeypatch.setitem(known, toy.name, toy)
        codec = NativeCodec(toy)
        monkeypatch.setitem(replies.CODECS, toy.name, codec)
        if toy.framing != "script":
            headers = CIMultiDict(toy.head(Facts()).headers)
            monkeypatch.setitem(replies.HEADERS, codec, headers)
            monkeypatch.setitem(replies.LINES, codec, lines_of(headers))
        for method in ("GET", "POST"):
            facts = SessionRequest(method=method, transport=toy.name)
            monkeypatch.setitem(native.GOING_ON, (method, toy.name), facts)
        if toy.shape is Shape.POLL:
            monkeypatch.setitem(replies.FORMS, toy.name, NativeCodec(Form(toy)))
            monkeypatch.setitem(replies.REPLIES, toy.name, replies.Reply(codec))
        else:
            monkeypatch.setattr(native, "STREAMS", native.STREAMS | {toy.name})


def test_whether_a_page_is_needed_shows_in_the_framing() -> None:
    assert set(TRANSPORTS) == {*own_transports(), *browsers_only()}
    assert {toy.name for toy in TOYS} <= set(own_transports())
    assert browsers_only() == ("htmlfile", "jsonp", "page_toy")
    with pytest.raises(realtime.LocalProtocolError, match="only browsers run 'page_toy'"):
        realtime.connect("http://localhost/", transports=["page_toy"])


@pytest.mark.parametrize("name", [toy.name for toy in TOYS])
async def test_it_carries_a_session(name: str) -> None:
    async with serve(echo_server(transports=(name,))) as running:
        url = running.make_url("/realtime/echo")
        async with realtime.connect(url, transports=[name]) as session:
            for number in range(20):
                await session.send(f"{number} \x1e")
                assert await arrives(session.receive()) == f"{number} \x1e"
            await session.send(b"\x00\xff\n")
            assert await arrives(session.receive()) == b"\x00\xff\n"
            assert session.transport == name
        assert session.close_code == 1000


@pytest.mark.parametrize("name", [toy.name for toy in TOYS])
async def test_it_is_moved_to_and_away_from(name: str) -> None:
    """Beside what carries, tried and taken where it is wanted more; and given up for another by request."""
    async with serve(echo_server(transports=(name, "polling"))) as running:
        url = running.make_url("/realtime/echo")
        async with realtime.connect(url, transports=[name, "polling"], upgrade_interval=(0.01, 0.02)) as session:
            await arrives(session.switch("polling"))
            await eventually(lambda: session.transport == name and session.state == "open")
            await session.send("there")
            assert await arrives(session.receive()) == "there"


async def test_the_doctor_tries_it() -> None:
    names = [toy.name for toy in TOYS]
    async with serve(echo_server(transports=names)) as running:
        found = await arrives(examine(running.make_url("/realtime/echo"), transports=names, patience=0.1))
    assert {finding.transport: finding.state for finding in found.findings} == dict.fromkeys(names, "ok")
