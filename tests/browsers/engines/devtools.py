"""Chromium over the DevTools protocol: the current one, and one of early 2018.

One browser serves many pages. Each gets a browser context of its own, which is a fresh profile; the old one, headless
in a single process, is started for each page anew.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeAlias

from .base import LAB, Engine, EngineError, Page, save
from .process import PATIENCE, Program
from .rpc import Rpc

__all__ = ["Chromium", "Chromium64"]

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-component-extensions-with-background-pages",
    "--disable-default-apps",
    # The last two are pages of the browser's own in each window, for what is typed into its address bar: they cost more
    # than the page.
    "--disable-features=MediaRouter,OptimizationHints,PreloadTopChromeWebUI,SpareRendererForSitePerProcess,Translate,"
    "WebUIOmniboxPopup,WebUIOmniboxAimPopup",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
    "--host-resolver-rules=MAP *.test 127.0.0.1",  # hosts that are not the loopback's, for pages (RFC 6761 §6.2)
)
# Behind so many contexts it is started anew, where no page is open: they are not disposed of.
MOST_CONTEXTS = 300

# Opens a page at an address.
Tab: TypeAlias = "Callable[..., AbstractAsyncContextManager[DevToolsPage]]"


class DevToolsPage(Page):
    """A target of the browser that we are attached to."""

    def __init__(self, rpc: Rpc, session: str) -> None:
        super().__init__()
        self._rpc = rpc
        self._session = session
        self._crashed = asyncio.Event()
        self._moved = asyncio.Event()

    async def begun(self, url: str) -> bool:
        """Whether there is the document of this address, as soon as there is more than the empty one before it."""
        while True:
            self._moved.clear()
            frame = (await self.call("Page.getFrameTree"))["frameTree"]["frame"]
            if frame.get("unreachableUrl"):
                return False
            if frame["url"] not in ("", ":", "about:blank") or url == "about:blank":
                return True
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._moved.wait()
            except TimeoutError:
                raise EngineError(f"nothing of {url} within {PATIENCE:g} s") from None

    async def crash(self) -> None:
        """Its process dies: nobody in it is told."""
        await self.call("Inspector.enable")
        call = asyncio.ensure_future(self.call("Page.crash"))  # which nobody answers
        try:
            async with asyncio.timeout(PATIENCE):
                await self._crashed.wait()
        finally:
            call.cancel()
            await asyncio.wait([call])

    async def call(self, method: str, **params: Any) -> Any:
        """A command to this page."""
        return await self._rpc.call(method, params, sessionId=self._session)

    def take(self, method: str, params: dict[str, Any]) -> None:
        """An event of this page."""
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            thrown = details.get("exception", {})
            text = f"{details['text']} {thrown.get('description', thrown.get('value', ''))}"
            self.note("error", f"{text} ({details.get('url')}:{details.get('lineNumber', 0) + 1})")
        elif method == "Runtime.consoleAPICalled":
            words = [str(word.get("value", word.get("description", ""))) for word in params["args"]]
            self.note(params["type"], " ".join(words))
        elif method == "Log.entryAdded":
            entry = params["entry"]
            # A failed request is the engine's note, not an error of the page's.
            network = entry["source"] == "network" or entry["text"].startswith("WebSocket connection to")
            kind = "network" if network else entry["level"]
            self.note(kind, f"{entry['text']} ({entry.get('url')})")
        elif method == "Page.frameNavigated":
            if not params["frame"].get("parentId"):
                self._moved.set()
        elif method == "Inspector.targetCrashed":
            self.note("error", "the page crashed")
            self._crashed.set()

    async def evaluate(self, script: str) -> Any:
        answer = await self.call("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise EngineError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    async def screenshot(self, path: Path) -> None:
        answer = await self.call("Page.captureScreenshot", format="png")
        save(path, base64.b64decode(answer["data"]))


class Chromium(Engine):
    """The current Chromium, as Debian has it."""

    name = "chromium"
    stands_for = "Chrome, Edge, Opera of today"

    def __init__(self) -> None:
        self._program: Program | None = None
        self._rpc: Rpc | None = None
        self._profile: Path | None = None
        self._pages: dict[str, DevToolsPage] = {}
        self._contexts = 0  # that this process was asked for
        self._windows = 0  # that are open

    def missing(self) -> str | None:
        return self._need_program("chromium")

    def command(self, profile: Path) -> list[str | Path]:
        """How it is started."""
        return ["chromium", *FLAGS, f"--user-data-dir={profile}", "about:blank"]

    async def version(self) -> str:
        rpc = await self._start()
        answer: dict[str, str] = await rpc.call("Browser.getVersion")
        return answer["product"]

    async def _start(self) -> Rpc:
        if self._rpc is not None and self._rpc.alive:
            return self._rpc
        await self.stop()
        self._profile = Path(tempfile.mkdtemp(prefix=f"realtime-{self.name}-"))
        self._program = await Program.start(self.name, self.command(self._profile), env={"HOME": str(self._profile)})
        found = await self._program.wait_for(r"DevTools listening on (ws://\S+)")
        self._rpc = await Rpc.connect(found[1], self._program)
        self._rpc.on_event = self._take
        return self._rpc

    def _take(self, event: dict[str, Any]) -> None:
        page = self._pages.get(event.get("sessionId", ""))
        if page is not None:
            page.take(event["method"], event["params"])

    @contextlib.asynccontextmanager
    async def open(self, url: str, *, window: bool = False) -> AsyncIterator[DevToolsPage]:
        async with self.window() as tab, tab(url, hidden=not window) as page:
            yield page

    @contextlib.asynccontextmanager
    async def window(self) -> AsyncIterator[Tab]:
        """A profile of its own. Called with an address it opens a tab; tabs share storage and connections."""
        if self._contexts >= MOST_CONTEXTS and not self._windows:
            await self.stop()
        self._windows += 1
        try:
            rpc = await self._start()
            context = (await rpc.call("Target.createBrowserContext"))["browserContextId"]
            self._contexts += 1
            # It is never disposed of: Chromium falls over one of which a process of a hidden page is still there, which
            # it may be long after that was closed. One without pages is a megabyte.
            yield functools.partial(self._tab, rpc, context)
        finally:
            self._windows -= 1

    @contextlib.asynccontextmanager
    async def _tab(self, rpc: Rpc, context: str, url: str, *, hidden: bool = False) -> AsyncIterator[DevToolsPage]:
        # Windows have tabs and buttons, headless or not: two thirds of what a page costs.
        # And one that is empty first has a process of its own, which is as much again.
        wanted = {"url": url, "browserContextId": context, "hidden": hidden}
        target = await rpc.call("Target.createTarget", wanted)
        target_id = target["targetId"]
        try:
            async with self._attached(rpc, target_id) as page:
                for domain in ("Runtime", "Log", "Page"):  # what was said before that is told now
                    await page.call(f"{domain}.enable")
                if not await page.begun(url):
                    raise EngineError(f"{self.name} cannot load {url}")
                yield page
        finally:
            if rpc.alive:
                with contextlib.suppress(EngineError):
                    await rpc.call("Target.closeTarget", {"targetId": target_id})

    @contextlib.asynccontextmanager
    async def _attached(self, rpc: Rpc, target: str) -> AsyncIterator[DevToolsPage]:
        session = (await rpc.call("Target.attachToTarget", {"targetId": target, "flatten": True}))["sessionId"]
        page = self._pages[session] = DevToolsPage(rpc, session)
        try:
            yield page
        finally:
            del self._pages[session]

    async def stop(self) -> None:
        rpc, self._rpc = self._rpc, None
        program, self._program = self._program, None
        profile, self._profile = self._profile, None
        self._contexts = 0
        if rpc is not None:
            await rpc.close()
        if program is not None:
            await program.stop()
        if profile is not None:
            shutil.rmtree(profile, ignore_errors=True)


class Chromium64(Chromium):
    """Chromium 64 as it was built for serverless machines. One page a process, and a socket for each page."""

    name = "chromium64"
    stands_for = "Chrome of January 2018"

    @property
    def _binary(self) -> Path:
        return LAB / "chromium64" / "chromium"

    def missing(self) -> str | None:
        return self._need(self._binary)

    def command(self, profile: Path) -> list[str | Path]:
        return [self._binary, *FLAGS, "--single-process", "--no-zygote", f"--user-data-dir={profile}", "about:blank"]

    @contextlib.asynccontextmanager
    async def open(self, url: str, *, window: bool = False) -> AsyncIterator[DevToolsPage]:
        try:
            rpc = await self._start()
            assert self._program is not None
            address = await self._address(await self._first_page(rpc))
            own = await Rpc.connect(address, self._program)
            page = DirectPage(own)
            own.on_event = lambda event: page.take(event["method"], event["params"])
            try:
                for domain in ("Runtime", "Log", "Page"):
                    await page.call(f"{domain}.enable")
                await page.call("Page.navigate", url=url)
                yield page
            finally:
                await own.close()
        finally:
            await self.stop()

    async def _first_page(self, rpc: Rpc) -> str:
        """The page it starts with, which comes some time after the browser answers."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for info in (await rpc.call("Target.getTargets"))["targetInfos"]:
                    if info["type"] == "page":
                        return str(info["targetId"])
                await asyncio.sleep(0.02)

    async def _address(self, target: str) -> str:
        """The page's own socket: this one does not know how to share the browser's."""
        assert self._program is not None
        found = re.search(r"DevTools listening on (ws://[^/]+)", self._program.tail)
        assert found is not None
        return f"{found[1]}/devtools/page/{target}"


class DirectPage(DevToolsPage):
    """A page with a socket of its own."""

    def __init__(self, rpc: Rpc) -> None:
        super().__init__(rpc, "")

    async def call(self, method: str, **params: Any) -> Any:
        return await self._rpc.call(method, params)
