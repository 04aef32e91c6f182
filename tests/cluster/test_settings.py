"""What a Cluster takes, and says of what it does not take."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

import realtime
from realtime.cluster.places import place_of

SECRET = "s" * 32


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"secret": "short"}, realtime.LocalProtocolError, "at least 32 characters. To draw one"),
        ({"secret": [SECRET, "short"]}, realtime.LocalProtocolError, "at least 32 characters"),
        ({"secret": []}, realtime.LocalProtocolError, "at least 32 characters"),
        ({"secret": 5}, TypeError, "takes a str, or several, not int"),
        ({"secret": SECRET, "lease": 0}, realtime.LocalProtocolError, "lease"),
        ({"secret": SECRET, "lease": "10"}, TypeError, "lease"),
        ({"secret": SECRET, "drain_timeout": -1}, realtime.LocalProtocolError, "drain_timeout"),
        ({"secret": SECRET, "listen": 7000}, TypeError, "listen=7000"),
        ({"secret": SECRET, "listen": "10.0.0.5:7000"}, realtime.LocalProtocolError, "tcp://"),
        ({"secret": SECRET, "listen": "unix:run/chat/"}, realtime.LocalProtocolError, "absolute path"),
        ({"secret": SECRET, "listen": "tcp://10.0.0.5:70000"}, realtime.LocalProtocolError, "listen"),
        ({"secret": SECRET, "listen": "tcp://0.0.0.0:7000"}, realtime.LocalProtocolError, "advertise="),
        ({"secret": SECRET, "listen": "tcp://[::]:7000"}, realtime.LocalProtocolError, "advertise="),
        ({"secret": SECRET, "advertise": "tcp://10.0.0.5:0"}, realtime.LocalProtocolError, "not port 0"),
        ({"secret": SECRET, "advertise": "unix:/run/chat/"}, realtime.LocalProtocolError, "not a folder"),
        ({"secret": SECRET, "tls": ssl.create_default_context()}, TypeError, "two ssl.SSLContext"),
    ],
)
def test_what_it_does_not_take(settings: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        realtime.Cluster(**settings)
    assert says in str(caught.value)


def test_the_secret_may_be_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REALTIME_SECRET", raising=False)
    with pytest.raises(realtime.LocalProtocolError, match="REALTIME_SECRET"):
        realtime.Cluster()
    monkeypatch.setenv("REALTIME_SECRET", SECRET)
    cluster = realtime.Cluster()
    assert cluster.secrets == (SECRET.encode(),)
    assert SECRET not in repr(cluster)


@pytest.mark.parametrize("text", ["unix:/run/chat/", "unix:/run/1.sock", "tcp://10.0.0.5:7000", "tcp://[::1]:7000"])
def test_a_place_is_written_as_it_is_read(text: str) -> None:
    assert str(place_of(text)) == text


def test_a_lease_outlasts_what_a_worker_needs_to_find_out_that_it_is_cut_off() -> None:
    broker = realtime.RedisBroker("redis://localhost", timeout=2.0)
    realtime.Server(broker=broker, cluster=realtime.Cluster(secret=SECRET, lease=4.0))
    with pytest.raises(
        realtime.LocalProtocolError, match=r"lease=3\.9: takes at least twice the broker's timeout of 2 s"
    ):
        realtime.Server(broker=broker, cluster=realtime.Cluster(secret=SECRET, lease=3.9))
    realtime.Server(broker=realtime.MemoryBroker(), cluster=realtime.Cluster(secret=SECRET, lease=0.1))


def test_a_broker_is_not_waited_for_longer_than_half_of_what_keeps_workers_present() -> None:
    with pytest.raises(realtime.LocalProtocolError, match="timeout"):
        realtime.RedisBroker("redis://localhost", timeout=5.1)
