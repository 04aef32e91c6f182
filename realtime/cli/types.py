"""`realtime types`: writes the TypeScript of an application's events, or compares a file with it."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

from ..typescript.declarations import Unsayable, declarations
from .application import NotLoaded, load
from .stdio import note, put

__all__ = ["Options", "run"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line said."""

    target: str  # MODULE:NAME
    out: Path | None  # standard output, if None
    check: bool  # nothing is written: the file is held against what would be


def run(options: Options) -> int:
    """Runs the command and returns its exit code."""
    try:
        text = declarations(load(options.target), options.target)
    except NotLoaded as error:
        note(str(error))
        return 1
    except Unsayable as error:
        for reason in error.reasons:
            note(reason)
        return 1
    if options.out is None:
        return 0 if put(text.removesuffix("\n"), "utf-8") else 1  # as it would be in a file
    try:
        before = options.out.read_text("utf-8") if options.out.exists() else None
        if options.check:
            return _compare(options, before, text)
        if before != text:  # what watches the file need not look again
            options.out.write_text(text, "utf-8", newline="\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        note(f"{options.out}: {reason}")
        return 1
    return 0


def _compare(options: Options, before: str | None, text: str) -> int:
    """Whether the file is as it should be: says what is different."""
    if before == text:
        return 0
    state = "is not there" if before is None else "is not what the handlers say now"
    note(f"{options.out} {state}: run realtime types {options.target} --out {options.out}")
    if before is not None:
        lines = difflib.unified_diff(
            before.splitlines(), text.splitlines(), str(options.out), "as it would be written", n=1, lineterm=""
        )
        put("\n".join(lines))
    return 1
