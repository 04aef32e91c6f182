"""A chat of events: who is here, who is typing, messages to all and to one, each with an acknowledgement.

    python examples/events_chat.py                 the server, and a page for it: http://localhost:8080/
    python examples/events_chat.py ada [bob]       a client: lines that are typed go to all, or to bob alone

At http://localhost:8080/?client=socketio the page speaks by Socket.IO's own client, unchanged, which comes from npm:
`cd examples/events_page && npm install`. Any other client of Socket.IO can come as well, with the events below:
`io("http://localhost:8080", {auth: {name: "ada"}})`. All of them are in one room.
"""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

import realtime

FRESH = {"Cache-Control": "no-cache"}  # another example may have had this address
rt = realtime.Server(allowed_origins="*")  # for a page of any origin; name yours
events = realtime.Events()
rt.endpoint("/chat", socketio="/socket.io")(events)
here: dict[str, realtime.EventSession] = {}


@dataclass
class Private:
    """What "private message" brings: an object with these members, or its sender is told what is wrong with it."""

    to: str
    text: str


@events.on("connect")
async def connect(session: realtime.EventSession, auth: dict[str, str]) -> None:
    name, key = auth.get("name", ""), auth.get("key")
    if not name.isidentifier() or len(name) > 24:
        raise realtime.Unauthorized("a name is one word of letters and digits, at most 24")
    before = here.get(name)
    # Who has the key is the same person, whose connection was cut, and whom the server may not have missed yet.
    if before is not None and (key is None or before.auth.get("key") != key):
        raise realtime.Unauthorized("somebody has this name", data={"names": sorted(here)})
    await session.emit("users", sorted({*here, name}))
    session.data["name"] = name
    here[name] = session
    if before is None:
        await events.emit("user joined", name, skip=session)
    else:
        await before.disconnect()


@events.on("disconnect")
async def disconnect(session: realtime.EventSession) -> None:
    name = session.data["name"]
    if here.get(name) is session:  # else somebody else has it, or has had it meanwhile
        del here[name]
        await events.emit("user left", name)


@events.on("new message")
async def new_message(session: realtime.EventSession, text: str) -> int:
    check(text)
    await events.emit("new message", session.data["name"], text, skip=session)
    return len(here) - 1  # the acknowledgement: who has been told


@events.on("typing")
async def typing(session: realtime.EventSession, busy: bool = True, to: str | None = None) -> None:
    name = session.data["name"]
    if to is None:
        await events.emit("typing", name, busy, skip=session, volatile=True)
    elif to in here:
        await here[to].emit("typing", name, busy, "to you alone", volatile=True)


@events.on("private message")
async def private_message(session: realtime.EventSession, message: Private) -> None:
    check(message.text)
    if message.to not in here:
        raise realtime.EventError(f"{message.to} is not here", code="absent")
    await here[message.to].emit("private message", session.data["name"], message.text)


def check(text: str) -> None:
    """Raises what the sender of such a message is answered."""
    if not 0 < len(text) <= 2000:
        raise realtime.EventError("a message has 1 to 2,000 characters", code="length")


PAGE = Path(__file__).parent / "events_page"
FILES = {
    "/": "chat.html",
    **{f"/{name}": name for name in ("chat.css", "chat.js", "realtime_client.js", "socketio_client.js")},
    "/socket.io.js": "node_modules/socket.io-client/dist/socket.io.esm.min.js",
}


async def page(request: web.Request) -> web.FileResponse:
    path = PAGE / FILES[request.path]
    if not path.is_file():
        raise web.HTTPNotFound(text="Socket.IO's client is not there: cd examples/events_page && npm install")
    return web.FileResponse(path, headers=FRESH)


def make_app() -> web.Application:
    """The application."""
    app = web.Application()
    for path in FILES:
        app.router.add_get(path, page)
    realtime.setup(app, rt)
    return app


async def talk(name: str, to: str | None = None, url: str = "http://localhost:8080/realtime/chat") -> None:
    """A client in a terminal."""
    async with realtime.connect(url) as session:
        chat = session.events(auth={"name": name})
        chat.on("new message")(lambda who, text: print(f"{who}: {text}"))
        chat.on("private message")(lambda who, text: print(f"{who}, to you alone: {text}"))
        chat.on("*")(lambda event, *args: print(f"({event}: {', '.join(map(str, args))})"))
        await chat.ready()
        while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
            try:
                if to is None:
                    print(f"(to {await chat.call('new message', line)} others)")
                else:
                    await chat.call("private message", {"to": to, "text": line})
            except realtime.EventError as error:
                print(f"({error.message})")


if __name__ == "__main__":
    if sys.argv[1:]:
        asyncio.run(talk(*sys.argv[1:3]))
    else:
        web.run_app(make_app(), host="localhost", port=8080)
