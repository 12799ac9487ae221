"""What is read of the headers by which services say how many requests are left."""

from datetime import UTC, datetime

import pytest

from hookline.api import RateLimits

NOW = datetime(2026, 1, 31, 8, 0, 0, tzinfo=UTC)
EPOCH = int(NOW.timestamp())


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "Sat, 31 Jan 2026 08:01:30 GMT"}, 90.0),
        ({"retry-after": "7", "x-ratelimit-reset": "90"}, 7.0),
        ({"x-ratelimit-reset": "90"}, 90.0),
        ({"x-ratelimit-reset": str(EPOCH + 30)}, 30.0),
        ({"x-ratelimit-reset": str((EPOCH + 30) * 1000)}, 30.0),
        ({"x-ratelimit-reset": str(EPOCH - 30)}, 0.0),
        ({"ratelimit-reset": "2026-01-31T08:00:45Z"}, 45.0),
        ({"ratelimit-reset": "2026-01-31T08:00:45"}, 45.0),
        ({"x-rate-limit-reset": str(EPOCH + 999_999)}, 86400.0),
        ({"x-ratelimit-reset": "90", "x-ratelimit-remaining": "0"}, 90.0),
        ({"x-ratelimit-reset": "90", "x-ratelimit-remaining": "12"}, None),
        ({"x-ratelimit-reset": "soon", "x-rate-limit-reset": "3"}, 3.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "9" * 400}, None),
        ({}, None),
    ],
)
def test_the_wait_is_read_in_seconds_times_and_dates(headers: dict[str, str], seconds: float | None) -> None:
    assert RateLimits().wait(headers, NOW) == seconds


def test_a_response_tells_the_time_itself_where_nobody_does() -> None:
    headers = {"date": "Sat, 31 Jan 2026 08:00:00 GMT", "x-ratelimit-reset": str(EPOCH + 30)}
    assert RateLimits().wait(headers) == 30.0
    assert RateLimits().wait({"x-ratelimit-reset": str(EPOCH + 30)}) is None


@pytest.mark.parametrize(
    ("status", "headers", "limited"),
    [
        (429, {}, True),
        (403, {"x-ratelimit-remaining": "0"}, True),
        (403, {"retry-after": "60"}, True),
        (403, {"x-ratelimit-remaining": "5"}, False),
        (403, {}, False),
        (404, {"x-ratelimit-remaining": "0"}, False),
    ],
)
def test_a_status_means_it_where_the_headers_say_so(status: int, headers: dict[str, str], limited: bool) -> None:
    error = RateLimits(statuses=(403, 429)).error(status, headers, "no", NOW)
    assert (error is not None) is limited
    if error is not None:
        assert (error.error_code, error.retryable) == (f"http.{status}", True)


def test_a_service_has_headers_of_its_own() -> None:
    limits = RateLimits(statuses=(400,), remaining=("x-quota",), reset=("x-quota-at",))
    error = limits.error(400, {"x-quota": "0", "x-quota-at": str(EPOCH + 12)}, "no more", NOW)
    assert error is not None
    assert (error.message, error.retry_after) == ("no more", 12.0)
