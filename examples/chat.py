"""A chat: everyone hears everyone, and who comes and goes. Start it, then from two other terminals:

realtime connect http://127.0.0.1:8080/realtime/chat?name=Ada
"""

from aiohttp import web

import realtime

rt = realtime.Server()
lobby = rt.room("lobby")


@rt.endpoint("/chat", max_size=4096)
async def chat(session: realtime.Session) -> None:
    name = session.request.query.get("name", "somebody")
    await session.join("lobby")
    await lobby.send(f"* {name} has joined")
    try:
        async for message in session:
            await lobby.send(f"{name}: {message!s}")
    finally:
        await lobby.send(f"* {name} has left")


def make_app() -> web.Application:
    app = web.Application()
    realtime.setup(app, rt)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=8080)
