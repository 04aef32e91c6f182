"""The chat of the demo: one room, a name for everyone, and a few commands. Knows sessions and nothing of the web."""

from __future__ import annotations

from ..server import Server
from ..session import Session

__all__ = ["Chat"]

MAX_NAME = 24
HELP = "* /name NAME takes a name, /who lists who is here, /quit leaves, /help says this; all else is said to everyone"


class Chat:
    """A handler for an endpoint. The first thing a client says is its name."""

    def __init__(self, server: Server, room: str = "chat") -> None:
        self._room_name = room
        self._room = server.room(room)
        self._names: dict[Session, str] = {}

    async def __call__(self, session: Session) -> None:
        """One client, from coming to leaving."""
        try:
            await session.send(f"* Welcome. {self._who()} What is your name? (/help lists what else there is)")
            async for message in session:
                text = _clean(message) if isinstance(message, str) else ""
                if text == "/quit":
                    return
                if text:
                    await self._heard(session, text)
                elif isinstance(message, bytes):
                    await session.send("* only text is understood here")
        finally:
            name = self._names.pop(session, None)
            if name is not None:
                await self._room.send(f"* {name} has left", skip=session)

    async def _heard(self, session: Session, text: str) -> None:
        command, _, rest = text.partition(" ")
        if command == "/name":
            await self._rename(session, rest.strip())
        elif command == "/who":
            await session.send(f"* {self._who()}")
        elif command == "/help":
            await session.send(HELP)
        elif command.startswith("/"):
            await session.send(f"* there is no {command[:32]}; /help lists what there is")
        elif session in self._names:
            await self._room.send(f"{self._names[session]}: {text}")
        else:
            await self._rename(session, text)

    async def _rename(self, session: Session, name: str) -> None:
        refused = self._refused(session, name)
        if refused:
            await session.send(f"* {refused}")
            return
        before = self._names.get(session)
        if before == name:
            return
        self._names[session] = name
        if before is None:
            await session.join(self._room_name)
            await self._room.send(f"* {name} has joined")
        else:
            await self._room.send(f"* {before} is now {name}")

    def _refused(self, session: Session, name: str) -> str:
        """What is wrong with a name; empty if nothing is."""
        if not name:
            return "a name is missing: /name NAME"
        if len(name) > MAX_NAME:
            return f"a name has at most {MAX_NAME} characters; choose a shorter one"
        if name[0] in "*/" or ":" in name:
            return 'a name does not start with "*" or "/" and has no ":" in it; choose another'
        for other, taken in self._names.items():
            if other is not session and taken.casefold() == name.casefold():
                return f"{taken} is here already; choose another name"
        return ""

    def _who(self) -> str:
        names = sorted(self._names.values(), key=str.casefold)
        return f"Here: {', '.join(names)}." if names else "Nobody is here yet."


def _clean(text: str) -> str:
    """One line: what is said can neither look like two lines nor play tricks on a terminal."""
    return "".join(char if char.isprintable() else " " for char in text).strip()
