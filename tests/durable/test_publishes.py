"""What handlers of durable sessions publish: behind the commit, in order and once, whoever dies at whatever point."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

import realtime
from realtime.core.durable.changes import Touch
from realtime.core.durable.record import Stage

from ..patience import arrives, eventually
from .raw import Raw
from .workers import KEPT, Handler, Place, Rooms, Worker, heard, keeps, record, telling, worker


async def keeping(place: Place, handler: Handler, **settings: Any) -> Worker:
    """A worker whose room keeps what was published."""
    return await place.worker(handler, prepare=keeps, **settings)


async def is_done(one: Worker, sid: str) -> None:
    """Waits until nothing of the session is to be published any more."""
    async with asyncio.timeout(90):
        while (await record(one, sid)).publishes:  # noqa: ASYNC110 who writes that is another worker, maybe
            await asyncio.sleep(0.01)


def stands_still(one: Worker) -> None:
    """The worker does nothing more for its durable sessions, as if it had been killed."""
    for holding in tuple(one.keeper.holdings.values()):
        holding.cut()


async def test_published_behind_the_commit_in_order_and_once(place: Place) -> None:
    one = await keeping(place, telling)
    raw = Raw(place.http, one.url)
    await raw.open()
    one.puts.before.clear()
    await raw.say("a")
    await arrives(one.puts.waiting.wait())
    assert await heard(one.rt) == []
    one.puts.before.set()
    await raw.until("mtold a")
    await raw.say("b")
    await raw.until("mtold b")
    await eventually(lambda: not one.keeper.holdings[raw.sid].owner.record.publishes)
    assert await heard(one.rt) == ["a", "a again", "b", "b again"]
    assert (await record(one, raw.sid)).publishes == ()


async def test_a_store_that_fails_as_none_should_is_asked_again(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    one = await keeping(place, telling)
    Rooms(one.rt).raises = [RuntimeError("of a store"), RuntimeError("of a store")]
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.say("a")
    await raw.until("mtold a")
    await is_done(one, raw.sid)
    assert await heard(one.rt) == ["a", "a again"]
    assert len([record for record in caplog.records if record.exc_info]) == 1


async def test_a_member_that_is_not_durable_hears_it(place: Place) -> None:
    async def handler(session: realtime.Session) -> None:
        if not session.durable:
            await session.join(KEPT)
            await session.send("in")
        async for message in session:
            await session.publish(KEPT, message)

    one = await keeping(place, handler)
    other = Raw(place.http, one.url)
    await other.connect(other.opening(durable=False).replace(', "rooms": {}', ""))
    await other.until("min")
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.say("from a durable one")
    await other.until("mfrom a durable one")
    await other.say("from an ordinary one")
    await other.until("mfrom an ordinary one")
    assert await heard(one.rt) == ["from a durable one", "from an ordinary one"]


async def test_a_turn_that_was_not_committed_publishes_nothing(place: Place) -> None:
    began = asyncio.Event()

    async def dying(session: realtime.Session) -> None:
        async for message in session:
            await session.publish(KEPT, f"never {message!s}")
            began.set()
            await asyncio.Event().wait()

    one, two = await keeping(place, dying), await keeping(place, telling)
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.say("a")
    await arrives(began.wait())
    raw.url = two.url
    await raw.again()
    await raw.until("mtold a")
    await is_done(two, raw.sid)
    assert await heard(two.rt) == ["a", "a again"]


@pytest.mark.parametrize("point", ["before", "behind", "done"])
async def test_who_takes_over_publishes_what_was_committed(place: Place, point: str) -> None:
    """The worker dies before the broker has the message, behind that, and when only the record has to say so."""
    one, two = await keeping(place, telling), await keeping(place, telling)
    broker = Rooms(one.rt)
    raw = Raw(place.http, one.url)
    await raw.open()
    if point == "done":
        broker.before.clear()
        await raw.say("a")
        await raw.until("mtold a")
        one.puts.before.clear()
        broker.before.set()
        await arrives(one.puts.waiting.wait())
    else:
        getattr(broker, point).clear()
        await raw.say("a")
        await raw.until("mtold a")
        await arrives(broker.waiting.wait())
    raw.url = two.url
    await raw.again()
    await raw.say("b")
    await raw.until("mtold b")
    await is_done(two, raw.sid)
    for event in (broker.before, broker.behind, one.puts.before):
        event.set()
    await one.keeper.sweeps.look()
    await eventually(lambda: not one.keeper.holdings)
    assert await heard(two.rt) == ["a", "a again", "b", "b again"]


async def test_what_a_store_has_lost_is_published_again_and_heard_once_in_the_same_place(place: Place) -> None:
    """Its id and its message are one write of the store, which loses both or neither. Members know what they have heard
    at a place by its id."""

    async def handler(session: realtime.Session) -> None:
        if not session.durable:
            await session.join(KEPT)
            await session.send("in")
        async for message in session:
            await session.publish(KEPT, message)
            await session.send(f"told {message!s}")

    one, two, three = [await keeping(place, handler) for _ in range(3)]
    member = Raw(place.http, three.url)
    await member.connect(member.opening(durable=False).replace(', "rooms": {}', ""))
    await member.until("min")
    broker = Rooms(one.rt)
    broker.behind.clear()
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.say("a")
    await member.until("ma")
    again = Rooms(two.rt)
    again.before.clear()
    raw.url = two.url
    await raw.again()
    await arrives(again.waiting.wait())
    store: Any = place.broker
    room = store._rooms[KEPT]
    lost = room.entries.pop()
    room.top, room.id = lost.offset - 1, lost.previous
    del store._repeats[KEPT, lost.id]
    again.before.set()  # before anybody looks at the room
    await raw.say("b")
    await member.until("mb")
    await is_done(two, raw.sid)
    assert await heard(two.rt) == ["a", "b"]
    assert member.messages == ["in", "a", "b"]
    broker.behind.set()
    await one.keeper.sweeps.look()
    await eventually(lambda: not one.keeper.holdings)
    assert await heard(two.rt) == ["a", "b"]


async def test_what_a_commit_published_is_named_by_that_commit(place: Place) -> None:
    """Its message comes again, and publishes something else."""
    began = asyncio.Event()

    async def handler(session: realtime.Session) -> None:
        async for _ in session:
            await session.publish(KEPT, "again" if session.redelivered else "first")
            await session.commit()
            if not session.redelivered:
                began.set()
                await asyncio.Event().wait()
            await session.send("done")

    one, two = await keeping(place, handler), await keeping(place, handler)
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.say("a")
    await arrives(began.wait())
    raw.url = two.url
    await raw.again()
    await raw.until("mdone")
    await is_done(two, raw.sid)
    assert await heard(two.rt) == ["first", "again"]


@pytest.mark.parametrize("point", ["before", "behind"])
async def test_the_last_turn_of_a_session_is_published_behind_its_end(place: Place, point: str) -> None:
    async def handler(session: realtime.Session) -> None:
        async for message in session:
            await session.publish(KEPT, message)
            return

    one = await keeping(place, handler)
    broker = Rooms(one.rt)
    getattr(broker, point).clear()
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.say("last")
    await raw.until("c1000")
    await arrives(broker.waiting.wait())
    await raw.ack()
    await raw.gone()
    assert raw.ended[:2] == ("1000", "session")
    broker.before.set()
    broker.behind.set()
    await is_done(one, raw.sid)
    assert (await record(one, raw.sid)).stage is Stage.ENDED
    assert await heard(one.rt) == ["last"]


async def test_who_takes_over_a_session_whose_handler_has_returned_publishes_for_it(place: Place) -> None:
    """There is nothing else to be written."""

    async def handler(session: realtime.Session) -> None:
        await session.publish(KEPT, "all")

    one, two = await keeping(place, handler), await keeping(place, handler)
    broker = Rooms(one.rt)
    broker.before.clear()
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.until("c1000")
    await arrives(broker.waiting.wait())
    raw.url = two.url
    await raw.again()
    await is_done(two, raw.sid)
    broker.before.set()
    assert await heard(two.rt) == ["all"]


@pytest.mark.parametrize("ends", [True, False], ids=["ended", "left alone"])
async def test_what_a_dead_worker_was_to_publish_is_swept(place: Place, ends: bool) -> None:
    """The session may have ended, or its client have gone: nobody asks for it."""

    async def handler(session: realtime.Session) -> None:
        async for message in session:
            await session.publish(KEPT, message)
            await session.send("told")
            if ends:
                return

    one, two = await keeping(place, handler), await keeping(place, handler)
    broker = Rooms(one.rt)
    broker.before.clear()
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.say("left")
    await raw.until("mtold")
    await arrives(broker.waiting.wait())
    if ends:
        await raw.until("c1000")
        await raw.ack()
        await raw.gone()
        for task in tuple(one.keeper.sweeps._last):
            task.cancel()
    else:
        stands_still(one)
    assert (await record(two, raw.sid)).publishes
    twin = Rooms(two.rt)
    twin.fails = 1  # its room is away: it is due later, and nothing is lost
    await two.keeper.sweeps.sweep([raw.sid])
    assert await heard(two.rt) == []
    await two.keeper.sweeps.sweep([raw.sid])
    assert (await record(two, raw.sid)).publishes == ()
    assert await heard(two.rt) == ["left"]
    broker.before.set()
    await two.keeper.sweeps.sweep([raw.sid])
    assert await heard(two.rt) == ["left"]


async def test_a_broker_that_does_not_answer_is_asked_again(place: Place) -> None:
    one = await keeping(place, telling)
    broker = Rooms(one.rt)
    broker.fails = 2
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.say("a")
    await raw.until("mtold a")
    await is_done(one, raw.sid)
    first, second = dict.fromkeys(broker.asked)
    assert broker.asked == [first, first, first, second]
    assert await heard(one.rt) == ["a", "a again"]


async def test_who_stood_still_asks_the_store_before_it_publishes(place: Place) -> None:
    """Another worker has the session, and the broker may have forgotten what that has published."""
    one, two = await keeping(place, telling), await keeping(place, telling)
    broker = Rooms(one.rt)
    broker.fails = 1_000_000
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.say("a")
    await raw.until("mtold a")
    holding = one.keeper.holdings[raw.sid]
    raw.url = two.url
    await raw.again()
    await is_done(two, raw.sid)
    place.broker._repeats.clear()  # type: ignore[attr-defined] # a long time has passed
    holding.confirmed = float("-inf")
    broker.fails = 0
    await eventually(lambda: not one.keeper.holdings)
    assert await heard(two.rt) == ["a", "a again"]


async def test_a_session_waits_with_what_the_broker_has_yet_to_take(place: Place) -> None:
    seen: list[str] = []

    async def handler(session: realtime.Session) -> None:
        async for message in session:
            seen.append(str(message))
            await session.publish(KEPT, message)

    one = await keeping(place, handler, max_turn=2)
    broker = Rooms(one.rt)
    broker.before.clear()
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.say("a", "b", "c")
    await arrives(broker.waiting.wait())
    holding = one.keeper.holdings[raw.sid]
    await eventually(lambda: len(holding.owner.record.publishes) == 2 and holding.owner.record.received == 3)
    for _ in range(3):  # time enough for the handler, if it were given another one
        assert await holding.change(Touch())
    assert seen == ["a", "b"]
    broker.before.set()
    await eventually(lambda: seen == ["a", "b", "c"] and not holding.owner.record.publishes)
    assert await heard(one.rt) == ["a", "b", "c"]


async def test_a_turn_is_bounded_and_names_are_checked_before_they_are_stored(place: Place) -> None:
    async def handler(session: realtime.Session) -> None:
        for wrong in ("\0own", "\ud800"):
            with pytest.raises(realtime.LocalProtocolError):
                await session.publish(wrong, "never")
        with pytest.raises(TypeError):
            await session.publish(KEPT, 1)  # type: ignore[arg-type]
        await session.publish(KEPT, b"1")
        await session.publish(KEPT, "2")
        with pytest.raises(realtime.SendBufferFull):
            await session.publish(KEPT, "3")
        await session.commit()
        await session.send("done")
        async for _ in session:
            pass

    one = await keeping(place, handler, max_turn=2)
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.until("mdone")
    await is_done(one, raw.sid)
    assert await heard(one.rt) == [b"1", "2"]


async def test_other_tasks_publish_by_commits_of_their_own(place: Place) -> None:
    """While the handler is in its turn, whose commit that is not."""
    go = asyncio.Event()

    async def handler(session: realtime.Session) -> None:
        async def other() -> None:
            await asyncio.gather(*(session.publish(KEPT, str(number)) for number in range(5)))

        async for _ in session:
            session.data["never"] = True
            await session.publish(KEPT, "never")
            await asyncio.create_task(other())
            go.set()
            await asyncio.Event().wait()

    one = await keeping(place, handler, max_turn=1)
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.say("a")
    await arrives(go.wait())
    await is_done(one, raw.sid)
    assert await heard(one.rt) == ["0", "1", "2", "3", "4"]
    assert (await record(one, raw.sid)).data == "{}"


async def test_a_worker_that_goes_publishes_first() -> None:
    broker = realtime.MemoryBroker()
    async with contextlib.AsyncExitStack() as stack:
        place = await stack.enter_async_context(worker(broker))
        two = await keeping(place, telling)
        async with worker(broker) as leaving:
            one = await keeping(leaving, telling)
            raw = Raw(leaving.http, one.url)
            await raw.open()
            held = Rooms(one.rt)
            held.fails = 1
            await raw.say("a")
            await raw.until("mtold a")
        assert await heard(two.rt) == ["a", "a again"]
