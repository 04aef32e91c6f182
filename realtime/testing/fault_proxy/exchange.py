"""One request on a client's connection, its response, and the tunnel if it becomes one.

This is where faults act, except those that count bytes and seconds (`flow.py`). Read `Exchange.run`
first: it is the course of a request from its head on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from . import faults, http
from .faults import End, EndOrHang
from .flow import Flow, Way
from .http import ProxiedRequest, Response
from .link import Link
from .outlet import Outlet
from .shared import Shared
from .tasks import reap
from .wire import READ_SIZE, FramePieces, GivenPieces, Pieces, Wire, body_pieces

T = TypeVar("T")

_NEED_WHOLE_BODY = (
    faults.DelayRequest,
    faults.ReorderRequests,
    faults.RepeatRequest,
    faults.TruncateRequest,
)


class Exchange:
    """A request whose head has arrived, and the rules that it has armed."""

    def __init__(self, link: Link, shared: Shared, request: ProxiedRequest) -> None:
        self._link = link
        self._client = link.client
        self._shared = shared
        self._request = request
        self._rules = shared.take(request)
        self._flow = Flow(link, shared, request, self._rules)
        self._without: frozenset[str] = frozenset()
        self._body: bytes | None = None
        """The request's body as it is on the wire, if a fault needs it whole."""
        self._uploaded = False

    async def run(self) -> End | None:
        """See it through. How the connection then ends; None: it waits for the next request."""
        try:
            end = await self._meet_request()
            if end is not None:
                return end
            if self._link.server_muted:
                await self._link.swallow()
                return "fin"
            self._flow.start_timers()
            if any(isinstance(rule.fault, _NEED_WHOLE_BODY) for rule in self._rules):
                self._body = await self._whole_request()
                if self._body is None:
                    return "fin"
                if await self._hold_request() and self._client.eof:
                    self._shared.send_copy(self._request, self._body)
                    return "fin"
            server = await self._server()
            if server is None:
                return "fin"
            return await self._forward(server)
        finally:
            for rule in self._rules:
                rule._forget(self._request)
            await self._flow.close()

    # Before the server

    async def _meet_request(self) -> End | None:
        """Faults that act before anything has reached the server."""
        for rule in self._rules:
            match rule.fault:
                case faults.RefuseWebSocket(status=status):
                    self._flow.fire(rule)
                    await self._client.write(http.make_response(status))
                    return "fin"
                case faults.Answer(status=status, headers=headers, body=body):
                    self._flow.fire(rule)
                    await self._client.write(http.make_response(status, headers, body))
                    return "fin"
                case faults.StripUpgrade():
                    self._flow.fire(rule)
                    self._without |= {"upgrade", "connection"}
                case faults.HangWebSocket():
                    self._flow.fire(rule)
                    return self._drop("hang")
                case faults.ResetWebSocket():
                    self._flow.fire(rule)
                    return self._drop("rst")
                case faults.DropRequest(end=end):
                    self._flow.fire(rule)
                    return self._drop(end)
                case faults.BlackHole(after_bytes=None, after_writes=None, direction=direction):
                    self._link.mute(direction)
                    self._flow.fire(rule)
        return None

    def _drop(self, end: EndOrHang) -> End:
        if end != "hang":
            return end
        # A mute wire stays open when the link ends.
        self._client.muted = True
        return "fin"

    async def _whole_request(self) -> bytes | None:
        """The request's body; None if the client left in the middle of it."""
        if self._request.headers.has_token("Expect", "100-continue"):
            # The client waits for this before it sends the body that we want to have whole.
            self._without |= {"expect"}
            await self._client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        pieces = body_pieces(self._client, self._request.body)
        body = await _collect(pieces)
        return body if pieces.complete else None

    async def _hold_request(self) -> bool:
        """Hold the request back as long as faults want. Whether any did."""
        held = False
        for rule in self._rules:
            match rule.fault:
                case faults.DelayRequest(seconds=seconds):
                    held = True
                    self._flow.fire(rule)
                    await self._watching_client(asyncio.sleep(seconds))
                case faults.ReorderRequests(max_hold=seconds):
                    held = True
                    if await self._watching_client(rule._overtaken(seconds)):
                        self._flow.fire(rule)
        return held

    async def _watching_client(self, work: Coroutine[Any, Any, T]) -> T:
        """Do the work to its end, and notice meanwhile if the client leaves."""
        watching = asyncio.create_task(self._client_left())
        try:
            return await work
        finally:
            await reap(watching)

    async def _client_left(self) -> None:
        """Return when the client has ended its stream."""
        # It may send its next requests ahead, but not without a bound.
        while len(self._client.buffer) < READ_SIZE:
            if not await self._client.more():
                return
        await asyncio.get_running_loop().create_future()

    async def _server(self) -> Wire | None:
        """The wire to the server; None, and the client has been told, if it can't be had."""
        if self._link.server is None:
            try:
                self._link.attach(await self._shared.connect())
            except OSError as error:
                self._shared.note("bad", self._link.number, self._request, f"no server: {error}")
                await self._client.write(http.make_response(502))
        return self._link.server

    # To the server and back

    async def _forward(self, server: Wire) -> End | None:
        to_server = self._flow.way_out(server, "to_server")
        upload = asyncio.create_task(self._upload(server, to_server))
        download = asyncio.create_task(self._download(server))
        try:
            await asyncio.wait((upload, download), return_when=asyncio.FIRST_COMPLETED)
            if not download.done():
                return upload.result()
            outcome = download.result()
        finally:
            await reap(upload, download)
        if isinstance(outcome, Outlet):
            return await self._tunnel(server, to_server, outcome)
        if outcome is None and not self._uploaded:
            return "fin"  # what would follow on this wire is the rest of a request answered early
        return outcome

    async def _upload(self, server: Wire, outlet: Outlet) -> End:
        """Send the request, then watch the client. Returns how to end once it left or a fault acted."""
        head = self._request._head_bytes(without=self._without)
        if self._body is None:
            await server.write(head)
            if self._request.body != "none":
                pieces = body_pieces(self._client, self._request.body)
                await self._flow.pour(pieces, outlet, "to_server")
                await outlet.flush()
        else:
            for rule in self._rules:
                if isinstance(rule.fault, faults.TruncateRequest):
                    short = http.truncated(self._body, self._request.body, rule.fault.keep)
                    if short is not None:
                        await server.write(head + short)
                        self._flow.fire(rule)
                        return rule.fault.end
            await server.write(head)
            if self._body:
                await self._flow.pour(GivenPieces(self._client, self._body), outlet, "to_server")
                await outlet.flush()
        self._uploaded = True
        await self._client_left()
        return "rst" if self._client.was_reset else "fin"

    async def _download(self, server: Wire) -> End | Outlet | None:
        """Pass the response on. How the connection ends, None if it stays, or the way out of a tunnel."""
        while True:
            head = await server.head()
            if head is None:
                return "rst" if server.was_reset else "fin"
            response = http.parse_response(head)
            if response.status >= 200 or response.status == 101:
                break
            await self._client.write(head)
        self._flow.touch()
        self._shared.note("answered", self._link.number, self._request, str(response.status))
        await self._shared.answered(self._request)
        for rule in self._rules:
            match rule.fault:
                case faults.RepeatRequest() as fault:
                    await self._shared.repeat(rule, fault, self._request, self._body or b"")
        for rule in self._rules:
            match rule.fault:
                case faults.DropResponse(end=end):
                    self._flow.fire(rule)
                    return self._drop(end)
        outlet = self._flow.way_out(self._client, "to_client")
        if response.status == 101:
            await outlet.write(head)
            return outlet
        self._flow.refused()
        return await self._respond(server, response, head, outlet)

    async def _respond(self, server: Wire, response: Response, head: bytes, outlet: Outlet) -> End | None:
        body = response.body(self._request.method)
        pieces = body_pieces(server, body)
        for rule in self._rules:
            if isinstance(rule.fault, faults.TruncateResponse):
                content = await _collect(pieces)
                short = http.truncated(content, body, rule.fault.keep) if pieces.complete else None
                await outlet.write(head + (content if short is None else short))
                await outlet.flush()
                if short is not None:
                    self._flow.fire(rule)
                    return rule.fault.end
                break
        else:
            await outlet.write(head)
            end = await self._flow.pour(pieces, outlet, "to_client")
            if end is not None:
                return end
            await outlet.flush()
        if not pieces.complete:
            return "rst" if server.was_reset else "fin"
        stays = body != "until_eof" and http.keeps_alive(response) and http.keeps_alive(self._request)
        return None if stays else "fin"

    # After a 101

    async def _tunnel(self, server: Wire, to_server: Outlet, to_client: Outlet) -> End:
        kind = FramePieces if self._request.is_websocket else Pieces
        pending = {
            asyncio.create_task(self._flow_on(kind(self._client), to_server, "to_server")),
            asyncio.create_task(self._flow_on(kind(server), to_client, "to_client")),
        }
        try:
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    end = task.result()
                    if end is not None:
                        return end
            return "fin"
        finally:
            await reap(*pending)

    async def _flow_on(self, pieces: Pieces, outlet: Outlet, way: Way) -> End | None:
        """One direction of a tunnel, to its end. How the whole ends; None: by the end of both."""
        end = await self._flow.pour(pieces, outlet, way)
        if end is not None:
            return end
        await outlet.flush()
        if pieces.wire.was_reset:
            return "rst"
        outlet.wire.send_fin()
        return None


async def _collect(pieces: Pieces) -> bytes:
    body = bytearray()
    while (piece := await pieces.next()) is not None:
        body += piece.data
    return bytes(body)
