"""The UDP port: which datagram is for which connection, who may begin one, and how all end with the application."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import Any

from aioquic._buffer import Buffer
from aioquic.quic.configuration import SMALLEST_MAX_DATAGRAM_SIZE, QuicConfiguration
from aioquic.quic.packet import (
    QuicHeader,
    QuicPacketType,
    encode_quic_retry,
    encode_quic_version_negotiation,
    pull_quic_header,
)
from aioquic.quic.retry import QuicRetryTokenHandler

from ..clock import Patience
from ..core.errors import LocalProtocolError, Refusal
from ..gates.native import NativeGate
from ..networks import Place
from ..quic.congestion import ALGORITHM
from ..quic.connection import Connection, reset_token
from ..quic.peer import Address
from ..service import Service
from .carried import Head, begin_session, turned_away
from .certificates import Certificates
from .connection import ClientConnection
from .door import Door
from .link import CLOSE_PATIENCE, Carried, Link
from .options import WebTransport

__all__ = ["Listener"]

# What a client may send beyond what was taken, in bytes: on one stream, and on all of a connection together.
STREAM_WINDOW = 262_144
WINDOW = 393_216
# The files of the certificate are looked at so often, in seconds, at most.
LOOK = 1.0
ID_SIZE = 8
# When as many connections are without a session as may be, the one that has been so for longest makes room for a client
# that has shown its address, if it was for so many seconds: else whoever opens them all keeps everybody out.
GRACE = 3.0
# What says that a connection is forgotten has so many bytes at most.
RESET = 42


class Listener(asyncio.DatagramProtocol):
    """The UDP port of one server, below `prefix` of its application."""

    def __init__(self, service: Service, options: WebTransport, prefix: str) -> None:
        self.gate: NativeGate = NativeGate(service)
        self.door: Door = Door(service, prefix)
        self._service = service
        self._options = options
        self._certificates = Certificates(options.certificate, options.key)
        self._looked = 0.0
        self._retry = QuicRetryTokenHandler()
        self._transport: asyncio.DatagramTransport | None = None
        self._ids: dict[bytes, ClientConnection] = {}
        self._connections: dict[ClientConnection, list[bytes]] = {}
        self._unopened: dict[ClientConnection, float] = {}  # since when; the first has been so for longest
        self._empty = asyncio.Event()
        self._open = False
        self._full = False
        self.port: int = 0
        service.on_shutdown.append(self._stop)

    # -- the port ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Opens the port. Raises LocalProtocolError where that is not possible."""
        loop, options = asyncio.get_running_loop(), self._options
        try:
            bound = self._bind()
            self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=bound)
        except OSError as error:
            raise LocalProtocolError(
                f"the UDP port {options.host or '*'}:{options.port} for WebTransport cannot be opened: {error}"
            ) from error
        self.port = bound.getsockname()[1]
        self._open = True
        self._service.networks.webtransport = self.place
        self._service.taking = self

    def _bind(self) -> socket.socket:
        """The socket; one for all addresses takes IPv4 too."""
        host, port = self._options.host, self._options.port
        families = [(socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")] if host is None else []
        if host is not None:
            families = [(family, where[0]) for family, _, _, _, where in _addresses(host, port)]
        failure: OSError | None = None
        for family, where in families:
            bound = None
            try:
                bound = socket.socket(family, socket.SOCK_DGRAM)
                bound.setblocking(False)
                if family == socket.AF_INET6:
                    bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host is not None)
                if self._service.cluster is not None and hasattr(socket, "SO_REUSEPORT"):
                    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # the other workers of a cluster
                bound.bind((where, port))
                return bound
            except OSError as error:
                failure = error
                if bound is not None:
                    bound.close()
        raise failure or OSError(f"{host!r} is no address")

    def place(self) -> Place:
        """Where clients go, as they are told."""
        self._look()
        options = self._options
        digest = self._certificates.loaded.digest
        return Place(options.public_port or self.port, options.public_host, digest)

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._looked >= LOOK:
            self._looked = now
            self._certificates.refresh()

    def _stop(self) -> None:
        """Takes nobody any more; who has no session yet is told so."""
        self._open = False
        self._service.networks.webtransport = self._service.taking = None
        for connection in tuple(self._connections):
            connection.refuse(Refusal(4503, "the server is shutting down; come back later"))

    async def ended(self) -> None:
        """Waits a little for the clients to leave, and cuts off the others."""
        try:
            with suppress(TimeoutError):
                async with Patience(CLOSE_PATIENCE + 0.5):
                    while any(not connection.is_over for connection in self._connections):
                        self._empty.clear()
                        await self._empty.wait()
        finally:  # also where nobody waits for that any longer
            self._cut_off()

    def _cut_off(self) -> None:
        for connection in tuple(self._connections):
            if connection.link is not None:
                connection.link.leave()
            connection.close(reason="the server is going away")
            connection.drop()
        self._connections.clear()
        self._ids.clear()
        self._unopened.clear()
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    # -- datagrams ---------------------------------------------------------------------------------------------------

    def datagram_received(self, data: bytes, address: Address) -> None:
        """One has come: for a connection that there is, or for one that begins with it."""
        try:
            header = pull_quic_header(Buffer(data=data), host_cid_length=ID_SIZE)
        except ValueError:
            return
        connection = self._ids.get(header.destination_cid)
        if connection is None and header.packet_type == QuicPacketType.ONE_RTT:
            self._forgotten(header, len(data), address)
        elif connection is None:
            connection = self._begin(header, len(data), address)
        if connection is not None:
            connection.received(data, address)

    def pause_writing(self) -> None:
        """More waits to be sent than the socket takes: datagrams are lost until it is less, as on any bad network."""
        self._full = True

    def resume_writing(self) -> None:
        """It is less again."""
        self._full = False

    def error_received(self, error: Exception) -> None:
        """A datagram could not be sent: its connection notices that nobody answers."""

    def _send(self, data: bytes, address: Address) -> None:
        if self._transport is not None and not self._full:
            self._transport.sendto(data, address)

    def _begin(self, header: QuicHeader, size: int, address: Address) -> ClientConnection | None:
        """A connection for a client's first datagram, if it may begin one."""
        if not self._open or size < SMALLEST_MAX_DATAGRAM_SIZE:
            return None
        configuration = self._configuration()
        versions = configuration.supported_versions
        if header.packet_type == QuicPacketType.VERSION_NEGOTIATION or header.version is None:
            return None
        if header.version not in versions:
            cids = {"source_cid": header.destination_cid, "destination_cid": header.source_cid}
            self._send(encode_quic_version_negotiation(supported_versions=versions, **cids), address)
            return None
        if header.packet_type != QuicPacketType.INITIAL:
            return None
        options, handshakes, now = self._options, len(self._unopened), asyncio.get_running_loop().time()
        full, idle = handshakes >= options.max_handshakes, self._idle(now)
        if (full and idle is None) or len(self._connections) >= options.max_connections:
            return None
        original, retried = header.destination_cid, None
        if header.token:
            try:
                original, retried = (
                    self._retry.validate_token(
                        address=address,
                        destination_cid=header.destination_cid,
                        token=header.token,
                        now=now,
                    ),
                    header.destination_cid,
                )
            except ValueError:
                return None
        elif handshakes >= options.max_handshakes / 2:
            self._ask_again(header, address)
            return None
        if full and idle is not None:
            idle.close(reason="others wait, and no WebTransport session was opened")
        quic = Connection(
            configuration=configuration,
            original_destination_connection_id=original,
            retry_source_connection_id=retried,
            reset_key=self._certificates.reset_key,
        )
        patience = self._service.config.request_timeout
        connection = ClientConnection(self, quic, self._send, _host(address), patience)
        self._connections[connection] = []
        self._unopened[connection] = now
        for connection_id in (header.destination_cid, quic.host_cid):
            self.registered(connection_id, connection)
        return connection

    def _idle(self, now: float) -> ClientConnection | None:
        """Who makes room for another, if that is needed: see GRACE."""
        connection, since = next(iter(self._unopened.items()), (None, now))
        return connection if now - since >= GRACE else None

    def _forgotten(self, header: QuicHeader, size: int, address: Address) -> None:
        """Tells a client that this process knows nothing of its connection (RFC 9000 §10.3): one before it was killed
        perhaps. The answer is smaller than what it answers, so that two of these never go on for ever."""
        size = min(size - 1, RESET)
        if self._open and size > 20:
            token = reset_token(self._certificates.reset_key, header.destination_cid)
            noise = bytearray(os.urandom(size - len(token)))
            noise[0] = noise[0] & 0x3F | 0x40
            self._send(bytes(noise) + token, address)

    def _ask_again(self, header: QuicHeader, address: Address) -> None:
        """Nothing is kept of this client until it has shown that its address is its own (RFC 9000 §8.1.2)."""
        source = os.urandom(ID_SIZE)
        token = self._retry.create_token(
            address=address,
            original_destination_connection_id=header.destination_cid,
            retry_source_connection_id=source,
            now=asyncio.get_running_loop().time(),
        )
        assert header.version is not None
        answer = encode_quic_retry(
            version=header.version,
            source_cid=source,
            destination_cid=header.source_cid,
            original_destination_cid=header.destination_cid,
            retry_token=token,
        )
        self._send(answer, address)

    def _configuration(self) -> QuicConfiguration:
        self._look()
        loaded = self._certificates.loaded
        return QuicConfiguration(
            is_client=False,
            alpn_protocols=["h3"],
            congestion_control_algorithm=ALGORITHM,
            connection_id_length=ID_SIZE,
            idle_timeout=self._options.idle_timeout,
            max_data=WINDOW,
            max_stream_data=STREAM_WINDOW,
            max_datagram_frame_size=65_536,  # WebTransport asks for it; none is read
            certificate=loaded.certificate,
            certificate_chain=loaded.chain,
            private_key=loaded.key,
        )

    def bring(self, head: Head, remote: str, handed: str, carried: Carried) -> Link:
        """See carried.Taking."""
        try:
            facts = self.door.facts(head, remote)
        except Refusal as refusal:  # by a worker that is set up otherwise it was let in
            link = turned_away(self.gate, carried, refusal)
            link.opened(0)
            return link
        facts._handed = handed
        link, told, _ = begin_session(self.gate, self.door, facts, carried, None)
        link.opened(0)
        link.start(told)
        return link

    # -- what connections tell ---------------------------------------------------------------------------------------

    def opened(self, connection: ClientConnection) -> None:
        """It has a session."""
        self._unopened.pop(connection, None)

    def registered(self, connection_id: bytes, connection: ClientConnection) -> None:
        """Datagrams for this id are for this connection."""
        mine = self._connections.get(connection)
        if mine is not None:
            self._ids[connection_id] = connection
            mine.append(connection_id)

    def retired(self, connection_id: bytes) -> None:
        """No more of them come."""
        connection = self._ids.pop(connection_id, None)
        if connection is not None:
            self._connections[connection].remove(connection_id)

    def left(self, connection: ClientConnection) -> None:
        """It carries nothing any more."""
        self._unopened.pop(connection, None)
        self._empty.set()

    def forgotten(self, connection: ClientConnection) -> None:
        """It has ended."""
        for connection_id in self._connections.pop(connection, ()):
            self._ids.pop(connection_id, None)
        self.left(connection)


def _addresses(host: str, port: int) -> list[Any]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE))


def _host(address: Address) -> str:
    """A client's address. Who comes over IPv4 has an IPv4 address (RFC 4291 §2.5.5.2)."""
    host = str(address[0]).partition("%")[0]
    return host.removeprefix("::ffff:") if "." in host else host
