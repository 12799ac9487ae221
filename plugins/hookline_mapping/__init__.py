"""Mappers: JSONPath and Jinja."""

from hookline.api import Mapper, hookimpl
from hookline_mapping.jinja import Jinja
from hookline_mapping.jsonpath import JsonPath


@hookimpl
def register_mappers() -> list[Mapper]:
    """The languages that every flow can use."""
    return [JsonPath(), Jinja()]
