"""Real middle boxes: nginx, haproxy and Caddy on loopback, each with the configuration that makes it what it is.

A box is a program in the foreground with all its files in one directory, between a port of its own and the server's.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..patience import within
from ..ports import port_for

__all__ = ["BOXES", "HAPROXY", "NGINX", "Box", "documented", "running", "standing"]

DOCUMENT = Path(__file__).parents[2] / "docs" / "deployment.md"

NGINX = """
daemon off;
master_process off;
pid @DIR@/nginx.pid;
error_log @DIR@/error.log;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path @DIR@/body;
    proxy_temp_path @DIR@/proxy;
    fastcgi_temp_path @DIR@/fastcgi;
    uwsgi_temp_path @DIR@/uwsgi;
    scgi_temp_path @DIR@/scgi;
@SERVER@
}
"""

NGINX_SERVER = """
    server {
        listen 127.0.0.1:@PORT@;
        location / {
            proxy_pass http://127.0.0.1:@UPSTREAM@;
@SETTINGS@
        }
    }
"""

HAPROXY = """
global
    maxconn 512
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
@DEFAULTS@
frontend box
    bind 127.0.0.1:@PORT@
@FRONTEND@
    default_backend server
backend server
    server server 127.0.0.1:@UPSTREAM@
"""


def _nginx(settings: str = "") -> str:
    return NGINX.replace("@SERVER@", NGINX_SERVER.replace("@SETTINGS@", settings))


def _haproxy(defaults: str = "    option http-no-delay", frontend: str = "") -> str:
    return HAPROXY.replace("@DEFAULTS@", defaults).replace("@FRONTEND@", frontend)


def documented(language: str) -> str:
    """The configuration that docs/deployment.md gives, with this lab's ports; found by the code block's language."""
    block: str
    (block,) = re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    for given, ours in (
        ("listen 80;", "listen 127.0.0.1:@PORT@;"),
        ("bind :80", "bind 127.0.0.1:@PORT@"),
        ("example.org {", "http://127.0.0.1:@PORT@ {"),
    ):
        block = block.replace(given, ours)
    assert "@PORT@" in block
    assert "127.0.0.1:8080" in block
    return block.replace("127.0.0.1:8080", "127.0.0.1:@UPSTREAM@")


@dataclass(frozen=True)
class Box:
    """A program and its configuration, in which @PORT@, @UPSTREAM@ and @DIR@ are filled in."""

    program: str
    config: Callable[[], str]

    def command(self, directory: Path) -> list[str]:
        """How it is started in the foreground."""
        file = str(directory / "config")
        if self.program == "nginx":
            return [_find("nginx"), "-e", str(directory / "early.log"), "-p", str(directory), "-c", file]
        if self.program == "haproxy":
            return [_find("haproxy"), "-db", "-q", "-f", file]
        return [_find("caddy"), "run", "--adapter", "caddyfile", "--config", file]


BOXES: dict[str, Box] = {
    "nginx as it comes": Box("nginx", _nginx),
    "nginx that holds streams": Box(
        "nginx",
        lambda: _nginx(
            "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering; proxy_buffer_size 64k;"
            " proxy_buffers 16 64k; proxy_busy_buffers_size 128k;"
        ),
    ),
    "nginx that cuts after 1 s": Box(
        "nginx",
        lambda: _nginx(
            "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"
            " proxy_read_timeout 1s;"
        ),
    ),
    "nginx as documented": Box("nginx", lambda: NGINX.replace("@SERVER@", documented("nginx"))),
    "haproxy as it comes": Box("haproxy", lambda: _haproxy(defaults="")),
    "haproxy that denies WebSockets": Box(
        "haproxy",
        lambda: _haproxy(frontend="    http-request deny deny_status 403 if { req.hdr(Upgrade) -i websocket }"),
    ),
    "haproxy that strips Upgrade": Box(
        "haproxy",
        lambda: _haproxy(frontend="    http-request del-header Upgrade\n    http-request del-header Connection"),
    ),
    "haproxy that cuts after 1 s": Box(
        "haproxy", lambda: _haproxy("    option http-no-delay\n    timeout server 1s\n    timeout tunnel 1s")
    ),
    "haproxy that waits for bodies": Box(
        "haproxy", lambda: _haproxy(frontend="    http-response wait-for-body time 10s")
    ),
    "haproxy as documented": Box("haproxy", lambda: documented("haproxy")),
    "caddy as documented": Box("caddy", lambda: "{\n\tadmin off\n\tauto_https off\n}\n" + documented("caddy")),
}


def _find(program: str) -> str:
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin:/sbin")
    if found is None:
        pytest.skip(f"{program} is not installed; `make test` installs it where it runs as root and has apt-get")
    return found


@contextlib.asynccontextmanager
async def standing(name: str, upstream: int, directory: Path) -> AsyncIterator[str]:
    """A box that stands before the port `upstream`; its URL. Skips the test where the program is missing."""
    box = BOXES[name]
    async with running(box.program, box.config().replace("@UPSTREAM@", str(upstream)), directory) as url:
        yield url


@contextlib.asynccontextmanager
async def running(program: str, config: str, directory: Path) -> AsyncIterator[str]:
    """A box with this configuration, in which @PORT@ and @DIR@ are filled in; its URL. Skips the test where the program
    is missing."""
    command = Box(program, str).command(directory)
    port = port_for()
    for token, value in (("@PORT@", port), ("@DIR@", directory)):
        config = config.replace(token, str(value))
    (directory / "config").write_text(config, "utf-8")
    environment = {"HOME": str(directory), "XDG_DATA_HOME": str(directory), "XDG_CONFIG_HOME": str(directory)}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=directory, env=environment, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE
    )
    assert process.stderr is not None
    complaints = asyncio.create_task(process.stderr.read())
    try:
        await _listening(port, process, complaints)
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 2.0)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        await complaints


async def _listening(port: int, process: asyncio.subprocess.Process, complaints: asyncio.Task[bytes]) -> None:
    """Waits until something listens; there is no event for that."""
    async with within("that the box listens"):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                if process.returncode is not None:
                    pytest.fail(f"the box ended with {process.returncode}: {(await complaints).decode()}")
                await asyncio.sleep(0.01)
            else:
                writer.close()
                await writer.wait_closed()
                return
