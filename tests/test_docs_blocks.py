"""Every code block of docs/ and of npm's README is run, or says in a comment before it why not. (Ours: test_readme.)

BY_LANGUAGE and HOW name what runs a block: a function below, or the test file that does. A block that they do not know
fails, so that none is left out; `pytest -rP -k not_run` lists those that are not run.
"""

from __future__ import annotations

import ast
import asyncio
import functools
import inspect
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Awaitable, Callable
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import aiohttp
import engineio
import prometheus_client
import pytest
from aiohttp import web

import realtime
import realtime.metrics
from realtime.cli import main
from realtime.metrics import families
from realtime.testing import Clients

from .lab.boxes import DOCUMENT, documented
from .patience import arrives, within
from .reference.examples import EXAMPLES, PRELUDE

ROOT = Path(__file__).parents[1]
CLIENT = ROOT / "client-js"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
FENCE = re.compile(
    r"(?:^<!-- not run: (?P<why>[^\n]+) -->\n\n)?^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A code block. `why` says why it is not run."""

    page: str
    number: int  # among those of its page, from 0
    language: str
    text: str
    why: str


def blocks(page: Path) -> list[Block]:
    """Those of one document."""
    name = page.relative_to(ROOT).as_posix()
    return [
        Block(name, number, found["language"], textwrap.dedent(found["text"]), found["why"] or "")
        for number, found in enumerate(FENCE.finditer(page.read_text("utf-8")))
    ]


PAGES = [*sorted((ROOT / "docs").glob("*.md")), CLIENT / "README.md", ROOT / "examples" / "README.md"]
BLOCKS = {page.relative_to(ROOT).as_posix(): blocks(page) for page in PAGES}
GENERATED = "docs/python.md"  # from docstrings and tests/reference/examples.py


# -- Python ----------------------------------------------------------------------------------------------------------

Scene = Callable[[dict[str, Any], Clients], Awaitable[None]]


def space() -> dict[str, Any]:
    """What a block's reader has: an application, a server, the imports."""
    names = {"asyncio": asyncio, "aiohttp": aiohttp, "web": web, "realtime": realtime, "metrics": realtime.metrics}
    app, rt = web.Application(), realtime.Server()
    return {**names, "__name__": "page", "engineio": engineio, "app": app, "rt": rt}


async def served(names: dict[str, Any], client: Clients) -> str:
    """The address of the application, with the block's server in it."""
    try:
        realtime.get_server(names["app"])
    except realtime.LocalProtocolError:
        realtime.setup(names["app"], names["rt"])
    return str((await client.server(names["app"])).make_url("/")).rstrip("/")


async def sockjs(names: dict[str, Any], client: Clients) -> None:
    base = await served(names, client)
    async with aiohttp.ClientSession() as http, http.get(f"{base}/realtime/chat/info") as answer:
        assert (await answer.json())["websocket"] is True


async def stomp(names: dict[str, Any], client: Clients) -> None:
    base = await served(names, client)
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{base}/realtime/stomp", protocols=("v10.stomp", "v11.stomp")) as ws,
    ):
        assert ws.protocol == "v11.stomp"


async def engine_io(names: dict[str, Any], client: Clients) -> None:
    base = await served(names, client)
    async with aiohttp.ClientSession() as http, http.get(f"{base}/engine.io/?EIO=4&transport=polling") as answer:
        assert (await answer.text()).startswith("0{")


async def ticker(names: dict[str, Any], client: Clients) -> None:
    session = await client(names["rt"], "/realtime/ticker", transports="polling")
    await arrives(session.wait_closed(), "the end of a handler that does nothing")
    assert session.close_code == 1000


async def scraped(names: dict[str, Any], client: Clients) -> None:
    base = await served(names, client)
    async with aiohttp.ClientSession() as http, http.get(f"{base}/metrics") as answer:
        assert "realtime_rooms 0.0" in await answer.text()


async def rooms_of_all_workers(names: dict[str, Any], client: Clients) -> None:
    names["rt"]._service.broker = realtime.MemoryBroker()  # in place of the Redis at localhost
    ada = await client(names["rt"], "/realtime/chat")
    await ada.send("hello")
    assert await ada.receive() == "hello"
    assert ada.last.room == "chat/1"
    bob = await client(names["rt"], "/realtime/chat")
    assert await bob.receive() == "hello"


async def one_of_several(names: dict[str, Any], client: Clients) -> None:
    service = names["rt"]._service
    assert service.cluster.listen == "unix:/run/chat/"
    assert service.cluster.secrets == (b"drawn once by secrets.token_urlsafe(32)",)
    assert service.broker.url == "redis://localhost"


async def registered(names: dict[str, Any], client: Clients) -> None:
    assert names["REGISTRY"].get_sample_value("realtime_rooms") == 0


async def authorized(names: dict[str, Any], client: Clients) -> None:
    async def user_of(auth: object) -> SimpleNamespace | None:
        return SimpleNamespace(name="ada") if auth == "secret" else None

    async def hello(session: realtime.Session) -> None:
        await session.send(f"hello {session.identity}")

    names["user_of"] = user_of
    names["rt"].endpoint("/hello")(hello)
    session = await client(names["rt"], "/realtime/hello", auth="secret")
    assert await session.receive() == "hello ada"
    with pytest.raises(realtime.NegotiationError, match="log in first"):
        await client(names["rt"], "/realtime/hello")


async def four_left_out(names: dict[str, Any], client: Clients) -> None:
    async def hello(session: realtime.Session) -> None:
        await session.send("hello")

    names["rt"].endpoint("/hello")(hello)
    session = await client(names["rt"], "/realtime/hello", transports="long_polling")
    assert await session.receive() == "hello"
    with pytest.raises(realtime.NegotiationError):
        await client(names["rt"], "/realtime/hello", transports="sse", open_timeout=1)


async def nameless(names: dict[str, Any], client: Clients) -> None:
    base = await served(names, client)
    async with aiohttp.ClientSession() as http, http.get(f"{base}/realtime/client.js") as answer:
        assert answer.status == 200
        assert "Server" not in answer.headers


async def engine_io_echo(names: dict[str, Any], client: Clients) -> None:
    """By the other package's client: what is there before and after has to do the same for it."""
    base = str((await client.server(names["app"])).make_url("/")).rstrip("/")
    eio = engineio.AsyncClient()
    came: asyncio.Queue[str] = asyncio.Queue()
    eio.on("message", came.put_nowait)
    await eio.connect(base, engineio_path="engine.io")
    await eio.send("hello")
    assert await arrives(came.get(), "the echo") == "hello"
    await eio.disconnect()


async def sockjs_room(names: dict[str, Any], client: Clients) -> None:
    base = str((await client.server(names["app"])).make_url("/")).rstrip("/")
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{base}/sockjs/000/abc/websocket") as ws, within():
        assert await ws.receive_str() == "o"
        assert await ws.receive_str() == 'a["someone joined"]'
        await ws.send_str('["hello"]')
        assert await ws.receive_str() == 'a["hello"]'


async def chat_of_events(names: dict[str, Any], client: Clients) -> None:
    base = await served(names, client)
    url = f"{base}/socket.io/?EIO=4&transport=websocket"
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as bob, within():
        assert (await bob.receive_str()).startswith("0{")
        await bob.send_str("40")
        assert await bob.receive_str() == '44{"message":"who are you?","data":{"login":"/login"}}'
        await bob.send_str('40{"name":"bob"}')
        assert (await bob.receive_str()).startswith('40{"sid":')
        page = (ROOT / "docs" / "events.md").read_text("utf-8")
        exec(compile(FENCE.findall(page)[1][3], "docs/events.md, block 2", "exec"), names)
        await names["talk"](f"{base}/realtime/chat")
        assert await bob.receive_str() == '42["message","ada","hello"]'


async def stomp_greetings(names: dict[str, Any], client: Clients) -> None:
    base = await served(names, client)
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{base}/realtime/stomp", protocols=("v12.stomp",)) as ws,
        within(),
    ):
        assert ws.protocol == "v12.stomp"
        await ws.send_str("CONNECT\naccept-version:1.2\nlogin:ada\npasscode:secret\n\n\0")
        assert (await ws.receive_str()).startswith("CONNECTED\nversion:1.2\n")
        await ws.send_str("SUBSCRIBE\nid:0\ndestination:/topic/greetings\n\n\0")
        await ws.send_str('SEND\ndestination:/app/hello\n\n{"name":"Ada"}\0')
        assert (await ws.receive_str()).endswith('\n\n{"content":"Hello, Ada!"}\0')
        await ws.send_str("SEND\ndestination:/topic/greetings\n\nx\0")
        assert "may not send to" in await ws.receive_str()


async def talk_is_run_above(names: dict[str, Any], client: Clients) -> None:
    assert inspect.iscoroutinefunction(names["talk"])


# -- JavaScript and pages --------------------------------------------------------------------------------------------

WS = ROOT / "tests" / "compat" / "websocket" / "node_modules" / "ws" / "wrapper.mjs"  # Node has one since 22

# What is a page's and not Node's; it is left when its program ends.
PAGE = """globalThis.sessionStorage = { getItem: () => null, setItem: (key, text) => console.log(text) };
globalThis.addEventListener = (type, listener) => type === "pagehide" && process.on("exit", listener);
"""

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not WS.is_file(), reason="needs Node, and the packages of tests: sh .ci/clients"
)


async def in_node(block: Block, tmp_path: Path) -> None:
    """Against a server with its endpoint. Only paths become addresses: Node has no page that they belong to."""
    rt = realtime.Server()

    @rt.authorize
    async def who(request: realtime.SessionRequest) -> str | None:
        if "auth" in block.text and not layer and request.auth != {"token": "secret"}:
            raise realtime.Unauthorized("no token")
        return None

    rooms, layer = "cursors(" in block.text, "events(" in block.text
    rt.configure_rooms("news", history=10)

    @rt.endpoint("/chat")
    async def chat(session: realtime.Session) -> None:
        if rooms:
            await session.join("news")
            await rt.room("news").send("welcome")
        else:
            await session.send("welcome")
        async for message in session:
            await session.send(message)

    events = realtime.Events()
    rt.endpoint("/events")(events)

    @events.on("message")
    async def message(session: realtime.EventSession, text: str) -> str:
        await session.emit("message", session.auth["name"], text)
        return "delivered"

    async def token(request: web.Request) -> web.Response:
        return web.json_response({"token": "secret"})

    app = web.Application()
    app.router.add_get("/token", token)
    realtime.setup(app, rt)
    async with Clients() as client:
        base = str((await client.server(app)).make_url("")).rstrip("/")
        text = re.sub(r'"(?:https://example.org(?=/chat))?(/[a-z/]+)"', rf'"{base}\1"', block.text)
        text = text.replace(f'{base}/chat"', f'{base}/realtime/chat"')
        if layer:
            text = text.replace("/realtime/chat", "/realtime/events")
        (tmp_path / "before.mjs").write_text(
            f'import ws from "{WS.as_uri()}";\nglobalThis.WebSocket ??= ws;\n{PAGE if rooms else ""}', "utf-8"
        )
        (tmp_path / "node_modules").mkdir()
        (tmp_path / "node_modules" / "aiohttp-realtime").symlink_to(CLIENT)
        script = 'import "./before.mjs";\n'
        if "import" not in text:
            script += 'import Realtime from "aiohttp-realtime";\n'  # as a script tag defines it
        script += text
        script += "session.close();\n" if layer else 'session.addEventListener("message", () => session.close());\n'
        (tmp_path / "page.mjs").write_text(script, "utf-8")
        node = await asyncio.create_subprocess_exec(
            "node", "page.mjs", cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            said, _ = await arrives(node.communicate(), "the end of the script")
        finally:
            if node.returncode is None:
                node.kill()
        assert node.returncode == 0, said.decode()
        if "console.log(event.data)" in text:
            assert said.decode().splitlines()[0] == "welcome"
            assert "1000" in said.decode()
        if layer:
            assert said.decode().splitlines()[:2] == ["ada hello", "delivered"]
        if rooms:
            welcome, kept = said.decode().splitlines()
            text, room, cursor = welcome.split()
            assert (text, room, json.loads(kept)) == ("welcome", "news", {"news": cursor})


async def script_tag(block: Block, tmp_path: Path) -> None:
    """The script that it names is served, or shipped; what follows is in order."""
    source, *code = re.findall(r'<script(?: src="([^"]+)")?>(.*?)</script>', block.text, re.DOTALL)
    if source[0].startswith("/"):
        async with Clients() as client:
            server = await client.server(realtime.Server())
            async with aiohttp.ClientSession() as http, http.get(server.make_url(source[0])) as answer:
                assert answer.status == 200
    else:
        assert (CLIENT / "dist" / source[0]).is_file()
    for _, text in code:
        (tmp_path / "page.js").write_text(text, "utf-8")
        node = await asyncio.create_subprocess_exec("node", "--check", tmp_path / "page.js")
        assert await arrives(node.wait(), "the check of a script") == 0


# -- commands and configurations -------------------------------------------------------------------------------------


@functools.cache
def usage(program: tuple[str, ...]) -> str:
    """What a program says when it is asked for help: ours here, another one in a process of its own, once."""
    if program[0] == "realtime":
        with redirect_stdout(io.StringIO()) as out, pytest.raises(SystemExit) as ended:
            main([*program[1:], "--help"])
        assert not ended.value.code
        return out.getvalue()
    done = subprocess.run(
        [sys.executable, "-m", *program, "--help"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    return done.stdout


def command(block: Block, tmp_path: Path) -> None:
    """Its program is there, and has these options."""
    for line in block.text.splitlines():
        for part in line.split("#")[0].split("&&"):
            words = shlex.split(part)
            options = {word.partition("=")[0] for word in words if word.startswith("--")}
            match words:
                case ["pip", "install", what]:
                    name, _, extras = what.rstrip("]").partition("[")
                    assert name == PROJECT["name"]
                    assert {each for each in extras.split(",") if each} <= set(PROJECT["optional-dependencies"])
                case ["gunicorn", *_]:
                    assert "^gunicorn (.*)$" in (ROOT / "tests" / "web" / "test_workers.py").read_text("utf-8")
                case ["make", target]:
                    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
                case ["npm", "ci"]:
                    assert (CLIENT / "package-lock.json").is_file()
                case ["npm", *_, script]:
                    assert script in json.loads((CLIENT / "package.json").read_text("utf-8"))["scripts"]
                case ["python", "-m", _, *_] | ["realtime", _, *_]:
                    program = ("realtime", words[1]) if words[0] == "realtime" else tuple(words[2:3])
                    assert options <= set(re.findall(r"--[a-z-]+", usage(program)))
                case _:
                    pytest.fail(f"{block.page}: who knows the command {words}?")


def doctor(block: Block, tmp_path: Path) -> None:
    """Of the options that it shows, each is there with this metavar."""
    for option in re.findall(r"\[(.*?)\]", block.text):
        assert re.search(rf"^  {option}\b", usage(("realtime", "doctor")), re.MULTILINE), option


def unit(block: Block, tmp_path: Path) -> None:
    """systemd knows all that it says; only what is started is put where it is, and the user is one that exists."""
    assert "python /srv/chat/app.py\n" in block.text
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    text = block.text.replace("/srv/chat/.venv/bin/python", sys.executable).replace("User=chat", "User=root")
    (tmp_path / "chat.service").write_text(text, "utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / "chat.service"],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert [line for line in done.stderr.splitlines() if "chat.service" in line] == []


def container(block: Block, tmp_path: Path) -> None:
    """Its instructions exist, and it takes what the README makes."""
    lines = [line.split(maxsplit=1) for line in block.text.splitlines()]
    assert {word for word, _ in lines} <= {"FROM", "RUN", "WORKDIR", "COPY", "USER", "CMD"}
    said = dict(lines)
    (version,) = re.findall(r"^python:3\.(\d+)-slim$", said["FROM"])
    assert int(version) >= int(PROJECT["requires-python"].rpartition(".")[2])
    assert said["RUN"].split()[-1] == PROJECT["name"]
    readme = (ROOT / "README.md").read_text("utf-8")
    *files, into = said["COPY"].split()
    assert into == "./"
    assert all(f"`{file}`" in readme for file in files)
    assert json.loads(said["CMD"]) == ["python", "app.py"]


def query(block: Block, tmp_path: Path) -> None:
    """Its metrics are in the catalogue, and have these labels; its brackets close."""
    names = re.findall(r"(realtime_\w+)(?:\{(.*?)\})?", block.text)
    assert names
    for name, matchers in names:
        entry = families.CATALOGUE[name.removesuffix("_bucket")]
        assert set(re.findall(r'(\w+)[!=]~?=?"', matchers)) <= set(entry.labels)
    for one, other in ("()", "[]", "{}"):
        assert block.text.count(one) == block.text.count(other)


def box(block: Block, tmp_path: Path) -> None:
    """A configuration that tests/lab runs, by its language."""
    assert block.page == f"docs/{DOCUMENT.name}"
    assert documented(block.language)


def picture(block: Block, tmp_path: Path) -> None:
    """It shows something, and is no code."""
    with pytest.raises(SyntaxError):
        ast.parse(block.text)


def parses(block: Block, tmp_path: Path) -> None:
    """It is JSON."""
    json.loads(block.text)


# What runs a block of this language, wherever it stands.
BY_LANGUAGE: dict[str, Callable[[Block, Path], Awaitable[None] | None]] = {
    "": picture,
    "caddy": box,
    "dockerfile": container,
    "haproxy": box,
    "html": script_tag,
    "ini": unit,
    "js": in_node,
    "json": parses,
    "nginx": box,
    "promql": query,
    "sh": command,
    "text": doctor,
}
# What runs the others of each page, in order: a function here, or the test file that does.
HOW: dict[str, list[Scene | str]] = {
    "docs/architecture.md": ["tests/test_docs.py", *["tests/test_pictures.py"] * 4],
    "docs/compatibility.md": [sockjs, stomp, engine_io],
    "docs/configuration.md": [ticker],
    "docs/durable.md": ["tests/durable/test_pages.py"] * 4,
    "docs/events.md": [chat_of_events, talk_is_run_above, *["tests/typescript/test_pages.py"] * 2],
    "docs/login.md": ["tests/web/test_login.py"] * 3,
    "docs/metrics.md": [scraped, registered],
    "docs/migrating-from-engineio.md": [engine_io_echo, engine_io_echo],
    "docs/migrating-from-sockjs.md": [sockjs_room],
    "docs/scaling.md": [rooms_of_all_workers, one_of_several],
    "docs/stomp.md": [stomp_greetings],
    "docs/security.md": [authorized, four_left_out, nameless],
}
RUN = {page: [block for block in found if not block.why] for page, found in BLOCKS.items() if page != GENERATED}
SPECIAL = {page: [block for block in found if block.language not in BY_LANGUAGE] for page, found in RUN.items()}


def test_every_block_is_known() -> None:
    for page, found in SPECIAL.items():
        assert len(found) == len(HOW.get(page, [])), f"{page}: name in HOW what runs each of {found}"
        for block, how in zip(found, HOW.get(page, []), strict=True):
            assert block.language == "python" or isinstance(how, str), block


def test_what_is_not_run_says_why() -> None:
    """Three, for want of somebody else's program or package. What is Python is in order all the same."""
    silent = [block for found in BLOCKS.values() for block in found if block.why]
    for block in silent:
        if block.language == "python":
            ast.parse(block.text)
        print(f"{block.page}, block {block.number + 1}, is not run: {block.why}")  # noqa: T201 # for pytest -rP
    assert len(silent) == 3


def test_what_other_tests_run() -> None:
    elsewhere = {(page, how) for page, hows in HOW.items() for how in hows if isinstance(how, str)}
    assert {path for page, path in elsewhere if Path(page).name not in (ROOT / path).read_text("utf-8")} == set()


@pytest.mark.parametrize(
    ("block", "scene"),
    [
        pytest.param(block, how, id=f"{page}-{block.number}")
        for page, found in SPECIAL.items()
        for block, how in zip(found, HOW.get(page, []), strict=False)
        if not isinstance(how, str)
    ],
)
async def test_python(block: Block, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    names = space()
    monkeypatch.setattr(prometheus_client, "REGISTRY", prometheus_client.CollectorRegistry())
    exec(compile(block.text, f"{block.page}, block {block.number + 1}", "exec"), names)
    async with within(), Clients() as client:
        await scene(names, client)


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(block, id=f"{page}-{block.number}", marks=needs_node if block.language in ("js", "html") else ())
        for page, found in RUN.items()
        for block in found
        if block.language in BY_LANGUAGE
    ],
)
async def test_what_is_not_python(block: Block, tmp_path: Path) -> None:
    checking = BY_LANGUAGE[block.language](block, tmp_path)
    if checking is not None:
        await checking


def test_what_is_generated() -> None:
    """Examples are run by tests/test_reference.py; declarations, and what stands in docstrings, are in order."""
    run = {text.strip() for text in (PRELUDE, *EXAMPLES.values())}
    rest = [block for block in BLOCKS[GENERATED] if block.text.strip() not in run]
    assert len(rest) < len(BLOCKS[GENERATED]) / 2
    for block in rest:
        declared = re.fullmatch(r"(?:class )?realtime[\w.]*(\(.*\)(?: -> .*)?)\n", block.text, re.DOTALL)
        source = f"def f{declared[1]}: ..." if declared else block.text
        compile(
            source, f"{GENERATED}, block {block.number + 1}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST
        )
