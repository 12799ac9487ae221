"""Logging: its two formats, its levels, and that secrets never appear."""

import io
import json
import logging
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import structlog

from hookline.kernel import logs
from hookline.secrets.masking import mask_log_fields


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def written(format: str, level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    logs.set_up(level, format, mask_log_fields, stream)  # type: ignore[arg-type] - parametrised
    return stream


@pytest.mark.parametrize(("format", "shown"), [("json", '{"net": "1.10", "all": ["0.30"]}'), ("console", "1.10")])
def test_an_exact_number_is_shown_with_its_digits(format: str, shown: str) -> None:
    stream = written(format)
    structlog.get_logger("hookline").info("booked", order={"net": Decimal("1.10"), "all": [Decimal("0.30")]})
    assert shown in stream.getvalue()
    assert "Decimal" not in stream.getvalue()


def test_json_is_one_object_a_line_with_the_bound_ids() -> None:
    stream = written("json")
    structlog.get_logger("hookline").bind(execution_id="e1", step="lines[3]/post").info("attempt failed", attempt=2)
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert event["timestamp"].endswith("Z")
    assert {key: event[key] for key in event if key != "timestamp"} == {
        "event": "attempt failed",
        "level": "info",
        "execution_id": "e1",
        "step": "lines[3]/post",
        "attempt": 2,
    }


def test_an_exception_is_in_its_own_event() -> None:
    stream = written("json")
    try:
        raise ValueError("no")
    except ValueError:
        structlog.get_logger("hookline").exception("failed")
    assert json.loads(stream.getvalue())["exception"][0]["exc_type"] == "ValueError"


@pytest.mark.rule(33)
@pytest.mark.parametrize("format", ["json", "console"])
def test_a_traceback_shows_no_values_of_variables(format: str) -> None:
    stream = written(format)
    try:
        password = "".join(["hun", "ter2"])
        raise ValueError(len(password))
    except ValueError:
        structlog.get_logger("hookline").exception("failed")
    assert "ValueError" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


def test_console_shows_event_and_fields() -> None:
    stream = written("console")
    structlog.get_logger("hookline").warning("slow", step="post")
    assert "slow" in stream.getvalue()
    assert "step=post" in stream.getvalue()


def test_events_below_the_level_are_left_out() -> None:
    stream = written("json", "warning")
    structlog.get_logger("hookline").info("quiet")
    logging.getLogger("library").info("quiet")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("format", ["json", "console"])
def test_libraries_log_the_same_way(format: str) -> None:
    stream = written(format)
    logging.getLogger("library").warning("connection to %s lost", "postgresql://app:hunter2@db/x")
    assert "connection to postgresql://app:***@db/x lost" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


@pytest.mark.rule(33)
@pytest.mark.parametrize("format", ["json", "console"])
def test_secrets_are_masked_wherever_they_stand(format: str) -> None:
    stream = written(format)
    structlog.get_logger("hookline").info(
        "request",
        headers={"Authorization": "Bearer hunter2", "accept": "*/*"},
        client_secret="hunter2",
        urls=["https://user:hunter2@host/path", "https://host/a:b"],
        api_key=b"hunter2",
    )
    assert "hunter2" not in stream.getvalue()
    assert "https://host/a:b" in stream.getvalue()
    assert "*/*" in stream.getvalue()


#: What a sender could put into a text to forge a line, or to command a terminal.
HOSTILE = "a\nb\rc\x1b[2Kd\x9b2Ke\x85f\u2028g\u2029h\x7fi\u202ej\x00k\u2066l\ud800m"


class Sneaky:
    def __repr__(self) -> str:
        return HOSTILE


def is_one_plain_line(written: str) -> bool:
    line = written.removesuffix("\n")
    return len(line.splitlines()) == 1 and all(letter.isprintable() for letter in line)


@pytest.mark.parametrize("format", ["json", "console"])
@pytest.mark.parametrize(
    "fields",
    [
        {"event": HOSTILE},
        {"event": "x", "path": HOSTILE},
        {"event": "x", "body": {HOSTILE: [HOSTILE]}},
        {"event": "x", HOSTILE: 1},
        {"event": "x", "logger": HOSTILE},
        {"event": "x", "error": ValueError(HOSTILE)},
        {"event": "x", "sneaky": Sneaky()},
    ],
    ids=["event", "field", "nested", "name", "logger", "error", "object"],
)
def test_a_text_from_outside_stays_one_line_without_control_characters(format: str, fields: dict[str, Any]) -> None:
    stream = written(format)
    structlog.get_logger("hookline").info(**fields)
    assert is_one_plain_line(stream.getvalue()), stream.getvalue()


@pytest.mark.parametrize("format", ["json", "console"])
def test_a_library_cannot_forge_a_line_either(format: str) -> None:
    stream = written(format)
    logging.getLogger("library" + HOSTILE).warning("no such host: %s", HOSTILE)
    assert is_one_plain_line(stream.getvalue()), stream.getvalue()


@pytest.mark.parametrize("library", [False, True])
def test_the_lines_of_a_traceback_cannot_be_taken_for_others(library: bool) -> None:
    stream = written("console")
    try:
        raise ValueError(f"{HOSTILE}\n2026-01-31T08:00:00Z [error    ] forged")
    except ValueError:
        (logging.getLogger("library") if library else structlog.get_logger("hookline")).exception("failed")
    first, *trace = stream.getvalue().splitlines()
    assert "failed" in first
    assert any("forged" in line for line in trace)
    assert all(line.startswith("    ") and line.isprintable() for line in trace), trace


def test_json_keeps_every_character() -> None:
    stream = written("json")
    structlog.get_logger("hookline").info("x", path=HOSTILE + "é😀")
    assert json.loads(stream.getvalue())["path"] == HOSTILE + "é😀"


def test_escaping_keeps_what_can_be_read() -> None:
    assert logs.escape_control("é😀 \\n\n\x1b\u2028") == "é😀 \\n\\n\\u001b\\u2028"
