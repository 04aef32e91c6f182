"""The application is still asked about a client's request when the worker lets its session go: that is no end of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import realtime

from ..patience import arrives
from .crew import crew
from .raw import Polls, Raw


class Hook:
    """An authorize hook that answers when it is let, where it is asked about such auth data, or any."""

    asked_for: object = None

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked = asyncio.Event()  # since it is not let

    def on(self, rt: realtime.Server) -> None:
        rt.authorize(self)

    async def __call__(self, request: realtime.SessionRequest) -> str:
        if not self.answers.is_set() and self.asked_for in (None, request.auth):
            self.asked.set()
            await self.answers.wait()
        return "ada"


async def client_of(them: Any, over: type[Raw] | type[Polls]) -> Any:
    """One that has heard its handler."""
    client = over(them.http, them.url(them.workers[0]))
    await client.open()
    if isinstance(client, Raw):
        await client.until("mwelcome")
        await client.stored(0)
    else:
        await client.until(1)
    return client


@pytest.mark.parametrize("over", [Raw, Polls])
@pytest.mark.parametrize("how", ["handed over", "taken over"])
async def test_who_is_asked_about_meanwhile_comes_again(over: type[Raw] | type[Polls], how: str) -> None:
    hook = Hook()
    async with crew(prepare=hook.on) as them:
        one, two = them.workers
        client = await client_of(them, over)
        hook.answers.clear()
        coming = asyncio.ensure_future(
            client.again() if isinstance(client, Raw) else client.post(client.name, [client.attach()])
        )
        await arrives(hook.asked.wait())
        if how == "handed over":
            await arrives(them.keeper(one).hand_over(1.0))
        else:
            them.keeper(one).holdings[client.sid].cut()
        hook.answers.set()
        told = await arrives(coming)
        if not isinstance(client, Raw):
            assert told[0] == 503
            told = told[1][0]
        assert told.startswith("x4503,carrier"), told
        client.url = them.url(two)
        if isinstance(client, Raw):
            assert (await client.again()).startswith("r")
            await client.say("a")
            await client.until("ma 1")
        else:
            await client.send("a")
            await client.until(2)
        assert client.messages == ["welcome", "a 1"]


@pytest.mark.parametrize("by", ["websocket", "send", "poll"])
async def test_whose_fresh_auth_data_are_asked_about_comes_again(by: str) -> None:
    hook = Hook()
    async with crew(prepare=hook.on) as them:
        one, two = them.workers
        client = await client_of(them, Raw if by == "websocket" else Polls)
        hook.asked_for = "fresh"
        hook.answers.clear()
        if by == "websocket":
            await client.socket.send_str('t"fresh"')
            coming = asyncio.ensure_future(client.gone())
        else:
            head = client.head() if by == "send" else client.attach()
            coming = asyncio.ensure_future(client.post("send" if by == "send" else client.name, [head, 't"fresh"']))
        await arrives(hook.asked.wait())
        await arrives(them.keeper(one).hand_over(1.0))
        hook.answers.set()
        told = await arrives(coming)
        if by != "websocket":
            assert told[1][-1] == "erecycled" or told[1][-1].startswith("x4503,carrier"), told
        assert not client.ended
        client.url = them.url(two)
        if by == "websocket":
            assert (await client.again()).startswith("r")
            await client.say("a")
            await client.until("ma 1")
        else:
            await client.send("a")
            await client.until(2)
        assert client.messages == ["welcome", "a 1"]
