"""One demo server for all tests of the command line."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import pytest

from .program import COMMAND, ENVIRONMENT, PATIENCE


@pytest.fixture(scope="session")
def demo() -> Iterator[str]:
    """The URL of a running `realtime demo`, up to and with the prefix."""
    command = [*COMMAND, "demo", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT, text=True) as process:
        assert process.stdout is not None
        yield f"{process.stdout.readline().split()[0]}realtime"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
