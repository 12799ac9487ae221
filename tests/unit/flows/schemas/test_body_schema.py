"""A flow's schema: every problem, each at its place; nothing is fetched, nothing stalls."""

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


@pytest.mark.rule(16)
def test_only_the_first_problem_of_a_large_body_is_listed() -> None:
    schema = {"properties": {"a": {"items": {"type": "integer"}}}}
    assert len(problems(schema, {"a": ["x"] * 900})) == 900
    assert problems(schema, {"a": [1] * 90_000 + ["x", "x"]}) == {("/a/90000", "schema.type")}
    # To find the place, the validator would read all values again.
    assert problems(schema, {"a": [1] * 100_000 + ["x", "x"]}) == {("", "schema.not_located")}


@pytest.mark.rule(16)
def test_no_place_is_looked_for_where_branches_multiply_the_problems() -> None:
    unlocated = {("", "schema.not_located")}
    lines = {"anyOf": [{"items": {"type": "string"}}, {"items": {"type": "object"}}]}
    assert problems(lines, [1]) == {("", "schema.anyOf")}
    assert problems(lines, [1] * 500_000) == unlocated

    def node(reference: str) -> dict[str, Any]:
        kinds = ("string", "boolean", "null")
        parts = [{"type": "object", "properties": {"c": {"$ref": reference}, "k": {"type": kind}}} for kind in kinds]
        return {"anyOf": parts}

    defined = {"$defs": {"node": node("#/$defs/node")}}
    tree: Any = 0
    for depth in range(120):
        tree = {"c": tree, "k": 1}
        for schema in (
            {"$ref": "#/$defs/node", **defined},
            {"$ref": "#/%24defs/node", **defined},
            {"allOf": [node("#/allOf/0")]},
            {"$ref": "#/$defs/a", "$defs": {"a": {"$id": "https://a.example/", "$ref": "#/$defs/node", **defined}}},
        ):
            # Somewhere between, listing them takes too long.
            if depth < 5 or depth > 10:
                assert problems(schema, tree) == ({("", "schema.anyOf")} if depth < 5 else unlocated)


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"c": {"$ref": "#"}}, "patternProperties": {"^c": {"$ref": "#"}}},
        {"patternProperties": {"^c": {"$ref": "#"}, "c$": {"$ref": "#"}}},
        {
            "properties": {"c": {"$ref": "#"}},
            "$ref": "#/$defs/node",
            "$defs": {"node": {"properties": {"c": {"$ref": "#"}}}},
        },
        {"allOf": [{"properties": {"c": {"$ref": "#"}}}, {"properties": {"c": {"$ref": "#"}}}]},
    ],
)
def test_what_judges_a_value_twice_is_a_branch(schema: dict[str, Any]) -> None:
    schema = {"type": "object", **schema}
    tree: Any = 0
    for depth in range(120):
        tree = {"c": tree}
        found = problems(schema, tree)
        # Somewhere between, listing them takes too long.
        if depth < 8 or depth > 12:
            assert found == ({("/c" * (depth + 1), "schema.type")} if depth < 8 else {("", "schema.not_located")})


@pytest.mark.rule(16)
def test_the_more_references_lead_back_the_less_deep_a_body_may_be_whose_problems_are_listed() -> None:
    def tree_of(kinds: int) -> dict[str, Any]:
        parts = {"c": {"$ref": "#"}, "address": {"$ref": "#/$defs/address"}}
        branches = [{"properties": {"k": {"const": kind}, **parts}} for kind in range(kinds)]
        return {"type": "object", "anyOf": branches, "$defs": {"address": {"type": "object"}}}

    def deepest(kinds: int) -> int:
        tree: Any = {"k": "x"}
        for depth in range(1, 20):
            if problems(tree_of(kinds), tree) == {("", "schema.not_located")}:
                return depth - 1
            tree = {"c": tree, "k": "x"}
        return 20

    assert [deepest(kinds) for kinds in (1, 2, 3, 6, 30)] == [20, 10, 7, 4, 2]


@pytest.mark.rule(16)
def test_problems_that_quote_an_object_are_listed_for_a_small_one() -> None:
    names = {"propertyNames": {"pattern": "^[a-j]+$"}}
    assert len(problems(names, {f"K{number}": 1 for number in range(100)})) == 1
    compiled, _ = compile_schema(names)
    assert compiled is not None
    assert len(compiled.problems({f"K{number}": 1 for number in range(300)})) == 300
    assert len(compiled.problems({f"K{number}": 1 for number in range(600)})) == 1


@pytest.mark.rule(16)
def test_problems_are_listed_if_they_are_few_also_where_many_references_lead_back() -> None:
    ring = {
        f"d{number}": {
            "type": "object",
            "properties": {"c": {"$ref": f"#/$defs/d{(number + 1) % 70}"}},
            "required": ["t"],
            "patternProperties": {"^x-": {}},
        }
        for number in range(70)
    }
    assert problems({"$ref": "#/$defs/d0", "$defs": ring}, {"c": {"t": 1}}) == {("", "schema.required")}


@pytest.mark.rule(16)
def test_no_problem_is_listed_of_a_schema_that_leads_back_to_itself_for_the_same_value() -> None:
    schema = {"allOf": [{"required": ["a"]}, {"$ref": "#"}, {"$ref": "#"}]}
    assert problems(schema, {}) == {("", "schema.not_located")}
    assert problems(schema, {"a": 1}) == set()


@pytest.mark.rule(16)
def test_each_branch_and_each_name_may_have_a_problem() -> None:
    unlocated = {("", "schema.not_located")}
    kinds = {"items": {"anyOf": [{"const": f"t{number}"} for number in range(200)]}}
    assert problems(kinds, [1] * 1900) == unlocated
    assert problems(kinds, [1] * 10) == {(f"/{number}", "schema.anyOf") for number in range(10)}
    names = {"items": {"required": [f"k{number}" for number in range(100)]}}
    assert problems(names, [{}] * 1990) == {("/0", "schema.required")}


@pytest.mark.rule(16)
def test_problems_that_quote_a_long_text_are_not_all_listed() -> None:
    required = {"required": [f"k{number}" for number in range(10)]}
    compiled, _ = compile_schema(required)
    assert compiled is not None
    assert len(compiled.problems({"text": "x" * 100_000})) == 10
    assert len(compiled.problems({"text": "x" * 9_000_000})) == 1
    assert problems({"anyOf": [required] * 10}, {"text": "x" * 50_000}) == {("", "schema.anyOf")}
    assert problems({"anyOf": [required] * 10}, {"text": "x" * 9_000_000}) == {("", "schema.not_located")}


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


@pytest.mark.rule(16)
def test_a_pattern_that_looks_around_judges_a_bounded_number_of_values() -> None:
    schema = {"items": {"not": {"pattern": "^(a|aa)+(?!b)$"}}}
    assert problems(schema, ["b"] * 1000) == set()
    assert problems(schema, ["b"] * 1001) == {("", "schema.too_many_values")}
    assert problems({"items": {"pattern": "^[a-z]+$"}}, ["b"] * 200_000) == set()
