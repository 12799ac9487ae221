"""What `hookline flows show` says of a trigger that does something by itself."""

from typing import Any

import pytest

from hookline.cli.deploy.flows import source_status

AT, NEXT = "2026-01-31T08:00:00.000000Z", "2026-01-31T08:00:02.000000Z"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"listening": True}, "listening"),
        ({"listening": True, "last_at": AT}, f"listening; last at {AT}"),
        ({"listening": False}, "connecting"),
        (
            {"listening": False, "error": "amqp.auth: no", "failures": 2, "next_at": NEXT},
            f"failed 2 times in a row: amqp.auth: no; next try at {NEXT}",
        ),
        ({"next_at": NEXT, "last_at": AT}, f"next at {NEXT}; last at {AT}"),
        ({}, "nothing is scheduled"),
        ({"subscribed": True, "last_at": AT}, f"subscribed; last at {AT}"),
        ({"subscribed": True, "last_at": AT, "next_at": NEXT}, f"subscribed; renews at {NEXT}; last at {AT}"),
        ({"subscribed": False}, "not subscribed yet"),
        ({"subscribed": False, "error": "http.401: no", "failures": 1}, "failed: http.401: no"),
    ],
)
def test_it_is_said_how_it_is_doing(given: dict[str, Any], said: str) -> None:
    source = {"last_at": None, "next_at": None, "error": None, "failures": 0, "listening": None, "subscribed": None}
    assert source_status({**source, **given}) == said
