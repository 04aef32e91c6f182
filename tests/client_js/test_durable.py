"""The JavaScript client in Node goes on with a durable session from one worker to the other, over each transport that
Node runs, with nothing lost, repeated or reordered."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from ..client.test_durable import counting, switched
from ..patience import arrives, within
from .test_events import CLIENT, WS, needs_node

TRANSPORTS = ("websocket", "xhr_streaming", "multipart", "long_polling", "polling")
MESSAGES = 30

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


@needs_node
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_session_goes_on_at_another_worker(transport: str) -> None:
    async with within(), switched(counting) as (switch, url, _):
        script = SCRIPT % {"ws": WS}
        node = await asyncio.create_subprocess_exec(
            *("node", "--input-type=module", "-e", script, "--", url, transport),
            cwd=CLIENT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert node.stdin is not None
            assert node.stdout is not None

            async def said() -> Any:
                assert node.stdout is not None
                return json.loads(await arrives(node.stdout.readline()))

            for number in range(MESSAGES):
                if number % 3 == 0:
                    node.stdin.write(b"3\n")  # while one is answered others are on their way
                assert await said() == {"data": f"m{number} is {number + 1}"}
                if number % 7 == 3:
                    switch.turn()
            node.stdin.write(b"close\n")
            assert await said() == {"code": 1000, "wasClean": True}
            await arrives(node.wait())
        finally:
            if node.returncode is None:
                node.kill()
                await node.wait()
