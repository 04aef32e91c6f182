"""The sid alone opens nothing: what a request shows beside it, and what can be made of a URL in a log
(docs/protocol.md §5.1, docs/security.md §4)."""

from __future__ import annotations

import json
import logging
import re

import pytest

import realtime
from realtime.transports import TRANSPORTS

from ..patience import within
from .peer import GetStreamPeer, HttpPeer, Peer
from .place import Place, serving
from .proof import GETS, attach_frame, uplink_frame
from .test_routes import first, knock, request

pytestmark = pytest.mark.usefixtures("quiet_log")

every = pytest.mark.parametrize("transport", tuple(TRANSPORTS))
GUESSES = ("", ",", ",x", ",é😀", ",<script>", "," + "x" * 5000)


async def owner(place: Place, transport: str = "polling") -> tuple[Peer, realtime.Session]:
    """A client at /park, which has sent a message that nobody has taken."""
    peer, session = await place.parked(transport)
    await peer.send("mmine")
    return peer, session


async def undisturbed(peer: Peer, session: realtime.Session, received: int = 1) -> None:
    """Nothing has changed for the owner, and both go on."""
    machine = session._machine
    assert not session.closed
    assert (machine.inbox.received, machine.outbox.acked, machine.gen) == (received, 0, peer.gen)
    session.send_nowait("private")
    assert await peer.news() == "mprivate"


def bare(session: realtime.Session, gen: int = 0) -> str:
    """An attach, or with gen 0 the head of a send, without what it has to show."""
    return f"r{session.id},{gen},0,0,2" if gen else f"u{session.id},0,0,2"


@every
@pytest.mark.parametrize("shown", GUESSES)
async def test_the_sid_alone_attaches_nothing(transport: str, shown: str) -> None:
    async with serving() as place:
        peer, session = await owner(place)
        answer = await knock(place, transport, bare(session, 50) + shown)
        assert answer.frame.startswith("x4403,carrier,,")
        assert session.id not in answer.frame
        assert answer.status == (101 if transport == "websocket" else 200 if transport in GETS else 403)
        await undisturbed(peer, session)


@pytest.mark.parametrize("shown", GUESSES)
async def test_the_sid_alone_sends_nothing(shown: str) -> None:
    async with serving() as place:
        peer, session = await owner(place)
        assert isinstance(peer, HttpPeer)
        said = [bare(session) + shown, "mI am somebody else", "c1000,"]
        assert (await peer.post("send", said)).refusal == (403, 4403, "carrier")
        async with place.http.get(
            f"{place.url('/park')}/v1/send",
            params={"callback": "take", "batch": json.dumps(said)},
            headers={"Referer": place.base},
        ) as response:
            assert "x4403,carrier,," in await response.text()
        form = {"callback": "take", "batch": json.dumps(said)}
        async with place.http.post(
            f"{place.url('/park')}/v1/send", data=form, headers={"Referer": place.base}
        ) as response:
            assert "x4403,carrier,," in await response.text()
        await undisturbed(peer, session)


@pytest.mark.parametrize("transport", GETS)
async def test_the_key_is_worth_nothing_in_a_url(transport: str) -> None:
    async with serving() as place:
        peer, session = await owner(place)
        key = session._machine.key
        assert (await knock(place, transport, f"{bare(session, 50)},{key}")).frame.startswith("x4403,")
        await undisturbed(peer, session)


async def test_a_ticket_is_worth_nothing_in_a_body() -> None:
    async with serving() as place:
        peer, session = await owner(place)
        for transport in ("websocket", "xhr_streaming", "long_polling", "polling"):
            assert (await knock(place, transport, attach_frame(session, "sse", 50, 0, 0, 2))).frame[:6] == "x4403,"
        await undisturbed(peer, session)


@pytest.mark.parametrize("transport", GETS)
async def test_a_url_in_a_log_is_good_for_itself_alone(transport: str) -> None:
    async with serving() as place:
        peer, session = await owner(place)
        session.send_nowait("one")
        logged = attach_frame(session, transport, peer.gen + 1, 0, 0, 2)
        assert (await knock(place, transport, logged)).frame == "r1,0"
        for change in (
            ("0,0,2", "1,0,2"),  # would free what the owner has not received
            ("0,0,2", "0,0,9"),
            (f",{peer.gen + 1},", f",{peer.gen + 2},"),
            (f",{peer.gen + 1},", ",99,"),
        ):
            forged = logged.replace(*change, 1)
            assert forged != logged
            assert (await knock(place, transport, forged)).frame.startswith("x4403,carrier,,"), forged
        assert session._machine.outbox.acked == 0
        # It can be repeated, as an EventSource does by itself, and brings no new tickets.
        async with within(), request(place, transport, [logged], {"Referer": place.base}) as response:
            assert await first(transport, response) == "r1,0"
            response.close()
        # Until a higher gen has come.
        peer.gen += 1
        assert isinstance(peer, HttpPeer)
        await peer.poll()
        before = session._machine.gen
        async with within(), request(place, transport, [logged], {"Referer": place.base}) as response:
            assert (response.status, await response.text()) == (204, "") or "esuperseded" in await response.text()
        assert session._machine.gen == before


async def test_the_answer_to_a_url_has_no_tickets() -> None:
    async with serving() as place:
        peer, session = await place.parked("sse")
        assert isinstance(peer, GetStreamPeer)
        peer.tickets.clear()
        peer.join(session, peer.gen)
        kept = dict(peer.tickets)
        peer.tickets = {peer.gen + 1: kept[peer.gen + 1]}
        peer.acking = False
        await peer.resume()
        session.send_nowait("news")
        assert await peer.news() == "mnews"
        assert list(peer.tickets) == [peer.gen]


async def test_a_send_in_a_log_is_good_for_itself_alone() -> None:
    async with serving() as place:
        _, session = await owner(place)

        async def get(*frames: str) -> str:
            query = {"callback": "take", "batch": json.dumps(frames)}
            async with place.http.get(
                f"{place.url('/park')}/v1/send", params=query, headers={"Referer": place.base}
            ) as response:
                return await response.text()

        head = uplink_frame(session, 0, 0, 2, by="GET")
        assert "a2,0" in await get(head, "mtwo")
        assert "a2,0" in await get(head, "mtwo")  # repeated
        for forged in (
            (head, "mTWO"),
            (head, "mtwo", "mthree"),
            (head.replace(",0,0,2,", ",1,1,2,"), "mtwo"),
            (head.replace(",0,0,2,", ",0,0,3,"), "mthree"),
        ):
            assert "x4403,carrier,," in await get(*forged)
        # One that was never used, for a number that has come otherwise: nothing of it counts.
        late = uplink_frame(session, 0, 0, 1, by="GET")
        assert "a2,0" in await get(late, "mmine", "mtwo", "mthree")
        assert [await session.receive(), await session.receive()] == ["mine", "two"]
        assert session._machine.inbox.received == 2
        assert "x4400,carrier,,a send by URL brings a message" in await get(uplink_frame(session, 0, 0, 3, by="GET"))


async def test_tickets_are_there_in_time() -> None:
    async with serving(max_stream_size=4096) as place:
        peer, session = await place.parked("sse")
        assert isinstance(peer, GetStreamPeer)
        for _ in range(12):  # each stream is recycled, and the next has its ticket without a question
            session.send_nowait("x" * 5000)
            while await peer.news() != "erecycled":
                pass
            assert peer.gen + 1 in peer.tickets
            await peer.resume()
        asked = await HttpPeer.post(peer, "send", [peer.uplink_frame(), "k500", "s7"])
        assert [re.match("[a-z0-9]*", frame)[0] for frame in asked.frames][1:] == ["k500", "s7"]  # type: ignore[index]
        assert {frame.count(",") for frame in asked.frames[1:]} == {16}


@every
async def test_who_knew_the_key_is_told_how_it_ended_and_nobody_else(transport: str) -> None:
    async with serving() as place:
        peer, session = await owner(place)
        await peer.send("c3210,a secret reason")
        assert (await knock(place, transport, bare(session, 9))).frame.startswith("x4403,carrier,,")
        told = await knock(place, transport, attach_frame(session, transport, 9, 0, 0, 2))
        assert told.frame == "x3210,session,2,a secret reason"


async def test_authorize_is_asked_for_who_has_the_key_alone() -> None:
    rt = realtime.Server()
    seen = []

    @rt.authorize
    async def authorize(request: realtime.SessionRequest) -> str | None:
        seen.append(request.transport)
        return {"alices-token": "alice"}.get(request.auth)

    async with serving(rt) as place:
        peer, session = await place.parked("polling", auth="alices-token")
        assert session.identity == "alice"
        asked = len(seen)
        for transport in TRANSPORTS:
            assert (await knock(place, transport, bare(session, 9))).frame.startswith("x4403,carrier,,")
        assert len(seen) == asked
        await peer.send("mmine")
        assert len(seen) > asked
        await undisturbed(peer, session)


async def test_the_key_is_nowhere_to_be_read(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving() as place:
        for transport in TRANSPORTS:
            peer, session = await place.parked(transport)
            machine = session._machine
            key = str.__str__(machine.key)
            assert len(key) >= 22
            assert key not in repr((session, machine, machine.key, peer.sid))
            await peer.send("mx", "c1000,")
            await session.wait_closed()
            assert key not in repr(place.rt._service.sessions.registry.tombstones)
            assert key not in caplog.text
        keys = {tombstone.key for tombstone in place.rt._service.sessions.registry.tombstones.values()}
        assert len(keys) == len(TRANSPORTS)


@pytest.mark.parametrize("ended", [False, True])
async def test_a_large_batch_without_the_key_is_told_nothing_more_than_a_small_one(ended: bool) -> None:
    """How large a body may be depends on whether its head names a session; whoever asks learns nothing by that."""
    async with serving() as place:
        peer, session = await place.parked("polling")
        assert isinstance(peer, HttpPeer)
        if ended:
            session._machine.end(4001, "private", place.rt._service.clock.now())
        large = ["m" + "x" * 100_000] * 9
        assert sum(map(len, large)) > session._machine.config.max_open_body
        heads = {"send": bare(session), "polling": bare(session, 50), "xhr_streaming": bare(session, 51)}
        for name, head in heads.items():
            for shown in ("", ",x"):
                answers = [await peer.post(name, [head + shown, *frames]) for frames in ([], large)]
                assert [answer.refusal for answer in answers] == [(403, 4403, "carrier")] * 2
                assert answers[0].frames == answers[1].frames
        if ended:
            answer = await peer.post("send", [uplink_frame(session, 0, 0, 1), *large])
            assert answer.frames == ["x4001,session,0,private"]


async def test_a_head_without_one_of_its_fields_is_refused_without_repeating_the_key() -> None:
    """Whoever makes a client logs what it is told."""
    async with serving() as place:
        peer, session = await place.parked("polling")
        assert isinstance(peer, HttpPeer)
        key = session._machine.key
        for name, head in (("send", f"u{session.id},0,0,{key}"), ("polling", f"r{session.id},7,0,0,{key}")):
            answer = await peer.post(name, [head])
            assert answer.refusal == (400, 4400, "carrier")
            assert key not in answer.frames[0]
            assert session.id not in answer.frames[0]
        assert not session.closed
