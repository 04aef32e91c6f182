"""MuJS, an ES5 interpreter without a browser: runs pure scripts, with what ES5 brought taken away if wanted."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from .base import INSTALL
from .lines import DRIVERS
from .process import Program

__all__ = ["MuJS"]


class MuJS:
    """Runs scripts, and has no pages."""

    name = "mujs"
    stands_for = "an ES3 interpreter"

    def missing(self) -> str | None:
        """Why it cannot run here, in a sentence; None if it can."""
        return None if shutil.which("mujs") else f"mujs is not installed: {INSTALL}"

    async def run(self, *scripts: Path, es3: bool = True) -> str:
        """What the scripts print(), one after another in one world. Raises EngineError when one throws.

        With `es3` the built-ins of ES5 are deleted first.
        """
        # mujs takes one file, and the rest for arguments.
        parts = ((DRIVERS / "es3.js",) if es3 else ()) + scripts
        with tempfile.NamedTemporaryFile("w", suffix=".js", encoding="utf-8") as whole:
            whole.write("".join(f"load({_quoted(path)});\n" for path in parts))
            whole.flush()
            return await Program.output(self.name, ["mujs", whole.name])


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
