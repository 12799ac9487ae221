"""What holds only where the server knows by which URL it is called: schemes that sign it, and subscriptions."""

from typing import Final

from hookline.flows.compiler.compiled import CompiledFlow
from hookline.kernel.errors import Problem

PUBLIC_URL: Final = (
    "set HOOKLINE_PUBLIC_URL, or public_url in hookline.toml, to what stands before /hook/ in the provider's settings"
)


def unknown_urls(flow: CompiledFlow) -> list[Problem]:
    """A remark for each place of a flow that lacks the URL, for a server that has no public one set."""
    places = [("/trigger/with/verify", flow.trigger.scheme)]
    places += [(f"{node.pointer}/with/verify", node.scheme) for node in flow.waits.values()]
    missing = []
    if flow.trigger.subscribes is not None:
        message = f"trigger {flow.trigger.use!r} tells the provider where to send, and this server has no public_url"
        missing.append(Problem(message, "/trigger/use", "public_url_missing", PUBLIC_URL, "warning"))
    return missing + [
        Problem(
            f"scheme {scheme.name!r} signs the URL that is called, and this server has no public_url: unless it is "
            "called by its own address, no signature holds",
            pointer,
            "public_url_missing",
            PUBLIC_URL,
            "warning",
        )
        for pointer, scheme in places
        if scheme is not None and scheme.signs_url
    ]
