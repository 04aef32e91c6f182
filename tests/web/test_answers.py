"""Answers that are laid out here are those that aiohttp would write."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

import realtime
from realtime.web import replies
from realtime.web.answers import Answer

from ..patience import arrives, eventually

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HOST = "Host: h"
REQUESTS = {
    "usual": (HOST,),
    "of a page": (HOST, "Origin: http://h"),
    "of an allowed page elsewhere": (HOST, "Origin: https://example.org"),
    "the last on its connection": (HOST, "Connection: close"),
}


# What differs from one answer to the next.
DIFFERS = re.compile(rb'(?<=Date: )[^\r]*|(?<=sid\\":\\")[^\\]*|(?<=key\\":\\")[^\\]*|(?<="k2,)[^"]*')


def server() -> realtime.Server:
    rt = realtime.Server(allowed_origins=["https://example.org"])

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    return rt


def opening() -> bytes:
    members = {"nonce": secrets.token_urlsafe(18), "gen": 1, "window": [256, 1_048_576]}
    return json.dumps(["o" + json.dumps(members)]).encode()


async def ask(
    app: web.Application,
    headers: tuple[str, ...],
    version: str = "1.1",
    count: int = 1,
    log: dict[str, Any] | None = None,
) -> list[bytes]:
    """The answers to so many polls of one connection, each of which opens a session; what differs from one to the next
    is left out."""
    realtime.setup(app, server())
    runner = web.AppRunner(app, **(log or {}))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
    try:
        answers = []
        for _ in range(count):
            body = opening()
            lines = (
                f"POST /realtime/echo/v1/long_polling HTTP/{version}",
                *headers,
                f"Content-Length: {len(body)}",
                "",
                "",
            )
            writer.write("\r\n".join(lines).encode() + body)
            head = await arrives(reader.readuntil(b"\r\n\r\n"))
            length = re.search(rb"Content-Length: (\d+)", head)
            assert length is not None
            said = await arrives(reader.readexactly(int(length[1])))
            answers.append(head + said)
        return [DIFFERS.sub(b"", answer) for answer in answers]
    finally:
        writer.close()
        await runner.cleanup()


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("headers", REQUESTS.values(), ids=REQUESTS.keys())
async def test_they_are_what_aiohttp_writes(
    headers: tuple[str, ...], version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the byte; and where they cannot be, they are aiohttp's."""
    count = 1 if version == "1.0" or "Connection: close" in headers else 3
    made = []

    class Counted(Answer):
        async def prepare(self, request: web.BaseRequest) -> None:
            made.append(request)
            await super().prepare(request)

    monkeypatch.setattr(replies, "Answer", Counted)
    here = await ask(web.Application(), headers, version, count)
    assert len(made) == (0 if version == "1.0" or "Connection: close" in headers else count)

    async def look(request: web.Request, response: web.StreamResponse) -> None:
        assert not isinstance(response, Answer)

    app = web.Application()
    app.on_response_prepare.append(look)
    theirs = await ask(app, headers, version, count)
    assert here == theirs
    assert here[0].startswith(f"HTTP/{version} 200 OK\r\n".encode())
    assert b"Server: " in here[0]


async def test_a_middleware_gets_an_answer_of_aiohttps() -> None:
    @web.middleware
    async def change(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        assert type(response) is web.Response
        assert response.body
        response.set_cookie("a", "b")
        response.enable_compression(web.ContentCoding.identity)
        return response

    (answer,) = await ask(web.Application(middlewares=[change]), (HOST,))
    assert b"Set-Cookie: a=b" in answer


async def test_an_access_log_has_them_whole(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "access")
    format = "%s %b %{Content-Type}o %{Content-Length}o"
    log = {"access_log": logging.getLogger("access"), "access_log_format": format}
    await ask(web.Application(), (HOST,), log=log)
    await eventually(lambda: caplog.records)
    app = web.Application()

    async def nothing(request: web.Request, response: web.StreamResponse) -> None:
        """Whoever is told of answers is given aiohttp's."""

    app.on_response_prepare.append(nothing)
    await ask(app, (HOST,), log=log)
    await eventually(lambda: len(caplog.records) == 2)
    here, theirs = (record.getMessage() for record in caplog.records)
    assert here == theirs
    assert here.startswith("200 ")
