"""Resources of aiohttp's router whose routes app.router.routes() does not list.

What goes through all routes of an application there means the application's own: aiohttp-cors, for one, wants to answer
preflights for each of them, and can't where every method is served. Ours answer them by allowed_origins.
"""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp import web
from aiohttp.typedefs import Handler
from aiohttp.web_urldispatcher import DynamicResource, PlainResource, ResourceRoute

__all__ = ["Unlisted", "add"]


class Unlisted:
    """A resource that serves, and shows no routes."""

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[ResourceRoute]:
        return iter(())

    def __bool__(self) -> bool:
        return True


class _Plain(Unlisted, PlainResource):
    """At one path."""


class _Pattern(Unlisted, DynamicResource):
    """At all paths of a pattern."""


def add(router: web.UrlDispatcher, path: str, handler: Handler) -> web.Resource:
    """Serves every method at a path, or a pattern of paths (which has a variable in braces). Raises RuntimeError once
    the application has started."""
    resource = _Pattern(path) if "{" in path else _Plain(path)
    router.register_resource(resource)
    resource.add_route("*", handler)
    return resource
