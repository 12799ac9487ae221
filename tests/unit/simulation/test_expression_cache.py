"""The processes for authors compile an expression once."""

from hookline.discovery.plugin_loader import load_plugins
from hookline.simulation.authoring.expression_cache import remembering


def test_an_expression_is_compiled_once_and_one_that_is_wrong_each_time() -> None:
    registry = remembering(load_plugins())
    jinja = registry.mappers["jinja"]
    assert jinja.compile("{{ body.a + 1 }}") is jinja.compile("{{ body.a + 1 }}")
    assert jinja.compile("{{ body.a + 1.5 }}") is not jinja.compile_exact("{{ body.a + 1.5 }}")
    assert jinja.compile("{{ body.a + 1 }}").evaluate({"body": {"a": 2}}) == 3
    assert registry.mappers["jsonata"].unavailable == load_plugins().mappers["jsonata"].unavailable
