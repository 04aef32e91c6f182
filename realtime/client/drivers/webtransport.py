"""A session over WebTransport: like one over a WebSocket, at a place that the server has named.

Where that is stands in the server's list of transports; before there is a session, its negotiation is asked. A network
that lets no UDP through answers nothing at all, so an attempt is soon given up where there is something else to try.
"""

from __future__ import annotations

import json
from base64 import b64decode
from binascii import Error as BadBase64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import aiohttp
from yarl import URL

from ...clock import Patience
from ...core.carrier import NumberedCarrier, Part
from ...core.errors import Refusal, RemoteProtocolError
from ...protocols.native import parse_refusal
from ...quic.loading import open_channel
from ...transports import WEBTRANSPORT, Frame
from ..carrying import Carrying
from ..context import Context
from ..ends import SESSION_ENDED, CarrierEnd
from ..exchange import behind_hello, failed, hello, too_much
from ..wire import FAILURES, address, beginning_of, codec, negotiation_url

__all__ = ["Place", "drive_webtransport", "offers_of", "place_of", "probe_webtransport"]

# How long the connection may take to stand where there are other transports, in seconds: three round trips of a slow
# line. A network that drops UDP costs so much, once; then it is remembered as other failures are.
DARK = 1.5
# How long the last frames of a session may take to be written, in seconds.
FAREWELL = 2.0
# So much of an answer to negotiate is read, in bytes.
MOST = 65_536
NOT_SERVED = "this server offers no WebTransport"


class Place(NamedTuple):
    """Where the server's WebTransport is."""

    host: str
    port: int
    digest: bytes


def place_of(offers: Sequence[Mapping[str, Any]], host: str) -> Place:
    """What a server's list of transports says of it; `host` is the endpoint's. Raises Refusal (4406) where it says that
    there is none, or says nothing that could be understood."""
    for offer in offers:
        if offer.get("name") == WEBTRANSPORT.name:
            port, where, digest = offer.get("port"), offer.get("host", host), offer.get("hash", "")
            if offer.get("verdict") == "refused" or type(port) is not int or not 0 < port < 65_536:
                break
            if not isinstance(where, str) or not isinstance(digest, str):
                break
            try:
                taken = b64decode(digest, validate=True)
            except (BadBase64, ValueError):
                break
            if len(taken) not in (0, 32):
                break
            try:
                name = URL.build(scheme="https", host=where).raw_host  # as it goes over the network
            except ValueError:
                break
            if not name:
                break
            return Place(name, port, taken)
    raise Refusal(4406, NOT_SERVED)


class ChannelLink:
    """A carrier's Link: writes at once when there is a channel, and keeps what comes before."""

    def __init__(self, writable_again: Callable[[], None]) -> None:
        self._writable_again = writable_again
        self._channel: Any = None
        self._early: list[Part] = []
        self._full = False
        self._closed = False
        self.aborted: Callable[[], None] | None = None

    @property
    def writable(self) -> bool:
        """False before the channel stands, while too much waits to be sent, and after close()."""
        if self._channel is None or self._closed:
            return False
        self._full = not self._channel.writable
        return not self._full

    def write(self, buffers: Sequence[Part]) -> None:
        """Writes frames."""
        if self._closed:
            return
        if self._channel is None:
            self._early += buffers
        else:
            self._channel.write(b"".join(buffers))  # type: ignore[arg-type] # frames are bytes

    def use(self, channel: Any) -> None:
        """The channel stands."""
        self._channel = channel
        early, self._early = self._early, []
        self.write(early)
        channel.writable_again = self._turned
        self._writable_again()

    def _turned(self) -> None:
        if self._full:
            self._full = False
            self._writable_again()

    def close(self, code: int, reason: str) -> None:
        """Ends the stream behind what was written. The server ends its side, and whoever reads finds that."""
        if not self._closed:
            self._closed = True
            if self._channel is not None:
                self._channel.end()

    def abort(self) -> None:
        """Stops reading and writing."""
        self._closed = True
        if self.aborted is not None:
            self.aborted()


async def _open(context: Context) -> Any:
    """A channel to the server. Raises Refusal, and one of FAILURES."""
    settings = context.settings
    limit = DARK if len(context.policy.choice.allowed()) > 1 else None
    async with Patience(limit):
        place = await _find(context)
        url = address(settings.url, WEBTRANSPORT.name)
        try:
            return await open_channel(
                place.host, place.port, url.raw_path_qs, tuple(context.headers.items()), place.digest
            )
        except ImportError as missing:
            raise Refusal(4406, str(missing)) from None


async def _find(context: Context) -> Place:
    url = context.settings.url
    offers = context.negotiation or await offers_of(context.http, url, context.headers)
    return place_of(offers, url.host or "")


async def offers_of(
    http: aiohttp.ClientSession, endpoint: URL, headers: Mapping[str, str], proxy: URL | None = None
) -> Sequence[Mapping[str, Any]]:
    """What a server says of its transports. Raises one of FAILURES."""
    async with http.get(
        negotiation_url(endpoint),
        headers={**headers, "Accept": "application/json"},
        allow_redirects=False,
        raise_for_status=False,
        proxy=proxy,
    ) as answer:
        try:
            told = json.loads(await beginning_of(answer, MOST))
            return [offer for offer in told["transports"] if isinstance(offer, dict)]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ConnectionError(f"HTTP {answer.status}, and not in the protocol") from None


def _refused(name: str, refusal: Refusal) -> CarrierEnd:
    return CarrierEnd(name, f"refused with {refusal.code}: {refusal.reason}", refusal=refusal)


async def drive_webtransport(context: Context, carrying: Carrying) -> CarrierEnd:
    """Opens or attaches over a new connection, and carries until it ends."""
    machine, name = context.machine, carrying.name
    framing = codec(name)
    link = ChannelLink(machine.listener.dirty)
    carrier = NumberedCarrier(framing, link, context.clock.now())
    attach = carrying.start(carrier)
    first = [hello(context, attach), *behind_hello(context, carrier, attach)]
    link.write([*map(framing.text, first)])
    try:
        try:
            channel = await _open(context)
        except Refusal as refusal:
            return _refused(name, refusal)
        except FAILURES as error:
            return failed(context, name, error)
        return await _carry(context, carrying, link, channel)
    finally:
        machine.lost(carrier, context.clock.now())


async def _carry(context: Context, carrying: Carrying, link: ChannelLink, channel: Any) -> CarrierEnd:
    """Reads and writes an attached (or attaching) channel until it ends."""
    name = carrying.name
    end: CarrierEnd | None = None
    decoder = WEBTRANSPORT.decoder(0, context.machine.config.max_answer)
    link.aborted = carrying.when_aborted("the connection went silent")
    link.use(channel)
    try:
        while end is None and (data := await channel.receive()) is not None:
            end = carrying.feed(decoder.feed(data))
        if context.machine.outcome is not None:
            await channel.finish(FAREWELL)  # what the machine wrote last has to arrive
        return end or CarrierEnd(name, "cut")
    except RemoteProtocolError as error:
        return failed(context, name, too_much(context) if error.close_code == 1009 and carrying.attached else error)
    finally:
        link.aborted = None
        channel.close()


async def probe_webtransport(context: Context, carrying: Carrying) -> CarrierEnd:
    """Tries it beside the carrier in use; once it has answered and is to take over, attaches over it, and carries until
    it ends."""
    machine, name, started = context.machine, carrying.name, context.clock.now()
    framing = codec(name)
    try:
        channel = await _open(context)
    except Refusal as refusal:
        return _refused(name, refusal)
    except FAILURES as error:
        return failed(context, name, error)
    try:
        channel.write(framing.text("p"))
        answer = await _answer(context, channel)
        if answer != "q":
            if isinstance(answer, str) and answer[:1] == "x":
                return _refused(name, parse_refusal(answer))
            return CarrierEnd(name, "cut" if answer is None else f"the probe was answered with {str(answer)[:80]!r}")
        carrying.tell_proven()
        await carrying.taken.wait()
        if machine.outcome is not None:
            return CarrierEnd(name, SESSION_ENDED)
        link = ChannelLink(machine.listener.dirty)
        carrier = NumberedCarrier(framing, link, started)
        attach = carrying.start(carrier)
        first = [hello(context, attach), *behind_hello(context, carrier, attach)]
        link.write([*map(framing.text, first)])
        carrier.started = started  # the probe counts as part of the attempt
        try:
            return await _carry(context, carrying, link, channel)
        finally:
            machine.lost(carrier, context.clock.now())
    except RemoteProtocolError as error:
        return failed(context, name, error)
    finally:
        channel.close()


async def _answer(context: Context, channel: Any) -> Frame | None:
    """The first frame; nothing follows it as long as nothing is asked. Raises RemoteProtocolError."""
    decoder = WEBTRANSPORT.decoder(0, context.machine.config.max_answer)
    while (data := await channel.receive()) is not None:
        for frame in decoder.feed(data):
            return frame
    return None
