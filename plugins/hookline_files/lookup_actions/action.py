"""The action `lookup`: the value of a key in a table."""

import asyncio
from collections.abc import Mapping
from itertools import islice
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from hookline.api import Context, Encoding, JsonValue, Reach, StepError, did_you_mean
from hookline_files.connectors import lookup as lookup_connector
from hookline_files.file_actions.root import inside
from hookline_files.lookup_actions.lookup_tables import Index, Reading, Tables, index_of, key_text

_ENDINGS: Final[Mapping[str, Literal["csv", "json"]]] = {"csv": "csv", "tsv": "csv", "txt": "csv", "json": "json"}
_MOST_KEYS: Final = 100_000
_MANY: Final = 1000
"""The number of rows above which a table is read in a thread."""
_COMPARED: Final = 200
_SHOWN: Final = 60


class _Nothing:
    """Marks a missing setting, because null is a valid value."""


def _one_of_both(file: str | None, info: ValidationInfo) -> str | None:
    # An earlier setting is absent if it is invalid, or not known yet.
    without_table = any(isinstance(value, _Nothing) for value in info.data.values())
    if file is None and without_table:
        raise ValueError("give `file` or `table`: both are missing")
    if file is not None and not without_table and len(info.data) == 2:
        raise ValueError("give either `file` or `table`, not both")
    return file


_NO_TABLE: Any = Field(default_factory=_Nothing)
_NO_FILE: Any = Field(default=None, validate_default=True)
_NO_DEFAULT: Any = Field(
    default_factory=_Nothing,
    description="The result if the table doesn't have the key; without it, a missing key is an error.",
)


@lookup_connector.action(idempotent=True)
async def lookup(
    ctx: Context[None],
    key: Annotated[
        JsonValue,
        Field(
            description="The key to look up: a text, or a number, which is used as text; or a list of keys, for a "
            "list of results."
        ),
    ],
    table: Annotated[
        dict[str, JsonValue] | list[dict[str, JsonValue]],
        Field(description="The table: an object with a value for each key, or a list of rows, which are objects."),
    ] = _NO_TABLE,
    file: Annotated[
        str | None,
        Reach("file"),
        AfterValidator(_one_of_both),
        Field(description="Instead of `table`: a CSV or JSON file with the table, under the server's HOOKLINE_FILES."),
    ] = _NO_FILE,
    by: Annotated[str | None, Field(description="The column with the keys of rows; by default the first.")] = None,
    gives: Annotated[
        str | list[str] | None,
        Field(
            min_length=1,
            description="The column whose value is the result, or several columns for an object; by default the whole "
            "row.",
        ),
    ] = None,
    default: JsonValue = _NO_DEFAULT,
    into: Annotated[
        str | None,
        Field(
            min_length=1,
            description="The key of the message's body for the result; the rest of the body stays. By default the "
            "result becomes the body.",
        ),
    ] = None,
    ignore_case: Annotated[
        bool, Field(description="Ignore the difference between small and capital letters in keys.")
    ] = False,
    format: Annotated[
        Literal["csv", "json"] | None,
        Field(description="The format of the file; by default according to its extension."),
    ] = None,
    delimiter: Annotated[
        str | None,
        Field(
            pattern=r"^[^\r\n]$",
            description="The character between values; by default a comma, or a tab in a `.tsv` file.",
        ),
    ] = None,
    encoding: Annotated[Encoding, Field(description="The encoding of a CSV file.")] = "utf-8",
) -> JsonValue:
    """Look up a key in a table of the flow, or in a file.

    The body becomes the value in the table. A file is read once, and again when it has changed. The result is stored
    with the execution, so a resumed execution continues with the same result.
    """
    index, shown = await _table(ctx, table, file, by, format, delimiter, encoding, ignore_case)
    keys = key if isinstance(key, list) else [key]
    if len(keys) > _MOST_KEYS:
        raise StepError(f"there are more than {_MOST_KEYS:,} keys; look them up in smaller parts", code="lookup.limit")
    found: list[JsonValue] = []
    for one in keys:
        text = key_text(one)
        if text is None:
            raise StepError("the key to look up is neither a text nor a number", code="lookup.key")
        where = text.casefold() if ignore_case else text
        if where in index:
            found.append(_chosen(index[where], gives, text, shown))
        elif isinstance(default, _Nothing):
            raise _missing(text, index, shown)
        else:
            found.append(default)
    result: JsonValue = found if isinstance(key, list) else found[0]
    if into is None:
        return result
    body = ctx.message.body
    if not isinstance(body, dict):
        raise StepError("`into` needs an object as the message's body, and it isn't one", code="lookup.into")
    return {**body, into: result}


async def _table(
    ctx: Context[None],
    table: Any,
    file: str | None,
    by: str | None,
    format: Literal["csv", "json"] | None,
    delimiter: str | None,
    encoding: str,
    ignore_case: bool,
) -> tuple[Index, str]:
    """Return the table, and its name in errors."""
    if file is None:
        shown = "the table"
        if len(table) < _MANY or (isinstance(table, dict) and not ignore_case):
            return index_of(table, by, shown, ignore_case=ignore_case), shown
        return await asyncio.to_thread(index_of, table, by, shown, ignore_case=ignore_case), shown
    ending = file.rpartition(".")[2].lower()
    kind = format or _ENDINGS.get(ending)
    if kind is None:
        raise StepError(f"{file!r} ends with neither .csv nor .json: set its `format`", code="lookup.format")
    separator = delimiter or ("\t" if ending == "tsv" else ",")
    reading = Reading(kind, by, ignore_case, separator, encoding, ctx.exact)
    tables = ctx.resources.get(Tables)
    return await tables.index(inside(ctx, file), file, reading), repr(file)


def _chosen(row: Any, gives: str | list[str] | None, key: str, shown: str) -> JsonValue:
    if gives is None:
        chosen: JsonValue = row
        return chosen
    names = [gives] if isinstance(gives, str) else gives
    if not isinstance(row, dict):
        raise StepError(f"{shown} has a value under {_short(key)!r}, not a row with {names[0]!r}", code="lookup.column")
    for name in names:
        if name not in row:
            hint = did_you_mean(name, row, f"it has {', '.join(list(row)[:5])}")
            raise StepError(f"{shown} has no column {name!r} under {_short(key)!r}; {hint}", code="lookup.column")
    values: dict[str, JsonValue] = {name: row[name] for name in names}
    return values[gives] if isinstance(gives, str) else values


def _missing(key: str, index: Index, shown: str) -> StepError:
    near = did_you_mean(
        _short(key), [_short(one) for one in islice(index, _COMPARED)], "set `default` for missing keys"
    )
    return StepError(f"{shown} has no {_short(key)!r}; {near}", code="lookup.missing")


def _short(key: str) -> str:
    return key if len(key) <= _SHOWN else key[:_SHOWN] + "…"
