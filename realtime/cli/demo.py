"""`realtime demo`: serves the demo's application until a signal ends it, and says where."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import realtime

from ..core.errors import BrokerError
from ..demo import ENDPOINTS, Demo, Several, Store
from .signals import signals
from .stdio import note

__all__ = ["Options", "run"]

NO_STORE = (
    "A session ends here with its server's process. With redis-server, and pip install 'aiohttp-realtime[redis]', it"
    " goes on.\n"
)
WILDCARDS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says."""

    host: str
    port: int
    transports: Sequence[str]
    workers: int | None = None  # so many processes, over the broker
    # Its URL, which may have a password in it. One process does with a Redis of its own, if there is one.
    broker: str | None = dataclasses.field(default=None, repr=False)


def run(options: Options) -> int:
    """Runs the command and returns its exit code. Raises LocalProtocolError for a broker's URL that is none."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_main(options))
    except KeyboardInterrupt:  # the second Ctrl-C
        return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _main(options: Options) -> int:
    host, port = options.host, options.port
    with signals() as asked:
        try:
            if options.workers is not None and options.broker is not None:
                async with Several(options.workers, options.broker, host, port, options.transports) as several:
                    _welcome(host, several.port, several.ENDPOINTS, several.lanes[0])
                    await asked
                return 0
            store = contextlib.nullcontext(options.broker) if options.broker is not None else Store()
            async with store as broker, Demo(host, port, options.transports, broker=broker) as demo:
                _welcome(host, demo.port, ENDPOINTS, demo.port)
                if broker is None:
                    print(NO_STORE, flush=True)
                await asked
                await demo.end_sessions()
        except ChildProcessError as error:
            note(str(error))
            return 1
        except OSError as error:
            note(_refusal(host, port, error))
            return 1
        except BrokerError as error:
            note(f"the broker: {error}")
            return 1
        return 0


def _refusal(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is taken; end what listens there, or choose another with --port (0: any free one)"
        )
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
    return f"cannot listen on {host} port {port}: {reason}"


def _welcome(host: str, port: int, endpoints: Mapping[str, str], at: int) -> None:
    """Says where the page is, and at which port the endpoints are."""
    address = WILDCARDS.get(host, host)
    origin = f"http://{f'[{address}]' if ':' in address else address}"
    everywhere = " (and at every other address of this machine)" if host in WILDCARDS else ""
    command = _command()
    print(f"{origin}:{port}/ is the demo of realtime {realtime.__version__}{everywhere}. Ctrl-C ends it.\n")
    for path, what in endpoints.items():
        print(f"  {command} connect {origin}:{at}/realtime{path:<8} {what}")
    print(flush=True)


def _command() -> str:
    """How this command is called from here, so that what is printed can be pasted."""
    if shutil.which("realtime"):
        return "realtime"
    script = Path(sys.argv[0])
    return str(script) if script.name == "realtime" else f"{sys.executable} -m realtime"
