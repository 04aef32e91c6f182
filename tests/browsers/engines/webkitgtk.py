"""WebKitGTK's MiniBrowser over WebDriver, on an X server of our own. A session, and so a browser, for each page."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import struct
import tempfile
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from ...ports import port_for
from .base import Engine, EngineError, Message, Page, save
from .process import PATIENCE, Program

__all__ = ["WebKitGTK"]

BROWSERS = "lib/*/webkit2gtk-4.*/MiniBrowser"
SCREEN = "1024x768x24"
TIMEOUT = aiohttp.ClientTimeout(total=PATIENCE)


class WebKitPage(Page):
    """The window of a session."""

    def __init__(self, engine: WebKitGTK, session: str) -> None:
        super().__init__()
        self._engine = engine
        self._session = session

    async def console(self) -> list[Message]:
        """Under automation this browser tells nobody: these are the errors that a page of ours keeps itself."""
        return [Message("error", text) for text in await self.evaluate("window.pageErrors || []")]

    async def evaluate(self, script: str) -> Any:
        body = {"script": f"return ({script});", "args": []}
        return await self._engine.ask("POST", f"/session/{self._session}/execute/sync", body)

    async def screenshot(self, path: Path) -> None:
        save(path, self._engine.picture())


class WebKitGTK(Engine):
    """WebKitGTK, as Debian has it."""

    name = "webkitgtk"
    stands_for = "the family of Safari"

    def __init__(self) -> None:
        self._screen: Program | None = None
        self._driver: Program | None = None
        self._http: aiohttp.ClientSession | None = None
        self._base = ""
        self._directory: Path | None = None
        self._turn = asyncio.Lock()  # the driver has one session at a time
        self._version = ""

    @property
    def _browser(self) -> Path | None:
        return next(Path("/usr").glob(BROWSERS), None)

    def missing(self) -> str | None:
        if self._browser is None:
            return f"{self.name} is not installed (no MiniBrowser under /usr/lib): run `sh .ci/browsers`"
        return self._need_program("WebKitWebDriver", "Xvfb")

    async def version(self) -> str:
        if not self._version:
            async with self.open("about:blank"):
                pass
        return self._version

    async def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """A command to the driver; its answer. Raises EngineError."""
        assert self._http is not None
        assert self._driver is not None
        try:
            async with self._http.request(method, self._base + path, json=body) as response:
                value = (await response.json(content_type=None))["value"]
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._driver.failure(f"{method} {path}: {error!r}") from None
        if response.status != 200:
            raise EngineError(f"{self.name}: {value.get('error')}: {value.get('message')}")
        return value

    def picture(self) -> bytes:
        """The screen as a PNG. (The driver's own screenshot never comes where nothing is composited.)"""
        assert self._directory is not None
        return png((self._directory / "Xvfb_screen0").read_bytes())

    async def _start(self) -> None:
        if self._driver is not None and self._driver.alive and self._screen is not None and self._screen.alive:
            return
        await self.stop()
        self._directory = directory = Path(tempfile.mkdtemp(prefix="realtime-webkitgtk-"))
        # The X server takes a free number and tells it on file descriptor 1. Its picture is in a file.
        command: list[str | Path] = [
            "Xvfb",
            "-displayfd",
            "1",
            "-screen",
            "0",
            SCREEN,
            "-nolisten",
            "tcp",
            "-fbdir",
            directory,
        ]
        self._screen = await Program.start("Xvfb", command)
        display = (await self._screen.wait_for(r"^(\d+)$"))[1]
        port = port_for()
        self._driver = await Program.start(
            "WebKitWebDriver",
            ["WebKitWebDriver", f"--port={port}", "--host=127.0.0.1"],
            env={
                "DISPLAY": f":{display}",
                "GDK_BACKEND": "x11",
                "WAYLAND_DISPLAY": "",
                "NO_AT_BRIDGE": "1",
                "LIBGL_ALWAYS_SOFTWARE": "1",
                "WEBKIT_DISABLE_DMABUF_RENDERER": "1",
                "WEBKIT_DISABLE_COMPOSITING_MODE": "1",
                "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",  # containers rarely allow one
            },
        )
        self._base = f"http://127.0.0.1:{port}"
        self._http = aiohttp.ClientSession(timeout=TIMEOUT)
        await self._listening(port)

    async def _listening(self, port: int) -> None:
        """Waits until the driver listens, which it does not tell."""
        assert self._driver is not None
        for _ in range(int(PATIENCE / 0.02)):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                if not self._driver.alive:
                    break
                await asyncio.sleep(0.02)
            else:
                writer.close()
                await writer.wait_closed()
                return
        raise self._driver.failure("does not listen")

    @contextlib.asynccontextmanager
    async def open(self, url: str, *, window: bool = False) -> AsyncIterator[WebKitPage]:
        async with self._turn:
            await self._start()
            options = {
                "binary": str(self._browser),
                "args": ["--automation"],
            }
            wanted = {"webkitgtk:browserOptions": options, "pageLoadStrategy": "none"}
            answer = await self.ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
            session = answer["sessionId"]
            capabilities = answer["capabilities"]
            self._version = f"{capabilities['browserName']}/{capabilities['browserVersion']}"
            page = WebKitPage(self, session)
            try:
                await self.ask("POST", f"/session/{session}/url", {"url": url})
                yield page
            finally:
                try:
                    await self.ask("DELETE", f"/session/{session}")
                except EngineError:
                    await self.stop()

    async def stop(self) -> None:
        http, self._http = self._http, None
        driver, self._driver = self._driver, None
        screen, self._screen = self._screen, None
        directory, self._directory = self._directory, None
        if http is not None:
            await http.close()
        for program in (driver, screen):
            if program is not None:
                await program.stop()
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)


def png(dump: bytes) -> bytes:
    """A picture of an X screen of 24 bits, from the X window dump that Xvfb keeps (XWDFile.h)."""
    header = struct.unpack(">25I", dump[:100])
    size, width, height, line, colours = header[0], header[4], header[5], header[12], header[19]
    start = size + 12 * colours
    rows = bytearray()
    for top in range(start, start + height * line, line):
        row = dump[top : top + 4 * width]
        pixels = bytearray(3 * width)
        pixels[0::3], pixels[1::3], pixels[2::3] = row[2::4], row[1::4], row[0::4]  # from BGRX
        rows += b"\0" + pixels

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
