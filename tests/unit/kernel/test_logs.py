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
    configured = structlog.get_config()
    yield
    structlog.configure(**configured)
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


@pytest.mark.parametrize("format", ["json", "console"])
def test_every_line_names_the_node(format: str) -> None:
    stream = io.StringIO()
    logs.set_up("info", format, mask_log_fields, stream, node="here-1")  # type: ignore[arg-type] - parametrised
    structlog.get_logger("hookline").info("ours")
    logging.getLogger("library").warning("theirs")
    structlog.get_logger("hookline").info("of another", node="here-2")
    assert ["here-1" in line for line in stream.getvalue().splitlines()] == [True, True, False]


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


class Unwritable:
    """A stream of which nothing is known, except that it fails."""

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


class Defective:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.rule(37)
@pytest.mark.parametrize("format", ["json", "console"])
@pytest.mark.parametrize("stream", [Unwritable(), None], ids=["unwritable", "none"])
def test_a_log_that_cannot_be_written_raises_nothing(format: str, stream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    logs.set_up("info", format, mask_log_fields, stream)  # type: ignore[arg-type] - parametrised
    assert structlog.get_logger("hookline").error("x") is None
    logging.getLogger("library").error("x")


@pytest.mark.rule(37)
@pytest.mark.parametrize("format", ["json", "console"])
def test_an_event_that_cannot_be_rendered_raises_nothing_and_is_reported(format: str) -> None:
    stream = written(format)
    structlog.get_logger("hookline").error("x", value=Defective())
    logging.getLogger("library").error("%d", "x")
    assert stream.getvalue().count("an event can't be logged") == 2


@pytest.mark.rule(37)
@pytest.mark.parametrize("format", ["json", "console"])
@pytest.mark.parametrize("library", [False, True])
def test_texts_are_cut_before_they_are_masked(format: str, library: bool) -> None:
    seen: list[int] = []

    def mask(logger: Any, method: str, event: Any) -> Any:
        seen.append(max(len(str(value)) for value in event.values()))
        return mask_log_fields(logger, method, event)

    stream = io.StringIO()
    logs.set_up("info", format, mask, stream)  # type: ignore[arg-type] - parametrised
    long = "x" * 1_000_000
    try:
        raise ValueError(long)
    except ValueError:
        if library:
            logging.getLogger("library").exception("%s", long)
        else:
            fields = {
                "text": long,
                "many": [long] * 10_000,
                "deep": {"a": [long]},
                "bytes": long.encode(),
                "n": 1 << 99999,
            }
            structlog.get_logger("hookline").exception(long, **fields)
    assert max(seen) < 100_000
    assert len(stream.getvalue()) < 150_000
    assert "ValueError" in stream.getvalue()


def test_the_level_can_be_changed() -> None:
    stream = written("json", "warning")
    log = structlog.get_logger("hookline")
    log.info("quiet")
    logs.set_level("info")
    log.info("loud")
    assert "loud" in stream.getvalue()
    assert "quiet" not in stream.getvalue()
