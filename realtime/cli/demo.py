"""`realtime demo`: serves the demo's application until a signal ends it, and says where."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import realtime

from ..demo import ENDPOINTS, Demo
from .signals import signals
from .stdio import note

__all__ = ["run"]

WILDCARDS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


def run(host: str, port: int, transports: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_main(host, port, transports))
    except KeyboardInterrupt:  # the second Ctrl-C
        return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _main(host: str, port: int, transports: Sequence[str]) -> int:
    with signals() as asked:
        try:
            async with Demo(host, port, transports) as demo:
                _welcome(host, demo.port)
                await asked
                await demo.end_sessions()
        except OSError as error:
            note(_refusal(host, port, error))
            return 1
        return 0


def _refusal(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is taken; end what listens there, or choose another with --port (0: any free one)"
        )
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
    return f"cannot listen on {host} port {port}: {reason}"


def _welcome(host: str, port: int) -> None:
    address = WILDCARDS.get(host, host)
    origin = f"http://{f'[{address}]' if ':' in address else address}:{port}"
    everywhere = " (and at every other address of this machine)" if host in WILDCARDS else ""
    command = _command()
    print(f"{origin}/ is the demo of realtime {realtime.__version__}{everywhere}. Ctrl-C ends it.\n")
    for path, what in ENDPOINTS.items():
        print(f"  {command} connect {origin}/realtime{path:<8} {what}")
    print(flush=True)


def _command() -> str:
    """How this command is called from here, so that what is printed can be pasted."""
    if shutil.which("realtime"):
        return "realtime"
    script = Path(sys.argv[0])
    return str(script) if script.name == "realtime" else f"{sys.executable} -m realtime"
