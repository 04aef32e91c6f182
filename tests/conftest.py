"""For all tests."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest


@pytest.fixture
def unused_tcp_port() -> Iterator[int]:
    """A port at which nobody listens, and nobody can: it is held, so that no test beside this one gets it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        yield port
