"""The results of cases in JUnit's XML, which build servers read."""

from collections.abc import Iterable
from itertools import groupby
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from hookline.simulation.case_run import CaseResult


def junit(results: Iterable[CaseResult]) -> bytes:
    """A suite for each flow, with a test for each case; `time` is what running it took, in seconds."""
    root = Element("testsuites", name="hookline")
    for flow_id, group in groupby(results, key=lambda result: result.flow_id):
        cases = list(group)
        failed = sum(not case.passed for case in cases)
        suite = SubElement(
            root,
            "testsuite",
            name=flow_id,
            tests=str(len(cases)),
            failures=str(failed),
            time=f"{sum(case.ran for case in cases):.3f}",
        )
        for case in cases:
            test = SubElement(suite, "testcase", classname=flow_id, name=case.name, time=f"{case.ran:.3f}")
            if not case.passed:
                failure = SubElement(test, "failure", message=_printable(case.differences[0]))
                failure.text = _printable("\n".join(case.differences))
    indent(root)
    text: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _printable(text: str) -> str:
    """XML has no control characters."""
    return "".join(
        character if character.isprintable() or character == "\n" else "\N{REPLACEMENT CHARACTER}" for character in text
    )
