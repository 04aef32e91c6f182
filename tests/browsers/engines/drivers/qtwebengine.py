"""Drives QtWebEngine; see qtlines.py. Each page has a profile of its own that writes nothing to disk."""

from __future__ import annotations

import json
import re
import sys
from functools import partial

from PyQt5.QtCore import QSocketNotifier, QUrl
from PyQt5.QtWebEngineWidgets import QWebEnginePage, QWebEngineProfile, QWebEngineView
from PyQt5.QtWidgets import QApplication
from qtlines import Lines, say

KINDS = {0: "info", 1: "warning", 2: "error"}

EVALUATE = "(function(){try{return JSON.stringify({v:eval(%s)})}catch(e){return JSON.stringify({e:String(e)})}})()"


class Page(QWebEnginePage):
    """A page that tells its console."""

    def __init__(self, number: int, profile: QWebEngineProfile) -> None:
        super().__init__(profile, None)  # of one argument it would be the parent
        self.number = number

    def javaScriptConsoleMessage(self, level: int, message: str, line: int, source: str) -> None:  # noqa: N802 # Qt's
        kind = KINDS.get(int(level), "log")
        # A failed request is the engine's note, not an error of the page's.
        if message.startswith(("Failed to load resource", "WebSocket connection to", "Access to XMLHttpRequest")):
            kind = "network"
        say(page=self.number, kind=kind, text="%s (%s:%s)" % (message, source, line))  # noqa: UP031 # any Python 3


class Driver(Lines):
    """The commands."""

    pages: dict[int, tuple[QWebEngineView, Page, QWebEngineProfile]] = {}  # noqa: RUF012 # there is one driver

    def do_open(self, page: int, url: str) -> None:
        profile = QWebEngineProfile()
        view = QWebEngineView()
        own = Page(page, profile)
        view.setPage(own)
        view.resize(1024, 768)
        self.pages[page] = view, own, profile
        view.show()
        view.load(QUrl(url))

    def do_evaluate(self, page: int, script: str) -> object:
        self.pages[page][1].runJavaScript(EVALUATE % json.dumps(script), partial(self._evaluated, self.number))
        return self.LATER

    def _evaluated(self, number: int, text: str) -> None:
        answer = json.loads(text)
        if "e" in answer:
            say(id=number, error=answer["e"])
        else:
            say(id=number, result=json.dumps(answer.get("v")))

    def do_screenshot(self, page: int, path: str) -> None:
        self.pages[page][0].grab().save(path, "PNG")

    def do_close(self, page: int) -> None:
        view, own, profile = self.pages.pop(page)
        view.stop()
        view.setPage(None)
        own.deleteLater()
        view.deleteLater()
        own.destroyed.connect(profile.deleteLater)


app = QApplication([*sys.argv, "--no-sandbox"])
app.setQuitOnLastWindowClosed(False)
driver = Driver(QSocketNotifier(0, QSocketNotifier.Read), app.quit)
agent = QWebEngineProfile.defaultProfile().httpUserAgent()
say(version=re.search(r"Chrome/[0-9.]+", agent).group())
app.exec_()
