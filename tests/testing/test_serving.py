"""serve() and Clients: an application on a free port, and everything closed in the end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

import realtime
from realtime.testing import Clients, serve


def make_server() -> realtime.Server:
    rt = realtime.Server()

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    return rt


def make_app(rt: realtime.Server, prefix: str = "/realtime") -> web.Application:
    app = web.Application()
    realtime.setup(app, rt, prefix=prefix)
    return app


async def test_serving_an_application() -> None:
    rt = make_server()
    async with serve(make_app(rt, "/here")) as server:
        async with realtime.connect(server.make_url("/here/echo")) as session:
            await session.send("hello")
            assert await session.receive() == "hello"
        left = await realtime.connect(server.make_url("/here/echo"))
    assert len(rt) == 0
    await left.wait_closed()
    assert left.close_code == 1001
    await left.close()


async def test_serving_a_server_without_an_application() -> None:
    async with serve(make_server()) as server, realtime.connect(server.make_url("/realtime/echo")) as session:
        await session.send(b"hello")
        assert await session.receive() == b"hello"


async def test_clients_share_the_application_and_are_closed() -> None:
    rt = make_server()
    app = make_app(rt)
    async with Clients() as client:
        one = await client(app, "/realtime/echo", transports=["polling"])
        two = await client(app, "/realtime/echo?from=two")
        assert (await client.server(app)).port == one._context.settings.url.port == two._context.settings.url.port
        assert {session.request.query.get("from") for session in rt.sessions} == {None, "two"}
        other = await client(make_server(), "/realtime/echo")
        assert other._context.settings.url.port != one._context.settings.url.port
    assert {session.close_code for session in (one, two, other)} == {1000}
    assert len(rt) == 0


@pytest.mark.parametrize("whole", [True, False], ids=["application", "server"])
async def test_clients_that_come_at_once_share_it_too(whole: bool) -> None:
    rt = make_server()
    app = make_app(rt) if whole else rt
    async with Clients() as client:
        one, two = await asyncio.gather(client(app, "/realtime/echo"), client(app, "/realtime/echo"))
        assert one._context.settings.url == two._context.settings.url
        assert len(rt) == 2


async def test_a_server_that_is_there_already_is_the_callers() -> None:
    rt = make_server()
    async with TestServer(make_app(rt)) as server:
        async with Clients() as client:
            await client(server, "/realtime/echo")
        assert len(rt) == 0
        assert not server.closed
        async with realtime.connect(server.make_url("/realtime/echo")):
            assert len(rt) == 1


async def test_everything_is_closed_when_the_test_fails() -> None:
    rt = make_server()
    with pytest.raises(ZeroDivisionError):
        async with Clients() as client:
            await client(rt, "/realtime/echo")
            raise ZeroDivisionError
    assert len(rt) == 0
    with pytest.raises(realtime.NegotiationError):
        async with Clients() as client:
            await client(rt, "/realtime/nowhere")


async def test_what_is_no_application_is_told() -> None:
    async def make() -> web.Application:
        return web.Application()

    wrong: list[tuple[Any, str]] = [
        (5, "not 5$"),
        (make_server, "not <function make_server at .*: call it first$"),
        (make(), "not <coroutine object .*: await it first$"),
    ]
    for app, said in wrong:
        async with Clients() as client:
            with pytest.raises(TypeError, match=f"what is under test is .*, or a server of aiohttp.test_utils, {said}"):
                await client(app, "/realtime/echo")
        with pytest.raises(TypeError, match=f"what is under test is an .* or a realtime.Server, {said}"):
            async with serve(app):
                pass
