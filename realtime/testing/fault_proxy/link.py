"""The two wires of one client's connection, and what is done to both together."""

from __future__ import annotations

import asyncio

from .faults import Direction, End
from .tasks import reap
from .wire import Wire


class Link:
    """A client's wire and, once a request has needed it, the one to the server on its behalf."""

    def __init__(self, number: int, client: Wire) -> None:
        self.number = number
        self.client = client
        self.server: Wire | None = None
        self.server_muted: bool = False
        """Nothing reaches the server, whether there is a wire to it yet or not."""
        self.ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        """Set from outside the flow of requests, to stop it."""

    @property
    def wires(self) -> list[Wire]:
        return [self.client] if self.server is None else [self.client, self.server]

    def attach(self, server: Wire) -> None:
        server.muted = self.server_muted
        self.server = server

    def mute(self, direction: Direction) -> None:
        """From now on, what goes that way vanishes."""
        if direction != "to_server":
            self.client.muted = True
        if direction != "to_client":
            self.server_muted = True
            if self.server is not None:
                self.server.muted = True

    def end(self, how: End) -> None:
        """Stop the flow of requests, then end both wires, of which a mute one stays open."""
        if not self.ended.done():
            self.ended.set_result(how)

    def cut(self, how: End) -> None:
        """End both wires now, mute or not."""
        for wire in self.wires:
            wire.muted = False
            if how == "rst":
                wire.reset()
            else:
                wire.send_fin()
        self.end(how)

    async def part(self, how: End) -> None:
        """End both wires; each that is mute ends when its peer does."""
        await asyncio.gather(*(wire.part(rst=how == "rst") for wire in self.wires))

    async def swallow(self) -> None:
        """Throw away what arrives on either wire, until one of them ends."""
        tasks = [asyncio.create_task(wire.discard()) for wire in self.wires]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await reap(*tasks)

    async def release(self) -> None:
        """Give both sockets back."""
        for wire in self.wires:
            wire.abort()
        for wire in self.wires:
            await wire.closed()
