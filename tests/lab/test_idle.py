"""Sessions that say little, through boxes that cut what is idle: they are cut again and again, and lose nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import realtime
from realtime.client.doctor import examine
from realtime.testing import serve

from ..patience import steady
from .boxes import standing

CUTS = 2


async def talk(url: str, transport: str) -> list[str | bytes]:
    """Says a few words in each life of the carrier; what came back, in order."""
    back: list[str | bytes] = []
    async with realtime.connect(url, transports=[transport]) as session:
        lost = asyncio.Event()

        def changed(event: str) -> None:
            if session.state == "detached":
                lost.set()

        session.on_change(changed)
        for life in range(CUTS + 1):
            for word in ("hello", "again"):
                await session.send(f"{life} {word}")
            back += [await session.receive(), await session.receive()]
            if life < CUTS:
                await lost.wait()
                lost.clear()
    assert session.close_code == 1000
    return back


@pytest.mark.parametrize("name", ["nginx that cuts after 1 s", "haproxy that cuts after 1 s"])
async def test_idle_sessions_outlive_being_cut(name: str, box: Callable[[str], Awaitable[str]]) -> None:
    url = await box(name)
    transports = ("websocket", "sse", "xhr_streaming", "multipart", "long_polling")
    said = [f"{life} {word}" for life in range(CUTS + 1) for word in ("hello", "again")]
    assert await asyncio.gather(*(talk(url, transport) for transport in transports)) == [said] * len(transports)


@pytest.mark.parametrize("name", ["nginx that cuts after 1 s", "haproxy that cuts after 1 s"])
@steady
async def test_pings_below_the_limit_keep_carriers_alive(name: str, tmp_path: Path) -> None:
    """What the doctor advises: ping_interval below the limit. See test_soak for what happens under load."""
    rt = realtime.Server(ping_interval=0.5)

    @rt.endpoint("/quiet")
    async def quiet(session: realtime.Session) -> None:
        async for _ in session:
            pass

    async with serve(rt) as server:
        assert server.port is not None
        async with standing(name, server.port, tmp_path) as url:
            found = await examine(f"{url}/realtime/quiet", patience=1.6)
            assert {finding.transport: finding.what for finding in found.findings if finding.state != "ok"} == {}
