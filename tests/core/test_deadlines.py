"""One heap of deadlines for all sessions."""

from __future__ import annotations

import random

import pytest

from realtime.core.deadlines import FOREVER, RETRY, STALE, Deadlines


class Sleeper:
    """Wants to be expired at `due`, and then as `plan` says."""

    def __init__(self, due: float, *plan: float) -> None:
        self.wake_at = FOREVER
        self.due = due
        self.plan = list(plan)
        self.expired: list[float] = []

    def deadline(self) -> float:
        """When it wants to be looked at."""
        return self.due

    def expire(self, now: float) -> None:
        """Is looked at."""
        self.expired.append(now)
        self.due = self.plan.pop(0) if self.plan else FOREVER


def test_nothing_is_due_where_nobody_sleeps() -> None:
    deadlines = Deadlines()
    assert deadlines.next() == FOREVER
    deadlines.run(1e9)
    assert len(deadlines) == 0


def test_the_earliest_of_all_is_next() -> None:
    deadlines = Deadlines()
    a, b = Sleeper(5.0), Sleeper(3.0)
    assert deadlines.schedule(a, 5.0)
    assert deadlines.schedule(b, 3.0)
    assert not deadlines.schedule(Sleeper(9.0), 9.0)
    assert deadlines.next() == 3.0
    deadlines.run(4.0)
    assert (a.expired, b.expired) == ([], [4.0])
    assert deadlines.next() == 5.0


def test_what_is_due_exactly_now_is_run() -> None:
    deadlines = Deadlines()
    a, b = Sleeper(3.0), Sleeper(3.0)
    deadlines.schedule(a, 3.0)
    deadlines.schedule(b, 3.0)
    deadlines.run(3.0)
    assert a.expired == b.expired == [3.0]


def test_an_earlier_wish_replaces_a_later_one_and_not_the_other_way_round() -> None:
    deadlines = Deadlines()
    sleeper = Sleeper(5.0)
    deadlines.schedule(sleeper, 5.0)
    assert not deadlines.schedule(sleeper, 7.0)
    assert not deadlines.schedule(sleeper, 5.0)
    assert deadlines.schedule(sleeper, 2.0)
    deadlines.run(3.0)
    deadlines.run(10.0)  # the entry of 5.0 is stale
    assert sleeper.expired == [3.0]
    assert len(deadlines) == 0


def test_who_wants_to_be_woken_again_is_scheduled_anew() -> None:
    deadlines = Deadlines()
    sleeper = Sleeper(1.0, 4.0)
    deadlines.schedule(sleeper, 1.0)
    deadlines.run(1.0)
    assert (sleeper.wake_at, deadlines.next()) == (4.0, 4.0)
    deadlines.run(4.0)
    assert (sleeper.wake_at, deadlines.next()) == (FOREVER, FOREVER)
    assert sleeper.expired == [1.0, 4.0]


def test_who_cannot_do_what_is_due_is_looked_at_again_after_a_while() -> None:
    deadlines = Deadlines()
    sleeper = Sleeper(1.0, 0.5, 1.0)
    deadlines.schedule(sleeper, 1.0)
    deadlines.run(1.0)
    assert sleeper.expired == [1.0]
    assert deadlines.next() == 1.0 + RETRY


def test_who_asks_for_the_past_while_it_is_expired_does_not_hold_the_sweep() -> None:
    deadlines = Deadlines()

    class Impatient(Sleeper):
        def expire(self, now: float) -> None:
            super().expire(now)
            deadlines.schedule(self, now - 1)

    sleeper = Impatient(1.0, 9.0)
    deadlines.schedule(sleeper, 1.0)
    deadlines.run(2.0)
    assert sleeper.expired == [2.0]
    assert deadlines.next() == 9.0


def test_who_raises_is_looked_at_again_and_holds_nobody_up() -> None:
    class Broken(Sleeper):
        def expire(self, now: float) -> None:
            if not self.expired:
                self.expired.append(now)
                raise ZeroDivisionError
            super().expire(now)

    deadlines = Deadlines()
    broken, other = Broken(1.0), Sleeper(1.0)
    deadlines.schedule(broken, 1.0)
    deadlines.schedule(other, 1.0)
    with pytest.raises(ZeroDivisionError):
        deadlines.run(1.0)
    assert deadlines.next() == 1.0
    deadlines.run(1.0)
    assert other.expired == [1.0]
    deadlines.run(1.0 + RETRY)
    assert broken.expired == [1.0, 1.0 + RETRY]


def test_who_is_forgotten_is_neither_looked_at_nor_kept() -> None:
    deadlines = Deadlines()
    kept = [Sleeper(50.0) for _ in range(10)]
    for sleeper in kept:
        deadlines.schedule(sleeper, 50.0)
    forgotten = [Sleeper(FOREVER) for _ in range(10_000)]
    for sleeper in forgotten:
        deadlines.schedule(sleeper, 40.0)
        deadlines.forget(sleeper)
        assert not deadlines.schedule(sleeper, 1.0)
        assert len(deadlines) <= STALE + 1
    deadlines.run(60.0)
    assert not any(sleeper.expired for sleeper in forgotten)
    assert all(sleeper.expired == [60.0] for sleeper in kept)


def test_wishes_of_the_few_do_not_pile_up() -> None:
    deadlines = Deadlines()
    sleepers = [Sleeper(120.0, *[120.0] * 1000) for _ in range(3)]
    for turn in range(1000):
        for sleeper in sleepers:
            deadlines.schedule(sleeper, -FOREVER)  # an ack is due at once
        deadlines.run(turn / 20)
        assert len(deadlines) <= STALE + 1
        assert deadlines.next() == 120.0
    assert all(len(sleeper.expired) == 1000 for sleeper in sleepers)


def test_so_many_at_most_are_looked_at_and_the_others_are_still_due() -> None:
    deadlines = Deadlines()
    sleepers = [Sleeper(1.0 + number) for number in range(5)]
    for sleeper in sleepers:
        deadlines.schedule(sleeper, sleeper.due)
    deadlines.forget(sleepers[0])  # nobody looks at it, so that it does not count
    deadlines.run(4.0, 2)
    assert [sleeper.expired for sleeper in sleepers] == [[], [4.0], [4.0], [], []]
    assert deadlines.next() == 4.0
    deadlines.run(4.0, 2)
    assert [sleeper.expired for sleeper in sleepers] == [[], [4.0], [4.0], [4.0], []]
    assert deadlines.next() == 5.0


def test_those_of_a_grain_are_looked_at_together_when_the_last_of_them_has_come() -> None:
    deadlines = Deadlines(0.25)
    late, soon, next_one = Sleeper(1.2), Sleeper(1.1), Sleeper(1.3)
    assert deadlines.schedule(late, 1.2)
    assert deadlines.schedule(soon, 1.1)
    assert not deadlines.schedule(next_one, 1.3)
    assert deadlines.next() == 1.2
    deadlines.run(1.15)
    assert not late.expired
    assert not soon.expired
    deadlines.run(1.2)
    assert (late.expired, soon.expired, next_one.expired) == ([1.2], [1.2], [])
    assert deadlines.next() == 1.3


def test_what_is_left_of_a_grain_is_still_due_and_none_is_looked_at_twice() -> None:
    deadlines = Deadlines(10.0)
    sleepers = [Sleeper(1.0 + number) for number in range(6)]
    for sleeper in sleepers:
        deadlines.schedule(sleeper, sleeper.due)
    deadlines.schedule(sleepers[5], 2.0)  # twice in one grain
    deadlines.run(7.0, 2)
    assert deadlines.next() == 6.0
    deadlines.forget(sleepers[2])
    deadlines.schedule(sleepers[3], -FOREVER)  # at once: whoever was first comes first all the same
    deadlines.run(7.0, 9)
    assert [len(sleeper.expired) for sleeper in sleepers] == [1, 1, 0, 1, 1, 1]
    assert (deadlines.next(), len(deadlines)) == (FOREVER, 0)


@pytest.mark.parametrize("grain", [0.0, 0.05, 0.7])
def test_whatever_is_wished_for_nobody_is_looked_at_early_or_missed(grain: float) -> None:
    """Against a list of wishes, in random turns; and no more entries are kept than twice what is alive."""
    chance, deadlines, now = random.Random(5), Deadlines(grain), 0.0
    sleepers = [Sleeper(FOREVER) for _ in range(20)]
    wishes: dict[Sleeper, float] = {}
    for _ in range(3000):
        sleeper = chance.choice(sleepers)
        when = chance.choice((now + chance.random() * 3, now + 0.05 * chance.randrange(40), -FOREVER))
        sleeper.due = FOREVER
        deadlines.schedule(sleeper, when)
        wishes[sleeper] = min(when, wishes.get(sleeper, FOREVER))
        now += chance.random() / 5
        before = {sleeper: len(sleeper.expired) for sleeper in sleepers}
        deadlines.run(now)
        looked = {sleeper for sleeper in sleepers if len(sleeper.expired) > before[sleeper]}
        assert all(wishes.pop(sleeper) <= now for sleeper in looked)
        assert all(when > now - grain for when in wishes.values())
        assert len(deadlines) <= STALE + 2
    assert deadlines.next() < FOREVER
