"""A project of one's own, with tests: a guestbook that everybody reads as it is written.

    pip install 'aiohttp-realtime[test]'
    cd examples/own_project && pytest

The application is made by a function, its server of sessions with it, so that each test has its own.
"""

from aiohttp import web

import realtime


def make_app() -> web.Application:
    rt = realtime.Server()
    entries: list[str] = []

    @rt.authorize
    async def who(request: realtime.SessionRequest) -> str:
        if not isinstance(request.auth, str) or not request.auth.isprintable():  # or it may be what nobody can be sent
            raise realtime.Unauthorized("say your name")
        return request.auth

    @rt.endpoint("/guestbook")
    async def guestbook(session: realtime.Session) -> None:
        for entry in entries:
            await session.send(entry)
        await session.join("readers")
        async for text in session:
            entries.append(f"{session.identity}: {text!s}")
            await rt.room("readers").send(entries[-1])

    async def page(request: web.Request) -> web.Response:
        return web.Response(text="\n".join(entries))

    app = web.Application()
    app.router.add_get("/", page)
    realtime.setup(app, rt)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=8080)
