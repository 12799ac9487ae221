"""The page of each connector, made from its description, and the list of all connectors.

`python docs/render_connectors.py` creates the pages of new connectors and removes those of connectors that are gone;
cog then fills them in.
"""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import msgspec
from pydantic import BaseModel, ValidationError

from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.quality import level_of
from hookline.discovery.registry import Registry
from hookline.flows.authoring.formatter import format_flow
from hookline.kernel.json import encode
from hookline.sdk.connector import Connector
from hookline.service.views.components import ComponentView, SettingView, component_views, setting_views

DOCS: Final = Path(__file__).parent
PAGES: Final = DOCS / "reference" / "connectors"

_PAGE: Final = """<!-- [[[cog
import render_connectors
cog.outl(render_connectors.page("{name}"))
]]] -->
<!-- [[[end]]] -->
"""


def index() -> str:
    """A table of all connectors, with their actions, triggers and quality level."""
    registry = load_plugins()
    lines = ["| connector | actions | triggers | quality |", "| --- | --- | --- | --- |"]
    for connector in _by_title(registry):
        link = f"connectors/{connector.name}.md"
        actions = ", ".join(f"[`{name}`]({link}#{_anchor(name)})" for name in sorted(connector.actions))
        triggers = ", ".join(f"[`{name}`]({link}#{_anchor(name)})" for name in sorted(connector.triggers))
        if connector.name in registry.triggers:  # one that reads requests of a form of its own
            triggers = f"[`{connector.name}`](triggers.md#{_anchor(connector.name)})"
        lines.append(f"| [{connector.title}]({link}) | {actions} | {triggers} | {level_of(connector) or '—'} |")
    return "\n".join(lines)


def actions() -> str:
    """A table of all actions, with links to the pages of their connectors."""
    views = [view for view in component_views(load_plugins()) if view.kind in ("action", "block")]
    rows = []
    for view in views:
        where = (
            f"#{_anchor(view.name)}" if view.kind == "block" else f"connectors/{view.connector}.md#{_anchor(view.name)}"
        )
        rows.append(f"| [`{view.name}`]({where}) | {_cell(view.title)} |")
    return "\n".join(["| action | description |", "| --- | --- |", *rows])


def triggers() -> str:
    """A table of all triggers, with links to the pages of their connectors."""
    rows = []
    registry = load_plugins()
    for view in component_views(registry):
        if view.kind == "trigger":
            where = "" if view.connector is None else f"connectors/{view.connector}.md"
            summary = registry.triggers[view.name].summary
            rows.append(f"| [`{view.name}`]({where}#{_anchor(view.name)}) | {_cell(summary)} |")
    return "\n".join(["| trigger | description |", "| --- | --- |", *rows])


def page(name: str) -> str:
    """The page of one connector."""
    registry = load_plugins()
    connector = registry.connectors[name]
    views = [view for view in component_views(registry) if view.connector == name]
    parts = [f"# {connector.title}", connector.description]
    if connector.extra is not None:
        origin = registry.origin("connector", name)
        parts.append(f"It needs an extra: `pip install '{origin.distribution}[{connector.extra}]'`.")
    parts.append(f"Quality: {level_of(connector) or 'below bronze'}.")
    parts += _credential(connector, registry)
    for title, kind in (("Actions", "action"), ("Triggers", "trigger")):
        if of_kind := [view for view in views if view.kind == kind]:
            parts += [f"## {title}", *(part for view in of_kind for part in _component(view))]
    parts += _errors(connector.errors or {})
    if connector.example is not None:
        parts += ["## Example", f"```json\n{format_flow(_plain(connector.example)).strip()}\n```"]
    return "\n\n".join(part for part in parts if part)


def _by_title(registry: Registry) -> list[Connector]:
    return sorted(registry.connectors.values(), key=lambda connector: connector.title.lower())


def _credential(connector: Connector, registry: Registry) -> Iterable[str]:
    model = connector.credential
    if model is not None:
        yield f"## Credential `{connector.credential_type}`"
        yield inspect.cleandoc(model.__doc__ or "")
        yield _table("value", setting_views(model))
        name = f"{connector.credential_type}-prod"
        commands = [f"hookline credentials set {name} --type {connector.credential_type} {_values(model)}".rstrip()]
        if connector.verifier is not None:
            commands.append(f"hookline credentials verify {name}")
        yield "\n".join(f"    {command}" for command in commands)
        yield _hosts(connector)
    if connector.accepts:
        taken = ", ".join(f"`{name}`" for name in connector.accepts)
        yield f"It also accepts credentials of these types: {taken}."


def _hosts(connector: Connector) -> str:
    """The hosts to which a credential may be sent."""
    if not connector.hosts:
        return "It is sent to the hosts that its `hosts` name: `hookline credentials set … --host …`."
    named = ", ".join(
        f"the host in `{entry[1:-1]}`" if entry.startswith("{") else f"`{entry}`" for entry in connector.hosts
    )
    return f"It is sent only to {named}, and to the hosts that its `hosts` name."


def _values(model: type[BaseModel]) -> str:
    """The values of a credential on the command line; secrets come from standard input or files."""
    given: list[str] = []
    views = setting_views(model)
    for one in [one for one in views if one.required] or _fewest(model, views):
        if "secret" not in one.type:
            given.append(f"{one.name}=…")
        else:
            given.append(
                f"{one.name}=@{one.name}.txt" if any(each.endswith("=-") for each in given) else f"{one.name}=-"
            )
    return " ".join(given)


def _fewest(model: type[BaseModel], views: Sequence[SettingView]) -> Sequence[SettingView]:
    """The smallest valid set of values if none is required: the first secret, and the values that it needs."""
    secret = next((one for one in views if "secret" in one.type), None)
    if secret is None:
        return ()
    for count in range(1, 5):
        for chosen in combinations([one for one in views if one.type.startswith(("secret", "text"))], count):
            if secret in chosen and _go_together(model, chosen, secret):
                return chosen
    return (secret,)


def _go_together(model: type[BaseModel], chosen: Iterable[SettingView], secret: SettingView) -> bool:
    try:
        model.model_validate({one.name: "x" for one in chosen})
    except ValidationError as error:
        # Whether "x" is right for the secret isn't what is asked.
        return all(problem["loc"][:1] == (secret.name,) for problem in error.errors(include_url=False))
    return True


def _component(view: ComponentView) -> Iterable[str]:
    yield f"### `{view.name}`"
    yield view.description or view.title
    facts = []
    if view.output:
        facts.append(f"- Output: {_escaped(view.output)}")
    if view.kind == "action":
        texts = {"yes": "yes", "no": "no, running it twice has its effect twice", "depends": "depends on its settings"}
        facts.append(f"- Idempotent: {texts.get(view.idempotent or '', 'not known')}.")
        if view.version and view.version > 1:
            facts.append(f"- Version of its settings: {view.version}; use `{view.name}@1` for version 1.")
    if view.credential_types:
        facts.append(f"- Credential: {' or '.join(f'`{name}`' for name in view.credential_types)}.")
    yield "\n".join(facts)
    if view.settings:
        yield _table("setting", view.settings)


def _table(head: str, rows: Iterable[SettingView]) -> str:
    lines = [f"| {head} | type | default | meaning |", "| --- | --- | --- | --- |"]
    for one in rows:
        default = "required" if one.required else f"`{encode(one.default).decode()}`"
        lines.append(f"| `{one.name}` | {_cell(one.type)} | {_cell(default)} | {_cell(one.description)} |")
    return "\n".join(lines)


def _errors(errors: Mapping[str, str]) -> Iterable[str]:
    if errors:
        rows = [f"| `{code}` | {_cell(meaning)} |" for code, meaning in sorted(errors.items())]
        yield "## Errors"
        yield "\n".join(["| code | meaning |", "| --- | --- |", *rows])


def _plain(value: Any) -> Any:
    return msgspec.json.decode(encode(value))


def _anchor(name: str) -> str:
    return name.replace(".", "")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _escaped(text: str) -> str:
    # Braces and words are as they are; a lone angle bracket would begin a tag.
    return " ".join(text.split()).replace("<", "&lt;")


def keep_pages(folder: Path, page: str, names: Iterable[str]) -> None:
    """Write a page for each name that has none, remove the other pages, and list those of the folder for cog."""
    names = set(names)
    folder.mkdir(exist_ok=True)
    for name in names:
        path = folder / f"{name}.md"
        if not path.exists():
            path.write_text(page.format(name=name), encoding="utf-8")
    for path in folder.glob("*.md"):
        if path.stem not in names:
            path.unlink()
    listed = DOCS / "pages.txt"
    own = f"docs/{folder.relative_to(DOCS).as_posix()}/"
    kept = [line for line in listed.read_text(encoding="utf-8").splitlines() if not line.startswith(own)]
    kept += [f"{own}{path.name}" for path in sorted(folder.glob("*.md"))]
    listed.write_text("\n".join(kept) + "\n", encoding="utf-8")


if __name__ == "__main__":
    keep_pages(PAGES, _PAGE, load_plugins().connectors)
