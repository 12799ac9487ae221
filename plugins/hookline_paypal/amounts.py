"""Amounts of money, as PayPal has them: texts of digits with a currency."""

from decimal import Decimal
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field

from hookline.api import JsonObject, StepError


def _digits(value: Any) -> Any:
    # A Decimal may have an exponent, which PayPal doesn't read.
    return f"{value:f}" if isinstance(value, Decimal) else value


Amount: TypeAlias = Annotated[str, BeforeValidator(_digits), Field(pattern=r"^[0-9]{1,12}(\.[0-9]{1,3})?$")]
"""Digits, and a point before those that are parts: `10.99`."""
Currency: TypeAlias = Annotated[str | None, Field(pattern=r"^[A-Z]{3}$", description="The currency, such as `EUR`.")]


def money(amount: str | None, currency: str | None, what: str = "amount") -> JsonObject | None:
    """An amount in a currency; None where neither is given. Raises StepError where only one is."""
    if amount is None and currency is None:
        return None
    if amount is None or currency is None:
        raise StepError(f"`{what}` and `currency` are given together", code="paypal.settings")
    return {"currency_code": currency, "value": amount}
