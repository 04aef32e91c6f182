"""Two servers joined by a socket: one speaks HTTP and knows no session, the other has the sessions and knows no HTTP.

The front reads a request (or a WebSocket's messages), and carries its facts and frames over a Unix socket to the owner,
one connection for each carrier; what the owner's gate writes comes back as bytes and is passed on unread. So whatever
the gates need besides `SessionRequest` and a Link shows here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiohttp import WSMsgType, web

import realtime
from realtime.core.carrier import NumberedCarrier, Part, Shape
from realtime.core.errors import Refusal, RemoteProtocolError
from realtime.gates.native import NativeGate, tell
from realtime.gates.native_connection import NativeConnection
from realtime.protocols.native import NativeCodec, refusal_frame
from realtime.service import Service
from realtime.transports import TRANSPORTS, Facts
from realtime.transports.batch import decode_body

__all__ = ["join"]

CODECS = {name: NativeCodec(transport) for name, transport in TRANSPORTS.items()}
MAX_BODY = 1_000_000


async def read_record(reader: asyncio.StreamReader) -> tuple[str, bytes] | None:
    """A kind, of one letter, and what belongs to it; None when the other side has gone."""
    try:
        head = await reader.readexactly(5)
        return chr(head[0]), await reader.readexactly(int.from_bytes(head[1:], "big"))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def write_record(writer: asyncio.StreamWriter, kind: str, data: bytes) -> None:
    """See read_record()."""
    writer.write(kind.encode() + len(data).to_bytes(4, "big") + data)


# -- the owner: sessions, and no HTTP ----------------------------------------------------------------------------------


class FarLink:
    """The Link of a carrier whose client is connected to the front."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._open = True
        self.ended = asyncio.Event()

    @property
    def writable(self) -> bool:
        """While little waits."""
        return self._open and self._writer.transport.get_write_buffer_size() < 65_536

    def write(self, buffers: Sequence[Part]) -> None:
        """Bytes for the client, as they are."""
        for buffer in buffers:
            assert isinstance(buffer, bytes)
            if self._open:
                write_record(self._writer, "w", buffer)

    def close(self, code: int, reason: str) -> None:
        """The front ends its side."""
        if self._open:
            write_record(self._writer, "c", json.dumps([code, reason]).encode())
            self._open = False
            self.ended.set()

    def abort(self) -> None:
        """The front cuts it."""
        self.close(1006, "")


class Owner:
    """What comes over the socket goes through the gate."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.gate = NativeGate(service)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One carrier."""
        try:
            first = await read_record(reader)
            if first is not None:
                facts = json.loads(first[1])
                headers = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in facts["headers"])
                request = realtime.SessionRequest(
                    method=facts["method"],
                    path=facts["path"],
                    query_string=facts["query"],
                    host=facts["host"],
                    remote=facts["remote"],
                    raw_headers=headers,
                    transport=facts["transport"],
                )
                await self._carry(request, facts, reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _carry(
        self,
        request: realtime.SessionRequest,
        facts: dict[str, Any],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        endpoint = self.service.endpoints[facts["endpoint"]]
        link = FarLink(writer)
        name = request.transport
        if name == "websocket":
            connection = NativeConnection(self.gate, request, endpoint, CODECS[name], link, opening=facts["open"])
            beginning = connection.connected()
            if beginning is not None:
                await beginning
            while (record := await read_record(reader)) is not None:
                kind, data = record
                taking = connection.message(data.decode() if kind == "t" else data)
                if taking is not None:
                    await taking
                connection.writable_again()
            connection.lost()
            return
        codec = CODECS["long_polling" if name == "send" else name]
        carrier = NumberedCarrier(codec, link, self.service.clock.now())
        try:
            if name == "send":
                status, parts = await self.gate.send(request, endpoint, carrier, facts["frames"])
                link.write(codec.wrap(parts))
                write_record(writer, "s", str(status).encode())
                return
            begun = await self.gate.begin(request, endpoint, carrier, facts["frames"])
        except (Refusal, RemoteProtocolError) as error:
            refusal = error if isinstance(error, Refusal) else Refusal(error.close_code, error.reason)
            if name == "send":
                link.write(codec.wrap([codec.text(refusal_frame(refusal))]))
            else:
                tell(carrier, refusal)
            write_record(writer, "s", str(error.http_status).encode())
            return
        if begun.superseded:
            link.close(1000, "")
        leaving = asyncio.ensure_future(reader.read())  # the front says nothing more, but that its client has left
        ended = asyncio.ensure_future(link.ended.wait())
        while not leaving.done() and not ended.done():
            await asyncio.wait([leaving, ended], timeout=0.05, return_when=asyncio.FIRST_COMPLETED)
            self.gate.writable_again(begun.session)
        self.gate.lost(begun.session, carrier)
        write_record(writer, "s", str(begun.status).encode())
        for waiting in (leaving, ended):
            waiting.cancel()


# -- the front: HTTP, and no sessions ----------------------------------------------------------------------------------


class Front:
    """Requests to the owner, and its bytes back."""

    def __init__(self, path: str) -> None:
        self.path = path

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request below an endpoint."""
        name = request.match_info["transport"]
        facts: dict[str, Any] = {
            "method": request.method,
            "path": request.path,
            "query": request.query_string,
            "host": request.host,
            "remote": request.remote,
            "headers": [(n.decode("latin-1"), v.decode("latin-1")) for n, v in request.raw_headers],
            "transport": name,
            "endpoint": "/" + request.match_info["endpoint"],
            "open": request.query.get("open"),
        }
        ws = web.WebSocketResponse(autoping=False)
        if name == "websocket":
            await ws.prepare(request)
        elif request.method == "GET":
            facts["frames"] = [request.query.get("frame", "")]
        else:
            facts["frames"] = decode_body(await request.read(), 1000, MAX_BODY)
        reader, writer = await asyncio.open_unix_connection(self.path)
        write_record(writer, "f", json.dumps(facts).encode())
        try:
            if name == "websocket":
                return await self._websocket(request, ws, reader, writer)
            if name != "send" and TRANSPORTS[name].shape is Shape.STREAM:
                return await self._stream(request, name, reader)
            return await self._answer(reader)
        finally:
            writer.close()

    async def _websocket(
        self,
        request: web.Request,
        ws: web.WebSocketResponse,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> web.StreamResponse:
        async def down() -> None:
            while (record := await read_record(reader)) is not None:
                kind, data = record
                if request.transport is None:
                    return
                if kind == "c":
                    code, reason = json.loads(data)
                    await ws.close(code=code if 1000 <= code != 1006 else 1000, message=reason.encode())
                    return
                request.transport.write(data)  # whole frames, finished by the owner
            if request.transport is not None:
                request.transport.abort()

        bringing = asyncio.ensure_future(down())
        try:
            async for message in ws:
                if message.type is WSMsgType.TEXT:
                    write_record(writer, "t", message.data.encode())
                elif message.type is WSMsgType.BINARY:
                    write_record(writer, "b", message.data)
                await writer.drain()
        except ConnectionError:
            pass  # the owner has gone
        finally:
            writer.close()
            bringing.cancel()
            await asyncio.wait([bringing])
        return ws

    async def _stream(self, request: web.Request, name: str, reader: asyncio.StreamReader) -> web.StreamResponse:
        transport = TRANSPORTS[name]
        head = transport.head(Facts((1, 1)))
        response = web.StreamResponse(headers=dict(head.headers))
        try:
            await response.prepare(request)
            await response.write(head.prelude)
            while (record := await read_record(reader)) is not None and record[0] == "w":
                await response.write(record[1])
            await response.write_eof(transport.tail())
        except ConnectionError:
            pass  # the client has gone
        return response

    async def _answer(self, reader: asyncio.StreamReader) -> web.Response:
        body, status = b"", 502
        while (record := await read_record(reader)) is not None:
            kind, data = record
            if kind == "w":
                body += data
            elif kind == "s":
                status = int(data)
        return web.Response(body=body, status=status, headers=dict(TRANSPORTS["long_polling"].head(Facts()).headers))


def join(application: web.Application, server: realtime.Server) -> None:
    """Serves `server`, which no application knows, through a front in this one. The place of realtime.setup()."""

    async def context(_: web.Application) -> AsyncIterator[None]:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "owner")
            server._service.start()
            listener = await asyncio.start_unix_server(Owner(server._service).serve, path)
            front.path = path
            yield
            await server._service.shutdown()
            listener.close()

    front = Front("")
    application.cleanup_ctx.append(context)
    application.router.add_route("*", "/realtime/{endpoint}/v1/{transport}", front.handle)
