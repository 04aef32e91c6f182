"""The aiohttp plugin: setup() hangs a Server into an application, and nothing more."""

from __future__ import annotations

import asyncio
import gc
import re
import weakref

from aiohttp import web

from ..core.errors import LocalProtocolError
from ..core.settings import shown
from ..gates.stomp import Ports
from ..server import Server
from ..service import Service
from ..webtransport.options import WebTransport
from ..webtransport.starting import listener as listener_of
from . import resources, workers
from .bodies import guard
from .bundle import Bundle
from .dialects import Dialects, Owners, check
from .native import NativeRoutes
from .negotiate import NegotiateRoutes
from .paths import EndpointPaths

__all__ = ["client_url", "get_server", "setup"]

# aiohttp never matches a quoted part of a path with variables.
PREFIX = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@-]+)*+")
SERVERS: web.AppKey[dict[str, Server]] = web.AppKey("realtime servers", dict)
# By prefix: the route of the JavaScript client, which knows where sub-applications hang.
SCRIPTS: web.AppKey[dict[str, web.AbstractResource]] = web.AppKey("realtime scripts", dict)
# Whose the paths are, from the application's root, that endpoints have beside the prefixes.
OWNERS: web.AppKey[Owners] = web.AppKey("realtime owners", dict)
BUNDLE = Bundle()  # one for all: the files are the same
FILE = (
    r"{file:(?:client|events|webtransport)(?:-[0-9a-f]+)?\.m?js"
    r"|(?:realtime|events|webtransport)(?:-[0-9a-f]+)?\.m?js\.map}"
)
# What pages load; the others are source maps.
PAGES_LOAD = ("client.js", "client.mjs", "events.js", "events.mjs", "webtransport.js", "webtransport.mjs")


def setup(
    app: web.Application, server: Server, *, prefix: str = "/realtime", webtransport: WebTransport | None = None
) -> Server:
    """Serves the endpoints of `server` below `prefix` of an application or sub-application; returns the server.

    Endpoints may be registered before or after (those with a path of their own from the application's root, before it
    starts). Several servers may be set up in one application, each with a prefix of its own; a server in one
    application at a time. Sessions end when the application shuts down. With `webtransport` a UDP port is open while
    the application runs, by which clients of the same endpoints may come as well. Raises LocalProtocolError for a
    prefix that is taken, does not start with "/" or ends with one, or would be quoted in a URL, for an application
    that has started, or was given to add_subapp(), for a server that another application has, and for an endpoint with
    a dialect that has no routes or whose path another server's has; TypeError for anything else than an application
    and a server.
    """
    _check_kinds(app, server, prefix, webtransport)
    _check_free(server._service, app)
    if not PREFIX.fullmatch(prefix):
        raise LocalProtocolError(
            f'a prefix is empty, or starts with "/" and does not end with one, and needs no quoting: "/realtime", not'
            f" {prefix!r}"
        )
    if SERVERS not in app:
        app[SERVERS] = {}
    servers = app[SERVERS]
    if prefix in servers:
        raise LocalProtocolError(f"there is a realtime server at prefix {prefix!r} already")
    owners = app.setdefault(OWNERS, {})
    service = server._service
    check(service, owners)
    others = tuple(service.on_shutdown)
    routes = NativeRoutes(service)
    ports = Ports(service)
    listener = None if webtransport is None else listener_of(service, webtransport, prefix)
    dialects = Dialects(service, owners)
    servers[prefix] = server
    # First, since what a dialect has in its URLs may look like a version.
    app.router.register_resource(EndpointPaths(prefix, service, routes.handle, dialects, app.router))
    # `.+` takes the longest endpoint path; what follows is always /v<version>/<transport>. (The slash stays outside:
    # a pattern has to start with one, and the prefix may be empty.)
    resources.add(app.router, prefix + r"/{endpoint:.+}/v{version:[0-9]+}/{transport:[^/]+}", routes.handle)
    resources.add(app.router, prefix + r"/{endpoint:.+}/negotiate", guard(service, NegotiateRoutes(service).handle))
    dialects.mount(app.router)
    scripts = resources.add(app.router, f"{prefix}/{FILE}", guard(service, BUNDLE.serve))
    app.setdefault(SCRIPTS, {})[prefix] = scripts

    async def start(app: web.Application) -> None:
        service.start()
        await service.start_rooms()
        await ports.start()
        if listener is not None:
            await listener.start()
        if service.cluster is None:
            workers.warn()

    async def pause(app: web.Application) -> None:
        service.sessions.refusing = True
        routes.straight.pause()

    async def stop(app: web.Application) -> None:
        await routes.straight.go_on()
        await service.shutdown()
        await asyncio.gather(routes.ended(), dialects.ended(), ports.ended())
        if listener is not None:
            await listener.ended()
        await routes.straight.stopped()
        service.application = None

    ours = [stop for stop in service.on_shutdown if stop not in others]

    async def forget(app: web.Application) -> None:
        dialects.dismount()
        service.on_shutdown[:] = [stop for stop in service.on_shutdown if stop not in ours]

    app.on_startup.append(start)
    # Not on_cleanup: that comes after the connections, too late for a close to be read.
    app.on_shutdown.insert(0, pause)  # of the others some may be waited for
    app.on_shutdown.append(stop)
    app.on_cleanup.append(forget)
    service.application = weakref.ref(app)
    return server


def _check_kinds(app: object, server: object, prefix: object, webtransport: object) -> None:
    """Raises TypeError for what can't be meant."""
    if isinstance(app, Server) and isinstance(server, web.Application):
        raise TypeError("the application comes first, and the server second: realtime.setup(app, rt)")
    if not isinstance(app, web.Application):
        raise TypeError(f"realtime.setup(app, rt) takes an aiohttp.web.Application() first, not {shown(app)}")
    if not isinstance(server, Server):
        raise TypeError(f"realtime.setup(app, rt) takes a realtime.Server() second, not {shown(server)}")
    if not isinstance(prefix, str):
        raise TypeError(f'prefix={shown(prefix)}: takes a path such as "/realtime"')
    if webtransport is not None and not isinstance(webtransport, WebTransport):
        raise TypeError(f"webtransport={shown(webtransport)}: takes a realtime.WebTransport(…), or None for none")


def _check_free(service: Service, app: web.Application) -> None:
    """Raises LocalProtocolError when another application has this server: the shutdown of either would end the sessions
    of both; or when this one has started. An application that was garbage-collected does not count."""
    if app.frozen or app.router.frozen or app.on_startup.frozen:
        raise LocalProtocolError(
            "the application takes no more routes, since it has started, or was given to add_subapp() of another one:"
            " call realtime.setup(app, rt) before"
        )
    if service.abandoned:  # whatever has served it will neither go on nor shut down
        service.application = None
        service.on_shutdown.clear()
        service.on_endpoint.clear()
    for look_again in (True, False):
        home = None if service.application is None else service.application()
        if home is None or home is app:
            return
        del home
        if look_again:
            gc.collect()  # applications are made of cycles
    raise LocalProtocolError(
        "this Server is set up in another application already: make one realtime.Server() for each application"
        " (it may be set up again when that one has shut down)"
    )


def client_url(where: web.Request | web.Application, name: str = "client.js", *, prefix: str = "/realtime") -> str:
    """The path of the JavaScript client for a page: a name that holds a hash of the content, which browsers may keep
    for ever. `name` is "client.js" (for a script tag: it defines Realtime) or "client.mjs" (a module); "events.js" or
    "events.mjs" is what is beside that for events, "webtransport.js" or "webtransport.mjs" for WebTransport.

    Found from a request (also in a sub-application) or an application. A path that a proxy puts in front is not known
    here. Where the files are missing, as in a checkout that was not built, it is the plain name, which says so to
    whoever loads it. Raises LocalProtocolError when there is no server at `prefix`, or no such file.
    """
    get_server(where, prefix=prefix)
    scripts = where.config_dict[SCRIPTS] if isinstance(where, web.Request) else where[SCRIPTS]
    if name not in PAGES_LOAD:
        raise LocalProtocolError(f"the JavaScript client is one of {', '.join(PAGES_LOAD)}, not {name!r}")
    try:
        file = BUNDLE.hashed(name)
    except OSError:
        file = name
    return str(scripts[prefix].url_for(file=file))


def get_server(where: web.Request | web.Application, *, prefix: str = "/realtime") -> Server:
    """The server that setup() hung under `prefix`, found from a request (also in a sub-application) or an application.

    Raises LocalProtocolError when there is none, and TypeError for what is neither.
    """
    if not isinstance(where, (web.Request, web.Application)):
        raise TypeError(f"the server is found from an aiohttp.web.Request or Application, not {shown(where)}")
    if not isinstance(prefix, str):
        raise TypeError(f'prefix={shown(prefix)}: takes a path such as "/realtime"')
    servers = where.config_dict.get(SERVERS) if isinstance(where, web.Request) else where.get(SERVERS)
    if servers is None or prefix not in servers:
        raise LocalProtocolError(
            f"no realtime server at prefix {prefix!r}: call realtime.setup(app, rt, prefix={prefix!r}) first (that of a"
            " sub-application is found from this, and from its own requests)"
        )
    return servers[prefix]
