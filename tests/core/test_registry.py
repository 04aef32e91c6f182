"""Who is here, who was, and how many may be (docs/protocol.md §5, §9)."""

from __future__ import annotations

import dataclasses

import pytest

from realtime.core.config import Config
from realtime.core.errors import Refusal
from realtime.core.frames import Window
from realtime.core.numbered_machine import NumberedMachine
from realtime.core.proof import Key, Proof
from realtime.core.registry import RETRY_AFTER, Registry

from .fakes import Diary

CONFIG = Config(resume_window=100, ping_interval=20, ping_timeout=20)
LIFETIME = 140.0


def machine(
    sid: str,
    nonce: str = "",
    binding: object = "here",
    identity: str | None = None,
    config: Config = CONFIG,
    address: str = "",
) -> NumberedMachine:
    """A session that nobody has attached to."""
    return NumberedMachine(
        config,
        Window(16, 65_536),
        Diary(),
        0.0,
        sid=sid,
        nonce=nonce,
        binding=binding,
        identity=identity,
        address=address,
    )


def registry(*machines: NumberedMachine, config: Config = CONFIG) -> Registry:
    """A registry that knows these."""
    known = Registry(config)
    for one in machines:
        known.add(one)
    return known


def bury(known: Registry, one: NumberedMachine, now: float, code: int = 1000) -> None:
    """Ends and buries."""
    one.end(code, "over", now)
    known.bury(one, now)


def refused(known: Registry, sid: str, now: float) -> Refusal:
    """The refusal that a request for `sid` gets."""
    with pytest.raises(Refusal) as caught:
        known.find(sid, now)
    return caught.value


# -- sessions and tombstones -----------------------------------------------------------------------------------------


def test_a_session_is_found_by_its_sid() -> None:
    one = machine("s1")
    known = registry(one, machine("s2"))
    assert known.find("s1", 0.0) is one
    assert len(known) == 2


def test_a_nonce_is_free_until_nothing_is_remembered_of_who_opened_by_it() -> None:
    one = machine("s", "n")
    known = registry()
    assert "n" not in known.nonces
    known.add(one)
    assert "n" in known.nonces
    bury(known, one, 1.0)
    assert "n" in known.nonces
    known.forget(1.0 + LIFETIME)
    assert "n" not in known.nonces


def test_an_unknown_session() -> None:
    refusal = refused(registry(), "s1", 0.0)
    assert (refusal.code, refusal.scope, refusal.received) == (4404, "session", None)


def test_an_ended_session_answers_from_its_tombstone_for_its_lifetime() -> None:
    one = machine("s1")
    one.inbox.count(0, 0.0)
    known = registry(one)
    bury(known, one, 10.0, code=1011)
    assert len(known) == 0
    refusal = refused(known, "s1", 10.0 + LIFETIME - 1)
    assert (refusal.code, refusal.scope, refusal.received, refusal.reason) == (1011, "session", 1, "over")
    assert refused(known, "s1", 10.0 + LIFETIME).code == 4404
    assert not known.tombstones


def test_burying_twice_or_a_stranger_does_nothing() -> None:
    one = machine("s1", identity="ann")
    known = registry(one, config=CONFIG)
    bury(known, one, 0.0)
    known.bury(one, 5.0)
    known.bury(machine("s9"), 5.0)
    assert list(known.tombstones) == ["s1"]
    assert known.tombstones["s1"].expires == LIFETIME


def test_there_are_only_so_many_tombstones_the_oldest_goes_first() -> None:
    ones = [machine(f"s{number}", nonce=f"n{number}") for number in range(4)]
    known = registry(*ones, config=dataclasses.replace(CONFIG, max_tombstones=2))
    for one in ones:
        bury(known, one, 0.0)
    assert list(known.tombstones) == ["s2", "s3"]
    assert refused(known, "s1", 1.0).code == 4404
    assert refused(known, "s3", 1.0).code == 1000
    assert known.opened("n1", "here", 1.0) is None  # forgotten with its tombstone


def test_no_tombstones_at_all() -> None:
    one = machine("s1", nonce="n1")
    known = registry(one, config=dataclasses.replace(CONFIG, max_tombstones=0))
    bury(known, one, 0.0)
    assert refused(known, "s1", 0.0).code == 4404
    assert known.opened("n1", "here", 0.0) is None


def test_a_tombstone_that_is_over_behind_one_that_lives_longer() -> None:
    long, short = machine("long"), machine("short", nonce="n", config=dataclasses.replace(CONFIG, resume_window=1))
    known = registry(long, short)
    bury(known, long, 0.0)
    bury(known, short, 0.0)
    assert refused(known, "short", 50.0).code == 4404
    assert known.opened("n", "here", 50.0) is None
    later = machine("later", nonce="n")
    known.add(later)
    known.forget(500.0)
    assert known.opened("n", "here", 500.0) is later  # the tombstone's end takes no nonce from another session


# -- opening by nonce ------------------------------------------------------------------------------------------------


def test_a_nonce_that_nobody_used_opens_a_new_session() -> None:
    assert registry(machine("s1", nonce="n1")).opened("n2", "here", 0.0) is None


def test_a_session_without_a_nonce_cannot_be_opened_again() -> None:
    assert registry(machine("s1")).opened("", "here", 0.0) is None


def test_the_same_nonce_answers_with_the_same_session_until_it_is_used() -> None:
    one = machine("s1", nonce="n1")
    known = registry(one)
    assert known.opened("n1", "here", 0.0) is one
    assert known.opened("n1", "here", 1.0) is one
    one.used = True
    with pytest.raises(Refusal) as caught:
        known.opened("n1", "here", 2.0)
    assert (caught.value.code, caught.value.scope, caught.value.received) == (4409, "carrier", None)


def test_a_nonce_is_bound_to_endpoint_origin_and_identity() -> None:
    known = registry(machine("s1", nonce="n1", binding=("/chat", "http://a", "ann")))
    with pytest.raises(Refusal) as caught:
        known.opened("n1", ("/chat", "http://a", "bob"), 0.0)
    assert caught.value.code == 4409


def test_a_session_that_ended_unused_answers_its_nonce_with_its_tombstone() -> None:
    one = machine("s1", nonce="n1")
    known = registry(one)
    bury(known, one, 0.0, code=4408)
    with pytest.raises(Refusal) as caught:
        known.opened("n1", "here", 1.0)
    assert (caught.value.code, caught.value.scope) == (4408, "session")
    with pytest.raises(Refusal) as caught:
        known.opened("n1", "elsewhere", 1.0)
    assert (caught.value.code, caught.value.reason != "over") == (4409, True)
    assert known.opened("n1", "here", LIFETIME) is None


def test_a_session_that_ended_used_tells_its_nonce_nothing() -> None:
    one = machine("s1", nonce="n1")
    known = registry(one)
    one.used = True
    bury(known, one, 0.0, code=3000)
    with pytest.raises(Refusal) as caught:
        known.opened("n1", "here", 1.0)
    assert (caught.value.code, caught.value.received) == (4409, None)


# -- how many --------------------------------------------------------------------------------------------------------


def test_max_sessions() -> None:
    one = machine("s1")
    known = registry(one, config=dataclasses.replace(CONFIG, max_sessions=1))
    with pytest.raises(Refusal, match="max_sessions") as caught:
        known.check_room(None)
    assert (caught.value.code, caught.value.scope) == (4429, "carrier")
    bury(known, one, 0.0)
    known.check_room(None)


def test_max_sessions_per_identity() -> None:
    ann1, ann2 = machine("s1", identity="ann"), machine("s2", identity="ann")
    known = registry(
        ann1, ann2, machine("s3"), config=dataclasses.replace(CONFIG, max_sessions=None, max_sessions_per_identity=2)
    )
    known.check_room("bob")
    known.check_room(None)  # who is nobody is not counted
    with pytest.raises(Refusal, match="max_sessions_per_identity") as caught:
        known.check_room("ann")
    assert caught.value.code == 4429
    bury(known, ann1, 0.0)
    known.check_room("ann")
    bury(known, ann2, 0.0)
    known.check_room("ann")


def test_which_sessions_an_identity_has() -> None:
    anns = [machine(f"s{number}", identity="ann") for number in range(4)]
    known = registry(*anns, machine("s9", identity="bob"), machine("s10"), config=CONFIG)
    assert known.of("ann") == tuple(anns)
    assert known.of("eve") == ()
    bury(known, anns[1], 0.0)
    bury(known, anns[0], 0.0)
    assert known.of("ann") == (anns[2], anns[3])
    for one in anns[2:]:
        bury(known, one, 0.0)
    assert known.of("ann") == ()
    assert [one.sid for one in known.of("bob")] == ["s9"]


def test_what_all_workers_count_together() -> None:
    ann, bob = machine("s1", identity="ann", address="10.0.0.1"), machine("s2", identity="ann")
    limited = dataclasses.replace(CONFIG, max_sessions_per_identity=2, max_sessions_per_address=3)
    known = registry(ann, bob, config=limited)
    of_ann, from_there = known.limits("ann", "10.0.0.1")
    assert (of_ann.key, of_ann.most, known.count(of_ann.key)) == ("iann", 2, 2)
    assert "max_sessions_per_identity" in of_ann.reason
    assert (from_there.key, from_there.most, known.count(from_there.key)) == ("a10.0.0.1", 3, 1)
    assert "max_sessions_per_address" in from_there.reason
    assert known.limits(None, "") == []
    assert known.count("ieve") == 0
    assert known.counted() == ["iann", "a10.0.0.1"]
    bury(known, ann, 1.0)
    assert known.counted() == ["iann"]
    unlimited = registry(ann, bob)
    assert unlimited.limits("ann", "10.0.0.1") == []
    assert unlimited.counted() == []


def test_no_limits() -> None:
    known = registry(machine("s1", identity="ann"), config=dataclasses.replace(CONFIG, max_sessions=None))
    known.check_room("ann")


def test_max_sessions_per_address() -> None:
    one, two, elsewhere = machine("s1", address="a"), machine("s2", address="a"), machine("s3")
    known = registry(one, two, elsewhere, config=dataclasses.replace(CONFIG, max_sessions_per_address=2))
    known.check_room(None, "b")
    known.check_room(None)  # where nobody knows the address nobody counts
    with pytest.raises(Refusal, match="max_sessions_per_address") as caught:
        known.check_room("ann", "a")
    assert (caught.value.code, caught.value.retry_after) == (4429, RETRY_AFTER)
    bury(known, one, 0.0)
    known.check_room(None, "a")
    bury(known, two, 0.0)
    assert not known._addresses


# -- names that clients choose ---------------------------------------------------------------------------------------


def test_a_name_is_claimed_by_the_session_that_was_opened_under_it() -> None:
    one = machine("s1", "chosen", binding=None)
    known = registry(one, machine("s2", "not chosen"))
    for _ in range(2):
        assert known.opened("chosen", None, 0.0) is one
        one.used = True  # whoever names it has opened it
    with pytest.raises(Refusal, match="has opened a session already"):
        known.opened("not chosen", None, 0.0)
    assert known.opened("another", None, 0.0) is None


def test_a_name_is_free_again_when_the_tombstone_is_over() -> None:
    one = machine("s1", "chosen", binding=None)
    one.used = True
    known = registry(one, machine("s2", config=dataclasses.replace(CONFIG, resume_window=1000)))
    other = known.sessions["s2"]
    other.end(1000, "", 0.0)
    known.bury(other, 0.0)
    one.end(3000, "bye", 0.0)
    known.bury(one, 0.0)
    with pytest.raises(Refusal) as refused:
        known.opened("chosen", None, LIFETIME - 1)
    assert refused.value.code == 3000
    assert known.opened("chosen", None, LIFETIME) is None


def test_a_session_that_is_not_remembered_leaves_its_name_at_once() -> None:
    class Forgotten(NumberedMachine):
        remembered = 0.0

    for nonce in ("chosen", ""):
        one = Forgotten(CONFIG, Window(16, 65_536), Diary(), 0.0, sid="s1", nonce=nonce)
        known = registry(one)
        one.end(1000, "", 0.0)
        known.bury(one, 0.0)
        assert not known.tombstones
        assert known.opened(nonce, None, 0.0) is None


# -- who may know ----------------------------------------------------------------------------------------------------


def test_a_request_with_a_proof_is_told_of_sessions_with_a_key_and_of_their_end_if_it_fits() -> None:
    one, keyless = machine("s1"), machine("s2")
    one.key = Key("secret")
    known = registry(one, keyless)
    right, wrong = Proof(Key("secret")), Proof(Key("guessed"))
    assert known.find("s1", 0.0, right) is one
    with pytest.raises(Refusal) as caught:
        known.find("s2", 0.0, right)
    assert caught.value.code == 4404
    bury(known, one, 1.0)
    bury(known, keyless, 1.0)
    codes = []
    for sid, proof in (("s1", right), ("s1", wrong), ("s2", right), ("s2", None)):
        with pytest.raises(Refusal) as caught:
            known.find(sid, 2.0, proof)
        codes.append(caught.value.code)
    assert codes == [1000, 4403, 4404, 1000]
