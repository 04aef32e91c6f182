"""As much of a server of each protocol as its library needs to open, say something and hear it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import realtime

__all__ = ["make_server"]


async def _echo(session: realtime.Session) -> None:
    async for message in session:
        await session.send(message)


async def _graphql(session: realtime.Session) -> None:
    """graphql-transport-ws: three results, whatever is asked."""
    async for message in session:
        said = json.loads(message)
        if said["type"] == "connection_init":
            await session.send('{"type":"connection_ack"}')
        elif said["type"] == "subscribe":
            for number in range(3):
                result = {"id": said["id"], "type": "next", "payload": {"data": {"n": number}}}
                await session.send(json.dumps(result))
            await session.send(json.dumps({"id": said["id"], "type": "complete"}))


async def _phoenix(session: realtime.Session) -> None:
    """Channels, version 2 of their serialisation: everything is well, and shouts come back."""
    async for message in session:
        join, ref, topic, event, payload = json.loads(message)
        if event == "shout":
            await session.send(json.dumps([None, None, topic, "shout", payload]))
        await session.send(json.dumps([join, ref, topic, "phx_reply", {"status": "ok", "response": {}}]))


async def _centrifugo(session: realtime.Session) -> None:
    """Its JSON protocol: a call is answered with its data."""
    async for message in session:
        for line in str(message).split("\n"):
            said = json.loads(line)
            if "connect" in said:
                about = {"client": "c", "version": "0", "ping": 25, "pong": True}
                await session.send(json.dumps({"id": said["id"], "connect": about}))
            elif "rpc" in said:
                await session.send(json.dumps({"id": said["id"], "rpc": {"data": said["rpc"]["data"]}}))


async def _stomp(session: realtime.Session) -> None:
    """STOMP 1.2: what is sent comes back on the one subscription."""
    subscription = ""
    async for message in session:
        text = message if isinstance(message, str) else message.decode()
        head, _, body = text.partition("\n\n")
        command, *lines = head.strip().split("\n")
        headers = dict(line.split(":", 1) for line in lines)
        if command == "CONNECT":
            await session.send("CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0")
        elif command == "SUBSCRIBE":
            subscription = headers["id"]
        elif command == "SEND":
            about = f"subscription:{subscription}\nmessage-id:1\ndestination:{headers['destination']}"
            await session.send(f"MESSAGE\n{about}\n\n{body}")
        elif "receipt" in headers:
            await session.send(f"RECEIPT\nreceipt-id:{headers['receipt']}\n\n\0")


async def _mqtt(session: realtime.Session) -> None:
    """MQTT 3.1.1, of packets below 128 bytes: what is published is delivered."""
    buffer = b""
    async for message in session:
        buffer += message if isinstance(message, bytes) else message.encode()
        while len(buffer) > 1 and len(buffer) >= 2 + buffer[1]:
            kind, packet, buffer = buffer[0], buffer[2 : 2 + buffer[1]], buffer[2 + buffer[1] :]
            if kind >> 4 == 1:  # CONNECT
                await session.send(b"\x20\x02\x00\x00")
            elif kind >> 4 == 8:  # SUBSCRIBE
                await session.send(b"\x90\x03" + packet[:2] + b"\x00")
            elif kind >> 4 == 3:  # PUBLISH, QoS 1
                end = 2 + int.from_bytes(packet[:2])
                await session.send(b"\x40\x02" + packet[end : end + 2])
                delivered = packet[:end] + packet[end + 2 :]
                await session.send(bytes([0x30, len(delivered)]) + delivered)
            elif kind >> 4 == 14:  # DISCONNECT
                return


def make_server() -> realtime.Server:
    """The endpoints that libraries.js names."""
    rt = realtime.Server(allowed_origins="*", shutdown_timeout=0.3)
    handlers: dict[str, Callable[[realtime.Session], Any]] = {
        "/echo": _echo,
        "/graphql": _graphql,
        "/socket/websocket": _phoenix,
        "/centrifugo": _centrifugo,
        "/stomp": _stomp,
        "/mqtt": _mqtt,
    }
    for path, handler in handlers.items():
        rt.endpoint(path)(handler)
    peers: set[realtime.Session] = set()

    @rt.endpoint("/peers")
    async def relay(session: realtime.Session) -> None:
        peers.add(session)
        try:
            async for message in session:
                for peer in peers - {session}:
                    with suppress(realtime.SessionClosed):
                        await peer.send(message)
        finally:
            peers.discard(session)

    return rt
