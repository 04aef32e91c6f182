"""The JavaScript client in Node in rooms of durable sessions, over each transport that Node runs: what a room keeps
comes once and in order from one worker to the next, and what is missing is told.
"""

from __future__ import annotations

import contextlib

import pytest

import realtime

from ..client.test_durable import Switch
from ..durable.test_rooms import joining, rooms_of
from ..durable.workers import worker
from ..ports import port_for
from .node import Page, page
from .test_durable import TRANSPORTS
from .test_events import needs_node

# Says each message and gap that comes, as a line; sends the lines that it is told.
SCRIPT = """
import ws from "%(ws)s";
globalThis.WebSocket ??= ws;
import { createInterface } from "node:readline";
import Realtime from "aiohttp-realtime";

const [url, transport] = process.argv.slice(1);
const session = new Realtime(url, { transports: [transport] });
const say = (what) => console.log(JSON.stringify(what));
session.onmessage = ({ data }) => say(data);
session.addEventListener("gap", ({ room, missing }) => say({ room, missing }));
session.onclose = ({ code }) => { say({ code }); process.exit(); };
createInterface({ input: process.stdin }).on("line", (line) => line ? session.send(line) : session.close());
"""
MESSAGES = 40


class Member(Page):
    """The client in Node."""

    async def asks(self, text: str) -> None:
        """The handler does something, and says so."""
        self.tell(text)
        assert await self.said() == f"done {text}"


@needs_node
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_rooms_go_on_at_another_worker(transport: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        place = await stack.enter_async_context(worker(realtime.MemoryBroker()))
        them = [await place.worker(joining, prepare=rooms_of, poll_interval=(0.01, 0.05)) for _ in range(2)]
        switch = Switch(*(one.url for one in them))
        url = await switch.start()
        stack.push_async_callback(switch.stop)
        node = await stack.enter_async_context(page(Member, SCRIPT, url, transport))
        await node.asks("join kept")
        for number in range(MESSAGES):
            await them[number % 2].rt.room("kept").send(str(number))
            if number % 17 == 5:
                switch.turn()
            if number % 10 == 9:
                assert [await node.said() for _ in range(10)] == [str(n) for n in range(number - 9, number + 1)]
        await node.asks("leave kept")
        await them[0].rt.room("kept").send("not heard")
        await node.asks("join plain")
        for number in range(MESSAGES):
            await them[number % 2].rt.room("plain").send(str(number))
        assert [await node.said() for _ in range(MESSAGES)] == [str(n) for n in range(MESSAGES)]
        node.tell("")
        assert await node.said() == {"code": 1000}


@needs_node
async def test_a_gap_is_told() -> None:
    async with worker(realtime.MemoryBroker()) as place:
        them = [await place.worker(joining, prepare=rooms_of) for _ in range(2)]
        switch = Switch(them[0].url, f"http://127.0.0.1:{port_for()}", them[1].url)
        url = await switch.start()
        try:
            async with page(Member, SCRIPT, url, "websocket") as node:
                await node.asks("join kept")
                switch.turn()  # where nobody is
                for number in range(102):
                    await them[1].rt.room("kept").send(str(number))
                switch.turn()
                assert await node.said() == {"room": "kept", "missing": 2}
                assert [await node.said() for _ in range(100)] == [str(n) for n in range(2, 102)]
        finally:
            await switch.stop()
