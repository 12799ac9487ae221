"""Schemes that sign the URL of a request: they hold only where the server knows by which URL it is called."""

from hookline.errors import Problem
from hookline.flows.compiled import CompiledFlow


def unknown_urls(flow: CompiledFlow) -> list[Problem]:
    """A remark for each place of a flow whose scheme signs the URL, for a server that has no public one set."""
    places = [("/trigger/with/verify", flow.trigger.scheme)]
    places += [(f"{node.pointer}/with/verify", node.scheme) for node in flow.waits.values()]
    return [
        Problem(
            f"scheme {scheme.name!r} signs the URL that is called, and this server has no public_url: unless it is "
            "called by its own address, no signature holds",
            pointer,
            "public_url_missing",
            "set HOOKLINE_PUBLIC_URL, or public_url in hookline.toml, to what stands before /hook/ in the provider's "
            "settings",
            "warning",
        )
        for pointer, scheme in places
        if scheme is not None and scheme.signs_url
    ]
