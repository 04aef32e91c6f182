"""The chat of the demo: names, comings and goings, and that nobody can pass for somebody else."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

import realtime
from realtime.cli.chat import Chat
from realtime.testing import Clients

from ..patience import within
from .program import Program


class Guest:
    """Somebody in the chat."""

    def __init__(self, session: realtime.ClientSession) -> None:
        self.session = session

    async def say(self, text: str | bytes) -> None:
        await self.session.send(text)

    async def hear(self) -> str:
        async with within():
            return str(await self.session.receive())

    async def ask(self, text: str | bytes) -> str:
        await self.say(text)
        return await self.hear()


class Bar:
    """A chat to enter."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._server = realtime.Server()
        self._server.endpoint("/chat")(Chat(self._server))

    async def enter(self, name: str = "") -> Guest:
        guest = Guest(await self._clients(self._server, "/realtime/chat", transports=["websocket"]))
        assert (await guest.hear()).startswith("* Welcome. ")
        if name:
            assert await guest.ask(name) == f"* {name} has joined"
        return guest


@pytest.fixture
async def bar() -> AsyncIterator[Bar]:
    async with Clients() as clients:
        yield Bar(clients)


async def test_the_first_thing_said_is_the_name(bar: Bar) -> None:
    ada = await bar.enter("Ada")
    assert await ada.ask("hello") == "Ada: hello"
    grace = await bar.enter()
    assert await grace.ask("  Grace  ") == "* Grace has joined"
    assert await ada.hear() == "* Grace has joined"
    await grace.say("hi, Ada")
    assert await ada.hear() == await grace.hear() == "Grace: hi, Ada"


async def test_who_has_no_name_yet_hears_nothing(bar: Bar) -> None:
    ada, nobody = await bar.enter("Ada"), await bar.enter()
    assert await ada.ask("hello?") == "Ada: hello?"
    assert await nobody.ask("/who") == "* Here: Ada."


async def test_leaving(bar: Bar) -> None:
    ada, grace = await bar.enter("Ada"), await bar.enter("Grace")
    assert await ada.hear() == "* Grace has joined"
    await grace.say("/quit")
    assert await ada.hear() == "* Grace has left"
    await grace.session.wait_closed()
    assert grace.session.close_code == 1000
    tim = await bar.enter("Tim")
    assert await ada.hear() == "* Tim has joined"
    await tim.session.close()
    assert await ada.hear() == "* Tim has left"
    assert await ada.ask("/who") == "* Here: Ada."


async def test_who_leaves_without_a_name_was_not_here(bar: Bar) -> None:
    ada, nobody = await bar.enter("Ada"), await bar.enter()
    await nobody.session.close()
    assert await ada.ask("anybody?") == "Ada: anybody?"


async def test_another_name(bar: Bar) -> None:
    ada = await bar.enter("Ada")
    assert await ada.ask("/name Countess") == "* Ada is now Countess"
    await ada.say("/name Countess")  # nothing new
    assert await ada.ask("/name countess") == "* Countess is now countess"
    nobody = await bar.enter()
    assert await nobody.ask("/name Ada") == "* Ada has joined"


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("/name", "* a name is missing: /name NAME"),
        ("/name ADA", "* Ada is here already; choose another name"),
        ("/name " + "x" * 25, "* a name has at most 24 characters; choose a shorter one"),
        ("/name *", '* a name does not start with "*" or "/" and has no ":" in it; choose another'),
        ("Ada: hello", '* a name does not start with "*" or "/" and has no ":" in it; choose another'),
    ],
)
async def test_names_that_are_refused(bar: Bar, name: str, answer: str) -> None:
    await bar.enter("Ada")
    nobody = await bar.enter()
    assert await nobody.ask(name) == answer


async def test_commands(bar: Bar) -> None:
    nobody = await bar.enter()
    assert await nobody.ask("/who") == "* Nobody is here yet."
    assert "/who lists who is here" in await nobody.ask("/help")
    assert await nobody.ask("/dance now") == "* there is no /dance; /help lists what there is"
    assert await nobody.ask(b"\x00") == "* only text is understood here"


async def test_one_message_is_one_line(bar: Bar) -> None:
    ada = await bar.enter("Ada")
    await ada.say(" \n ")  # says nothing
    assert await ada.ask("one\ntwo\x1b[2J") == "Ada: one two [2J"


async def test_two_terminals(demo: str) -> None:
    async with Program("connect", f"{demo}/chat") as ada, Program("connect", f"{demo}/chat") as grace:
        ada.say("Ada\n")
        assert await ada.line_with("joined") == "* Ada has joined"
        grace.say("Grace\n")
        assert await grace.line_with("joined") == "* Grace has joined"
        assert await ada.line_with("Grace") == "* Grace has joined"
        grace.say("hello there\n")
        assert await ada.line() == await grace.line() == "Grace: hello there"
        grace.interrupt()
        assert await ada.line() == "* Grace has left"
