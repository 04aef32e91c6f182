"""The example flashsocket, but for the movie: what its server does. (The movie is played by `make matrix`.)"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import re
import shutil
import socket
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from realtime.testing import serve

from .browsers.engines import ENGINES, Engine, EngineError
from .browsers.matrix import flash, table
from .patience import arrives, within

# -- the policy server --------------------------------------------------------------------------------------------


async def asked(port: int, *pieces: bytes) -> bytes:
    """All that a policy server says to this."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    writer.write_eof()
    answer = await arrives(reader.read())
    writer.close()
    return answer


async def test_a_policy_file_is_what_a_player_asks_for() -> None:
    example = flash.load()
    async with example.policy_server("127.0.0.1", 0) as port:
        answer = await asked(port, b"<policy-file-request/>\0")
        assert answer[-1:] == b"\0"
        (allowed,) = ET.fromstring(answer[:-1].decode()).iter("allow-access-from")
        assert allowed.attrib == {"domain": "127.0.0.1", "to-ports": "8080"}
        assert await asked(port, b"<policy-file", b"-request/>", b"\0") == answer
        for other in ((), (b"<policy-file-request/>",), (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",)):
            assert await asked(port, *other) == b""


# -- the bridge -----------------------------------------------------------------------------------------------------


class Far:
    """A TCP server that says everything back, and closes after "bye"."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()  # a connection, at the other end

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while (data := await reader.read(1000)) and data != b"bye":
                writer.write(data)
                await writer.drain()
        writer.close()
        self.ended.set()

    @contextlib.asynccontextmanager
    async def bridged(self, piece: int = 65_536, origin: str | None = None) -> AsyncIterator[ClientWebSocketResponse]:
        """A WebSocket to it, by the bridge."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        app = flash.load().make_app(policy_port=0, target=server.sockets[0].getsockname()[:2], piece=piece)
        async with server, serve(app) as front, ClientSession() as http:
            origin = origin or str(front.make_url("")).rstrip("/")
            async with http.ws_connect(front.make_url("/tcp"), origin=origin) as websocket, within():
                yield websocket


async def test_the_bridge_carries_bytes_both_ways() -> None:
    far = Far()
    async with far.bridged() as websocket:
        for data in (b"\0", bytes(range(256)) * 1000):
            await websocket.send_bytes(data)
            came = b""
            while len(came) < len(data):
                came += await websocket.receive_bytes()
            assert came == data
        assert not far.ended.is_set()
    await arrives(far.ended.wait(), "until the other end is closed, too")


async def test_the_bridge_gives_bytes_by_themselves() -> None:
    async with Far().bridged(piece=1) as websocket:
        await websocket.send_bytes(b"hello")
        assert [await websocket.receive_bytes() for _ in range(5)] == [b"h", b"e", b"l", b"l", b"o"]


async def test_who_closes_behind_the_bridge_closes_the_websocket() -> None:
    async with Far().bridged() as websocket:
        await websocket.send_bytes(b"bye")
        assert (await websocket.receive()).type is WSMsgType.CLOSE


async def test_text_is_nothing_for_the_bridge() -> None:
    far = Far()
    async with far.bridged() as websocket:
        await websocket.send_str("hello")
        assert (await websocket.receive()).type is WSMsgType.CLOSE
        await far.ended.wait()


async def test_the_bridge_is_for_the_page_alone() -> None:
    for origin in ("https://elsewhere.example", "null", "127.0.0.1"):
        with pytest.raises(WSServerHandshakeError, match="403"):
            async with Far().bridged(origin=origin):
                pass


async def test_nobody_listens_behind_the_bridge() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and never listens
        app = flash.load().make_app(policy_port=0, target=taken.getsockname())
        async with serve(app) as front, ClientSession() as http:
            origin = str(front.make_url("")).rstrip("/")
            with pytest.raises(WSServerHandshakeError, match="502"):
                await http.ws_connect(front.make_url("/tcp"), origin=origin)


async def test_the_bridge_leads_to_this_very_server() -> None:
    async with serve(flash.load().make_app(policy_port=0)) as front, ClientSession() as http:
        origin = str(front.make_url("")).rstrip("/")
        async with http.ws_connect(front.make_url("/tcp"), origin=origin) as websocket, within():
            await websocket.send_bytes(b"GET /flashsocket.js HTTP/1.0\r\n\r\n")
            came = b""
            async for message in websocket:
                came += message.data
    assert came.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b"class FlashSocket" in came


# -- the page -------------------------------------------------------------------------------------------------------


async def test_the_page_is_served_with_all_that_it_wants(tmp_path: Path) -> None:
    movie = tmp_path / "movie.swf"
    movie.write_bytes(b"CWS")
    app = flash.load().make_app(movie, policy_port=0)
    async with serve(app) as front, ClientSession() as http:
        async with http.get(front.make_url("/")) as response:
            assert response.content_type == "text/html"
            text = await response.text()
        scripts = re.findall(r'<script src="([^"]+)"', text)
        assert scripts == ["/ruffle/ruffle.js", "/flashsocket.js", "/realtime/client.js"]
        (found,) = re.findall(r'FlashSocket.load\(player, "([^"]+)", (\d+)\)', text)
        for path in (*scripts[1:], found[0]):
            async with http.get(front.make_url(path)) as response:
                assert response.status == 200, path
                assert (b"CWS" if path == found[0] else b"function") in await response.read()
        assert b"cross-domain-policy" in await asked(int(found[1]), b"<policy-file-request/>\0")


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
async def test_the_scripts_are_in_order(tmp_path: Path) -> None:
    inline = re.findall(r"<script>\n(.*?)</script>", (flash.FOLDER / "index.html").read_text("utf-8"), re.DOTALL)
    assert len(inline) == 2
    for number, text in enumerate([*inline, (flash.FOLDER / "flashsocket.js").read_text("utf-8")]):
        path = tmp_path / f"{number}.js"
        path.write_text(text, "utf-8")
        check: list[str | Path] = ["node", "--check", path]
        done = await asyncio.to_thread(subprocess.run, check, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr


# -- the movie ------------------------------------------------------------------------------------------------------


def test_haxe_is_asked_for_the_movie_when_there_is_none_or_an_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = flash.load()
    movie = tmp_path / "build" / "movie.swf"
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr(example, "HERE", tmp_path)
    source = tmp_path / "FlashSocket.hx"
    source.write_text("class FlashSocket {}")
    haxe = programs / "haxe"
    haxe.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\ntouch {movie}\n')
    haxe.chmod(0o755)
    for _ in range(2):
        assert example.build(movie) == movie
    os.utime(source, (later := movie.stat().st_mtime + 10, later))
    os.utime(movie, (later - 1, later - 1))
    example.build(movie)
    line = f"-cp {tmp_path} -main FlashSocket --swf {movie} --swf-version 11\n"
    assert (tmp_path / "asked").read_text() == 2 * line
    movie.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="haxe"):
        example.build(movie)


# -- its part of the matrix -------------------------------------------------------------------------------------------


async def test_what_is_not_installed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match=r"no haxe on the PATH.*\.ci/flash"):
        await flash.prepare()
    haxe = tmp_path / "haxe"
    haxe.touch(0o755)
    example = flash.load()
    example.RUFFLE = tmp_path / "ruffle"
    monkeypatch.setattr(flash, "load", lambda: example)
    with pytest.raises(EngineError, match=r"Ruffle is not installed.*\.ci/clients"):
        await flash.prepare()


async def test_what_becomes_of_each_check_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def well(engine: Engine) -> None:
        pass

    async def badly(engine: Engine) -> None:
        raise AssertionError("not the same")

    async def never(engine: Engine) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(flash, "TIMEOUT", 0.01)
    monkeypatch.setattr(flash, "CHECKS", {"well": ("a", well), "badly": ("b", badly), "never": ("c", never)})
    checks = [await flash.play(ENGINES[flash.ENGINE](), name) for name in flash.CHECKS]
    assert [check.problem for check in checks] == ["", "AssertionError('not the same')", "not within 0.01 s"]


def test_what_became_of_the_checks_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    checks = [flash.Check("a", 1.25, ""), flash.Check("b", 2.0, "not the same")]
    document = tmp_path / "browsers.md"
    document.write_text(table.DOCUMENT.read_text("utf-8"), "utf-8")
    monkeypatch.setattr(table, "DOCUMENT", document)
    table.write_flash(checks, "Ruffle in a browser", datetime.date(2026, 1, 2))
    text = document.read_text("utf-8")
    assert "Run on 2026-01-02, by Ruffle in a browser." in text
    assert "| a | 1.2 s |\n| b | **failed** |\n" in text
    assert table.BEGIN in text
    table.write_flash(checks, "Ruffle in a browser", datetime.date(2026, 1, 2))
    assert document.read_text("utf-8") == text
