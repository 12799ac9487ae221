"""The texts of the connectors' pages in the reference: descriptions, errors and example flows."""

from collections.abc import Mapping
from typing import Any, Final

FILES: Final = """
Reads and writes files under one folder of the server, which `HOOKLINE_FILES` names; a message can't choose a place
outside it.
"""

FILE_ERRORS: Final[Mapping[str, str]] = {
    "file.attachment": "What names an attachment names none of the message's, or several.",
    "file.content": "Neither `content` nor `file` is given, or both, or a file isn't JSON that is read as such.",
    "file.encoding": "The text isn't in the encoding that is given, or can't be written in it.",
    "file.exists": "There is a file already, with other content, and `mode` is `create`.",
    "file.no_root": "The server gives no folder for files, or that one can't be used: set HOOKLINE_FILES.",
    "file.path": "The path is none of a file under HOOKLINE_FILES.",
    "file.system": "The operating system rejected it: there is no such file, no space, or no right to it.",
    "file.too_large": "The file, or a line of it, is larger than is allowed.",
    "file.too_many": "More files match than one trigger keeps track of.",
}

FILE_EXAMPLE: Final[Mapping[str, Any]] = {
    "id": "orders-from-files",
    "trigger": {"use": "file.new", "with": {"folder": "incoming", "pattern": "*.json"}},
    "steps": [
        {"id": "order", "use": "file.read", "with": {"path": "$.body.path", "format": "json"}},
        {
            "id": "keep",
            "use": "file.write",
            "with": {"path": "orders/{{ steps.order.body.id }}.json", "content": "$.body"},
        },
    ],
}

CSV: Final = """
Reads and writes comma-separated values, and what is separated otherwise: rows become objects or lists of texts, and
the other way round. A file of any length can be read as a stream.
"""

CSV_ERRORS: Final[Mapping[str, str]] = {
    "csv.encoding": "A file isn't in the encoding that is given.",
    "csv.header": "A column has no name, a name of more than 500 characters, or the name of another column; give the "
    "names as `columns`.",
    "csv.input": "Both `file` and `text` are given.",
    "csv.ragged": "A row has more or fewer values than there are columns.",
    "csv.settings": "Settings don't go together, as two marks that are one character.",
    "csv.syntax": "It is no CSV: a quote isn't closed, for one.",
    "csv.too_large": "There are more rows, columns, values or bytes than is allowed.",
    "csv.value": "A row that is to be written holds a list or an object.",
    "file.attachment": "What names an attachment names none of the message's, or several.",
}

CSV_EXAMPLE: Final[Mapping[str, Any]] = {
    "id": "stock-levels",
    "trigger": {"use": "webhook", "with": {"verify": {"scheme": "basic", "credential": "warehouse"}}},
    "steps": [
        {"id": "rows", "use": "csv.parse", "with": {"delimiter": ";", "stream": True}},
        {
            "id": "each",
            "foreach": "$.body",
            "steps": [
                {"id": "known", "use": "filter", "with": {"keep": "{{ item.sku != '' }}"}},
                {
                    "id": "level",
                    "use": "map",
                    "with": {"body": {"sku": "$.item.sku", "level": "{{ item.level | int }}"}},
                },
            ],
        },
    ],
}

XML: Final = """
Reads and writes XML: elements become objects, lists and texts, as they do in a body of XML, and the other way round.
"""

XML_ERRORS: Final[Mapping[str, str]] = {
    "file.attachment": "What names an attachment names none of the message's, or several.",
    "xml.input": "Both `file` and `text` are given.",
    "xml.name": "A key that is to be written can't be the name of an element or attribute, or not in the encoding.",
    "xml.root": "What is to be written isn't one root element; name it as `root`.",
    "xml.syntax": "It is no XML, isn't in its encoding, has a DOCTYPE, or is nested deeper than 128 levels.",
    "xml.too_large": "There are more bytes, elements or attributes than is allowed.",
    "xml.value": "A value that is to be written has no form in XML: a list in a list, or a control character.",
}

XML_EXAMPLE: Final[Mapping[str, Any]] = {
    "id": "order-as-xml",
    "trigger": {"use": "webhook", "with": {"verify": {"scheme": "bearer", "credential": "shop"}}},
    "steps": [
        {
            "id": "order",
            "use": "map",
            "with": {"body": {"order": {"@id": "$.body.id", "line": "$.body.lines", "note": "$.body.note"}}},
        },
        {"id": "document", "use": "xml.render", "with": {"value": "$.body"}},
        {
            "id": "sent",
            "use": "http.request",
            "with": {
                "url": "https://erp.example/orders",
                "method": "POST",
                "headers": {"Content-Type": "application/xml"},
                "body": "$.body",
            },
        },
        {"id": "answer", "use": "xml.parse", "with": {"text": "$.body"}},
    ],
}

LOOKUP: Final = """
Looks keys up in tables, such as the countries' names or a customer's discount: in one that stands in the flow or in its
`vars`, or in a CSV or JSON file under `HOOKLINE_FILES`.
"""

LOOKUP_ERRORS: Final[Mapping[str, str]] = {
    "file.no_root": "The server gives no folder for files, or that one can't be used: set HOOKLINE_FILES.",
    "file.path": "The path is none of a file under HOOKLINE_FILES.",
    "file.system": "The operating system rejected it: there is no such file, or no right to it.",
    "lookup.column": "The row hasn't the column that `gives` names.",
    "lookup.content": "What should be a table is none, or has a key twice; it may be half written, and is tried again.",
    "lookup.format": "The file's name says neither CSV nor JSON, and neither does `format`.",
    "lookup.into": "`into` is given, and the message's body is no object.",
    "lookup.key": "What is looked up is neither a text nor a number.",
    "lookup.limit": "There are more than 100,000 keys.",
    "lookup.missing": "The table hasn't the key, and there is no `default`.",
    "lookup.size": "The file has more than 20 MB.",
}

LOOKUP_EXAMPLE: Final[Mapping[str, Any]] = {
    "id": "orders-with-shipping",
    "trigger": {"use": "webhook", "with": {"verify": {"scheme": "bearer", "credential": "shop"}}},
    "vars": {"carriers": {"DE": "dhl", "GB": "royal-mail"}},
    "steps": [
        {
            "id": "carrier",
            "use": "lookup",
            "with": {"key": "$.body.country", "table": "$.vars.carriers", "default": "ups", "into": "carrier"},
        },
        {
            "id": "prices",
            "use": "lookup",
            "with": {"key": "$.body.lines[*].sku", "file": "prices.csv", "by": "sku", "gives": "price"},
        },
        {"id": "note", "use": "log", "with": {"message": "goes with {{ steps.carrier.body.carrier }}"}},
    ],
}
