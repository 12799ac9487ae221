"""The hosts to which a step's credential may be sent: no message chooses one that nobody has named."""

from collections.abc import Mapping
from typing import Any

from yarl import URL

from hookline.flows.blocks.action import CompiledAction
from hookline.flows.elements.fixed_origin import has_fixed_origin
from hookline.kernel.errors import StepError
from hookline.secrets.credential_reach import HostRule


def check_credential_hosts(step: CompiledAction, arguments: Mapping[str, Any], rule: HostRule | None) -> None:
    """Raise StepError if a message names a host to which the step's credential may not be sent.

    `rule` is None without a credential. If it names hosts, the client of the context keeps to them for every
    URL.
    """
    fields = step.settings.fields or {}
    if rule is None or rule.hosts:
        return
    for name in sorted(step.action.credential_goes_to & fields.keys()):
        url = arguments.get(name)
        if isinstance(url, str) and not has_fixed_origin(fields[name]):
            _fail(step, name, url)


def _fail(step: CompiledAction, name: str, url: str) -> None:
    try:
        target = URL(url)
    except ValueError:
        return  # the client says what is wrong with it
    where = str(target.origin()) if target.scheme in ("http", "https") and target.raw_host else "this URL"
    raise StepError(
        f"credential {step.credential!r} is not sent to {where}, which a message chose in `with.{name}` of step "
        f"{step.id!r}: add the host to `hosts` of the credential, or begin the URL with a scheme and a host, or with "
        "a var of the flow that has them",
        code="http.credential_host",
    )
