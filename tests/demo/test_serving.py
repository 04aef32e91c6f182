"""Where the demo listens, and by which names it knows its own page."""

from __future__ import annotations

import socket

import pytest

from realtime.demo import Demo
from realtime.demo.serving import _origins


def test_the_page_may_come_by_any_name_of_the_machine() -> None:
    assert _origins("127.0.0.1", 8080) == (
        "http://127.0.0.1:8080",
        "http://[::1]:8080",
        "http://localhost:8080",
    )
    assert _origins("demo.example", 80) == ("http://demo.example:80",)
    everywhere = _origins("0.0.0.0", 8080)
    assert "http://localhost:8080" in everywhere
    assert f"http://{socket.gethostname().lower()}:8080" in everywhere
    assert "http://0.0.0.0:8080" not in everywhere


async def test_a_lanes_port_that_is_taken_is_replaced_by_another() -> None:
    async with Demo() as first:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            async with Demo(port=taken.getsockname()[1] - 1) as demo:
                assert demo.port == taken.getsockname()[1] - 1
                assert taken.getsockname()[1] not in demo.lanes
                assert len(set(demo.lanes)) == 8
        with pytest.raises(OSError, match=r"[Aa]ddress"):
            await Demo(port=first.port).__aenter__()
