"""`realtime demo` as a person meets it: where it says it is, what is there, and how it ends."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack

import aiohttp
import pytest
from yarl import URL

import realtime
from realtime.demo import make_app
from realtime.demo.member import LEASE
from realtime.testing import Clients

from ..brokers.conftest import own_redis
from ..brokers.servers import Server, settled
from .program import Program, run

__all__ = ["own_redis"]

TRANSPORTS = ("websocket", "long_polling", "polling")


async def test_it_says_where_it_is_and_what_is_there() -> None:
    command = ("env", "PATH=", sys.executable, "-m", "realtime", "demo", "--port", 0)  # where no redis-server is
    async with Program(*command, bare=True) as demo:
        welcome = await demo.line()
        url = URL(welcome.split()[0])
        assert welcome == f"{url} is the demo of realtime {realtime.__version__}. Ctrl-C ends it."
        assert (url.host, url.path) == ("127.0.0.1", "/")
        assert await demo.line() == ""
        for path, what in (("echo", "back"), ("chat", "everyone"), ("ticker", "second")):
            line = await demo.line()
            assert f" connect {url}realtime/{path} " in line
            assert what in line
        assert await demo.line() == ""
        assert "aiohttp-realtime[redis]" in await demo.line()
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            assert response.status == 200
            text = await response.text()
        assert f"{url}realtime/echo" in text
        assert "<" not in text


async def test_a_browser_gets_a_page() -> None:
    async with Clients() as clients:
        url = (await clients.server(make_app())).make_url("/")
        headers = {"Accept": "text/html,*/*;q=0.8"}
        async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as response:
            assert response.content_type == "text/html"
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
            text = await response.text()
        assert "<script>" not in text  # all scripts are files


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_at_once_and_quietly_whoever_is_connected(number: int) -> None:
    async with Program("demo", "--port", 0) as demo, AsyncExitStack() as stack:
        url = f"{(await demo.line()).split()[0]}realtime/chat"
        clients = {}
        for name in TRANSPORTS:
            client = await stack.enter_async_context(Program("connect", "--transport", name, url))
            assert "Welcome" in await client.line()
            clients[name] = client
        started = asyncio.get_running_loop().time()
        demo.interrupt(number)
        assert await demo.ended() == 0
        # Polls are held for 20 s and sessions kept for 120.
        assert asyncio.get_running_loop().time() - started < 15
        out, err = await demo.rest()
        assert err == ""
        assert len(out.splitlines()) == 5
        assert await clients["websocket"].ended() == 0
        _, err = await clients["websocket"].rest()
        assert err.splitlines()[-1] == "realtime: the session ended with 1001 (the server is going away)"


async def test_a_port_that_is_taken(demo: str) -> None:
    port = URL(demo).port
    code, out, err = await run("demo", "--port", port)
    assert (code, out) == (1, "")
    assert err == (
        f"realtime: port {port} of 127.0.0.1 is taken;"
        " end what listens there, or choose another with --port (0: any free one)\n"
    )


async def test_an_address_that_is_not_here() -> None:
    code, out, err = await run("demo", "--host", "192.0.2.1", "--port", 0)
    assert (code, out) == (1, "")
    assert err.startswith("realtime: cannot listen on 192.0.2.1 port 0: ")
    assert len(err.splitlines()) == 1


async def test_only_the_transports_asked_for_are_offered() -> None:
    async with Clients() as clients:
        app = make_app(["polling", "long_polling"])
        session = await clients(app, "/realtime/echo")
        assert session.transport == "long_polling"
        assert session.attempts["websocket"].startswith("refused with 4406")
        allowed = {
            choice["name"]: choice["verdict"] for choice in session.negotiation if choice["verdict"] != "refused"
        }
        assert allowed == {"long_polling": "taken", "polling": "offered"}


async def test_the_ticker_ticks(demo: str) -> None:
    async with Program("connect", f"{demo}/ticker") as client:
        first, second = [(await client.line()).split() for _ in range(2)]
        assert int(second[0]) == int(first[0]) + 1
        assert len(first[1].split(":")) == 3


async def test_the_ticker_drops_lines_for_who_is_slow_and_says_so() -> None:
    async with Clients() as clients:
        app = make_app(tick=0.001)
        slow = await clients(app, "/realtime/ticker", max_queue=16)
        quick = await clients(app, "/realtime/ticker")
        # The slow one's window and outbox have room for 16 lines each.
        for _ in range(50):
            await quick.receive()
        count = 0
        while not slow.dropped:
            before, count = count, int(str(await slow.receive()).split()[0])
            assert count > before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--workers", "4"], "argument --workers: several processes need a broker: give --broker redis://localhost"),
        (["--workers", "1", "--broker", "redis://localhost"], "argument --workers: a number from 2 to 16 is expected"),
        (["--workers", "many", "--broker", "redis://localhost"], "argument --workers: a number from 2 to 16"),
        (["--workers", "2", "--broker", "localhost"], "redis://"),
    ],
)
async def test_several_workers_and_their_broker_are_given_together(arguments: list[str], sentence: str) -> None:
    code, out, err = await run("demo", "--port", 0, *arguments)
    assert (code, out) == (2, "")
    assert sentence in err.splitlines()[-1]


async def test_a_broker_that_is_not_there(unused_tcp_port: int) -> None:
    url = f"redis://:not-for-any-log@127.0.0.1:{unused_tcp_port}"
    code, out, err = await run("demo", "--port", 0, "--workers", 2, "--broker", url)
    assert (code, out) == (1, "")
    why, refusal = err.splitlines()
    assert f"cannot reach Redis at redis://127.0.0.1:{unused_tcp_port}" in why
    assert refusal.startswith("realtime: the broker: no answer ")
    assert "not-for-any-log" not in err


async def test_several_workers_end_with_a_signal(own_redis: Server) -> None:
    await asyncio.to_thread(settled, own_redis, LEASE)
    async with Program("demo", "--port", 0, "--workers", 2, "--broker", own_redis.url) as demo:
        welcome = await demo.line()
        assert " is the demo of realtime " in welcome
        assert await demo.line() == ""
        line = await demo.line()
        url = next(word for word in line.split() if word.startswith("http"))
        async with Program("connect", url) as client:
            assert '"worker": ' in await client.line()
            demo.interrupt()
            assert await demo.ended() == 0
            _, err = await demo.rest()
            assert err == ""
