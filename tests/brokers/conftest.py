"""One Redis for all tests of a run: over TCP with a password, over TLS, over a Unix socket. Each test has a prefix."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from realtime.brokers.memory import MemoryBroker
from realtime.brokers.redis import RedisBroker

from ..ports import port_for
from .servers import PASSWORD, Cluster, Sentinels, Server, available, directory

Make = Callable[[], "MemoryBroker | RedisBroker"]
KINDS = ("memory", "tcp", "tls", "unix", "cluster")

_numbers = itertools.count()


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


@pytest.fixture(scope="session")
def redis_urls(place: Path) -> Iterator[dict[str, str]]:
    """The URLs of one server: TCP, TLS and a Unix socket. It wants a password."""
    if not available():
        pytest.skip("redis-server is not installed")
    key, certificate, port = place / "key.pem", place / "cert.pem", port_for()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    server = Server(
        place / "one", "--save", "", "--unixsocket", str(place / "socket"), "--tls-port", str(port),
        "--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-ca-cert-file", str(certificate),
        "--tls-auth-clients", "no",
    ).start()  # fmt: skip
    with server.client() as client:
        client.config_set("requirepass", PASSWORD)
    login = f":{PASSWORD}@"
    yield {
        "tcp": f"redis://{login}127.0.0.1:{server.port}/0",
        "tls": f"rediss://{login}127.0.0.1:{port}/0?ssl_ca_certs={certificate}",
        "unix": f"unix://{login}{place / 'socket'}?db=0",
    }
    server.kill()


@pytest.fixture(scope="session")
def cluster(place: Path) -> Iterator[Cluster]:
    if not available():
        pytest.skip("redis-server is not installed")
    cluster = Cluster(place / "cluster")
    yield cluster
    cluster.stop()


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[Sentinels]:
    if not available():
        pytest.skip("redis-server is not installed")
    sentinels = Sentinels(tmp_path)
    yield sentinels
    sentinels.stop()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Server]:
    """A server that the test may stop, pause and start again. It persists nothing."""
    if not available():
        pytest.skip("redis-server is not installed")
    server = Server(tmp_path, "--save", "").start()
    yield server
    server.kill()


@pytest.fixture
def prefix() -> str:
    """Of this test alone."""
    return f"test{os.getpid()}-{next(_numbers)}:"


@pytest.fixture(params=KINDS)
def broker(request: pytest.FixtureRequest, prefix: str) -> MemoryBroker | RedisBroker:
    """Each kind in turn."""
    return broker_of(request, prefix)


def broker_of(request: pytest.FixtureRequest, prefix: str) -> MemoryBroker | RedisBroker:
    """The one that a fixture's parameter names."""
    if request.param == "memory":
        return MemoryBroker()
    if request.param == "cluster":
        return RedisBroker(request.getfixturevalue("cluster").url, prefix=prefix)
    return RedisBroker(request.getfixturevalue("redis_urls")[request.param], prefix=prefix)
