"""`realtime connect` as a person or a script meets it: what goes in, what comes out, what is said, and exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import random
import signal
from pathlib import Path

import pytest

import realtime
from realtime.cli import connect, main
from realtime.testing import DropRequest, FaultProxy, serve

from ..patience import arrives, within
from .program import COMMAND, Program, run

TRANSPORTS = ("websocket", "long_polling", "polling")
# Where it matters what is said: on a busy machine HTTP may win the race to open.
WEBSOCKET = ("--transport", "websocket")
# Seconds of silence that come from nothing but a program that has nothing more to say.
LINGER = ("--linger", 5)


class Left(Exception):
    """The command has ended its process."""


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_line_comes_back(demo: str, transport: str) -> None:
    for _ in range(5):  # it leaves after a moment of silence, which on a busy machine may be the server's
        code, out, err = await run("connect", "--transport", transport, f"{demo}/echo", given=b"hi\n")
        if out:
            break
    assert (code, out, err) == (0, "hi\n", f"realtime: connected over {transport}\n")


async def test_lines_are_messages(demo: str) -> None:
    given = "one\r\n\n two \ttabs\n字\nlast"
    code, out, _ = await run("connect", *WEBSOCKET, *LINGER, f"{demo}/echo", given=given.encode(), fresh=True)
    assert (code, out) == (0, "one\n\n two \ttabs\n字\nlast\n")


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_raw_bytes_come_back_the_same(demo: str, transport: str) -> None:
    data = random.Random(transport).randbytes(1_000_000)
    async with Program("connect", "--binary", "--linger", 0, "--transport", transport, f"{demo}/echo") as program:
        program.say(data)
        assert program.process.stdout is not None
        assert await arrives(program.process.stdout.readexactly(len(data))) == data
        program.end_input()
        out, err = await program.rest_bytes()
        assert await program.ended() == 0
    assert out == b""
    assert len(err.splitlines()) == 1


async def test_bytes_that_are_not_utf_8_are_replaced_and_it_says_so(demo: str) -> None:
    code, out, err = await run(
        "connect", *WEBSOCKET, "--linger", 0, f"{demo}/echo", given=b"ok\nb\xffd\n\xc3\nend\n", until="end"
    )
    assert (code, out) == (0, "ok\nb\ufffdd\n\ufffd\nend\n")
    assert err.splitlines()[1:] == ["realtime: line 2 is not UTF-8: what cannot be read is sent as \ufffd"]


async def test_a_line_that_is_too_long_is_skipped_and_fails_the_command(demo: str) -> None:
    given = b"Lin\n" + b"x" * 20_000 + b"\n" + b"\xff" * 10_000 + b"\nhello\n"
    code, out, err = await run("connect", *WEBSOCKET, "--linger", 0, f"{demo}/chat", given=given, until=": hello")
    assert code == 1
    assert out.splitlines()[-1] == "Lin: hello"
    assert "realtime: line 2 is longer than the server's 16384 bytes, and was not sent" in err.splitlines()
    assert "realtime: line 3 was not sent: a message of 30000 bytes is above the server's max_size=16384" in err


async def test_no_input(demo: str) -> None:
    with os.fdopen(os.open(os.devnull, os.O_RDONLY), "rb") as nothing:
        async with Program("connect", *WEBSOCKET, "--linger", 0, f"{demo}/echo", stdin=nothing) as program:
            assert await program.ended() == 0
            assert await program.rest() == ("", "realtime: connected over websocket\n")


async def test_a_file_as_input(demo: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("".join(f"{number}\n" for number in range(1000)))
    with os.fdopen(os.open(tmp_path / "file", os.O_RDONLY), "rb") as file:
        async with Program("connect", *WEBSOCKET, *LINGER, f"{demo}/echo", stdin=file) as program:
            out, _ = await program.rest()
            assert await program.ended() == 0
    assert out == (tmp_path / "file").read_text()


async def test_standard_streams_that_are_closed(demo: str) -> None:
    command = f'exec "$@" connect --transport websocket --linger 0.2 {demo}/echo'
    async with Program("sh", "-c", f"{command} <&- 2>&-", "sh", *COMMAND, bare=True) as program:
        assert await program.rest() == ("", "")
        assert await program.ended() == 0
    async with Program("sh", "-c", f"echo hi | ({command} >&-)", "sh", *COMMAND, bare=True) as program:
        assert await program.rest() == ("", "realtime: connected over websocket\n")
        assert await program.ended() == 0


async def test_at_a_terminal(demo: str) -> None:
    outer, inner = pty.openpty()
    with os.fdopen(inner, "rb") as terminal:
        async with Program("connect", *WEBSOCKET, f"{demo}/echo", stdin=terminal) as program:
            assert await program.note() == "realtime: connected over websocket; Ctrl-D ends"
            os.write(outer, b"typed\n")
            assert await program.line() == "typed"
            os.write(outer, b"\x04")
            assert await program.ended() == 0
    os.close(outer)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_ctrl_c_ends_it_at_once_and_its_session_too(transport: str) -> None:
    ended = asyncio.get_running_loop().create_future()
    rt = realtime.Server()

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)
        ended.set_result(session.close_code)

    async with (
        serve(rt) as server,
        Program("connect", "--transport", transport, server.make_url("/realtime/echo")) as program,
    ):
        program.say("there?\n")
        assert await program.line() == "there?"
        program.interrupt()
        assert await program.ended() == 130
        assert await program.rest() == ("", f"realtime: connected over {transport}\n")
        async with within():
            assert await ended == 1000


async def test_ctrl_c_while_connecting() -> None:
    arrived = asyncio.Event()
    writers = []

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        arrived.set()

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with Program("connect", f"http://{host}:{port}/realtime/echo") as program:
        async with within():
            await arrived.wait()
        program.interrupt(signal.SIGTERM)
        assert await program.ended() == 143
        assert await program.rest() == ("", "")
    for writer in writers:
        writer.close()
    server.close()
    await server.wait_closed()


async def test_ctrl_c_while_connecting_closes_what_the_server_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    asked: asyncio.Future[int] = loop.create_future()
    ended: asyncio.Future[int | None] = loop.create_future()
    rt = realtime.Server()

    @rt.authorize
    async def authorize(request: realtime.SessionRequest) -> str:
        asked.set_result(signal.SIGINT)
        await asyncio.sleep(0)  # the command is told first
        await asyncio.sleep(0)
        return "somebody"

    @rt.endpoint("/wait")
    async def wait(session: realtime.Session) -> None:
        async for _ in session:
            raise AssertionError("nothing was sent")
        ended.set_result(session.close_code)

    def leave(number: int) -> None:
        raise Left(number)

    monkeypatch.setattr(connect, "signals", lambda: contextlib.nullcontext(asked))
    monkeypatch.setattr(connect, "_leave", leave)
    async with serve(rt) as server, within():
        url = server.make_url("/realtime/wait")
        with pytest.raises(Left, match="2"):
            await connect._main(
                connect.Options(
                    url=str(url), transports=None, headers={}, auth=None, upgrade=True, binary=False, linger=None
                )
            )
        assert await ended == 4411


@pytest.mark.parametrize(("code", "exit_code"), [(1000, 0), (1001, 0), (1011, 3), (4321, 3)])
async def test_the_server_closes(code: int, exit_code: int) -> None:
    rt = realtime.Server()

    @rt.endpoint("/close")
    async def close(session: realtime.Session) -> None:
        await session.send(f"you said {await session.receive()!s}")
        await session.close(code, "enough")

    async with (
        serve(rt) as server,
        Program("connect", "--transport", "websocket", server.make_url("/realtime/close")) as program,
    ):
        program.say("this\n")  # and no end of input
        assert await program.ended() == exit_code
        out, err = await program.rest()
        assert out == "you said this\n"
        assert err.splitlines()[1:] == [f"realtime: the session ended with {code} (enough)"]


async def test_the_handler_fails(caplog: pytest.LogCaptureFixture) -> None:
    rt = realtime.Server()

    @rt.endpoint("/fail")
    async def fail(session: realtime.Session) -> None:
        raise RuntimeError("on purpose")

    async with serve(rt) as server, Program("connect", *WEBSOCKET, server.make_url("/realtime/fail")) as program:
        assert await program.ended() == 3
        _, err = await program.rest()
        assert err.splitlines()[-1] == "realtime: the session ended with 1011 (the handler failed)"
    assert "on purpose" in caplog.text


async def test_what_was_never_acknowledged_is_counted() -> None:
    rt = realtime.Server()
    go = asyncio.Event()

    @rt.endpoint("/deaf")
    async def deaf(session: realtime.Session) -> None:
        await session.send("ready")
        await go.wait()
        session._machine.end(4000, "", rt._service.clock.now())

    async with serve(rt) as server, FaultProxy("127.0.0.1", server.port or 0) as proxy:
        url = f"{proxy.url}/realtime/deaf"
        async with Program("connect", "--transport", "polling", url) as program:
            assert await program.line() == "ready"
            proxy.unplug(refuse=True)
            proxy.cut()
            program.say("one\ntwo\n")
            assert "connected" in await program.note()
            assert "connection is lost" in await program.note()
            go.set()
            proxy.plug()
            assert await program.ended() == 3
            _, err = await program.rest()
    assert err.splitlines()[-2:] == [
        "realtime: the session ended with 4000",
        "realtime: 2 messages were never acknowledged",
    ]


async def test_a_lost_connection_is_told_and_nothing_is_lost() -> None:
    rt = realtime.Server()

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    async with serve(rt) as server, FaultProxy("127.0.0.1", server.port or 0) as proxy:
        url = f"{proxy.url}/realtime/echo"
        async with Program("connect", "--transport", "websocket", url) as program:
            assert await program.note() == "realtime: connected over websocket"
            proxy.cut()
            program.say("still there?\n")
            assert await program.note() == "realtime: the connection is lost; trying again"
            assert await program.note() == "realtime: connected again over websocket"
            assert await program.line() == "still there?"


async def test_a_change_of_transport_is_told_with_its_reason() -> None:
    rt = realtime.Server()

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)
            rt._service.endpoints["/echo"] = other

    async with serve(rt) as server, FaultProxy("127.0.0.1", server.port or 0) as proxy:
        endpoint = rt._service.endpoints["/echo"]
        rt.endpoint("/other", transports=("long_polling", "polling"))(echo)
        other = type(endpoint)("/echo", endpoint.handler, rt._service.endpoints["/other"].config)
        unlucky = proxy.add(DropRequest(match=lambda request: not request.is_websocket, end="hang"))
        async with Program("connect", f"{proxy.url}/realtime/echo") as program:
            assert await program.note() == "realtime: connected over websocket"
            unlucky.remove()
            program.say("from now on without websocket\n")
            assert await program.line()
            proxy.cut()
            assert await program.note() == "realtime: the connection is lost; trying again"
            program.say("there?\n")
            note = await program.note()
            assert note.startswith("realtime: now over long_polling, after websocket (websocket: ")
            assert await program.note() == "realtime: connected again over long_polling"
            assert await program.line() == "there?"


async def test_nobody_listens(unused_tcp_port: int) -> None:
    code, out, err = await run("connect", f"http://127.0.0.1:{unused_tcp_port}/realtime/echo", given=b"hi\n")
    assert (code, out) == (1, "")
    assert err == (
        f"realtime: cannot connect: no session at http://127.0.0.1:{unused_tcp_port}/realtime/echo (websocket,"
        f" xhr_streaming, sse, long_polling, polling: cannot connect to 127.0.0.1 port {unused_tcp_port}:"
        " Connection refused)\n"
    )


async def test_no_endpoint_there(demo: str) -> None:
    code, out, err = await run("connect", demo.removesuffix("realtime"))
    assert (code, out) == (1, "")
    assert "polling: HTTP 404, and not in the protocol: is setup() called with this prefix?)" in err
    assert len(err.splitlines()) == 1


async def test_headers_and_auth_reach_the_server() -> None:
    rt = realtime.Server()

    @rt.authorize
    async def authorize(request: realtime.SessionRequest) -> str | None:
        if request.headers.get("X-Name") != "Ada":
            raise realtime.Unauthorized("who are you?")
        return request.headers["X-Name"]

    @rt.endpoint("/who")
    async def who(session: realtime.Session) -> None:
        await session.send(f"{session.identity} {session.request.auth}")

    async with serve(rt) as server:
        url = server.make_url("/realtime/who")
        code, out, _ = await run("connect", *WEBSOCKET, "--header", "X-Name: Ada", "--auth", '{"token": 7}', url)
        assert (code, out) == (0, "Ada {'token': 7}\n")
        code, out, err = await run("connect", *WEBSOCKET, url)
        assert (code, out) == (1, "")
        assert "refused with 4401: who are you?" in err


async def test_binary_messages_among_text() -> None:
    rt = realtime.Server()

    @rt.endpoint("/mixed")
    async def mixed(session: realtime.Session) -> None:
        await session.send("text")
        await session.send(b"\x00\xffraw")

    async with serve(rt) as server:
        url = server.make_url("/realtime/mixed")
        code, out, _ = await run("connect", *WEBSOCKET, url)
        assert (code, out) == (0, "text\n<5 bytes: 00 ff 72 61 77>\n")
        async with Program("connect", *WEBSOCKET, "--binary", url) as program:
            assert await program.rest_bytes() == (
                b"text\n\x00\xffraw",
                b"realtime: connected over websocket\nrealtime: the session ended with 1000\n",
            )


async def test_a_reader_that_has_read_enough(demo: str) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as pipe:
        async with Program("connect", *WEBSOCKET, f"{demo}/echo", stdout=pipe) as program:
            assert "connected" in await program.note()
            os.close(reading)
            program.say("anyone?\n")
            assert await program.ended() == 0
            assert await program.rest() == ("", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
async def test_a_full_disk(demo: str) -> None:
    with os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb") as full:
        async with Program("connect", *WEBSOCKET, f"{demo}/echo", stdout=full) as program:
            program.say("hi\n")
            assert await program.ended() == 1
            _, err = await program.rest()
    assert err.splitlines()[1:] == ["realtime: standard output cannot be written: No space left on device"]


async def test_linger_for_ever(demo: str) -> None:
    async with Program("connect", *WEBSOCKET, "--linger", "inf", f"{demo}/chat") as program:
        program.end_input()
        assert "Welcome" in await program.line()
        async with Program("connect", *WEBSOCKET, f"{demo}/chat") as other:
            other.say("Other\n")
            assert "joined" in await other.line_with("Other")
            assert program.process.returncode is None
        program.interrupt()
        assert await program.ended() == 130


async def test_staying_on_the_first_transport(demo: str) -> None:
    transports = ("--transport", "polling", "--transport", "websocket", "--no-upgrade")
    code, out, err = await run("connect", *transports, f"{demo}/echo", given=b"hi\n", until="hi")
    assert (code, out, err) == (0, "hi\n", "realtime: connected over polling\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "required: COMMAND"),
        (["dance"], "invalid choice: 'dance'"),
        (["demo", "--port", "65536"], "a port is a number from 0 to 65535, not '65536'"),
        (["demo", "--transports", "polling,pigeon"], "there is no transport 'pigeon'; there are websocket, "),
        (["connect"], "required: URL"),
        (["connect", "localhost"], "an endpoint's URL looks like http://host/realtime/chat, not 'localhost'"),
        (["connect", "http://[::1/"], "an endpoint's URL looks like http://host/realtime/chat, not 'http://[::1/'"),
        (["connect", "--transport", "pigeon", "http://x/"], "invalid choice: 'pigeon'"),
        (["connect", *(["--transport", "polling"] * 2), "http://x/"], "different names of transports"),
        (["connect", "--header", "none", "http://x/"], "a header looks like 'Name: value', not 'none'"),
        (["connect", "--header", "a: b\nc: d", "http://x/"], "a header looks like 'Name: value'"),
        (["connect", "--header", "a: 1", "--header", "A: 2", "http://x/"], "A is given twice"),
        (["connect", "--auth", "{", "http://x/"], "this is not JSON: '{'"),
        (["connect", "--auth", "NaN", "http://x/"], "this is not JSON: 'NaN'"),
        (["doctor", "--auth", "[" * 100_000, "http://x/"], "this is not JSON: '[[["),
        (["doctor", "--auth", '"\\ud800"', "http://x/"], "this is not JSON: '\"\\\\ud800\"'"),
        (["connect", "--linger", "-1", "http://x/"], "a number of seconds is expected, or inf, not '-1'"),
        (["connect", "--linger", "nan", "http://x/"], "not 'nan'"),
    ],
)
def test_wrong_command_lines(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"realtime {realtime.__version__} (aiohttp ")


def test_the_console_script_is_the_module() -> None:
    import tomllib

    import realtime.__main__

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"realtime": "realtime.__main__:main"}
    assert callable(realtime.__main__.main)
    assert project["version"] == realtime.__version__
