"""One client's connection: its requests one after the other, and its end."""

from __future__ import annotations

import asyncio

from .exchange import Exchange
from .faults import End
from .http import BadMessageError, parse_request
from .link import Link
from .shared import Shared
from .tasks import reap
from .wire import Wire


class Connection:
    """Runs from the moment the client was accepted until both its sockets have been given back."""

    def __init__(self, shared: Shared, number: int, client: Wire) -> None:
        self.link: Link = Link(number, client)
        self._shared = shared

    async def run(self) -> None:
        """See the connection through. What a fault's `match` raises is passed on."""
        link = self.link
        self._shared.note("opened", link.number)
        if not self._shared.plugged:
            link.mute("both")
        serving = asyncio.create_task(self._serve())
        try:
            await asyncio.wait((serving, link.ended), return_when=asyncio.FIRST_COMPLETED)
            end = link.ended.result() if link.ended.done() else serving.result()
            await reap(serving)
            await link.part(end)
        finally:
            try:
                await reap(serving)
            finally:  # also when the proxy ends meanwhile
                await link.release()
                self._shared.note("closed", link.number)

    async def _serve(self) -> End:
        link = self.link
        end: End | None = None
        try:
            while end is None:
                end = await self._idle()
                if end is not None:
                    break
                head = await link.client.head()
                if link.server_muted:
                    await link.swallow()
                    return "fin"
                if head is None:
                    return "rst" if link.client.was_reset else "fin"
                request = parse_request(head, link.number)
                self._shared.note("request", link.number, request)
                end = await Exchange(link, self._shared, request).run()
        except BadMessageError as error:
            self._shared.note("bad", link.number, detail=str(error))
            return "fin"
        return end

    async def _idle(self) -> End | None:
        """Wait until the client sends or ends; if the server ends first, return how."""
        client, server = self.link.client, self.link.server
        if client.buffer or server is None:
            return None
        sending = asyncio.create_task(client.more())
        ending = asyncio.create_task(server.discard())
        try:
            await asyncio.wait((sending, ending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await reap(sending, ending)
        if client.buffer or client.eof:
            return None
        return "rst" if server.was_reset else "fin"
