"""examples/events_page: the page of the chat of events, in two browsers, by our client and by Socket.IO's.

`make test` installs Socket.IO's (`.ci/clients`). Where it is not there, these tests are skipped.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from ..patience import within
from .engines import Engine, Page, wanted
from .engines.devtools import DevToolsPage
from .steering import Endpoint
from .test_examples import ROOT, fill, load, shows

PAGE = ROOT / "examples" / "events_page"
ADDRESSES = {"ours": "/", "Socket.IO's": "/?client=socketio"}

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(not (PAGE / "node_modules").is_dir(), reason="needs the example's package: sh .ci/clients"),
]


def for_engines(*names: str) -> pytest.MarkDecorator:
    """These, as far as they are wanted."""
    return pytest.mark.parametrize("engine", [name for name in names if name in wanted()], indirect=True)


in_both = for_engines("chromium", "firefox")  # that the page runs there, and goes on; what it does is the same
in_chromium = for_engines("chromium")


class Chat(Endpoint):
    """The example's server."""

    example: Any

    def __init__(self) -> None:
        super().__init__("")

    def application(self) -> web.Application:
        self.example = load("events_chat")
        self.server = self.example.rt
        app: web.Application = self.example.make_app()
        return app

    def address(self, client: str) -> str:
        """Of the page, by one of the clients."""
        return self.url.removesuffix("/realtime") + ADDRESSES[client]


async def come_in(page: Page, name: str) -> None:
    """Under this name, and until that is done."""
    await shows(page, "!!document.getElementById('enter').onsubmit")
    await fill(page, "#enter", name=name)
    await connected(page)
    await shows(page, "!document.getElementById('chat').hidden")


async def connected(page: Page) -> None:
    """Waits until the page says that it is."""
    await shows(page, "/^Connected over (websocket|polling)$/.test(document.getElementById('status').textContent)")


@asynccontextmanager
async def two(engine: Engine, chat: Chat) -> AsyncIterator[tuple[Page, Page]]:
    """Ada by our client and Bob by Socket.IO's, in one room; in the end nothing may have been complained of."""
    async with engine.open(chat.address("ours")) as ada, engine.open(chat.address("Socket.IO's")) as bob:
        await come_in(ada, "ada")
        await come_in(bob, "bob")
        for page, you in ((ada, "ada"), (bob, "bob")):
            await people(page, *("Everybody", *(f"{each} (you)" if each == you else each for each in ("ada", "bob"))))
        yield ada, bob
        assert await ada.errors() == await bob.errors() == []


def texts(selector: str) -> str:
    """What stands in the elements of a selector, in order."""
    return (
        f"JSON.stringify([...document.querySelectorAll({json.dumps(selector)})]"
        ".map((each) => each.textContent.replace(/\\s+/g, ' ').trim()))"
    )


async def reads(page: Page, selector: str, *wanted: str) -> None:
    """Waits until just this stands there."""
    expected = json.dumps(wanted, separators=(",", ":"), ensure_ascii=False)
    await shows(page, f"{texts(selector)} === {json.dumps(expected)}")


async def people(page: Page, *wanted: str) -> None:
    """Waits until these can be written to, with what is said of each."""
    await reads(page, "#talks button", *wanted)


async def lines(page: Page, *wanted: str) -> None:
    """Waits until these are the lines of what is shown."""
    await reads(page, ".log:not([hidden]) p", *wanted)


async def choose(page: Page, name: str) -> None:
    """Turns to somebody, or to everybody."""
    button = f"[...document.querySelectorAll('#talks button')].find((each) => each.textContent.startsWith('{name}'))"
    await page.evaluate(f"{button}.click()")
    assert await page.evaluate(f"{button}.getAttribute('aria-current')") == "true"
    assert await page.evaluate("document.activeElement.id") == "text"


async def write(page: Page, text: str) -> None:
    """As by typing, without sending it."""
    await page.evaluate(
        f"(() => {{ const field = document.getElementById('text'); field.value = {json.dumps(text)};"
        " field.dispatchEvent(new Event('input')); })()"
    )


async def types_until(page: Page, text: str, other: Page, shown: str) -> None:
    """Types on until the other page shows it: that somebody types may be lost where a client can't be written to."""
    async with within(f"until the other page says: {shown}"):
        while await other.evaluate("document.getElementById('typing').textContent") != shown:
            await write(page, text)
            await asyncio.sleep(0.1)


async def say(page: Page, text: str) -> None:
    await fill(page, "#say", text=text)


@in_both
async def test_they_talk(engine: Engine) -> None:
    async with Chat() as chat, two(engine, chat) as (ada, bob):
        for one, other, name in ((ada, bob, "ada"), (bob, ada, "bob")):
            await types_until(one, "hel", other, f"{name} is typing…")
            await write(one, "")
            await reads(other, "#typing", "")
        await say(ada, "<b>hello</b>")
        await lines(bob, "ada: <b>hello</b>")
        await say(bob, "good day")
        await lines(ada, "bob has come in", "ada: <b>hello</b> to 1", "bob: good day")
        await lines(bob, "ada: <b>hello</b>", "bob: good day to 1")


@in_chromium
async def test_they_talk_alone(engine: Engine) -> None:
    """What is said to one is for nobody else, and may wait to be looked at."""
    async with Chat() as chat, two(engine, chat) as (ada, bob), engine.open(chat.address("ours")) as eve:
        await come_in(eve, "eve")
        await people(ada, "Everybody", "ada (you)", "bob", "eve")
        for one, other, name, with_name in ((ada, bob, "ada", "bob"), (bob, ada, "bob", "ada")):
            await choose(one, with_name)
            await choose(other, "Everybody")
            await write(one, "ps")
            await say(one, f"psst from {name}")
            await shows(other, f"document.getElementById('news').textContent === '{name} has written to you alone'")
            await shows(other, f"{texts('#talks .unread')} === '[\"1 new\"]'")
            await choose(other, name)
            await reads(other, "#talks .unread")
            await types_until(one, "more", other, f"{name} is typing…")
            await say(one, f"more from {name}")
            await reads(other, "#typing", "")
        for page, mine in ((ada, "ada"), (bob, "bob")):
            said = [(name, word) for name in ("ada", "bob") for word in ("psst", "more")]
            await lines(page, *(f"{name}: {word} from {name}{' delivered' * (name == mine)}" for name, word in said))
        await lines(eve)
        await reads(eve, "#talks .unread")
        # Who leaves is still there to read, and can't be written to.
        await bob.evaluate("document.getElementById('leave').click()")
        await people(ada, "Everybody", "ada (you)", "bob has left", "eve")
        await say(ada, "bob?")
        await reads(ada, ".failed small", "not confirmed: bob is not here")
        await come_in(bob, "bob")
        await ada.evaluate("document.querySelector('.failed button').click()")
        await people(bob, "Everybody", "ada 1 new", "bob (you)", "eve")


@in_both
async def test_the_server_is_killed_and_comes_again(engine: Engine) -> None:
    async with Chat() as chat, two(engine, chat) as (ada, bob):
        await say(ada, "before")
        await lines(bob, "ada: before")
        await chat.vanish()
        for page in (ada, bob):
            await shows(page, "document.getElementById('status').textContent === 'Reconnecting…'")
        await say(bob, "meanwhile")  # waits until there is a server
        await lines(bob, "ada: before", "bob: meanwhile …")
        await chat.start()
        for page in (ada, bob):
            await connected(page)
            await shows(page, "document.getElementById('enter').hidden")
        await shows(bob, "document.querySelectorAll('.failed').length === 0")
        await lines_begin(bob, "ada: before", "bob: meanwhile to ")
        await say(ada, "after")
        await shows(bob, f"{texts('.log:not([hidden]) p')}.includes('ada: after')")
        await people(ada, "Everybody", "ada (you)", "bob")
        assert sorted(chat.example.here) == ["ada", "bob"]


async def lines_begin(page: Page, *wanted: str) -> None:
    """Waits until there are lines that begin so, first."""
    await shows(page, f"{json.dumps(wanted)}.every((text, at) => JSON.parse({texts('.log p')})[at]?.startsWith(text))")


@in_chromium
async def test_a_name_is_one_persons(engine: Engine) -> None:
    """Nobody else comes in by it; the same person does, and is put out where they were."""
    async with Chat() as chat, two(engine, chat) as (ada, bob):
        for client in ADDRESSES:
            for page, name in ((ada, "ada"), (bob, "bob")):
                async with engine.open(chat.address(client)) as other:
                    await shows(other, "!!document.getElementById('enter').onsubmit")
                    await fill(other, "#enter", name=name)
                    await reads(other, "#out", "somebody has this name")
                    key = await page.evaluate("sessionStorage.getItem('key')")
                    await other.evaluate(f"sessionStorage.setItem('key', '{key}')")
                    await come_in(other, name)
                    await reads(page, "#out", "you have come in from somewhere else")
                    await shows(page, "document.getElementById('chat').hidden")
                    await come_in(page, name)
                    await reads(other, "#out", "you have come in from somewhere else")
                    assert await other.errors() == []
        assert sorted(chat.example.here) == ["ada", "bob"]


@in_chromium
async def test_a_wrong_name_is_told_why(engine: Engine) -> None:
    async with Chat() as chat:
        for name, client in zip(("ada", "bob"), ADDRESSES, strict=True):
            async with engine.open(chat.address(client)) as page:
                await shows(page, "!!document.getElementById('enter').onsubmit")
                await fill(page, "#enter", name=f"{name} a")
                await reads(page, "#out", "a name is one word of letters and digits, at most 24")
                await come_in(page, name)
                assert await page.errors() == []


async def press(page: DevToolsPage, key: str, code: int, *, shift: bool = False) -> None:
    """A key, as of a keyboard."""
    said = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
    await page.call("Input.dispatchKeyEvent", type="keyDown", **said, **({"text": "\r"} if key == "Enter" else {}))
    await page.call("Input.dispatchKeyEvent", type="keyUp", **said)


async def named(page: DevToolsPage) -> set[tuple[str, str]]:
    """Roles and names, as a screen reader is told them."""
    nodes = (await page.call("Accessibility.getFullAXTree"))["nodes"]
    shown = [node for node in nodes if not node["ignored"]]
    return {(node["role"]["value"], node.get("name", {}).get("value", "").strip()) for node in shown}


@in_chromium
async def test_by_keys_alone_and_read_aloud(engine: Engine) -> None:
    async with Chat() as chat, engine.open(chat.address("Socket.IO's")) as bob:
        await come_in(bob, "bob")
        async with engine.open(chat.address("ours"), window=True) as page:
            assert isinstance(page, DevToolsPage)
            await shows(page, "!!document.getElementById('enter').onsubmit")
            assert ("textbox", "Your name") in await named(page)
            await page.call("Input.insertText", text="ada")
            await press(page, "Enter", 13)
            await connected(page)
            await people(page, "Everybody", "ada (you)", "bob")
            assert {("textbox", "Message to everybody"), ("log", "Between all")} <= await named(page)
            await page.call("Input.insertText", text="hello")
            await press(page, "Enter", 13)
            await lines(bob, "ada has come in", "ada: hello")
            for _ in range(3):  # past what has been said, and the way out
                await press(page, "Tab", 9, shift=True)
            assert await page.evaluate("document.activeElement.textContent.trim()") == "bob"
            await press(page, "Enter", 13)
            await page.call("Input.insertText", text="psst")
            await press(page, "Enter", 13)
            await lines(page, "ada: psst delivered")
            assert {
                ("textbox", "Message to bob alone"),
                ("log", "Between you and bob"),
                ("heading", "bob and you alone"),
                ("button", "Leave"),
            } <= await named(page)
            await shows(bob, "document.getElementById('news').textContent === 'ada has written to you alone'")
            assert await page.errors() == await bob.errors() == []
