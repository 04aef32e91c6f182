"""The storm's clients for JavaScript that only pages run, where nothing is done to them."""

from __future__ import annotations

import shutil

import pytest
from aiohttp import web

import realtime
from realtime.testing import serve

from ..patience import eventually, within
from .account import Session, judge
from .clients import Crowd

TRANSPORTS = ("jsonp", "htmlfile")


@pytest.mark.skipif(shutil.which("node") is None, reason="node is needed")
async def test_sessions_by_scripts_and_frames() -> None:
    rt = realtime.Server(allowed_origins="*", max_stream_size=4096)
    heard = dict.fromkeys(TRANSPORTS, 0)
    transports: set[str] = set()

    @rt.endpoint("/count")
    async def count(session: realtime.Session) -> None:
        await session.send("at 0.0")
        async for message in session:
            transports.add(session.transport)
            heard[session.transport] += 1
            await session.send(message)

    app = web.Application()
    realtime.setup(app, rt)
    told: list[Session] = []
    async with serve(app) as served, within("until both have said something"):
        url = str(served.make_url("/")).rstrip("/")
        async with Crowd([url], [f"javascript {name}" for name in TRANSPORTS], 1, told.append).running():
            await eventually(lambda: min(heard.values()) > 100)
    assert transports == set(TRANSPORTS)
    assert {session.transport for session in told} == set(TRANSPORTS)
    assert [judge(session, "", 0) for session in told] == [[]] * len(told)
    assert sum(session.received for session in told) == sum(heard.values())
