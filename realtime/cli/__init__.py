"""The command line: which commands there are and what they take. Each command is a module of its own.

Exit codes: 0 as wished, 1 for what could not be done, 2 for a wrong command line, 3 when the server ended the session
with an error, 128 and the number of the signal (130 for Ctrl-C) when one ended the command.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp

import realtime

from ..client.wire import own_transports, with_port_of_their_own
from ..core.errors import LocalProtocolError
from ..core.settings import shown
from ..protocols.native import auth_text
from ..transports import TRANSPORTS
from . import connect, demo, doctor, types

__all__ = ["main"]

MOST_WORKERS = 16  # of the demo, which are all on this machine
RUN_HERE = (*own_transports(), *with_port_of_their_own())
_LISTED = ", ".join(RUN_HERE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code. Raises SystemExit for a wrong command line."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "demo":
            _check_workers(options)
            return demo.run(
                demo.Options(
                    host=options.host,
                    port=options.port,
                    transports=options.transports,
                    workers=options.workers,
                    broker=options.broker,
                )
            )
        if options.command == "doctor":
            return doctor.run(
                doctor.Options(
                    url=options.url,
                    transports=options.transport,
                    headers=_headers(options),
                    auth=options.auth,
                    proxy=options.proxy,
                    timeout=options.timeout,
                    patience=options.patience,
                    as_json=options.json,
                )
            )
        if options.command == "types":
            if options.check and options.out is None:
                options.parser.error("argument --check: give --out FILE, too: what is to be compared")
            return types.run(types.Options(target=options.target, out=options.out, check=options.check))
        return connect.run(
            connect.Options(
                url=options.url,
                transports=options.transport,
                headers=_headers(options),
                auth=options.auth,
                upgrade=options.upgrade,
                binary=options.binary,
                linger=options.linger,
            )
        )
    except LocalProtocolError as error:
        complain: argparse.ArgumentParser = options.parser
        complain.error(str(error))
    except KeyboardInterrupt:  # before or after the command listens for it
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="realtime", description="Realtime sessions that survive any change of transport, from the command line."
    )
    version = f"realtime {realtime.__version__} (aiohttp {aiohttp.__version__}, Python {platform.python_version()})"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_demo(
        commands.add_parser(
            "demo",
            help="serve a page that compares the transports, and an echo, a chat and a ticker to try things with",
            description=(
                "Serves a page on which all transports race and a session's network is broken, and the endpoints"
                " /realtime/echo, /realtime/chat and /realtime/ticker, until it is interrupted."
            ),
        )
    )
    _add_connect(
        commands.add_parser(
            "connect",
            help="standard input to a session, the session to standard output",
            description=(
                "Sends each line of standard input as a text message and prints each message received as a line."
                " At the end of input it waits until everything sent is acknowledged and the answers have come."
                " Exit code 1 when no session can be had, 3 when the server ends it with an error."
            ),
        )
    )
    _add_doctor(
        commands.add_parser(
            "doctor",
            help="find out which transports get through to an endpoint, and what stands in the way of the others",
            description=(
                "Tries every transport to an endpoint, each with a session of its own, and tells what blocks those that"
                " do not get through and what to set. Exit code 0 when at least one gets through."
            ),
        )
    )
    _add_types(
        commands.add_parser(
            "types",
            help="write the TypeScript of an application's events, for its pages",
            description=(
                "Imports the application and writes what each namespace of its endpoints takes and sends, by the"
                " annotations of its handlers, as interfaces for events<Heard, Sent>() of aiohttp-realtime/events."
            ),
        )
    )
    return parser


def _add_types(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(parser=parser)
    parser.add_argument(
        "target",
        metavar="MODULE:NAME",
        help="an application, a realtime.Server or a realtime.Events, or a function that makes one: app:make_app",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="the file to write (default: standard output)")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit code 1 when FILE is not what would be written"
    )


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(parser=parser)
    parser.add_argument("url", metavar="URL", help="an endpoint, such as http://127.0.0.1:8080/realtime/echo")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument(
        "--transport",
        action="append",
        choices=RUN_HERE,
        metavar="NAME",
        help=f"try this transport only, of {_LISTED}; repeat it for several (only browsers run htmlfile and jsonp)",
    )
    parser.add_argument(
        "--timeout", type=_some_seconds, default=20.0, metavar="SECONDS", help="for all of it (default: 20)"
    )
    parser.add_argument(
        "--patience",
        type=_finite_seconds,
        default=3.0,
        metavar="SECONDS",
        help="how long to leave connections idle, to see whether they are cut (default: 3)",
    )
    parser.add_argument(
        "--proxy",
        metavar="URL",
        help="an HTTP forward proxy to go through (default: what HTTP_PROXY, HTTPS_PROXY and NO_PROXY say)",
    )
    parser.add_argument(
        "--header", action="append", type=_header, default=[], metavar="'K: V'", help="a header for every request"
    )
    parser.add_argument("--auth", type=_json, metavar="JSON", help="what the server's authorize hook is given")


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(parser=parser)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8080, help="the port; 0 for any free one (default: %(default)s)")
    parser.add_argument(
        "--transports",
        type=_transports,
        default=tuple(TRANSPORTS),
        metavar="A,B",
        help=f"the transports to offer, best first (default: all: {', '.join(TRANSPORTS)})",
    )
    parser.add_argument(
        "--workers",
        type=_workers,
        metavar="N",
        help="serve another page: which of N processes has whose session, and that"
        " rooms go on when one is killed; needs --broker",
    )
    parser.add_argument(
        "--broker",
        metavar="URL",
        help="the Redis or Valkey that connects the workers, such as redis://localhost; of one process, what keeps the"
        " session whose server is killed (default: a Redis of its own, if redis-server is installed)",
    )


def _add_connect(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(parser=parser)
    parser.add_argument("url", metavar="URL", help="an endpoint, such as http://127.0.0.1:8080/realtime/echo")
    parser.add_argument(
        "--transport",
        action="append",
        choices=RUN_HERE,
        metavar="NAME",
        help=f"use this transport only, of {_LISTED}; repeat it to allow several, the most wanted first",
    )
    parser.add_argument(
        "--binary", action="store_true", help="send raw chunks as binary messages, and write binary messages raw"
    )
    parser.add_argument(
        "--header", action="append", type=_header, default=[], metavar="'K: V'", help="a header for every request"
    )
    parser.add_argument("--auth", type=_json, metavar="JSON", help="what the server's authorize hook is given")
    parser.add_argument(
        "--no-upgrade", dest="upgrade", action="store_false", help="stay on the transport that opened first"
    )
    parser.add_argument(
        "--linger",
        type=_seconds,
        metavar="SECONDS",
        help=(
            "after the end of input, leave when nothing has come for so long; inf: stay until the server closes"
            " (default: 1, and longer where the network is slow)"
        ),
    )


# -- what options look like ----------------------------------------------------------------------------------------


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return int(text)


def _workers(text: str) -> int:
    if not text.isdecimal() or not 2 <= int(text) <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"a number from 2 to {MOST_WORKERS} is expected, not {text!r}")
    return int(text)


def _check_workers(options: argparse.Namespace) -> None:
    """Several workers need a broker."""
    if options.workers is not None and not options.broker:
        options.parser.error(
            "argument --workers: several processes need a broker: give --broker redis://localhost, with a Redis or"
            " Valkey that runs there, and pip install 'aiohttp-realtime[redis]'"
        )


def _transports(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in TRANSPORTS:
            raise argparse.ArgumentTypeError(f"there is no transport {name!r}; there are {', '.join(TRANSPORTS)}")
    return tuple(dict.fromkeys(names))


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name or not name.isascii() or any(c.isspace() for c in name) or not value.isprintable():
        raise argparse.ArgumentTypeError(f"a header looks like 'Name: value', not {text!r}")
    return name, value.strip()


def _headers(options: argparse.Namespace) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in options.header:
        if name.lower() in (other.lower() for other in headers):
            options.parser.error(f"argument --header: {name} is given twice")
        headers[name] = value
    return headers


def _json(text: str) -> Any:
    try:
        value = json.loads(text)
        auth_text(value)  # NaN and lone surrogates, which Python reads, nobody else would
    except (ValueError, RecursionError, LocalProtocolError) as error:
        raise argparse.ArgumentTypeError(f"this is not JSON: {shown(text)} ({error})") from None
    return value


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise argparse.ArgumentTypeError(f"a number of seconds is expected, or inf, not {text!r}")
    return seconds


def _finite_seconds(text: str) -> float:
    seconds = _seconds(text)
    if seconds == float("inf"):
        raise argparse.ArgumentTypeError("a number of seconds is expected, and inf is none")
    return seconds


def _some_seconds(text: str) -> float:
    seconds = _finite_seconds(text)
    if not seconds:
        raise argparse.ArgumentTypeError("a number of seconds above 0 is expected")
    return seconds
