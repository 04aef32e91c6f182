"""Real Redis servers for tests: started on free ports, in directories of their own, and ended with the tests."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from ..ports import port_for

__all__ = ["BROKER_TIMEOUT", "PASSWORD", "Cluster", "Sentinels", "Server", "available", "copied", "settled"]

PASSWORD = "not-for-any-log"
PATIENCE = 90.0
# Seconds that a worker waits for the broker where an answer comes: nearly the most that may be set.
BROKER_TIMEOUT = 45.0
BUS = 10_000  # so far above its port a node of a cluster hears of the others


def available() -> bool:
    """Whether there is a Redis to start."""
    return shutil.which("redis-server") is not None


class Server:
    """One redis-server, that can be stopped, paused and started again."""

    def __init__(self, directory: Path, *options: str, sentinel: bool = False) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port = port_for(and_above=BUS if "--cluster-enabled" in options else 0)
        self._options = options
        self._sentinel = sentinel
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def client(self) -> Any:
        """For looking into it. (redis-py's own types say little.)"""
        return Redis(port=self.port, socket_timeout=PATIENCE, decode_responses=True)

    def start(self) -> Server:
        """Starts it, and waits until it answers."""
        arguments = ["--port", str(self.port), "--dir", str(self.directory), "--bind", "127.0.0.1", *self._options]
        command = ["redis-server"]
        if self._sentinel:
            configuration = self.directory / "sentinel.conf"
            if not configuration.exists():
                lines = [f"port {self.port}", f"dir {self.directory}", "bind 127.0.0.1", *self._options]
                configuration.write_text("\n".join(lines) + "\n")
            command += [str(configuration), "--sentinel"]
        else:
            command += arguments
        nowhere = subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere)
        self.wait()
        return self

    def wait(self) -> None:
        """Until it answers, and has loaded what it keeps."""
        end = time.monotonic() + PATIENCE
        while True:
            with suppress(RedisError, OSError), self.client() as client:
                if client.ping():
                    return
            assert self._process is not None
            assert self._process.poll() is None, "redis-server has ended"
            assert time.monotonic() < end, "redis-server does not start"
            time.sleep(0.02)

    def kill(self) -> None:
        """Ends it without a word."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Ends it as its operator would: what it persists is written."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """It stands still, and its connections stay."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


def settled(server: Server, lease: float) -> None:
    """Waits until it has been up for a lease: before that nobody knows what it may have forgotten."""
    end = time.monotonic() + PATIENCE
    with server.client() as client:
        while client.info("server")["uptime_in_seconds"] <= lease:
            assert time.monotonic() < end, "redis-server stands still"
            time.sleep(0.05)


def copied(server: Server) -> None:
    """Waits until its replica has all that was acknowledged before."""
    with server.client() as client:
        for number in itertools.count():  # of a cluster's node not all keys are
            with contextlib.suppress(ResponseError):
                client.set(f"last{number}", 1)  # WAIT waits for what its own connection has written
                break
        assert client.wait(1, int(PATIENCE * 1000)) == 1, "the replica does not copy"


class Sentinels:
    """A master, a replica, and a Sentinel that watches them."""

    def __init__(self, directory: Path) -> None:
        # It waits for no other replicas before it copies everything.
        self.master = Server(directory / "master", "--save", "", "--repl-diskless-sync-delay", "0").start()
        replica_of = ("--replicaof", "127.0.0.1", str(self.master.port))
        self.replica = Server(directory / "replica", "--save", "", *replica_of).start()
        self._sentinel = Server(
            directory / "sentinel",
            f"sentinel monitor rooms 127.0.0.1 {self.master.port} 1",
            "sentinel down-after-milliseconds rooms 1500",
            "sentinel failover-timeout rooms 3000",
            sentinel=True,
        ).start()
        end = time.monotonic() + PATIENCE
        with self.master.client() as master, self._sentinel.client() as sentinel:
            while True:
                info = sentinel.execute_command("SENTINEL", "replicas", "rooms")
                if len(info) == 1 and master.info("replication")["connected_slaves"] == 1:
                    break
                assert time.monotonic() < end, "Sentinel does not find the replica"
                time.sleep(0.05)

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self._sentinel.port}/rooms"

    def let_be(self) -> None:
        """Sentinel mends nothing by itself any more, however long anything takes."""
        with self._sentinel.client() as sentinel:
            for option in ("down-after-milliseconds", "failover-timeout"):
                sentinel.execute_command("SENTINEL", "SET", "rooms", option, 3_600_000)

    def switch(self) -> None:
        """The replica is the master now, and Sentinel says so."""
        with self._sentinel.client() as sentinel:
            sentinel.execute_command("SENTINEL", "remove", "rooms")
            sentinel.execute_command("SENTINEL", "monitor", "rooms", "127.0.0.1", str(self.replica.port), "1")

    def until_switched(self) -> None:
        """Until Sentinel has made the replica the master. One that was kept from running does not believe its clock any
        more, and does nothing for half a minute: it is started again."""
        end = time.monotonic() + 4 * PATIENCE
        while True:
            with self._sentinel.client() as sentinel:
                address = sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "rooms")
                tilted = sentinel.info("sentinel").get("sentinel_tilt")
            if int(address[1]) == self.replica.port:
                return
            if tilted:
                self._sentinel.kill()
                self._sentinel.start()
            assert time.monotonic() < end, "Sentinel does not promote the replica"
            time.sleep(0.05)

    def stop(self) -> None:
        for server in (self._sentinel, self.replica, self.master):
            server.kill()


class Cluster:
    """Three nodes with all slots."""

    def __init__(self, directory: Path, *more: str) -> None:
        options = ("--cluster-enabled", "yes", "--save", "", "--cluster-node-timeout", "1000", *more)
        self._directory, self._options = directory, options
        self.nodes = [Server(directory / str(number), *options).start() for number in range(3)]
        slots = (range(5461), range(5461, 10923), range(10923, 16384))
        first = self.nodes[0]
        for node, some in zip(self.nodes, slots, strict=True):
            with node.client() as client:
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", some.start, some.stop - 1)
                if node is not first:
                    client.execute_command("CLUSTER", "MEET", "127.0.0.1", first.port)
        end = time.monotonic() + PATIENCE
        for node in self.nodes:
            with node.client() as client:
                while "cluster_state:ok" not in self._info(client):
                    assert time.monotonic() < end, "the cluster does not come up"
                    time.sleep(0.05)

    def replica(self, master: Server) -> Server:
        """One more node, which is a replica of this one."""
        replica = Server(self._directory / "replica", *self._options).start()
        self.nodes.append(replica)
        end = time.monotonic() + PATIENCE
        with replica.client() as client, master.client() as other:
            name = other.execute_command("CLUSTER", "MYID")
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", master.port)
            while True:
                with suppress(RedisError):
                    client.execute_command("CLUSTER", "REPLICATE", name)
                    break
                assert time.monotonic() < end, "the replica does not know its master"
                time.sleep(0.05)
            while client.info("replication")["master_link_status"] != "up":
                assert time.monotonic() < end, "the replica does not reach its master"
                time.sleep(0.05)
        return replica

    @staticmethod
    def take_over(replica: Server) -> None:
        """A replica is the master from here on, if the others have not made it that already."""
        with replica.client() as client, suppress(ResponseError):
            client.execute_command("CLUSTER", "FAILOVER", "TAKEOVER")

    def move(self, key: str, source: Server, target: Server) -> None:
        """Moves the slot of a key, with all that is in it, as its operator does while it serves."""
        with source.client() as one, target.client() as other:
            slot = one.execute_command("CLUSTER", "KEYSLOT", key)
            names = [client.execute_command("CLUSTER", "MYID") for client in (one, other)]
            other.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", names[0])
            one.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", names[1])
            while keys := one.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
                one.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, int(PATIENCE * 1000), "KEYS", *keys)
            for node in (target, source, *self.nodes):
                with node.client() as client:
                    client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[1])

    @staticmethod
    def _info(client: Any) -> str:
        answer = client.execute_command("CLUSTER", "INFO")
        if isinstance(answer, dict):
            return " ".join(f"{name}:{value}" for name, value in answer.items())
        return answer.decode() if isinstance(answer, bytes) else str(answer)

    @property
    def url(self) -> str:
        return f"redis+cluster://127.0.0.1:{self.nodes[0].port}"

    def stop(self) -> None:
        for node in self.nodes:
            node.kill()


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """A short one, since the path of a Unix socket has a limit."""
    with tempfile.TemporaryDirectory(prefix="rt-") as path:
        yield Path(path)
