"""The methods of a hook."""

from hookline.model.webhook import RequestSettings


def allow(settings: RequestSettings) -> str:
    """What `Allow` says, in the answer to OPTIONS and to a method that isn't taken: HEAD and OPTIONS run nothing."""
    return ", ".join((*settings.methods, "HEAD", "OPTIONS"))
