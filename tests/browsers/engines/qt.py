"""The engines that PyQt has: QtWebKit (the system's Python), and QtWebEngine of two ages (each in its own venv)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .base import INSTALL, LAB
from .lines import DRIVERS, LineEngine

__all__ = ["Chromium69", "Chromium87", "QtWebKit"]

ENVIRONMENT = {
    "QT_QPA_PLATFORM": "offscreen",
    "QT_QUICK_BACKEND": "software",  # there is no OpenGL offscreen
    "QTWEBENGINE_DISABLE_SANDBOX": "1",
    "QTWEBENGINE_CHROMIUM_FLAGS": "--no-sandbox --disable-gpu --disable-background-networking --disable-quic",
    "XDG_RUNTIME_DIR": "/tmp",
    "PYTHONPATH": "",
    "PYTHONHOME": "",
    "PYTHONWARNINGS": "",
    "DISPLAY": "",
}


class QtWebKit(LineEngine):
    """QtWebKit 5.212."""

    name = "qtwebkit"
    stands_for = "Safari of about 2016: ES6 syntax, no fetch"

    def missing(self) -> str | None:
        if not list(Path("/usr/lib/python3/dist-packages/PyQt5").glob("QtWebKitWidgets*.so")):
            return f"{self.name} is not installed (no python3-pyqt5.qtwebkit for /usr/bin/python3): {INSTALL}"
        return None

    def program(self) -> tuple[list[str | Path], Mapping[str, str]]:
        return ["/usr/bin/python3", "-u", DRIVERS / "qtwebkit.py"], ENVIRONMENT


class QtWebEngine(LineEngine):
    """A QtWebEngine in a virtual environment."""

    venv: str

    @property
    def _python(self) -> Path:
        return LAB / self.venv / "bin" / "python"

    def missing(self) -> str | None:
        return self._need(self._python)

    def program(self) -> tuple[list[str | Path], Mapping[str, str]]:
        return [self._python, "-u", DRIVERS / "qtwebengine.py"], ENVIRONMENT


class Chromium69(QtWebEngine):
    """QtWebEngine 5.12."""

    name = "chromium69"
    stands_for = "Chrome and WebViews of September 2018"
    venv = "qt69"


class Chromium87(QtWebEngine):
    """QtWebEngine 5.15."""

    name = "chromium87"
    stands_for = "Chrome and WebViews of November 2020"
    venv = "qt87"
