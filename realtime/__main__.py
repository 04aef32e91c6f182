"""`python -m realtime`, and what the console script `realtime` calls."""

from __future__ import annotations

import sys

from .namesake import foreign

__all__ = ["main"]


def main() -> int:
    """Runs the command line; says so, and returns 1, where another package has taken our place."""
    said = foreign()
    if said is not None:
        print(f"realtime: {said}", file=sys.stderr)
        return 1
    from .cli import main as run  # not before: it is made of what may not be there

    return run()


if __name__ == "__main__":
    sys.exit(main())
