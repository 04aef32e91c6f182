"""Regular expressions for what others send: each is matched in one go, and nothing is kept to try it otherwise."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import realtime.core
import realtime.protocols
import realtime.transports
import realtime.web

_compiler: Any = importlib.import_module("re._compiler")
_parser: Any = importlib.import_module("re._parser")
WITH_WAYS_BACK = (_parser.MAX_REPEAT, _parser.MIN_REPEAT)


def modules() -> Iterator[ModuleType]:
    """Those that read what a peer says."""
    for package in (realtime.core, realtime.protocols, realtime.transports, realtime.web):
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            yield importlib.import_module(found.name)


PATTERNS = {
    f"{module.__name__}.{name}": value
    for module in modules()
    for name, value in vars(module).items()
    if isinstance(value, re.Pattern)
}


def repeats(parsed: Any) -> Iterator[Any]:
    """What is repeated without a bound, and with ways back, and is more than one character."""
    for operation, argument in parsed:
        if operation in WITH_WAYS_BACK:
            _, most, inner = argument
            if most is _parser.MAXREPEAT and not _compiler._simple(inner):
                yield inner
        for part in argument if isinstance(argument, tuple) else ():
            if isinstance(part, _parser.SubPattern):
                yield from repeats(part)
            elif isinstance(part, list):
                for each in part:
                    yield from repeats(each)


@pytest.mark.parametrize("name", PATTERNS)
def test_no_way_back_is_kept_for_each_repetition(name: str) -> None:
    """Of a million of them these would take a hundred megabytes; `*+` and `++` keep none (Python 3.11)."""
    pattern = PATTERNS[name]
    assert not list(repeats(_parser.parse(pattern.pattern, pattern.flags)))


def test_what_is_looked_for() -> None:
    for text in (r"(?:ab)*", r"x(?:a|b+c)+", r"((?:ab)*?)", r"a|(?:(?:ab)+)?"):
        assert len(list(repeats(_parser.parse(text)))) == 1
    for text in (r"[ab]*", r"(?:ab)*+", r"(?:ab){0,9}", r"(?>a|bc)"):
        assert not list(repeats(_parser.parse(text)))
