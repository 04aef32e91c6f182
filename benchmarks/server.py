"""The server process: serves one contender on a free port, says which, and ends when its standard input does.

python -m benchmarks.server realtime uvloop
"""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web

from .contenders import SERVED
from .loops import new_event_loop
from .peers import FLOOR, floor

BACKLOG = 4096


async def serve(contender: str) -> None:
    """Serves until standard input ends."""
    if contender == FLOOR:
        port = await floor(BACKLOG)
    else:
        # Without access log: writing a line per request would be most of what a poll costs.
        runner = web.AppRunner(SERVED[contender](), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=BACKLOG)
        await site.start()
        port = runner.addresses[0][1]
    print(port, flush=True)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


def main() -> None:
    """The contender and the event loop are the two arguments."""
    contender, loop = sys.argv[1:]
    with asyncio.Runner(loop_factory=new_event_loop(loop)) as runner:
        runner.run(serve(contender))


if __name__ == "__main__":
    main()
