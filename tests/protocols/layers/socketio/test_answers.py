"""What an ack says: answers, none, or an error."""

from __future__ import annotations

import pytest

from realtime.core.errors import EventError
from realtime.protocols.layers.socketio.answers import FAILED, answered, answers, error


@pytest.mark.parametrize(
    ("returned", "told", "given"),
    [
        (None, [], None),
        ((None,), [None], None),
        ("a", ["a"], "a"),
        ([1, 2], [[1, 2]], [1, 2]),
        ((1, 2), [1, 2], [1, 2]),
        ((), [], None),
        ({"error": 1}, [{"error": 1}], {"error": 1}),
        ({"_error": 1}, [{"_error": 1}], {"_error": 1}),
    ],
)
def test_answers(returned: object, told: list[object], given: object) -> None:
    assert answers(returned) == told
    assert answered(told) == given


def test_errors() -> None:
    assert error(FAILED, "no") == [{"_error": "failed", "message": "no"}]
    with pytest.raises(EventError) as caught:
        answered(error("full", "the room is full", {"most": 3}))
    assert (caught.value.code, caught.value.message, caught.value.data) == ("full", "the room is full", {"most": 3})
    with pytest.raises(EventError) as caught:
        answered([{"_error": "x"}])
    assert (caught.value.code, caught.value.message, caught.value.data) == ("x", "", None)
