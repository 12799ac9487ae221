"""The vars of an execution: those of its flow's document, unless the server's settings replaced some."""

from typing import Any, Final

from hookline.flows.compiler.compiled import CompiledFlow
from hookline.kernel.json import encode, exactly, reader
from hookline.model.execution import Execution

_VARS: Final = {exact: reader(dict[str, Any], exact=exact) for exact in (False, True)}


def own_vars(flow: CompiledFlow) -> bytes | None:
    """JSON of the vars with which an execution starts on a version; None where they are the document's."""
    return None if flow.vars == _declared(flow) else encode(flow.vars)


def vars_of(flow: CompiledFlow, execution: Execution | None) -> dict[str, Any]:
    """The vars with which an execution was bound to its version, whatever the server's settings say by now."""
    if execution is None or execution.flow_version is None:
        return dict(flow.vars)
    if execution.vars is None:
        return _declared(flow)
    vars: dict[str, Any] = _VARS[flow.exact].decode(execution.vars)
    return vars


def _declared(flow: CompiledFlow) -> dict[str, Any]:
    declared: dict[str, Any] = exactly(flow.document.vars) if flow.exact else flow.document.vars
    return declared
