"""Mappers and template filters: JSONPath and Jinja, and JSONata and JMESPath with extras."""

from collections.abc import Mapping

from hookline.api import Mapper, TemplateFilter, hookimpl
from hookline_mapping.jinja.filters import dates, encode, money
from hookline_mapping.jinja.mapper import Jinja
from hookline_mapping.jmespath.mapper import JmesPath
from hookline_mapping.jsonata.mapper import Jsonata
from hookline_mapping.jsonpath.mapper import JsonPath


@hookimpl
def register_mappers() -> list[Mapper]:
    """Return JSONPath and Jinja, which every flow can use, and the languages that flows list in `"mappers"`."""
    return [JsonPath(), Jinja(), Jsonata(), JmesPath()]


@hookimpl
def register_template_filters() -> Mapping[str, TemplateFilter]:
    """Return the filters for money, times and texts."""
    return {**money.FILTERS, **dates.FILTERS, **encode.FILTERS}
