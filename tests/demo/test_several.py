"""Several workers: one is killed, comes back, and nobody in the room has missed anything or heard it twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

import realtime
from realtime.demo import Several
from realtime.demo.addresses import bind
from realtime.demo.balancer import Balancer
from realtime.demo.member import LEASE
from realtime.demo.routes import HEADER

from ..brokers.servers import Server, available, settled
from ..patience import arrives, eventually, within

TRANSPORTS = ("websocket", "sse", "long_polling", "polling")
GUARD = {HEADER: "1"}
PAGE = "0123abcd"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests here, which has been there for a lease."""
    if not available():
        pytest.skip("redis-server is not installed")
    server = Server(tmp_path_factory.mktemp("redis"), "--save", "").start()
    settled(server, LEASE)
    yield server
    server.kill()


class Listener:
    """A client in the room, one session after the other."""

    def __init__(self, url: str, transport: str) -> None:
        self.numbers: list[int] = []
        self.workers: list[int] = []  # of its sessions
        ways = ["sse", "polling"] if transport == "sse" else [transport]  # no cursor stands in a URL
        self._sessions = realtime.connect(f"{url}?lane={PAGE}-{transport}", transports=ways)
        self.task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        sessions = aiter(self._sessions)
        async with contextlib.aclosing(sessions):
            async for session in sessions:
                async for message in session:
                    text = str(message)
                    if text.startswith("{"):
                        self.workers.append(json.loads(text)["worker"])
                    else:
                        self.numbers.append(int(text.removeprefix("1.")))


@contextlib.asynccontextmanager
async def listening(several: Several) -> AsyncIterator[list[Listener]]:
    """A client for each transport, that has heard something."""
    urls = [f"http://127.0.0.1:{port}/realtime/ticks" for port in several.lanes]
    them = [Listener(url, name) for url, name in zip(urls, TRANSPORTS, strict=True)]
    try:
        await heard_by(them, 5)
        yield them
    finally:
        for one in them:
            one.task.cancel()
        await asyncio.gather(*(one.task for one in them), return_exceptions=True)


async def heard_by(them: list[Listener], more: int) -> None:
    """Each hears so many ticks from now on, and none was lost, repeated or reordered."""
    before = [len(one.numbers) for one in them]
    async with within("all hear ticks"):
        while any(len(one.numbers) < count + more for one, count in zip(them, before, strict=True)):
            for one in them:
                if one.task.done():
                    one.task.result()
            await asyncio.sleep(0.02)
    for one in them:
        assert one.numbers == list(range(one.numbers[0], one.numbers[0] + len(one.numbers)))


async def test_a_worker_is_killed_and_comes_back_and_the_room_goes_on(redis: Server) -> None:
    asyncio.get_running_loop().set_debug(False)
    several = Several(3, redis.url, transports=TRANSPORTS, tick=0.1, pause=0.3)
    async with several, aiohttp.ClientSession() as http, listening(several) as them:
        origin = f"http://127.0.0.1:{several.port}"

        async def told() -> dict[str, Any]:
            async with http.get(f"{origin}/demo/crew", params={"page": PAGE}) as response:
                assert response.status == 200
                answer: dict[str, Any] = await response.json()
                return answer

        async with within("all sessions are told of, and requests that were carried"):
            while True:
                now = await told()
                workers = now["workers"]
                if sum(one.get("sessions", 0) for one in workers) == 4 and any(one.get("carried") for one in workers):
                    break
                await asyncio.sleep(0.05)
        assert [one["number"] for one in workers] == [1, 2, 3]
        assert all(one["up"] for one in workers)
        assert set(now["answered"]) == set(TRANSPORTS)
        victim = them[0].workers[-1]
        pid = workers[victim - 1]["pid"]
        lost = [(one, len(one.workers)) for one in them if one.workers[-1] == victim]
        async with http.post(f"{origin}/demo/crew/{victim}/kill", headers=GUARD) as response:
            assert (response.status, await response.json()) == (200, {"pid": pid})
        await eventually(lambda: all(len(one.workers) > count for one, count in lost))
        await heard_by(them, 5)
        await eventually(lambda: several.crew.members[victim - 1].child.starts == 2)
        await eventually(lambda: several.crew.members[victim - 1].up)
        again = (await told())["workers"][victim - 1]
        assert again["pid"] != pid
        assert (again["starts"], again["up"]) == (2, True)
        await heard_by(them, 5)
    assert not any(member.child.pid for member in several.crew.members)


async def test_who_may_kill(redis: Server, fresh: None) -> None:
    async with Several(2, redis.url, transports=TRANSPORTS) as several, aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{several.port}/demo/crew/%s/kill"
        for number, headers, status in (
            ("1", {}, 403),
            ("1", {**GUARD, "Host": "rebound.example"}, 403),
            ("1", {**GUARD, "X-Forwarded-For": "192.0.2.1"}, 403),
            ("3", GUARD, 404),
        ):
            async with http.post(url % number, headers=headers) as response:
                assert response.status == status
                assert (await response.json())["error"]
        assert [member.child.starts for member in several.crew.members] == [1, 1]
        assert all(member.up for member in several.crew.members)
        async with http.get(f"http://127.0.0.1:{several.port}/", headers={"Accept": "text/html"}) as response:
            assert f"http://127.0.0.1:{several.lanes[-1]} " in response.headers["Content-Security-Policy"]
            assert "crew.js" in await response.text()
        async with http.get(f"http://127.0.0.1:{several.port}/") as response:
            assert f"realtime connect http://127.0.0.1:{several.lanes[0]}/realtime/ticks" in await response.text()


async def test_two_demos_over_one_broker_know_nothing_of_each_other(redis: Server) -> None:
    one = Several(2, redis.url, transports=("websocket",), tick=0.1)
    other = Several(2, redis.url, transports=("websocket",), tick=0.1)
    async with other, one:
        url = f"http://127.0.0.1:{one.lanes[0]}/realtime/ticks"
        async with realtime.connect(url) as session:
            first, *ticks = [str(await arrives(session.receive())) for _ in range(4)]
    assert json.loads(first)["worker"] in (1, 2)
    numbers = [int(text.removeprefix("1.")) for text in ticks]
    assert numbers == list(range(numbers[0], numbers[0] + 3))


async def test_without_a_broker_that_answers_it_does_not_start(unused_tcp_port: int) -> None:
    with pytest.raises(realtime.BrokerError):
        async with Several(2, f"redis://127.0.0.1:{unused_tcp_port}"):
            pass


class Named:
    """A server that says its name to whoever connects, then what it hears."""

    def __init__(self, name: bytes) -> None:
        self.busy = 0
        self._name = name
        self.server: asyncio.Server

    async def start(self) -> int:
        """Listens, at the port that it returns."""
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self.server.sockets[0].getsockname()[1]
        return port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.busy += 1
        with contextlib.suppress(ConnectionError):
            writer.write(self._name)
            while data := await reader.read(100):
                writer.write(data)
        writer.transport.abort()
        self.busy -= 1


async def test_the_balancer_takes_turns_and_passes_over_who_is_dead() -> None:
    servers = [Named(name) for name in (b"a", b"b", b"c")]
    ports = [await server.start() for server in servers]
    sockets = await bind("127.0.0.1", 0)
    living = list(ports)
    balancer = Balancer(sockets, lambda: living)
    await balancer.start()

    async def asked() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", sockets[0].getsockname()[1])
        name = await arrives(reader.read(1))
        if name:
            writer.write(b"echo")
            assert await arrives(reader.readexactly(4)) == b"echo"
        writer.transport.abort()
        return name

    try:
        assert sorted([await asked() for _ in range(3)]) == [b"a", b"b", b"c"]
        servers[1].server.close()  # nobody has noticed yet
        assert {await asked() for _ in range(6)} == {b"a", b"c"}
        living.clear()
        assert await asked() == b""
    finally:
        await balancer.aclose()
        for each in servers:
            each.server.close()
        await eventually(lambda: not any(each.busy for each in servers))
        for one in sockets:
            one.close()
