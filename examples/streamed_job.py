"""The output of a long job, for readers that come and go: each gets every line once, and the job runs once.

    python examples/streamed_job.py

Open http://127.0.0.1:8080/ and load it again and again: the page keeps what it has shown, and the cursor behind that.
And twenty readers that come again a thousand times, all told, while the job runs:

    python examples/streamed_job.py --reloads 1000
"""

import asyncio
import collections
import contextlib
import sys
from pathlib import Path

from aiohttp import web

import realtime

FRESH = {"Cache-Control": "no-cache"}  # another example may have had this address
LINES = 2000
END = "the end"

rt = realtime.Server()  # with broker="redis://…" the lines outlive this process
rt.configure_rooms("jobs/*", history=LINES + 1, ttl=3600)
runs: collections.Counter[str] = collections.Counter()  # of each job, how often it began
tasks: set[asyncio.Task[None]] = set()


async def run(job: str, pause: float) -> None:
    """The work. Its lines go to a room, whoever is there."""
    for number in range(LINES):
        await rt.room(f"jobs/{job}").send(f"line {number}")
        await asyncio.sleep(pause)
    await rt.room(f"jobs/{job}").send(END)


def make_app(pause: float = 0.02) -> web.Application:
    @rt.endpoint("/jobs")
    async def jobs(session: realtime.Session) -> None:
        """Whoever names a job reads it. The first starts it; nobody stops it by going."""
        job = session.request.query["job"]
        if not runs[job]:
            runs[job] += 1
            task = asyncio.create_task(run(job, pause))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        # All that there is; or, where the reader brings a cursor, what is behind that.
        await session.join(f"jobs/{job}", history=LINES + 1)
        await session.wait_closed()

    async def page(request: web.Request) -> web.FileResponse:
        return web.FileResponse(Path(__file__).with_name("streamed_job.html"), headers=FRESH)

    async def stop(app: web.Application) -> None:
        """Jobs end before the server, whose rooms they send to."""
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    app = web.Application()
    app.router.add_get("/", page)
    app.on_shutdown.append(stop)  # before that of setup()
    realtime.setup(app, rt)
    return app


async def read(url: str, reloads: int) -> list[str]:
    """All lines, as one reader has them that comes again so often, every few lines. All that it keeps from one time to
    the next is what it has, and the cursors behind that."""
    lines: list[str] = []
    cursors: dict[str, str] = {}
    for visit in range(1, reloads + 2):
        enough = LINES * visit // (reloads + 1)
        async with realtime.connect(url, cursors=cursors) as session:
            async for line in session:
                lines.append(str(line))
                cursors = dict(session.cursors)
                if line == END:
                    return lines
                if len(lines) >= enough and visit <= reloads:
                    break
    return lines


async def readers(url: str, count: int, reloads: int) -> bool:
    """Whether each of so many readers, which come again so often together, has all lines once and in order."""
    found = await asyncio.gather(*(read(url, reloads // count) for _ in range(count)))
    return all(lines == [*(f"line {number}" for number in range(LINES)), END] for lines in found)


async def try_reloads(reloads: int) -> None:
    runner = web.AppRunner(make_app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 8080).start()
    right = await readers("http://127.0.0.1:8080/realtime/jobs?job=nightly", 20, reloads)
    print(f"20 readers, {reloads} reloads, {runs['nightly']} run of the job")
    print("each has every line once, in order" if right else "LINES ARE MISSING, OR TWICE")
    await runner.cleanup()
    if not right or runs["nightly"] != 1:
        raise SystemExit(1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--reloads"]:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(try_reloads(int(sys.argv[2])))
    else:
        web.run_app(make_app(), host="127.0.0.1", port=8080)
