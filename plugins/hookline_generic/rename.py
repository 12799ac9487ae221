"""The action `rename`: renames or moves keys of a body."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field

from hookline.api import Context, FromVars, JsonValue, Reach, StepError
from hookline_generic.body_paths import BODY, EACH, Path, PathText, Turns, apart, body_of, lacks, path, path_text, tree
from hookline_generic.connector import generic

_Moves: TypeAlias = dict[Path, Path]
"""The new path by old path."""


def _sound(keys: dict[str, str]) -> dict[str, str]:
    if not keys:
        raise ValueError("give the old path and the new path of what to rename")
    moves = {path(old): path(new) for old, new in keys.items()}
    if len(moves) < len(keys):
        raise ValueError("two of the old paths are the same, written in different ways")
    for old, new in moves.items():
        if old == new:
            raise ValueError(f"{path_text(old)!r} has this name already")
        depth = _depth(old)
        if _depth(new) != depth or new[:depth] != old[:depth]:
            lists = path_text((*old[:depth], "…")) if depth else "a path without [*]"
            raise ValueError(
                f"{path_text(old)!r} can't become {path_text(new)!r}: a value stays inside its list item, so its new "
                f"path is {lists}"
            )
    for here in _by_list(moves).values():
        apart(here, "the old path")
        apart(here.values(), "the new path")
    return keys


def _by_list(moves: _Moves) -> dict[Path, _Moves]:
    """Group moves by the list in whose items they happen, deepest first; their paths begin at the item."""
    made: dict[Path, _Moves] = {}
    for old, new in sorted(moves.items(), key=lambda move: _depth(move[0]), reverse=True):
        depth = _depth(old)
        made.setdefault(old[:depth], {})[old[depth:]] = new[depth:]
    return made


def _depth(parts: Path) -> int:
    """The number of parts up to the last list."""
    return max((place + 1 for place, part in enumerate(parts) if part == EACH), default=0)


@generic.action(pure=True)
async def rename(
    ctx: Context[None],
    keys: Annotated[
        dict[PathText, PathText],
        Reach("expression"),
        AfterValidator(_sound),
        FromVars(),
        Field(
            description='The new path by old path: `{"first_name": "name.first", "lines[*].sku": "lines[*].article"}`.'
        ),
    ],
    missing: Annotated[
        Literal["fail", "ignore"], Field(description="Fail if an old path doesn't exist, or ignore it.")
    ] = "fail",
    existing: Annotated[
        Literal["fail", "replace"],
        Field(description="Fail if a new path exists already, or replace its value."),
    ] = "fail",
    body: JsonValue = BODY,
) -> JsonValue:
    """Rename or move keys of the body; everything else stays as it is.

    A path consists of keys joined by dots; `[*]` means each item of a list, and a key with special characters is
    written as `['…']`. All keys move at the same time, so two keys can swap names. A key that stays in its object keeps
    its position.
    """
    renaming = _Renaming(Turns("rename"), ignore=missing == "ignore", replace=existing == "replace")
    made: JsonValue = body_of(ctx, body)
    for lists, moves in _by_list({path(old): path(new) for old, new in keys.items()}).items():
        made = renaming.at(made, lists, (), moves)
    return made


class _Renaming:
    """Copies the objects that change, because the body belongs to other steps too."""

    def __init__(self, turns: Turns, *, ignore: bool, replace: bool) -> None:
        self._turns = turns
        self._ignore = ignore
        self._replace = replace

    def at(self, value: Any, rest: Path, where: Path, moves: _Moves) -> Any:
        """Rename keys at the path `rest` from `value`, whose own path is `where`."""
        if not rest:
            return self._moved(value, where, moves)
        part = rest[0]
        if isinstance(part, int):
            if not isinstance(value, list):
                return self._lacking(value, where, part)
            self._turns.spend(len(value))
            return [self.at(item, rest[1:], (*where, part), moves) for item in value]
        if not isinstance(value, dict) or part not in value:
            return self._lacking(value, where, part)
        return {**value, part: self.at(value[part], rest[1:], (*where, part), moves)}

    def _lacking(self, value: Any, where: Path, part: str | int) -> Any:
        if self._ignore:
            return value
        raise lacks("rename", where, value, part)

    def _moved(self, value: Any, where: Path, moves: _Moves) -> Any:
        lifted: list[tuple[Path, Any]] = []
        made = self._lifted(value, tree(moves.items()), where, (), lifted)
        for new, found in lifted:
            self._put(made, new, found, where)
        return made

    def _lifted(
        self, value: Any, olds: Mapping[str | int, Any], root: Path, here: Path, lifted: list[tuple[Path, Any]]
    ) -> Any:
        """Return the value without the keys that leave it, and with others renamed; `lifted` gets those that leave."""
        where = (*root, *here)
        if not isinstance(value, dict):
            return self._lacking(value, where, next(iter(olds)))
        names: dict[str | int, str | int] = {}
        made = dict(value)
        for key, end in olds.items():
            if key not in value:
                self._lacking(value, where, key)
            elif not isinstance(end, tuple):
                made[str(key)] = self._lifted(value[key], end, root, (*here, key), lifted)
            elif end[:-1] == here:
                names[key] = end[-1]
            else:
                lifted.append((end, made.pop(key)))
        self._turns.spend(len(made) if names else len(olds))
        return self._named(made, names, where) if names else made

    def _named(self, value: dict[Any, Any], names: Mapping[str | int, str | int], where: Path) -> dict[Any, Any]:
        """Return the object with new keys, each in its old position."""
        made: dict[Any, Any] = {}
        new = set(names.values())
        for key, found in value.items():
            if key in names:
                made[names[key]] = found
            elif key not in new:
                made[key] = found
            elif not self._replace:
                raise _there((*where, key))
        return made

    def _put(self, made: Any, new: Path, found: Any, where: Path) -> None:
        here = made
        for place, part in enumerate(new[:-1], start=1):
            inner = here.get(part, {})
            if not isinstance(inner, dict):
                raise StepError(
                    f"{path_text((*where, *new))!r} can't be made: {path_text((*where, *new[:place]))!r} isn't an "
                    "object",
                    code="rename.taken",
                )
            here[part] = dict(inner)
            here = here[part]
        if new[-1] in here and not self._replace:
            raise _there((*where, *new))
        here[new[-1]] = found


def _there(parts: Path) -> StepError:
    return StepError(
        f'there is {path_text(parts)!r} already; `"existing": "replace"` replaces it',
        code="rename.taken",
    )
