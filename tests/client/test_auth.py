"""The client's auth data: asked for when it opens, renewed before they expire, and after they have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import realtime
from realtime.testing import FaultProxy, VirtualClock

from ..patience import arrives, within
from ..web.place import Place, eventually, serving

TRANSPORTS = ("websocket", "sse", "xhr_streaming", "multipart", "long_polling", "polling")
each_transport = pytest.mark.parametrize("transport", TRANSPORTS)


class Tokens:
    """An authorize hook that takes tokens."""

    def __init__(self, rt: realtime.Server) -> None:
        self.valid = {"one": "ada", "two": "ada", "other": "bob"}
        rt.authorize(self.hook)

    async def hook(self, request: realtime.SessionRequest) -> str:
        """Whose token it is."""
        if request.auth not in self.valid:
            raise realtime.Unauthorized(f"the token {request.auth} has expired")
        return self.valid[request.auth]


class Issuer:
    """Gives out one token after the other, and "two" for ever."""

    def __init__(self, *tokens: Any) -> None:
        self.tokens = list(tokens)

    def __call__(self) -> Any:
        return self.tokens[0] if self.tokens[0] == "two" else self.tokens.pop(0)

    async def later(self) -> Any:
        """The same, after a turn of the event loop."""
        await asyncio.sleep(0)
        return self()


@asynccontextmanager
async def guarded() -> AsyncIterator[tuple[Place, Tokens]]:
    """A place that wants tokens."""
    async with serving() as place:
        yield place, Tokens(place.rt)


def connect(place: Place, transport: str, auth: Any) -> realtime.connect:
    """A client that stays on this transport, where that can open a session with auth data."""
    # Two of them can't open with auth data: these would be in a URL.
    names = ["long_polling", transport] if transport in ("sse", "multipart") else [transport]
    return realtime.connect(place.url("/echo"), auth=auth, transports=names, backoff=(0.01, 0.05), upgrade=False)


@asynccontextmanager
async def connected(place: Place, transport: str, auth: Any) -> AsyncIterator[realtime.ClientSession]:
    """A session on this transport."""
    async with within(), connect(place, transport, auth) as session:
        if session.transport != transport:
            await session.switch(transport)
        yield session


@each_transport
async def test_a_callable_is_asked_when_a_session_opens(transport: str) -> None:
    async with guarded() as (place, _):
        issuer = Issuer("one", "two")
        for auth, token in ((issuer, "one"), (issuer.later, "two")):
            async with connected(place, transport, auth):
                assert [session.request.auth for session in place.rt.sessions] == [token]
        assert issuer.tokens == ["two"]


async def test_a_callable_that_raises_opens_nothing() -> None:
    async with guarded() as (place, _):
        with pytest.raises(IndexError):
            await connect(place, "websocket", Issuer())


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_a_server_that_can_say_nothing_now_is_asked_again(
    transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As in the lease after a store without data, and whatever else passes: one line in the log says why it takes so
    long."""
    refusals = [realtime.Refusal(4503, "come back"), realtime.Refusal(4429, "so many"), RuntimeError("a store is away")]

    async with guarded() as (place, _):

        @place.rt.authorize
        async def hook(request: realtime.SessionRequest) -> None:
            if refusals:
                raise refusals.pop()

        async with connected(place, transport, None) as client:
            await client.send("hello")
            assert await client.receive() == "hello"
    told = [record.getMessage() for record in caplog.records if record.name == "realtime.negotiation"]
    assert [line.partition(": ")[2] for line in told if "no session yet" in line] == [
        "refused with 4503: the server cannot authorise anybody now; come back later; asked again, for 30 s in all"
    ]


class Unspeakable(Exception):
    """Not even its name can be said."""

    def __repr__(self) -> str:
        raise ValueError("no words")


async def test_a_time_out_of_the_applications_own_is_told_as_that() -> None:
    async def auth() -> None:
        raise TimeoutError("no tokens today")

    async with guarded() as (place, _):
        with pytest.raises(TimeoutError, match="no tokens today"):
            await connect(place, "websocket", auth)


@pytest.mark.parametrize("error", [Unspeakable(), asyncio.CancelledError()], ids=["unspeakable", "cancelled"])
@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_whatever_a_callable_raises_it_is_asked_once(transport: str, error: BaseException) -> None:
    asked: list[str] = []

    async def auth() -> str:
        asked.append("again")
        if len(asked) > 1:
            raise error
        return "one"

    async with guarded() as (place, tokens), connected(place, transport, auth) as client:
        tokens.valid.clear()
        [session] = place.rt.sessions
        if transport == "websocket":
            assert session._machine.carrier is not None
            session._machine.carrier.link.abort()
        await client.send("hello")
        async with within():
            await client.wait_closed()
        assert (client.close_code, len(asked)) == (4411, 2)
        assert type(error).__name__ in str(client.close_reason)


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_a_callable_may_close_the_session(transport: str) -> None:
    """At once: until it returns the server would not hear of it."""
    sessions: list[realtime.ClientSession] = []

    async def auth() -> str:
        for session in sessions:
            await session.close()
        return "one"

    async with guarded() as (place, tokens), within():
        options: Any = {"auth": auth, "transports": transport, "close_timeout": 3600, "backoff": (0.01, 0.02)}
        sessions.append(await realtime.connect(place.url("/echo"), **options))
        tokens.valid.clear()
        [session] = place.rt.sessions
        if transport == "websocket":
            assert session._machine.carrier is not None
            session._machine.carrier.link.abort()
        await sessions[0].send("never taken")
        await sessions[0].wait_closed()
        assert sessions[0].close_code == 4412
        assert sessions[0].unacknowledged == ["never taken"]
        await sessions[0].close()  # and has let go of everything


async def test_a_callable_that_hangs_is_given_up() -> None:
    """As it opens, and where it is asked for others."""
    hang = asyncio.Event()

    async def auth() -> str:
        if hang.is_set():
            await asyncio.Event().wait()
        return "one"

    async with guarded() as (place, tokens), within():
        options: Any = {"auth": auth, "transports": "websocket", "open_timeout": 0.02, "clock": VirtualClock()}
        async with realtime.connect(place.url("/echo"), **options) as client:
            hang.set()
            tokens.valid.clear()
            [session] = place.rt.sessions
            assert session._machine.carrier is not None
            session._machine.carrier.link.abort()
            await client.wait_closed()
            assert client.close_code == 4411
            assert str(client.close_reason).endswith("auth() gave no answer within open_timeout=0.02 s")
        with pytest.raises(realtime.NegotiationError, match="auth: no answer within open_timeout="):
            await realtime.connect(place.url("/echo"), **options)


@each_transport
async def test_fresh_auth_data_before_the_old_expire(transport: str) -> None:
    async with guarded() as (place, tokens), connected(place, transport, "one") as client:
        await client.send("hello")
        await client.reauthorize("two")
        [session] = place.rt.sessions
        assert (session.request.auth, session.identity) == ("two", "ada")
        del tokens.valid["one"]
        await client.send("again")
        assert [await client.receive() for _ in range(2)] == ["hello", "again"]


@each_transport
@pytest.mark.parametrize(("token", "code"), [("wrong", 4401), ("other", 4403)])
async def test_fresh_auth_data_that_are_refused_end_the_session(transport: str, token: str, code: int) -> None:
    async with guarded() as (place, _), connected(place, transport, "one") as client:
        with pytest.raises(realtime.SessionClosed) as caught:
            await client.reauthorize(token)
        assert caught.value.code == client.close_code == code
        assert len(place.rt) == 0
        with pytest.raises(realtime.SessionClosed):
            await client.reauthorize("one")


async def test_auth_data_that_are_no_json() -> None:
    async with guarded() as (place, _), connected(place, "websocket", "one") as client:
        with pytest.raises(TypeError):
            await client.reauthorize({1, 2})
        await client.reauthorize("two")


@each_transport
async def test_expired_auth_data_are_renewed_once(transport: str) -> None:
    async with guarded() as (place, tokens):
        issuer = Issuer("one", "two")
        async with connected(place, transport, issuer) as client:
            await client.send("hello")
            assert await client.receive() == "hello"
            [session] = place.rt.sessions
            del tokens.valid["one"]
            if transport == "websocket":  # the others make requests all the time
                carrier = session._machine.carrier
                assert carrier is not None
                carrier.link.abort()
            await client.send("again")
            assert await client.receive() == "again"
            assert (session.request.auth, issuer.tokens) == ("two", ["two"])


async def test_sessions_in_a_row_say_why_none_followed(caplog: pytest.LogCaptureFixture) -> None:
    asked = 0

    def auth() -> str:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise RuntimeError("no tokens today")
        return "one"

    async with guarded() as (place, _):
        seen = 0
        with caplog.at_level("INFO", "realtime.session"):
            url = f"http://127.0.0.1:{place.port}/realtime/echo"
            async for session in realtime.connect(url, auth=auth, backoff=(0.001, 0.01)):
                await session.close()
                seen += 1
                if seen == 2:
                    break
    assert "tries again: RuntimeError('no tokens today')" in caplog.text


@each_transport
@pytest.mark.parametrize(
    ("auth", "code"),
    [("one", 4401), (Issuer("one", "wrong"), 4401), (Issuer("one"), 4411)],
    ids=["fixed", "wrong", "raises"],
)
async def test_a_client_that_has_no_better_gives_up(transport: str, auth: Any, code: int) -> None:
    if isinstance(auth, Issuer):
        auth = Issuer(*auth.tokens)
    async with guarded() as (place, tokens), connected(place, transport, auth) as client:
        [session] = place.rt.sessions
        tokens.valid.clear()
        carrier = session._machine.carrier
        if transport == "websocket":
            assert carrier is not None
            carrier.link.abort()
        await client.send("hello")
        async with within():
            await client.wait_closed()
        assert client.close_code == code
        assert "expired" in str(client.close_reason)
        assert client.unacknowledged == ["hello"]


async def test_a_lost_connection_delays_fresh_auth_data() -> None:
    async with guarded() as (place, _):
        async with FaultProxy("127.0.0.1", place.port) as proxy:
            url = f"{proxy.url}/realtime/echo"
            async with realtime.connect(url, auth="one", transports=["websocket"], backoff=(0.01, 0.05)) as client:
                [session] = place.rt.sessions
                carrier = session._machine.carrier
                assert carrier is not None
                carrier.link.abort()
                await arrives(client.reauthorize("two"))
                assert session.request.auth == "two"
        await eventually(lambda: len(place.rt) == 0)
