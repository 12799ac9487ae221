"""Tools for tests of plugins, flows and backends."""

import structlog

if not structlog.is_configured():
    # structlog's own tracebacks show every local of every frame. A step that fails would take seconds to log.
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        ]
    )
