"""The paths of the scope that a Jinja expression reads, as far as its text shows."""

from collections.abc import Iterator

from jinja2 import nodes

from hookline.api import Reference
from hookline_mapping.jinja.rewrite import path_of

_FUNCTIONS = frozenset({"range", "dict", "namespace", "loop"})


def references(template: nodes.Template) -> tuple[Reference, ...]:
    """Return the paths, each once. A path with a default, or with a test for being defined, may be missing."""
    bound = {name.name for name in template.find_all(nodes.Name) if name.ctx != "load"} | _FUNCTIONS
    paths: dict[tuple[str | int, ...], bool] = {}
    for path, optional in _paths(template, optional=False):
        if path[0] not in bound:
            paths[path] = paths.get(path, False) or optional
    # If `x.a` may be missing, so may paths below it.
    may_miss = [path for path, optional in paths.items() if optional]
    return tuple(
        Reference(path, optional or any(path[: len(each)] == each for each in may_miss))
        for path, optional in paths.items()
    )


def _paths(node: nodes.Node, optional: bool) -> Iterator[tuple[tuple[str | int, ...], bool]]:
    path = path_of(node)
    if path is not None:
        name, keys = path
        yield (name, *keys), optional
        return
    if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
        # The callee's last name is a method, not a key.
        yield from _paths(node.node.node, optional)
        for child in (*node.args, *node.kwargs):
            yield from _paths(child, optional=False)
        return
    guarded = (isinstance(node, nodes.Filter) and node.name in ("default", "d")) or (
        isinstance(node, nodes.Test) and node.name in ("defined", "undefined")
    )
    for child in node.iter_child_nodes():
        inside = isinstance(node, nodes.Getattr | nodes.Getitem) and child is node.node
        passed = isinstance(node, nodes.Filter | nodes.Test) and child is node.node
        yield from _paths(child, optional=(guarded and passed) or (optional and inside))
