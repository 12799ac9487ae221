"""`csv.parse` and `csv.render`, called as the engine calls them."""

import asyncio
import csv
import io
import tracemalloc
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.unit.plugins import action_calls
from tests.unit.plugins.action_calls import Chunks, call

from hookline.api import Attachment, Message, StepError
from hookline_files import register_connectors
from hookline_files.csv_lines import lines_of

ACTIONS = {action.name: action for connector in register_connectors() for action in connector.actions.values()}


async def use(name: str, settings: dict[str, Any], blobs: Any = None, attachments: tuple[Attachment, ...] = ()) -> Any:
    return await call(ACTIONS[name], settings, message=Message(attachments=attachments), blobs=blobs)


async def parse(content: bytes | str, size: int = 3, **settings: Any) -> Any:
    if isinstance(content, str):
        return await use("csv.parse", {"text": content, **settings})
    return await use("csv.parse", settings, Chunks(content, size), (attachment(content),))


def attachment(content: bytes, name: str = "list", id: str = "b1") -> Attachment:
    return action_calls.attachment(content, name, "text/csv", id)


async def test_exact_numbers_are_written_with_their_digits() -> None:
    rows = [{"net": Decimal("1.10"), "rate": Decimal("0E-7")}, {"net": 2.5, "rate": 3}]
    assert await use("csv.render", {"rows": rows}) == "net,rate\r\n1.10,0E-7\r\n2.5,3\r\n"


async def failure(code: str, content: bytes | str, **settings: Any) -> str:
    with pytest.raises(StepError) as caught:
        await parse(content, **settings)
    assert caught.value.error_code == code
    assert caught.value.retryable is False
    return caught.value.message


def test_both_are_pure() -> None:
    assert ACTIONS["csv.parse"].pure
    assert ACTIONS["csv.render"].pure


async def test_the_first_row_names_the_columns() -> None:
    assert await parse("sku;price\nBOLT;0.12\nNUT;\n", delimiter=";") == [
        {"sku": "BOLT", "price": "0.12"},
        {"sku": "NUT", "price": ""},
    ]


async def test_without_a_header_rows_are_lists_or_have_the_names_given() -> None:
    assert await parse("1,2\n3,4\n", header=False) == [["1", "2"], ["3", "4"]]
    assert await parse("1,2\n", header=False, columns=["a", "b"]) == [{"a": "1", "b": "2"}]
    assert await parse("x,y\n1,2\n", columns=["a", "b"]) == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
async def test_any_line_end_and_values_over_several_lines(size: int, end: str) -> None:
    content = f'a,b{end}"x{end}""y""","z,z"{end}{end}ü,\x0c{end}'.encode()
    assert await parse(content, size) == [{"a": f'x{end}"y"', "b": "z,z"}, {"a": "ü", "b": "\x0c"}]


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "utf-8-sig", "utf-16", "windows-1252", "iso-8859-15"])
async def test_encodings_and_byte_order_marks(encoding: str) -> None:
    assert await parse("preis\n5,–€".replace("–", "").encode(encoding), encoding=encoding, delimiter=";") == [
        {"preis": "5,€"}
    ]
    assert await parse("\ufeffa\n1") == [{"a": "1"}]
    assert await parse("\ufeffa\n1".encode()) == [{"a": "1"}]


@given(st.text(st.sampled_from('a,"\r\n\x0b\u2028')))
def test_a_text_has_the_lines_that_a_file_of_it_has(text: str) -> None:
    assert list(lines_of(text)) == list(io.StringIO(text, newline=""))


async def test_nothing_gives_no_rows() -> None:
    assert await parse(b"") == []
    assert await parse("") == []
    assert await parse("a,b\n") == []


async def test_other_quotes_escapes_and_spaces() -> None:
    assert await parse("a,b\n'1,1', 2", quote="'", skip_spaces=True) == [{"a": "1,1", "b": "2"}]
    assert await parse('a,b\n"1\\"1",2', escape="\\") == [{"a": '1"1', "b": "2"}]
    assert await parse('a\tb\n"1\t2"', quote=None, delimiter="\t") == [{"a": '"1', "b": '2"'}]


@pytest.mark.parametrize(
    ("code", "content", "settings", "said"),
    [
        ("csv.ragged", "a,b\n1,2\n\n3\n", {}, "row 2 (line 4) has 1 values, but there are 2 columns"),
        ("csv.ragged", "a,b\n1,2,3\n", {"ragged": "fill"}, "row 1 (line 2) has 3 values"),
        ("csv.syntax", 'a\n1\n"x" y\n', {}, "row 2 (line 3)"),
        ("csv.syntax", 'a\n"never closed\n\n', {}, "row 1 (line 3)"),
        ("csv.syntax", "a\n" + "x" * 200_000, {}, "field larger"),
        ("csv.header", "a,b,a\n", {}, "'a'"),
        ("csv.header", "a,,\n", {}, "column 2, 3 has no name"),
        ("csv.header", "1,2\n", {"columns": ["a", "a"]}, "'a'"),
        ("csv.encoding", b"a\nb\n\xe9", {}, "row 2 (line 2), or soon after it: a byte 0xe9 is not utf-8"),
        ("csv.encoding", b"a\nb\n\xc3", {}, "utf-8"),
        ("csv.too_large", "a\n1\n2\n3", {"max_rows": 2}, "more than 2 rows"),
        ("csv.too_large", "a\n1\n2\n3", {"max_bytes": 5}, "`max_bytes` allows 5"),
        ("csv.too_large", b"a\n1\n2\n3", {"max_bytes": 5}, "has 7 bytes"),
        ("csv.too_large", ",".join(map(str, range(2000))) + "\n1" * 2000, {"ragged": "fill"}, "1,000,000 values"),
        ("csv.too_large", ("1," * 999 + "1\n") * 1001, {"header": False}, '`"stream": true`'),
        ("csv.too_large", ",".join("x" * 400 + str(n) for n in range(9)) + "\n,,,,,,,," * 9000, {}, "3,609 characters"),
        ("csv.too_large", "a,b\n" + "," * 100_000, {}, "row 1 has more than 100,000 columns"),
        ("csv.too_large", "a,b\n" + ("," * 60_000 + '"\n"') * 2, {}, "row 1 has more than 100,000 columns"),
        ("csv.header", ",".join(["a"] * 20_000), {}, "'a'"),
        ("csv.header", "," * 50_000, {}, "column 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, … has no name"),
        ("csv.header", "x" * 501, {}, "501 characters"),
        ("csv.settings", "a", {"delimiter": '"'}, "must differ"),
        ("csv.input", "a", {"file": "list"}, "either"),
    ],
)
async def test_what_is_wrong_is_named_with_its_row(
    code: str, content: bytes | str, settings: dict[str, Any], said: str
) -> None:
    assert said in await failure(code, content, **settings)


async def test_a_stream_may_be_of_any_length_but_is_not_filled_without_end() -> None:
    rows = await parse(("1," * 999 + "1\n") * 1001, stream=True, header=False)
    assert sum([1 async for _ in rows]) == 1001
    filled = await parse(",".join(map(str, range(2000))) + "\n1" * 2000, stream=True, ragged="fill")
    with pytest.raises(StepError, match="filled with nulls have more than 1,000,000 values"):
        [row async for row in filled]


async def test_a_table_of_many_keys_is_rejected_before_it_is_written() -> None:
    rows = [{f"key{number}": 1} for number in range(1001)]
    with pytest.raises(StepError, match="1,001 rows of up to 1,001 columns have more than 1,000,000 values") as caught:
        await use("csv.render", {"rows": rows})
    assert caught.value.error_code == "csv.too_large"
    assert (await use("csv.render", {"rows": rows[:1000]})).count(",") == 1001 * 999


async def test_short_rows_can_be_filled() -> None:
    assert await parse("a,b,c\n1\n", ragged="fill") == [{"a": "1", "b": None, "c": None}]


@pytest.mark.parametrize(
    "settings",
    [
        {"delimiter": ""},
        {"delimiter": ",,"},
        {"delimiter": "\n"},
        {"encoding": "base64"},
        {"encoding": "u"},
        {"encoding": "punycode"},
    ],
)
async def test_settings_that_make_no_sense_are_rejected_before_anything_runs(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        await parse("a", **settings)


async def test_the_file_is_one_of_the_messages_own() -> None:
    one, two = attachment(b"a\n1", "one", "b1"), attachment(b"a\n1", "two", "b2")
    for wanted in ("two", {"id": "b2"}):
        assert await use("csv.parse", {"file": wanted}, Chunks(b"a\n1"), (one, two)) == [{"a": "1"}]
    wrong: list[dict[str, Any]] = [{}, {"file": "three"}, {"file": {"id": "b3"}}, {"file": {}}]
    for settings in wrong:
        with pytest.raises(StepError, match="has 'one', 'two'"):
            await use("csv.parse", settings, Chunks(b"a\n1"), (one, two))
    with pytest.raises(StepError, match="exactly one attachment; it has none"):
        await use("csv.parse", {}, Chunks(b"a\n1"))


async def test_a_body_that_is_a_text_is_parsed_where_nothing_else_is_there() -> None:
    action = ACTIONS["csv.parse"]
    assert await call(action, {}, message=Message("a\n1")) == [{"a": "1"}]
    with pytest.raises(StepError, match="exactly one attachment; it has none"):
        await call(action, {}, message=Message({"a": 1}))


@pytest.mark.rule(35)
async def test_an_id_that_a_message_brings_along_opens_nothing() -> None:
    with pytest.raises(StepError):
        await use("csv.parse", {"file": {"id": "of-another-execution"}}, Chunks(b"a\n1"), (attachment(b""),))


async def test_a_file_is_read_as_it_comes_and_not_gathered_first() -> None:
    row = b"x" * 1000 + b"\n"
    blobs = Chunks(b"a\n" + row * 20_000, 65536)
    tracemalloc.start()
    with pytest.raises(StepError, match="more than 10 rows"):
        await use("csv.parse", {"max_rows": 10}, blobs, (attachment(b"a\n"),))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert blobs.given < 20
    assert peak < 8_000_000


@pytest.mark.rule(43)
@pytest.mark.parametrize(
    ("bound", "line", "message"),
    [
        ("LONGEST", b"x" * 1000, "row 1 has more than 10,000 characters in a line; does it end"),
        ("_ROW", b'"' + b"x\n" * 500 + b'",', "row 1 has more than 10,000 characters; does it end"),
    ],
    ids=["one line", "quoted lines"],
)
async def test_a_row_without_end_is_not_gathered(
    bound: str, line: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"hookline_files.csv_actions.parse.{bound}", 10_000)
    blobs = Chunks(b"a\n" + line * 5000, 65536)
    rows = await use("csv.parse", {"stream": True}, blobs, (attachment(b""),))
    with pytest.raises(StepError, match=message):
        [row async for row in rows]
    assert blobs.given < 20


async def test_the_loop_goes_on_while_a_file_is_read() -> None:
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.ensure_future(turn())
    await parse(b"a,b\n" + b"1,2\n" * 20_000, 4096)
    beside.cancel()
    assert turns > 10


async def test_a_cancelled_step_stops_reading() -> None:
    blobs = Chunks(b"a\n" + b"1\n" * 1_000_000, 100)
    reading = asyncio.ensure_future(use("csv.parse", {"max_rows": 1_000_000}, blobs, (attachment(b""),)))
    while blobs.given < 5:  # noqa: ASYNC110 - the blobs have no event to wait for
        await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await asyncio.get_running_loop().shutdown_default_executor()
    assert blobs.given < 5000


VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), max_size=8)


@given(
    rows=st.lists(st.tuples(VALUES.filter(bool), VALUES), max_size=6),
    delimiter=st.sampled_from(",;\t|"),
    line_end=st.sampled_from(["\n", "\r\n"]),
    size=st.integers(1, 9),
)
async def test_what_is_rendered_parses_back(
    rows: list[tuple[str, str]], delimiter: str, line_end: str, size: int
) -> None:
    objects = [{"first": first, "the second": second} for first, second in rows]
    text = await use("csv.render", {"rows": objects, "delimiter": delimiter, "line_end": line_end})
    assert await parse(text, delimiter=delimiter) == objects
    assert await parse(text.encode(), size, delimiter=delimiter) == objects


@given(rows=st.lists(st.lists(VALUES.filter(bool), min_size=1, max_size=4), max_size=5))
async def test_the_standard_library_reads_what_is_rendered(rows: list[list[str]]) -> None:
    text = await use("csv.render", {"rows": rows})
    assert list(csv.reader(io.StringIO(text, newline=""))) == rows


@given(rows=st.lists(st.lists(VALUES, max_size=3), max_size=4), delimiter=st.sampled_from(",;\t "))
async def test_rows_are_written_as_the_standard_library_writes_them(rows: list[list[str]], delimiter: str) -> None:
    expected = io.StringIO(newline="")
    csv.writer(expected, delimiter=delimiter).writerows([*rows, ['"' * 200_000]])
    assert await use("csv.render", {"rows": [*rows, ['"' * 200_000]], "delimiter": delimiter}) == expected.getvalue()


async def test_values_are_written_as_in_json() -> None:
    rows = [{"a": None, "b": True, "c": 9007199254740993, "d": 0.1}, {"e": "x", "a": "y"}]
    assert await use("csv.render", {"rows": rows}) == "a,b,c,d,e\r\n,true,9007199254740993,0.1,\r\ny,,,,x\r\n"
    assert await use("csv.render", {"rows": rows, "columns": ["e", "a"], "header": False}) == ",\r\nx,y\r\n"
    with pytest.raises(StepError, match="row 1 contains a list or an object"):
        await use("csv.render", {"rows": [{"a": []}]})
    with pytest.raises(StepError, match="row 2 has 1 values"):
        await use("csv.render", {"rows": [["1", "2"], ["3"]], "columns": ["a", "b"]})
    with pytest.raises(StepError, match="`delimiter` can't be"):
        await use("csv.render", {"rows": [], "delimiter": '"'})


async def test_a_stream_gives_its_rows_one_by_one_or_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hookline_files.csv_actions.parse._ROWS", 3)
    content = b"n\n" + b"".join(b"%d\n" % number for number in range(2500))
    rows = await parse(content, 1000, stream=True)
    assert [int(row["n"]) async for row in rows] == list(range(2500))
    batches = await parse(content, 1000, stream=True, batch=1000)
    assert [len(batch) async for batch in batches] == [1000, 1000, 500]
    with pytest.raises(StepError, match="3 rows"):
        await parse(content, 1000)


async def test_a_row_that_is_wrong_breaks_a_stream_off_and_bounds_count_where_they_are_given() -> None:
    rows = await parse(b"a,b\n1,2\n3\n", stream=True)
    with pytest.raises(StepError, match=r"row 2 \(line 3\) has 1 values"):
        [row async for row in rows]
    rows = await parse("a\n1\n2\n", stream=True, max_rows=1)
    with pytest.raises(StepError, match="more than 1 rows"):
        [row async for row in rows]
    assert "batch" in await failure("csv.settings", "a\n1\n", batch=10)


async def test_a_stream_that_nobody_reads_to_its_end_stops_reading_the_file() -> None:
    blobs = Chunks(b"n\n" + b"1\n" * 1_000_000, 100_000)
    rows = await use("csv.parse", {"stream": True}, blobs, (attachment(blobs.content),))
    assert await anext(rows) == {"n": "1"}
    await rows.aclose()
    assert blobs.given < 10
