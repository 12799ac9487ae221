"""`HOOKLINE_VARS_<FLOW>__<NAME>`: vars that are set where the server runs."""

import json
from collections.abc import Mapping
from typing import Any, Final

from hookline.flows.documents.merge_flows_positions import escape
from hookline.kernel.errors import Problem
from hookline.kernel.json import fraction
from hookline.kernel.suggest import did_you_mean

PREFIX: Final = "HOOKLINE_VARS_"


def override(
    flow_id: str, declared: Mapping[str, Any], environment: Mapping[str, str]
) -> tuple[dict[str, Any], list[Problem]]:
    """A flow's vars, some replaced by the environment's, and what is wrong with those.

    The flow's id and the var's name are in capitals, dashes as underscores. What replaces text is text; what replaces
    anything else is JSON.
    """
    start = f"{PREFIX}{_variable(flow_id)}__"
    names = {_variable(name): name for name in declared}
    result, problems = dict(declared), list[Problem]()
    for variable, text in sorted(environment.items()):
        if not variable.startswith(start):
            continue
        name = names.get(variable.removeprefix(start))
        if name is None:
            known = [start + each for each in names]
            remedy = did_you_mean(variable, known, "declare the var in the flow, or unset the variable")
            message = f"the environment sets {variable}, and the flow has no such var"
            problems.append(Problem(message, "/vars", "unknown_override", remedy, "warning"))
        elif isinstance(declared[name], str):
            result[name] = text
        else:
            try:
                result[name] = json.loads(text, parse_float=fraction)
            except ValueError:
                message = f"the environment's {variable} is not JSON, and the var it replaces is not text"
                remedy = "set it to JSON, such as 5, true or [1, 2]"
                problems.append(Problem(message, f"/vars/{escape(name)}", "invalid_override", remedy))
    return result, problems


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")
