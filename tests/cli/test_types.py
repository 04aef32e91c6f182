"""`realtime types`: what it prints and writes, what it compares, and which applications it can't load."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

import realtime
from realtime.cli import main
from realtime.cli.application import load

from .program import run

ROOT = Path(__file__).parents[2]
EXAMPLE = "tests.typescript.app:make_app"
NUMBERS = itertools.count()

Module = Callable[..., str]


@pytest.fixture(autouse=True)
def paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command puts the working directory among those of modules."""
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Module:
    """Writes a module into the working directory; returns its name, which no other has had."""
    monkeypatch.chdir(tmp_path)

    def write(text: str, name: str = "") -> str:
        name = name or f"types_application_{next(NUMBERS)}"
        head = "import asyncio, realtime\nfrom aiohttp import web\n"
        (tmp_path / f"{name}.py").write_text(head + text, "utf-8")
        return name

    return write


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Runs the command: exit code, output, error."""
    code = main(["types", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


async def test_as_a_command() -> None:
    code, out, err = await run("types", EXAMPLE, fresh=True)
    assert (code, err) == (0, "")
    assert out.startswith(f"// Written by `realtime types {EXAMPLE}`: run it again when handlers have changed.\n")
    assert '\nexport interface ChatSent {\n  message(text: string, how?: "loud" | "low"): string;\n' in out


def test_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    file = tmp_path / "chat.d.ts"
    assert said(capsys, EXAMPLE, "--out", file, "--check") == (
        1,
        "",
        f"realtime: {file} is not there: run realtime types {EXAMPLE} --out {file}\n",
    )
    assert said(capsys, EXAMPLE, "--out", file) == (0, "", "")
    text = file.read_bytes()
    assert text.decode() == said(capsys, EXAMPLE)[1]
    before = file.stat().st_mtime_ns
    assert said(capsys, EXAMPLE, "--out", file, "--check") == (0, "", "")
    assert said(capsys, EXAMPLE, "--out", file) == (0, "", "")
    assert file.stat().st_mtime_ns == before  # it was not written again
    file.write_bytes(text.replace(b"play(card: number)", b"play(cards: number)"))
    code, out, err = said(capsys, EXAMPLE, "--out", file, "--check")
    assert (code, err) == (
        1,
        f"realtime: {file} is not what the handlers say now: run realtime types {EXAMPLE} --out {file}\n",
    )
    assert out.splitlines()[:2] == [f"--- {file}", "+++ as it would be written"]
    assert "-  play(cards: number): void;\n+  play(card: number): void;\n" in out
    assert said(capsys, EXAMPLE, "--out", file)[0] == 0
    assert file.read_bytes() == text


def test_a_file_that_can_not_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = tmp_path / "nowhere" / "chat.d.ts"
    assert said(capsys, EXAMPLE, "--out", nowhere) == (1, "", f"realtime: {nowhere}: No such file or directory\n")
    (tmp_path / "image").write_bytes(b"\xff\xfe")
    code, out, err = said(capsys, EXAMPLE, "--out", tmp_path / "image", "--check")
    assert (code, out) == (1, "")
    assert "can't decode byte 0xff" in err


def test_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["types"], ["types", EXAMPLE, "--check"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
    assert "argument --check: give --out FILE, too" in capsys.readouterr().err


SERVER = """
events = realtime.Events()
rt = realtime.Server()
rt.endpoint("/chat")(events)

@rt.endpoint("/plain")
async def plain(session):
    pass

app = web.Application()
inner = web.Application()
realtime.setup(inner, rt, prefix="/live")
app.add_subapp("/api", inner)

class Site:
    @staticmethod
    def make(arguments):
        assert arguments == []
        return app

async def later():
    await asyncio.sleep(0)
    return app

made = print
"""


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("app", "/api/live/chat"),
        ("inner", "/live/chat"),
        ("rt", "/chat"),
        ("events", "/chat"),
        ("Site.make", "/api/live/chat"),
        ("later", "/api/live/chat"),
        ("lambda_", "/api/live/chat"),
    ],
)
def test_what_may_be_named(module: Module, name: str, url: str) -> None:
    homes = load(f"{module(SERVER + 'lambda_ = lambda: app')}:{name}")
    assert [(home.url, home.path, type(home.events)) for home in homes] == [(url, "/chat", realtime.Events)]


def test_events_without_an_endpoint(module: Module, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, f"{module('print(5); events = realtime.Events()')}:events")
    assert (code, out[:3], err) == (0, "// ", "5\n")
    assert '/** What a page hears at no endpoint yet, namespace "/". */\nexport type EventsHeard = AnyEvents;\n' in out


def test_two_servers(module: Module) -> None:
    text = """
app = web.Application()
for prefix in ("/a", "/b"):
    rt = realtime.setup(app, realtime.Server(), prefix=prefix)
    rt.endpoint("/chat")(realtime.Events())
host = web.Application()
host.add_domain("chat.example", app)
"""
    assert [home.url for home in load(f"{module(text)}:host")] == ["/a/chat", "/b/chat"]


@pytest.mark.parametrize(
    ("text", "name", "told"),
    [
        ("", "app", "{0}:app: module '{0}' has no attribute 'app'"),
        ("app = 5", "app", "{0}:app is int, and has to be an aiohttp.web.Application, a realtime.Server or a"),
        ("def app(): return None", "app", "{0}:app is NoneType, and has to be"),
        ("app = web.Application()", "app", 'no endpoint of {0}:app is one of events: rt.endpoint("/chat")(realt'),
        ("def app(): raise ValueError('no')", "app", "{0}:app could not be called: ValueError: no ("),
        ("async def app(): raise ValueError('no')", "app", "{0}:app could not be called: ValueError: no ("),
        ("def app(a, b): return None", "app", "{0}:app could not be called: TypeError: app() missing 1 required"),
        ("raise ValueError('no\\nand no')", "app", "{0} could not be imported: ValueError: no and no ("),
        ("raise ValueError('no')", "app", "{0} could not be imported: ValueError: no ("),
        ("raise SystemExit(3)", "app", "{0} could not be imported: SystemExit: 3 ("),
        ("import nowhere_to_be_found", "app", "{0} could not be imported: ModuleNotFoundError: No module named"),
        ("def __getattr__(name): raise KeyError(name)", "app", "{0}:app could not be looked up: KeyError: 'app' ("),
        ("def app(:", "app", "{0} could not be imported: SyntaxError: "),
    ],
)
def test_what_can_not_be_loaded(
    module: Module, capsys: pytest.CaptureFixture[str], text: str, name: str, told: str
) -> None:
    found = module(text)
    code, out, err = said(capsys, f"{found}:{name}")
    assert (code, out) == (1, "")
    assert err.startswith(f"realtime: {told.format(found)}")
    assert err.count("\n") == 1  # no traceback


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("app", "an application is named as MODULE:NAME, such as app:make_app, not 'app'"),
        (":app", "an application is named as MODULE:NAME, such as app:make_app, not ':app'"),
        ("app:", "an application is named as MODULE:NAME, such as app:make_app, not 'app:'"),
        ("nowhere_to_be_found:app", "there is no module 'nowhere_to_be_found', neither in "),
        ("examples.nowhere:app", "there is no module 'examples.nowhere', neither in "),
        ("..app:app", "'..app' is no name of a module"),
    ],
)
def test_what_names_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, target: str, told: str
) -> None:
    monkeypatch.chdir(ROOT)
    code, out, err = said(capsys, target)
    assert (code, out) == (1, "")
    assert err.startswith(f"realtime: {told}")


def test_what_has_no_type(module: Module, capsys: pytest.CaptureFixture[str]) -> None:
    name = module("""
events = realtime.Events()

@events.on("a")
def a(session, what: list[bytes]) -> complex: ...

@events.on("b")
def b(session) -> set[int]: ...
""")
    at = 'at no endpoint yet, namespace "/"'
    assert said(capsys, f"{name}:events") == (
        1,
        "",
        f"realtime: the answer of {name}.a, the handler of 'a' {at}: complex has no form in JSON\n"
        f"realtime: the answer of {name}.b, the handler of 'b' {at}: set[int] has no form in JSON\n",
    )


def test_an_application_is_left_as_it_was() -> None:
    app = web.Application()
    realtime.setup(app, realtime.Server())
    assert not app.frozen
