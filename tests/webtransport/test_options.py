"""What an application may say of its WebTransport, what is wrong with the rest, and certificates that change."""

from __future__ import annotations

import asyncio
import shutil
import socket
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import realtime
from realtime.core.negotiation import Choice
from realtime.owners import Elsewhere
from realtime.testing import make_certificate
from realtime.webtransport.certificates import Certificates

from ..patience import within
from .place import OPEN, made, place, webtransport


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"port": "4433"}, TypeError, "port='4433': takes a port"),
        ({"port": True}, TypeError, "port=True"),
        ({"port": -1}, realtime.LocalProtocolError, "port=-1"),
        ({"port": 65_536}, realtime.LocalProtocolError, "port=65536"),
        ({"public_port": 65_536}, realtime.LocalProtocolError, "public_port"),
        ({"host": ""}, realtime.LocalProtocolError, "host=''"),
        ({"host": 7}, TypeError, "host=7"),
        ({"certificate": 7}, TypeError, "certificate=7: takes the path of a file"),
        ({"key": None}, TypeError, "key=None"),
        ({"idle_timeout": 0.5}, realtime.LocalProtocolError, "idle_timeout=0.5"),
        ({"max_connections": 0}, realtime.LocalProtocolError, "max_connections=0"),
        ({"max_handshakes": 0}, realtime.LocalProtocolError, "max_handshakes=0"),
        ({"certificate": "no\0where"}, realtime.LocalProtocolError, "cannot be read: .*embedded null"),
        ({"certificate": "/nowhere/at.all"}, realtime.LocalProtocolError, "'/nowhere/at.all' cannot be read"),
    ],
)
def test_what_is_wrong_is_said_where_it_was_written(options: dict[str, Any], kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        webtransport(**options)


def test_files_that_are_no_certificate_with_its_key(tmp_path: Path) -> None:
    another = make_certificate(tmp_path)
    with pytest.raises(realtime.LocalProtocolError, match="is not that of the certificate"):
        webtransport(key=another.key)
    with pytest.raises(realtime.LocalProtocolError, match="are no certificate and its key"):
        webtransport(certificate=another.key)
    empty = tmp_path / "empty.pem"
    empty.write_bytes(b"")
    with pytest.raises(realtime.LocalProtocolError, match="are no certificate and its key"):
        webtransport(certificate=empty)
    with pytest.raises(realtime.LocalProtocolError, match="are no certificate and its key"):
        webtransport(key=empty)


@pytest.mark.parametrize("curve", [ec.SECP521R1(), ec.SECP256K1()], ids=lambda curve: str(curve.name))
def test_keys_that_no_handshake_is_signed_with(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    """They would be found out by clients, none of which gets in."""
    key = tmp_path / "key.pem"
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key.write_bytes(ec.generate_private_key(curve).private_bytes(*form))
    with pytest.raises(realtime.LocalProtocolError, match="nothing can be signed"):
        webtransport(key=key)


def test_a_key_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether at the start or when the files change: then what was there before stays."""

    def unknown(data: bytes) -> None:
        raise UnsupportedAlgorithm("Curve 1.3.132.0.7 is not supported")

    certificates = Certificates(made().certificate, made().key)
    before = certificates.loaded
    certificates._stamps = []
    monkeypatch.setattr("realtime.webtransport.certificates.load_pem_private_key", unknown)
    certificates.refresh()
    assert certificates.loaded is before
    with pytest.raises(realtime.LocalProtocolError, match="is not supported"):
        webtransport()


async def test_a_shutdown_that_is_cut_short_closes_the_port() -> None:
    async with place(realtime.Server()) as there, there.raw():
        ending = asyncio.ensure_future(there.listener.ended())
        await asyncio.sleep(0)
        ending.cancel()
        await asyncio.wait({ending})
        assert there.listener._transport is None
        assert not there.listener._connections


def test_setup_takes_nothing_else() -> None:
    with pytest.raises(TypeError, match=r"webtransport=4433: takes a realtime.WebTransport"):
        realtime.setup(web.Application(), realtime.Server(), webtransport=4433)  # type: ignore[arg-type]


def test_without_aioquic_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "realtime.webtransport.certificates", None)
    with pytest.raises(realtime.LocalProtocolError, match=r"pip install 'aiohttp-realtime\[webtransport\]'"):
        webtransport()


async def test_a_port_that_is_taken_is_named_at_the_start() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(realtime.LocalProtocolError, match=f"the UDP port 127.0.0.1:{port} for WebTransport"):
            async with place(realtime.Server(), webtransport(port=port)):
                """Never."""


async def test_without_a_host_all_addresses_are_listened_at() -> None:
    rt = realtime.Server()

    @rt.endpoint("/who")
    async def who(session: realtime.Session) -> None:
        await session.send(session.request.remote or "")

    async with (
        place(rt, webtransport(host=None)) as there,
        within(),
        realtime.connect(there.url / "who", transports="webtransport") as session,
    ):
        assert await session.receive() == "127.0.0.1"


# -- certificates ------------------------------------------------------------------------------------------------------


def written(folder: Path, key: Any, days: int) -> tuple[Path, Path]:
    """A certificate of no authority, valid for so many days."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


@pytest.mark.parametrize(
    ("key", "days", "told"),
    [
        (partial(ec.generate_private_key, ec.SECP256R1()), 14, True),
        (partial(ec.generate_private_key, ec.SECP256R1()), 15, False),
        (partial(ec.generate_private_key, ec.SECP384R1()), 14, False),
        (partial(rsa.generate_private_key, 65_537, 2048), 14, False),
    ],
    ids=["as browsers want it", "too long", "another curve", "no curve"],
)
def test_the_hash_is_told_where_browsers_go_by_it(tmp_path: Path, key: Any, days: int, told: bool) -> None:
    assert (Certificates(*written(tmp_path, key(), days)).loaded.digest is not None) is told


def test_what_a_test_makes_is_such_a_certificate(tmp_path: Path) -> None:
    mine = make_certificate(tmp_path)
    assert Certificates(mine.certificate, mine.key).loaded.digest == mine.digest
    assert mine.key.stat().st_mode & 0o077 == 0


async def test_files_that_change_are_read_again(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    mine, renewed = make_certificate(first), make_certificate(second)
    rt = realtime.Server()

    @rt.endpoint("/hello")
    async def hello(session: realtime.Session) -> None:
        await session.send("hello")

    def announced(there: Any) -> Any:
        there.listener._looked = -1e9  # as if it had not been looked at for a while
        return there.listener.place().digest

    async with place(rt, webtransport(certificate=mine.certificate, key=mine.key)) as there, within():
        assert announced(there) == mine.digest
        shutil.copy(renewed.certificate, mine.certificate)  # the key has not come yet
        assert announced(there) == mine.digest
        mine.certificate.unlink()
        assert announced(there) == mine.digest
        for source, target in ((renewed.certificate, mine.certificate), (renewed.key, mine.key)):
            shutil.copy(source, target)
        assert announced(there) == renewed.digest
        async with realtime.connect(there.url / "hello", transports="webtransport") as session:
            assert await session.receive() == "hello"


# -- workers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["rw2.abc,1,0,0,1,secret", OPEN])
async def test_a_session_of_another_worker_where_nothing_carries(monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    rt = realtime.Server()

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        """Never."""

    async def elsewhere(*_: object, **__: object) -> None:
        raise Elsewhere(None, "w2.abc")  # type: ignore[arg-type] # whose it is does not matter here

    async with place(rt) as there, there.raw() as raw:
        monkeypatch.setattr(rt._service.sessions, "route", elsewhere)
        monkeypatch.setattr(rt._service.sessions, "open", elsewhere)
        raw.send(first)
        frame = await raw.receive()
        assert isinstance(frame, str)
        assert frame.startswith("x4503,carrier,,the session is with another worker")


def test_what_is_offered_says_nothing_of_a_place_where_there_is_none() -> None:
    assert Choice("websocket", "offered", "offered").place is None
    assert made().hash
