"""The application that a command line names, as MODULE:NAME: imported, made if it has to be, and its events found.

This is the one place where a module is imported by a name that nobody knows before: it is the user's.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import reduce
from typing import Any

from aiohttp import web

from ..namespaces.events import Events
from ..server import Server
from ..typescript.declarations import Home
from ..web.plugin import SERVERS

__all__ = ["NotLoaded", "load"]


class NotLoaded(Exception):
    """Nothing with endpoints came of a MODULE:NAME: why."""


def load(target: str) -> list[Home]:
    """Where events are served, of MODULE:NAME: an aiohttp application, a realtime.Server or a realtime.Events, or a
    function that makes one, or a coroutine function.

    MODULE is looked for in the working directory first. The function is called without arguments, or, where it wants
    one, with an empty list, as `python -m aiohttp.web` does. Raises NotLoaded.
    """
    module, colon, name = target.partition(":")
    if not colon or not module or not name:
        raise NotLoaded(f"an application is named as MODULE:NAME, such as app:make_app, not {target!r}")
    if not all(part.isidentifier() for part in module.split(".")):
        raise NotLoaded(f"{module!r} is no name of a module, such as app or package.app")
    here = os.getcwd()
    if here not in sys.path:  # as where Python runs a module
        sys.path.insert(0, here)
    with redirect_stdout(sys.stderr):  # what they print is no part of what is written
        found = _made(target, _named(target, _imported(module), name))
    if isinstance(found, web.Application):
        homes = list(_of_application(found))
    elif isinstance(found, Server):
        homes = list(_of_server(found, ""))
    elif isinstance(found, Events):
        homes = [Home(found._bound.path or "no endpoint yet", found._bound.path, found)]
    else:
        raise NotLoaded(
            f"{target} is {type(found).__name__}, and has to be an aiohttp.web.Application, a realtime.Server or a"
            " realtime.Events"
        )
    if not homes:
        raise NotLoaded(f'no endpoint of {target} is one of events: rt.endpoint("/chat")(realtime.Events())')
    return homes


def _imported(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            raise NotLoaded(
                f"there is no module {error.name!r}, neither in {os.getcwd()} nor among the packages of"
                f" {sys.executable}"
            ) from None
        raise NotLoaded(f"{module} could not be imported: {_told(error)}") from error
    except (Exception, SystemExit) as error:
        raise NotLoaded(f"{module} could not be imported: {_told(error)}") from error


def _named(target: str, module: Any, name: str) -> Any:
    try:
        return reduce(getattr, name.split("."), module)
    except AttributeError as error:
        raise NotLoaded(f"{target}: {error}") from None
    except Exception as error:  # of a module's __getattr__, or a property
        raise NotLoaded(f"{target} could not be looked up: {_told(error)}") from error


def _made(target: str, found: Any) -> Any:
    """The thing itself, of which there may be a function that makes it."""
    if isinstance(found, (web.Application, Server, Events)) or not callable(found):
        return found
    try:
        wants_one = _required(found)
        made = found([]) if wants_one else found()
        return asyncio.run(_awaited(made)) if inspect.isawaitable(made) else made
    except (Exception, SystemExit) as error:
        raise NotLoaded(f"{target} could not be called: {_told(error)}") from error


def _required(function: Any) -> bool:
    """Whether it wants an argument."""
    try:
        inspect.signature(function).bind()
    except TypeError:
        return True
    except ValueError:  # it cannot say
        pass
    return False


async def _awaited(made: Any) -> Any:
    return await made


def _told(error: BaseException) -> str:
    """An error, and where it was raised, in one line."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"


def _of_application(app: web.Application, above: str = "") -> Iterator[Home]:
    """Those of an application and its sub-applications."""
    for prefix, server in app.get(SERVERS, {}).items():
        yield from _of_server(server, above + prefix)
    for resource in app.router.resources():
        info = resource.get_info()
        inner = info.get("app")
        if inner is not None:
            yield from _of_application(inner, info.get("prefix", above))


def _of_server(server: Server, prefix: str) -> Iterator[Home]:
    for path, endpoint in server._service.endpoints.items():
        if isinstance(endpoint.handler, Events):
            yield Home(prefix + path, path, endpoint.handler)
