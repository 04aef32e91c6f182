"""A worker that dies with an answer in its hands: a proxy makes the poll again at another worker, word by word."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ..lab.boxes import NGINX, documented, running
from ..patience import arrives, eventually
from .fleet import Fleet, fleet
from .test_protocols import ask, opened
from .workers import Worker

CLIENTS = pytest.mark.parametrize("client", ["engineio 4", "engineio 3", "jsonp", "xhr"])
BASE = "/realtime/echo/0/name"


class Client:
    """A client of either protocol that polls, by hand."""

    def __init__(self, one: Fleet, kind: str) -> None:
        self.one = one
        self.kind = kind
        self.base = ""
        self._referer: dict[str, Any] = {"headers": {"Referer": f"{one.url}/page"}}

    def through(self, one: Fleet) -> None:
        """From now on."""
        self.one = one
        self._referer = {"headers": {"Referer": f"{one.url}/page"}}

    async def open(self) -> Worker:
        """Its session's worker."""
        if self.kind.startswith("engineio"):
            self.base = await opened(self.one, int(self.kind[-1]))
        else:
            assert (await ask(self.one, "POST", f"{BASE}/xhr"))[0] == 200
        return self.one.owner(await arrives(self.one.sessions.get()))

    async def send(self, text: str) -> None:
        """A message, which comes back."""
        if self.kind.startswith("engineio"):
            said = f"4{text}" if self.kind[-1] == "4" else f"{len(text) + 1}:4{text}"
            assert await ask(self.one, "POST", f"{self.base}polling", said) == (200, "ok")
        else:
            assert await ask(self.one, "POST", f"{BASE}/xhr_send", json.dumps([text])) == (204, "")

    async def poll(self, mark: str) -> str:
        """What comes to a poll with something of its own in its URL."""
        if self.kind.startswith("engineio"):
            answer = await ask(self.one, "GET", f"{self.base}polling&t={mark}")
        elif self.kind == "jsonp":
            answer = await ask(self.one, "GET", f"{BASE}/jsonp?c={mark}", **self._referer)
        else:
            answer = await ask(self.one, "POST", f"{BASE}/xhr?t={mark}")
        assert answer[0] == 200
        return answer[1]


async def gone(victim: Worker, owner: Worker) -> None:
    """A worker is killed, and the one with the session knows it."""
    victim.kill()
    await eventually(
        lambda: all(hop.is_closing() for hop, worker in owner.inner._from.items() if worker == victim.name)
    )


async def killed(one: Fleet, victim: Worker, owner: Worker, heir: Worker) -> None:
    """A worker is killed, the one with the session knows it, and all comes by a third."""
    await gone(victim, owner)
    one.from_now_on(heir)


@CLIENTS
@pytest.mark.parametrize("straight", [False, True], ids=["by a third", "by its own"])
async def test_what_a_worker_took_along_is_said_again(client: str, straight: bool) -> None:
    async with fleet() as one:
        visitor = Client(one, client)
        owner = await visitor.open()
        victim, heir = [worker for worker in one.workers if worker is not owner]
        one.from_now_on(victim)
        await visitor.send("one")
        lost = await visitor.poll("first")
        assert "one" in lost
        await killed(one, victim, owner, owner if straight else heir)
        assert await visitor.poll("first") == lost
        if not straight:
            await killed(one, heir, owner, owner)
            assert await visitor.poll("first") == lost  # that was lost, too
        await visitor.send("two")
        heard = await visitor.poll("second")
        assert "two" in heard
        assert "one" not in heard


@CLIENTS
async def test_a_poll_that_looks_the_same_is_another_while_the_worker_lives(client: str) -> None:
    """Some clients put only the second into it."""
    async with fleet() as one:
        visitor = Client(one, client)
        owner = await visitor.open()
        one.from_now_on(one.other(owner))
        for text in ("one", "two"):
            await visitor.send(text)
            assert text in await visitor.poll("same")


@CLIENTS
async def test_a_poll_that_looks_different_is_another(client: str) -> None:
    async with fleet() as one:
        visitor = Client(one, client)
        owner = await visitor.open()
        victim, heir = [worker for worker in one.workers if worker is not owner]
        one.from_now_on(victim)
        await visitor.send("one")
        assert "one" in await visitor.poll("first")
        await killed(one, victim, owner, heir)
        polling = asyncio.create_task(visitor.poll("second"))
        await visitor.send("two")
        heard = await arrives(polling)
        assert "two" in heard
        assert "one" not in heard
        await visitor.send("three")
        assert "three" in await visitor.poll("first")  # of what was said before nothing is kept


async def test_what_says_nothing_of_its_own_is_never_taken_for_another() -> None:
    async with fleet() as one:
        visitor = Client(one, "engineio 4")
        owner = await visitor.open()
        victim, heir = [worker for worker in one.workers if worker is not owner]
        one.from_now_on(victim)
        await visitor.send("one")
        assert await ask(one, "GET", f"{visitor.base}polling") == (200, "4one")
        await killed(one, victim, owner, heir)
        await visitor.send("two")
        assert await ask(one, "GET", f"{visitor.base}polling") == (200, "4two")


class Behind(Fleet):
    """The same workers, as a proxy gives requests to them."""

    def __init__(self, one: Fleet, url: str) -> None:
        super().__init__(one.workers, one.balancer, one.http)
        self._url = url

    @property
    def url(self) -> str:
        """The proxy's address."""
        return self._url


class LastAnswer:
    """The way to a worker that dies with the first answer in its hands: before the proxy has a byte of that, and when
    the worker with the session knows it."""

    def __init__(self, victim: Worker, owner: Worker) -> None:
        self._victim, self._owner = victim, owner
        self.answer = b""
        self.port = 0

    @contextlib.asynccontextmanager
    async def stands(self) -> AsyncIterator[None]:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        async with self._server:
            yield

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            there, back = await asyncio.open_connection("127.0.0.1", self._victim.port)
            with contextlib.closing(back):
                back.write(request)
                while b"one" not in self.answer and (more := await there.read(65_536)):
                    self.answer += more
            self._server.close()
            await gone(self._victim, self._owner)
        finally:
            writer.transport.abort()


@pytest.mark.parametrize("client", ["engineio 4", "engineio 3", "jsonp"])
async def test_nginx_makes_a_poll_again_at_another_worker(client: str, tmp_path: Path) -> None:
    """By itself: a GET may be made again. The configuration is that of the documents, with two workers."""
    async with fleet() as one:
        visitor = Client(one, client)
        owner = await visitor.open()
        victim, heir = [worker for worker in one.workers if worker is not owner]
        way = LastAnswer(victim, owner)
        async with way.stands():
            servers = f"server 127.0.0.1:{way.port};\n    server 127.0.0.1:{heir.port} backup;"
            config = documented("nginx").replace("server 127.0.0.1:@UPSTREAM@;", servers)
            config = config.replace("location /realtime/", "location /")  # Engine.IO is at a place of its own
            await visitor.send("one")
            async with running("nginx", NGINX.replace("@SERVER@", config), tmp_path) as url:
                visitor.through(Behind(one, url))
                assert "one" in await visitor.poll("first")
                assert b"one" in way.answer  # it was in the victim's hands
                await visitor.send("two")
                heard = await visitor.poll("second")
        assert "two" in heard
        assert "one" not in heard
