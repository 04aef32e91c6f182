"""Firefox over WebDriver BiDi, without a geckodriver. One browser, and a user context for each page."""

from __future__ import annotations

import base64
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from .base import Engine, EngineError, Page, save
from .process import Program
from .rpc import Rpc

__all__ = ["Firefox"]

# What would call home, or wait for somebody.
PREFERENCES = {
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage": "about:blank",
    "browser.startup.page": 0,
    "browser.aboutwelcome.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "datareporting.healthreport.uploadEnabled": False,
    "toolkit.telemetry.enabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "network.dns.localDomains": "ours.test,strange.test",  # hosts that are not the loopback's, for pages
    "dom.security.https_first": False,
    "browser.safebrowsing.downloads.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    # One process for all pages, which costs less than one for each. What they keep is their user context's alone.
    "fission.autostart": False,
    "dom.ipc.processCount": 1,
    "dom.ipc.keepProcessesAlive.web": 1,
    # What nobody looks at: processes in reserve, what is made for a new tab, and what would open again behind a crash.
    "dom.ipc.processPrelaunch.enabled": False,
    "browser.newtabpage.enabled": False,
    "browser.newtab.preload": False,
    "browser.pagethumbnails.capturing_disabled": True,
    "browser.sessionstore.resume_from_crash": False,
    "browser.sessionstore.interval": 3_600_000,
}


class FirefoxPage(Page):
    """A tab."""

    def __init__(self, rpc: Rpc, context: str) -> None:
        super().__init__()
        self._rpc = rpc
        self.context = context

    def take(self, entry: dict[str, Any]) -> None:
        """A line of the log."""
        text = str(entry.get("text"))
        # A failed request is the engine's note, not an error of the page's.
        network = text.startswith(("Firefox can\u2019t establish", "The connection to", "Cross-Origin Request Blocked"))
        where = (entry.get("stackTrace") or {}).get("callFrames") or [{}]
        self.note(
            "network" if network else entry["level"], f"{text} ({where[0].get('url')}:{where[0].get('lineNumber')})"
        )

    async def evaluate(self, script: str) -> Any:
        answer = await self._rpc.call(
            "script.evaluate",
            {
                "expression": script,
                "target": {"context": self.context},
                "awaitPromise": False,
                "serializationOptions": {"maxObjectDepth": 8},
            },
        )
        if answer["type"] == "exception":
            raise EngineError(answer["exceptionDetails"]["text"])
        return _plain(answer["result"])

    async def screenshot(self, path: Path) -> None:
        answer = await self._rpc.call("browsingContext.captureScreenshot", {"context": self.context})
        save(path, base64.b64decode(answer["data"]))


def _plain(value: dict[str, Any]) -> Any:
    if value["type"] == "array":
        return [_plain(item) for item in value["value"]]
    if value["type"] == "object":
        return {key: _plain(item) for key, item in value["value"]}
    return value.get("value")


class Firefox(Engine):
    """Firefox ESR, as Debian has it."""

    name = "firefox"
    stands_for = "Firefox of today"

    def __init__(self) -> None:
        self._program: Program | None = None
        self._rpc: Rpc | None = None
        self._profile: Path | None = None
        self._version = ""
        self._pages: dict[str, FirefoxPage] = {}

    def missing(self) -> str | None:
        return self._need_program("firefox-esr")

    async def version(self) -> str:
        await self._start()
        return self._version

    async def _start(self) -> Rpc:
        if self._rpc is not None and self._rpc.alive:
            return self._rpc
        await self.stop()
        self._profile = Path(tempfile.mkdtemp(prefix="realtime-firefox-"))
        lines = (f'user_pref("{name}", {_js(value)});\n' for name, value in PREFERENCES.items())
        (self._profile / "user.js").write_text("".join(lines), "utf-8")
        options = ["--headless", "--no-remote", "--remote-debugging-port=0"]
        self._program = await Program.start(
            "firefox",
            ["firefox-esr", *options, "--profile", self._profile, "about:blank"],
            env={"HOME": str(self._profile), "MOZ_HEADLESS": "1", "MOZ_CRASHREPORTER_DISABLE": "1"},
        )
        found = await self._program.wait_for(r"WebDriver BiDi listening on (ws://\S+)")
        self._rpc = rpc = await Rpc.connect(f"{found[1]}/session", self._program)
        answer = await rpc.call("session.new", {"capabilities": {}})
        capabilities = answer["capabilities"]
        self._version = f"{capabilities['browserName']}/{capabilities['browserVersion']}"
        rpc.on_event = self._take
        await rpc.call("session.subscribe", {"events": ["log.entryAdded"]})
        return rpc

    def _take(self, event: dict[str, Any]) -> None:
        if event.get("method") == "log.entryAdded":
            page = self._pages.get(event["params"]["source"].get("context", ""))
            if page is not None:
                page.take(event["params"])

    @contextlib.asynccontextmanager
    async def open(self, url: str, *, window: bool = False) -> AsyncIterator[FirefoxPage]:
        rpc = await self._start()
        user = (await rpc.call("browser.createUserContext"))["userContext"]
        try:
            context = (await rpc.call("browsingContext.create", {"type": "tab", "userContext": user}))["context"]
            page = self._pages[context] = FirefoxPage(rpc, context)
            try:
                await rpc.call("browsingContext.navigate", {"context": context, "url": url, "wait": "none"})
                yield page
            finally:
                del self._pages[context]
        finally:
            if rpc.alive:
                with contextlib.suppress(EngineError):
                    await rpc.call("browser.removeUserContext", {"userContext": user})

    async def stop(self) -> None:
        rpc, self._rpc = self._rpc, None
        program, self._program = self._program, None
        profile, self._profile = self._profile, None
        if rpc is not None:
            await rpc.close()
        if program is not None:
            await program.stop()
        if profile is not None:
            shutil.rmtree(profile, ignore_errors=True)


def _js(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else f'"{value}"'
