"""One demo server for all tests of the command line."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import pytest

from ..patience import PATIENCE
from .program import COMMAND, ENVIRONMENT, FORKS


@pytest.fixture(scope="session", autouse=True)
def heed_interrupts() -> None:
    """Ctrl-C reaches our subprocesses: a shell that starts the tests in the background (`&`) has them ignore SIGINT,
    and they would inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def forks(heed_interrupts: None) -> Iterator[None]:
    """What starts the programs ends with the tests."""
    yield
    FORKS.close()


@pytest.fixture(scope="session")
def demo(heed_interrupts: None) -> Iterator[str]:
    """The URL of a running `realtime demo`, up to and with the prefix."""
    command = [*COMMAND, "demo", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT, text=True) as process:
        assert process.stdout is not None
        yield f"{process.stdout.readline().split()[0]}realtime"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
