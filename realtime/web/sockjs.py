"""SockJS 0.3.3 over aiohttp: its URLs, headers and statuses, from the protocol document in sockjs/sockjs-protocol.

Refusals are readable: a receiver that may not come in gets `c[code,"reason"]`, in whatever framing it asked for. Only a
page of a forbidden origin gets a 403 and nothing else.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from email.utils import formatdate
from functools import partial
from time import time
from urllib.parse import urlsplit

from aiohttp import web

from ..core.carrier import Carrier, Shape
from ..core.errors import Refusal, RemoteProtocolError
from ..core.origins import ANY, NULL
from ..endpoint import Endpoint
from ..gates.base import Gone
from ..gates.requests import Unreadable
from ..gates.sockjs import SockJSGate
from ..owners import Elsewhere
from ..protocols.raw import Raw
from ..protocols.sockjs.bodies import check_callback
from ..protocols.sockjs.codec import CODECS, SockJSCodec
from ..protocols.sockjs.framings import NOT_CACHED
from ..protocols.sockjs.options import SockJS, iframe_page
from ..request import SessionRequest
from ..service import Service
from ..session import Session
from .answers import bodiless
from .bodies import turn_away
from .carried import carried, hop_of
from .conditions import Precondition, weigh
from .handshake import Misfit, left_behind
from .links import HeldLink
from .origins import Admission, asked_headers, cors_headers
from .plain import PlainRoutes
from .raw import RawRoutes
from .replies import in_words, is_form
from .streams import ALONE, Course, StreamLink, run_stream
from .watch import DisconnectWatch

__all__ = ["SockJSRoutes"]

YEAR = 31_536_000
NOSNIFF = {"X-Content-Type-Options": "nosniff"}
SAFE = dict([NOT_CACHED]) | NOSNIFF
TEXT = {"Content-Type": "text/plain; charset=UTF-8"} | SAFE
SENDS = {"xhr_send": "xhr", "jsonp_send": "jsonp"}  # and the receivers that they go with
# What script tags, frames and forms ask: any page can read the answers of the former, and send the last.
SCRIPTED = {path for path, codec in CODECS.items() if codec.framing.scripted} | {"jsonp_send"}
# Which transports of the house a SockJS client's stand for: Config.transports allows them by the same names.
IFRAME = re.compile(r"/iframe[0-9\-.a-z_]*\.html")
SESSION = re.compile(r"/([^/.]+)/([^/.]+)/([a-z_]+)")
# What may stand in a cookie (RFC 6265 §4.1.1), so that nothing else is given back.
COOKIE = re.compile(r"[!#-+\--:<-\[\]-~]{1,256}")


class SockJSRoutes(PlainRoutes[SockJS]):
    """Serves what is below an endpoint to SockJS clients."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._gate = SockJSGate(service)
        self._raw = RawRoutes(service)
        self._watch = DisconnectWatch(service.clock)

    def takes(self, request: web.Request, endpoint: Endpoint, options: SockJS, rest: str) -> bool:
        """Whether there is anything at this path below an endpoint."""
        return self._knows(endpoint, options, rest)

    def _knows(self, endpoint: Endpoint, options: SockJS, rest: str) -> bool:
        if rest in ("", "/", "/info") or IFRAME.fullmatch(rest):
            return True
        if rest == "/websocket":
            return options.websocket and _raw(endpoint) is not None and "websocket" in endpoint.config.transports
        found = SESSION.fullmatch(rest)
        if found is None:
            return False
        path = SENDS.get(found[3], found[3])
        return (
            path in CODECS
            and CODECS[path].name in endpoint.config.transports
            and (options.websocket or path != "websocket")
        )

    async def ended(self) -> None:
        """The end of a shutdown, of its bare WebSockets too."""
        await asyncio.gather(super().ended(), self._raw.ended())

    async def handle(self, request: web.Request, endpoint: Endpoint, options: SockJS, rest: str) -> web.StreamResponse:
        """Any request that is taken."""
        try:
            response = await self._serve(request, endpoint, options, rest)
        except Unreadable as unreadable:
            self._service.refused(unreadable.refusal.code)
            response = _text(unreadable.refusal.http_status, unreadable.refusal.reason)
            return await turn_away(request, response, linger=not self._service.closing)
        except Gone:
            return left_behind()
        except Refusal as refusal:
            self._service.refused(refusal.code)
            response = _text(refusal.http_status, refusal.reason)
            response.headers.update(_cors(request) if refusal.code != 4403 else {"Vary": "Origin"})
        return await self._finished(request, response)

    async def _serve(self, request: web.Request, endpoint: Endpoint, options: SockJS, rest: str) -> web.StreamResponse:
        method = request.method
        if rest in ("", "/"):
            return _text(200, "Welcome to SockJS!") if method in ("GET", "HEAD") else _not_allowed("GET")
        if IFRAME.fullmatch(rest):
            if method not in ("GET", "HEAD"):
                return _not_allowed("GET")
            self._check_page(request, scripted=True)
            return self._iframe(request, options)
        if rest == "/websocket":
            bare = _raw(endpoint)
            assert bare is not None
            return await self._raw.handle(request, endpoint, bare, "") if method == "GET" else _not_allowed("GET")
        if rest == "/info":
            if method not in ("GET", "OPTIONS"):
                return _not_allowed("OPTIONS, GET")
            self._check_page(request)
            return (
                _preflight(request, "OPTIONS, GET") if method == "OPTIONS" else self._info(request, endpoint, options)
            )
        found = SESSION.fullmatch(rest)
        assert found is not None
        return await self._session_url(request, endpoint, options, found[2], found[3])

    async def _session_url(
        self, request: web.Request, endpoint: Endpoint, options: SockJS, session: str, path: str
    ) -> web.StreamResponse:
        """`/<server>/<session>/<path>`. The server's name is for balancers, and means nothing here."""
        method = "POST" if path in SENDS else CODECS[path].framing.method
        allowed = f"OPTIONS, {method}" if path.startswith("xhr") else method
        if request.method == "OPTIONS" and allowed != method:
            self._check_page(request)
            return _preflight(request, allowed)
        if request.method != method:
            return _not_allowed(allowed)
        admission = self._check_page(request, scripted=path in SCRIPTED)
        facts = self._facts(request, CODECS[SENDS.get(path, path)].name, admission)
        if path == "websocket":
            wire = self._gate.wire(endpoint, options)
            answered = await self._websocket(request, endpoint, self._gate, wire, facts)
            if isinstance(answered, Misfit):
                self._service.refused(4400)
                refused = _text(400, f"Not a valid websocket request: {answered.reason}")
                refused.headers.update(answered.headers)
                return refused
            return answered
        headers = _cors(request)
        if options.cookie_needed:
            headers["Set-Cookie"] = _cookie(request, facts.scheme)
        try:
            if path in SENDS:
                return await self._send(request, endpoint, session, facts, path, headers)
            return await self._receive(request, endpoint, options, session, facts, CODECS[path], headers)
        except RemoteProtocolError as error:
            # The document wants 500 for what it has words for.
            self._service.refused(4400)
            response = _text(500 if error.close_code == 1002 else error.http_status, error.reason)
            response.headers.update(headers)
            return response

    # -- receiving -------------------------------------------------------------------------------------------------

    async def _receive(
        self,
        request: web.Request,
        endpoint: Endpoint,
        options: SockJS,
        name: str,
        facts: SessionRequest,
        codec: SockJSCodec,
        headers: dict[str, str],
    ) -> web.StreamResponse:
        """A poll or a stream. Raises RemoteProtocolError when its page's function is not named."""
        framing = codec.framing
        callback = check_callback(request.query.get("c", request.query.get("callback"))) if framing.scripted else ""
        session: Session | None = None

        def writable_again() -> None:
            if session is not None:
                session._listener.dirty()

        link = HeldLink(request) if codec.shape is Shape.POLL else StreamLink(request, writable_again)
        carrier = Carrier(codec, link, self._service.clock.now())
        try:
            session = await self._gate.receive(facts, endpoint, options, name, carrier, self._wait(request))
        except Elsewhere as elsewhere:
            try:
                return await self._carry(request, elsewhere, endpoint.config)
            except Refusal as refusal:
                self._gate.refuse(carrier, refusal)
        head = framing.head(callback)
        headers = {**dict(head.headers), **headers}
        self._watch.add(link)
        try:
            if isinstance(link, StreamLink):
                return await run_stream(
                    request,
                    link,
                    headers,
                    prelude=head.prelude,
                    tail=framing.tail(),
                    patience=self._patience,
                    course=self._course(request, session, carrier),
                )
            body = await link.answer
            if session is not None and (hop := hop_of(request)) is not None:
                self._gate.repeats.note(session, facts, hop, body)
            return web.Response(body=head.prelude + body + framing.tail(), headers=headers)
        finally:
            self._watch.discard(link)
            if isinstance(link, StreamLink):
                link.finished()
            elif session is not None:
                self._gate.lost(session, carrier)

    def _course(self, request: web.Request, session: Session | None, carrier: Carrier) -> Course:
        if session is None:
            return ALONE
        keeper = None if carried(request) else self._sockets
        return Course(partial(self._gate.lost, session, carrier), session._listener.dirty, keeper)

    # -- sending ---------------------------------------------------------------------------------------------------

    async def _send(
        self,
        request: web.Request,
        endpoint: Endpoint,
        name: str,
        facts: SessionRequest,
        path: str,
        headers: dict[str, str],
    ) -> web.StreamResponse:
        """Messages by POST. Raises RemoteProtocolError, Refusal and Unreadable."""
        form = path == "jsonp_send" and is_form(request)
        read = partial(self._whole_body, request, endpoint.config)
        try:
            found = await self._gate.bring(facts, endpoint, name, read, form=form)
        except Elsewhere as elsewhere:
            try:
                return await self._carry(request, elsewhere, endpoint.config)
            except Refusal as refusal:
                if refusal.scope != "session":
                    raise
                found = False
        if not found:
            response = _text(404, "session not found")
        elif path == "xhr_send":
            response = bodiless(204, TEXT)  # Firefox took an answer without a type for XML
        else:
            response = web.Response(body=b"ok", headers=TEXT)  # Konqueror did strange things on 204
        response.headers.update(headers)
        return response

    # -- what is no session ----------------------------------------------------------------------------------------

    def _facts(self, request: web.Request, transport: str, admission: Admission) -> SessionRequest:
        """What the application is shown. Behind our own iframe page is a page that nobody knows: where any may connect,
        its requests come without cookies and log-ins, as if it had asked itself."""
        facts = super()._facts(request, transport, admission)
        if ANY in self._origins and _is_framed(request):
            self._hide(facts)
        return facts

    def _info(self, request: web.Request, endpoint: Endpoint, options: SockJS) -> web.Response:
        """What the client is told before it begins; it also measures how long that takes."""
        told = {
            "websocket": self._knows(endpoint, options, "/0/0/websocket"),
            "cookie_needed": options.cookie_needed,
            "origins": ["*:*"],
            "entropy": secrets.randbits(32),
        }
        response = web.json_response(told, headers=SAFE)
        response.headers["Content-Type"] = "application/json; charset=UTF-8"
        response.headers.update(_cors(request))
        return response

    def _iframe(self, request: web.Request, options: SockJS) -> web.Response:
        """The page that brings a client into our origin. It speaks for whoever frames it: only allowed pages may."""
        page = iframe_page(options)
        etag = f'"{hashlib.sha256(page).hexdigest()[:32]}"'
        headers = _cacheable() | {"ETag": etag, "Referrer-Policy": "same-origin"}
        # The document wants it kept for a year. It is, and asked about each time: the script that it loads may be
        # another by then (client_url), and so may be who is allowed to frame it.
        headers["Cache-Control"] += ", no-cache"
        if ANY not in self._origins:
            ancestors = " ".join(("'self'", *sorted(self._origins - {NULL})))
            headers["Content-Security-Policy"] = f"frame-ancestors {ancestors}"
        condition = weigh(request, etag)
        if condition is Precondition.FAILED:
            return _text(412, f"this page has another tag now: {etag}")
        if condition is Precondition.NOT_MODIFIED:
            return bodiless(304, headers)
        return web.Response(body=page, headers=headers | {"Content-Type": "text/html; charset=UTF-8"})


def _raw(endpoint: Endpoint) -> Raw | None:
    """How an endpoint takes bare WebSockets, if it does: below it they have a URL of their own."""
    return next((one for one in endpoint.dialects if isinstance(one, Raw)), None)


def _is_framed(request: web.Request) -> bool:
    """Whether an iframe page asks. (Its Referrer-Policy says that it has to show itself.)"""
    try:
        path = urlsplit(request.headers.get("Referer", "")).path
    except ValueError:
        return False
    return IFRAME.fullmatch(path, path.rfind("/")) is not None if path else False


def _text(status: int, text: str) -> web.Response:
    return in_words(status, text, TEXT)


def _not_allowed(methods: str) -> web.Response:
    """405, without a type and a body."""
    return web.Response(status=405, headers={"Allow": methods} | SAFE)


def _cacheable() -> dict[str, str]:
    return {"Cache-Control": f"public, max-age={YEAR}", "Expires": formatdate(time() + YEAR, usegmt=True)} | NOSNIFF


def _cors(request: web.Request) -> dict[str, str]:
    """CORS headers for an admitted request: a page of a named origin may use credentials, any other may not."""
    headers = {"Vary": "Origin"}
    if request.headers.get("Origin") is None:
        headers["Access-Control-Allow-Origin"] = "*"
    return headers | cors_headers(request.headers) | asked_headers(request.headers)


def _preflight(request: web.Request, methods: str) -> web.Response:
    headers = _cors(request) | _cacheable()
    headers["Access-Control-Allow-Methods"] = methods
    headers["Access-Control-Max-Age"] = str(YEAR)
    return bodiless(204, headers)


def _cookie(request: web.Request, scheme: str) -> str:
    """JSESSIONID, for balancers: the one that came, or a first one that they replace."""
    value = request.cookies.get("JSESSIONID", "")
    cookie = f"JSESSIONID={value if COOKIE.fullmatch(value) else 'dummy'}; path=/"
    # Pages of other sites get it back only so, and only over TLS.
    return cookie + "; Secure; SameSite=None" if scheme == "https" else cookie
