"""What a handler of a durable session does, and what is stored of it when: over real connections, with a second server
on the same broker as the other worker.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import Any

import pytest

import realtime
from realtime.core.durable.owner import Write
from realtime.core.durable.record import Stage
from realtime.durable.session import DurableSession

from ..patience import arrives, eventually
from .raw import Polls, Raw
from .workers import KEPT, Place, counting, heard, keeps, record


async def test_a_session_says_its_tenure_and_counts(place: Place) -> None:
    one = await place.worker(counting)
    raw = Raw(place.http, one.url)
    assert '"tenure":"' in await raw.open()
    assert raw.sid.startswith("d.")
    await raw.say("a", "b")
    await raw.until("mb")
    assert raw.messages == ["welcome", "a 1", "b 2"]
    assert (await raw.again()).startswith(f"r2,2,{raw.tenure}")
    await raw.say("end")
    await raw.until("c1000")
    await raw.ack()
    await raw.gone()
    assert raw.ended[:2] == ("1000", "session")
    assert (await record(one, raw.sid)).stage is Stage.ENDED


async def test_a_store_that_fails_as_none_should_is_asked_again(
    place: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await place.worker(counting)
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.until("mwelcome")
    keeper = one.rt._service.keeper
    assert keeper is not None
    put, failures = keeper.records.put, [asyncio.CancelledError("of a store's own"), RuntimeError("of a store")]

    async def fails_twice(*args: Any) -> str:
        if failures:
            raise failures.pop()
        return await put(*args)

    monkeypatch.setattr(keeper.records, "put", fails_twice)
    await raw.say("a")
    await raw.until("ma 1")
    assert [r.getMessage() for r in caplog.records if r.exc_info] == [
        f"! session {one.sessions[0].label}: the store has failed, and is asked again"
    ]


async def test_a_client_without_the_rules_gets_an_ordinary_session(place: Place) -> None:
    seen: list[tuple[bool, bool, bool]] = []

    async def handler(session: realtime.Session) -> None:
        seen.append((session.durable, session.restored, session.redelivered))
        await session.commit()  # which does nothing
        async for message in session:
            await session.send(message)

    one = await place.worker(handler)
    raw = Raw(place.http, one.url)
    assert "tenure" not in await raw.connect(raw.opening(durable=False))
    assert not raw.sid.startswith("d.")
    await raw.say("hello")
    await raw.until("mhello")
    assert seen == [(False, False, False)]


async def test_other_protocols_get_ordinary_sessions(place: Place) -> None:
    seen: list[bool] = []

    async def handler(session: realtime.Session) -> None:
        seen.append(session.durable)
        async for message in session:
            await session.send(message)

    one = await place.worker(handler)
    async with place.http.ws_connect(one.url) as socket:  # a bare WebSocket
        await socket.send_str("hello")
        assert (await arrives(socket.receive())).data == "hello"
    assert seen == [False]


async def test_nothing_is_said_before_it_is_stored(place: Place) -> None:
    one = await place.worker(counting)
    polls = Polls(place.http, one.url)
    await polls.open()
    await polls.until(1)
    one.puts.before.clear()
    sending = asyncio.ensure_future(polls.send("a"))
    polling = asyncio.ensure_future(polls.poll())
    await arrives(one.puts.waiting.wait())
    await asyncio.sleep(0)
    assert not sending.done()
    assert not polling.done()
    assert (await record(one, polls.sid)).received == 0
    one.puts.before.set()
    assert (await arrives(sending))[0].startswith("a1,")
    await arrives(polling)
    await polls.until(2)
    assert polls.messages == ["welcome", "a 1"]


async def test_a_turn_that_was_not_committed_leaves_nothing(place: Place) -> None:
    began = asyncio.Event()

    async def dying(session: realtime.Session) -> None:
        async for message in session:
            session.data["seen"] = message
            await session.send("never seen")
            began.set()
            await asyncio.Event().wait()

    seen: list[tuple[str, bool, Any]] = []

    async def living(session: realtime.Session) -> None:
        async for message in session:
            assert isinstance(message, str)
            seen.append((message, session.redelivered, dict(session.data)))
            await session.send(f"got {message!s}")

    one, two = await place.worker(dying), await place.worker(living)
    raw = Raw(place.http, one.url)
    await raw.open()
    before = raw.tenure
    await raw.say("a")
    await arrives(began.wait())
    raw.url = two.url
    assert (await raw.again()).startswith("r")
    assert raw.tenure != before
    await raw.until("mgot a")
    assert raw.messages == ["got a"]
    assert seen == [("a", False, {})]


async def test_what_was_committed_in_a_turn_is_there_when_its_message_comes_again(place: Place) -> None:
    """A handler that streams keeps its position."""
    committed = asyncio.Event()

    async def stream(session: realtime.Session, most: int) -> None:
        async for message in session:
            at = session.data["at"] if session.redelivered else 0
            for line in range(at, most):
                await session.send(f"{message!s} {line}")
                session.data["at"] = line + 1
                await session.commit()
            if most < 6:
                committed.set()
                await session.send("never seen")
                await asyncio.Event().wait()

    async def first(session: realtime.Session) -> None:
        await stream(session, 3)

    async def second(session: realtime.Session) -> None:
        await stream(session, 6)

    one, two = await place.worker(first), await place.worker(second)
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.say("job")
    await raw.until("mjob 2")
    await arrives(committed.wait())
    raw.url = two.url
    await raw.again()
    await raw.until("mjob 5")
    assert raw.messages == [f"job {line}" for line in range(6)]


@pytest.mark.parametrize("over_polls", [False, True], ids=["websocket", "polls"])
async def test_between_the_write_and_the_ack(place: Place, over_polls: bool) -> None:
    """The turn is stored, and its worker dies before anybody hears of that: the next one tells it, once."""
    one, two = await place.worker(counting), await place.worker(counting)
    if over_polls:
        polls = Polls(place.http, one.url)
        await polls.open()
        await polls.until(1)
        one.puts.behind.clear()
        sending = asyncio.ensure_future(polls.send("a"))
        await arrives(one.puts.waiting.wait())
        polls.url = two.url
        await polls.poll()
        await polls.send_again()
        await polls.until(2)
        await polls.send("b")
        await polls.until(3)
        assert polls.messages == ["welcome", "a 1", "b 2"]
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    else:
        raw = Raw(place.http, one.url)
        await raw.open()
        await raw.until("mwelcome")
        one.puts.behind.clear()
        await raw.say("a")
        await arrives(one.puts.waiting.wait())
        raw.url = two.url
        await raw.again()
        await raw.say("b")
        await raw.until("mb")
        assert raw.messages == ["welcome", "a 1", "b 2"]
    one.puts.behind.set()


async def test_a_fenced_worker_says_nothing_more(place: Place) -> None:
    ends: list[str] = []

    async def handler(session: realtime.Session) -> None:
        try:
            async for message in session:
                await session.send(f"{message!s} by {session.data.setdefault('by', len(ends))}")
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise
        ends.append("returned")

    one, two = await place.worker(handler), await place.worker(handler)
    raw, other = Raw(place.http, one.url), Raw(place.http, two.url)
    await raw.open()
    await raw.stored(0)
    (here,) = one.sessions
    other.sid, other.key, other.tenure, other.gen = raw.sid, raw.key, raw.tenure, raw.gen
    await other.again()
    await raw.say("to nobody")  # its write finds another's
    await raw.gone()
    assert not raw.messages
    assert not raw.ended
    await eventually(lambda: one.sessions == [])
    assert here.close_code == 1012
    await eventually(lambda: ends)
    assert ends == ["cancelled"]
    other.sent = raw.sent
    await other.again()
    await other.until("m")
    assert other.messages == ["to nobody by 1"]


async def test_a_client_that_is_ahead_of_the_store_is_told_so(place: Place) -> None:
    one, two = await place.worker(counting), await place.worker(counting)
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.until("mwelcome")
    old = await record(one, raw.sid)
    await raw.say("a")
    await raw.until("ma")
    there = (await record(one, raw.sid)).id
    await one.records._records.put(raw.sid, Write(there, old), 100.0)  # the store goes back
    raw.url = two.url
    await raw.connect(raw.attach())
    await raw.gone()
    assert raw.ended[:2] == ("4414", "session")
    assert (await record(two, raw.sid)).end.code == 4414


async def test_a_late_attach_is_superseded_and_counts_for_nothing(place: Place) -> None:
    one = await place.worker(counting)
    raw, late = Raw(place.http, one.url), Raw(place.http, one.url)
    await raw.open()
    await raw.until("mwelcome")
    late.sid, late.key, late.tenure = raw.sid, raw.key, raw.tenure
    gen = raw.gen
    raw.gen += 2
    await raw.again()
    assert await late.connect(late.attach(gen + 1)) == "esuperseded"
    await late.socket.send_str("mnot counted")
    await late.gone()
    await raw.say("counted")
    await raw.until("m")
    assert raw.messages == ["welcome", "counted 1"]


async def test_an_unknown_tenure(place: Place) -> None:
    one = await place.worker(counting)
    polls = Polls(place.http, one.url)
    await polls.open()
    polls.tenure = "another"
    status, frames = await polls.post("send", [polls.head(), "ma"])
    assert (status, frames[0][:14]) == (503, "x4503,carrier,")
    status, frames = await polls.post("send", [polls.head().replace("another", "no id!"), "ma"])
    assert status == 400
    status, frames = await polls.post("long_polling", [polls.attach()])
    assert (status, frames[-1][:14]) == (410, "x4414,session,")


async def test_a_repeated_open_finds_its_session_at_any_worker(place: Place) -> None:
    runs: list[bool] = []

    async def handler(session: realtime.Session) -> None:
        runs.append(session.restored)
        async for message in session:
            await session.send(message)

    one, two = await place.worker(handler), await place.worker(handler)
    raw, again = Raw(place.http, one.url), Raw(place.http, two.url)
    again.nonce = raw.nonce
    await raw.connect(raw.opening())
    again.gen = raw.gen
    await again.connect(again.opening())
    assert (again.sid, again.key) == (raw.sid, raw.key)
    await again.ack()
    await again.say("hello")
    await again.until("mhello")
    third = Raw(place.http, two.url)
    third.nonce, third.gen = raw.nonce, again.gen
    await third.connect(third.opening())
    await third.gone()
    assert third.frames[-1].startswith("x4409,carrier")


async def test_the_clients_close_waits_for_the_handler(place: Place) -> None:
    """Its close is acknowledged when it is stored; what is in front of it is taken without it."""
    go = asyncio.Event()
    taken: list[str] = []

    async def handler(session: realtime.Session) -> None:
        async for message in session:
            await go.wait()
            taken.append(str(message))

    one = await place.worker(handler)
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.say("a", "b")
    await raw.close_session()
    await raw.until("a3,")
    await raw.drop()
    assert taken == []
    assert (await record(one, raw.sid)).draining
    go.set()
    await eventually(lambda: one.sessions == [])
    assert taken == ["a", "b"]
    ended = await record(one, raw.sid)
    assert (ended.stage, ended.end.code, ended.taken) == (Stage.ENDED, 1000, 2)


async def test_other_tasks_send_at_once_and_may_not_receive(place: Place) -> None:
    errors: list[str] = []

    async def handler(session: realtime.Session) -> None:
        async def beside() -> None:
            await session.send("beside")
            for wrong in (session.receive, session.commit):
                with pytest.raises(realtime.LocalProtocolError) as raised:
                    await wrong()
                errors.append(str(raised.value))

        async for message in session:
            await session.send(f"later: {message!s}")
            await asyncio.create_task(beside())

    one = await place.worker(handler)
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.say("a")
    await raw.until("mlater")
    assert raw.messages == ["beside", "later: a"]
    assert "one task receives" in errors[0]
    assert "commit() is for the handler's own task" in errors[1]


async def test_what_the_handler_calls_is_its_turns_in_whatever_task_it_runs(place: Place) -> None:
    """asyncio.gather() makes a task for each coroutine, and so does asyncio.wait_for() until Python 3.12."""
    called, go, late = asyncio.Event(), asyncio.Event(), []

    async def handler(session: realtime.Session) -> None:
        async for message in session:
            if message == "c":  # what runs when the turn is over is a commit of its own
                late.append(asyncio.create_task(session.send("late")))
                continue
            await asyncio.gather(session.send(f"{message!s}1"), session.join("room"), session.publish(KEPT, message))
            if message == "a":
                await asyncio.gather(session.leave("room"))
                await asyncio.gather(session.flush())
                await asyncio.gather(session.send("a2"))
                await asyncio.gather(session.commit())
            called.set()
            await go.wait()
            if message == "b":
                raise RuntimeError("what was done in this turn is nothing")

    one = await place.worker(handler, prepare=keeps)
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.say("a")
    await raw.until("ma1")
    await raw.ack()
    await raw.until("ma2")
    await arrives(called.wait())
    stored = await record(one, raw.sid)
    assert (stored.taken, stored.rooms) == (0, ())  # it is in the turn of "a" still
    called.clear()
    go.set()
    await raw.say("c")
    await raw.until("mlate")
    go.clear()
    await raw.say("b")
    await arrives(called.wait())
    stored = await record(one, raw.sid)
    assert (stored.taken, stored.rooms, len(raw.messages)) == (2, (), 3)
    go.set()
    await raw.until("c1011")
    assert raw.messages == ["a1", "a2", "late"]
    assert await heard(one.rt) == ["a"]
    assert all(task.done() for task in late)


async def test_a_receive_that_is_given_up_loses_nothing(place: Place) -> None:
    async def handler(session: realtime.Session) -> None:
        ticks = 0
        while True:
            try:
                message = await asyncio.wait_for(session.receive(), 0.001)
            except TimeoutError:
                ticks += 1
                if ticks == 3:
                    await session.send("tick")
            else:
                session.data["n"] = session.data.get("n", 0) + 1
                await session.send(f"{message!s} {session.data['n']}")

    one = await place.worker(handler)
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.until("mtick")
    for number in range(20):
        await raw.say(str(number))
    await raw.until("m19")
    assert raw.messages == ["tick", *(f"{number} {number + 1}" for number in range(20))]


async def test_a_turn_has_its_limit(place: Place) -> None:
    async def handler(session: realtime.Session) -> None:
        async for message in session:
            with pytest.raises(realtime.SendBufferFull):
                for number in range(10):
                    await session.send(f"{message!s} {number}")

    one = await place.worker(handler, max_turn=4)
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.say("a")
    await raw.until("ma 3")
    assert raw.messages == ["a 0", "a 1", "a 2", "a 3"]


@pytest.mark.parametrize(
    ("data", "words"),
    [({"a": {1, 2}}, "session.data has to be JSON"), ({"a": "x" * 100}, "at most 50 are kept")],
)
async def test_data_that_cannot_be_stored(
    place: Place, data: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[str] = []

    async def handler(session: realtime.Session) -> None:
        async for message in session:
            session.data.update(data)
            await session.send("never seen")
            if message == "return":
                return
            try:
                await session.commit()
            except realtime.LocalProtocolError as error:
                said.append(str(error))
                raise

    one = await place.worker(handler, max_data=50)
    for message in ("go on", "return"):
        raw = Raw(place.http, one.url)
        await raw.open()
        with caplog.at_level(logging.ERROR, "realtime.session"):
            await raw.say(message)
            await raw.until("c1011")
        assert raw.messages == []
        assert words in (said[0] if message == "go on" else caplog.text)


async def test_a_handler_that_fails_leaves_nothing_of_its_turn(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    async def handler(session: realtime.Session) -> None:
        async for message in session:
            await session.send(f"{message!s}")
            if message == "fail":
                raise ValueError("on purpose")

    one = await place.worker(handler)
    raw = Raw(place.http, one.url)
    await raw.open()
    with caplog.at_level(logging.CRITICAL, "realtime.session"):
        await raw.say("a", "fail")
        await raw.until("c1011")
    assert raw.messages == ["a"]


async def test_the_outbox_bounds_what_is_stored(place: Place) -> None:
    """A handler that sends for ever waits in commit() for its client, and one that is sent to by name drops."""
    sent: list[int] = []

    async def handler(session: realtime.Session) -> None:
        async for _ in session:
            for number in range(100):
                await session.send(str(number))
                await session.commit()
                sent.append(number)

    one = await place.worker(handler, max_outbox=8)
    raw = Raw(place.http, one.url, window=(4, 10_000))
    await raw.open()
    await raw.say("go")
    await raw.until("m3")
    assert max(sent, default=0) <= 8
    while len(raw.messages) < 100:
        await raw.ack()
        await raw.until("m")
    assert raw.messages == [str(number) for number in range(100)]


async def test_a_client_that_took_little_is_not_sent_too_much_by_the_next_worker(place: Place) -> None:
    """The sizes of what it has received, and not taken, are not stored."""

    async def handler(session: realtime.Session) -> None:
        if not session.restored:
            for number in range(30):
                await session.send(str(number))
        async for message in session:
            await session.send(f"{message!s}")

    one, two = await place.worker(handler), await place.worker(handler)
    raw = Raw(place.http, one.url, window=(16, 10_000))
    await raw.open()
    await raw.until("m15")
    await raw.socket.send_str("a16,0")
    await raw.say("x")
    await raw.stored(1)
    raw.url = two.url
    attach = f"r{raw.sid},{raw.gen + 1},16,0,2,{raw.key},{raw.tenure}"
    raw.gen += 1
    await raw.connect(attach)
    await raw.socket.send_str("p")
    await raw.until("q")
    assert len(raw.messages) == 16
    await raw.socket.send_str("a16,16")
    await raw.until("m29")
    await raw.ack()
    await raw.until("mx")
    assert raw.messages == [*map(str, range(30)), "x"]


async def test_what_cannot_be_durable_is_refused_with_a_sentence() -> None:
    for broker in (None, realtime.MemoryBroker()):
        rt = realtime.Server(broker=broker)
        with pytest.raises(realtime.LocalProtocolError, match=r"kept by a broker|on_full takes"):
            rt.endpoint("/orders", durable=True, on_full="drop_oldest")
    with pytest.raises(realtime.LocalProtocolError, match="durable=True is for handlers of messages"):
        rt.endpoint("/events", durable=True)(realtime.Events())
    with pytest.raises(realtime.LocalProtocolError, match="durable=True is for handlers of messages"):
        rt.endpoint("/stomp", durable=True)(realtime.STOMP())
    with pytest.raises(TypeError, match="durable='yes': takes True or False"):
        rt.endpoint("/orders", durable="yes")  # type: ignore[arg-type] # on purpose


async def test_a_long_turn_is_logged(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    go, held = asyncio.Event(), asyncio.Event()

    async def handler(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)
            held.set()
            await go.wait()

    one = await place.worker(handler)
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.say("a")
    await arrives(held.wait())
    with caplog.at_level(logging.WARNING, "realtime.session"):
        one.sessions[0]._held_long()
    assert "calls session.commit()" in caplog.text
    assert one.sessions[0]._late is not None
    go.set()
    await raw.until("ma")
    assert one.sessions[0]._late is None


@pytest.mark.parametrize("name", ["send", "publish", "join", "leave", "commit", "flush", "close"])
def test_what_callers_see_of_a_method_is_what_every_session_has(name: str) -> None:
    def seen(cls: type[realtime.Session]) -> list[tuple[str, object, object]]:
        parameters = inspect.signature(getattr(cls, name)).parameters.values()
        return [(one.name, one.kind, one.default) for one in parameters]

    assert seen(DurableSession) == seen(realtime.Session)
