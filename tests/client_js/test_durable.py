"""The JavaScript client in Node goes on with a durable session from one worker to the other, over each transport that
Node runs, with nothing lost, repeated or reordered."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

import realtime

from ..brokers.servers import Server
from ..client.test_durable import Switch, counting, switched
from ..durable.process import Process
from ..durable.test_processes import process, redis
from ..patience import arrives, within
from .node import Page, page
from .test_events import needs_node

TRANSPORTS = ("websocket", "xhr_streaming", "multipart", "long_polling", "polling")
MESSAGES = 30
EACH = 30  # messages of each client for each worker

__all__ = ["redis"]  # the fixture

# Says each message that comes, as a line; sends as many as it is told to, as lines.
SCRIPT = """
import ws from "%(ws)s";
globalThis.WebSocket ??= ws;
import { createInterface } from "node:readline";
import Realtime from "aiohttp-realtime";

const [url, transport] = process.argv.slice(1);
const session = new Realtime(url, { transports: [transport] });
session.onmessage = ({ data }) => console.log(JSON.stringify({ data }));
session.onclose = ({ code, wasClean }) => {
  console.log(JSON.stringify({ code, wasClean }));
  process.exit();
};
let sent = 0;
createInterface({ input: process.stdin }).on("line", (line) => {
  if (line === "close") session.close();
  else for (let i = 0; i < +line; i++) session.send("m" + sent++);
});
"""


class JavaScript(Page):
    """The client in Node."""

    async def close(self) -> None:
        """Closes the session, which ends as it should."""
        self.tell("close")
        assert await self.said() == {"code": 1000, "wasClean": True}
        await self.ended()


@needs_node
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_session_goes_on_at_another_worker(transport: str) -> None:
    async with within(), switched(counting) as (switch, url, _), page(JavaScript, SCRIPT, url, transport) as node:
        for number in range(MESSAGES):
            if number % 3 == 0:
                node.tell("3")  # while one is answered others are on their way
            assert await node.said() == {"data": f"m{number} is {number + 1}"}
            if number % 7 == 3:
                switch.turn()
        await node.close()


class Python:
    """The client in Python, behind the same few words."""

    def __init__(self, session: realtime.ClientSession) -> None:
        self._session = session
        self._sent = 0

    async def said(self) -> Any:
        return {"data": await arrives(self._session.receive())}

    def tell(self, what: str) -> None:
        for _ in range(int(what)):
            self._session.send_nowait(f"m{self._sent}")
            self._sent += 1

    async def close(self) -> None:
        await self._session.close()
        assert self._session.close_code == 1000


@needs_node
async def test_both_clients_go_on_when_workers_are_killed_or_told_to_go(redis: Server) -> None:
    """Processes over a real Redis, one after the other, each with messages on their way: by SIGKILL, and by SIGTERM."""
    async with contextlib.AsyncExitStack() as stack:
        worker = await stack.enter_async_context(process(redis.url))
        switch = Switch(worker.url)
        url = await switch.start()
        stack.push_async_callback(switch.stop)
        clients: list[JavaScript | Python] = []
        for transport in ("websocket", "xhr_streaming", "polling"):
            clients.append(await stack.enter_async_context(page(JavaScript, SCRIPT, url, transport)))
        for transport in ("websocket", "sse", "polling"):
            clients.append(Python(await realtime.connect(url, transports=transport, open_timeout=120.0)))
        for one in clients:
            assert await one.said() == {"data": "welcome"}
        for ends in (Process.kill, Process.go):
            before, worker = worker, await stack.enter_async_context(process(redis.url))
            for one in clients:
                one.tell(str(EACH))
            switch.add(worker.url)
            await ends(before)
        for number in range(2 * EACH):
            for one in clients:
                assert await one.said() == {"data": f"m{number} {number + 1}"}
        for one in clients:
            await one.close()
