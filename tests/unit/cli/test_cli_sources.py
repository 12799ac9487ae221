"""What `hookline flows show` says of a trigger that does something by itself."""

from typing import Any

import pytest

from hookline.cli.operate.flows import _source

AT, NEXT = "2026-01-31T08:00:00.000000Z", "2026-01-31T08:00:02.000000Z"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"listening": True}, "listens"),
        ({"listening": True, "last_at": AT}, f"listens; the last time was {AT}"),
        ({"listening": False}, "connects"),
        (
            {"listening": False, "error": "amqp.auth: no", "failures": 2, "next_at": NEXT},
            f"failed 2 times in a row: amqp.auth: no; again at {NEXT}",
        ),
        ({"next_at": NEXT, "last_at": AT}, f"next at {NEXT}; the last time was {AT}"),
        ({}, "never again"),
    ],
)
def test_it_is_said_how_it_is_doing(given: dict[str, Any], said: str) -> None:
    source = {"last_at": None, "next_at": None, "error": None, "failures": 0, "listening": None, **given}
    assert _source(source) == said
