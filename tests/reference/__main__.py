"""Writes docs/python.md with --write; else says whether it is what the docstrings say."""

from __future__ import annotations

import sys

from .page import PATH, page


def main() -> int:
    """The exit code: 1 for a page that is old."""
    text = page()
    if "--write" in sys.argv[1:]:
        PATH.write_text(text, encoding="utf-8")
    return int(PATH.read_text(encoding="utf-8") != text)


sys.exit(main())
