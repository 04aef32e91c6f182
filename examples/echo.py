"""Says everything back.

python examples/echo.py

echo hello | realtime connect http://127.0.0.1:8080/realtime/echo
"""

from aiohttp import web

import realtime

rt = realtime.Server()


@rt.endpoint("/echo")
async def echo(session: realtime.Session) -> None:
    async for message in session:
        await session.send(message)


def make_app() -> web.Application:
    app = web.Application()
    realtime.setup(app, rt)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=8080)
