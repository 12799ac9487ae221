"""Filters for amounts of money: rounded to a currency's minor units, counted in them, and formatted."""

from collections.abc import Callable, Mapping
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, ROUND_UP, Decimal
from typing import Any, Final

from hookline.api import ExpressionFailed
from hookline_mapping.decimals import decimal_of, read

_ROUNDINGS: Final = {"half_even": ROUND_HALF_EVEN, "half_up": ROUND_HALF_UP, "up": ROUND_UP, "down": ROUND_DOWN}
_MAX_DIGITS: Final = 30
#: ISO 4217: the currencies by the number of digits of their minor unit.
_CURRENCIES: Final[Mapping[int, str]] = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
    2: """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF
CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR
ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR
MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN
SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VES VED WST XCD XCG YER ZAR ZMW ZWG""",
}
_DIGITS: Final = {code: digits for digits, codes in _CURRENCIES.items() for code in codes.split()}


def _digits(currency: Any) -> int:
    if isinstance(currency, str) and currency in _DIGITS:
        return _DIGITS[currency]
    raise ExpressionFailed(f"{str(currency)[:20]!r} is not a currency of ISO 4217; write its code, such as 'EUR'")


def _amount(value: Any) -> Decimal:
    made = read(value.strip()) if isinstance(value, str) else None
    if made is None and isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        made = decimal_of(value)
    if made is None or made.adjusted() >= _MAX_DIGITS:
        raise ExpressionFailed(f"an amount must be a number, or a text with a number, of at most {_MAX_DIGITS} digits")
    return made


def _rounded(value: Any, currency: Any, rounding: str) -> Decimal:
    if rounding not in _ROUNDINGS:
        raise ExpressionFailed(f"rounding must be one of {', '.join(_ROUNDINGS)}")
    return _amount(value).quantize(Decimal((0, (1,), -_digits(currency))), _ROUNDINGS[rounding])


def _like(made: Decimal, value: Any) -> Any:
    """Return a number in the form of the original: as text for a text, and binary for a binary number."""
    if isinstance(value, str):
        return f"{made:f}"
    if isinstance(value, Decimal):
        return made
    return int(made) if isinstance(value, int) and made == made.to_integral_value() else float(made)


def money_round(value: Any, currency: str, rounding: str = "half_even") -> Any:
    """Round the amount to the digits of the currency; text stays text. Rounding: half_even, half_up, up, down."""
    return _like(_rounded(value, currency, rounding), value)


def money(value: Any, currency: str, rounding: str = "half_even", thousands: str = "", point: str = ".") -> str:
    """Return the amount as text with all digits: `12.30`, or `1.234,50` with `thousands='.', point=','`."""
    made = f"{_rounded(value, currency, rounding):,f}"
    return made.translate({ord(","): str(thousands)[:3], ord("."): str(point)[:3]})


def minor_units(value: Any, currency: str, rounding: str = "half_even") -> int:
    """Return the amount in the currency's minor units, a whole number: 1230 for 12.30 euros."""
    return int(_rounded(value, currency, rounding).scaleb(_digits(currency)))


def from_minor_units(value: Any, currency: str) -> str:
    """Return the amount for a number of minor units, as text: `12.30` for 1230 cents."""
    made = _amount(value)
    if made != made.to_integral_value():
        raise ExpressionFailed("a number of minor units must be whole")
    return f"{made.scaleb(-_digits(currency)).quantize(Decimal((0, (1,), -_digits(currency)))):f}"


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    each.__name__: each for each in (money, money_round, minor_units, from_minor_units)
}
