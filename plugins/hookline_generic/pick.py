"""The action `pick`: keeps or drops keys of a body."""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from hookline.api import Context, FromVars, JsonValue, Reach
from hookline_generic.body_paths import BODY, EACH, PathText, Turns, apart, body_of, lacks, path, tree
from hookline_generic.connector import generic

_END: Final = object()


def _apart(texts: list[str]) -> list[str]:
    apart(map(path, texts), "the path")
    return texts


def _one_of_both(drop: list[str], info: ValidationInfo) -> list[str]:
    # `keep` is checked before; it is absent if it is invalid, or not known before the flow runs.
    if not drop and list(info.data.values()) == [[]]:
        raise ValueError("give `keep`, or `drop`, or both")
    return drop


_NOTHING: Any = Field(default=[])
_CHECKED: Any = Field(default=[], validate_default=True)


@generic.action(pure=True)
async def pick(
    ctx: Context[None],
    keep: Annotated[
        list[PathText],
        Reach("expression"),
        AfterValidator(_apart),
        FromVars(),
        Field(
            description="Paths to keep, such as `customer.name` and `lines[*].sku`; everything else is dropped. If "
            "empty, everything is kept."
        ),
    ] = _NOTHING,
    drop: Annotated[
        list[PathText],
        Reach("expression"),
        AfterValidator(_apart),
        AfterValidator(_one_of_both),
        FromVars(),
        Field(description="Paths to drop from the result of `keep`; paths that don't exist are ignored."),
    ] = _CHECKED,
    missing: Annotated[
        Literal["fail", "ignore"],
        Field(description="Fail if a path of `keep` doesn't exist, or leave it out."),
    ] = "fail",
    body: JsonValue = BODY,
) -> JsonValue:
    """Keep some keys of the body, or drop some.

    A path consists of keys joined by dots; `[*]` means each item of a list, and a key with special characters is
    written as `['…']`. The result has the order of `keep`.
    """
    turns = Turns("pick")
    picked: JsonValue = body_of(ctx, body)
    if keep:
        picked = _kept(picked, tree((path(text), _END) for text in keep), (), turns, ignore=missing == "ignore")
    if drop:
        picked = _without(picked, tree((path(text), _END) for text in drop), turns)
    return picked


def _kept(value: Any, wanted: dict[str | int, Any], where: tuple[str | int, ...], turns: Turns, *, ignore: bool) -> Any:
    """Return a copy, because the value belongs to other steps too."""
    if EACH in wanted:
        if not isinstance(value, list):
            if ignore:
                return []
            raise lacks("pick", where, value, EACH)
        turns.spend(len(value))
        inside = (*where, EACH)
        return [_kept(item, wanted[EACH], inside, turns, ignore=ignore) for item in value]
    turns.spend(len(wanted))
    made: dict[str, Any] = {}
    for key, inner in wanted.items():
        if not isinstance(value, dict) or key not in value:
            if ignore:
                continue
            raise lacks("pick", where, value, key)
        found = value[key]
        made[str(key)] = found if inner is _END else _kept(found, inner, (*where, key), turns, ignore=ignore)
    return made


def _without(value: Any, unwanted: dict[str | int, Any], turns: Turns) -> Any:
    if EACH in unwanted:
        if not isinstance(value, list):
            return value
        turns.spend(len(value))
        return [_without(item, unwanted[EACH], turns) for item in value]
    if not isinstance(value, dict):
        return value
    turns.spend(len(unwanted))
    made = dict(value)
    for key, inner in unwanted.items():
        if key not in made:
            continue
        if inner is _END:
            del made[str(key)]
        else:
            made[str(key)] = _without(made[str(key)], inner, turns)
    return made
