"""Conditional requests for files (RFC 9110 §13.1): which of the tags that a request names are a file's."""

from __future__ import annotations

import re

from aiohttp import web

__all__ = ["Precondition", "weigh"]

_TAG = re.compile(r'(?:^|,)\s*(W/)?("[^"\x00-\x20\x7f]*")\s*(?=,|$)')


class Precondition:
    """What becomes of a request that names tags."""

    MET = 200
    NOT_MODIFIED = 304
    FAILED = 412


def weigh(request: web.Request, tag: str) -> int:
    """What If-Match and If-None-Match of a GET or HEAD say of the representation with this (strong) tag: one of
    Precondition. If-Match is looked at first (§13.2.2)."""
    wanted = request.headers.getall("If-Match", None)
    if wanted is not None and not _names(", ".join(wanted), tag, weakly=False):
        return Precondition.FAILED
    known = request.headers.getall("If-None-Match", None)
    if known is not None and _names(", ".join(known), tag, weakly=True):
        return Precondition.NOT_MODIFIED
    return Precondition.MET


def _names(header: str, tag: str, *, weakly: bool) -> bool:
    """Whether a list of tags has this one. Compared weakly, one that a proxy has weakened is the same (§8.8.3.2)."""
    if header.strip() == "*":
        return True
    return any(found[2] == tag and (weakly or not found[1]) for found in _TAG.finditer(header))
