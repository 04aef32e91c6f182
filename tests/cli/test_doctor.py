"""`realtime doctor` as a person or a script meets it: the table, the advice, JSON and exit codes."""

from __future__ import annotations

import json

import pytest

import realtime
from realtime.testing import FaultProxy, HangWebSocket, StripUpgrade, serve

from .program import Program, run

NAMES = ["webtransport", "websocket", "sse", "xhr_streaming", "multipart", "long_polling", "polling"]


async def test_a_table(demo: str) -> None:
    code, out, err = await run("doctor", "--patience", 0.1, f"{demo}/echo", fresh=True)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"{demo}/echo"
    assert lines[2].split() == ["transport", "through", "first", "byte", "round", "trip", "what", "happened"]
    assert [line.split()[:2] for line in lines[3:10]] == [[name, "yes"] for name in NAMES]
    assert all(line.endswith(" ms") for line in lines[3:10])
    assert lines[11:] == [
        f"Use, best first: {', '.join(NAMES)}",
        "Not tried: htmlfile, jsonp, which only browsers run.",
    ]


async def test_advice() -> None:
    rt = realtime.Server(transports=("websocket", "polling"))

    @rt.endpoint("/quiet")
    async def quiet(session: realtime.Session) -> None:
        async for _ in session:
            pass

    async with serve(rt) as server:
        assert server.port is not None
        async with FaultProxy("127.0.0.1", server.port) as proxy:
            proxy.add(StripUpgrade())
            code, out, _ = await run("doctor", "--patience", 0, f"{proxy.url}/realtime/quiet")
            assert code == 0
            assert "websocket      no" in out
            assert "stripped: the server got the handshake without its Upgrade header" in out
            assert "policy: refused by the server's policy with 4406" in out
            assert "Use, best first: polling\n" in out
            assert "- Something in between removes the Upgrade header" in out
            assert max(map(len, out.partition("Use,")[2].splitlines())) <= 100


async def test_json(demo: str) -> None:
    arguments = ("--json", "--patience", 0.1, "--transport", "polling", "--transport", "sse")
    code, out, err = await run("doctor", *arguments, f"{demo}/echo")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["through"] is found["realtime"] is True
    assert found["order"] == ["sse", "polling"]
    assert [finding["transport"] for finding in found["findings"]] == ["polling", "sse"]
    assert found["findings"][0]["state"] == "ok"
    assert found["findings"][1]["round_trip"] > 0


async def test_nothing_gets_through(unused_tcp_port: int) -> None:
    code, out, err = await run("doctor", f"http://127.0.0.1:{unused_tcp_port}/realtime/echo")
    assert (code, err) == (1, "")
    assert "unreachable: cannot connect to the server" in out
    assert "No transport gets through" in out


async def test_a_page_that_is_no_endpoint(demo: str) -> None:
    code, out, _ = await run("doctor", "--json", demo.removesuffix("/realtime"))
    assert code == 1
    assert json.loads(out)["realtime"] is False


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nonsense"], "an endpoint's URL looks like"),
        (["--timeout", "0", "http://localhost/x"], "above 0"),
        (["--patience", "inf", "http://localhost/x"], "inf is none"),
        (["--proxy", "socks5://localhost:1", "http://localhost/x"], "a proxy's URL looks like"),
        (["--transport", "pigeon", "http://localhost/x"], "invalid choice"),
        ([], "URL"),
    ],
)
async def test_a_wrong_command_line(arguments: list[str], complaint: str) -> None:
    code, out, err = await run("doctor", *arguments)
    assert (code, out) == (2, "")
    assert complaint in err
    assert "Traceback" not in err


async def test_interrupted(demo: str) -> None:
    port = int(demo.split(":")[2].partition("/")[0])
    async with FaultProxy("127.0.0.1", port) as proxy:
        hung = proxy.add(HangWebSocket())
        async with Program("doctor", f"{proxy.url}/realtime/echo") as program:
            await hung.wait_fired()
            program.interrupt()
            assert await program.ended() == 130
            assert await program.rest() == ("", "")
