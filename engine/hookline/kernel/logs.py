"""Logging: one line for each event, as JSON or for people, on standard error.

The command that runs the process sets it up once. Libraries log in the same way.
"""

import contextlib
import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import islice
from typing import Any, Final, Literal, Protocol, TextIO

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor

from hookline.kernel import log_writer
from hookline.kernel.log_writer import LogWriter

#: Tracebacks without the values of variables, which may be secrets.
_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))

#: Control characters, the line ends of Unicode, and the characters that change the direction of writing: in a text
#: from outside they could forge lines of the log, or command the terminal that shows it.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SHORT: Final = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}
_TRACE_MARGIN: Final = "    "


def escape_control(text: str) -> str:
    """Escape the control characters of a text, so that it stays one line and is only shown: `\\n`, `\\u001b`."""
    return _CONTROL.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    # The long form is that of JSON too.
    return _SHORT.get(found[0]) or f"\\u{ord(found[0]):04x}"


_to_json: Final = structlog.processors.JSONRenderer(ensure_ascii=False)


def _render_json(logger: Any, method: str, event: EventDict) -> str:
    """Render an event as JSON, with those characters escaped too that JSON allows in a text."""
    return escape_control(str(_to_json(logger, method, event)))


def _escape_fields(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Escape names and values for the console: a processor of structlog."""
    return {escape_control(key): _shown(key, value) for key, value in event.items()}


def _shown(key: str, value: Any) -> Any:
    if key in ("exception", "stack"):
        return _with_margin(str(value))
    return escape_control(value if isinstance(value, str) else repr(value))


def _with_margin(trace: str) -> str:
    """A traceback whose lines can't be taken for lines of the log: an error's message may have any lines."""
    return "\n".join(_TRACE_MARGIN + escape_control(line) for line in trace.split("\n"))


LONGEST_TEXT: Final = 8192
"""Characters of a text in the log; the rest is cut off before anything else is done with the text."""
MOST_VALUES: Final = 1000
"""Values of one event, at any depth."""
_MOST_LETTERS: Final = 8 * LONGEST_TEXT
_MOST_BITS: Final = 4096
_LEFT_OUT: Final = "…"
_OWN_ROOM: Final = frozenset({"event", "level", "logger", "timestamp", "exception", "stack"})


class _Shortener:
    """Copies the fields of one event, within bounds."""

    def __init__(self) -> None:
        self._values = MOST_VALUES
        self._letters = _MOST_LETTERS

    def value(self, value: Any) -> Any:
        self._values -= 1
        if self._values < 0 or self._letters <= 0:
            return _LEFT_OUT
        match value:
            case None | bool() | float() | Decimal():
                return value
            case int():
                return value if value.bit_length() <= _MOST_BITS else f"a number of {value.bit_length()} bits"
            case str():
                return self.text(value)
            case bytes():
                return self.text(repr(value[:LONGEST_TEXT]))
            case Mapping():
                return {self.text(str(key)): self.value(item) for key, item in self._some(value.items())}
            case list() | tuple() | set() | frozenset():
                return [self.value(item) for item in self._some(value)]
        return self.text(repr(value))

    def text(self, text: str) -> str:
        shown = text if len(text) <= LONGEST_TEXT else _cut(text)
        self._letters -= len(shown)
        return shown

    def _some(self, items: Iterable[Any]) -> Iterator[Any]:
        return islice(items, max(0, self._values) + 1)


def _cut(text: str) -> str:
    return f"{text[:LONGEST_TEXT]}{_LEFT_OUT} ({len(text) - LONGEST_TEXT} more)"


def shorten_fields(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Shorten the texts, lists and objects of an event: a processor of structlog."""
    # Long fields must not take the room of what every event has.
    shared = _Shortener()
    return {
        key: _shorter(_Shortener() if key in _OWN_ROOM else shared, key, value)
        for key, value in islice(event.items(), MOST_VALUES)
    }


def _shorter(shortener: _Shortener, key: str, value: Any) -> Any:
    if key in ("exception", "stack") and isinstance(value, str):
        # The error itself stands at the end.
        half = LONGEST_TEXT // 2
        return value if len(value) <= LONGEST_TEXT else f"{value[:half]}\n{_LEFT_OUT}\n{value[-half:]}"
    return value if key.startswith("_") else shortener.value(value)


def set_up(
    level: str,
    format: Literal["json", "console"],
    mask: Processor,
    stream: TextIO | None = None,
    node: str | None = None,
) -> None:
    """Send everything that is logged at `level` and above to standard error, or to a stream.

    A line for standard error is written by another thread. Whatever happens to it, the caller goes on.

    `mask`: the processor that masks secrets in an event's fields (`hookline.secrets.masking.mask_log_fields`). `node`:
    the name that every line has as `node`.
    """
    target = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if node is not None:
        shared.append(_named(node))
    ending: list[Processor] = (
        [_TRACEBACKS, shorten_fields, mask, _render_json]
        if format == "json"
        else [
            structlog.processors.format_exc_info,
            shorten_fields,
            mask,
            _escape_fields,
            structlog.dev.ConsoleRenderer(
                colors=target is not None and target.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    )

    def plain(name: str, text: str) -> str:
        event: Any = {"event": text}
        for processor in (*shared, *ending):
            event = processor(None, name, event)
        return f"{event}"

    put = _sink(target, lambda lines: plain("warning", f"{lines} lines of the log were dropped").encode() + b"\n")
    structlog.configure(
        processors=[*shared, *ending],
        logger_factory=lambda *_: _Lines(put, plain),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Handler(put, plain, shared, ending)]
    set_level(level)


def _named(node: str) -> Processor:
    """Add the name of the node to an event."""

    def add(_logger: Any, _method: str, event: EventDict) -> EventDict:
        event.setdefault("node", node)
        return event

    return add


def set_level(level: str) -> None:
    """Log events of this level and above from now on."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(wrapper_class=_guarded(structlog.make_filtering_bound_logger(number)))
    # Libraries report every connection at `info`.
    logging.getLogger().setLevel(max(number, logging.WARNING) if number > logging.DEBUG else number)


_writer: LogWriter | None = None
"""The writer of this process's standard error."""


def dropped_lines() -> int:
    """The number of lines that this process couldn't log."""
    return 0 if _writer is None else _writer.dropped


def take_over_output() -> None:
    """Write the standard output and error of this process in other threads too.

    To be called after `set_up`, by commands that run for long.
    """
    log_writer.take_over_output(_writer)


_Put = Callable[[str], None]
_Plain = Callable[[str, str], str]
"""Render an event of a level that has only a text."""


def _sink(stream: TextIO | None, dropped: Callable[[int], bytes]) -> _Put:
    global _writer
    number = log_writer.descriptor_of(stream)
    if stream is None:
        # Standard error was closed before the process began.
        return lambda _: None
    if number is None or stream is not sys.stderr:
        return lambda line: print(line, file=stream, flush=True)
    writer = _writer = log_writer.at_exit(LogWriter(number, dropped))
    return lambda line: writer.put(line.encode("utf-8", "backslashreplace") + b"\n")


def _emergency(put: _Put, plain: _Plain, error: Exception) -> None:
    """Log that an event can't be logged, if possible."""
    with contextlib.suppress(Exception):
        put(plain("error", f"an event can't be logged: {type(error).__name__}"))


class _Lines:
    """The logger under those of structlog: passes rendered lines on."""

    def __init__(self, put: _Put, plain: _Plain) -> None:
        self.plain = plain
        self.put = put

    def msg(self, line: str) -> None:
        self.put(line)

    debug = info = warning = error = critical = msg


def _guarded(filtering: type[Any]) -> type[Any]:
    class Guarded(filtering):  # type: ignore[misc]  # a class that structlog makes
        """Never raises: the work that logs something is more important than its log."""

        def _proxy_to_logger(self, method_name: str, event: str | None = None, **fields: Any) -> Any:
            try:
                return super()._proxy_to_logger(method_name, event, **fields)
            except Exception as error:  # noqa: BLE001 - as said above
                if isinstance(self._logger, _Lines):
                    _emergency(self._logger.put, self._logger.plain, error)
                return None

    return Guarded


class _Handler(logging.Handler):
    """Logs what libraries log."""

    def __init__(self, put: _Put, plain: _Plain, shared: list[Processor], ending: list[Processor]) -> None:
        super().__init__()
        self._put = put
        self._plain = plain
        self.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
                processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
            )
        )

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._put(self.format(record))
        except Exception as error:  # noqa: BLE001 - a library isn't stopped by its log
            _emergency(self._put, self._plain, error)


class Log(Protocol):
    """A structured logger, bound to an execution and a step, or to a flow."""

    def debug(self, event: str, **fields: Any) -> Any: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...
