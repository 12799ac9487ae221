"""Amounts of money, as PayPal writes them: texts of digits with a currency."""

from decimal import Decimal
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field

from hookline.api import JsonObject, StepError


def _digits(value: Any) -> Any:
    # A Decimal may have an exponent, which PayPal doesn't read.
    return f"{value:f}" if isinstance(value, Decimal) else value


Amount: TypeAlias = Annotated[str, BeforeValidator(_digits), Field(pattern=r"^[0-9]{1,12}(\.[0-9]{1,3})?$")]
"""A decimal number as text, such as `10.99`."""
Currency: TypeAlias = Annotated[str | None, Field(pattern=r"^[A-Z]{3}$", description="The currency, such as `EUR`.")]


def money(amount: str | None, currency: str | None, what: str = "amount") -> JsonObject | None:
    """An amount in a currency; None if neither is given. Raises StepError if only one is given."""
    if amount is None and currency is None:
        return None
    if amount is None or currency is None:
        raise StepError(f"give `{what}` and `currency` together", code="paypal.settings")
    return {"currency_code": currency, "value": amount}
