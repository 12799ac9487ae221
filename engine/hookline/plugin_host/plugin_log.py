"""The loggers that plugins are given (`ctx.log`): each line says which step, or which trigger, it is of."""

import traceback
from typing import Any

from hookline.kernel.json import is_plain_json
from hookline.kernel.logs import Log
from hookline.secrets.masking import Hidden
from hookline.secrets.redaction import Redactor


class StepLog:
    """Adds its fields only when something is logged: most steps log nothing, and binding costs more than the rest."""

    __slots__ = ("_execution_id", "_flow_id", "_hidden", "_log", "_step")

    def __init__(
        self,
        log: Log,
        execution_id: str,
        flow_id: str,
        step: str,
        redactor: Redactor | None = None,
        secrets: Hidden | None = None,
    ) -> None:
        """`redactor` and `secrets` know what no line may show."""
        self._log = log
        self._execution_id = execution_id
        self._flow_id = flow_id
        self._step = step
        redacted = None if redactor is None else redactor.hidden
        self._hidden = [hidden for hidden in (secrets, redacted) if hidden is not None]

    def debug(self, event: str, **fields: Any) -> None:
        """Log for those who look for a problem."""
        self._log.debug(self._shown(event), **self._with(fields))

    def info(self, event: str, **fields: Any) -> None:
        """Log what happened."""
        self._log.info(self._shown(event), **self._with(fields))

    def warning(self, event: str, **fields: Any) -> None:
        """Log what somebody should look at."""
        self._log.warning(self._shown(event), **self._with(fields))

    def error(self, event: str, **fields: Any) -> None:
        """Log what went wrong."""
        self._log.error(self._shown(event), **self._with(fields))

    def _shown(self, text: str) -> str:
        for hidden in self._hidden:
            text = hidden.excerpt(text)
        return text

    def _with(self, fields: dict[str, Any]) -> dict[str, Any]:
        if self._hidden:
            if fields.pop("exc_info", None):
                # Whatever makes a text of it later knows nothing of what is redacted.
                fields["exception"] = self._shown(traceback.format_exc())
            fields = {name: self._masked(_plain(value)) for name, value in fields.items()}
        # The author's fields can't pass for another execution's.
        return {**fields, "execution_id": self._execution_id, "flow_id": self._flow_id, "step": self._step}

    def _masked(self, value: Any) -> Any:
        for hidden in self._hidden:
            value = hidden.value(value)
        return value


def _plain(value: Any) -> Any:
    """A value as a log shows it, in which texts can be looked for."""
    return value if is_plain_json(value, decimals=True) else str(value)


class TriggerLog(StepLog):
    """The same for a trigger that looks, for which there is no execution yet."""

    __slots__ = ()

    def __init__(self, log: Log, flow_id: str, trigger: str, secrets: Hidden | None = None) -> None:
        super().__init__(log, "", flow_id, trigger, secrets=secrets)

    def _with(self, fields: dict[str, Any]) -> dict[str, Any]:
        fields = super()._with(fields)
        del fields["execution_id"], fields["step"]
        return {**fields, "flow_id": self._flow_id, "trigger": self._step}
