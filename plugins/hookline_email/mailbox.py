"""One address of mail, taken apart."""

from dataclasses import dataclass
from email.headerregistry import Address


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
