"""The action `csv.parse`."""

import asyncio
import csv
import io
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import partial
from itertools import islice
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field

from hookline.api import Context, Either, Encoding, JsonValue, Reach, StepError, message_attachment
from hookline_files.connectors import csv as csv_connector
from hookline_files.csv_lines import LONGEST, lines_of

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_CHUNK: Final = 256 * 1024
_ROWS: Final = 100_000
_BYTES: Final = 50_000_000
MAX_CELLS: Final = 1_000_000
"""The most values, rows times columns, of a table in memory, and of the rows of a stream that get nulls."""
_COLUMNS: Final = 100_000
_ROW: Final = 10_000_000
"""The most characters of a row, which may have several lines."""
_NAME: Final = 500
_NAMES: Final = 32_000_000
"""The most characters in the names of a table: as JSON, each row repeats them."""
#: Names in an error.
_SHOWN: Final = 10
#: The number of a stream's rows that are read at once.
_AT_ONCE: Final = 1000

Character = Annotated[str, Field(pattern=r"^[^\r\n]$")]
"""One character."""


@csv_connector.action(pure=True)
async def parse(
    ctx: Context[None],
    file: Annotated[
        str | dict[str, JsonValue] | None,
        Reach("attachment"),
        Either("text", required=False),
        Field(
            description="An attachment of the message, or its name; by default the only one, or if there is none, the "
            "message's body, which must be a text."
        ),
    ] = None,
    text: Annotated[str | None, Field(description="Instead of `file`: the CSV as text.")] = None,
    delimiter: Annotated[Character, Field(description="The character between values; a tab is `\\t`.")] = ",",
    header: Annotated[
        bool,
        Field(
            description="True if the first row has the names of the columns; each other row becomes an object. If "
            "false, rows become lists."
        ),
    ] = True,
    columns: Annotated[
        list[str] | None,
        Field(min_length=1, description="The names of the columns, if there is no header, or to replace it."),
    ] = None,
    encoding: Annotated[
        Encoding, Field(description="The encoding of the file; a byte order mark is dropped.")
    ] = "utf-8",
    quote: Annotated[
        Character | None, Field(description="The character around quoted values; null if there are none.")
    ] = '"',
    escape: Annotated[
        Character | None,
        Field(description="The character before a quote that is part of a value; by default such a quote is doubled."),
    ] = None,
    skip_spaces: Annotated[bool, Field(description="Ignore spaces after a delimiter.")] = False,
    ragged: Annotated[
        Literal["fail", "fill"],
        Field(description="Fail if a row has fewer values than columns, or fill it with nulls."),
    ] = "fail",
    max_rows: Annotated[
        int | None,
        Field(
            gt=0,
            description="The maximum number of rows; more are an error. By default 100,000; unlimited for a stream.",
        ),
    ] = None,
    max_bytes: Annotated[
        int | None,
        Field(
            gt=0,
            description="The maximum size in bytes; a larger one is an error. By default 50 MB; unlimited for a "
            "stream.",
        ),
    ] = None,
    stream: Annotated[
        bool,
        Field(
            description="True if the result is a stream, which `foreach` reads row by row, however long the file is."
        ),
    ] = False,
    batch: Annotated[
        int | None,
        Field(
            gt=0,
            le=10_000,
            description="The number of rows in each item of the stream, which is then a list; the last one may be "
            "shorter.",
        ),
    ] = None,
) -> list[JsonValue] | AsyncIterator[JsonValue]:
    """Read the rows of a CSV file.

    Values are texts. Empty rows are left out; a row with more values than columns is an error. A list has at most
    1,000,000 values, rows times columns. The names of its columns, which each row repeats, have at most 32,000,000
    characters in total. Read a larger table as a stream, for which only rows filled with nulls count. A row has at most
    100,000 columns and 10,000,000 characters, each of its lines with its end 1,000,000, and a name 500 characters.
    """
    if batch is not None and not stream:
        raise StepError('`batch` needs a stream: `"stream": true`', code="csv.settings")
    if not stream:
        max_rows, max_bytes = max_rows or _ROWS, max_bytes or _BYTES
    if file is not None and text is not None:
        raise StepError("give either `file` or `text`", code="csv.input")
    if file is None and text is None and not ctx.message.attachments and isinstance(ctx.message.body, str):
        text = ctx.message.body
    attachment = (
        None if text is not None else message_attachment(ctx.message, file, setting="file", code="file.attachment")
    )
    if attachment is not None and max_bytes is not None and attachment.size > max_bytes:
        raise StepError(
            f"{attachment.name!r} has {attachment.size} bytes; `max_bytes` allows {max_bytes}", code="csv.too_large"
        )
    if text is not None and max_bytes is not None and len(text) > max_bytes:
        raise StepError(f"the text has {len(text)} characters; `max_bytes` allows {max_bytes}", code="csv.too_large")
    marks = [mark for mark in (delimiter, quote, escape) if mark is not None]
    if len(set(marks)) < len(marks):
        raise StepError("`delimiter`, `quote` and `escape` must differ", code="csv.settings")
    options: dict[str, Any] = {
        "delimiter": delimiter,
        "quotechar": quote,
        "quoting": csv.QUOTE_NONE if quote is None else csv.QUOTE_MINIMAL,
        "escapechar": escape,
        "doublequote": escape is None,
        "skipinitialspace": skip_spaces,
        "strict": True,
    }
    stopped = Event()
    lines: Iterable[str]
    if attachment is None:
        lines = lines_of((text or "").removeprefix("\ufeff"))
    else:
        raw = _Pulled(ctx.blobs.open(attachment.id, _CHUNK), asyncio.get_running_loop(), stopped)
        # Line ends stay as they are, because they may be part of a value.
        file_lines = io.TextIOWrapper(
            io.BufferedReader(raw, _CHUNK), "utf-8-sig" if encoding == "utf-8" else encoding, newline=""
        )
        # Of a line without an end, only as much as shows that it is too long.
        lines = iter(partial(file_lines.readline, LONGEST + 1), "")
    rows = _Rows(header, columns, fill=ragged == "fill", most=max_rows, stream=stream).read(lines, options)
    if stream:
        return _streamed(rows, stopped) if batch is None else _batched(rows, batch, stopped)
    try:
        # In a thread, which reads the file chunk by chunk, so the file isn't in memory and the loop isn't blocked.
        return await asyncio.to_thread(list, rows)
    finally:
        # A thread can't be cancelled; instead, its file ends.
        stopped.set()


async def _streamed(rows: Iterator[JsonValue], stopped: Event) -> AsyncIterator[JsonValue]:
    """Yield the rows, which are read in pages in a thread."""
    try:
        while some := await asyncio.to_thread(list, islice(rows, _AT_ONCE)):
            for row in some:
                yield row
    finally:
        stopped.set()


async def _batched(rows: Iterator[JsonValue], size: int, stopped: Event) -> AsyncIterator[JsonValue]:
    """Yield the rows in lists."""
    try:
        while some := await asyncio.to_thread(list, islice(rows, size)):
            yield some
    finally:
        stopped.set()


class _Rows:
    """Converts rows to objects or lists, and names the row of an error."""

    def __init__(self, header: bool, columns: list[str] | None, *, fill: bool, most: int | None, stream: bool) -> None:
        self._header = header
        self._columns = columns
        self._fill = fill
        self._most = most
        self._stream = stream
        self._made = 0
        self._cells = 0
        self._name_size = 0
        self._row_size = self._row_delimiters = 0
        """Of the current row."""

    def read(self, lines: Iterable[str], options: dict[str, Any]) -> Iterator[JsonValue]:
        reader = csv.reader(self._bounded(lines, options["delimiter"]), **options)
        if self._columns is not None:
            self._check_names(self._columns)
        headed = not self._header
        try:
            for row in reader:
                self._row_size = self._row_delimiters = 0
                if not row:
                    continue
                if headed:
                    yield self._row(row, reader.line_num)
                else:
                    headed = True
                    if self._columns is None:
                        self._columns = [name.strip() for name in row]
                        self._check_names(self._columns)
        except csv.Error as error:
            raise StepError(f"{self._place(reader.line_num)}: {error}", code="csv.syntax") from error
        except UnicodeDecodeError as error:
            raise StepError(
                f"{self._place(reader.line_num)}, or soon after it: a byte {error.object[error.start]:#04x} is not "
                f"{error.encoding}; set the file's `encoding`, perhaps windows-1252",
                code="csv.encoding",
            ) from error

    def _row(self, row: list[str], line: int) -> JsonValue:
        if self._made == self._most:
            raise StepError(f"there are more than {self._most} rows, which `max_rows` allows", code="csv.too_large")
        columns = self._columns
        if columns is None:
            self._take(len(row))
            return [*row]
        if len(row) > len(columns) or (len(row) < len(columns) and not self._fill):
            raise StepError(
                f"{self._place(line)} has {len(row)} values, but there are {len(columns)} columns"
                + ('; `"ragged": "fill"` accepts it' if len(row) < len(columns) else "; is it the right `delimiter`?"),
                code="csv.ragged",
            )
        self._take(len(columns), filled=len(row) < len(columns))
        values: list[JsonValue] = [*row, *([None] * (len(columns) - len(row)))]
        return dict(zip(columns, values, strict=True))

    def _take(self, cells: int, *, filled: bool = False) -> None:
        """Count a row before it is made."""
        self._made += 1
        if self._stream and not filled:
            return
        self._cells += cells
        if self._cells > MAX_CELLS:
            raise StepError(
                f"the rows filled with nulls have more than {MAX_CELLS:,} values; give fewer `columns`"
                if self._stream
                else f'the table has more than {MAX_CELLS:,} values; read it as a stream: `"stream": true`',
                code="csv.too_large",
            )
        if self._made * self._name_size > _NAMES and not self._stream:
            raise StepError(
                f"the names of the columns have {self._name_size:,} characters, which {self._made:,} rows would "
                "repeat; give shorter `columns`",
                code="csv.too_large",
            )

    def _bounded(self, lines: Iterable[str], delimiter: str) -> Iterator[str]:
        """Yield the lines; raise an error for a row that is too long or too wide before it is in memory, or split."""
        for line in lines:
            if len(line) > LONGEST:
                raise self._too_large(f"{LONGEST:,} characters in a line; does it end?")
            self._row_size += len(line)
            self._row_delimiters += line.count(delimiter)
            if self._row_size > _ROW:
                raise self._too_large(f"{_ROW:,} characters; does it end?")
            if self._row_delimiters >= _COLUMNS:
                raise self._too_large(f"{_COLUMNS:,} columns; is the `delimiter` right?")
            yield line

    def _too_large(self, bound: str) -> StepError:
        return StepError(f"row {self._made + 1} has more than {bound}", code="csv.too_large")

    def _check_names(self, names: list[str]) -> None:
        empty = [str(number) for number, name in enumerate(names, start=1) if not name]
        if empty:
            raise StepError(
                f"column {_some(empty)} has no name; give the names as `columns`, or the right `delimiter`",
                code="csv.header",
            )
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise StepError(
                f"several columns are named {_some(map(repr, twice))}; give the names as `columns`",
                code="csv.header",
            )
        longest = max(names, key=len, default="")
        if len(longest) > _NAME:
            raise StepError(
                f"the column {longest[:40]!r}… has a name of {len(longest):,} characters, but {_NAME} are allowed; "
                "give the names as `columns`, or the right `delimiter`",
                code="csv.header",
            )
        self._name_size = sum(map(len, names))

    def _place(self, line: int) -> str:
        return f"row {self._made + 1} (line {line})"


def _some(names: Iterable[str]) -> str:
    """Return the first of a list of names, which may have thousands."""
    shown = [name[:40] for name in islice(names, _SHOWN + 1)]
    return ", ".join(shown[:_SHOWN]) + (", …" if len(shown) > _SHOWN else "")


class _Pulled(io.RawIOBase):
    """The chunks of an attachment, as a file that a thread reads while coroutines in the loop provide them."""

    def __init__(self, chunks: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop, stopped: Event) -> None:
        super().__init__()
        self._chunks = chunks
        self._loop = loop
        self._stopped = stopped
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        if not self._rest and not self._stopped.is_set():
            self._rest = memoryview(asyncio.run_coroutine_threadsafe(self._next(), self._loop).result())
        into = memoryview(buffer).cast("B")
        size = min(len(into), len(self._rest))
        into[:size], self._rest = self._rest[:size], self._rest[size:]
        return size

    async def _next(self) -> bytes:
        async for chunk in self._chunks:
            if chunk:
                return chunk
        return b""
