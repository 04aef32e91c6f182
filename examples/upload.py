"""Uploads of any size: binary messages, back-pressure from end to end, and progress.

    python examples/upload.py                                                     # the server, and a page at :8080
    python examples/upload.py http://127.0.0.1:8080/realtime/upload photo.jpg     # the Python client

A text with the size comes first, then the file in pieces. The handler takes one piece at a time; when it falls behind,
the window closes and the client's send() waits, so that neither end ever holds more than a few pieces in memory. An
upload survives a change of networks, as the session does. Nothing is stored here: the answer is the file's SHA-256.
"""

import asyncio
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from aiohttp import web

import realtime

FRESH = {"Cache-Control": "no-cache"}  # another example may have had this address
PIECE = 65_536  # bytes

rt = realtime.Server()


# The window: as much as a client may have sent that the handler has not taken.
@rt.endpoint("/upload", max_size=PIECE, max_queue=16, max_queue_size=16 * PIECE)
async def upload(session: realtime.Session) -> None:
    size = int(json.loads(await session.receive())["size"])
    digest, received = hashlib.sha256(), 0
    while received < size:
        piece = await session.receive()
        if not isinstance(piece, bytes):
            await session.close(4000, "pieces of a file are binary")
            return
        digest.update(piece)  # or write it to where you keep files: while that takes its time, nothing more comes
        received += len(piece)
        await session.send(json.dumps({"received": received}))
    await session.send(json.dumps({"received": received, "sha256": digest.hexdigest()}))
    await session.flush()


def announcement(path: Path) -> str:
    return json.dumps({"name": path.name, "size": path.stat().st_size})


def pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


async def send_file(session: realtime.ClientSession, path: Path) -> None:
    await session.send(announcement(path))
    for piece in pieces(path):
        await session.send(piece)  # waits while too much is under way


async def run(url: str, path: Path) -> str:
    """Uploads a file; returns its SHA-256 as the server has seen it."""
    async with realtime.connect(url, max_outbox=16) as session, asyncio.TaskGroup() as tasks:
        tasks.create_task(send_file(session, path))
        while "sha256" not in (news := json.loads(await session.receive())):
            print(f"{news['received']:,} bytes", end="\r", file=sys.stderr)
        return str(news["sha256"])


async def page(request: web.Request) -> web.FileResponse:
    return web.FileResponse(Path(__file__).with_name("upload.html"), headers=FRESH)


def make_app() -> web.Application:
    app = web.Application()
    app.router.add_get("/", page)
    realtime.setup(app, rt)
    return app


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(asyncio.run(run(sys.argv[1], Path(sys.argv[2]))))
    else:
        web.run_app(make_app(), host="127.0.0.1", port=8080)
