"""Identities at every worker: sent to, closed, listed; over memory and over real Redis, with real sessions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import pytest

import realtime
from realtime import BrokerError, LocalProtocolError
from realtime.brokers import asking
from realtime.brokers.local import LocalRoom
from realtime.brokers.memory import MemoryBroker
from realtime.brokers.redis import RedisBroker
from realtime.core.identities import CLOSINGS, QUESTIONS, Closing, room_of

from ..patience import PATIENCE, arrives, eventually, leap, within
from ..web.peer import Peer
from ..web.place import Place, serving
from . import test_rooms as rooms
from .conftest import broker_of
from .servers import Server
from .test_store import Listener

Pair = tuple[Peer, realtime.Session]


class Workers(rooms.Workers):
    """Servers of one broker, where the X-Name of a request says who it is. Whoever is asked about waits at the gate."""

    def __init__(self, broker: Any, stack: AsyncExitStack) -> None:
        super().__init__(broker, stack)
        self.broker = broker
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = 0

    async def start(self, **settings: Any) -> Place:
        """One more; it is there when the others know of it."""
        place = await super().start(**settings)
        place.rt.authorize(self._who)
        await self.until_known(place)
        return place

    async def _who(self, request: realtime.SessionRequest) -> str | None:
        self.asked += 1
        await self.gate.wait()
        return request.headers.get("X-Name")

    async def until_known(self, place: Place) -> None:
        """Until it has a lease, and hears what is told to all."""
        local = place.rt._service.sessions.hub.rooms
        identities = shared(place)
        async with within("the worker has a lease"):
            for name in (CLOSINGS, QUESTIONS):
                await local._local[name].live()
            while True:
                if local.worker in await local._store.workers(identities._asking.part):
                    return
                await asyncio.sleep(0.01)


def shared(place: Place) -> Any:
    """The identities of a worker."""
    return place.rt._service.sessions.shared


def waits(place: Place, seconds: float) -> None:
    """How long this worker waits for the broker, and for the others, from now on."""
    rooms = place.rt._service.sessions.hub.rooms
    rooms.timeout = seconds
    for part in (rooms.reader, rooms._publishing, shared(place)._asking):
        part._timeout = seconds


def ear_of(place: Place, room: str) -> Any:
    """What hears that room at a worker."""
    return place.rt._service.sessions.hub.rooms._local[room]._hub


def name_of(place: Place) -> str:
    """The name of a worker."""
    return place.rt._service.sessions.hub.rooms.worker


@pytest.fixture(params=("memory", "tcp"))  # the others differ in their connections alone
def broker(request: pytest.FixtureRequest, prefix: str) -> MemoryBroker | RedisBroker:
    """Each kind in turn."""
    return broker_of(request, prefix)


EVERYWHERE = pytest.mark.parametrize("broker", ["memory", "tcp", "cluster"], indirect=True)


@pytest.fixture
async def workers(broker: MemoryBroker | RedisBroker) -> AsyncIterator[Workers]:
    async with AsyncExitStack() as stack:
        workers = Workers(broker, stack)
        yield workers
        await workers.stop()


@pytest.fixture
async def own_workers(own_redis: Server) -> AsyncIterator[Workers]:
    """Over a Redis that may be stopped."""
    async with AsyncExitStack() as stack:
        workers = Workers(RedisBroker(own_redis.url, beat=0.1), stack)
        yield workers
        await workers.stop()


async def login(place: Place, name: str, transport: str = "websocket") -> Pair:
    """A session of this identity."""
    return await place.parked(transport, headers={"X-Name": name})


def knock(place: Place, name: str) -> asyncio.Task[Any]:
    """A client opens."""
    return asyncio.create_task(place.peer("websocket", "/park", headers={"X-Name": name}).open())


# -- sending -----------------------------------------------------------------------------------------------------------


async def test_answers_and_who_has_to_answer_are_asked_for_at_once(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker may be far away."""
    one = await workers.start()
    await workers.start()
    store, asked = one.rt._service.sessions.hub.rooms._store, asyncio.Event()
    who, answers = store.workers, store.answers

    async def both(part: int) -> list[str]:
        asked.set()
        return await who(part)

    async def waits(part: int, question: str) -> dict[str, str]:
        asked.clear()
        await asked.wait()
        return await answers(part, question)

    monkeypatch.setattr(store, "workers", both)
    monkeypatch.setattr(store, "answers", waits)
    monkeypatch.setattr(shared(one)._asking, "look", asyncio.Event().wait)  # which asks who there is, too
    assert await arrives(one.rt.identity("ada").sessions()) == []


async def test_a_worker_reads_what_is_closed_as_soon_as_it_reaches_the_broker(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it hears of what is closed from now on: whom it lets in by then would be closed, too."""
    one = await workers.start()
    await one.rt.identity("ada").close()
    never = asyncio.Event()
    monkeypatch.setattr(LocalRoom, "live", lambda room: never.wait())
    two = await rooms.Workers.start(workers)
    await eventually(lambda: shared(two)._closings._known)


@EVERYWHERE
async def test_all_sessions_of_an_identity_hear_everything_once_in_one_order(workers: Workers) -> None:
    places = [await workers.start(), await workers.start()]
    adas = [await login(place, "ada") for place in places for _ in range(2)]
    bob, _ = await login(places[0], "bob")
    await asyncio.gather(
        *(place.rt.identity("ada").send(f"{index} {n}") for n in range(20) for index, place in enumerate(places))
    )
    heard = [await peer.take(40) for peer, _ in adas]
    assert heard[1:] == heard[:-1]
    for index in range(2):
        assert [text for text in heard[0] if str(text).startswith(f"m{index} ")] == [f"m{index} {n}" for n in range(20)]
    await places[1].rt.identity("ada").send(b"\x00\n\xff", skip=[adas[0][1], adas[2][1].id])
    await places[1].rt.identity("bob").send("bob alone")
    assert [await adas[1][0].take(1), await adas[3][0].take(1)] == [[b"\x00\n\xff"]] * 2
    assert await bob.take(1) == ["mbob alone"]
    await places[1].rt.identity("ada").send("end")
    assert [await peer.take(1) for peer, _ in adas] == [["mend"]] * 4


async def test_a_handler_hears_what_it_sends_to_its_own_identity_first_of_all(workers: Workers) -> None:
    place = await workers.start()
    for _ in range(3):
        peer, session = await login(place, "ada")
        await place.rt.identity("ada").send("welcome")
        assert await peer.take(1) == ["mwelcome"]
        await peer.send("x1000,session,,")
        await eventually(lambda session=session: session.closed)  # type: ignore[misc]


async def test_who_is_not_here_is_not_followed(workers: Workers) -> None:
    place = await workers.start()
    followed = place.rt._service.sessions.hub.rooms._local
    own = {CLOSINGS, QUESTIONS}
    assert set(followed) == own
    pairs = [await login(place, "ada"), await login(place, "ada"), await login(place, "bob")]
    assert set(followed) == own | {room_of("ada"), room_of("bob")}
    for peer, session in pairs:
        await peer.send("x1000,session,,")
        await eventually(lambda session=session: session.closed)  # type: ignore[misc]
    assert set(followed) == own
    assert not shared(place)._followed


async def test_an_identity_is_seldom_compared_and_soon_forgotten(own_redis: Server, own_workers: Workers) -> None:
    """There are as many of them as users."""
    place = await own_workers.start()
    await login(place, "ada")
    await arrives(place.rt.identity("ada").send("hello"))
    (room,) = shared(place)._followed.values()
    assert [room.is_due() for _ in range(36)].count(True) == 3
    assert all(place.rt._service.sessions.hub.rooms._local[CLOSINGS].is_due() for _ in range(3))
    with own_redis.client() as client:
        (key,) = client.keys("*:head:*identity/*")
        assert 3_000_000 < client.pttl(key) <= 3_600_000


@pytest.mark.parametrize("name", ["", "Ä \n\0", "x" * 2000])
async def test_an_identity_may_be_any_text(workers: Workers, name: str) -> None:
    one, two = await workers.start(), await workers.start()
    for place in (one, two):

        @place.rt.authorize
        async def authorize(request: realtime.SessionRequest) -> str:
            return name

    peer, session = await login(one, "")
    assert session.identity == name
    await two.rt.identity(name).send("hello")
    assert await peer.take(1) == ["mhello"]
    assert [info.id for info in await two.rt.identity(name).sessions()] == [session.id]
    assert await two.rt.identity(name).close() == 1
    assert session.closed


async def test_what_is_no_identity_or_no_message_is_refused(workers: Workers) -> None:
    place = await workers.start()
    with pytest.raises(TypeError, match="an identity is a str, not int"):
        place.rt.identity(5)  # type: ignore[arg-type] # that is what is tested
    with pytest.raises(TypeError):
        await place.rt.identity("ada").send(5)  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match="1006"):
        await place.rt.identity("ada").close(1006)
    assert repr(place.rt.identity("ada")) == "<Identity 'ada'>"


async def test_no_application_can_use_the_rooms_of_the_server(workers: Workers) -> None:
    place = await workers.start()
    _, session = await login(place, "ada")
    for room in (room_of("ada"), CLOSINGS, "\0anything"):
        with pytest.raises(LocalProtocolError, match="does not begin with a NUL"):
            place.rt.room(room)
        with pytest.raises(LocalProtocolError, match="does not begin with a NUL"):
            await session.join(room)
        async with realtime.Publisher(workers.broker) as publisher:
            with pytest.raises(LocalProtocolError, match="does not begin with a NUL"):
                await publisher.send(room, "hello")


# -- listing -----------------------------------------------------------------------------------------------------------


@EVERYWHERE
async def test_which_sessions_an_identity_has(workers: Workers) -> None:
    one, two = await workers.start(), await workers.start()
    assert await one.rt.identity("ada").sessions() == []
    _, first = await login(one, "ada")
    away, second = await login(two, "ada")
    await login(two, "bob")
    found = [
        realtime.SessionInfo(first.id, "/park", name_of(one), "websocket", realtime.State.OPEN),
        realtime.SessionInfo(second.id, "/park", name_of(two), "websocket", realtime.State.OPEN),
    ]
    assert await one.rt.identity("ada").sessions() == found
    assert sorted(await two.rt.identity("ada").sessions()) == sorted(found)
    await away.drop()
    await eventually(lambda: second.state is realtime.State.DETACHED)
    found[1] = found[1]._replace(state=realtime.State.DETACHED)
    assert await one.rt.identity("ada").sessions() == found


# -- closing -----------------------------------------------------------------------------------------------------------


@EVERYWHERE
async def test_an_identity_is_closed_at_every_worker(workers: Workers) -> None:
    places = [await workers.start() for _ in range(3)]
    pairs = [await login(place, "ada", transport) for place in places for transport in ("websocket", "long_polling")]
    _, bob = await login(places[0], "bob")
    assert await places[0].rt.identity("ada").close() == 6
    for peer, session in pairs:
        assert (session.close_code, session.close_reason) == (4401, "the identity was withdrawn")
        assert await peer.end() == (4401, "x")
    assert not bob.closed
    assert await places[2].rt.close_identity("ada") == 0
    assert await places[2].rt.close_identity("bob", 4002, "bye") == 1
    assert (bob.close_code, bob.close_reason) == (4002, "bye")


@pytest.mark.parametrize("broker", ["memory"], indirect=True)
async def test_an_answer_is_told_whatever_the_store_raises(
    workers: Workers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Or whoever closes an identity would wait in vain."""
    monkeypatch.setattr("realtime.brokers.identities.PAUSE", 0.01)
    one, two = await workers.start(), await workers.start()
    await login(two, "ada")
    store = two.rt._service.sessions.hub.rooms._store
    answer, faults = store.answer, [RuntimeError("of a store"), BrokerError("away")]

    async def fails_first(*said: Any) -> None:
        if faults:
            raise faults.pop()
        await answer(*said)

    monkeypatch.setattr(store, "answer", fails_first)
    assert await one.rt.identity("ada").close() == 1
    assert "of a store" in caplog.text


async def test_an_open_in_flight_at_another_worker_is_refused_and_a_later_one_is_not(workers: Workers) -> None:
    one, two = await workers.start(), await workers.start()
    workers.gate.clear()
    opening, other = knock(two, "ada"), knock(two, "bob")
    await eventually(lambda: workers.asked == 2)
    assert await one.rt.identity("ada").close(reason="out") == 0
    workers.gate.set()
    await arrives(other)
    with pytest.raises(AssertionError, match="x4401,carrier,,out"):
        await arrives(opening)
    assert [session.identity for session in two.rt.sessions] == ["bob"]
    peer, session = await login(two, "ada")
    await one.rt.identity("ada").send("hello again")
    assert await peer.take(1) == ["mhello again"]
    assert not session.closed


async def test_who_waits_to_be_followed_is_refused_too(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = await workers.start(), await workers.start()
    monkeypatch.setattr("realtime.brokers.identities.PATIENCE", 60.0)
    local = shared(two)._follow("ada")
    await arrives(local.live())
    local.follower.live = False
    opening = knock(two, "ada")
    await eventually(lambda: local.users == 2)
    assert await one.rt.identity("ada").close(reason="out") == 0
    local.follower.live = True
    local.ready()
    with pytest.raises(AssertionError, match="x4401,carrier,,out"):
        await arrives(opening)
    assert len(two.rt) == 0
    two.rt._service.sessions.hub.rooms.release(local)


async def test_a_session_whose_client_is_away_is_gone_when_it_comes_back(workers: Workers) -> None:
    one, two = await workers.start(), await workers.start()
    peer, session = await login(two, "ada")
    await peer.drop()
    await eventually(lambda: session.state is realtime.State.DETACHED)
    assert await one.rt.identity("ada").close(reason="out") == 1
    assert session.closed
    await peer.resume()
    assert await peer.end() == (4401, "x")


async def test_a_worker_whose_clock_is_wrong_closes_identities_everywhere(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await workers.start(), await workers.start()
    _, ada = await login(two, "ada")
    monkeypatch.setattr(asking, "time", SimpleNamespace(time=lambda: time.time() - 7200))
    assert await one.rt.identity("ada").close() == 1
    assert ada.closed


async def test_two_closings_at_once_and_of_many_identities(workers: Workers) -> None:
    one, two = await workers.start(), await workers.start()
    sessions = [(await login(place, name))[1] for place in (one, two) for name in ("ada", "bob")]
    closings = [place.rt.identity(name).close() for place in (one, two) for name in ("ada", "bob", "ada", "eve")]
    ended = await arrives(asyncio.gather(*closings))
    assert sum(ended) == 4
    assert all(session.closed for session in sessions)
    assert not shared(one)._asking._telling
    assert not shared(two)._asking._telling


async def test_a_worker_that_does_not_confirm_is_named(workers: Workers) -> None:
    one, two, three = [await workers.start() for _ in range(3)]
    sessions = [(await login(place, "ada"))[1] for place in (one, two, three)]
    kept: list[Any] = []
    ear = ear_of(two, CLOSINGS)
    told, ear._told = ear._told, kept.append
    closing = asyncio.create_task(one.rt.identity("ada").close())
    # The third has confirmed: there is nothing else to wait for.
    await eventually(lambda: [telling.missing for telling in shared(one)._asking._telling.values()] == [{name_of(two)}])
    leap(PATIENCE)
    with pytest.raises(BrokerError) as caught:
        await closing
    assert caught.value.workers == (name_of(two),)
    assert name_of(two) in str(caught.value)
    assert "closed in this process (1 sessions)" in str(caught.value)
    assert [session.closed for session in sessions] == [True, False, True]
    ear._told = told
    for text in kept:
        told(text)
    assert sessions[1].closed
    await eventually(lambda: not shared(one)._asking._telling)  # it has been waited for
    assert await one.rt.identity("ada").close() == 0


async def test_a_worker_that_does_not_answer_is_named(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = await workers.start(), await workers.start()
    ear = ear_of(two, QUESTIONS)
    ear._told, told = (lambda text: None), ear._told
    asking, missing = shared(one)._asking, asyncio.Event()
    look = asking._look

    async def looked(*arguments: Any) -> frozenset[str]:
        found: frozenset[str] = await look(*arguments)
        missing.set()
        return found

    monkeypatch.setattr(asking, "_look", looked)
    question = asyncio.create_task(one.rt.identity("ada").sessions())
    await arrives(missing.wait())
    leap(PATIENCE)
    with pytest.raises(BrokerError, match="have not answered within broker_timeout") as caught:
        await question
    assert caught.value.workers == (name_of(two),)
    ear._told = told
    assert await one.rt.identity("ada").sessions() == []


async def test_a_worker_that_has_ended_is_not_waited_for(workers: Workers) -> None:
    one, two = await workers.start(), await workers.start()
    await two.stop()
    assert await one.rt.identity("ada").close() == 0
    assert await one.rt.identity("ada").sessions() == []


async def test_a_worker_that_died_is_waited_for_until_its_lease_runs_out(workers: Workers) -> None:
    one = await workers.start()
    _, session = await login(one, "ada")
    part = shared(one)._asking.part
    dead = workers.broker.store()
    await dead.start("dead", Listener())
    await arrives(dead.reached(CLOSINGS))
    await dead.register(part, 30)
    closing = asyncio.create_task(one.rt.identity("ada").close())
    await eventually(lambda: [one.missing for one in shared(one)._asking._telling.values()] == [{"dead"}])
    assert session.closed
    assert not closing.done()
    await dead.register(part, 0.01)  # nobody renews it
    assert await arrives(closing) == 1
    await dead.close()


async def test_a_closing_that_is_told_again_counts_once(workers: Workers) -> None:
    one, two = await workers.start(), await workers.start()
    await login(two, "ada")
    assert await one.rt.identity("ada").close() == 1
    _, again = await login(two, "ada")
    asking = shared(one)._asking
    (telling,) = asking._told.values()
    telling.run = "another, which has been lost"
    asking.returned("")
    await eventually(lambda: telling.closing.id in asking._telling)
    await eventually(lambda: telling.closing.id in asking._told)
    assert telling.run == one.rt._service.sessions.hub.rooms._store.run_of(CLOSINGS)
    assert not again.closed


async def test_what_is_told_again_while_it_is_answered_is_answered_again(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer may be for a store that forgets it in this moment."""
    one = await workers.start()
    identities, store = shared(one), one.rt._service.sessions.hub.rooms._store
    asked: asyncio.Queue[str] = asyncio.Queue()
    go_on, answer = asyncio.Event(), store.answer

    async def slowly(part: int, question: str, text: str) -> None:
        asked.put_nowait(text)
        await go_on.wait()
        await answer(part, question, text)

    monkeypatch.setattr(store, "answer", slowly)
    closing = Closing("another-1", "ada", 1008, "", time.time())
    identities._told(closing.text)
    assert await arrives(asked.get()) == "0"
    identities._told(closing.text)
    go_on.set()
    assert await arrives(asked.get()) == "0"
    await eventually(lambda: not identities._answering)
    assert asked.empty()


async def test_what_a_worker_has_not_heard_it_reads(workers: Workers) -> None:
    """Closings that nobody has told it of: before it was there, or behind a gap. Older ones are not for it."""
    one, two = await workers.start(), await workers.start(broker_timeout=0.3)
    _, old = await login(one, "ada")
    ear = ear_of(one, CLOSINGS)
    unheard: list[str] = []
    ear._told, told = unheard.append, ear._told
    for name in ("ada", "bob"):
        with pytest.raises(BrokerError):
            await two.rt.identity(name).close()
    await eventually(lambda: len(unheard) == 2)
    ear._told = told
    _, bob = await login(one, "bob")
    shared(one)._gap()
    await eventually(lambda: old.closed and bob.closed)  # bob, too: nobody can tell when his closing was
    three = await workers.start()
    _, ada = await login(three, "ada")
    shared(three)._closings._began += 3600
    shared(three)._gap()
    await eventually(lambda: not shared(three)._reading)
    assert not ada.closed


# -- without a broker --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [False, True], ids=["nothing is kept", "rooms are kept"])
async def test_without_a_broker_all_of_it_is_of_this_process(kept: bool) -> None:
    rt = realtime.Server()

    @rt.authorize
    async def authorize(request: realtime.SessionRequest) -> str | None:
        return request.headers.get("X-Name")

    if kept:
        rt.configure_rooms("kept/*", history=5)
    async with serving(rt) as place:
        assert shared(place) is None
        ada, session = await login(place, "ada")
        other, _ = await login(place, "ada", "long_polling")
        bob, _ = await login(place, "bob")
        await rt.identity("ada").send("hello", skip=session)
        await rt.identity("ada").send(b"all")
        await rt.identity("bob").send("bob")
        await rt.identity("nobody").send("nothing")
        assert await other.take(2) == ["mhello", b"all"]
        assert await ada.take(1) == [b"all"]
        assert await bob.take(1) == ["mbob"]
        infos = await rt.identity("ada").sessions()
        assert [(info.path, info.transport) for info in infos] == [("/park", "websocket"), ("/park", "long_polling")]
        assert {info.worker for info in infos} == {session.id.partition(".")[0]}
        assert await rt.identity("ada").close(4002, "bye") == 2
        assert await ada.end() == (4002, "x")
        assert await rt.identity("ada").sessions() == []


# -- from outside ------------------------------------------------------------------------------------------------------


@EVERYWHERE
async def test_a_publisher_sends_to_identities_lists_and_closes_them(workers: Workers) -> None:
    one, two = await workers.start(), await workers.start()
    (ada, first), (other, second) = await login(one, "ada"), await login(two, "ada")
    publisher = realtime.Publisher(workers.broker)
    for early in (publisher.identity("ada").send("x"), publisher.identity("ada").close()):
        with pytest.raises(BrokerError, match="async with"):
            await early
    async with publisher:
        await publisher.identity("ada").send("hello", skip=second.id)
        await publisher.identity("ada").send(b"all")
        assert await ada.take(2) == ["mhello", b"all"]
        assert await other.take(1) == [b"all"]
        assert {info.id for info in await publisher.identity("ada").sessions()} == {first.id, second.id}
        assert await publisher.identity("ada").close(reason="out") == 2
        assert await publisher.identity("ada").close() == 0
    assert (first.close_reason, second.close_code) == ("out", 4401)
    if isinstance(workers.broker, MemoryBroker):
        return  # which is its process's own
    peer, session = await login(one, "ada")

    def blocking() -> tuple[list[str], int]:
        with realtime.BlockingPublisher(workers.broker) as publisher:
            ada = publisher.identity("ada")
            ada.send("from a thread")
            return [info.id for info in ada.sessions()], ada.close()

    assert await arrives(asyncio.to_thread(blocking)) == ([session.id], 1)
    assert await peer.take(1) == ["mfrom a thread"]


# -- Redis is away, or another one -------------------------------------------------------------------------------------


async def test_redis_away_closes_here_and_the_others_when_it_is_back(own_redis: Server, own_workers: Workers) -> None:
    one, two = await own_workers.start(), await own_workers.start()
    sessions = [(await login(place, "ada"))[1] for place in (one, two)]
    own_redis.kill()
    await eventually(lambda: not one.rt.health().ready and not two.rt.health().ready)
    waits(one, 0.5)
    with pytest.raises(BrokerError) as caught:
        await one.rt.identity("ada").close()
    assert caught.value.workers == ()
    assert "closed in this process (1 sessions)" in str(caught.value)
    assert [session.closed for session in sessions] == [True, False]
    with pytest.raises(BrokerError):
        await one.rt.identity("ada").send("nobody hears this")
    with pytest.raises(BrokerError, match="no answer from the broker"):
        await one.rt.identity("ada").sessions()
    peer, session = await login(one, "ada")  # sessions go on
    await login(two, "bob")
    own_redis.start()
    await eventually(lambda: sessions[1].closed)
    await eventually(lambda: not shared(one)._asking._telling)
    assert not session.closed
    await eventually(lambda: shared(one)._followed["ada"].follower.live)
    await two.rt.identity("ada").send("hello")
    while (heard := await peer.news()) != "mhello":
        assert str(heard).startswith("d")


async def test_a_store_that_forgot_everything_has_not_confirmed(own_redis: Server, own_workers: Workers) -> None:
    """Workers whose leases the store has forgotten are waited for all the same."""
    one, two = await own_workers.start(), await own_workers.start()
    _, session = await login(two, "ada")
    await shared(one)._asking.look()
    store: Any = two.rt._service.sessions.hub.rooms._store
    own_redis.kill()
    await eventually(lambda: not one.rt.health().ready and not two.rt.health().ready)
    closing = asyncio.create_task(one.rt.identity("ada").close())
    for node in store._nodes._nodes.values():
        await node.close()  # it does not come back by itself
    own_redis.start()
    await eventually(lambda: shared(one)._asking._earlier)
    assert name_of(two) in shared(one)._asking._earlier
    assert not closing.done()
    assert not session.closed
    for node in store._nodes._nodes.values():
        node.link.start()
        node.ear.start()
    assert await arrives(closing) == 1
    assert session.closed
