"""Drives QtWebKit; see qtlines.py. Each page has a network access manager of its own, and so its own cookies."""

from __future__ import annotations

import json
import sys
from typing import Any

from PyQt5.QtCore import QSocketNotifier, QUrl
from PyQt5.QtWebKit import QWebSettings, qWebKitVersion
from PyQt5.QtWebKitWidgets import QWebPage, QWebView
from PyQt5.QtWidgets import QApplication
from qtlines import Lines, say

EVALUATE = "(function(){try{return JSON.stringify({v:eval(%s)})}catch(e){return JSON.stringify({e:String(e)})}})()"


class Page(QWebPage):
    """A page that tells its console."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def javaScriptConsoleMessage(self, message: str, line: int, source: str) -> None:  # noqa: N802 # Qt's
        # Qt does not say of what kind it is. An uncaught error begins with its class, as our own pages' logs do not.
        kind = "error" if "Error" in message.split(":")[0] else "log"
        say(page=self.number, kind=kind, text="%s (%s:%s)" % (message, source, line))  # noqa: UP031 # any Python 3

    def javaScriptAlert(self, frame: Any, message: str) -> None:  # noqa: N802 # Qt's
        say(page=self.number, kind="alert", text=message)


class Driver(Lines):
    """The commands."""

    views: dict[int, QWebView] = {}  # noqa: RUF012 # there is one driver

    def do_open(self, page: int, url: str) -> None:
        view = self.views[page] = QWebView()
        view.setPage(Page(page))
        view.resize(1024, 768)
        view.load(QUrl(url))

    def do_evaluate(self, page: int, script: str) -> str:
        answer = json.loads(self.views[page].page().mainFrame().evaluateJavaScript(EVALUATE % json.dumps(script)))
        if "e" in answer:
            raise RuntimeError(answer["e"])
        return json.dumps(answer.get("v"))

    def do_screenshot(self, page: int, path: str) -> None:
        self.views[page].grab().save(path, "PNG")

    def do_close(self, page: int) -> None:
        view = self.views.pop(page)
        view.stop()
        view.setHtml("")
        view.deleteLater()


app = QApplication(sys.argv)
QWebSettings.globalSettings().setMaximumPagesInCache(0)
QWebSettings.globalSettings().setObjectCacheCapacities(0, 0, 0)
driver = Driver(QSocketNotifier(0, QSocketNotifier.Read), app.quit)
say(version="QtWebKit/" + str(qWebKitVersion()))
app.exec_()
