"""Who knows the secret, and what can be said in whose name."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.cluster.seals import ANSWER_SIZE, GREETING_SIZE, HELLO_SIZE, Hello, Seal, greeting, nonce_of

SECRET = b"s" * 32
THEIRS, OURS = b"t" * 16, b"o" * 16
MARK = Seal.mark("an incarnation")


def pair(secret: bytes = SECRET, theirs: bytes = THEIRS, ours: bytes = OURS, mark: bytes = MARK) -> tuple[Seal, Seal]:
    """Both ends of one connection."""
    return Seal(secret, theirs, ours, mark), Seal(SECRET, THEIRS, OURS, MARK)


def test_sizes() -> None:
    one, other = pair()
    assert len(greeting(THEIRS)) == GREETING_SIZE
    assert len(one.hello()) == HELLO_SIZE
    assert len(other.answer()) == len(other.answer(stale=True)) == ANSWER_SIZE


def test_both_ends_know_each_other() -> None:
    one, other = pair()
    hello = Hello.read(one.hello())
    assert hello == Hello(OURS, MARK, hello.proof)
    assert other.knows(hello)
    assert one.welcome(other.answer()) is True
    assert one.welcome(other.answer(stale=True)) is False


@pytest.mark.parametrize(
    "otherwise",
    [{"secret": b"x" * 32}, {"theirs": b"x" * 16}, {"ours": b"x" * 16}, {"mark": Seal.mark("another")}],
    ids=["secret", "what the worker has drawn", "what the other has drawn", "incarnation"],
)
def test_whatever_is_otherwise_nobody_is_known(otherwise: dict[str, bytes]) -> None:
    one, other = pair(**otherwise)
    assert not other.knows(Hello.read(one.hello()))
    assert one.welcome(other.answer()) is None
    assert one.welcome(other.answer(stale=True)) is None
    assert not other.sealed(one.request([b"GET"]).encode(), [b"GET"])


def test_nothing_can_be_said_back() -> None:
    """What one end says proves nothing where the other should say it."""
    one, other = pair()
    proof = one.hello()[-32:]
    assert one.welcome(b"+" + proof) is None
    assert not other.knows(Hello(OURS, MARK, other.answer()[1:]))
    assert one.welcome(b"-" + other.answer()[1:]) is None
    assert one.welcome(b"?" + other.answer()[1:]) is None


def test_a_request_counts_once_and_in_its_place() -> None:
    one, other = pair()
    seals = [one.request([b"GET", b"%d" % number]).encode() for number in range(3)]
    assert other.sealed(seals[0], [b"GET", b"0"])
    assert not other.sealed(seals[0], [b"GET", b"0"])
    assert other.sealed(seals[2], [b"GET", b"2"])
    assert not other.sealed(seals[1], [b"GET", b"1"])


@given(st.lists(st.binary(max_size=5), max_size=4), st.lists(st.binary(max_size=5), max_size=4))
def test_what_is_sealed_is_what_was_said_and_nothing_else(said: list[bytes], heard: list[bytes]) -> None:
    one, other = pair()
    assert other.sealed(one.request(said).encode(), heard) == (said == heard)


@given(st.binary(max_size=GREETING_SIZE + 2))
def test_what_is_no_greeting(said: bytes) -> None:
    assert nonce_of(said) is None or said == greeting(said[-16:])


def test_a_greeting() -> None:
    nonce = secrets.token_bytes(16)
    assert nonce_of(greeting(nonce)) == nonce
