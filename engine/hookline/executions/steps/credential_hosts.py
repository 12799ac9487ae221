"""The hosts to which a step's credential may be sent."""

from collections.abc import Mapping
from typing import Any, Final

from yarl import URL

from hookline.flows.blocks.action import CompiledAction
from hookline.flows.elements.fixed_origin import has_fixed_origin
from hookline.kernel.errors import StepError

_PLAIN: Final = "http://"


def check_credential_hosts(step: CompiledAction, arguments: Mapping[str, Any]) -> None:
    """Raise StepError if a message names a host to which the step's credential may not be sent."""
    credential, fields = arguments["ctx"].credential, step.settings.fields or {}
    if credential is None:
        return
    for name in sorted(step.action.credential_goes_to & fields.keys()):
        url = arguments.get(name)
        if isinstance(url, str) and not has_fixed_origin(fields[name]):
            _check(step, name, url, credential)


def _check(step: CompiledAction, name: str, url: str, credential: Any) -> None:
    try:
        target = URL(url)
    except ValueError:
        return  # the client says what is wrong with it
    named = getattr(credential, "hosts", None) or ()
    hosts = named.split() if isinstance(named, str) else named
    if any(_matches(str(host), target) for host in hosts):
        return
    where = str(target.origin()) if target.scheme in ("http", "https") and target.raw_host else "this URL"
    raise StepError(
        f"credential {step.credential!r} is not sent to {where}, which a message chose in `with.{name}` of step "
        f"{step.id!r}: add the host to `hosts` of the credential, or begin the URL with a scheme and a host, or with "
        "a var of the flow that has them",
        code="http.credential_host",
    )


def _matches(allowed: str, target: URL) -> bool:
    """Compare a host, `*.` before a domain, and its port if one is given. Only `http://` allows no encryption."""
    plain = allowed.lower().startswith(_PLAIN)
    host = allowed.lower().removeprefix(_PLAIN).removeprefix("https://").rstrip("/")
    if target.scheme != ("http" if plain else "https"):
        return False
    actual = (target.raw_host or "").lower().rstrip(".")
    bracketed = f"[{actual}]" if ":" in actual else actual
    for known in (actual, bracketed, f"{bracketed}:{target.port}"):
        if known == host or (host.startswith("*.") and known.endswith(host[1:]) and known != host[1:]):
            return True
    return False
