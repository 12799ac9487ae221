"""The choices for a setting, as the admin API asks for them and gives them."""

from typing import Any

import msgspec

from hookline.credentials.options import Offered


class OptionsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"with_": "with"}):
    """What the choices for a setting depend on."""

    credential: str | None = None
    """The name of the credential with which the service is asked."""
    with_: dict[str, Any] = {}
    """The other settings, as they stand in the flow so far."""
    search: str = ""


class OptionView(msgspec.Struct, frozen=True):
    """One choice."""

    value: Any
    """What the setting is given."""
    label: str
    """What people read."""


class OfferedView(msgspec.Struct, frozen=True):
    """The choices for a setting."""

    items: list[OptionView]
    """At most 1000."""
    more: bool
    """There are others; a search finds them, where the setting's `options` say that there is one."""


def offered_view(found: Offered) -> OfferedView:
    """The choices for a setting."""
    return OfferedView([OptionView(one.value, one.label) for one in found.options], found.more)
