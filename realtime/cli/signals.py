"""Signals that end a command, as something to wait for. Knows nothing of what the command does."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator

__all__ = ["signals"]

# Ctrl-C, `kill`, and the terminal that was closed.
NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


@contextlib.contextmanager
def signals() -> Iterator[asyncio.Future[int]]:
    """A future that is done, with the signal's number, when a signal asks the command to end.

    The second one of a kind ends the process as if this were not here. Where the event loop takes no signal handlers
    (on Windows) Ctrl-C remains a KeyboardInterrupt.
    """
    loop = asyncio.get_running_loop()
    asked: asyncio.Future[int] = loop.create_future()
    taken: set[int] = set()

    def handle(number: int) -> None:
        loop.remove_signal_handler(number)
        taken.discard(number)
        if not asked.done():
            asked.set_result(number)

    for name in NAMES:
        number = getattr(signal, name, None)
        # A signal that the parent had ignored (nohup) stays ignored.
        if number is None or signal.getsignal(number) is signal.SIG_IGN:
            continue
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, handle, number)
            taken.add(number)
    try:
        yield asked
    finally:
        for number in taken:
            loop.remove_signal_handler(number)
