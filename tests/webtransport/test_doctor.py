"""The doctor before a UDP port: that it is tried where a server has it, and what stands in its way."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.h3.connection import H3Connection
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated

import realtime
from realtime.client.doctor import Examination, Finding, examine
from realtime.client.doctor.duplex import Talk
from realtime.client.wire import own_transports
from realtime.testing import UdpFaultProxy

from ..cli.program import run
from ..patience import eventually, steady
from .place import Place, listener_of, made, place, webtransport


@contextlib.asynccontextmanager
async def behind_udp(**settings: Any) -> AsyncIterator[tuple[Place, UdpFaultProxy, str]]:
    """A server whose WebTransport is behind a proxy, as it says, and the URL of an endpoint there."""
    rt = realtime.Server(**settings)

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    @rt.endpoint("/without", transports=("websocket", "polling"))
    async def without(session: realtime.Session) -> None:
        await session.receive()

    async with UdpFaultProxy("127.0.0.1", 9) as udp:
        options = webtransport(public_port=udp.port, public_host="127.0.0.1")
        async with place(rt, options) as there:
            udp.backend = ("127.0.0.1", listener_of(rt).port)
            yield there, udp, str(there.url / "echo")
        udp.clear()


def of_it(found: Examination) -> Finding:
    """What was found out about it."""
    (finding,) = [finding for finding in found.findings if finding.transport == "webtransport"]
    return finding


@steady
async def test_it_is_tried_where_a_server_has_it() -> None:
    async with behind_udp() as (there, udp, url):
        found = await examine(url, patience=0.1)
        assert [finding.state for finding in found.findings] == ["ok"] * (1 + len(own_transports())), found
        assert found.order == ("webtransport", *own_transports())
        assert found.advice == ()
        finding = of_it(found)
        assert finding.through
        assert finding.first_byte is not None
        assert finding.round_trip is not None
        assert min(finding.first_byte, finding.round_trip) > 0
        assert udp.counts["passed"]
        assert len(there.rt) == 0, "a session lingers"
        found = await examine(there.url / "without", patience=0.1)
        assert "webtransport" not in [finding.transport for finding in found.findings]


@steady
async def test_its_session_ends_as_it_should_with_auth_data_too() -> None:
    ends: list[tuple[int | None, object]] = []
    rt = realtime.Server()

    @rt.authorize
    async def authorize(request: realtime.SessionRequest) -> str:
        if request.auth is None:
            raise realtime.Unauthorized("who are you?")
        return str(request.auth)

    @rt.endpoint("/watch")
    async def watch(session: realtime.Session) -> None:
        async for _ in session:
            """Nothing comes."""
        ends.append((session.close_code, session.identity))

    async with place(rt) as there:
        found = await examine(there.url / "watch", transports=["webtransport"], patience=0.0, auth="ada")
        assert of_it(found).state == "ok", found
        await eventually(lambda: ends == [(1000, "ada")])
        found = await examine(there.url / "watch", transports=["webtransport"], patience=0.0)
        assert (of_it(found).state, of_it(found).code) == ("policy", 4401)


@pytest.mark.parametrize(
    ("dark", "state", "says"),
    [
        ({"to_server", "to_client"}, "dark", "nothing came back from UDP port {port} of 127.0.0.1"),
        ({"to_client"}, "dark", "nothing came back"),
    ],
    ids=["both ways", "one way"],
)
@steady
async def test_where_udp_is_blocked(dark: set[Any], state: str, says: str) -> None:
    async with behind_udp() as (_, udp, url):
        udp.dark = frozenset(dark)
        found = await examine(url, transports=["webtransport", "websocket"], patience=0.0, timeout=8.0)
        finding = of_it(found)
        assert (finding.state, finding.through) == (state, False), found
        assert says.format(port=udp.port) in finding.what
        assert found.order == ("websocket",)
        (advice,) = found.advice
        assert f"UDP does not get through to port {udp.port} of 127.0.0.1" in advice
        assert f"-p {udp.port}:{udp.port}/udp" in advice
        assert udp.counts["swallowed"] > 0


@steady
async def test_where_udp_gets_through_once_and_no_more() -> None:
    async with behind_udp() as (_, udp, url):
        udp.cut_after, udp.cut_way = 1, "to_server"
        found = await examine(url, transports=["webtransport"], patience=0.0, timeout=16.0)
        finding = of_it(found)
        assert (finding.state, finding.through) == ("hung", False), found
        assert finding.what.startswith("UDP gets through, and its ")
        assert not found.through


@steady
async def test_where_it_goes_mute_when_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    idle = Talk.idle
    async with behind_udp() as (_, udp, url):

        async def cut_off(talk: Talk) -> None:
            udp.go_dark()
            await idle(talk)

        monkeypatch.setattr(Talk, "idle", cut_off)
        found = await examine(url, transports=["webtransport"], patience=0.1, timeout=16.0)
        finding = of_it(found)
        assert (finding.state, finding.through) == ("cut", True), found
        assert "goes mute" in finding.what
        assert finding.cut_after is not None
        (advice,) = found.advice
        assert "ping_interval" in advice


@pytest.mark.parametrize(
    ("digest", "says"),
    [
        (None, "the certificate is not taken"),  # it is of no authority, and nobody says its hash
        (b"another's " * 3 + b"..", "not the one whose hash was announced"),
    ],
    ids=["of no authority", "of another hash"],
)
@steady
async def test_where_the_certificate_is_not_taken(digest: bytes | None, says: str) -> None:
    async with behind_udp() as (there, _, url):
        certificates = there.listener._certificates
        certificates.loaded = certificates.loaded._replace(digest=digest)
        found = await examine(url, transports=["webtransport"], patience=0.0)
        finding = of_it(found)
        assert finding.state == "untrusted", found
        assert says in finding.what
        (advice,) = found.advice
        assert advice.startswith("The certificate at UDP port")


class OnlyHttp(QuicConnectionProtocol):
    """HTTP/3 without WebTransport."""

    def quic_event_received(self, event: Any) -> None:
        """Says its settings."""
        if isinstance(event, ProtocolNegotiated):
            H3Connection(self._quic)


@pytest.mark.parametrize("speaks", ["h3", "hq-interop"])
@steady
async def test_where_something_else_answers(speaks: str) -> None:
    configuration = QuicConfiguration(is_client=False, alpn_protocols=[speaks])
    configuration.load_cert_chain(made().certificate, made().key)
    async with behind_udp() as (_, udp, url):
        other = await serve("127.0.0.1", 0, configuration=configuration, create_protocol=OnlyHttp)
        listening: Any = other
        udp.backend = listening._transport.get_extra_info("sockname")[:2]
        try:
            found = await examine(url, transports=["webtransport"], patience=0.0)
        finally:
            other.close()
        finding = of_it(found)
        assert finding.state == "foreign", found
        assert "no WebTransport answers there" in finding.what
        (advice,) = [advice for advice in found.advice if "UDP" in advice]
        assert advice.startswith("Something else")


@steady
async def test_where_nobody_listens() -> None:
    rt = realtime.Server()

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        """Never."""

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:  # nobody else has it, and whoever asks is refused
        taken.bind(("127.0.0.1", 0))
        taken.connect(("127.0.0.1", 9))
        port = taken.getsockname()[1]
        async with place(rt, webtransport(public_port=port)) as there:
            found = await examine(there.url / "echo", transports=["webtransport"], patience=0.0)
        finding = of_it(found)
        assert finding.state == "unreachable", found
        assert f"nothing is at UDP port {port} of 127.0.0.1" in finding.what
        (advice,) = found.advice
        assert "public_port" in advice


@steady
async def test_another_host_whose_pages_are_not_allowed() -> None:
    """A page's own host needs no leave; where the port is another host's, it does."""
    rt = realtime.Server()

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        await session.receive()

    async with place(rt, webtransport(public_host="localhost")) as there:
        headers = {"Origin": str(there.url.origin())}
        found = await examine(there.url / "echo", transports=["webtransport"], patience=0.0, headers=headers)
        assert (of_it(found).state, of_it(found).status) == ("policy", 403), found
        assert "allowed_origins" in found.advice[0]


@steady
async def test_why_it_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async with behind_udp() as (there, _, url):
        found = await examine(there.url / "without", transports=["webtransport"], patience=0.0)
        assert of_it(found).state == "skipped"
        assert "not in this endpoint's transports" in of_it(found).what
        assert found.advice == ()
        monkeypatch.setitem(sys.modules, "realtime.quic.client", None)
        found = await examine(url, patience=0.0)
        assert of_it(found).state == "skipped"
        assert "pip install 'aiohttp-realtime[webtransport]'" in of_it(found).what
        assert found.through
    found = await examine(url, transports=["webtransport"], patience=0.0)
    assert of_it(found).state == "skipped"
    assert "does not say where it is" in of_it(found).what


@steady
async def test_a_forward_proxy_is_not_asked_for_udp() -> None:
    async with behind_udp() as (there, _, url):
        found = await examine(url, transports=["webtransport"], patience=0.0, proxy=str(there.url.origin()))
        assert of_it(found).notes == ["UDP does not go by the forward proxy"], found


async def test_from_the_command_line() -> None:
    async with behind_udp() as (_, udp, url):
        code, out, err = await run("doctor", "--patience", 0, url)
        assert (code, err) == (0, "")
        assert "\nwebtransport   yes " in out
        assert "Use, best first: webtransport, websocket" in out
        udp.go_dark()
        code, out, err = await run("doctor", "--patience", 0, "--transport", "webtransport", url)
        assert (code, err) == (1, "")
        assert "dark: nothing came back from UDP port" in out
