"""`sql.update`, `sql.delete` and `sql.transaction`, and whether a credential works."""

from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy.engine import make_url
from tests.integration.plugins.sql.sql_room import Room, count

from hookline.api import StepError, VerifyContext
from hookline_sql.connector import SqlCredential


@pytest.fixture
async def three(books: Room) -> Room:
    await books("insert", table="invoices", rows=[{"reference": text, "pieces": 1} for text in "abc"])
    return books


async def pieces(room: Room) -> dict[str, Any]:
    found = await room("query", sql="SELECT reference, pieces FROM invoices")
    return {row["reference"]: row["pieces"] for row in found}


async def test_rows_with_some_values_are_updated(three: Room) -> None:
    assert await three("update", table="invoices", values={"pieces": "2"}, where={"reference": "a"}) == {"rowcount": 1}
    assert await three(
        "update", table="invoices", values={"pieces": None}, where={"reference": ["b", "c", "d"], "pieces": 1}
    ) == {"rowcount": 2}
    assert await pieces(three) == {"a": 2, "b": None, "c": None}
    assert await three("update", table="invoices", values={"pieces": 9}, where={"pieces": None}) == {"rowcount": 2}
    # Also where they have the values already.
    assert await three("update", table="invoices", values={"pieces": 9}, where={"pieces": 9}) == {"rowcount": 2}
    assert await three("update", table="invoices", values={"pieces": 9}, where={"reference": []}) == {"rowcount": 0}


async def test_rows_with_some_values_are_deleted_once(three: Room) -> None:
    for _ in range(2):
        assert await three("delete", table="invoices", where={"reference": ["a", "b"]}, key="k") == {"rowcount": 2}
    assert await pieces(three) == {"c": 1}
    assert await three("delete", table="invoices", where={"reference": "a"}) == {"rowcount": 0}


@pytest.mark.parametrize(
    ("use", "settings", "code", "message"),
    [
        ("update", {"values": {"peices": 1}, "where": {"reference": "a"}}, "sql.column", "did you mean 'pieces'?"),
        ("update", {"values": {"pieces": "x"}, "where": {"reference": "a"}}, "sql.value", "'pieces'"),
        ("delete", {"where": {"referense": "a"}}, "sql.column", "did you mean 'reference'?"),
        ("delete", {"where": {"due": "soon"}}, "sql.value", "'due'"),
    ],
)
async def test_what_is_wrong_is_named_and_changes_nothing(
    three: Room, use: str, settings: dict[str, Any], code: str, message: str
) -> None:
    error = await three.error(use, table="invoices", **settings)
    assert (error.error_code, error.retryable) == (code, False)
    assert message in error.message
    assert await pieces(three) == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize("use", ["update", "delete"])
def test_all_rows_are_never_meant(room: Room, use: str) -> None:
    settings = room.connector.actions[f"sql.{use}"].settings
    with pytest.raises(ValueError, match="at least 1 item"):
        settings.model_validate(
            {"table": "t", "where": {}, "values": {"a": 1}} if use == "update" else {"table": "t", "where": {}}
        )


MOVE = (
    "UPDATE invoices SET pieces = pieces - :n WHERE reference = :from_one",
    "UPDATE invoices SET pieces = pieces + :n WHERE reference IN :to_those",
)


async def test_several_statements_take_effect_together_and_once(three: Room) -> None:
    params = {"n": 1, "from_one": "a", "to_those": ["b", "c"]}
    for _ in range(2):
        moved = await three("transaction", statements=MOVE, params=params, key="k")
        assert moved == {"rowcount": 3, "rowcounts": [1, 2]}
    assert await pieces(three) == {"a": 0, "b": 2, "c": 2}


@pytest.mark.parametrize("once", [True, False])
async def test_of_several_statements_none_takes_effect_where_one_fails(three: Room, once: bool) -> None:
    statements = [MOVE[0], "INSERT INTO invoices (reference) VALUES (:from_one)"]
    error = await three.error("transaction", statements=statements, params={"n": 1, "from_one": "a"}, once=once)
    assert error.error_code == "sql.integrity"
    assert await pieces(three) == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize("once", [True, False])
async def test_what_changes_a_schema_is_undone_too_or_rejected_before_anything_is_done(three: Room, once: bool) -> None:
    statements = ["CREATE TABLE other (n INTEGER)", MOVE[0], "INSERT INTO nowhere VALUES (1)"]
    error = await three.error("transaction", statements=statements, params={"n": 1, "from_one": "a"}, once=once)
    assert error.error_code == ("sql.transaction" if three.dialect == "mysql" else "sql.error")
    assert await pieces(three) == {"a": 1, "b": 1, "c": 1}
    assert (await three.error("query", sql="SELECT * FROM other")).error_code == "sql.error"


async def test_parameters_of_several_statements_are_named_where_they_are_missing_or_unknown(three: Room) -> None:
    error = await three.error("transaction", statements=MOVE, params={"n": 1, "from_one": "a"})
    assert (error.error_code, "statement 1" in error.message) == ("sql.params", True)
    error = await three.error("transaction", statements=MOVE[:1], params={"n": 1, "from_one": "a", "x": 1})
    assert (error.error_code, ":x" in error.message) == ("sql.params", True)
    assert await count(three) == 3


async def _verify(room: Room, **values: str) -> str | None:
    credential = SqlCredential.model_validate(values)
    assert room.connector.verifier is not None
    ctx: Any = VerifyContext(credential, None, None, room.resources, files_root=room.files)  # type: ignore[arg-type]
    return await room.connector.verifier(ctx)


async def test_a_credential_is_tried_at_its_database(room: Room) -> None:
    user = make_url(room.url).username
    assert (await _verify(room, url=room.url) or "").partition("@")[0] == (user or "")


async def test_a_credential_that_does_not_work_says_why(room: Room, tmp_path: Any) -> None:
    wrong = f"sqlite:///{tmp_path}/no/such.db"
    if room.dialect != "sqlite":
        wrong = make_url(room.url).set(database=f"no_{make_url(room.url).database}").render_as_string()
    with pytest.raises(StepError) as caught:
        await _verify(room, url=wrong)
    assert caught.value.error_code in ("sql.error", "sql.unavailable")
    with pytest.raises(StepError, match="no database to check it with"):
        await _verify(room, password="hunter2")


def test_a_verified_password_stays_hidden() -> None:
    assert "hunter2" not in repr(SqlCredential(password=SecretStr("hunter2")))
