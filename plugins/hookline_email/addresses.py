"""Addresses of mail: each is read whole, so that none of them brings another one along, or a header."""

import re
from dataclasses import dataclass
from email.headerregistry import Address
from typing import Final

from hookline.api import StepError

_LONGEST: Final = 1000
#: A name, quoted or not, and an address in angle brackets.
_NAMED: Final = re.compile(r'(?:"(?P<quoted>(?:[^"\\]|\\.)*+)"|(?P<name>[^<>"@]*+))\s*+<(?P<address>[^<>]*)>')


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One address, with the name of who has it."""

    name: str
    local: str
    domain: str
    """In ASCII."""

    @property
    def address(self) -> str:
        """As SMTP takes it."""
        return f"{self.local}@{self.domain}"

    @property
    def header(self) -> Address:
        """As headers show it."""
        return Address(self.name, self.local, self.domain)


def mailbox(text: str, setting: str) -> Mailbox:
    """`ada@example.com` or `Ada <ada@example.com>`. Raises StepError (`email.address`) for anything else."""
    # Imported here, because discovery imports every plugin, also without the extra.
    from email_validator import EmailNotValidError, validate_email

    if len(text) > _LONGEST:
        raise StepError(
            f"{setting}: {text[:100]!r}… has {len(text):,} characters, and an address may have {_LONGEST:,}",
            code="email.address",
        )
    text = text.strip(" ")
    named = _NAMED.fullmatch(text)
    name, address = "", text
    if named is not None:
        quoted, address = named["quoted"], named["address"]
        name = named["name"].strip() if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    try:
        # A server of one's own may have a name that means nothing outside.
        read = validate_email(address, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError as error:
        raise StepError(
            f"{setting}: {text[:100]!r} is no address: {error} One is written as ada@example.com or "
            "Ada <ada@example.com>, several as a list.",
            code="email.address",
        ) from None
    if not name.isprintable():
        raise StepError(f"{setting}: the name in {text[:100]!r} holds a control character", code="email.address")
    return Mailbox(name, read.local_part, read.ascii_domain)


def mailboxes(given: str | list[str] | None, setting: str) -> list[Mailbox]:
    """Each address of a setting."""
    if given is None:
        return []
    return [mailbox(one, setting) for one in ([given] if isinstance(given, str) else given)]
