"""What finds out whether an action took effect, where its answer never came.

    async def find_order(ctx: Context[AcmeKey], sku: str) -> dict[str, Any] | Signal:
        found = await ctx.http.get_json(…, params={"key": ctx.idempotency_key})
        return found[0] if found else NOT_DONE

    @acme.action(probe=find_order)
    async def create_order(ctx: Context[AcmeKey], sku: str, quantity: int = 1) -> dict[str, Any]: …

It is asked for steps that run at most once: after the engine died while such a step ran, after a timeout, and when an
operator retries one whose outcome isn't known. It changes nothing.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hookline.errors import PluginError
from hookline.signature import read_signature


@dataclass(frozen=True, slots=True)
class Probe:
    """An async function of an action's context and of some of its settings.

    It gives what the action would have given; NOT_DONE where it is certain that the action took no effect and, what
    matters as much, won't any more; and NOT_KNOWN.
    """

    run: Callable[..., Awaitable[Any]]
    takes_context: bool
    parameters: tuple[str, ...]
    """Those of the action's parameters that it takes."""


def read_probe(function: Callable[..., Awaitable[Any]], action: str, parameters: Mapping[str, str]) -> Probe:
    """The probe of an action. Raises PluginError for a function that can't be one, naming it.

    `parameters`: of the action, from each field of its settings.
    """
    read = read_signature(function, "a probe", ("ctx",))
    taken = tuple(read.parameters.values())
    unknown = sorted(set(taken) - set(parameters.values()))
    if unknown:
        known = ", ".join(parameters.values()) or "none"
        raise PluginError(
            f"{function.__module__}.{function.__qualname__}: the probe of {action!r} takes {unknown[0]!r}, which is no "
            f"setting of the action; it has {known}"
        )
    return Probe(function, bool(read.leading), taken)
