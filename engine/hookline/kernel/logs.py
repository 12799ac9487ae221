"""Logging: one line for each event, as JSON or for people, on standard error.

The command that runs the process sets it up once. Libraries log in the same way.
"""

import logging
import sys
from typing import Any, Final, Literal, Protocol, TextIO

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import Processor

#: Tracebacks without the values of variables, which may be secrets.
_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))


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
        [_TRACEBACKS, mask, structlog.processors.JSONRenderer(ensure_ascii=False)]
        if format == "json"
        else [
            mask,
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
    # Libraries report every connection at `info`.
    root.setLevel(max(number, logging.WARNING) if number > logging.DEBUG else number)


class Log(Protocol):
    """A structured logger, bound to an execution and a step, or to a flow."""

    def debug(self, event: str, **fields: Any) -> Any: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...
