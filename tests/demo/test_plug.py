"""A visitor's panel: its faults are its own, nothing is lost by them, and its server can be killed."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web

import realtime
from realtime.demo import Demo, Store, plug, store
from realtime.demo.plug import FAULTS
from realtime.demo.routes import is_local
from realtime.demo.visitors import Visitors
from realtime.testing import VirtualClock

from .conftest import PATIENCE, Page

TO_ALL = ("block_websocket", "kill_websocket", "hold_streams", "drop_replies", "repeat_posts")


class Numbered:
    """The page's half of a panel's session."""

    def __init__(self, session: realtime.ClientSession) -> None:
        self.session = session
        self.number = 0

    async def exchange(self, count: int) -> dict[str, int]:
        """Sends so many messages, waits until the server has them all, and returns what it counted."""
        for _ in range(count):
            self.number += 1
            await self.session.send(json.dumps({"n": self.number, "pace": None}))
        heard = getattr(self, "_heard", 0)
        while True:
            told = json.loads(await self.session.receive())
            heard += 1
            assert told["n"] == heard
            self._heard = heard
            if told["up"]["received"] >= self.number:
                counts: dict[str, int] = told["up"]
                return counts


async def panel(page: Page) -> tuple[dict[str, Any], str]:
    """A panel, and the address of its endpoint."""
    status, given = await page.post("/demo/plug")
    assert status == 200, given
    return given, page.at(given["port"], given["path"])


@pytest.mark.parametrize("fault", [*TO_ALL, "cut"])
async def test_no_fault_loses_repeats_or_reorders_anything(
    page: Page, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plug, "CUT_SECONDS", 1.0)
    given, url = await panel(page)
    action = f"/demo/plug/{given['token']}/{fault}"
    async with asyncio.timeout(2 * PATIENCE):
        session = await realtime.connect(url)
        numbered = Numbered(session)
        await numbered.exchange(3)
        assert session.transport == "websocket"
        status, told = await page.post(f"{action}?on=1")
        assert (status, told["faults"]) == (200, [fault])
        counts = await numbered.exchange(20)
        assert counts == {"received": 23, "lost": 0, "repeated": 0, "reordered": 0}
        if fault != "cut":
            assert session.transport != "websocket"
            session.network_changed()  # so a WebSocket is tried again at once
            while not told["fired"][fault]:
                await numbered.exchange(1)
                await asyncio.sleep(0.1)
                _, told = await page.get(f"/demo/plug/{given['token']}")
            _, told = await page.post(f"{action}?on=0")
            assert told["faults"] == []
            assert told["fired"][fault] > 0
        await numbered.exchange(3)
        await session.close()


async def test_one_visitors_faults_do_not_touch_anothers(page: Page) -> None:
    (mine, url), (_, other_url) = await panel(page), await panel(page)
    async with asyncio.timeout(PATIENCE):
        session, other = await realtime.connect(url), await realtime.connect(other_url)
        changes: list[str] = []
        other.on_change(changes.append)
        numbered, others = Numbered(session), Numbered(other)
        await numbered.exchange(1)
        await others.exchange(1)
        await page.post(f"/demo/plug/{mine['token']}/block_websocket?on=1")
        await numbered.exchange(5)
        await page.post(f"/demo/plug/{mine['token']}/restart")
        await session.wait_closed()
        await others.exchange(5)
        assert other.transport == "websocket"
        assert changes == []
        await other.close()


async def test_the_server_process_is_really_killed_and_comes_back_on_its_port(
    page: Page, fresh: None, capfd: pytest.CaptureFixture[str]
) -> None:
    given, url = await panel(page)
    assert given["restart"] is True
    _, before = await page.get(f"/demo/plug/{given['token']}")
    async with asyncio.timeout(PATIENCE):
        session = await realtime.connect(url)
        await Numbered(session).exchange(3)
        status, after = await page.post(f"/demo/plug/{given['token']}/restart")
        assert status == 200
        assert after["pid"] != before["pid"]
        assert after["starts"] == before["starts"] + 1
        await session.wait_closed()
        assert session.close_code == 4404
        async with realtime.connect(url) as again:
            assert (await Numbered(again).exchange(3))["received"] == 3
    # What was asked for is not complained of in the terminal.
    assert capfd.readouterr().err == ""


async def test_over_a_store_the_session_outlives_the_server_process(capfd: pytest.CaptureFixture[str]) -> None:
    async with Store() as broker:
        if broker is None:
            pytest.skip("no redis-server here")
        async with Demo(broker=broker) as demo, aiohttp.ClientSession() as http:
            page = Page(demo, http)
            given, url = await panel(page)
            assert given["durable"] is True
            _, before = await page.get(f"/demo/plug/{given['token']}")
            async with asyncio.timeout(2 * PATIENCE):
                session = await realtime.connect(url)
                assert session.durable
                numbered = Numbered(session)
                await numbered.exchange(3)
                for restarts in (1, 2):
                    _, after = await page.post(f"/demo/plug/{given['token']}/restart")
                    assert after["pid"] != before["pid"]
                    counts = await numbered.exchange(3)
                    assert counts == {"received": 3 + 3 * restarts, "lost": 0, "repeated": 0, "reordered": 0}
                await session.close()
            # A panel for somebody elsewhere has no process of its own, and nothing outlives it.
            status, told = await page.post("/demo/plug", Host="demo.example")
            assert (status, told["durable"]) == (200, False)
            await demo.end_sessions()
    assert capfd.readouterr().err == ""


async def test_a_store_of_the_demos_own_ends_with_it_and_none_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Store() as broker:
        if broker is None:
            pytest.skip("no redis-server here")
        path = broker.removeprefix("unix://")
        mode = os.stat(path).st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o700
    with pytest.raises(FileNotFoundError):
        os.stat(path)
    monkeypatch.setattr(store, "SERVERS", ("false",))  # ends at once
    async with Store() as broker:
        assert broker is None
    monkeypatch.setattr(store, "SERVERS", ("no-such-server",))
    async with Store() as broker:
        assert broker is None


async def test_the_demos_store_ends_however_the_demo_does() -> None:
    program = (
        "import asyncio\nfrom realtime.demo import Store\n\n"
        "async def main():\n    async with Store() as broker:\n        print(broker, flush=True)\n"
        "        await asyncio.Event().wait()\n\nasyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    broker = (await process.stdout.readline()).decode().strip()
    process.kill()
    await process.wait()
    if broker == "None":
        pytest.skip("no redis-server here")
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                _, writer = await asyncio.open_unix_connection(broker.removeprefix("unix://"))
            except OSError:
                break  # nobody listens any more
            writer.close()
            await asyncio.sleep(0.05)


async def test_panels_are_bounded_and_given_back(page: Page) -> None:
    tokens = []
    while True:
        # Without a name of this machine there is no process to start.
        status, told = await page.post("/demo/plug", Host="demo.example")
        if status != 200:
            break
        assert told["restart"] is False
        tokens.append(told["token"])
    assert (status, len(tokens)) == (503, 6)
    assert "come back" in told["error"]
    await page.post(f"/demo/plug/{tokens[0]}/block_websocket?on=1")
    assert await page.post(f"/demo/plug/{tokens[0]}/leave") == (200, {})
    assert (await page.get(f"/demo/plug/{tokens[0]}"))[0] == 404
    # Who comes next finds a network without faults.
    _, told = await page.post("/demo/plug", Host="demo.example")
    async with asyncio.timeout(PATIENCE):
        async with realtime.connect(page.at(told["port"], told["path"])) as session:
            await Numbered(session).exchange(2)
            assert session.transport == "websocket"


async def test_what_may_not_be_done(page: Page) -> None:
    given, _ = await panel(page)
    path = f"/demo/plug/{given['token']}"
    assert (await page.post(f"{path}/restart", Host="demo.example"))[0] == 403
    assert (await page.post(f"{path}/restart", **{"X-Forwarded-For": "192.0.2.1"}))[0] == 403
    status, told = await page.post(f"{path}/nonsense")
    assert status == 404
    assert all(fault in told["error"] for fault in FAULTS)
    assert (await page.post("/demo/plug/nobody/cut"))[0] == 404
    assert (await page.post(f"{path}/mend"))[0] == 200


async def test_a_panel_without_a_process_has_nothing_to_restart(page: Page) -> None:
    _, given = await page.post("/demo/plug", Host="demo.example")
    status, told = await page.post(f"/demo/plug/{given['token']}/restart")
    assert status == 503
    assert "no server process of its own" in told["error"]


@pytest.mark.parametrize(
    ("remote", "host", "headers", "local"),
    [
        ("127.0.0.1", "127.0.0.1:8080", {}, True),
        ("127.0.0.1", "localhost:8080", {}, True),
        ("::1", "[::1]:8080", {}, True),
        ("::ffff:127.0.0.1", "localhost", {}, True),
        ("192.0.2.1", "127.0.0.1:8080", {}, False),
        ("127.0.0.1", "rebound.example:8080", {}, False),
        ("127.0.0.1", "127.0.0.1.rebound.example", {}, False),
        ("127.0.0.1", "localhost", {"Forwarded": "for=192.0.2.1"}, False),
        ("127.0.0.1", "localhost", {"X-Forwarded-For": "192.0.2.1"}, False),
        (None, "localhost", {}, False),
    ],
)
def test_who_is_local(remote: str | None, host: str, headers: dict[str, str], local: bool) -> None:
    request = cast("web.Request", SimpleNamespace(remote=remote, host=host, headers=headers))
    assert is_local(request) is local


class Guest:
    """A visitor who notes that it had to leave."""

    def __init__(self) -> None:
        self.left = False

    async def aclose(self) -> None:
        self.left = True


async def test_who_is_idle_is_forgotten() -> None:
    clock = VirtualClock()
    visitors: Visitors[Guest] = Visitors(clock, limit=2, idle=100.0)
    ada, grace = Guest(), Guest()
    visitors.add("ada", ada)
    visitors.add("grace", grace)
    assert visitors.full
    clock.advance(60)
    assert visitors.get("ada") is ada
    clock.advance(60)
    await visitors.sweep()
    assert (ada.left, grace.left, len(visitors)) == (False, True, 1)
    assert visitors.get("grace") is None
    await visitors.aclose()
    assert ada.left
