"""The loggers that plugins get: their lines name the step or the trigger, and are masked."""

import traceback
from itertools import islice
from typing import Any

from hookline.kernel.json import is_plain_json
from hookline.kernel.logs import LONGEST_TEXT, MOST_VALUES, Log
from hookline.secrets.masking import HiddenValues
from hookline.secrets.redaction import NO_REDACTOR, NoRedactor, Redactor


class StepLog:
    """The logger of a step (`ctx.log`). Each line has the execution, the flow and the step.

    The fields are added only when something is logged, because most steps log nothing and binding is slow.
    """

    __slots__ = ("_execution_id", "_flow_id", "_hidden", "_log", "_step")

    def __init__(
        self,
        log: Log,
        execution_id: str,
        flow_id: str,
        step: str,
        redactor: Redactor | NoRedactor = NO_REDACTOR,
        secrets: HiddenValues | None = None,
    ) -> None:
        """`redactor` and `secrets` mask values in all lines."""
        self._log = log
        self._execution_id = execution_id
        self._flow_id = flow_id
        self._step = step
        self._hidden = [redactor.hidden] if secrets is None else [secrets, redactor.hidden]

    def debug(self, event: str, **fields: Any) -> None:
        """Log a line that helps to find a problem."""
        self._log.debug(self._shown(event), **self._with(fields))

    def info(self, event: str, **fields: Any) -> None:
        """Log an event."""
        self._log.info(self._shown(event), **self._with(fields))

    def warning(self, event: str, **fields: Any) -> None:
        """Log an event that needs attention."""
        self._log.warning(self._shown(event), **self._with(fields))

    def error(self, event: str, **fields: Any) -> None:
        """Log an error."""
        self._log.error(self._shown(event), **self._with(fields))

    def _shown(self, text: str) -> str:
        whole, text = text, text[: 2 * LONGEST_TEXT]
        for hidden in self._hidden:
            text = hidden.mask_excerpts(text)
        # At the end, a part of a secret may be left that isn't recognized.
        return text if len(whole) <= 2 * LONGEST_TEXT else text[:-LONGEST_TEXT]

    def _with(self, fields: dict[str, Any]) -> dict[str, Any]:
        if any(self._hidden):
            if fields.pop("exc_info", None):
                # The text is made here, because the log's own formatter wouldn't mask it.
                fields["exception"] = self._shown(traceback.format_exc())
            fields = {name: self._masked(_plain(value)) for name, value in fields.items()}
        # These fields come last, so that a plugin can't overwrite them.
        return {**fields, "execution_id": self._execution_id, "flow_id": self._flow_id, "step": self._step}

    def _masked(self, value: Any) -> Any:
        value = self._bounded(value)
        for hidden in self._hidden:
            value = hidden.mask(value)
        return value

    def _bounded(self, value: Any) -> Any:
        """Leave out what the log doesn't show of long texts and lists, before the rest is masked."""
        match value:
            case str() if len(value) > 2 * LONGEST_TEXT:
                return self._shown(value)
            case list():
                return [self._bounded(item) for item in value[:MOST_VALUES]]
            case dict():
                return {key: self._bounded(item) for key, item in islice(value.items(), MOST_VALUES)}
        return value


def _plain(value: Any) -> Any:
    """Return a value in which secrets can be masked: JSON, or text."""
    return value if is_plain_json(value, decimals=True) else str(value)


class TriggerLog(StepLog):
    """The logger of a trigger. Each line has the flow and the trigger."""

    __slots__ = ()

    def __init__(self, log: Log, flow_id: str, trigger: str, secrets: HiddenValues | None = None) -> None:
        super().__init__(log, "", flow_id, trigger, secrets=secrets)

    def _with(self, fields: dict[str, Any]) -> dict[str, Any]:
        fields = super()._with(fields)
        del fields["execution_id"], fields["step"]
        return {**fields, "flow_id": self._flow_id, "trigger": self._step}
