"""Logging: one line for each event, as JSON or for people, on standard error; secrets are masked.

Set up once for the process, by the command that runs it. The libraries' own logging goes the same way.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from decimal import Decimal
from typing import Any, Final, Literal, Protocol, TextIO

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import Processor

MASK: Final = "[masked]"

#: A field whose name holds one of these words is a secret, whatever its value is.
_SECRET: Final = re.compile(r"authorization|cookie|password|passwd|secret|token|api[-_]?key|private[-_]?key|signature")
_PASSWORD_IN_URL: Final = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@]*):[^\s/@]+@", re.IGNORECASE)
#: Tracebacks without the values of variables, among which there are secrets.
_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))


def set_up(level: str, format: Literal["json", "console"], stream: TextIO | None = None) -> None:
    """Send everything that is logged at `level` and above to a stream, standard error by default."""
    target = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    ending: list[Processor] = (
        [_TRACEBACKS, masked, structlog.processors.JSONRenderer(ensure_ascii=False)]
        if format == "json"
        else [
            masked,
            structlog.dev.ConsoleRenderer(colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback),
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
    # Libraries report every connection at `info`; theirs is worth reading from `warning` on.
    root.setLevel(max(number, logging.WARNING) if number > logging.DEBUG else number)


def masked(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor of structlog: fields that are named like secrets, and passwords in URLs, are masked."""
    return {key: _masked(key, value) for key, value in event.items()}


def _masked(key: str, value: Any) -> Any:
    if value is not None and _SECRET.search(key.lower()):
        return MASK
    if isinstance(value, str):
        return _PASSWORD_IN_URL.sub(rf"\1:{MASK}@", value) if "://" in value else value
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return {inner: _masked(str(inner), item) for inner, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked("", item) for item in value]
    return value


class Log(Protocol):
    """A structured logger that knows what it logs for: the execution and the step, or the flow."""

    def debug(self, event: str, **fields: Any) -> Any: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...
