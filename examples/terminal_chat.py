"""A chat in the terminal, with the Python client. Start examples/chat.py, then in two terminals:

    python examples/terminal_chat.py "http://127.0.0.1:8080/realtime/chat?name=Ada"

Stop the server while you type, and start it again: a bad network is bridged without a word, a restart is told, with
what the server may never have received.
"""

import asyncio
import contextlib
import sys
import threading

import realtime

Lines = asyncio.Queue[str | None]


def keyboard() -> Lines:
    """The lines of standard input as they are typed, and None at their end."""
    lines: Lines = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def read() -> None:
        # Unbuffered: a buffer has a lock, which would be held when the program ends.
        with contextlib.suppress(RuntimeError), open(0, "rb", buffering=0, closefd=False) as stdin:
            for line in stdin:
                loop.call_soon_threadsafe(lines.put_nowait, line.decode(errors="replace").rstrip("\r\n"))
            loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, daemon=True).start()
    return lines


async def say(session: realtime.ClientSession, lines: Lines) -> None:
    """Sends lines until there are no more, and closes the session then."""
    while (line := await lines.get()) is not None:
        try:
            await session.send(line)  # waits while the server takes no more
        except (realtime.SessionClosed, asyncio.CancelledError):
            print(f"* not sent: {line}", flush=True)
            return
    await session.close()


async def chat(url: str, lines: Lines) -> None:
    async for session in realtime.connect(url):  # a new session whenever one has ended
        print(f"* connected over {session.transport}", flush=True)
        saying = asyncio.create_task(say(session, lines))
        async for message in session:
            print(message, flush=True)
        await session.close()  # it has ended: this lets go of its connections, too
        saying.cancel()
        for line in session.unacknowledged:
            print(f"* perhaps not received: {line!s}", flush=True)
        print(f"* closed with {session.close_code} {session.close_reason}", flush=True)
        if session.close_code in (1000, 4401, 4403):  # goodbye, from either side; or we are not welcome
            return


async def main(url: str) -> None:
    await chat(url, keyboard())


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1]))
    except KeyboardInterrupt:
        pass
    except realtime.NegotiationError as error:
        sys.exit(f"{error}")
