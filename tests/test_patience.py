"""What is judged again because the machine paused is judged as if for the first time."""

from __future__ import annotations

import asyncio
import time

import pytest

from .patience import Broken, steady

tries: list[int] = []


@steady
async def test_a_try_beside_a_pause_counts_for_nothing() -> None:
    """Nor does what it leaves: pytest would take a connection that nobody has closed for a fault of this test."""
    tries.append(len(tries))
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    if len(tries) == 1:
        itself = [writer]
        itself.append(itself)  # type: ignore[arg-type] # so that only the garbage collector finds it
        server.close()
        await asyncio.sleep(0.1)  # the pauses are looked for by then
        time.sleep(0.3)  # noqa: ASYNC251 # the pause
        raise AssertionError("this says nothing")
    writer.close()
    await writer.wait_closed()
    server.close()
    assert tries == [0, 1]


async def test_what_is_broken_is_broken_beside_a_pause_too() -> None:
    async def tried() -> None:
        tries.append(0)
        time.sleep(0.3)  # noqa: ASYNC251 # the pause
        raise Broken

    tries.clear()
    with pytest.raises(Broken):
        await steady(tried)()
    assert tries == [0]
