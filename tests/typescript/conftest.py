"""A compiler for the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .compiler import Compiler

__all__: list[str] = []


@pytest.fixture(scope="module")
def compiler() -> Iterator[Compiler]:
    """TypeScript's, started once."""
    with Compiler() as compiler:
        yield compiler
