"""The special results of actions reject what the engine could only fail at after the action has acted."""

from datetime import UTC, datetime
from typing import Any

import pytest

from hookline.sdk.action import Increment, Sleep


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"seconds": "5"},
        {"seconds": float("nan")},
        {"until": datetime(2026, 1, 1)},
        {"until": "2026-01-01T00:00:00Z"},
        {"seconds": 5, "until": datetime(2026, 1, 1, tzinfo=UTC)},
    ],
)
def test_a_sleep_has_either_a_number_or_a_time_with_a_zone(given: Any) -> None:
    with pytest.raises(TypeError, match="a Sleep has either `seconds`, a number, or `until`, a time with a time zone"):
        Sleep(**given)


@pytest.mark.parametrize(("key", "by"), [(5, 1), ("n", "1"), ("n", None)])
def test_an_increment_has_a_text_and_a_number(key: Any, by: Any) -> None:
    with pytest.raises(TypeError, match="an Increment has a text and a number"):
        Increment(key, by)
