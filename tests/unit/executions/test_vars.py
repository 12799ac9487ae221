"""The vars of an execution: those with which it started, whatever the server's environment says later."""

from collections.abc import Callable
from typing import Any

import pytest

from hookline.discovery.registry import Registry
from hookline.flows.compiler.compile import compile_flow
from hookline.kernel.json import encode


@pytest.mark.rule(13)
@pytest.mark.parametrize(
    ("declared", "variable", "stored"), [(1, "true", b'{"n":true}'), (1, "1.0", b'{"n":1.0}'), (1, None, None)]
)
def test_what_overrides_a_var_is_stored_also_if_python_calls_it_equal(
    declared: Any,
    variable: str | None,
    stored: bytes | None,
    flow: Callable[..., dict[str, Any]],
    registry: Registry,
) -> None:
    environment = {} if variable is None else {"HOOKLINE_VARS_ORDERS__N": variable}
    document = encode(flow({"use": "stop"}, vars={"n": declared}))
    made = compile_flow(document, registry, environment=environment)
    assert made.vars_to_store() == stored
    assert encode(made.vars) == (stored or b'{"n":1}')
    assert encode(made.read_vars(stored)) == (stored or b'{"n":1}')
