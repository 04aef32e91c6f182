"""What an endpoint says of a wire protocol that it speaks beside the native one: a dialect."""

from __future__ import annotations

__all__ = ["Dialect"]


class Dialect:
    """The options of one wire protocol at one endpoint. Which routes serve it says their type (web/dialects).

    Subclasses are frozen dataclasses.
    """

    __slots__ = ()

    @property
    def route(self) -> str:
        """A path of its own, from the root of the application and without a slash at its end; empty where its clients
        come to the endpoint's own URL, or below that."""
        return ""
