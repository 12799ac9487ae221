"""What is wrong with a trigger, and with the credentials that a flow names."""

from typing import Any

import pytest
from tests.unit.flows.check.lint_harness import Check, one, order


def hook(verify: Any, **settings: Any) -> dict[str, Any]:
    return {"use": "webhook", "with": {"verify": verify, **settings}}


def test_trap_8_leaving_verify_out_is_an_error(check: Check) -> None:
    problem = one(check(trigger={"use": "webhook"}), "missing_key")
    assert problem.severity == "error"
    assert 'write "none" to accept unverified requests' in problem.remedy


def test_trap_8_a_trigger_that_verifies_nothing_is_warned_on(check: Check) -> None:
    assert one(check(trigger=hook("none")), "not_verified").severity == "warning"


@pytest.mark.parametrize(
    ("verify", "code", "pointer"),
    [
        ("signed", "missing_key", ""),
        ({"scheme": "signed"}, "missing_key", ""),
        ({"scheme": "signed", "credential": "hook", "headr": "x"}, "unknown_key", "/headr"),
        ({"scheme": "signed", "credential": "hook", "tolerance": -1}, "invalid_value", "/tolerance"),
        ({"scheme": "open", "credential": "hook"}, "credential_unwanted", "/credential"),
    ],
)
def test_what_verify_says_is_checked_against_the_scheme(check: Check, verify: Any, code: str, pointer: str) -> None:
    assert one(check(trigger=hook(verify)), code).pointer == f"/trigger/with/verify{pointer}"


@pytest.mark.parametrize(
    ("settings", "codes"),
    [
        ({}, ["json_not_read"]),
        ({"body": "auto", "media_types": ["application/json"]}, ["json_not_read", "media_type_rejected"]),
        ({"body": "json", "media_types": ["application/json"]}, ["media_type_rejected"]),
        ({"body": "json"}, []),
        ({"body": "json", "media_types": ["text/*"]}, []),
        ({"body": "raw"}, []),
    ],
)
def test_a_sender_that_calls_its_json_a_text_is_warned_on(
    check: Check, settings: dict[str, Any], codes: list[str]
) -> None:
    problems = check(trigger=hook("mislabelled", **settings))
    assert [(problem.code, problem.severity) for problem in problems] == [(code, "warning") for code in codes]
    assert not check(trigger=hook("open"))


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("body.id", "constant_key"),
        ("$.steps.a.body", "out_of_scope"),
        ("$.execution.id", "out_of_scope"),
        ("$.body[", "expression.syntax"),
    ],
)
def test_a_dedupe_key_is_an_expression_over_the_message(check: Check, key: str, code: str) -> None:
    assert one(check(trigger=hook("open", dedupe_key=key)), code).pointer == "/trigger/with/dedupe_key"


@pytest.mark.rule(33)
@pytest.mark.parametrize(
    ("key", "secret"),
    [
        ("$.headers['x-key']", "headers.x-key"),
        ("{{ trigger.headers['x-key'] }}", "trigger.headers.x-key"),
        ("{{ trigger.query.key }}", "trigger.query.key"),
        ("$.body.key", "body.key"),
        ("$.body.auth.token", "body.auth.token"),
        ("{{ trigger.body.auth.token[:8] }}", "trigger.body.auth.token"),
        ("$.body.value[0].state", "body.value.*.state"),
        ("$.body.value[*].state", "body.value.*.state"),
        ("{{ body.value | map(attribute='state') | join }}", "body.value.*.state"),
        ("$.body['a/b'].c", "body.a/b"),
        ("$.body.id", None),
        ("$.body.auth.user", None),
        ("$.body.value[*].id", None),
        ("$.body.value[0].id", None),
        ("$.headers['x-id']", None),
        ("$.trigger.scheme_id", None),
        ("{{ body.tokens }}", None),
    ],
)
@pytest.mark.parametrize("compound", [False, True])
def test_no_key_is_made_of_what_is_masked(check: Check, key: str, secret: str | None, compound: bool) -> None:
    """Every message would be a duplicate of the first, or wait for the one before."""
    given: Any = ["$.body.other", key] if compound else key
    problems = [
        *check(trigger=hook("secretive", dedupe_key=given)),
        *check(trigger=hook("secretive"), order_by=given),
    ]
    place = "/1" if compound else ""
    expected = [("error", f"/trigger/with/dedupe_key{place}"), ("warning", f"/order_by{place}")]
    assert [(problem.severity, problem.pointer) for problem in problems] == (expected if secret else [])
    for problem in problems:
        assert problem.code == "masked_key"
        assert problem.message.startswith(f"{secret} is a secret of scheme 'secretive'")
        assert "such as $.body.id" in problem.remedy


def test_a_key_is_checked_against_the_secrets_that_the_schemes_settings_name(check: Check) -> None:
    verify = {"scheme": "secretive", "header": "x-other"}
    assert not check(trigger=hook(verify, dedupe_key="$.headers['x-key']"))
    one(check(trigger=hook(verify, dedupe_key="$.headers['x-other']")), "masked_key")


def test_a_missing_credential_is_named_with_the_command_that_makes_it(check: Check) -> None:
    problems = check(order(), credentials={"acme-prd": "acme"})
    assert [(problem.code, problem.pointer) for problem in problems] == [
        ("credential_missing", "/trigger/with/verify/credential"),
        ("credential_missing", "/steps/0/credential"),
    ]
    assert "hookline credentials set hook --type signed" in problems[0].remedy
    assert "did you mean 'acme-prd'?" in problems[1].remedy


def test_a_credential_of_another_type_is_a_problem(check: Check) -> None:
    problem = one(check(order(), credentials={"hook": "signed", "acme-prod": "basic"}), "credential_type")
    assert "is of type basic, but type acme or signed is needed" in problem.message
    assert not check(order(), credentials={"hook": "signed", "acme-prod": "signed"})


def test_credentials_are_not_checked_where_they_are_not_known(check: Check) -> None:
    assert not check(order())


def test_an_action_that_needs_a_credential_says_so(check: Check) -> None:
    one(check({"use": "acme.create_order", "with": {"sku": "x"}}), "missing_key")
    assert not check({"use": "acme.ping"})
    one(check({"use": "stop", "credential": "acme-prod"}), "credential_unwanted")
