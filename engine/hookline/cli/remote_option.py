"""`--remote`, which may be anywhere on the command line: before a command, or after it.

This module imports nothing of Hookline, so that `hookline --help` is fast.
"""

from typing import Final

import click

_KEY: Final = "hookline.remote"


def remote_option() -> click.Option:
    """Return the option for a command, or for a group of them."""
    return click.Option(
        ["--remote"],
        metavar="URL|PROFILE",
        expose_value=False,
        callback=_keep,
        help="The remote server to call: its URL, or a profile of `hookline login`. Also HOOKLINE_REMOTE.",
    )


def _keep(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    # `meta` is that of the whole command line. The option that is nearest to the command wins.
    if value is not None:
        ctx.meta[_KEY] = value


def remote_given(ctx: click.Context) -> str | None:
    """Return the value of the option."""
    value: str | None = ctx.meta.get(_KEY)
    return value
