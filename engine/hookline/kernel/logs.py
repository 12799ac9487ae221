"""Logging: one line for each event, as JSON or for people, on standard error.

The command that runs the process sets it up once. Libraries log in the same way.
"""

import io
import logging
import re
import sys
from typing import Any, Final, Literal, Protocol, TextIO

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, ExcInfo, Processor

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
    match key:
        case "exc_info":
            return value
        case "exception" | "stack":
            return _with_margin(str(value))
    return escape_control(value if isinstance(value, str) else repr(value))


def _with_margin(trace: str) -> str:
    """A traceback whose lines can't be taken for lines of the log: an error's message may have any lines."""
    return "\n".join(_TRACE_MARGIN + escape_control(line) for line in trace.split("\n"))


def _plain_traceback(stream: TextIO, exc_info: ExcInfo) -> None:
    written = io.StringIO()
    structlog.dev.plain_traceback(written, exc_info)
    stream.write("\n" + _with_margin(written.getvalue().strip("\n")))


def set_up(level: str, format: Literal["json", "console"], mask: Processor, stream: TextIO | None = None) -> None:
    """Send everything that is logged at `level` and above to a stream, standard error by default.

    `mask`: the processor that masks secrets in an event's fields (`hookline.secrets.masking.mask_log_fields`).
    """
    target = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    ending: list[Processor] = (
        [_TRACEBACKS, mask, _render_json]
        if format == "json"
        else [
            mask,
            _escape_fields,
            structlog.dev.ConsoleRenderer(colors=target.isatty(), exception_formatter=_plain_traceback),
        ]
    )
    structlog.configure(
        processors=[*shared, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Libraries report every connection at `info`.
    root.setLevel(max(number, logging.WARNING) if number > logging.DEBUG else number)


class Log(Protocol):
    """A structured logger, bound to an execution and a step, or to a flow."""

    def debug(self, event: str, **fields: Any) -> Any: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...
