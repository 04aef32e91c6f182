"""Events that note what happens, and clients that go on where they were."""

from __future__ import annotations

import json
from typing import Any

from realtime.namespaces.events import Events
from realtime.namespaces.session import EventSession

from ..web.place import Place
from .place import Client, EngineClient, client

__all__ = ["Chat", "Going"]


class Chat:
    """Events that note what happens, and clients that may go on."""

    def __init__(self) -> None:
        self.events = Events()
        self.seen: list[Any] = []
        self.sessions: list[EventSession] = []
        self.events.on("connect")(self.connect)
        self.events.on("disconnect")(lambda session, reason: self.seen.append(("disconnect", reason)))
        self.events.on("said")(lambda session, *args: self.seen.append(args))

    async def connect(self, session: EventSession, auth: dict[str, Any]) -> None:
        self.sessions.append(session)
        self.seen.append(("connect", session.recovered, auth))
        if not session.recovered:
            await session.join("lobby")
            session.data["name"] = "ada"


class Going:
    """A client, as socket.io-client 4 does it: it keeps its pid, and the offset of its last event."""

    def __init__(self, place: Place, namespace: str = "/") -> None:
        self.place = place
        self.namespace = namespace
        self.pid: str | None = None
        self.offset: str | None = None
        self.sid = ""
        self.recovered = False
        self.had: list[Any] = []
        self.wire: EngineClient

    async def connect(self, over: EngineClient | None = None, **auth: Any) -> None:
        """In a session of its own, or in one that there is."""
        if over is None:
            one: Client = await client(self.place, "engine")
            assert isinstance(one, EngineClient)
            over = one
        self.wire = over
        said = (
            auth if self.pid is None else {"pid": self.pid, **({"offset": self.offset} if self.offset else {}), **auth}
        )
        at = "" if self.namespace == "/" else f"{self.namespace},"
        await self.wire.say(f"0{at}{json.dumps(said)}")
        answer = await self.wire.news()
        assert isinstance(answer, str)
        assert answer.startswith(f"0{at}{{"), answer
        told = json.loads(answer.removeprefix(f"0{at}"))
        self.recovered = told["pid"] == self.pid
        self.pid, self.sid = told["pid"], told["sid"]

    async def take(self) -> Any:
        """The next event, without its offset."""
        text = await self.wire.news()
        assert isinstance(text, str)
        at = "" if self.namespace == "/" else f"{self.namespace},"
        attachments = 0
        if text.startswith("5"):
            count, _, text = text[1:].partition("-")
            attachments, text = int(count), f"2{text}"
        assert text.startswith(f"2{at}["), text
        said: list[Any] = json.loads(text.removeprefix(f"2{at}"))
        said += [await self.wire.news() for _ in range(attachments)]
        if not attachments and isinstance(said[-1], str):
            self.offset = said.pop()
        elif attachments:
            self.offset = said.pop(-1 - attachments)
        self.had.append(said)
        return said
