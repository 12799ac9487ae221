"""Mail addresses: each is parsed as a whole, so that it can't add another address or a header."""

import re
from dataclasses import dataclass
from email.headerregistry import Address
from typing import Final

from hookline.api import StepError

_LONGEST: Final = 1000
#: A name, perhaps quoted, and an address in angle brackets.
_NAMED: Final = re.compile(r'(?:"(?P<quoted>(?:[^"\\]|\\.)*+)"|(?P<name>[^<>"@]*+))\s*+<(?P<address>[^<>]*)>')


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address, with the name of its owner."""

    name: str
    local: str
    domain: str
    """In ASCII."""

    @property
    def address(self) -> str:
        """Return the address for SMTP."""
        return f"{self.local}@{self.domain}"

    @property
    def header(self) -> Address:
        """Return the address for headers."""
        return Address(self.name, self.local, self.domain)


def mailbox(text: str, setting: str) -> Mailbox:
    """Parse `ada@example.com` or `Ada <ada@example.com>`. Raises StepError (`email.address`) for anything else."""
    # Imported here, because discovery imports every plugin, also without the extra.
    from email_validator import EmailNotValidError, validate_email

    if len(text) > _LONGEST:
        raise StepError(
            f"{setting}: {text[:100]!r}… has {len(text):,} characters, but an address may have {_LONGEST:,}",
            code="email.address",
        )
    text = text.strip(" ")
    named = _NAMED.fullmatch(text)
    name, address = "", text
    if named is not None:
        quoted, address = named["quoted"], named["address"]
        name = named["name"].strip() if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    try:
        # A private server may have a name that nobody else knows.
        read = validate_email(address, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError as error:
        raise StepError(
            f"{setting}: {text[:100]!r} is not an address: {error} Write ada@example.com or Ada <ada@example.com>, or "
            "several as a list.",
            code="email.address",
        ) from None
    if not name.isprintable():
        raise StepError(f"{setting}: the name in {text[:100]!r} contains a control character", code="email.address")
    return Mailbox(name, read.local_part, read.ascii_domain)


def mailboxes(given: str | list[str] | None, setting: str) -> list[Mailbox]:
    """Return all addresses of a setting."""
    if given is None:
        return []
    return [mailbox(one, setting) for one in ([given] if isinstance(given, str) else given)]
