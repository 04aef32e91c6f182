"""Conversations of any kind with a server of events: what is said to it, whatever that is, and all it says.

Each way to it sends messages as they are, and gives what comes until the session is over, or a question is answered.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

import aiohttp

from ..patience import within
from ..web.peer import Cut, Peer
from ..web.place import Place

__all__ = ["WAYS", "Talk", "talk"]

WAYS = ("websocket", "long_polling", "engine", "engine polling")


class Talk:
    """One session. `over` is the code that it was ended with, as far as its protocol says one."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.heard: list[str | bytes] = []
        self.over: int | None = None

    async def say(self, messages: Sequence[str | bytes]) -> None:
        """Says these, of which the last may find that the session is over."""
        raise NotImplementedError

    async def hear(self) -> None:
        """Takes what comes next; at the end of the session, sets `over`."""
        raise NotImplementedError

    async def until(self, answer: str) -> None:
        """Hears until this is said, or all is over."""
        async with within(f"{answer!r}, or the end"):
            while self.over is None and answer not in self.heard:
                await self.hear()


class Native(Talk):
    """By our own protocol."""

    def __init__(self, place: Place, transport: str) -> None:
        super().__init__(place)
        self.peer: Peer = place.peer(transport, "/chat")

    async def open(self) -> Native:
        """Opens it."""
        await self.peer.open()
        return self

    async def say(self, messages: Sequence[str | bytes]) -> None:
        try:
            answer = await self.peer.send(*(f"m{one}" if isinstance(one, str) else one for one in messages))
        except (aiohttp.ClientError, ConnectionError):
            return  # what it has said before is still to be heard
        assert answer.status in (200, 410, 404, 400, 413), answer

    async def hear(self) -> None:
        try:
            frame = await self.peer.news()
        except Cut as cut:
            self.over = cut.code or 1006
            return
        if isinstance(frame, bytes):
            self.heard.append(frame)
        elif frame[0] in "xc":
            self.over = int(frame[1:].split(",")[0])
        elif frame[0] == "b":
            self.heard.append(base64.b64decode(frame[1:]))
        elif frame[0] == "m":
            self.heard.append(frame[1:])
        else:
            raise AssertionError(f"{frame[:80]!r} is nothing that a server of events says")


class EngineSocket(Talk):
    """By Engine.IO, over a WebSocket."""

    ws: aiohttp.ClientWebSocketResponse

    async def open(self) -> EngineSocket:
        """Opens it."""
        self.ws = await self.place.http.ws_connect(f"{self.place.base}/socket.io/?EIO=4&transport=websocket")
        assert str(await self.ws.receive_str()).startswith("0{")
        return self

    async def say(self, messages: Sequence[str | bytes]) -> None:
        for one in messages:
            try:
                await (self.ws.send_bytes(one) if isinstance(one, bytes) else self.ws.send_str(f"4{one}"))
            except (aiohttp.ClientError, ConnectionError):
                return

    async def hear(self) -> None:
        message = await self.ws.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            self._packet(message.data)
        elif message.type is aiohttp.WSMsgType.BINARY:
            self.heard.append(message.data)
        else:
            self.over = self.ws.close_code or 1006

    def _packet(self, packet: str) -> None:
        if packet[:1] == "b":
            self.heard.append(base64.b64decode(packet[1:]))
        elif packet[:1] == "4":
            self.heard.append(packet[1:])
        else:
            assert packet in ("2", "6", "1"), packet


class EnginePolls(EngineSocket):
    """By Engine.IO, over polls."""

    url = ""

    async def open(self) -> EnginePolls:
        """Opens it."""
        self.url = f"{self.place.base}/socket.io/?EIO=4&transport=polling"
        async with self.place.http.get(self.url) as response:
            opened = await response.text()
        self.url += "&sid=" + json.loads(opened[1:])["sid"]
        return self

    async def say(self, messages: Sequence[str | bytes]) -> None:
        packets = ["b" + base64.b64encode(one).decode() if isinstance(one, bytes) else f"4{one}" for one in messages]
        async with self.place.http.post(self.url, data="\x1e".join(packets).encode()) as response:
            assert response.status in (200, 400, 413), await response.text()

    async def hear(self) -> None:
        async with self.place.http.get(self.url) as response:
            if response.status != 200:
                assert response.status == 400, await response.text()
                self.over = 1000
                return
            for packet in (await response.text()).split("\x1e"):
                if packet == "1":
                    self.over = 1000
                else:
                    self._packet(packet)


async def talk(place: Place, way: str) -> Talk:
    """A session that is open."""
    if way == "engine":
        return await EngineSocket(place).open()
    if way == "engine polling":
        return await EnginePolls(place).open()
    return await Native(place, way).open()
