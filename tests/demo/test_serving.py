"""Where the demo listens, and by which names it knows its own page."""

from __future__ import annotations

import socket

import pytest

from realtime.demo import Demo
from realtime.demo.addresses import bind_somewhere, origins


def test_the_page_may_come_by_any_name_of_the_machine() -> None:
    assert origins("127.0.0.1", 8080) == (
        "http://127.0.0.1:8080",
        "http://[::1]:8080",
        "http://localhost:8080",
    )
    assert origins("demo.example", 80) == ("http://demo.example:80",)
    everywhere = origins("0.0.0.0", 8080)
    assert "http://localhost:8080" in everywhere
    assert f"http://{socket.gethostname().lower()}:8080" in everywhere
    assert "http://0.0.0.0:8080" not in everywhere


async def test_a_lanes_port_that_is_taken_is_replaced_by_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (other,) = await bind_somewhere("127.0.0.1", port)
        with other:
            assert other.getsockname()[1] != port
    (beyond,) = await bind_somewhere("127.0.0.1", 70_000)
    beyond.close()


async def test_the_demos_own_port_is_not_replaced() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match=r"[Aa]ddress"):
        await Demo(port=taken.getsockname()[1]).__aenter__()
