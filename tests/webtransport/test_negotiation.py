"""When WebTransport is offered, to whom, in which place, and what is said of where it is."""

from __future__ import annotations

import base64
import sys
from typing import Any

import aiohttp
import pytest

import realtime
from realtime.client.drivers.webtransport import Place as Where
from realtime.client.drivers.webtransport import place_of

from ..patience import eventually, within
from .place import made, place, webtransport


def server(**settings: Any) -> realtime.Server:
    rt = realtime.Server(**settings)

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    @rt.endpoint("/behind", transports=("websocket", "webtransport", "polling"))
    async def behind(session: realtime.Session) -> None:
        await session.receive()

    @rt.endpoint("/without", transports=("websocket", "polling"))
    async def without(session: realtime.Session) -> None:
        await session.receive()

    return rt


async def asked(url: Any, transports: str = "") -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as http:
        query = {"transports": transports} if transports else {}
        async with http.get(url / "negotiate", params=query, headers={"Accept": "application/json"}) as answer:
            offers: list[dict[str, Any]] = (await answer.json())["transports"]
            return offers


async def test_a_server_without_it_knows_it_only_to_refuse_it() -> None:
    rt = server()
    async with realtime.testing.serve(rt) as served:
        url = served.make_url("/realtime")
        assert "webtransport" not in [offer["name"] for offer in await asked(url / "echo")]
        (refused,) = [o for o in await asked(url / "behind") if o["name"] == "webtransport"]
        assert refused["verdict"] == "refused"
        assert "setup() was given none" in refused["reason"]
        with pytest.raises(realtime.NegotiationError, match="offers no WebTransport"):
            await realtime.connect(url / "echo", transports="webtransport")
        async with within(), realtime.connect(url / "echo", transports=["webtransport", "polling"]) as session:
            assert session.transport == "polling"
        async with aiohttp.ClientSession() as http, http.get(url / "behind" / "v1" / "webtransport") as answer:
            assert answer.status == 404
            assert "webtransport is no transport of this port; there are websocket, polling" in await answer.text()


async def test_where_it_is_served_it_is_wanted_most_unless_somebody_says_otherwise() -> None:
    async with place(server()) as there:
        names = [[offer["name"] for offer in await asked(there.url / name)] for name in ("echo", "behind", "without")]
        assert names[0][:2] == ["webtransport", "websocket"]
        assert names[1][:3] == ["websocket", "webtransport", "polling"]
        (refused,) = [offer for offer in await asked(there.url / "without") if offer["name"] == "webtransport"]
        assert (refused["verdict"], refused["reason"]) == ("refused", "not in this endpoint's transports=(…)")
        assert "port" not in refused
        (unnamed,) = [o for o in await asked(there.url / "echo", "polling") if o["name"] == "webtransport"]
        assert (unnamed["verdict"], "port" in unnamed) == ("refused", False)


async def test_where_it_is_stands_beside_it() -> None:
    async with place(server()) as there:
        (offer, *_) = await asked(there.url / "echo")
        assert offer["port"] == there.listener.port
        assert offer["hash"] == made().hash
        assert "host" not in offer
        async with within(), realtime.connect(there.url / "echo", transports=["websocket", "webtransport"]) as session:
            (told, *_) = session.negotiation
            assert {**told, "reason": ""} == {**offer, "reason": ""}
    options = webtransport(public_host="udp.example.org", public_port=443)
    async with place(server(), options) as there:
        (offer, *_) = await asked(there.url / "echo")
        assert (offer["host"], offer["port"]) == ("udp.example.org", 443)


async def test_the_page_for_a_person_names_it() -> None:
    async with (
        place(server()) as there,
        aiohttp.ClientSession() as http,
        http.get(there.url / "echo" / "negotiate", headers={"Accept": "text/html"}) as answer,
    ):
        assert (await answer.text()).startswith("webtransport   offered")


HASH = base64.b64encode(b"h" * 32).decode()


@pytest.mark.parametrize(
    ("offer", "where"),
    [
        ({"port": 4433}, Where("here", 4433, b"")),
        ({"port": 4433, "host": "there"}, Where("there", 4433, b"")),
        ({"port": 4433, "host": "müller.example"}, Where("xn--mller-kva.example", 4433, b"")),
        ({"port": 4433, "host": "::1"}, Where("::1", 4433, b"")),
        ({"port": 4433, "hash": HASH, "verdict": "demoted"}, Where("here", 4433, b"h" * 32)),
        ({}, None),
        ({"port": 4433, "verdict": "refused"}, None),
        ({"port": "4433"}, None),
        ({"port": True}, None),
        ({"port": 0}, None),
        ({"port": 65_536}, None),
        ({"port": 4433, "host": 7}, None),
        ({"port": 4433, "host": ""}, None),
        ({"port": 4433, "host": "no host/"}, None),
        ({"port": 4433, "host": "\ud800"}, None),
        ({"port": 4433, "hash": "no base64!"}, None),
        ({"port": 4433, "hash": 7}, None),
        ({"port": 4433, "hash": "AAAA"}, None),
    ],
)
def test_what_a_client_makes_of_what_it_is_told(offer: dict[str, Any], where: Where | None) -> None:
    offers = [{"name": "websocket", "verdict": "taken"}, {"name": "webtransport", "verdict": "offered", **offer}]
    if where is not None:
        assert place_of(offers, "here") == where
        return
    with pytest.raises(realtime.Refusal) as caught:
        place_of(offers, "here")
    assert caught.value.code == 4406


def test_a_server_that_says_nothing_of_it_has_none() -> None:
    for offers in ([], [{"name": "websocket"}]):
        with pytest.raises(realtime.Refusal):
            place_of(offers, "here")


async def test_another_certificate_than_the_announced_is_not_spoken_to(unhurried: Any) -> None:
    """Whoever stands there instead has another key."""
    async with place(server()) as there:
        transports = ["websocket", "webtransport"]
        session = await realtime.connect(there.url / "echo", transports=transports, upgrade=False, **unhurried)
        async with session, within():
            context = session._context
            context.negotiation = [
                {**offer, "hash": HASH} if offer["name"] == "webtransport" else offer for offer in context.negotiation
            ]
            with pytest.raises(realtime.NegotiationError, match="certificate"):
                await session.switch("webtransport")
            await session.send("still here")
            assert await session.receive() == "still here"


async def test_a_certificate_of_no_authority_is_not_taken_without_its_hash(unhurried: Any) -> None:
    async with place(server()) as there, within():
        transports = ["websocket", "webtransport"]
        session = await realtime.connect(there.url / "echo", transports=transports, upgrade=False, **unhurried)
        async with session:
            context = session._context
            context.negotiation = [
                {name: value for name, value in offer.items() if name != "hash"} for offer in context.negotiation
            ]
            with pytest.raises(realtime.NegotiationError):
                await session.switch("webtransport")
            assert session.transport == "websocket"


async def test_without_aioquic_the_client_goes_by_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(server()) as there, within():
        monkeypatch.setitem(sys.modules, "realtime.quic.client", None)
        async with realtime.connect(there.url / "echo", transports=["webtransport", "polling"]) as session:
            await eventually(lambda: session.transport == "polling")
            assert "pip install 'aiohttp-realtime[webtransport]'" in session.attempts["webtransport"]
