"""Exactly once, for events and their answers, by the JavaScript client in Node, under a fault at every step: see
tests/namespaces/matrix.py, whose conversations it holds."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ..namespaces.matrix import CASES, UP, Heard, held, serving
from ..patience import arrives
from .test_events import CLIENT, WS, needs_node

EVERY = 8  # steps; each case begins at another
TRANSPORTS = ("websocket", "xhr_streaming", "long_polling", "polling")

# One conversation for each line of JSON that comes, all beside each other; one line of what was heard for each.
SCRIPT = """
import ws from "%(ws)s";
globalThis.WebSocket ??= ws;
import { createInterface } from "node:readline";
import Realtime from "aiohttp-realtime";
import { events } from "aiohttp-realtime/events";

const bytes = (text) => Uint8Array.from(Buffer.from(text, "base64"));
const isBytes = (value) => value instanceof ArrayBuffer || ArrayBuffer.isView(value);
function mapped(value, test, change) {
  if (test(value)) return change(value);
  if (Array.isArray(value)) return value.map((item) => mapped(item, test, change));
  if (!value || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapped(item, test, change)]));
}
const read = (value) => mapped(value, (one) => one && typeof one === "object" && "b" in one, (one) => bytes(one.b));
const shown = (value) => mapped(value, isBytes, (one) => ({ b: Buffer.from(one).toString("base64") }));

async function converse({ url, run, transport, up }) {
  const session = new Realtime(url, { transports: [transport], attachTimeout: 10000, postTimeout: 10000 });
  const chat = events(session, { auth: { run }, timeout: Infinity });
  const heard = [], answers = [];
  for (const name of ["emit", "call", "volatile"]) {
    chat.on(name, (...args) => {
      heard.push([name, shown(args)]);
      return [...args, name];
    });
  }
  for (const [name, args] of up) {
    if (name === "call") answers.push(shown(await chat.call(name, ...read(args))));
    else chat.emit(name, ...read(args));
  }
  answers.push(await chat.call("down"));
  chat.timeout = 1;
  answers.push(await chat.call("late").catch((error) => (error.code === "timeout" ? "timed out" : String(error))));
  chat.timeout = Infinity;
  chat.emit("release");
  answers.push(await chat.call("call", "last"));
  const closed = new Promise((resolve) => (session.onclose = resolve));
  session.close();
  const { wasClean } = await closed;
  return { run, heard, answers, wasClean };
}

createInterface({ input: process.stdin }).on("line", async (line) => {
  const asked = JSON.parse(line);
  const said = await converse(asked).catch((error) => ({ run: asked.run, failed: String(error && error.stack) }));
  console.log(JSON.stringify(said));
});
"""


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"b": base64.b64encode(value).decode()}
    if isinstance(value, list):
        return [_shown(item) for item in value]
    return {key: _shown(item) for key, item in value.items()} if isinstance(value, dict) else value


def _read(value: Any) -> Any:
    if isinstance(value, list):
        return [_read(item) for item in value]
    if isinstance(value, dict):
        return base64.b64decode(value["b"]) if list(value) == ["b"] else {k: _read(v) for k, v in value.items()}
    return value


class Page:
    """A process of Node that holds conversations."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def listen(self) -> None:
        """Takes what it has heard."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            self._waiting.pop(said["run"]).set_result(said)

    async def converse(self, url: str, run: int, transport: str) -> Heard:
        """Holds one: see matrix.Converse."""
        assert self._process.stdin is not None
        future = self._waiting[run] = asyncio.get_running_loop().create_future()
        up = [[name, _shown(args)] for name, args in UP]
        line = json.dumps({"url": url, "run": run, "transport": transport, "up": up})
        self._process.stdin.write(line.encode() + b"\n")
        said = await arrives(future, f"conversation {run} in Node")
        assert "failed" not in said, said
        assert said["wasClean"]
        heard = [(name, _read(args)) for name, args in said["heard"]]
        return Heard(heard, _read(said["answers"]))


@asynccontextmanager
async def page(directory: Path) -> AsyncIterator[Page]:
    """Node with our client, as it is shipped."""
    (directory / "node_modules").mkdir()
    (directory / "node_modules" / "aiohttp-realtime").symlink_to(CLIENT)
    (directory / "page.mjs").write_text(SCRIPT % {"ws": WS.as_uri()}, "utf-8")
    node = await asyncio.create_subprocess_exec(
        "node", "page.mjs", cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=1_000_000
    )
    found = Page(node)
    listening = asyncio.create_task(found.listen())
    try:
        yield found
    finally:
        node.kill()
        await node.wait()
        await listening


@needs_node
async def test_a_conversation_under_a_fault_at_every_step(tmp_path: Path) -> None:
    async with serving() as (server, port), page(tmp_path) as node:

        async def one(number: int) -> int:
            case = CASES[number]
            return await held(server, port, case, first=number % EVERY, every=EVERY, by=node.converse)

        numbers = [number for number, case in enumerate(CASES) if case.transport in TRANSPORTS]
        assert min(await asyncio.gather(*map(one, numbers))) > 0
