"""The loggers that plugins are given (`ctx.log`): each line says which step, or which trigger, it is of."""

from typing import Any

from hookline.connector import Log


class StepLog:
    """Adds its fields only when something is logged: most steps log nothing, and binding costs more than the rest."""

    __slots__ = ("_execution_id", "_flow_id", "_log", "_step")

    def __init__(self, log: Log, execution_id: str, flow_id: str, step: str) -> None:
        self._log = log
        self._execution_id = execution_id
        self._flow_id = flow_id
        self._step = step

    def debug(self, event: str, **fields: Any) -> None:
        """Log for those who look for a mistake."""
        self._log.debug(event, **self._with(fields))

    def info(self, event: str, **fields: Any) -> None:
        """Log what happened."""
        self._log.info(event, **self._with(fields))

    def warning(self, event: str, **fields: Any) -> None:
        """Log what somebody should look at."""
        self._log.warning(event, **self._with(fields))

    def error(self, event: str, **fields: Any) -> None:
        """Log what went wrong."""
        self._log.error(event, **self._with(fields))

    def _with(self, fields: dict[str, Any]) -> dict[str, Any]:
        # The author's fields can't pass for another execution's.
        return {**fields, "execution_id": self._execution_id, "flow_id": self._flow_id, "step": self._step}


class TriggerLog(StepLog):
    """The same for a trigger that looks, for which there is no execution yet."""

    __slots__ = ()

    def __init__(self, log: Log, flow_id: str, trigger: str) -> None:
        super().__init__(log, "", flow_id, trigger)

    def _with(self, fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "flow_id": self._flow_id, "trigger": self._step}
