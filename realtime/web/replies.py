"""Whole answers: in which framing a request wants its answer, and how that becomes an HTTP response.

A POST is answered by a batch with an HTTP status. What a script tag or a form asks cannot see a status, and takes its
batch by a function of the page (docs/protocol.md §3.2): it is answered 200, whatever the answer says.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from aiohttp import HttpVersion11, web
from multidict import CIMultiDict

from ..core.carrier import Part, Shape
from ..core.errors import LocalProtocolError, Refusal, RemoteProtocolError
from ..protocols.native import NativeCodec, refusal_frame
from ..transports import TRANSPORTS, Facts, Form
from ..transports.form import CONTENT_TYPE, parse_fields
from ..transports.script import check_callback
from .answers import Answer, lines_of
from .origins import cors_headers

__all__ = [
    "CODECS",
    "FORMS",
    "PLAIN",
    "REPLIES",
    "SAFE",
    "BadCallback",
    "Reply",
    "answer",
    "in_words",
    "is_form",
    "query_of",
    "refusal_headers",
    "refused",
    "reply_by_script",
    "reply_to_fields",
    "respond",
    "turned_away",
]

CODECS = {name: NativeCodec(transport) for name, transport in TRANSPORTS.items()}
# The polls that a form can make.
FORMS = {
    name: NativeCodec(Form(transport))
    for name, transport in TRANSPORTS.items()
    if transport.shape is Shape.POLL and transport.method == "POST"
}
# What a GET is answered by a script, by the last part of its URL; a send only where it names a function.
SCRIPTS = {name: codec for name, codec in CODECS.items() if codec.transport.framing == "script"} | {
    "send": CODECS["jsonp"]
}
# Also on answers that have no body.
SAFE = {"Cache-Control": "no-store, no-transform", "X-Content-Type-Options": "nosniff"}


class Reply(NamedTuple):
    """How one request is answered."""

    codec: NativeCodec
    callback: str = ""  # the page's function, if the answer is a script
    fields: bytes = b""  # the query or form that named it


# The framing of every other POST's answer is that of a long poll.
PLAIN = Reply(CODECS["long_polling"])
# How each POST is answered, unless a form makes it.
REPLIES = {name: Reply(CODECS[name]) for name in FORMS}
# How answers begin that are no scripts: the same for all requests.
HEADERS = {
    codec: CIMultiDict(codec.transport.head(Facts()).headers)
    for codec in CODECS.values()
    if codec.transport.framing != "script"
}


LINES = {codec: lines_of(headers) for codec, headers in HEADERS.items()}


class BadCallback(Exception):
    """The page's function is not named, or by no name: nothing can be told to it, so a person gets a sentence."""


def is_form(request: web.Request) -> bool:
    """Whether an HTML form made this request."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower() == CONTENT_TYPE


def reply_by_script(request: web.Request, name: str) -> NativeCodec | None:
    """The framing of an answer that is a script or a document, if this request gets one: any page can read those."""
    if request.method == "GET":
        return SCRIPTS.get(name) if name != "send" or "callback" in request.query else None
    if request.method == "POST" and is_form(request):
        return FORMS.get("long_polling" if name == "send" else name)
    return None


def in_words(status: int, text: str, headers: dict[str, str]) -> web.Response:
    """A sentence for a person. It may repeat something that is not UTF-8, as aiohttp passes on what headers hold."""
    body = f"{text}\n".encode("utf-8", "replace")
    return web.Response(status=status, body=body, headers={"Content-Type": "text/plain; charset=utf-8"} | headers)


def query_of(request: web.Request) -> bytes:
    """The query as it came."""
    return request.raw_path.partition("#")[0].partition("?")[2].encode("utf-8", "surrogateescape")


def reply_to_fields(codec: NativeCodec, fields: bytes) -> Reply:
    """The reply that a query or form wants. Raises BadCallback."""
    try:
        (callback,) = parse_fields(fields, "callback")
        return Reply(codec, check_callback((callback or b"").decode("ascii", "replace")), fields)
    except (RemoteProtocolError, LocalProtocolError) as error:
        hint = " A batch that is no form is sent as text/plain." if codec.transport.method == "POST" else ""
        raise BadCallback(f"{getattr(error, 'reason', error)}.{hint}") from None


def refused(
    request: web.Request,
    refusal: Refusal,
    headers: dict[str, str] | None = None,
    *,
    cors: bool = True,
    reply: Reply = PLAIN,
) -> web.Response:
    """The answer that says why not."""
    headers = (headers or {}) | refusal_headers(refusal)
    return answer(request, refusal.http_status, [refusal_frame(refusal)], headers, cors=cors, reply=reply)


def refusal_headers(refusal: Refusal) -> dict[str, str]:
    """What a refusal's answer has beside what every answer has."""
    return {} if refusal.retry_after is None else {"Retry-After": str(math.ceil(refusal.retry_after))}


def turned_away(request: web.Request, refusal: Refusal, allow: str, reply: Reply = PLAIN) -> web.Response:
    """The answer to a request that may not come in, or not by its method: `allow` says by which (RFC 9110 §15.5.6). A
    page of a forbidden origin learns nothing, but a cache does, that another may."""
    headers = {}
    if refusal.code == 4405:
        headers["Allow"] = allow
    if refusal.code == 4403:
        headers["Vary"] = "Origin"
    return refused(request, refusal, headers, cors=refusal.code != 4403, reply=reply)


def answer(
    request: web.Request,
    status: int,
    frames: list[str],
    headers: dict[str, str] | None = None,
    *,
    cors: bool = True,
    reply: Reply = PLAIN,
) -> web.Response:
    """An answer of these frames."""
    body = reply.codec.wrap([reply.codec.text(frame) for frame in frames])[0]
    return respond(request, status, body, headers, cors=cors, reply=reply)


def respond(
    request: web.Request,
    status: int,
    body: Part,
    headers: dict[str, str] | None = None,
    *,
    cors: bool = True,
    reply: Reply = PLAIN,
) -> web.Response:
    """An answer of this batch."""
    if reply.callback:
        transport = reply.codec.transport
        head = transport.head(Facts((request.version.major, request.version.minor), reply.callback))
        assert isinstance(body, bytes)
        body = head.prelude + body + transport.tail()
        response = web.Response(status=head.status, body=body, headers=dict(head.headers))
    else:
        usual = status == 200 and not headers and request.version == HttpVersion11 and request.keep_alive
        if usual and request.method == "POST" and type(body) is bytes:
            for app in request.match_info.apps:
                if app.middlewares or app.on_response_prepare:
                    break
            else:
                lines = LINES[reply.codec]
                if cors and "Origin" in request.headers:
                    lines += lines_of(cors_headers(request.headers))
                laid: Answer = Answer()
                laid.lines, laid.content = lines, body
                return laid
        response = web.Response(status=status, body=body, headers=HEADERS[reply.codec])
    if cors and "Origin" in request.headers:
        response.headers.update(cors_headers(request.headers))
    if headers:
        response.headers.update(headers)
    return response
