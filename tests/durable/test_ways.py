"""What applications do with durable sessions besides: flush, close, identities, log-ins, drains; and a store that one
worker does not reach.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import realtime
from realtime.brokers.base import Unanswered, Unreadable
from realtime.core.durable.record import Stage
from realtime.durable import holding as holdings

from ..patience import arrives, eventually
from .raw import Polls, Raw
from .workers import Place, counting, record


async def test_flush_commits_and_waits_for_the_client(place: Place) -> None:
    flushed = asyncio.Event()

    async def handler(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)
            await session.flush()
            flushed.set()
            await asyncio.Event().wait()

    one = await place.worker(handler)
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.say("a")
    await raw.until("ma")
    assert not flushed.is_set()
    await raw.ack()
    await arrives(flushed.wait())


async def test_a_handler_closes(place: Place) -> None:
    behind: list[type[Exception]] = []

    async def handler(session: realtime.Session) -> None:
        async for message in session:
            session.data["last"] = message
            await session.send("bye")
            await session.close(3001, "enough")
            for after in (session.receive, lambda: session.send("never"), session.commit):
                with pytest.raises(realtime.SessionClosed) as closed:
                    await after()
                behind.append(type(closed.value))

    one = await place.worker(handler)
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.say("a", "discarded")
    await raw.until("c3001,enough")
    await raw.ack()
    await raw.gone()
    assert raw.messages == ["bye"]
    assert raw.ended[:2] == ("3001", "session")
    ended = await record(one, raw.sid)
    assert (ended.stage, ended.end.code, ended.data) == (Stage.ENDED, 3001, '{"last":"a"}')
    await eventually(lambda: len(behind) == 3)


async def test_another_task_closes_and_the_turn_goes_along(place: Place) -> None:
    async def handler(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)
            closing = asyncio.create_task(session.close(3002))
            with pytest.raises(realtime.SessionClosed):
                while True:
                    await session.send("more")
                    await asyncio.sleep(0)
            await closing

    one = await place.worker(handler)
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.say("a")
    await raw.until("c3002")
    assert raw.messages[0] == "a"
    assert set(raw.messages[1:]) <= {"more"}
    await raw.ack()
    await raw.gone()


async def test_identities_reach_durable_sessions(place: Place) -> None:
    async def handler(session: realtime.Session) -> None:
        async for message in session:
            await session.send(f"{session.identity}: {message!s}")

    one, two = await place.worker(handler, max_outbox=2), await place.worker(handler, max_outbox=2)
    for rt in (one.rt, two.rt):

        @rt.authorize
        async def who(request: realtime.SessionRequest) -> str | None:
            if request.auth is None:
                raise realtime.Unauthorized("who are you?")
            return str(request.auth["name"])

    raw = Raw(place.http, one.url)
    await raw.open(auth={"name": "ada"})
    await one.rt.identity("ada").send("to ada")
    await raw.until("mto ada")
    raw.url = two.url
    await raw.again()  # with nothing but the key: the hook is asked with what the open brought
    await raw.say("a")
    await raw.until("mada: a")
    await raw.ack()
    await raw.socket.send_str("p")
    await raw.until("q")  # its ack was taken
    for number in range(6):
        await two.rt.identity("ada").send(str(number))
    await raw.until("m0")
    await raw.until("m1")
    await raw.ack()
    await raw.until("d4")
    await two.rt.close_identity("ada", 4401, "no more")
    await raw.gone()
    assert raw.ended[:2] == ("4401", "session")
    assert (await record(two, raw.sid)).end.code == 4401


@pytest.mark.parametrize("over", [Raw, Polls])
async def test_whoever_takes_over_knows_the_auth_data_that_were_brought_last(
    place: Place, over: type[Raw] | type[Polls]
) -> None:
    """Those of the open have expired by then."""

    async def handler(session: realtime.Session) -> None:
        async for _ in session:
            await session.send(f"{session.request.auth}")

    one, two = await place.worker(handler), await place.worker(handler)
    tokens = {"first", "second"}
    for rt in (one.rt, two.rt):

        @rt.authorize
        async def who(request: realtime.SessionRequest) -> str | None:
            if request.auth not in tokens:
                raise realtime.Unauthorized("expired")
            return "ada"

    client = over(place.http, one.url)
    await client.open(auth="first")
    one.puts.before.clear()
    if isinstance(client, Raw):
        await client.ack()
        await client.socket.send_str('t"second"')
        told = asyncio.ensure_future(client.until("t"))
    else:
        told = asyncio.ensure_future(client.post("send", [client.head(), 't"second"']))  # type: ignore[arg-type]
    await arrives(one.puts.waiting.wait())
    await asyncio.sleep(0)
    assert not told.done()  # which is not said before it is stored
    one.puts.before.set()
    await arrives(told)
    tokens.remove("first")
    client.url = two.url
    if isinstance(client, Raw):
        assert (await client.again()).startswith("r")
        await client.say("a")
        await client.until("msecond")
    else:
        await client.send("a")
        await client.until(1)
        assert client.messages == ["second"]


async def test_one_that_is_full_closes_where_the_endpoint_says_so(place: Place) -> None:
    async def handler(session: realtime.Session) -> None:
        async for _ in session:
            pass

    one = await place.worker(handler, max_outbox=2, on_full="close")

    @one.rt.authorize
    async def who(request: realtime.SessionRequest) -> str | None:
        return "ada"

    raw = Raw(place.http, one.url)
    await raw.connect(raw.opening())
    for number in range(3):
        await one.rt.identity("ada").send(str(number))
    await raw.gone()
    assert raw.ended[:2] == ("1008", "session")


async def test_send_nowait_in_a_turn_and_beside_it(place: Place) -> None:
    full: list[int] = []

    async def handler(session: realtime.Session) -> None:
        async for message in session:
            session.send_nowait(f"in {message!s}")

            def beside() -> None:
                try:
                    for number in range(10):
                        session.send_nowait(f"beside {number}")
                except realtime.SendBufferFull:
                    full.append(number)

            asyncio.get_running_loop().call_soon(beside)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    one = await place.worker(handler, max_outbox=4)
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.say("a")
    await raw.until("min a")
    assert raw.messages == [*(f"beside {number}" for number in range(4)), "in a"]
    assert full == [4]


async def test_a_drop_of_the_client_is_counted(place: Place) -> None:
    async def handler(session: realtime.Session) -> None:
        async for message in session:
            await session.send(f"{message!s} behind {session.dropped}")

    one = await place.worker(handler)
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.socket.send_str("d3")
    raw.sent.append("d3")
    await raw.say("a")
    await raw.until("ma behind 3")
    assert (await record(one, raw.sid)).received == 2


async def test_a_wrong_frame_ends_the_session_when_that_is_stored(place: Place) -> None:
    async def handler(session: realtime.Session) -> None:
        async for _ in session:
            pass

    one = await place.worker(handler, max_size=10)
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.socket.send_str("m" + "x" * 11)
    await raw.gone()
    assert raw.ended[:2] == ("1009", "session")
    polls = Polls(place.http, one.url)
    await polls.open()
    status, frames = await polls.post("send", [polls.head(), "m" + "x" * 11])
    assert (status, frames[0][:14]) == (413, "x1009,session,")
    polls = Polls(place.http, one.url)
    await polls.open()
    status, frames = await polls.post("long_polling", [polls.attach(), "m" + "x" * 11])
    assert (status, frames[-1][:14]) == (413, "x1009,session,")
    assert (await record(one, polls.sid)).end.code == 1009


@pytest.mark.parametrize("way", ["closed", "ended"])
async def test_a_handler_may_find_that_its_session_is_over_before_that_is_stored(
    place: Place, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    taken, go = asyncio.Event(), asyncio.Event()

    async def handler(session: realtime.Session) -> None:
        async for _ in session:
            taken.set()
            await go.wait()
            await session.send("nobody hears it")

    one = await place.worker(handler)
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.say("a")
    await arrives(taken.wait())
    (session,) = one.sessions
    one.puts.before.clear()
    closing = asyncio.ensure_future(session.close(4000, "enough")) if way == "closed" else None
    if closing is None:
        one.rt._service.sessions.end(4000, "enough")
    await arrives(one.puts.waiting.wait())
    go.set()
    await eventually(lambda: session not in one.rt._service.sessions.handlers.tasks)
    one.puts.before.set()
    await raw.until("c4000" if way == "closed" else "x4000")
    await raw.ack()
    if closing is not None:
        await arrives(closing)
    assert (raw.messages, [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]) == ([], [])


async def test_what_is_never_used_ends(place: Place) -> None:
    async def handler(session: realtime.Session) -> None:
        async for _ in session:
            pass

    one = await place.worker(handler)
    raw = Raw(place.http, one.url)
    await raw.connect(raw.opening())
    one.sessions[0]._machine.expire(one.sessions[0]._now() + 60.0)
    await raw.gone()
    assert raw.ended[:2] == ("4408", "session")


async def test_a_drain_hands_over(place: Place) -> None:
    async def handler(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    one, two = await place.worker(handler), await place.worker(handler)
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.stored(0)
    draining = asyncio.ensure_future(one.rt.drain(timeout=10))
    await raw.gone()
    assert raw.frames[-1] == "erecycled"
    await arrives(draining)
    assert (await raw.again()).startswith("x4503,carrier")
    raw.url = two.url
    await raw.again()
    await raw.say("a")
    await raw.until("ma")


async def test_a_worker_that_does_not_reach_the_store_sends_its_clients_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holdings, "STUCK", 0.05)

    async def handler(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    one, two = await place.worker(handler), await place.worker(handler)
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.stored(0)
    put: Any = one.records.put

    async def away(*write: Any) -> str:
        raise Unanswered("on purpose")

    one.records.put = away  # type: ignore[assignment] # on purpose
    await raw.say("a")
    await raw.gone()
    assert raw.frames[-1] == "erecycled"
    raw.url = two.url
    await raw.again()
    await raw.until("ma")
    one.records.put = put
    await eventually(lambda: one.sessions == [])


async def test_what_another_version_has_written_is_left_to_it(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Clients are told to come back, and the other sessions that nobody has are looked after all the same."""
    one, two = await place.worker(counting), await place.worker(counting)
    raw, other = Raw(place.http, one.url), Raw(place.http, one.url)
    for client in (raw, other):
        await client.open()
        await client.say("a")
        await client.until("ma 1")
        await client.ack()
    load = two.records.load
    looked: list[str] = []

    async def unreadable(sid: str) -> Any:
        looked.append(sid)
        if sid == raw.sid:
            raise Unreadable(f"session {sid}: another version")
        return await load(sid)

    monkeypatch.setattr(two.records, "load", unreadable, raising=False)
    polls = Polls(place.http, two.url)
    polls.sid, polls.key, polls.tenure = raw.sid, raw.key, raw.tenure
    for name, head in (("long_polling", polls.attach()), ("send", polls.head())):
        status, (answer,) = await polls.post(name, [head])
        assert status == 503
        assert "4503" in answer
    raw.url = two.url
    assert (await raw.again()).startswith("x4503,carrier")
    looked.clear()
    await two.keeper.sweeps.sweep([raw.sid, other.sid])
    assert looked == [raw.sid, other.sid]
    assert "a worker of another version" in caplog.text


async def test_the_request_of_a_session_that_was_taken_over_has_its_facts_and_no_cookies(place: Place) -> None:
    seen: list[tuple[str, dict[str, str], str, Any]] = []

    async def handler(session: realtime.Session) -> None:
        request = session.request
        if session.restored:
            with pytest.raises(realtime.LocalProtocolError, match="before a durable session was taken over"):
                _ = request.http
        else:
            session.data["user"] = request.http.cookies["user"]
        seen.append((session.data["user"], dict(request.cookies), request.headers["X-Name"], request.auth))
        await session.send("begun")
        async for _ in session:
            pass

    one, two = await place.worker(handler), await place.worker(handler)
    origin = one.url.removesuffix("/realtime/orders")
    place.http.headers.update({"Cookie": "user=ada", "Origin": origin, "X-Name": "x"})
    polls = Polls(place.http, one.url)
    await polls.open(auth={"a": 1})
    await polls.until(1)
    place.http.headers.popall("Cookie")
    place.http.headers.popall("Origin")
    polls.url = two.url
    await polls.until(2)
    assert seen == [("ada", {"user": "ada"}, "x", {"a": 1}), ("ada", {}, "x", {"a": 1})]
