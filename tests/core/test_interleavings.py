"""Scenes: the interleavings that docs/protocol.md was written for, delivered by hand, one after the other.

Nothing moves in a scene until it is delivered: `request.arrive()` brings a POST to the server (again, if called again),
`request.answer()` brings the answer to the client, `socket.up.deliver(n)` and `socket.down.deliver(n)` bring WebSocket
frames. At the end of most scenes the network heals, and both ends must come to the same good end.
"""

from __future__ import annotations

import pytest

from realtime.core.carrier import NumberedCarrier
from realtime.core.deadlines import Deadlines
from realtime.core.frames import Dropped, Outgoing, Window
from realtime.core.lifecycle import State
from realtime.core.machine import Ended
from realtime.core.numbered_machine import NumberedMachine
from realtime.protocols.native import feed_client
from realtime.transports import Frame
from realtime.transports.batch import decode_batch

from .simulation import STREAMS, Client, ClientSocket, Conditions, Poll, Request, Session, Stream, World


def sid(world: World) -> str:
    """Of the first session that was opened."""
    return world.server.all[0].machine.sid


def scene(**conditions: object) -> World:
    """A world where nothing moves by itself."""
    return World(Conditions(**conditions), automatic=False)  # type: ignore[arg-type]


def exchange(request: Request) -> list[Frame]:
    """A POST goes through."""
    request.arrive()
    return request.answer()


def opened(world: World) -> Session:
    """A session opened by long-polling and confirmed by a send; no poll is out."""
    exchange(world.client.poll().request)
    exchange(world.client.sends[-1])
    assert world.session is not None
    assert world.session.machine.used
    return world.session


def opened_on_websocket(world: World) -> tuple[Session, ClientSocket]:
    """A session on the WebSocket it was opened on, confirmed."""
    socket = world.client.websocket()
    socket.up.deliver()
    socket.down.deliver()
    socket.up.deliver()
    assert world.session is not None
    assert world.session.machine.used
    return world.session, socket


def held_poll(world: World) -> Poll:
    """A long poll that waits at the server."""
    poll = world.client.poll()
    poll.request.arrive()
    assert not poll.request.answered
    return poll


def probed(world: World) -> ClientSocket:
    """A WebSocket whose probe was answered: the attach is written and not delivered."""
    socket = world.client.probe()
    assert socket.up.deliver() == ["p"]
    assert socket.down.deliver() == ["q"]
    return socket


def send(world: World, end: Client | Session, count: int, size: int = 1) -> None:
    """The application of one end sends so many messages."""
    for _ in range(count):
        assert end.app.send(size), "no room in the outbox"
    world.settle()


def messages(frames: list[Frame | None]) -> list[Frame | None]:
    """Only the text messages."""
    return [frame for frame in frames if isinstance(frame, str) and frame[:1] == "m"]


def heads(frames: list[Frame | None]) -> list[Frame | None]:
    """All but the tickets that follow an attach."""
    return [frame for frame in frames if not isinstance(frame, str) or frame[:1] != "k"]


def ends_well(world: World, up: int, down: int) -> None:
    """The network heals: everything arrives, once and in order, and a close is clean for both."""
    session = world.session
    assert session is not None
    world.heal()
    world.run(world.now + 12)
    session.app.take()
    world.client.app.take()
    assert (session.app.position, world.client.app.position) == (up, down)
    assert world.client.machine.outcome is None
    world.client.app.close()
    world.settle()
    world.run(world.now + 100, lambda: world.over)
    world.verdict()
    for machine in (session.machine, world.client.machine):
        assert machine.outcome == Ended(1000, "goodbye", clean=True)


# -- upgrades ----------------------------------------------------------------------------------------------------------


def test_two_carriers_alive_during_an_upgrade() -> None:
    """What the old poll brings while the new WebSocket replays it is delivered once."""
    world = scene()
    session = opened(world)
    poll = held_poll(world)
    socket = probed(world)
    send(world, session, 2)  # the server answers the poll with both: it has not seen the attach
    socket.up.deliver()
    assert messages(socket.down.deliver()) == ["mS0.0", "mS0.1"]  # again: the attach said that nothing was received
    assert messages(poll.request.answer()) == ["mS0.0", "mS0.1"]  # type: ignore[arg-type]
    assert world.client.machine.duplicates == 2
    assert session.machine.carrier is socket.server.carrier
    ends_well(world, 0, 2)


def test_a_held_poll_ends_when_its_websocket_takes_over() -> None:
    world = scene()
    session = opened(world)
    poll = held_poll(world)
    socket = probed(world)
    send(world, world.client, 1)
    socket.up.deliver()
    assert poll.request.answer() == ["r0,0", "esuperseded"]
    assert world.client.machine.carrier is socket.carrier  # the end of an older carrier starts nothing
    assert session.machine.state is State.OPEN
    ends_well(world, 1, 0)


def test_a_post_in_flight_while_the_websocket_starts_numbering() -> None:
    """Acks that came by the POST freed what the WebSocket's cursor points at: it renumbers."""
    world = scene(capacity=1, server_window=Window(8, 400), initial_window=Window(8, 400))
    opened(world)
    send(world, world.client, 3)
    post = world.client.sends[-1]
    socket = probed(world)  # attaches from 1; its link is full with the attach
    exchange(post)
    send(world, world.client, 1)
    assert socket.up.deliver(1) == [f"r{sid(world)},2,0,0,1,K0"]
    assert socket.up.deliver() == ["n4", "mC3"]
    ends_well(world, 4, 0)


def test_the_websocket_repeats_what_the_post_has_in_flight() -> None:
    """Here the ack of the POST comes too late to save the work, and duplicates are dropped."""
    world = scene(server_window=Window(8, 400))
    session = opened(world)
    send(world, world.client, 3)
    post = world.client.sends[-1]
    socket = probed(world)
    socket.up.deliver()
    assert session.machine.inbox.received == 3
    exchange(post)
    assert session.machine.duplicates == 3
    ends_well(world, 3, 0)


def test_the_old_polls_answer_arrives_after_the_new_attach() -> None:
    """The server renumbers when it learns on the WebSocket what the old answer brought."""
    world = scene(capacity=1)
    session = opened(world)
    poll = held_poll(world)
    send(world, session, 3)
    socket = probed(world)
    socket.up.deliver()  # attaches with nothing received; `r` fills the link
    poll.request.answer()
    world.client.app.take()
    world.settle()
    assert socket.up.deliver() == ["a3,3"]
    send(world, session, 1)
    assert heads(socket.down.deliver(1)) == ["r0,0"]
    assert socket.down.deliver() == ["n4", "mS0.3"]
    ends_well(world, 0, 4)


def test_an_attach_that_arrives_after_newer_acks() -> None:
    """What the old answer brought was acked by a send meanwhile: the new carrier's cursor is still the attach's."""
    world = scene(capacity=1)
    session = opened(world)
    poll = held_poll(world)
    send(world, session, 3)
    socket = probed(world)  # says that nothing was received
    poll.request.answer()
    world.run(world.now + 0.1)
    exchange(world.client.sends[-1])
    assert session.machine.outbox.acked == 3
    socket.up.deliver(1)
    send(world, session, 1)
    assert heads(socket.down.deliver(1)) == ["r0,0"]
    assert socket.down.deliver() == ["n4", "mS0.3"]
    ends_well(world, 0, 4)


def test_an_ack_in_a_lost_answer_is_told_on_the_websocket() -> None:
    """The window is full, and what would move it was told in answers that nobody read."""
    world = scene(capacity=1, server_window=Window(1, 40), initial_window=Window(1, 40))
    session = opened(world)
    send(world, world.client, 2)
    post = world.client.sends[-1]
    socket = probed(world)
    socket.up.deliver(1)  # its `r` fills the link
    post.arrive()
    session.app.take()
    world.settle()
    post.arrive()
    assert post.answers == [b'["a1,0"]', b'["a1,1"]']
    assert heads(socket.down.deliver(1)) == ["r0,0"]
    assert socket.down.deliver() == ["a1,1"]
    ends_well(world, 2, 0)


def test_an_upgrade_that_dies_after_the_commit() -> None:
    """What was written on the dead WebSocket is replayed on the next carrier, both ways."""
    world = scene()
    session = opened(world)
    held_poll(world)
    socket = probed(world)
    send(world, world.client, 2)
    socket.up.deliver(1)  # the attach arrives, the messages do not
    send(world, session, 2)
    assert session.machine.outbox.last == 2
    socket.up.cut()
    socket.down.cut()
    socket.lost()
    assert world.client.machine.state is State.DETACHED
    ends_well(world, 2, 2)


def test_a_probe_that_stays_mute_changes_nothing() -> None:
    world = scene()
    session = opened(world)
    poll = held_poll(world)
    socket = world.client.probe()
    socket.up.mute = socket.down.mute = True
    send(world, session, 1)
    assert poll.request.answer()[-1] == "mS0.0"
    assert world.client.machine.gen == 2
    ends_well(world, 0, 1)


# -- generations ---------------------------------------------------------------------------------------------------


def test_an_older_attach_arrives_after_a_newer_one() -> None:
    """It is told so and ended; the session stays where it is."""
    world = scene()
    session = opened(world)
    late = world.client.poll()
    socket = world.client.websocket()
    socket.up.deliver()
    carrier = session.machine.carrier
    assert exchange(late.request) == ["r0,0", "esuperseded"]
    assert session.machine.carrier is carrier is socket.server.carrier
    ends_well(world, 0, 0)


def test_what_an_older_attach_brings_still_counts() -> None:
    world = scene(poll_brings=True, capacity=0)
    session = opened(world)
    world.client.machine.uplink_out = world.client.machine.uplink(world.now, force=True)  # so that no send takes them
    send(world, world.client, 2)
    world.client.machine.uplink_out = None
    late = world.client.poll()
    assert late.request.frames == [f"r{sid(world)},2,0,0,1,K0", "mC0", "mC1"]
    socket = world.client.websocket()
    socket.up.deliver(1)
    late.request.arrive()
    assert session.machine.inbox.received == 2
    assert session.machine.carrier is socket.server.carrier
    world.conditions.capacity = 8
    ends_well(world, 2, 0)


@pytest.mark.parametrize("wired", [0, 1])
def test_the_same_gen_twice(wired: int) -> None:
    """A repeated request takes over; the client sees one of the two answers."""
    world = scene()
    session = opened(world)
    poll = world.client.poll()
    poll.request.arrive()
    poll.request.arrive()
    send(world, session, 2)
    frames = poll.request.answer(wired)
    assert frames == [["r0,0", "esuperseded"], ["r0,0", "mS0.0", "mS0.1"]][wired]
    ends_well(world, 0, 2)


def test_an_older_websocket_is_read_until_it_ends() -> None:
    """Frames under way on it count, up and down."""
    world = scene()
    session, old = opened_on_websocket(world)
    send(world, world.client, 1)
    send(world, session, 1)
    new = world.client.websocket()
    new.up.deliver(1)
    old.up.deliver()  # behind the attach of the new one
    assert session.machine.inbox.received == 1
    assert old.down.deliver() == ["mS0.0", "esuperseded", None]
    assert world.client.machine.inbox.received == 1
    assert world.client.machine.carrier is new.carrier
    ends_well(world, 1, 1)


# -- opening -----------------------------------------------------------------------------------------------------------


def test_a_repeated_open_answers_with_the_same_session() -> None:
    """And it restarts open_timeout."""
    world = scene(open_timeout=10.0)
    first = world.client.poll()
    first.request.arrive()
    world.run(8)
    second = world.client.poll()
    second.request.arrive()
    world.run(11)
    assert len(world.server.all) == 1
    assert world.server.all[0].machine.outcome is None
    second.request.answer()
    ends_well(world, 0, 0)


def test_a_repeated_open_after_the_client_moved_on_is_refused() -> None:
    """It is told nothing but 4409, and the client, which has its session, ignores that."""
    world = scene()
    first = world.client.poll()
    second = world.client.poll()
    exchange(second.request)
    exchange(world.client.sends[-1])
    frames = exchange(first.request)
    assert [str(frame)[:15] for frame in frames] == ["x4409,carrier,,"]
    assert world.client.machine.outcome is None
    assert world.client.machine.carrier is second.carrier
    ends_well(world, 0, 0)


def test_an_open_that_comes_back_after_an_unused_end_is_told_from_the_tombstone() -> None:
    world = scene(open_timeout=10.0)
    poll = world.client.poll()
    poll.request.arrive()
    world.run(11)
    poll.request.arrive()
    body = poll.request.answers[1]
    assert body is not None
    assert str(decode_batch(body, 9)[0]).startswith("x4408,session,0,")


@pytest.mark.parametrize("order", ["websocket first", "poll first", "websocket never"])
def test_an_open_race(order: str) -> None:
    """Two carriers with one nonce, gen 1 and 2: one session, and early messages count once."""
    world = scene()
    send(world, world.client, 2)
    socket = world.client.websocket()
    poll = world.client.poll()
    if order == "websocket first":
        socket.up.deliver()
        socket.down.deliver()
        exchange(poll.request)
    elif order == "poll first":
        exchange(poll.request)
        assert [str(frame)[0] for frame in socket.up.deliver(1)] == ["o"]
        assert socket.down.deliver() == ["esuperseded", None]
        socket.up.deliver()  # gen 1 is late, and what it brings counts
    else:
        exchange(poll.request)
        socket.lost()
        socket.up.cut()
    assert len(world.server.all) == 1
    ends_well(world, 2, 0)


def test_a_lost_o_and_messages_that_had_arrived() -> None:
    world = scene()
    socket = world.client.websocket()
    send(world, world.client, 2)
    socket.up.deliver()
    socket.down.cut()
    socket.lost()
    exchange(world.client.poll().request)
    assert world.client.machine.outbox.acked == 2
    ends_well(world, 2, 0)


def test_a_session_that_never_leaves_the_websocket_it_was_opened_on_is_used() -> None:
    world = scene(open_timeout=5.0)
    session, _ = opened_on_websocket(world)
    world.heal()
    world.run(20)
    assert session.machine.outcome is None


def test_a_confirmation_that_is_lost_in_an_open_race_is_repeated() -> None:
    """The sid came by the older carrier and its confirmation by a send was lost; the newest carrier's own `o` is
    confirmed again, or the server would take the session as never used."""
    world = scene(open_timeout=6.0)
    poll = world.client.poll()
    socket = world.client.websocket()
    exchange(poll.request)  # brings the sid; the send that confirms it is lost
    socket.up.deliver(1)
    socket.down.deliver()
    world.client.sends[-1].over = True
    world.heal()
    world.run(20)
    assert world.session is not None
    assert world.session.machine.outcome is None


def test_nothing_on_a_carrier_of_another_session_counts() -> None:
    """The server crashed, and the repeated open made a second session. The client has its sid, and drops the carrier
    with everything on it."""
    world = scene()
    stray = world.client.poll()
    exchange(world.client.poll().request)
    world.server.crash()
    stray.request.arrive()
    ghost = world.server.all[1]
    send(world, ghost, 1)
    frames = stray.request.answer()
    assert str(frames[0]).startswith(f'o{{"sid":"{ghost.machine.sid}"')
    assert world.client.machine.inbox.received == 0
    socket = world.client.websocket()  # and on a WebSocket, where more follows
    carrier = socket.carrier
    assert carrier is not None
    for frame in [*frames[:1], "a1,1", "mnot ours"]:
        feed_client(world.client.machine, carrier, frame, world.now)
    assert world.client.machine.inbox.received == 0
    assert carrier.finished


# -- sends -------------------------------------------------------------------------------------------------------------


def test_a_lost_reply() -> None:
    """The batch is due again, and its second copy is dropped."""
    world = scene()
    session = opened(world)
    send(world, world.client, 2)
    world.client.sends[-1].arrive()
    world.run(world.now + 4)
    again = world.client.sends[-1]
    assert again.frames == [f"u{sid(world)},0,0,1,K0", "mC0", "mC1"]
    exchange(again)
    assert session.machine.duplicates == 2
    ends_well(world, 2, 0)


def test_the_acks_of_a_lost_send_are_due_again() -> None:
    """Beside a poll that is held for long: they don't wait for the next one."""
    world = scene(client_window=Window(2, 40), ping_interval=20.0, ping_timeout=20.0, resume_window=60.0)
    session = opened(world)
    poll = held_poll(world)
    send(world, session, 2)
    poll.request.answer()
    exchange(world.client.sends[-1])
    held_poll(world)
    world.client.app.take()
    world.settle()
    lost = world.client.sends[-1]
    assert lost.frames == [f"u{sid(world)},2,2,1,K0"]
    world.run(world.now + 4)
    assert world.client.sends[-1] is not lost
    assert world.client.sends[-1].frames == [f"u{sid(world)},2,2,1,K0"]
    ends_well(world, 0, 2)


def test_a_proxy_that_repeats_posts() -> None:
    world = scene()
    session = opened(world)
    send(world, world.client, 2)
    post = world.client.sends[-1]
    for _ in range(3):
        post.arrive()
    post.answer()
    assert session.machine.duplicates == 4
    ends_well(world, 2, 0)


def test_two_posts_overtake_each_other() -> None:
    """The first was given up, its successor brings more and arrives first."""
    world = scene()
    session = opened(world)
    send(world, world.client, 1)
    first = world.client.sends[-1]
    world.run(world.now + 4)
    second = world.client.sends[-1]
    send(world, world.client, 1)
    assert second is not first
    exchange(second)
    third = world.client.sends[-1]
    assert third.frames == [f"u{sid(world)},0,0,2,K0", "mC1"]
    exchange(third)
    first.arrive()
    assert session.machine.inbox.received == 2
    assert session.machine.duplicates == 1
    ends_well(world, 2, 0)


def test_a_post_that_begins_above_a_gap_changes_nothing() -> None:
    """And is answered normally. (Clients that number ahead of their acks make such POSTs.)"""
    world = scene()
    session = opened(world)
    bodies: list[bytes] = []
    world.server.send(f'["u{sid(world)},0,0,3,K0","mthree"]'.encode(), bodies.append)
    assert bodies == [b'["a0,0"]']
    world.server.poll("polling", f'["r{sid(world)},2,0,0,3,K0","mthree"]'.encode(), bodies.append)
    world.settle()
    assert bodies[1:] == [b'["r0,0"]']
    assert session.machine.inbox.received == 0
    assert session.machine.outcome is None


def test_a_late_ack_arrives_last() -> None:
    """The highest of each number counts, in whatever order acks arrive."""
    world = scene(client_window=Window(2, 40))
    session = opened(world)
    held_poll(world)
    send(world, session, 2)
    world.client.polls[-1].request.answer()
    held_poll(world)  # its attach says 2,0
    old = world.client.sends[-1]
    world.client.app.take()
    world.run(world.now + 4)
    new = world.client.sends[-1]
    assert (old.frames, new.frames) == ([f"u{sid(world)},2,0,1,K0"], [f"u{sid(world)},2,2,1,K0"])
    back = world.client.poll()
    back.request.arrive()
    assert back.request.answered  # it was away, and is to know that it is back
    back.request.answer()
    held_poll(world)
    new.arrive()
    old.arrive()
    assert (session.machine.outbox.acked, session.machine.outbox.taken) == (2, 2)
    send(world, session, 2)
    assert session.machine.outbox.last == 4
    ends_well(world, 0, 4)


def test_a_ping_in_a_batch_is_answered_by_the_answer() -> None:
    """A poll and a send have one body each: no pong is written beside it."""
    world = scene()
    opened(world)
    bodies: list[bytes] = []
    world.server.send(f'["u{sid(world)},0,0,1,K0","pare you there"]'.encode(), bodies.append)
    world.server.poll("polling", f'["r{sid(world)},2,0,0,1,K0","pare you there"]'.encode(), bodies.append)
    world.settle()
    assert bodies == [b'["a0,0"]', b'["r0,0"]']


# -- windows -----------------------------------------------------------------------------------------------------------


def test_both_inboxes_full() -> None:
    """Neither end can send a message, and acks still get through."""
    world = scene(server_window=Window(2, 40), client_window=Window(1, 10), initial_window=Window(2, 40))
    session, socket = opened_on_websocket(world)
    send(world, world.client, 4, size=20)
    send(world, session, 4, size=9)
    for _ in range(3):
        socket.up.deliver()
        socket.down.deliver()
    assert (len(session.machine.inbox), len(world.client.machine.inbox)) == (2, 1)
    assert (session.machine.outbox.last, world.client.machine.outbox.last) == (1, 2)
    ends_well(world, 4, 4)


def test_an_oversize_message_waits_for_an_empty_window() -> None:
    world = scene(client_window=Window(4, 40))
    session, socket = opened_on_websocket(world)
    send(world, session, 1, size=30)
    send(world, session, 1, size=100)
    send(world, session, 1, size=5)
    socket.down.deliver()
    assert session.machine.outbox.last == 1
    world.client.app.take()
    world.settle()
    socket.up.deliver()
    assert session.machine.outbox.last == 2  # alone
    socket.down.deliver()
    assert world.client.machine.inbox.size == 100
    ends_well(world, 0, 3)


def test_a_link_that_takes_no_more_does_not_hold_up_the_sweep() -> None:
    """An ack is due and can't be written: the session is looked at again a little later, and others meanwhile."""
    world = scene(capacity=2, server_window=Window(1, 40))
    session, socket = opened_on_websocket(world)
    send(world, session, 2)
    send(world, world.client, 1)
    socket.up.deliver()
    session.app.take()
    assert not socket.server.carrier.link.writable
    assert session.machine.deadline() <= world.now
    deadlines = Deadlines()
    session.machine.wake_at = float("inf")
    deadlines.schedule(session.machine, world.now)
    deadlines.run(world.now)
    assert deadlines.next() == world.now + 0.25


def test_notes_of_drops_say_how_many() -> None:
    """However they came about: adjacent notes become one, and none is dropped itself."""
    world = scene(max_outbox=2)
    session = opened(world)
    outbox = session.machine.outbox
    for number in range(2):
        outbox.append(Outgoing.message(f"{number}"))
    outbox.drop_new()  # a policy that drops the newest
    outbox.drop_new()
    assert outbox.make_room(1)
    outbox.append(Outgoing.message("last"))
    _, items = outbox.peek(1, 99, 999)
    assert [(item.kind, item.code) for item in items] == [("d", 4), ("m", 0)]
    assert outbox.dropped == 4


def test_dropped_messages_are_told_where_they_were() -> None:
    world = scene(max_outbox=3, client_window=Window(8, 400))
    session = opened(world)
    session.app.habits.drops = True
    send(world, session, 6)  # no poll is out: three wait, and the oldest go
    poll = world.client.poll()
    assert exchange(poll.request) == ["r0,0", "d4", "mS0.4", "mS0.5"]
    world.client.app.take()
    assert world.client.app.log == [Dropped(4), "S0.4", "S0.5"]
    ends_well(world, 0, 6)


# -- ends --------------------------------------------------------------------------------------------------------------


def test_the_window_expires_while_an_attach_is_under_way() -> None:
    """The client is told, and can list what did not arrive."""
    world = scene(resume_window=5.0)
    session = opened(world)
    send(world, world.client, 1)
    world.client.sends[-1].over = True  # lost
    world.run(6)
    socket = world.client.websocket()
    world.run(8)
    assert session.machine.outcome is not None
    assert world.client.machine.outcome is None
    socket.up.deliver()
    assert str(socket.down.deliver(1)[0]).startswith("x4410,session,0,")
    assert world.client.machine.outcome is not None
    assert world.client.machine.outcome.code == 4410
    assert world.client.unacknowledged == ["C0"]


def test_a_close_sent_on_one_carrier_and_acked_on_another() -> None:
    world = scene()
    session, old = opened_on_websocket(world)
    send(world, session, 1)
    session.app.close(3001)
    world.settle()
    new = world.client.websocket()
    assert messages(old.down.deliver()) == ["mS0.0"]  # and `c` behind it: the session ends for the client
    assert world.client.machine.outcome == Ended(3001, "goodbye", clean=True)
    assert world.client.machine.final_ack  # the new WebSocket is not attached: a send tells the ack
    exchange(world.client.sends[-1])
    assert session.machine.outcome == Ended(3001, "goodbye", clean=True)
    new.up.deliver()


def test_a_close_that_comes_by_an_older_carrier_when_there_is_no_newest() -> None:
    world = scene()
    session = opened(world)
    poll = held_poll(world)
    session.app.close(3001)
    world.settle()
    world.client.websocket().lost()
    assert world.client.machine.carrier is None
    poll.request.answer()
    assert world.client.machine.outcome == Ended(3001, "goodbye", clean=True)
    exchange(world.client.sends[-1])
    assert session.machine.outcome == Ended(3001, "goodbye", clean=True)


def test_a_clients_close_acked_by_the_answer_to_a_send() -> None:
    """Sent on a WebSocket that breaks behind it, and again by a send."""
    world = scene()
    session, socket = opened_on_websocket(world)
    send(world, world.client, 1)
    world.client.app.close(3001)
    world.settle()
    socket.up.deliver()
    assert session.machine.outcome == Ended(3001, "goodbye", clean=True)
    socket.down.cut()
    socket.lost()
    assert world.client.machine.outcome is None
    world.client.poll()
    answer = exchange(world.client.sends[-1])
    assert answer == ["x3001,session,2,goodbye"]
    assert world.client.machine.outcome == Ended(3001, "goodbye", clean=True)


def test_a_lost_close_ack_is_covered_by_the_tombstone() -> None:
    world = scene()
    session = opened(world)
    send(world, world.client, 2)
    exchange(world.client.sends[-1])
    world.client.app.close()
    world.settle()
    world.client.sends[-1].arrive()  # the answer is lost
    world.run(world.now + 4)
    assert session.machine.outcome == Ended(1000, "goodbye", clean=True)
    assert exchange(world.client.sends[-1]) == ["x1000,session,3,goodbye"]
    assert world.client.machine.outcome == Ended(1000, "goodbye", clean=True)


def test_a_tombstone_that_does_not_cover_the_close_is_no_ack() -> None:
    world = scene(resume_window=3.0)
    session = opened(world)
    world.client.app.close()
    world.settle()
    world.client.sends[-1].over = True  # lost
    world.run(6)
    assert session.machine.outcome is not None
    assert session.machine.outcome.code == 4410
    exchange(world.client.poll().request)
    assert world.client.machine.outcome is not None
    assert world.client.machine.outcome[::2] == (4410, False)


def test_a_close_from_both_sides() -> None:
    """Each keeps the code that reached it first, and nobody waits."""
    world = scene()
    session, socket = opened_on_websocket(world)
    send(world, world.client, 3)
    send(world, session, 3)
    session.app.close(3001)
    world.client.app.close(3002)
    world.settle()
    socket.up.deliver()
    socket.down.deliver()
    assert session.machine.outcome == Ended(3002, "goodbye", clean=True)
    assert world.client.machine.outcome == Ended(3001, "goodbye", clean=True)
    world.verdict()


def test_a_close_from_both_sides_with_both_windows_full() -> None:
    """Who has closed takes and discards at once, so the other's close has a way."""
    world = scene(server_window=Window(2, 40), client_window=Window(1, 10), initial_window=Window(2, 40))
    session, _ = opened_on_websocket(world)
    send(world, world.client, 4, size=20)
    send(world, session, 3, size=9)
    session.app.close()
    world.client.app.close()
    world.heal()
    world.run(20, lambda: world.over)
    world.verdict()
    for machine in (session.machine, world.client.machine):
        assert machine.outcome == Ended(1000, "goodbye", clean=True)


def test_a_close_while_detached() -> None:
    """It waits for a carrier like any message."""
    world = scene()
    session = opened(world)
    send(world, session, 3)
    session.app.close(3001)
    world.settle()
    world.run(5)
    poll = world.client.poll()
    assert exchange(poll.request) == ["r0,0", "mS0.0", "mS0.1", "mS0.2", "c3001,goodbye"]
    world.client.app.take()
    assert world.client.app.position == 3
    exchange(world.client.sends[-1])
    assert session.machine.outcome == Ended(3001, "goodbye", clean=True)


def test_a_close_that_nobody_acks() -> None:
    world = scene(resume_window=5.0)
    session = opened(world)
    send(world, session, 3)
    session.app.close(1000)
    world.settle()
    world.run(20)
    assert session.machine.outcome is not None
    assert session.machine.outcome[::2] == (4410, False)
    assert world.client.machine.outcome is not None
    assert world.client.machine.outcome[::2] == (4411, False)


def test_a_close_that_a_mute_application_never_takes() -> None:
    """The client's window is full and stays full: the server's close is told as 4412, not as 1000."""
    world = scene(client_window=Window(1, 10), resume_window=5.0)
    session, _ = opened_on_websocket(world)
    world.client.app.habits.stalls = (0.0, float("inf"))
    send(world, session, 3)
    session.app.close(1000)
    world.heal()
    world.run(20)
    assert session.machine.outcome is not None
    assert session.machine.outcome[::2] == (4412, False)
    assert world.client.machine.outcome is not None
    assert world.client.machine.outcome[::2] == (4412, False)


# -- drain -------------------------------------------------------------------------------------------------------------


def test_drain_on_a_websocket() -> None:
    """Nothing new is numbered; what was is delivered; and both directions are complete before c1012."""
    world = scene(server_window=Window(2, 100), initial_window=Window(2, 100))
    session, socket = opened_on_websocket(world)
    send(world, world.client, 3)  # the third waits for the window
    send(world, session, 1)
    world.drain()
    world.settle()
    assert [str(frame) for frame in socket.down.deliver()] == ["mS0.0", "g0.5"]
    assert socket.up.deliver()[-1] == "g2"
    assert session.machine.closing is None  # its application has not taken everything
    session.app.take()
    world.settle()
    assert "c1012,drained" in socket.down.deliver()
    assert world.client.machine.outcome == Ended(1012, "drained", clean=True)
    socket.up.deliver()
    assert session.machine.outcome == Ended(1012, "drained", clean=True)
    assert world.client.unacknowledged == ["C2"]
    world.client.app.take()
    assert world.client.app.position == 1


def test_drain_of_a_held_poll() -> None:
    world = scene()
    session = opened(world)
    poll = held_poll(world)
    world.drain()
    world.settle()
    assert poll.request.answer() == ["r0,0", "g0.5"]
    answer = world.client.sends[-1]
    assert answer.frames == [f"u{sid(world)},0,0,1,K0", "g0"]
    poll = world.client.poll()
    poll.request.arrive()
    assert not poll.request.answered  # told once a second, not as fast as polls come
    answer.arrive()
    assert poll.request.answer() == ["r0,0", "c1012,drained"]
    exchange(world.client.sends[-1])
    assert session.machine.outcome == Ended(1012, "drained", clean=True)
    assert world.client.machine.outcome == Ended(1012, "drained", clean=True)


def test_a_go_away_that_is_lost_with_its_carrier() -> None:
    """The next carrier is told again; and so when the answer was lost."""
    world = scene()
    session, socket = opened_on_websocket(world)
    world.drain()
    world.settle()
    socket.down.cut()
    socket.lost()
    second = world.client.websocket()
    second.up.deliver()
    assert heads(second.down.deliver()) == ["r0,0", "g0.5"]
    second.up.cut()  # with the answer
    second.lost()
    world.heal()
    world.run(30, lambda: world.over)
    assert session.machine.outcome == Ended(1012, "drained", clean=True)
    assert world.client.machine.outcome == Ended(1012, "drained", clean=True)


def test_a_go_away_behind_messages_that_were_acked_elsewhere() -> None:
    """The WebSocket's cursor stays below the last number, and nothing is left to write: the answer is due."""
    world = scene(capacity=1, server_window=Window(8, 400), initial_window=Window(8, 400))
    session = opened(world)
    send(world, world.client, 3)
    socket = probed(world)
    exchange(world.client.sends[-1])  # frees all three before the WebSocket can take them
    session.app.take()
    world.drain()
    socket.up.deliver(1)
    socket.down.deliver()
    assert socket.up.deliver() == ["g3"]
    socket.down.deliver()
    assert world.client.machine.outcome == Ended(1012, "drained", clean=True)


def test_silence_is_told_by_the_sweep() -> None:
    """A black-holed WebSocket is pinged and dropped, and the session goes on elsewhere."""
    world = scene()
    session, socket = opened_on_websocket(world)
    socket.up.mute = socket.down.mute = True
    world.run(3)
    assert list(socket.down.queue)[-1] == "p"
    world.run(5)
    machine: NumberedMachine = session.machine
    carrier: NumberedCarrier | None = machine.carrier
    assert carrier is None
    assert machine.state is State.DETACHED
    assert world.client.machine.carrier is None
    world.client.sockets.clear()
    ends_well(world, 0, 0)


# -- streams -----------------------------------------------------------------------------------------------------------

EACH_STREAM = pytest.mark.parametrize("kind", STREAMS)


def streamed(world: World, kind: str) -> tuple[Session, Stream]:
    """A session on the stream it was opened on, confirmed by a send."""
    stream = world.client.stream(kind)
    stream.arrive()
    stream.down.deliver()
    exchange(world.client.sends[-1])
    assert world.session is not None
    assert world.session.machine.used
    return world.session, stream


@EACH_STREAM
def test_a_recycled_stream_and_the_sends_beside_it(kind: str) -> None:
    """A message is under way in each direction while one stream ends and the next begins."""
    world = scene(max_stream_size=900, client_window=Window(32, 4000))
    session, stream = streamed(world, kind)
    send(world, world.client, 2)
    world.client.sends[-1].arrive()  # not answered yet
    send(world, session, 3, size=100)
    send(world, session, 3, size=100)
    stream.down.deliver()
    assert stream.over
    assert session.machine.carrier is None
    assert session.machine.state is State.OPEN
    send(world, session, 2)
    again = world.client.stream(kind)
    again.arrive()
    again.down.deliver()
    assert again.carrier.attached
    assert world.client.machine.inbox.received == 8
    ends_well(world, 2, 8)


@EACH_STREAM
def test_a_get_that_an_event_source_repeats_by_itself(kind: str) -> None:
    """The same request twice: the latest arrival takes over, and what it says again is dropped."""
    world = scene()
    session, _ = streamed(world, kind)
    stream = world.client.stream(kind)
    stream.arrive()
    send(world, session, 3)
    stream.down.deliver()
    first = session.machine.carrier
    stream.arrive()  # nobody reads this copy
    assert session.machine.carrier is not first
    send(world, session, 1)
    stream.down.deliver()  # the end of the first: superseded
    assert stream.over
    ends_well(world, 0, 4)


@EACH_STREAM
def test_a_late_stream_brings_its_acks_and_changes_nothing_else(kind: str) -> None:
    world = scene()
    session, _ = streamed(world, kind)
    send(world, session, 2)
    world.client.streams[-1].down.deliver()
    late = world.client.stream(kind)  # it says that it has both
    newest = world.client.stream(kind)
    newest.arrive()
    carrier = session.machine.carrier
    late.arrive()
    assert session.machine.carrier is carrier
    assert session.machine.outbox.acked == 2
    late.down.deliver()
    assert late.over
    assert not newest.over
    ends_well(world, 0, 2)


@EACH_STREAM
def test_what_an_old_stream_still_brings_counts_beside_the_new_one(kind: str) -> None:
    world = scene()
    session, old = streamed(world, kind)
    send(world, session, 3)
    new = world.client.stream(kind)
    new.arrive()
    new.down.deliver()
    assert world.client.machine.inbox.received == 3
    old.down.deliver()
    assert world.client.machine.duplicates == 3
    assert old.over
    assert world.client.machine.carrier is new.carrier
    ends_well(world, 0, 3)


@EACH_STREAM
def test_a_held_stream_pauses_nothing_when_a_poll_takes_over(kind: str) -> None:
    """The stream opens at the server and nothing of it comes: the client polls, and loses nothing."""
    world = scene()
    session = opened(world)
    stream = world.client.stream(kind)
    stream.down.mute = True
    stream.arrive()
    send(world, session, 3)  # written on the stream, and held
    poll = world.client.poll()
    frames = exchange(poll.request)
    assert len(messages([*frames])) == 3
    stream.down.mute = False
    stream.down.deliver()
    assert world.client.machine.duplicates == 3
    ends_well(world, 0, 3)


@EACH_STREAM
def test_a_close_crosses_a_recycling(kind: str) -> None:
    world = scene(max_stream_size=200)
    session, stream = streamed(world, kind)
    stream.down.deliver()  # recycled by its `o` already
    again = world.client.stream(kind)
    again.arrive()
    send(world, session, 2, size=100)
    session.app.close()
    world.settle()
    again.down.deliver()
    world.heal()
    world.run(world.now + 60, lambda: world.over)
    world.verdict()
    assert world.client.machine.outcome == Ended(1000, "goodbye", clean=True)
