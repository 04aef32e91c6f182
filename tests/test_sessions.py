"""Opening: the nonce is claimed, which may take a while, and of those that found it free one creates the session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

import realtime
from realtime.core.errors import Refusal
from realtime.core.frames import Window
from realtime.core.numbered_machine import NumberedMachine
from realtime.session import Session
from realtime.sessions import Sessions
from realtime.testing import VirtualClock

from .patience import eventually


async def handler(session: Session) -> None:
    await session.wait_closed()


async def opened(
    rt: realtime.Server, nonce: str = "n", binding: object = "here", identity: str | None = None
) -> Session:
    """A session by this nonce."""
    request = realtime.SessionRequest()
    rt._service.admission.arrived(request)
    return await rt._service.sessions.open(
        rt._service.endpoints["/x"],
        nonce=nonce,
        binding=binding,
        window=Window(1, 1),
        identity=identity,
        request=request,
    )


@pytest.fixture
async def rt() -> AsyncIterator[realtime.Server]:
    rt = realtime.Server(clock=VirtualClock(), max_sessions=3)
    rt.endpoint("/x")(handler)
    yield rt
    await rt._service.shutdown()


@pytest.fixture
def elsewhere(rt: realtime.Server, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Who claims a nonce is told that it is free, but only when this is set."""
    answer = asyncio.Event()
    claim = Sessions.claim

    async def slow(sessions: Sessions, nonce: str, binding: object) -> Session | None:
        found = await claim(sessions, nonce, binding)
        await answer.wait()
        return found

    monkeypatch.setattr(Sessions, "claim", slow)
    return answer


async def test_two_opens_by_one_nonce_in_the_same_turn_are_one_session(rt: realtime.Server) -> None:
    one, two = await asyncio.gather(opened(rt), opened(rt))
    assert one is two
    assert (len(rt), len(rt._service.sessions.handlers.tasks)) == (1, 1)


@pytest.mark.parametrize("binding", ["here", None], ids=["nonce", "name"])
async def test_two_that_find_a_nonce_free_at_once_are_one_session(
    rt: realtime.Server, elsewhere: asyncio.Event, binding: object
) -> None:
    tasks = [asyncio.create_task(opened(rt, binding=binding)) for _ in range(4)]
    await asyncio.sleep(0)  # all have asked, and none is told
    assert len(rt) == 0
    elsewhere.set()
    (session,) = {await task for task in tasks}
    assert list(rt.sessions) == [session]
    assert len(rt._service.sessions.handlers.tasks) == 1


async def test_a_nonce_that_another_client_has_taken_meanwhile_opens_nothing(
    rt: realtime.Server, elsewhere: asyncio.Event
) -> None:
    tasks = [asyncio.create_task(opened(rt, binding=binding)) for binding in ("here", "there")]
    await asyncio.sleep(0)
    elsewhere.set()
    first = await tasks[0]
    with pytest.raises(Refusal, match="this nonce has opened a session already"):
        await tasks[1]
    assert list(rt.sessions) == [first]


async def test_what_changes_while_a_nonce_is_claimed_counts(rt: realtime.Server, elsewhere: asyncio.Event) -> None:
    withdrawn = asyncio.create_task(opened(rt, "a", identity="ada"))
    await asyncio.sleep(0)
    await rt.close_identity("ada")
    limited = [asyncio.create_task(opened(rt, nonce)) for nonce in "bcde"]
    await asyncio.sleep(0)
    elsewhere.set()
    with pytest.raises(Refusal, match="withdrawn"):
        await withdrawn
    refused = [error for error in await asyncio.gather(*limited, return_exceptions=True) if isinstance(error, Refusal)]
    assert ["max_sessions" in error.reason for error in refused] == [True]
    late = asyncio.create_task(opened(rt, "f"))
    elsewhere.clear()
    await asyncio.sleep(0)
    await rt._service.shutdown()
    elsewhere.set()
    with pytest.raises(Refusal, match="shutting down"):
        await late


async def test_a_name_is_looked_up_without_being_claimed(rt: realtime.Server) -> None:
    assert await rt._service.sessions.claimed("name") is None
    assert await rt._service.sessions.claimed("name") is None
    session = await opened(rt, "name", binding=None)
    session._machine.used = True
    assert await rt._service.sessions.claimed("name") is session
    assert await opened(rt, "name", binding=None) is session
    session._machine.end(3000, "bye", rt._service.clock.now())
    with pytest.raises(Refusal) as caught:
        await rt._service.sessions.claimed("name")
    assert (caught.value.code, caught.value.reason) == (3000, "bye")


async def test_a_new_session_has_a_carrier_before_its_handler_runs(rt: realtime.Server) -> None:
    """Nothing gives the event loop a turn between the creation and the caller of open()."""
    ran: list[Session] = []

    @rt.endpoint("/first")
    async def first(session: Session) -> None:
        ran.append(session)

    request = realtime.SessionRequest()
    session = await rt._service.sessions.open(
        rt._service.endpoints["/first"], nonce="", binding=None, window=Window(1, 1), identity=None, request=request
    )
    assert ran == []
    assert isinstance(session._machine, NumberedMachine)
    await asyncio.sleep(0)
    assert ran == [session]


async def test_headers_that_are_too_much_to_be_kept_open_nothing(rt: realtime.Server) -> None:
    request = realtime.SessionRequest(raw_headers=((b"X-Large", b"x" * 32_768),))
    with pytest.raises(Refusal, match="above 32768 bytes"):
        await rt._service.sessions.open(
            rt._service.endpoints["/x"], nonce="", binding=None, window=Window(1, 1), identity=None, request=request
        )
    assert len(rt) == 0


async def test_who_waits_for_sessions_and_is_cancelled_leaves_nothing(rt: realtime.Server) -> None:
    await opened(rt)
    before = asyncio.all_tasks()
    draining = asyncio.ensure_future(rt.drain())
    await eventually(lambda: len(asyncio.all_tasks()) == len(before) + 2)
    draining.cancel()
    await asyncio.wait([draining])
    await eventually(lambda: asyncio.all_tasks() == before)


def test_a_server_waits_for_polls_in_each_event_loop_that_it_is_started_in() -> None:
    rt = realtime.Server()

    async def lives() -> None:
        rt._service.start()
        rt._service.sessions._untold.add("one whose client does not come")
        await rt._service.sessions.tell(0.001)
        await rt._service.shutdown()

    asyncio.run(lives())
    asyncio.run(lives())
