"""The texts of the connectors' pages in the reference: descriptions, errors and example flows."""

from collections.abc import Mapping
from typing import Any, Final

FILES: Final = """
Reads and writes files under one folder of the server, which `HOOKLINE_FILES` names; a message can't choose a place
outside it.
"""

FILE_ERRORS: Final[Mapping[str, str]] = {
    "file.attachment": "The name of an attachment matches none of the message's, or several.",
    "file.content": "Neither `content` nor `file` is given, or both are, or a file that is read as JSON isn't JSON.",
    "file.encoding": "The text doesn't match the given encoding, or can't be written in it.",
    "file.exists": "A file exists already, and must not be replaced: `mode` is `create`, or `replace` isn't set.",
    "file.no_root": "The server has no folder for files, or it can't be used: set HOOKLINE_FILES.",
    "file.path": "The path is not one of a file under HOOKLINE_FILES.",
    "file.system": "The operating system rejected the operation: there is no such file, no space, or no permission.",
    "file.too_large": "The file, or a line of it, is too large.",
    "file.too_many": "More files match than `max_files` allows, or than one trigger can track.",
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
Reads and writes comma-separated values, also with other separators: rows become objects or lists of texts, and vice
versa. A file of any length can be read as a stream.
"""

CSV_ERRORS: Final[Mapping[str, str]] = {
    "csv.encoding": "A file doesn't match the given encoding.",
    "csv.header": "A column has no name, a name of more than 500 characters, or the name of another column; give the "
    "names as `columns`.",
    "csv.input": "Both `file` and `text` are given.",
    "csv.ragged": "A row has more or fewer values than there are columns.",
    "csv.settings": "Settings conflict, such as the same character for `delimiter` and `quote`.",
    "csv.syntax": "It is not valid CSV, for example because a quote isn't closed.",
    "csv.too_large": "There are more rows, columns, values or bytes than allowed.",
    "csv.value": "A row to write contains a list or an object.",
    "file.attachment": "The name of an attachment matches none of the message's, or several.",
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
Reads and writes XML: elements become objects, lists and texts, as in an XML body, and vice versa.
"""

XML_ERRORS: Final[Mapping[str, str]] = {
    "file.attachment": "The name of an attachment matches none of the message's, or several.",
    "xml.input": "Both `file` and `text` are given.",
    "xml.name": "A key to write can't be the name of an element or attribute, or can't be encoded.",
    "xml.root": "The value to write isn't one root element; set its name as `root`.",
    "xml.syntax": "It is not valid XML, doesn't match its encoding, has a DOCTYPE, or is nested deeper than 128 "
    "levels.",
    "xml.too_large": "There are more bytes, elements or attributes than allowed.",
    "xml.value": "A value to write has no form in XML: a list in a list, or a control character.",
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
Looks up keys in tables, such as the names of countries or a customer's discount. The table is in the flow or in its
`vars`, or in a CSV or JSON file under `HOOKLINE_FILES`.
"""

LOOKUP_ERRORS: Final[Mapping[str, str]] = {
    "file.no_root": "The server has no folder for files, or it can't be used: set HOOKLINE_FILES.",
    "file.path": "The path is not one of a file under HOOKLINE_FILES.",
    "file.system": "The operating system rejected the operation: there is no such file, or no permission.",
    "lookup.column": "The row doesn't have the column that `gives` names.",
    "lookup.content": "It is not a table, or has a key twice. The file may be partly written, so it can be retried.",
    "lookup.format": "Neither the file's extension nor `format` says that it is CSV or JSON.",
    "lookup.into": "`into` is given, and the message's body is not an object.",
    "lookup.key": "The key to look up is neither a text nor a number.",
    "lookup.limit": "There are more than 100,000 keys.",
    "lookup.missing": "The table doesn't have the key, and there is no `default`.",
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
