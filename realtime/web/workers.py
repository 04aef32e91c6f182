"""How many processes gunicorn was told to start: more than one cannot share sessions, and is warned of at the start.

Read from what gunicorn itself reads, except its configuration file.
"""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePath

__all__ = ["warn", "workers"]

log: logging.Logger = logging.getLogger("realtime.server")


def workers(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The number, from a command line (its program first) and an environment; 1 for what is not gunicorn's."""
    program = PurePath(arguments[0] if arguments else "")
    if "gunicorn" not in (program.name, program.parent.name):  # the latter for `python -m gunicorn`
        return 1
    try:
        given = shlex.split(environment.get("GUNICORN_CMD_ARGS", ""))
    except ValueError:
        given = []
    for words in (arguments[1:], given):
        number = _option(words)
        if number is not None:
            return number
    return _number(environment.get("WEB_CONCURRENCY", "")) or 1


def _option(words: Sequence[str]) -> int | None:
    """The last of `-w 4`, `-w4`, `--workers 4` and `--workers=4`; None without."""
    found = None
    for word, following in zip(words, [*words[1:], ""], strict=False):
        if word in ("-w", "--workers"):
            found = _number(following) or found
        elif word.startswith("--workers="):
            found = _number(word.removeprefix("--workers=")) or found
        elif word.startswith("-w"):
            found = _number(word.removeprefix("-w").removeprefix("=")) or found
    return found


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else None


def warn() -> None:
    """Says in one sentence that this is one of several processes."""
    number = workers(sys.argv, os.environ)
    if number > 1:
        log.warning(
            "gunicorn was told to start %d workers, but a session and a room live in one process: make them a cluster,"
            ' by realtime.Server(broker="redis://…", cluster=realtime.Cluster(…)) (docs/scaling.md), start one worker,'
            " or several servers behind a proxy that keeps each client with its own",
            number,
        )
