"""How each transport carries a client's session over aiohttp: a coroutine that lives as long as its carrier, or as its
run of polls, and tells what became of it.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from typing import Any

import aiohttp
from aiohttp import WSMsgType

from ..core.carrier import NumberedCarrier, Part, Shape
from ..core.client_machine import Attach, Uplink
from ..core.errors import Refusal, RemoteProtocolError
from ..core.frames import Outgoing
from ..core.proof import ATTACH, Key
from ..protocols.native import NativeCodec, attach_frame, open_frame, parse_refusal, uplink_frames
from ..transports import TRANSPORTS, Decoder, Frame, WebSocketMessages
from .links import PollLink, StreamLink, WebSocketLink
from .session import ClientSession
from .supervisor import Fate

__all__ = [
    "BROWSERS_ONLY",
    "DRIVERS",
    "acknowledge_close",
    "open_beside",
    "post",
    "probe_poll",
    "probe_stream",
    "probe_websocket",
    "renew",
]

WEBSOCKET = NativeCodec(WebSocketMessages(), "client")
POLLS = {name: NativeCodec(TRANSPORTS[name], "client") for name in ("long_polling", "polling")}
STREAMS = {name: NativeCodec(TRANSPORTS[name], "client") for name in ("xhr_streaming", "sse", "multipart")}
# What needs a page: an iframe to fill, a function to call.
BROWSERS_ONLY = frozenset({"htmlfile", "jsonp"})
POST = POLLS["long_polling"]  # batches look alike on all of them

FAILURES = (aiohttp.ClientError, TimeoutError, OSError)
FINAL_ACK_TRIES = 4
# How many frames a batch from the server may have besides the messages that our window lets through.
FRAMES_BESIDE = 256
OVER = "ended with the session"


def _hello(session: ClientSession, attach: Attach) -> str:
    """The first frame of a carrier: open or attach. (Not of one by URL that attaches: see _ticket().)"""
    if attach.sid:
        return attach_frame(attach)
    settings = session.settings
    return open_frame(
        session.nonce,
        attach.gen,
        session.machine.config.window,
        settings.transports,
        session.auth,
        session.supervisor.history(),
        session.timings,
    )


def _words(error: BaseException) -> str:
    """A failure in words."""
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return f"the WebSocket handshake was answered with HTTP {error.status}"
    if isinstance(error, aiohttp.ClientResponseError):  # whose own words have the URL, and that has the sid
        return f"the answer is no HTTP: {error.message}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientSSLError):
        cause = error.os_error
        why = os.strerror(cause.errno) if cause.errno and cause.errno > 0 else cause.strerror or str(cause)
        return f"cannot connect to {error.host} port {error.port}: {why}"
    if isinstance(error, RemoteProtocolError):
        return error.reason
    return str(error) or type(error).__name__


def _failed(session: ClientSession, name: str, error: BaseException, began: float | None, patience: float) -> Fate:
    """The fate of an attempt to carry, or of a carrier that began to, which failed with `error`.

    One that has brought more than this end takes ends the session: it would bring the same again and again.
    """
    if isinstance(error, RemoteProtocolError) and error.close_code == 1009 and session.machine.sid:
        session.machine.fail(error, session.clock.now())
    late = began is None and isinstance(error, TimeoutError)
    return Fate(name, _words(error), began, waited=patience if late else 0.0)


def _stop(timeout: asyncio.Timeout) -> None:
    """Ends what stands below `timeout` as if its time were up, unless that is ending already."""
    with suppress(RuntimeError):
        timeout.reschedule(asyncio.get_running_loop().time())


def _decoder(session: ClientSession, codec: NativeCodec) -> Decoder:
    """What reads batches from the server, and takes none that is larger than the server may make it."""
    config = session.machine.config
    return codec.transport.decoder(config.max_queue + FRAMES_BESIDE, config.max_answer)


# -- WebSocket -----------------------------------------------------------------------------------------------------


async def _connect(session: ClientSession, query: dict[str, str]) -> aiohttp.ClientWebSocketResponse:
    url = session.address("websocket")
    return await session.http.ws_connect(
        url.update_query(query) if query else url,
        headers=session.settings.headers,
        max_msg_size=session.machine.config.max_answer,
        timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
    )


async def drive_websocket(session: ClientSession, name: str) -> Fate:
    """Opens or attaches over a new WebSocket, and carries until it ends."""
    machine = session.machine
    if machine.outcome is not None:
        return Fate(name, OVER)
    link = WebSocketLink(machine.listener.dirty)
    now = session.clock.now()
    carrier = NumberedCarrier(WEBSOCKET, link, now)
    patience = session.supervisor.patience()
    hello = _hello(session, machine.start(carrier, now))
    query = {}
    if hello[0] == "o" and session.auth is None:
        query["open"] = hello[1:]
    else:
        link.write([hello])
    try:
        try:
            async with asyncio.timeout(patience):
                ws = await _connect(session, query)
        except FAILURES as error:
            return _failed(session, name, error, None, patience)
        return await _carry(session, carrier, link, ws)
    finally:
        machine.lost(carrier, session.clock.now())


async def _carry(
    session: ClientSession, carrier: NumberedCarrier, link: WebSocketLink, ws: aiohttp.ClientWebSocketResponse
) -> Fate:
    """Reads and writes an attached (or attaching) WebSocket until it ends."""
    name = carrier.codec.name
    loop = asyncio.get_running_loop()
    writer = loop.create_task(link.run(ws))
    began: float | None = None
    fate: Fate | None = None
    patience = session.supervisor.patience()
    try:
        try:
            async with asyncio.timeout(patience) as timeout:
                link.aborted = lambda: _stop(timeout)
                async for message in ws:
                    if message.type is WSMsgType.ERROR:
                        if began is not None and ws.close_code == 1009:
                            return _failed(session, name, _too_much(session), began, patience)
                        break
                    fate = session.feed(carrier, [message.data])
                    if fate is not None:
                        break
                    if began is None and carrier.attached:
                        began = session.clock.now()
                        timeout.reschedule(None)
                        session.supervisor.got_through(name, carrier.started)
        except TimeoutError:
            if began is not None:
                return Fate(name, "the connection went silent", began)
            return Fate(name, "the connection stayed mute", waited=patience)
        if session.closed:
            # What the machine wrote last (the ack of the server's close) has to go out.
            await asyncio.wait({writer}, timeout=2.0)
        if fate is None:
            return Fate(name, f"cut (WebSocket close code {ws.close_code})", began)
        return replace(fate, since=began)
    finally:
        link.aborted = None
        writer.cancel()
        session.dispose(ws)


async def probe_websocket(session: ClientSession) -> Fate | None:
    """Tries a WebSocket beside the carrier in use, and upgrades to it once it has answered (docs/protocol.md §7).

    Returns None after the upgrade, which goes on in a task of its own, or what went wrong.
    """
    started = session.clock.now()
    patience = session.supervisor.patience("websocket")
    try:
        async with asyncio.timeout(patience):
            ws = await _connect(session, {})
            try:
                await ws.send_str("p")
                answer = await ws.receive()
                if answer.type is not WSMsgType.TEXT or answer.data != "q":
                    session.dispose(ws)
                    return _not_probed(answer)
            except BaseException:
                session.dispose(ws)
                raise
    except FAILURES as error:
        return _failed(session, "websocket", error, None, patience)
    machine = session.machine
    if machine.outcome is not None:
        session.dispose(ws)
        return None
    session.supervisor.take_over("websocket", session.spawn(_upgraded(session, ws, started), "websocket"))
    return None


def _not_probed(answer: aiohttp.WSMessage) -> Fate:
    if answer.type is WSMsgType.TEXT and answer.data[:1] == "x":
        refusal = parse_refusal(answer.data)
        return Fate("websocket", f"refused with {refusal.code}: {refusal.reason}", refusal=refusal)
    return Fate("websocket", f"the probe was answered with {str(answer.data)[:80]!r}")


async def _upgraded(session: ClientSession, ws: aiohttp.ClientWebSocketResponse, started: float) -> Fate:
    machine = session.machine
    if machine.outcome is not None:
        session.dispose(ws)
        return Fate("websocket", OVER)
    link = WebSocketLink(machine.listener.dirty)
    carrier = NumberedCarrier(WEBSOCKET, link, started)
    link.write([_hello(session, machine.start(carrier, session.clock.now()))])
    carrier.started = started  # the probe counts as part of the attempt
    try:
        return await _carry(session, carrier, link, ws)
    finally:
        machine.lost(carrier, session.clock.now())


# -- streams -------------------------------------------------------------------------------------------------------


async def drive_stream(session: ClientSession, name: str) -> Fate:
    """Attaches (or opens) by one long response, and reads it until it ends.

    Where polls are allowed the session is opened by one of them, so that the stream can be tested against a POST. Where
    none gets through the stream opens it, and is believed.
    """
    if not session.id and (poll := session.supervisor.opening_poll()):
        fate = await open_beside(session, poll, session.machine.reserve())
        if fate is not None:
            if session.closed or (fate.refusal is not None and fate.refusal.code != 4406):
                return replace(fate, transport=name)
            session.supervisor.failed_beside(fate)
    codec = STREAMS[name]
    if codec.transport.method == "GET" and not session.id and session.auth is not None:
        return Fate(name, "not tried: auth data must not stand in a URL")
    machine = session.machine
    ticket = ""
    if codec.transport.method == "GET" and session.id:
        fate = await _ask_for_tickets(session, name)
        if fate is not None:
            return fate
        ticket = machine.ticket()
    if machine.outcome is not None:
        return Fate(name, OVER)
    link = StreamLink()
    now = session.clock.now()
    carrier = NumberedCarrier(codec, link, now)
    attach = machine.start(carrier, now)
    hello = _hello(session, attach._replace(proof=Key(ticket)) if ticket else attach)
    patience = session.supervisor.patience()
    began: float | None = None
    arrived = asyncio.Event()
    held: list[str] = []
    tester: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(patience) as timeout:
            link.aborted = lambda: _stop(timeout)
            if session.id:
                tester = session.spawn(_test_stream(session, arrived, held, link), "stream test")
            async with _begin_stream(session, codec, hello) as response:
                if response.status == 204:
                    return Fate(name, "ended by the server: superseded", superseded=True)
                if response.status != 200:
                    fate = session.feed(carrier, await _batch(session, response))
                    return fate or Fate(name, f"HTTP {response.status} without a refusal")
                decoder = _decoder(session, codec)
                async for chunk in response.content.iter_any():
                    fate = session.feed(carrier, decoder.feed(chunk))
                    if began is None and carrier.attached:
                        arrived.set()
                        held.clear()  # late, but it is here
                        began = session.clock.now()
                        timeout.reschedule(None)
                        session.supervisor.got_through(name, carrier.started)
                    if fate is not None:
                        return replace(fate, since=began)
                if began is None:
                    return Fate(name, f"HTTP {response.status} without a batch of the protocol")
                return Fate(name, "cut", began)
    except TimeoutError:
        if held:
            return Fate(name, held[0], held=True)
        if began is not None:
            return Fate(name, "the stream went silent", began)
        return Fate(name, "no data in time: held back, or mute", waited=patience)
    except RemoteProtocolError as error:
        large = error.close_code == 4413 and began is not None
        return _failed(session, name, _too_much(session) if large else error, began, patience)
    except FAILURES as error:
        return _failed(session, name, error, began, patience)
    finally:
        link.aborted = None
        if tester is not None:
            tester.cancel()
        machine.lost(carrier, session.clock.now())


async def _ask_for_tickets(session: ClientSession, name: str) -> Fate | None:
    """Sees to it that there is a ticket for the next carrier, which starts in a URL: nearly always there is."""
    machine = session.machine
    while not machine.ticket():
        asked = machine.tickets
        fate = await _aside(session, f"{ATTACH}{machine.gen + 1}")
        if fate is None and machine.outcome is not None:
            fate = Fate(name, "ended with the session")
        if fate is None and machine.tickets is asked:
            fate = Fate(name, "the server gives no ticket for a stream by URL")
        if fate is not None:
            return replace(fate, transport=name)
    return None


async def _test_stream(session: ClientSession, arrived: asyncio.Event, held: list[str], link: StreamLink) -> None:
    """A POST beside the stream: when its answer has come and nothing on the stream, something holds the stream back."""
    reason = await _beside_a_post(session, arrived)
    if reason is not None:
        held.append(reason)
        link.abort()


async def _beside_a_post(session: ClientSession, arrived: asyncio.Event) -> str | None:
    """Waits for `arrived`, twice as long as a POST of this session took and half a second; else says why not."""
    started = session.clock.now()
    try:
        await _request(session, "send", uplink_frames(POST, session.machine.aside()), session.settings.post_timeout)
    except (*FAILURES, RemoteProtocolError):
        return None  # nothing gets through: that says nothing about streams
    took = session.clock.now() - started
    waits = {asyncio.ensure_future(arrived.wait()), asyncio.ensure_future(session.sleep(2 * took + 0.5))}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    if arrived.is_set():
        return None
    return f"held back by something in between: a POST took {took:.3f} s, and no data came in twice that and 0.5 s"


async def probe_stream(session: ClientSession, name: str) -> Fate | None:
    """Tries beside the carrier in use whether a stream gets through unbuffered: `p`, answered by `q` on a stream that
    goes on for a while. Returns None if it does, or what went wrong.
    """
    codec = STREAMS[name]
    arrived = asyncio.Event()
    patience = session.supervisor.patience(name)
    tester = asyncio.ensure_future(_beside_a_post(session, arrived))
    try:
        async with asyncio.timeout(patience), _begin_stream(session, codec, "p") as response:
            reading = asyncio.ensure_future(_find_pong(session, response, _decoder(session, codec), arrived))
            try:
                await asyncio.wait({reading, tester}, return_when=asyncio.FIRST_COMPLETED)
                if reading.done():
                    refusal = reading.result()
                    if refusal is not None:
                        return Fate(name, f"refused with {refusal.code}: {refusal.reason}", refusal=refusal)
                    if not arrived.is_set():
                        return Fate(name, f"HTTP {response.status} without a batch of the protocol")
                    return None
                await asyncio.sleep(0)
                reason = tester.result()
                return None if arrived.is_set() else Fate(name, reason or "no data in time", held=reason is not None)
            finally:
                reading.cancel()
    except (*FAILURES, RemoteProtocolError) as error:
        return _failed(session, name, error, None, patience)
    finally:
        tester.cancel()


async def _find_pong(
    session: ClientSession, response: aiohttp.ClientResponse, decoder: Decoder, arrived: asyncio.Event
) -> Refusal | None:
    """Reads a stream until its `q`, which sets `arrived`, or its `x`, or its end."""
    if response.status != 200:
        (frame, *_) = await _batch(session, response)
        return parse_refusal(str(frame))
    async for chunk in response.content.iter_any():
        for frame in decoder.feed(chunk):
            if frame[:1] == "q":
                arrived.set()
                return None
            if isinstance(frame, str) and frame[:1] == "x":
                return parse_refusal(frame)
    for frame in decoder.end():
        if isinstance(frame, str) and frame[:1] == "x":
            return parse_refusal(frame)
    return None


def _begin_stream(
    session: ClientSession, codec: NativeCodec, first: str
) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
    """The request of a stream: its first frame in the body, or in the URL where it can only be there."""
    url, headers = session.address(codec.name), dict(session.settings.headers)
    timeout = aiohttp.ClientTimeout(total=None)
    if codec.transport.method == "GET":
        url = url.update_query(frame=first)
        return session.http.get(url, headers=headers, timeout=timeout, allow_redirects=False)
    headers["Content-Type"] = "text/plain;charset=UTF-8"
    body = b"".join(POST.wrap([POST.text(first)]))  # type: ignore[arg-type] # batches are bytes
    return session.http.post(url, data=body, headers=headers, timeout=timeout, allow_redirects=False)


# -- polls ---------------------------------------------------------------------------------------------------------


async def open_beside(session: ClientSession, name: str, gen: int) -> Fate | None:
    """Opens the session by one poll that never takes over, beside a carrier that is wanted more.

    Returns None when the session is open, or the poll's fate: `superseded` when the server has that other carrier.
    """
    machine = session.machine
    if machine.outcome is not None:
        return Fate(name, OVER)
    now = session.clock.now()
    carrier = NumberedCarrier(POLLS[name], PollLink(), now)
    hello = _hello(session, machine.start(carrier, now, gen=gen))
    patience = session.supervisor.patience()
    try:
        frames = await _request(session, name, [POST.text(hello)], patience)
    except (*FAILURES, RemoteProtocolError) as error:
        return _failed(session, name, error, None, patience)
    session.supervisor.timings.setdefault(name, session.clock.now() - now)
    fate = session.feed(carrier, frames)
    carrier.finished = True
    if carrier.attached:
        session.opened_by(name)
    return fate


async def probe_poll(session: ClientSession, name: str) -> Fate | None:
    """Tries beside the carrier in use whether polls of a transport get through: by one with the gen of the first
    carrier, which the server takes for late, so that it changes nothing. Returns None if they do, or what went wrong.
    """
    machine = session.machine
    patience = session.supervisor.patience(name)
    carrier = NumberedCarrier(POLLS[name], PollLink(), session.clock.now())
    if machine.gen <= 1:
        return None  # there was no carrier before this one
    late = Attach(machine.sid, 1, *machine.inbox.ack(), machine.outbox.acked + 1)
    try:
        frames = await _request(session, name, [POST.text(attach_frame(late))], patience)
    except (*FAILURES, RemoteProtocolError) as error:
        return _failed(session, name, error, None, patience)
    fate = session.feed(carrier, frames)
    return None if fate is not None and fate.superseded else fate


async def drive_polls(session: ClientSession, name: str) -> Fate:
    """One poll after the other, until one is lost or another transport takes over."""
    machine = session.machine
    codec = POLLS[name]
    pause = machine.server.poll_interval[0]
    began: float | None = None
    while machine.outcome is None:
        now = session.clock.now()
        carrier = NumberedCarrier(codec, PollLink(), now)
        attach = machine.start(carrier, now)
        opening = not attach.sid
        items: list[Outgoing] = [] if codec.held and not opening else machine.poll_items(carrier)
        parts = [codec.text(_hello(session, attach)), *map(codec.item, items)]
        going = machine.going_due and not codec.held and machine.outbox.last < carrier.send_cursor
        if going:
            parts.append(codec.go_away(machine.outbox.last))
        patience = session.supervisor.patience()
        if codec.held and not opening:
            patience = max(patience, min(machine.server.silence, machine.server.hold * 2))
        try:
            frames = await _request(session, name, parts, patience)
        except (*FAILURES, RemoteProtocolError) as error:
            machine.lost(carrier, session.clock.now())
            return _failed(session, name, error, began, patience)
        except BaseException:
            machine.lost(carrier, session.clock.now())
            raise
        if going:
            machine.going_due = False
        received = machine.inbox.received
        fate = session.feed(carrier, frames)
        carrier.finished = True
        if fate is not None or machine.carrier is not carrier:
            machine.lost(carrier, session.clock.now())
            return replace(fate, since=began) if fate else Fate(name, "replaced", began, superseded=True)
        if began is None:
            began = session.clock.now()
            session.supervisor.got_through(name, now)
        if not codec.held and not opening:
            least, most = machine.server.poll_interval
            pause = least if items or machine.inbox.received > received else min(max(pause, least) * 2, most)
            await session.poll_pause(pause)
        if not session.supervisor.drives():
            return Fate(name, "replaced", began, superseded=True)
    return Fate(name, OVER, began)


async def _request(session: ClientSession, name: str, parts: Sequence[Part], patience: float) -> list[Frame]:
    """One POST: the frames of the answer. Raises RemoteProtocolError for an answer that is no batch."""
    body = b"".join(POST.wrap(parts))  # type: ignore[arg-type] # batches are bytes
    timeout = aiohttp.ClientTimeout(total=patience)
    async with session.http.post(
        session.address(name),
        data=io.BytesIO(
            body
        ),  # as bytes, aiohttp warns of large ones; where warnings are errors, that ends the session
        headers={"Content-Type": "text/plain;charset=UTF-8", **session.settings.headers},
        timeout=timeout,
        allow_redirects=False,
    ) as response:
        if "Retry-After" in response.headers:
            session.heed(response.headers["Retry-After"])
        return await _batch(session, response)


def _too_much(session: ClientSession) -> RemoteProtocolError:
    config = session.machine.config
    return RemoteProtocolError(
        1009,
        f"the server sends more at once than max_size={config.max_size}, max_queue={config.max_queue} and"
        f" max_queue_size={config.max_queue_size} of this client take",
    )


async def _batch(session: ClientSession, response: aiohttp.ClientResponse) -> list[Frame]:
    """The frames of a whole answer, of which no more is read than one can have.

    Raises RemoteProtocolError for one that is no batch, and with 1009 for one that begins as a batch and is too large.
    """
    limit = session.machine.config.max_answer
    answer = bytearray()
    async for chunk in response.content.iter_any():
        answer += chunk
        if len(answer) > limit:
            if response.status == 200 and answer.startswith(b'["'):
                raise _too_much(session)
            raise RemoteProtocolError(4400, f"HTTP {response.status} with more than {limit} bytes")
    decoder = _decoder(session, POST)
    try:
        frames = decoder.feed(bytes(answer)) + decoder.end()
    except RemoteProtocolError:
        frames = []
    if not frames:
        raise RemoteProtocolError(4400, f"HTTP {response.status} without a batch of the protocol")
    return frames


async def post(session: ClientSession, batch: Uplink) -> str:
    """Sends one uplink batch. Returns "" once it was answered, else what became of it."""
    machine = session.machine
    try:
        frames = await _request(session, "send", uplink_frames(POST, batch), session.settings.post_timeout)
    except (*FAILURES, RemoteProtocolError) as error:
        machine.uplink_lost(batch)
        return _failed(session, "send", error, None, 0.0).what
    except BaseException:
        machine.uplink_lost(batch)
        raise
    carrier = NumberedCarrier(POST, PollLink(), session.clock.now())
    fate = session.feed(carrier, frames)
    if fate is not None and not session.closed:
        if fate.refusal is not None and fate.refusal.code == 4401:
            await session.renew(fate.refusal)
        machine.uplink_lost(batch)  # refused without prejudice to the session: wait, and try again
        return fate.what
    machine.uplink_answered(batch, session.clock.now())
    return ""


async def renew(session: ClientSession, frame: str) -> Fate | None:
    """Brings fresh auth data (a `t`): on the WebSocket if there is one, else by a send of their own.

    Returns None once the server has taken them, or has ended the session; else what came in between.
    """
    machine = session.machine
    carrier = machine.carrier
    driver = session.driver
    session.renewed.clear()
    if carrier is not None and driver is not None and carrier.codec.shape is Shape.DUPLEX and carrier.attached:
        carrier.write([frame])
        answered = asyncio.ensure_future(session.renewed.wait())
        try:
            await asyncio.wait({answered, driver}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            answered.cancel()
        return None if session.renewed.is_set() else driver.result()
    return await _aside(session, frame)


async def _aside(session: ClientSession, frame: str) -> Fate | None:
    """Says one frame by a send of its own, and takes the answer. Returns what went wrong, if anything did."""
    parts = [*uplink_frames(POST, session.machine.aside()), POST.text(frame)]
    try:
        frames = await _request(session, "send", parts, session.settings.post_timeout)
    except (*FAILURES, RemoteProtocolError) as error:
        return Fate("send", _words(error))
    return session.feed(NumberedCarrier(POST, PollLink(), session.clock.now()), frames)


async def acknowledge_close(session: ClientSession) -> None:
    """Tells the server that its close has arrived, where no WebSocket can (docs/protocol.md §8)."""
    batch = session.machine.aside()
    least, most = session.settings.backoff
    for attempt in range(FINAL_ACK_TRIES):
        if attempt:
            await session.sleep(min(least * 2.0 ** (attempt - 1), most, 2.0))
        try:
            (frame, *_) = await _request(
                session, "send", uplink_frames(POST, batch), min(2.0, session.settings.post_timeout)
            )
        except (*FAILURES, RemoteProtocolError):
            continue
        if not (isinstance(frame, str) and frame[:1] == "x" and parse_refusal(frame).scope == "carrier"):
            return


Driver = Callable[[ClientSession, str], Coroutine[Any, Any, Fate]]
DRIVERS: dict[str, Driver] = {
    "websocket": drive_websocket,
    "xhr_streaming": drive_stream,
    "sse": drive_stream,
    "multipart": drive_stream,
    "long_polling": drive_polls,
    "polling": drive_polls,
}
