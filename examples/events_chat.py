"""A chat of events: who is here, who is typing, messages to all and to one, each with an acknowledgement.

python examples/events_chat.py                 the server
python examples/events_chat.py ada [bob]       a client: lines that are typed go to all, or to bob alone

Any client of Socket.IO can come as well: `io("http://localhost:8080", {auth: {name: "ada"}})`, with the events below.
"""

import asyncio
import sys
from dataclasses import dataclass

from aiohttp import web

import realtime

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
    name = auth.get("name", "")
    if not name.isidentifier():
        raise realtime.Unauthorized("a name has letters and digits")
    if name in here:
        raise realtime.Unauthorized("somebody has this name", data={"names": sorted(here)})
    session.data["name"] = name
    here[name] = session
    await session.emit("users", sorted(here))
    await events.emit("user joined", name, skip=session)


@events.on("disconnect")
async def disconnect(session: realtime.EventSession) -> None:
    del here[session.data["name"]]
    await events.emit("user left", session.data["name"])


@events.on("new message")
async def new_message(session: realtime.EventSession, text: str) -> int:
    await events.emit("new message", session.data["name"], text, skip=session)
    return len(here) - 1  # the acknowledgement: who has been told


@events.on("typing")
async def typing(session: realtime.EventSession, busy: bool = True) -> None:
    await events.emit("typing", session.data["name"], busy, skip=session, volatile=True)


@events.on("private message")
async def private_message(session: realtime.EventSession, message: Private) -> None:
    if message.to not in here:
        raise realtime.EventError(f"{message.to} is not here", code="absent")
    await here[message.to].emit("private message", session.data["name"], message.text)


def make_app() -> web.Application:
    """The application."""
    app = web.Application()
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
