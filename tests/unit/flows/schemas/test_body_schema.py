"""A flow's schema: every problem, each at its place; nothing is fetched."""

from typing import Any

import pytest

from hookline.flows.schemas.body_schema import MAX_PROBLEMS, compile_schema


def problems(schema: dict[str, Any], body: Any) -> set[tuple[str, str]]:
    compiled, wrong = compile_schema(schema)
    assert compiled is not None
    assert wrong == []
    return {(problem.pointer, problem.code) for problem in compiled.problems(body)}


def test_every_problem_is_told_with_its_pointer() -> None:
    schema = {
        "type": "object",
        "required": ["id"],
        "properties": {
            "lines": {"type": "array", "items": {"properties": {"a/b~c": {"type": "integer"}}}},
            "at": {"type": "string", "format": "date-time"},
        },
    }
    body = {"lines": [{"a/b~c": 1}, {"a/b~c": "x"}], "at": "yesterday"}
    assert problems(schema, body) == {
        ("", "schema.required"),
        ("/lines/1/a~1b~0c", "schema.type"),
        ("/at", "schema.format"),
    }
    assert problems(schema, {"id": 1}) == set()


def test_large_integers_are_judged_exactly() -> None:
    assert problems({"maximum": 10**30}, 10**30) == set()
    assert problems({"maximum": 10**30}, 10**30 + 1) == {("", "schema.maximum")}


def test_refs_within_the_schema_hold_and_others_are_a_problem() -> None:
    schema = {"$defs": {"n": {"type": "number"}}, "items": {"$ref": "#/$defs/n"}}
    assert problems(schema, [1, "x"]) == {("/1", "schema.type")}
    for ref in ("http://127.0.0.1:9/x", "file:///etc/passwd", "other.json", "#/nope"):
        compiled, (problem,) = compile_schema({"$ref": ref})
        assert compiled is None
        assert problem.code == "schema.invalid"


@pytest.mark.parametrize(
    ("schema", "at"),
    [({"type": "nope"}, "/schema/type"), ({"properties": {"a": {"minimum": "1"}}}, "/schema/properties/a/minimum")],
)
def test_a_wrong_schema_is_told_with_its_place(schema: dict[str, Any], at: str) -> None:
    compiled, (problem,) = compile_schema(schema)
    assert compiled is None
    assert problem.pointer == at
    assert problem.remedy


def test_problems_and_their_texts_are_bounded() -> None:
    compiled, _ = compile_schema({"items": {"type": "integer"}})
    assert compiled is not None
    found = compiled.problems(["x" * 1000] * (MAX_PROBLEMS + 10))
    assert len(found) == MAX_PROBLEMS
    assert all(len(problem.message) < 400 for problem in found)


def test_a_pattern_that_backtracks_is_cut_short() -> None:
    compiled, _ = compile_schema({"pattern": r"^(a+)+(?=b)$"})
    assert compiled is not None
    assert compiled.problems("a" * 5000 + "!")


def test_a_recursive_schema_without_branches_lists_all_problems_at_any_depth() -> None:
    schema = {"properties": {"c": {"$ref": "#"}, "k": {"type": "integer"}}}
    tree: Any = {"k": "x"}
    for _ in range(100):
        tree = {"c": tree, "k": "x"}
    assert len(problems(schema, tree)) == 101


def test_a_definition_that_is_used_twice_is_not_recursive() -> None:
    line = {"anyOf": [{"$ref": "#/$defs/text"}, {"type": "null"}]}
    schema = {"$defs": {"text": {"type": "string"}, "line": line}, "items": {"items": {"$ref": "#/$defs/line"}}}
    deep: Any = 1
    for _ in range(20):
        deep = [deep]
    assert problems(schema, deep) == {("/0/0", "schema.anyOf")}


def test_the_first_problem_is_found_alone() -> None:
    compiled, _ = compile_schema({"items": {"type": "integer"}})
    assert compiled is not None
    (problem,) = compiled.first_problem([1, "x", "y"])
    assert (problem.pointer, problem.code) == ("/1", "schema.type")
    assert compiled.first_problem([1]) == []
