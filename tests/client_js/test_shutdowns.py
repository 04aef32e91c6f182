"""A server that shuts down under sessions of the JavaScript client, in Node, and the next one at the same address."""

from __future__ import annotations

import contextlib

import realtime
from realtime.testing import serve

from ..client.test_durable import Switch
from ..patience import arrives, eventually, within
from .node import Page, page
from .test_events import needs_node

TRANSPORTS = ["websocket", "xhr_streaming", "multipart", "long_polling", "polling"]
MESSAGES = 40  # of each session, half of them to each server

# A session over each transport, each to an origin of its own: Node's connections of one origin are for all, and where a
# stream has ended it would connect anew for another session's poll, though others are open, and nobody listens. They
# say what they hear, and send as many messages as they are told to; what a server is not known to have received goes to
# the next, in front of others.
SCRIPT = """
import ws from "%(ws)s";
globalThis.WebSocket ??= ws;
import { createInterface } from "node:readline";
import Realtime from "aiohttp-realtime";

Math.random = () => 0.01; // no pause is long
const [urls, transports] = process.argv.slice(1).map((list) => list.split(","));
const say = (...what) => console.log(JSON.stringify(what));
const sessions = transports.map((transport, i) => {
  const session = new Realtime(`${urls[i]}?who=${transport}`, { transports: [transport], reopen: true });
  session.onmessage = ({ data }) => say(transport, data);
  session.onclose = ({ code, wasClean, reopening, unacknowledged }) => {
    say(transport, code, wasClean, reopening);
    for (const text of unacknowledged) session.send(text);
  };
  return session;
});
let sent = 0;
createInterface({ input: process.stdin }).on("line", (line) => {
  if (line === "close") for (const session of sessions) session.close();
  else for (let i = 0; i < +line; i++, sent++) for (const session of sessions) session.send("m" + sent);
}).on("close", () => process.exit());
"""


def serving(taken: dict[str, list[str]], name: str) -> realtime.Server:
    """A server that keeps what it is sent."""
    rt = realtime.Server(shutdown_timeout=10, poll_interval=(0.01, 0.05), transports=TRANSPORTS)

    @rt.endpoint("/orders")
    async def keeps(session: realtime.Session) -> None:
        await session.send(name)
        async for message in session:
            taken[session.request.query["who"]].append(str(message))

    return rt


@needs_node
async def test_the_next_server_goes_on_where_one_has_said_that_it_goes() -> None:
    taken: dict[str, list[str]] = {transport: [] for transport in TRANSPORTS}
    async with within(), contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(serve(serving(taken, "first")))
        switches = [Switch(str(first.make_url("/"))) for _ in TRANSPORTS]
        urls = [await switch.start() for switch in switches]
        for switch in switches:
            stack.push_async_callback(switch.stop)
        node = await stack.enter_async_context(page(Page, SCRIPT, ",".join(urls), ",".join(TRANSPORTS)))

        heard: dict[str, list[list[object]]] = {transport: [] for transport in TRANSPORTS}

        async def until(*what: object) -> None:
            """Each has said that."""
            while not all([*what] in said for said in heard.values()):
                transport, *said = await node.said()
                heard[transport].append(said)

        await until("first")
        node.tell(str(MESSAGES // 2))
        await eventually(lambda: all(len(messages) == MESSAGES // 2 for messages in taken.values()))
        await arrives(first.close())
        await until(1001, True, True)
        second = await stack.enter_async_context(serve(serving(taken, "second")))
        for switch in switches:
            switch.add(str(second.make_url("/")))
        node.tell(str(MESSAGES // 2))
        await until("second")
        node.tell("close")
        await until(1000, True, False)
    for transport in TRANSPORTS:
        assert heard[transport] == [["first"], [1001, True, True], ["second"], [1000, True, False]], transport
        assert taken[transport] == [f"m{number}" for number in range(MESSAGES)], transport
