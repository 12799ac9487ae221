"""The files of `hookline flows export`."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from hookline.cli.client import Client, connect
from hookline.flows.authoring.formatter import format_flow, format_value
from hookline.kernel.errors import ConfigError, UnpublishedChanges
from hookline.kernel.suggestions_and_counts import counted
from hookline.server_settings import Settings


def export(settings: Settings, directory: Path, *, force: bool) -> Sequence[Path]:
    """Write the flows that serve, and their cases; return the files that were written.

    Raises UnpublishedChanges, before anything is written, if a file has another text and `force` isn't set.
    """
    texts = asyncio.run(_texts(settings))
    try:
        before = {name: _text_in(directory / name) for name in texts}
        differing = sorted(name for name, text in before.items() if text not in (None, texts[name]))
        if differing and not force:
            raise UnpublishedChanges(
                f"{counted(len(differing), 'file')} of {directory} would be overwritten: {', '.join(differing[:10])}; "
                "choose another directory, or overwrite them with --force"
            )
        directory.mkdir(parents=True, exist_ok=True)
        written = [directory / name for name, text in texts.items() if before[name] != text]
        for path in written:
            # Watchers must not see half a file.
            draft = path.with_name(f".{path.name}.new")
            draft.write_text(texts[path.name], encoding="utf-8", newline="\n")
            draft.replace(path)
    except OSError as error:
        raise ConfigError(f"{directory} can't be written: {error.strerror}") from error
    return written


def _text_in(path: Path) -> str | None:
    return path.read_bytes().decode("utf-8", "replace") if path.exists() else None


async def _texts(settings: Settings) -> Mapping[str, str]:
    """The text of each file, by name."""
    async with connect(settings) as client:
        texts: dict[str, str] = {}
        for flow in (await client.get("flows"))["items"]:
            if flow["version"] is not None:
                texts |= await _texts_of(client, flow["id"])
        return texts


async def _texts_of(client: Client, flow_id: str) -> Mapping[str, str]:
    found = await client.get("flows", flow_id, "versions", "current")
    cases = await client.get("flows", flow_id, "cases")
    texts = {f"{flow_id}.json": format_flow(found["document"])}
    if cases["cases"]:
        texts[f"{flow_id}.test.json"] = f"{format_value(cases, 0)}\n"
    return texts
