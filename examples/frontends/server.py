"""One chat with React, Vue and Svelte, in pages that Vite serves: of another port, so of another origin.

    python examples/frontends/server.py
    cd examples/frontends && npm install && npm run dev

Then open http://localhost:5173/react.html, /vue.html and /svelte.html. What is built (`npm run build`) may be served by
the application itself or from anywhere: VITE_SERVER says where the application is, and `allowed_origins` who may come.
"""

from collections.abc import Sequence

from aiohttp import web

import realtime

VITE = ("http://localhost:5173", "http://127.0.0.1:5173")


def make_app(allowed_origins: Sequence[str] = VITE) -> web.Application:
    rt = realtime.Server(allowed_origins=allowed_origins)

    @rt.endpoint("/chat")
    async def chat(session: realtime.Session) -> None:
        await session.join("lobby")
        async for message in session:
            await rt.room("lobby").send(message)

    app = web.Application()
    realtime.setup(app, rt)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=8080)
