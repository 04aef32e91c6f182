"""Libraries of others in Node: one process for many visits, which takes a plan on a line and answers on a line."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

__all__ = ["Node"]


class Node:
    """`client.cjs` of a folder in Node, asked for one session after another; started by the first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self._asking = threading.Lock()

    def ask(self, plan: str) -> str:
        """What becomes of a session with this plan. Blocks, while another one goes on too."""
        with self._asking:
            if self._process is None:
                self._process = subprocess.Popen(
                    ["node", "client.cjs"], cwd=self._folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(plan + "\n")
            self._process.stdin.flush()
            return self._process.stdout.readline()

    def stop(self) -> None:
        """Ends it: whoever has asked is answered with nothing."""
        if self._process is not None:
            with self._process as process:
                process.kill()
            self._process = None
