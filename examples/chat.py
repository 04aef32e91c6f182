"""A chat with rooms and names: everyone in a room hears everyone there, and who comes and goes.

    python examples/chat.py

Open http://127.0.0.1:8080/ in two browsers (http://127.0.0.1:8080/legacy in one from 2011), or join from a terminal:

    realtime connect "http://127.0.0.1:8080/realtime/chat?name=Ada&room=lobby"
"""

from pathlib import Path

from aiohttp import web

import realtime

FRESH = {"Cache-Control": "no-cache"}  # another example may have had this address
HERE = Path(__file__).parent

rt = realtime.Server()


def tidy(text: str, length: int) -> str:
    """One line without control characters, for pages and terminals alike."""
    return "".join(char if char.isprintable() else " " for char in text[:length]).strip()


@rt.endpoint("/chat", max_size=4096)
async def chat(session: realtime.Session) -> None:
    query = session.request.query
    name = tidy(query.get("name", ""), 24) or "somebody"
    place = tidy(query.get("room", ""), 24) or "lobby"
    room = rt.room(place)
    await session.join(place)
    await room.send(f"* {name} has joined")
    try:
        async for message in session:
            if isinstance(message, str):
                await room.send(f"{name}: {tidy(message, 4096)}")
    finally:  # also when the session was lost, and not only when somebody said goodbye
        await room.send(f"* {name} has left", skip=session)


async def page(request: web.Request) -> web.FileResponse:
    return web.FileResponse(HERE / "chat.html", headers=FRESH)


async def legacy(request: web.Request) -> web.FileResponse:
    return web.FileResponse(HERE / "legacy.html", headers=FRESH)


def make_app() -> web.Application:
    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_get("/legacy", legacy)
    realtime.setup(app, rt)  # serves the endpoints, and the JavaScript client at /realtime/client.js
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=8080)
