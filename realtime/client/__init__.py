"""The Python client: realtime.connect()."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn, Unpack

import aiohttp
from yarl import URL

from ..clock import Clock
from ..core.attempts import GOOD_LIFE
from ..core.config import Config
from ..core.errors import LocalProtocolError, RealtimeError
from ..core.settings import shown
from .options import Nothing, check_settings, check_transports, check_unknown
from .session import ClientSession
from .settings import Settings
from .wire import browsers_only, endpoint_url, own_transports, with_port_of_their_own

__all__ = ["ClientSession", "connect"]

log: logging.Logger = logging.getLogger("realtime.session")

# What every mistake in opening is told.
OPENING = "connect() opens a session in `async with connect(url) as session:`, or by `session = await connect(url)`"


class connect:  # noqa: N801 # used like a function, as in websockets
    """Opens a session at an endpoint's URL, such as "http://localhost:8080/realtime/chat".

        async with realtime.connect(url) as session: ...     # closes it at the end
        session = await realtime.connect(url)                # close it yourself
        async for session in realtime.connect(url): ...      # a new session whenever one is lost, with its cursors

    `transports` names the allowed ones, most wanted first, or one alone (default: websocket, xhr_streaming, sse,
    long_polling, polling; multipart and webtransport are there as well). `headers` go with every request. `auth` is any
    JSON for the server's authorize hook, or a callable, plain or async, that returns it: asked whenever a session is
    opened, and when the server no longer takes what it had; it has `open_timeout` for that. Where it raises then, or
    gives no answer in time, the session ends with 4411. It never travels in a URL. `cursors` are an earlier session's
    (`session.cursors`, which may have been stored): where its rooms keep a history, they go on behind what was
    received. (Where all `transports` open by a URL, which cursors must not be in, what is missing is told as a gap.)
    Where there are cookies or a log-in for the endpoint, in `headers` or in `http`, its own origin goes along as
    Origin, without which a server would not show them to its application. `http` is an aiohttp.ClientSession to use
    (else one is made and closed): it brings a proxy (`proxy=`, or `trust_env=True` for HTTPS_PROXY), or an authority of
    your own (`connector=aiohttp.TCPConnector(ssl=context)`).
    `upgrade=False` stays on the transport that opened first. Timeouts in seconds: `open_timeout` for opening as a
    whole, `attach_timeout` for one attempt, `post_timeout` for an uplink request, `close_timeout` for close().
    `max_size`, `max_queue` and `max_queue_size` bound what is received, `max_outbox` and `max_outbox_size` what waits
    to be acknowledged.

    What leaves an `async for` by an exception, as Ctrl-C does, has Python close it only when no task runs any more, and
    nothing can be sent: the server waits for the session to come back. `async with session:` inside it tells it.

    At an endpoint with `durable=True` the session goes on at another worker when its own is gone (`session.durable`); a
    store that has lost what this client has ends it with 4414, and `async for` opens another, as after every end.

    Opening raises NegotiationError when no transport gets through, or the server does not want this client. One that
    says to come back later (4408, 4429, 4503) is asked again for as long as `open_timeout` lasts, and a line of the log
    says so (WARNING, `realtime.negotiation`). Given up, or cancelled, while the server opens a session, it closes that
    when it is open: it waits half a second for that, and goes on in the background, for an `attach_timeout` at most.
    An unknown argument or one of the wrong type raises TypeError, one out of bounds LocalProtocolError.
    """

    def __init__(
        self,
        url: str | URL,
        *,
        transports: str | Sequence[str] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: Any = None,
        cursors: Mapping[str, str] | None = None,
        http: aiohttp.ClientSession | None = None,
        upgrade: bool = True,
        race_delay: float = 0.25,
        open_timeout: float = 30.0,
        attach_timeout: float = 5.0,
        post_timeout: float = 10.0,
        close_timeout: float = 10.0,
        backoff: tuple[float, float] = (0.1, 10.0),
        upgrade_interval: tuple[float, float] = (5.0, 300.0),
        max_size: int = 1_048_576,
        max_queue: int = 256,
        max_queue_size: int = 1_048_576,
        max_outbox: int = 1024,
        max_outbox_size: int = 4_194_304,
        clock: Clock | None = None,
        **unknown: Unpack[Nothing],
    ) -> None:
        check_unknown(unknown)
        names = Settings.transports
        if transports is not None:
            mine = (*own_transports(), *with_port_of_their_own())
            names = check_transports(transports, mine, browsers_only())
        settings: dict[str, Any] = {
            "headers": headers,
            "auth": auth,
            "cursors": cursors,
            "http": http,
            "upgrade": upgrade,
            "race_delay": race_delay,
            "open_timeout": open_timeout,
            "attach_timeout": attach_timeout,
            "post_timeout": post_timeout,
            "backoff": backoff,
            "upgrade_interval": upgrade_interval,
        }
        check_settings({**settings, "clock": clock})
        settings["headers"] = dict(headers or {})
        settings["cursors"] = dict(cursors or {})
        self._settings = Settings(url=endpoint_url(url), transports=names, **settings)
        self._config = Config(
            max_size=max_size,
            max_queue=max_queue,
            max_queue_size=max_queue_size,
            max_outbox=max_outbox,
            max_outbox_size=max_outbox_size,
            close_timeout=close_timeout,
        )
        self._clock = clock
        self._session: ClientSession | None = None
        self._entered = False

    async def _open(self) -> ClientSession:
        http: Any = self._settings.http
        if http is not None and http._loop is not asyncio.get_running_loop():
            raise LocalProtocolError(
                "http: this aiohttp.ClientSession belongs to another event loop, and connects in that alone: make one"
                " in the loop that opens the session"
            )
        session = ClientSession(self._settings, self._config, self._clock)
        await session._open()
        return session

    def __await__(self) -> Generator[Any, None, ClientSession]:
        return self._open().__await__()

    async def __aenter__(self) -> ClientSession:
        if self._entered:  # whose session would its end be?
            raise LocalProtocolError(f"this connect() has opened a session that goes on; call it for each: {OPENING}")
        self._entered = True
        try:
            self._session = await self._open()
        except BaseException:
            self._entered = False
            raise
        return self._session

    async def __aexit__(self, *exc_info: object) -> None:
        session, self._session, self._entered = self._session, None, False
        assert session is not None
        await session.close()

    if not TYPE_CHECKING:  # checkers see that there are none of these

        def __getattr__(self, name: str) -> NoReturn:
            """What a session has, and no session is open."""
            if hasattr(ClientSession, name):
                raise AttributeError(f"{name} is a session's, and none is open yet: {OPENING}")
            raise AttributeError(f"connect() has no {name!r}")

        def __enter__(self) -> NoReturn:
            raise TypeError(f"use `async with`, not `with`: {OPENING}")

        def __exit__(self, *exc_info: object) -> None:
            """Never entered."""

        def __iter__(self) -> NoReturn:
            raise TypeError(f"use `async for`, not `for`: {OPENING}")

    async def __aiter__(self) -> AsyncGenerator[ClientSession, None]:
        """Sessions, one after the other. The first failure to open is raised; later ones are tried again, with a
        growing, jittered back-off, and so are those that end early without having brought or taken a message. A session
        that closed with 1012 is reopened after a pause, too. Why none could be opened is logged, as an INFO of
        `realtime.session`.

        A loop that is left early (`break`, an exception, a cancellation) closes its session when Python finalizes the
        generator, which nobody waits for, and which the end of `asyncio.run()` may forestall. `async with
        contextlib.aclosing(aiter(connect(…))) as sessions` around the loop closes it there."""
        least, most = self._settings.backoff
        failures = 0
        opened = False
        while True:
            try:
                session = await self._open()
            except Exception as error:
                if not opened:
                    raise
                failures += 1
                ours = isinstance(error, RealtimeError)  # which are sentences; what others are may not even be shown
                log.info("! tries again: %s", error if ours else shown(error))
            else:
                opened, began = True, session._now()
                try:
                    yield session
                finally:
                    self._settings = replace(self._settings, cursors=session.cursors)
                    await session.close()
                inbox, outbox = session._machine.inbox, session._machine.outbox
                idle = not inbox.messages and not outbox.acked
                failures = failures + 1 if idle and session._now() - began < GOOD_LIFE else 0
                if session.close_code == 1012:
                    await asyncio.sleep(session._context.return_delay * random.random())
            if failures:
                await asyncio.sleep(min(least * 2.0 ** min(failures, 60), most) * (0.5 + random.random() / 2))
