"""Every example in examples/ runs. (Those of the README: tests/test_readme.py.)"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.util
import json
import os
import pwd
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
import socketio
from aiohttp import ClientSession, CookieJar
from redis.asyncio import Redis

import realtime
from realtime.testing import Clients

from .packages import installed
from .patience import arrives, eventually, within

ROOT = Path(__file__).parents[1]


def load(name: str) -> Any:
    """An example as a fresh module."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
async def client() -> AsyncIterator[Clients]:
    async with Clients() as clients:
        yield clients


def test_every_example_is_listed() -> None:
    examples = {path.name for path in (ROOT / "examples").iterdir() if path.suffix in (".py", ".html") or path.is_dir()}
    examples.discard("__pycache__")
    listed = re.findall(r"^\| \[`([^`]+)`\]\(([^)]+)\)", (ROOT / "examples" / "README.md").read_text("utf-8"), re.M)
    assert all(name == link.partition("/")[0] for name, link in listed)
    assert all((ROOT / "examples" / link).is_file() for _, link in listed)
    assert sorted(name for name, _ in listed) == sorted(examples)


def test_every_example_has_a_test_and_says_how_to_run_it() -> None:
    tests = Path(__file__).read_text("utf-8")
    for path in (ROOT / "examples").glob("*.py"):
        assert f'load("{path.stem}")' in tests, f"{path.name} has no test"
        assert f"python examples/{path.name}" in (load(path.stem).__doc__ or ""), f"{path.name}: how is it run?"


# -- the servers -----------------------------------------------------------------------------------------------------


async def test_echo(client: Clients) -> None:
    session = await client(load("echo").make_app(), "/realtime/echo")
    await session.send("hello")
    assert await session.receive() == "hello"


async def test_chat(client: Clients) -> None:
    app = load("chat").make_app()
    ada = await client(app, "/realtime/chat?name=Ada")
    assert await ada.receive() == "* Ada has joined"
    grace = await client(app, "/realtime/chat?name=Grace", transports=["polling"])
    assert await ada.receive() == await grace.receive() == "* Grace has joined"
    await grace.send("hello")
    assert await ada.receive() == await grace.receive() == "Grace: hello"
    await grace.close()
    assert await ada.receive() == "* Grace has left"


async def test_chat_has_rooms(client: Clients) -> None:
    app = load("chat").make_app()
    ada = await client(app, "/realtime/chat?name=Ada")
    alan = await client(app, "/realtime/chat?name=Al%0Aan%07&room=attic")
    assert await ada.receive() == "* Ada has joined"
    assert await alan.receive() == "* Al an has joined"
    await alan.send("nobody\nhears\x1b[2J this")
    assert await alan.receive() == "Al an: nobody hears [2J this"
    await ada.send("nor this")
    assert await ada.receive() == "Ada: nor this"


async def test_ticker_tells_a_slow_reader_what_it_missed(client: Clients, capsys: pytest.CaptureFixture[str]) -> None:
    ticker = load("ticker")
    app = ticker.make_app(pause=3600)
    session = await client(app, "/realtime/ticker", max_queue=16)
    await eventually(lambda: len(ticker.ticks))
    for number in range(2, 1002):  # far more than both ends keep, in one turn of the loop
        await ticker.ticks.send(f"tick {number}")
    await ticker.rt.drain(delay=0)
    await ticker.read(session, pause=0)
    lines = capsys.readouterr().out.splitlines()
    missed = sum(int(found[1]) for line in lines if (found := re.fullmatch(r"\((\d+) lines missed\)", line)))
    numbers = [int(line.removeprefix("tick ")) for line in lines if line.startswith("tick ")]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 1001  # what is dropped is old
    assert missed > 900
    assert len(numbers) + missed >= 1000  # the first tick may have come before the reader


@pytest.mark.parametrize("reloads", [0, 1, 12])
async def test_readers_of_a_job_come_again(client: Clients, monkeypatch: pytest.MonkeyPatch, reloads: int) -> None:
    """Whether it runs meanwhile or has ended, each has every line once, and it has run once."""
    example = load("streamed_job")
    monkeypatch.setattr(example, "LINES", 60)
    url = str((await client.server(example.make_app(pause=0.001))).make_url("/realtime/jobs?job=nightly"))
    async with within():
        assert await example.readers(url, 3, 3 * reloads)
        assert await example.readers(url, 1, reloads)  # who comes late has them all, too
    assert example.runs == {"nightly": 1}


async def test_a_job_ends_with_its_application() -> None:
    """It is cancelled, and not told by the server that its room is no more."""
    example = load("streamed_job")
    async with within(), Clients() as clients:
        await (await clients(example.make_app(pause=0), "/realtime/jobs?job=nightly")).receive()
        (task,) = example.tasks
    assert task.cancelled()


async def test_existing_app(client: Clients) -> None:
    example = load("existing_app")
    app = example.make_app()
    server = await client.server(app)
    origin = {"Origin": str(server.make_url("/")).rstrip("/")}  # as a browser says it: cookies count
    with pytest.raises(realtime.NegotiationError, match="sign in first"):
        await client(app, "/realtime/notes", headers=origin)

    @contextlib.asynccontextmanager
    async def signed_in(user: str, password: str) -> AsyncIterator[ClientSession]:
        async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as http:  # unsafe: the host is a number here
            form = {"user": user, "password": password}
            async with http.post(server.make_url("/login"), data=form) as response:
                assert response.status == 200
                assert f"You are {user}" in await response.text()
            yield http

    async with ClientSession() as stranger:
        for form in ({"user": "ada", "password": "hopper"}, {"user": "bob", "password": ""}, {}):
            async with stranger.post(server.make_url("/login"), data=form) as response:
                assert response.status == 403

    async with signed_in("ada", "lovelace") as ada, signed_in("grace", "hopper") as grace:
        first = await client(app, "/realtime/notes", headers=origin, http=ada)
        second = await client(app, "/realtime/notes", headers=origin, http=ada, transports=["long_polling"])
        other = await client(app, "/realtime/notes", headers=origin, http=grace)
        await first.send("to myself")
        assert await first.receive() == await second.receive() == "to myself"
        async with ada.post(server.make_url("/logout")) as response:
            assert "Sign in" in await response.text()
        for session in (first, second):
            await session.wait_closed()
            assert (session.close_code, session.close_reason) == (4401, "signed out")
        await other.send("still here")
        assert await other.receive() == "still here"
        with pytest.raises(realtime.NegotiationError, match="sign in first"):
            await client(app, "/realtime/notes", headers=origin, http=ada)
        await other.close()  # as long as it has what it sends with


async def test_existing_app_has_a_limit_for_each_user(client: Clients) -> None:
    example = load("existing_app")
    app = example.make_app()
    example.SIGNED_IN["a-cookie"] = "ada"
    headers = {"Origin": str((await client.server(app)).make_url("/")).rstrip("/"), "Cookie": "login=a-cookie"}
    for _ in range(10):
        await client(app, "/realtime/notes", headers=headers, transports=["polling"])
    with pytest.raises(realtime.NegotiationError, match="4429"):
        await client(app, "/realtime/notes", headers=headers, open_timeout=0.5)


async def test_push(client: Clients) -> None:
    example = load("push")
    app = example.make_app(pause=3600)
    server = await client.server(app)
    ada = await client(app, "/realtime/news")
    await eventually(lambda: len(example.rt.room("readers")))
    async with ClientSession() as http, http.post(server.make_url("/news"), data="the build is green") as response:
        assert response.status == 202
    assert await ada.receive() == "the build is green"  # the clock ticked before


async def test_push_from_the_background(client: Clients) -> None:
    ada = await client(load("push").make_app(pause=0.01), "/realtime/news")
    assert re.fullmatch(r"it is \d\d:\d\d:\d\d", str(await ada.receive()))


@pytest.fixture
async def redis_address(tmp_path: Path) -> AsyncIterator[str]:
    """A Redis of the test's own, at a socket in its folder."""
    path = tmp_path / "redis"
    command = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(tmp_path)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
    try:
        await eventually(path.exists)
        yield f"unix://{path}"
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server: sh .ci/boxes")
async def test_redis_feed(redis_address: str, client: Clients) -> None:
    ada = await client(load("redis_feed").make_app(redis_address), "/realtime/news")
    async with Redis.from_url(redis_address) as redis, within():
        while await redis.publish("news", "too early") == 0:  # noqa: ASYNC110 until the example has subscribed
            await asyncio.sleep(0.01)
        await redis.publish("news", "the build is green")
    assert [await ada.receive(), await ada.receive()] == ["too early", "the build is green"]


# Debian has the server's programs beside the path.
POSTGRES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)), None)


class Postgres:
    """A PostgreSQL of the test's own, at a socket in its folder. It will not run as root: then it is the user postgres,
    who finds nothing in root's folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"postgresql://postgres@/postgres?host={folder}"
        self._user = "postgres" if os.geteuid() == 0 else None
        self._process: asyncio.subprocess.Process | None = None

    async def run(self, program: str, *arguments: str | Path) -> asyncio.subprocess.Process:
        assert POSTGRES is not None
        return await asyncio.create_subprocess_exec(
            POSTGRES.with_name(program),
            *("-D", self.folder / "data", *arguments),
            cwd=self.folder,
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user else None,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    async def start(self) -> None:
        self._process = await self.run("postgres", "-F", "-h", "", "-k", self.folder)
        async with within("until PostgreSQL answers"):
            while True:  # its socket is there before it takes connections
                with contextlib.suppress(OSError, asyncpg.CannotConnectNowError):
                    return await (await asyncpg.connect(self.address)).close()  # type: ignore[no-any-return]
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """Without waiting for who is connected."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGINT)
            await self._process.wait()


@pytest.fixture
async def postgres() -> AsyncIterator[Postgres]:
    """Not started yet."""
    home = pwd.getpwnam("postgres").pw_dir if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(dir=home, prefix="realtime-") as name:
        if home is not None:
            shutil.chown(name, "postgres", "postgres")
        server = Postgres(Path(name))
        made = await server.run("initdb", "-U", "postgres", "-A", "trust", "--no-sync", "--locale=C")
        assert await made.wait() == 0
        try:
            yield server
        finally:
            await server.stop()


@pytest.mark.skipif(POSTGRES is None, reason="needs PostgreSQL: sh .ci/boxes")
async def test_postgres_feed(postgres: Postgres, client: Clients) -> None:
    """Each change that is committed, in order; and whenever it begins to listen, that something may have changed."""
    example = load("postgres_feed")
    ada = await client(example.make_app(postgres.address), "/realtime/orders")

    async def change(*statements: str) -> None:
        connection = await asyncpg.connect(postgres.address)
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    async def told() -> tuple[str, int | None]:
        news = json.loads(await arrives(ada.receive(), "a notice"))
        return news["change"], news.get("id")

    await eventually(lambda: len(example.rt.room("readers")))
    await postgres.start()
    assert await told() == ("unknown", None)
    insert = "INSERT INTO orders (what) VALUES ('tea')"
    await change("BEGIN", insert, "ROLLBACK", insert, "UPDATE orders SET what = 'milk'", "DELETE FROM orders")
    assert [await told(), await told(), await told()] == [("insert", 2), ("update", 2), ("delete", 2)]
    await postgres.stop()
    await postgres.start()
    assert await told() == ("unknown", None)
    await change(insert)
    assert await told() == ("insert", 3)


# -- a project -------------------------------------------------------------------------------------------------------


async def test_own_project(tmp_path: Path) -> None:
    """Its tests, in a folder where nothing of this checkout is, with the wheel."""
    project = shutil.copytree(ROOT / "examples" / "own_project", tmp_path / "project")
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(installed()), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout


# -- the Python clients ----------------------------------------------------------------------------------------------


async def test_terminal_chat_as_a_program(client: Clients) -> None:
    app = load("chat").make_app()
    grace = await client(app, "/realtime/chat?name=Grace")
    assert await grace.receive() == "* Grace has joined"
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        ROOT / "examples" / "terminal_chat.py",
        str((await client.server(app)).make_url("/realtime/chat?name=Ada")),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert program.stdin is not None
    assert program.stdout is not None
    try:
        async with within():
            assert await grace.receive() == "* Ada has joined"
            assert (await program.stdout.readline()).startswith(b"* connected over ")
            assert await program.stdout.readline() == b"* Ada has joined\n"
            program.stdin.write("grüß dich\r\n".encode())
            assert await grace.receive() == "Ada: grüß dich"
            assert await program.stdout.readline() == "Ada: grüß dich\n".encode()
            await grace.send("hello")
            assert await program.stdout.readline() == b"Grace: hello\n"
            program.stdin.close()
            assert await grace.receive() == "Grace: hello"
            assert await grace.receive() == "* Ada has left"
            assert await program.stdout.read() == b"* closed with 1000 \n"
            assert await program.wait() == 0
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()


async def test_terminal_chat_says_what_may_be_lost(client: Clients, capsys: pytest.CaptureFixture[str]) -> None:
    example = load("terminal_chat")
    rt = realtime.Server()
    sessions = 0

    @rt.endpoint("/chat", max_queue=16)
    async def restless(session: realtime.Session) -> None:
        nonlocal sessions
        sessions += 1
        if sessions == 1:  # takes nothing, until its window is full
            await eventually(lambda: len(session._machine.inbox) == 16)
            await session.close(1013, "later")
        else:
            await session.send(f"again: {await session.receive()!s}")

    lines: asyncio.Queue[str | None] = asyncio.Queue()
    for number in range(20):
        lines.put_nowait(f"line {number}")
    chat = asyncio.create_task(example.chat(str((await client.server(rt)).make_url("/realtime/chat")), lines))
    await eventually(lambda: sessions == 2)
    lines.put_nowait("hello")
    async with within():
        await chat
    said = capsys.readouterr().out.splitlines()
    closed = said.index("* closed with 1013 later")
    assert said[closed - 4 : closed] == [f"* perhaps not received: line {number}" for number in range(16, 20)]
    assert said[closed + 1].startswith("* connected over ")
    assert said[closed + 2 :] == ["again: hello", "* closed with 1000 "]


@pytest.mark.parametrize("size", [0, 1, 65_536, 3_000_001])
async def test_upload(client: Clients, tmp_path: Path, size: int) -> None:
    example = load("upload")
    path = tmp_path / "file"
    path.write_bytes(random.Random(size).randbytes(size))
    url = str((await client.server(example.make_app())).make_url("/realtime/upload"))
    async with within():
        assert await example.run(url, path) == hashlib.sha256(path.read_bytes()).hexdigest()


async def test_upload_waits_for_a_slow_server(client: Clients, tmp_path: Path) -> None:
    """Back-pressure: of a file that nobody takes, only the window and the client's buffer are read."""
    example = load("upload")
    path = tmp_path / "file"
    path.write_bytes(bytes(100 * example.PIECE))
    pieces = 0

    def counted(path: Path) -> Iterator[bytes]:
        nonlocal pieces
        for piece in original(path):
            pieces += 1
            yield piece

    original, example.pieces = example.pieces, counted
    rt = realtime.Server()
    taking = asyncio.Event()

    @rt.endpoint("/upload", max_queue=16, max_queue_size=16 * example.PIECE)
    async def lazy(session: realtime.Session) -> None:
        await eventually(lambda: len(session._machine.inbox) >= 16)
        await taking.wait()
        await example.upload(session)

    url = str((await client.server(rt)).make_url("/realtime/upload"))
    running = asyncio.create_task(example.run(url, path))
    await eventually(lambda: pieces > 16)
    assert pieces < 50
    taking.set()
    async with within():
        assert await running == hashlib.sha256(path.read_bytes()).hexdigest()


async def test_upload_refuses_text(client: Clients) -> None:
    session = await client(load("upload").make_app(), "/realtime/upload")
    await session.send('{"size": 10}')
    await session.send("no bytes")
    await session.wait_closed()
    assert session.close_code == 4000


# -- the pages -------------------------------------------------------------------------------------------------------

PAGES = {"chat": "/", "legacy": "/legacy", "existing_app": "/", "upload": "/"}


async def page(client: Clients, name: str) -> str:
    """A page as it is served."""
    example = load("chat" if name == "legacy" else name)
    server = await client.server(example.make_app())
    headers = {}
    if name == "existing_app":
        example.SIGNED_IN["a-cookie"] = "<ada>"
        headers["Cookie"] = "login=a-cookie"
    async with ClientSession() as http, http.get(server.make_url(PAGES[name]), headers=headers) as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        # No browser shows the page of one example at the address of another.
        assert "Last-Modified" not in response.headers or response.headers["Cache-Control"] == "no-cache"
        text = await response.text()
    (script,) = re.findall(r'<script[^>]* src="([^"]+)"', text)
    async with ClientSession() as http, http.get(server.make_url(script)) as response:
        assert response.status == 200
        assert "Realtime" in await response.text()
    return text


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_is_served_with_the_client(client: Clients, name: str) -> None:
    text = await page(client, name)
    assert "<ada>" not in text
    assert text.lower().startswith("<!doctype html")


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
@pytest.mark.parametrize("name", PAGES)
async def test_the_script_of_a_page_is_in_order(client: Clients, tmp_path: Path, name: str) -> None:
    (script,) = re.findall(r"<script(?: type=[^>]*)?>\n(.*?)</script>", await page(client, name), re.DOTALL)
    path = tmp_path / "script.js"
    path.write_text(script, "utf-8")
    check: list[str | Path] = ["node", "--check", path]
    if name == "legacy":  # ECMAScript 3 to the last token
        acorn = ROOT / "client-js" / "node_modules" / "acorn" / "bin" / "acorn"
        if not acorn.exists():
            pytest.skip("needs the packages of client-js: sh .ci/node")
        check = ["node", acorn, "--ecma3", "--silent", path]
    done = await asyncio.to_thread(subprocess.run, check, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


async def test_a_chat_of_events(
    client: Clients, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ada with our client, Bob with Socket.IO's, and Cyd in a terminal."""
    example = load("events_chat")
    app = example.make_app()
    base = str((await client.server(app)).make_url("")).rstrip("/")
    ada = await client(app, "/realtime/chat")
    told: list[tuple[Any, ...]] = []
    async with within():
        chat = ada.events(auth={"name": "ada"})
        chat.on("*")(lambda *event: told.append(event))
        await chat.ready()
        bob = socketio.AsyncClient(reconnection=False)
        bob.on("*", lambda *event: told.append(event))
        await bob.connect(base, auth={"name": "bob"}, wait_timeout=30)
        await eventually(lambda: len(told) == 3)
        assert sorted(told) == [("user joined", "bob"), ("users", ["ada"]), ("users", ["ada", "bob"])]
        assert await chat.call("new message", "hello") == 1
        assert await bob.call("private message", {"to": "ada", "text": "psst"}) is None
        assert await bob.call("private message", {"to": "eve", "text": "psst"}) == {
            "_error": "absent",
            "message": "eve is not here",
        }
        with pytest.raises(realtime.EventError, match=r"argument 1 \(message\)\.text is missing"):
            await chat.call("private message", {"to": "bob"})
        with pytest.raises(realtime.EventError, match="somebody has this name"):
            await (await client(app, "/realtime/chat")).events(auth={"name": "bob"}).ready()
        await eventually(lambda: len(told) == 5)
        assert sorted(told[3:]) == [("new message", "ada", "hello"), ("private message", "bob", "psst")]
        lines = iter(["hi\n", "\n"])
        monkeypatch.setattr(example.sys, "stdin", SimpleNamespace(readline=lambda: next(lines)))
        await example.talk("cyd", "eve", url=f"{base}/realtime/chat")
        assert capsys.readouterr().out == "(users: ['ada', 'bob', 'cyd'])\n(eve is not here)\n"
        await bob.disconnect()
        await eventually(lambda: ("user left", "bob") in told)


# -- STOMP -----------------------------------------------------------------------------------------------------------


async def test_stomp_greetings(client: Clients) -> None:
    example = load("stomp_greetings")
    app = example.make_app()
    example.stomp._port.port = 0
    server = await client.server(app)
    async with ClientSession() as http, asyncio.timeout(90):
        async with http.get(server.make_url("/")) as response:
            assert "new StompJs.Client" in await response.text()
        ws = await http.ws_connect(server.make_url("/greetings"), protocols=("v12.stomp",))
        await ws.send_str("CONNECT\naccept-version:1.2\n\n\0")
        assert (await ws.receive_str()).startswith("CONNECTED")
        await ws.send_str("SUBSCRIBE\nid:0\ndestination:/topic/greetings\n\n\0")
        reader, writer = await asyncio.open_connection(*example.stomp.addresses[0])
        writer.write(b'CONNECT\n\n\0SEND\ndestination:/app/hello\nreceipt:1\n\n{"name":" Ada "}\0')
        assert (await ws.receive_str()).endswith('\n\n{"content":"Hello, Ada!"}\0')
        assert b"receipt-id:1" in await reader.readuntil(b"receipt-id:1")
        writer.write(b"SEND\ndestination:/app/hello\n\n[]\0")
        assert b"say who you are" in await reader.read()
        writer.close()
        await ws.send_str("SEND\ndestination:/queue/work\n\nwash up\0")
        await ws.send_str("SUBSCRIBE\nid:1\ndestination:/queue/work\nack:client-individual\nprefetch-count:1\n\n\0")
        assert "wash up" in await ws.receive_str()
        await ws.send_str("SEND\ndestination:/topic/greetings\n\nx\0")
        assert "may not send to" in await ws.receive_str()


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
async def test_the_page_of_stomp_greetings_is_in_order(tmp_path: Path) -> None:
    text = (ROOT / "examples" / "stomp_greetings.html").read_text("utf-8")
    (script,) = re.findall(r"<script>\n(.*?)</script>", text, re.DOTALL)
    (tmp_path / "script.js").write_text(script, "utf-8")
    check: list[str | Path] = ["node", "--check", tmp_path / "script.js"]
    done = await asyncio.to_thread(subprocess.run, check, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


async def test_the_page_of_events_is_served(client: Clients, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With all that it asks for; where Socket.IO's client was not installed, that is said."""
    example = load("events_chat")
    server = await client.server(example.make_app())
    kinds = {".html": "html", ".css": "css", ".js": "javascript"}
    async with ClientSession() as http:
        for path, name in example.FILES.items():
            if "node_modules" in name:
                continue
            async with http.get(server.make_url(path)) as response:
                assert response.status == 200
                assert kinds[Path(name).suffix] in response.content_type
                text = await response.text()
            for asked in re.findall(r'(?:src=|href=|from )"(/[^"?]*)', text):
                if asked not in example.FILES:
                    async with http.get(server.make_url(asked)) as response:
                        assert response.status == 200, asked
        monkeypatch.setattr(example, "PAGE", tmp_path)
        async with http.get(server.make_url("/socket.io.js")) as response:
            assert response.status == 404
            assert "npm install" in await response.text()


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
async def test_the_scripts_of_the_page_of_events_are_in_order(tmp_path: Path) -> None:
    scripts = sorted((ROOT / "examples" / "events_page").glob("*.js"))
    assert len(scripts) == 3
    for script in scripts:
        path = tmp_path / f"{script.stem}.mjs"
        path.write_text(script.read_text("utf-8"), "utf-8")
        check: list[str | Path] = ["node", "--check", path]
        done = await asyncio.to_thread(subprocess.run, check, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr


async def test_who_comes_again_to_a_chat_of_events(client: Clients) -> None:
    """By the key that they had: the same person, of whom nobody has left. Typing is told to all, or to one."""
    app = load("events_chat").make_app()
    told: list[tuple[Any, ...]] = []

    async def come(name: str, key: str = "") -> Any:
        chat = (await client(app, "/realtime/chat")).events(auth={"name": name, **({"key": key} if key else {})})
        chat.on("*")(lambda *event: told.append((name, *event)))
        chat.on("disconnect")(lambda reason: told.append((name, reason)))
        await chat.ready()
        return chat

    ada = await come("ada", "secret")
    await eventually(lambda: told == [("ada", "users", ["ada"])])
    for key in ("", "another"):
        with pytest.raises(realtime.EventError, match="somebody has this name"):
            await come("ada", key)
    for name in ("", "a b", "a" * 25):
        with pytest.raises(realtime.EventError, match="one word of letters and digits"):
            await come(name)
    bob = await come("bob")
    with pytest.raises(realtime.EventError, match="somebody has this name"):
        await come("bob", "secret")  # who came without a key has none
    again = await come("ada", "secret")
    await eventually(lambda: ("ada", "io server disconnect") in told)
    assert ("bob", "user left", "ada") not in told
    assert told.count(("bob", "user joined", "ada")) == 0
    with pytest.raises(realtime.SessionClosed):
        await ada.emit("new message", "gone")
    told.clear()
    await again.emit("typing")
    await eventually(lambda: told == [("bob", "typing", "ada", True)])
    await again.emit("typing", True, "bob")
    await again.emit("typing", False, "nobody")
    for text in ("", "x" * 2001):
        for call in (again.call("new message", text), bob.call("private message", {"to": "ada", "text": text})):
            with pytest.raises(realtime.EventError, match="1 to 2,000"):
                await call
    await eventually(lambda: len(told) == 2)
    assert told == [("bob", "typing", "ada", True), ("bob", "typing", "ada", True, "to you alone")]


async def test_a_chat_whose_name_has_changed_hands_and_is_free_again(client: Clients) -> None:
    """Before the server has heard that the first who had it is gone."""
    example = load("events_chat")
    first, second = SimpleNamespace(data={"name": "ada"}), SimpleNamespace(data={"name": "ada"})
    example.here["ada"] = second
    for session in (second, first):
        await example.disconnect(session)
    assert not example.here
