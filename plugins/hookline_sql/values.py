"""Converting values between JSON and the types of a database."""

import math
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Dialect, types
from sqlalchemy.types import TypeEngine

from hookline.api import encode_json, within_bounds


class Unfit(ValueError):
    """A value doesn't fit its column or parameter; the message says what is needed."""


def to_text(value: Any) -> str:
    """Convert to text, also numbers, since many are ids. Objects and lists are rejected, since they are usually an
    error.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float | Decimal):
        return to_json_text(value)
    raise Unfit("text is needed; `tojson` makes text of an object or a list")


def to_json_text(value: Any) -> str:
    return encode_json(value).decode()


def to_integer(value: Any) -> int:
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float | Decimal) and value == int(value):
        return int(value)
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            pass
    raise Unfit("a whole number is needed")


def to_decimal(value: Any) -> Decimal:
    """Convert to a decimal: exact from text; from a fraction, the shortest decimal that reads the same (0.1 is 0.1)."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise Unfit("a number is needed")
    try:
        number = Decimal(repr(value) if isinstance(value, float) else value)
    except InvalidOperation:
        raise Unfit("a number is needed") from None
    if not number.is_finite():
        raise Unfit("a finite number is needed")
    return number


def to_digits(value: Any) -> Decimal:
    """Convert to a decimal that a numeric column of SQLite keeps exactly; SQLite would silently round others."""
    number = to_decimal(value)
    whole = number == number.to_integral_value() and abs(number) < 2**63
    if not whole and len("".join(map(str, number.as_tuple().digits)).strip("0")) > 15:
        raise Unfit("SQLite keeps 15 digits of a fraction; use a column of type TEXT to keep all")
    return number


def to_sqlite(value: Decimal) -> int | float:
    """Convert a parameter of a statement, for which no column gives a type."""
    number = to_digits(value)
    return int(number) if number == number.to_integral_value() else float(number)


def to_fraction(value: Any) -> float:
    number = float(to_decimal(value))
    if not math.isfinite(number):
        raise Unfit("the number is too large")
    return number


def to_boolean(value: Any) -> bool:
    known: dict[str | float | Decimal, bool] = {"true": True, "false": False, 1: True, 0: False}
    key = value.lower() if isinstance(value, str) else value
    if isinstance(key, str | int | float | Decimal) and key in known:
        return known[key]
    raise Unfit("true or false is needed")


def to_flag(value: Any) -> int:
    """Convert to a whole number, which is a boolean in most tables."""
    for convert in (to_boolean, to_integer):
        try:
            return int(convert(value))
        except Unfit:
            continue
    raise Unfit("true or false is needed, or a whole number")


def _moment(value: Any) -> datetime:
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value.strip())
        except ValueError:
            pass
    raise Unfit("a time is needed, as in 2026-01-31T08:00:00Z")


def to_timestamp(value: Any) -> datetime:
    """Convert to a time with an offset; a time without one is taken as UTC."""
    moment = _moment(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def to_naive_timestamp(value: Any) -> datetime:
    """Convert to a time in UTC, for columns without an offset."""
    moment = _moment(value)
    try:
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except OverflowError:
        raise Unfit("a time between the years 1 and 9999 is needed") from None


def to_date(value: Any) -> date:
    """Convert to a date: a date, or the date of a time as it is written."""
    try:
        return _moment(value).date()
    except ValueError:
        raise Unfit("a date is needed, as in 2026-01-31") from None


def to_time(value: Any) -> time:
    if isinstance(value, str):
        try:
            return time.fromisoformat(value.strip())
        except ValueError:
            pass
    raise Unfit("a time of day is needed, as in 08:00:00")


def to_interval(value: Any) -> timedelta:
    try:
        return timedelta(seconds=to_fraction(value))
    except (ValueError, OverflowError):
        raise Unfit("a number of seconds is needed") from None


def to_uuid(value: Any) -> UUID:
    if isinstance(value, str):
        try:
            return UUID(value)
        except ValueError:
            pass
    raise Unfit("a UUID is needed")


def to_bytes(value: Any) -> bytes:
    if isinstance(value, str):
        try:
            return b64decode(value, validate=True)
        except ValueError:
            pass
    raise Unfit("bytes are needed, as text in base64")


class Digits(types.TypeDecorator[Decimal]):
    """A decimal in SQLite, which has none: it is passed as text, which SQLite converts to an integer or a fraction."""

    impl = types.String
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:
        return None if value is None else format(value, "f")


#: The first match counts, so special types come before general ones.
_BY_TYPE: Final[tuple[tuple[type[TypeEngine[Any]], Callable[[Any], Any]], ...]] = (
    (types.Boolean, to_boolean),
    (types.Integer, to_integer),
    (types.Float, to_fraction),
    (types.Numeric, to_decimal),
    (Digits, to_digits),
    (types.DateTime, to_naive_timestamp),
    (types.Date, to_date),
    (types.Time, to_time),
    (types.Uuid, to_uuid),
    (types.LargeBinary, to_bytes),
    (types.BINARY, to_bytes),
    (types.VARBINARY, to_bytes),
    (types.String, to_text),
)

#: PostgreSQL's names of the types of parameters.
_BY_NAME: Final[dict[str, Callable[[Any], Any]]] = {
    "bool": to_boolean,
    "int2": to_integer,
    "int4": to_integer,
    "int8": to_integer,
    "float4": to_fraction,
    "float8": to_fraction,
    "numeric": to_decimal,
    "timestamp": to_naive_timestamp,
    "timestamptz": to_timestamp,
    "date": to_date,
    "time": to_time,
    "timetz": to_time,
    "interval": to_interval,
    "uuid": to_uuid,
    "bytea": to_bytes,
    "text": to_text,
    "varchar": to_text,
    "bpchar": to_text,
    "json": to_json_text,
    "jsonb": to_json_text,
}


def for_column(value: Any, kind: TypeEngine[Any]) -> Any:
    """Convert a JSON value for the type of a column. Raises Unfit."""
    if value is None:
        return None
    if isinstance(kind, types.JSON):
        return value
    if isinstance(kind, types.ARRAY):
        if not isinstance(value, list):
            raise Unfit("a list is needed")
        return [for_column(item, kind.item_type) for item in value]
    if isinstance(kind, types.DateTime) and kind.timezone:
        return to_timestamp(value)
    if is_mysqls(kind, "TINYINT") and getattr(kind, "display_width", None) == 1:
        # MySQL's type for BOOLEAN.
        return to_flag(value)
    for known, convert in _BY_TYPE:
        if isinstance(kind, known):
            return convert(value)
    return to_interval(value) if _is_interval(kind) else value


def is_mysqls(kind: TypeEngine[Any], name: str) -> bool:
    """Return true for MySQL's type of this name, without importing MySQL's dialect for other databases."""
    return kind.__visit_name__ == name and type(kind).__module__.startswith("sqlalchemy.dialects.mysql.")


def _is_interval(kind: TypeEngine[Any]) -> bool:
    # The interval types of databases have no public common base.
    try:
        return kind.python_type is timedelta
    except NotImplementedError:
        return False


def for_parameter(value: Any, kind: str) -> Any:
    """Convert a JSON value for a parameter with a PostgreSQL type. Raises Unfit."""
    if value is None:
        return None
    if kind.endswith("[]"):
        if not isinstance(value, list):
            raise Unfit("a list is needed")
        return [for_parameter(item, kind[:-2]) for item in value]
    convert = _BY_NAME.get(kind)
    return convert(value) if convert is not None else value


def to_json(value: Any) -> Any:
    """Convert a value of a database to JSON.

    A decimal becomes a number, or text if JSON has no such number; bytes become text in base64; values of other types
    become the text that the database's driver makes of them.
    """
    match value:
        case None | str() | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Decimal():
            return value if within_bounds(value) else str(value)
        case datetime():
            text = value.isoformat()
            return f"{text[:-6]}Z" if value.tzinfo and text.endswith("+00:00") else text
        case date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes() | bytearray() | memoryview():
            return b64encode(bytes(value)).decode()
        case dict():
            return {str(key): to_json(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [to_json(item) for item in value]
        case _:
            return str(value)
