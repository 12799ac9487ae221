"""Case files: `<id>.test.json` beside `<id>.json` says what a flow does with an input, its effects stubbed."""

from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hookline.errors import FlowInvalid, Problem
from hookline.jsontypes import decode


class _CaseDocument(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputAttachment(_CaseDocument):
    """A file that comes with the input."""

    name: str = "file"
    filename: str | None = None
    type: str = "application/octet-stream"
    content: str | None = Field(default=None, description="The file's text.")
    file: str | None = Field(default=None, description="A path, relative to the case file.")

    @model_validator(mode="after")
    def _one_source(self) -> "InputAttachment":
        if (self.content is None) == (self.file is None):
            raise ValueError("an attachment has either content or file")
        return self


class CaseInput(_CaseDocument):
    """The message that starts the execution."""

    body: Any = None
    headers: dict[str, str] = Field(default_factory=dict)
    attachments: tuple[InputAttachment, ...] = ()


class StubError(_CaseDocument):
    """The error that a stubbed action fails with."""

    code: str = "step.failed"
    message: str = "stubbed failure"
    retryable: bool = False


class Stub(_CaseDocument):
    """What a stubbed action does."""

    result: Any = Field(default=None, description="The body of its result.")
    status: int | None = Field(default=None, description="Stands beside the body, as with http.request.")
    error: StubError | None = None


class ExpectedCall(_CaseDocument):
    """A call of a stubbed action; what isn't named is left free."""

    step: str | None = None
    use: str | None = None
    with_: dict[str, Any] | None = Field(default=None, alias="with")


class Expectation(_CaseDocument):
    """What must hold in the end; what isn't named is left free."""

    outcome: str
    body: Any = None
    steps: dict[str, Any] = Field(default_factory=dict)
    calls: tuple[ExpectedCall, ...] | None = None
    error: dict[str, Any] | None = None


class Case(_CaseDocument):
    """One case."""

    name: str
    input: CaseInput = CaseInput()
    stubs: dict[str, Stub] = Field(default_factory=dict)
    expect: Expectation


class CaseFile(_CaseDocument):
    """The cases of one flow."""

    cases: tuple[Case, ...] = Field(min_length=1)


def read_cases(path: Path, *, exact: bool = False) -> CaseFile:
    """The cases in a file, for a flow whose numbers are exact or aren't. Raises FlowInvalid, with every problem."""
    try:
        document = decode(path.read_bytes(), exact=exact)
    except (OSError, ValueError) as error:
        raise FlowInvalid([Problem(f"it can't be read: {error}", file=str(path))]) from error
    try:
        return CaseFile.model_validate(document)
    except ValidationError as error:
        raise FlowInvalid(
            [
                Problem(
                    problem["msg"], pointer="".join(f"/{part}" for part in problem["loc"]), code="case", file=str(path)
                )
                for problem in error.errors(include_url=False)
            ]
        ) from error


def differences(expected: Any, actual: Any, place: str = "") -> list[str]:
    """How a value differs from what is expected of it: keys that aren't named are free, lists are compared whole."""
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            return [f"{place or 'value'} should be an object, and is {_short(actual)}"]
        found: list[str] = []
        for key, value in expected.items():
            inner = f"{place}.{key}" if place else key
            if key not in actual:
                found.append(f"{inner} is missing")
            else:
                found += differences(value, actual[key], inner)
        return found
    if isinstance(expected, list):
        if not isinstance(actual, list):
            return [f"{place or 'value'} should be a list, and is {_short(actual)}"]
        if len(expected) != len(actual):
            return [f"{place or 'value'} should have {len(expected)} items, and has {len(actual)}: {_short(actual)}"]
        return [
            text
            for index, (left, right) in enumerate(zip(expected, actual, strict=True))
            for text in differences(left, right, f"{place}[{index}]")
        ]
    if isinstance(expected, float) and isinstance(actual, Decimal):
        # A result that is exact in a flow whose numbers aren't: as near as can be said here is right.
        actual = float(actual)
    # 1 and True are equal to Python, and not to JSON.
    if isinstance(expected, bool) is not isinstance(actual, bool) or expected != actual:
        return [f"{place or 'value'} should be {_short(expected)}, and is {_short(actual)}"]
    return []


def _short(value: Any) -> str:
    text = str(value) if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
