"""Events between the JavaScript client, as it is shipped, in Node, and our server; over connections that are cut."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import realtime
from realtime.testing import Clients, Cut, FaultProxy, KillWebSocket

from ..client.soak import TIMING
from ..patience import arrives, within

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "client-js"
WS = ROOT / "tests" / "compat" / "websocket" / "node_modules" / "ws" / "wrapper.mjs"  # Node has one since 22
COUNT = 150

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not WS.is_file(), reason="needs Node, and the packages of tests: sh .ci/clients"
)

SCRIPT = """
import ws from "%(ws)s";
globalThis.WebSocket ??= ws;
import { readFileSync } from "node:fs";
import Realtime from "aiohttp-realtime";
import { EventError, events } from "aiohttp-realtime/events";

const session = new Realtime("%(url)s", { transports: %(transports)s, attachTimeout: 1000, postTimeout: 1000 });
const chat = events(session, { auth: { name: "ada" }, timeout: Infinity });
const admin = chat.of("/admin", { timeout: Infinity });
const nowhere = chat.of("/nowhere");
const numbers = [], asked = [], said = {};
nowhere.on("connect_error", ({ message, code }) => (said.refused = [message, code]));
chat.on("number", (number, data) => numbers.push([number, ...new Uint8Array(data)]));
chat.on("ask", async (number, data) => {
  asked.push(number);
  if (number === 0) throw new EventError("not zero", "zero", [0]);
  return [number, data];
});
admin.on("*", (event, ...args) => [event, ...args]);
const calls = [];
for (let number = 0; number < %(count)d; number++) {
  const data = new Uint8Array(number %% 40).fill(number);
  calls.push(chat.call("number", number, data));
  if (number %% 5) continue;
  const asking = chat.call("ask back", number, { in: [data.buffer] });
  calls.push(asking.then(([back, { in: [bytes] }]) => [back, bytes.byteLength], (error) => error.code));
}
calls.push(admin.call("ask back", "admin"));
calls.push(chat.call("nothing").catch((error) => error.code));
calls.push(chat.call("number", 1).catch((error) => error.code));
said.answers = await Promise.all(calls);
Object.assign(said, { numbers, asked, ids: [chat.id, admin.id], transport: session.transport });
session.onclose = ({ code, wasClean }) => console.log(JSON.stringify({ ...said, code, wasClean }));
session.close();
"""


@needs_node
@pytest.mark.parametrize(
    ("transports", "fault"),
    [
        (["websocket"], KillWebSocket(after_frames=40, end="rst")),
        (["websocket"], KillWebSocket(after_frames=90, sent_by="client", end="rst")),
        (["xhr_streaming"], Cut(match=lambda request: request.path.endswith("/xhr_streaming"), after_bytes=6000)),
    ],
    ids=["websocket", "websocket of the client", "stream"],
)
async def test_each_call_is_answered_once(transports: list[str], fault: Any, tmp_path: Path) -> None:
    events = realtime.Events()
    admin = events.namespace("/admin")
    seen: list[int] = []
    auth: list[dict[str, Any]] = []

    @events.on("connect")
    def connect(session: realtime.EventSession, told: dict[str, Any]) -> None:
        auth.append(told)

    @events.on("number")
    async def number(session: realtime.EventSession, number: int, data: bytes) -> int:
        seen.append(number)
        await session.emit("number", number, data)
        return number

    @events.on("ask back", concurrent=100)
    @admin.on("ask back")
    async def ask_back(session: realtime.EventSession, *args: Any) -> Any:
        return await session.call("ask", *args, timeout=60)

    rt = realtime.Server(shutdown_timeout=0.5, **TIMING)
    rt.endpoint("/chat")(events)
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "aiohttp-realtime").symlink_to(CLIENT)
    async with Clients() as client, within():
        server = await client.server(rt)
        assert server.port is not None
        async with FaultProxy("127.0.0.1", server.port) as proxy:
            rule = proxy.add(fault)
            text = SCRIPT % {
                "ws": WS.as_uri(),
                "url": f"{proxy.url}/realtime/chat",
                "transports": json.dumps(transports),
                "count": COUNT,
            }
            (tmp_path / "page.mjs").write_text(text, "utf-8")
            node = await asyncio.create_subprocess_exec(
                "node", "page.mjs", cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            try:
                out, wrong = await arrives(node.communicate(), "the end of the script")
            finally:
                if node.returncode is None:
                    node.kill()
            assert (node.returncode, wrong.decode()) == (0, "")
    said = json.loads(out)
    expected: list[Any] = []
    for at in range(COUNT):
        expected.append(at)
        if at % 5 == 0:
            expected.append([at, at % 40] if at else "zero")
    assert said["answers"] == [*expected, ["ask", "admin"], "unknown", "arguments"]
    assert said["numbers"] == [[at, *[at] * (at % 40)] for at in range(COUNT)]
    assert said["asked"] == list(range(0, COUNT, 5))
    assert seen == list(range(COUNT))
    assert auth == [{"name": "ada"}]
    assert said["refused"] == ["Invalid namespace", "refused"]
    assert len(set(said["ids"])) == 2
    assert (said["transport"], said["code"], said["wasClean"]) == (transports[0], 1000, True)
    assert rule.fired > 0, "it was never cut: this shows nothing"
