"""A report as people, editors and other programs take it: a table of formats.

GitHub and readers of SARIF know the repository, so there paths are relative to its root; else to
the project, as everywhere.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import quote
from xml.etree import ElementTree

from lambdad.bundler.lint.run import Report
from lambdad.bundler.model import Diagnostic, Project, RelPath, Severity
from lambdad.bundler.report.render import diagnostic_json, outcome_json, place
from lambdad.bundler.report.shown import plain, printable
from lambdad.bundler.toolchain import LAMBDAD

if TYPE_CHECKING:
    from lambdad.bundler.report.shown import Paint


def document(report: Report) -> dict[str, object]:
    """The JSON of every command; a function that was linted has that as its status."""
    return {
        "schema": 1,
        "ok": report.ok,
        **({"machine_fault": True} if report.machine_fault else {}),
        "diagnostics": [diagnostic_json(item) for item in report.diagnostics],
        "functions": [outcome_json(outcome) for outcome in report.outcomes],
    }


# --- lines ---------------------------------------------------------------------------------------


def line(item: Diagnostic, paint: Paint = plain) -> str:
    """`path:line:column: severity[code] message`, as far as there is a place."""
    at = f"{paint(printable(place(item.where)), 'bold')}: " if item.where is not None else ""
    return f"{at}{_said(item, paint)}"


def text(findings: Iterable[Diagnostic], paint: Paint = plain) -> str:
    """A line each, with its hint below it."""
    told = []
    for item in findings:
        told.append(line(item, paint))
        if item.hint is not None:
            told.append(paint(f"    hint: {_in_line(item.hint)}", "dim"))
    return "".join(f"{each}\n" for each in told)


def errorformat(report: Report, _project: Project) -> str:
    """A line each and nothing else, so that one pattern fits all: a place within a file is given
    where that is not known, too."""
    told = []
    for item in report.findings:
        where = item.where
        at = ""
        if where is not None:
            at = f"{printable(where.file)}:{where.line or 1}:{where.column or 1}: "
        told.append(f"{at}{_said(item, plain)}\n")
    return "".join(told)


def _said(item: Diagnostic, paint: Paint) -> str:
    label = paint(f"{item.severity.value}[{printable(item.code)}]", item.severity.value)
    return f"{label} {_in_line(item.message)}"


def _in_line(told: str) -> str:
    return printable(" ".join(told.split()))


def _whole(item: Diagnostic) -> str:
    """The message with what to do about it."""
    return item.message if item.hint is None else f"{item.message}\nhint: {item.hint}"


def _in_repository(path: RelPath, project: Project) -> str:
    whole = os.path.normpath(os.path.join(project.root, path))
    return os.path.relpath(whole, project.repository)


# --- GitHub --------------------------------------------------------------------------------------

_COMMANDS: Final = {
    Severity.ERROR: "error",
    Severity.WARNING: "warning",
    Severity.INFO: "notice",
}


def github(report: Report, project: Project) -> str:
    """Annotations, as GitHub's documentation has them ("Workflow commands for GitHub Actions")."""
    told = []
    for item in report.findings:
        about = {"title": item.code}
        if item.where is not None:
            numbers = {"line": item.where.line, "col": item.where.column}
            about["file"] = _in_repository(item.where.file, project)
            about |= {name: str(number) for name, number in numbers.items() if number}
        shown = ",".join(f"{name}={_property(value)}" for name, value in sorted(about.items()))
        told.append(f"::{_COMMANDS[item.severity]} {shown}::{_data(_whole(item))}\n")
    return "".join(told)


def _data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")


# --- SARIF ---------------------------------------------------------------------------------------

_SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_LEVELS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def sarif(report: Report, project: Project) -> str:
    """SARIF 2.1.0. What has no place is a notification: a result without one is of no use."""
    findings = report.findings
    placed = [item for item in findings if item.where is not None]
    codes = sorted({item.code for item in placed})
    rest = [item for item in findings if item.where is None]
    run: dict[str, object] = {
        "tool": {
            "driver": {
                "name": "lambdad",
                "version": LAMBDAD,
                "rules": [{"id": code} for code in codes],
            }
        },
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"%SRCROOT%": {"description": {"text": "The repository's root."}}},
        "invocations": [
            {
                "executionSuccessful": all(item.severity is not Severity.ERROR for item in rest),
                "toolExecutionNotifications": [
                    {
                        "level": _LEVELS[item.severity],
                        "descriptor": {"id": item.code},
                        "message": {"text": _whole(item)},
                    }
                    for item in rest
                ],
            }
        ],
        "results": [
            {
                "ruleId": item.code,
                "ruleIndex": codes.index(item.code),
                "level": _LEVELS[item.severity],
                "message": {"text": _whole(item)},
                "locations": [{"physicalLocation": _physical(item, project)}],
            }
            for item in placed
        ],
    }
    whole = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(whole, indent=2) + "\n"


def _physical(item: Diagnostic, project: Project) -> dict[str, object]:
    assert item.where is not None  # noqa: S101 -- asked before
    path = _in_repository(item.where.file, project)
    uri = quote(path.encode("utf-8", "surrogateescape"))
    found: dict[str, object] = {"artifactLocation": {"uri": uri, "uriBaseId": "%SRCROOT%"}}
    numbers = {"startLine": item.where.line, "startColumn": item.where.column}
    if region := {name: number for name, number in numbers.items() if number}:
        found["region"] = region
    return found


# --- JUnit ---------------------------------------------------------------------------------------

_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 document can hold."""


def junit(report: Report, project: Project) -> str:
    """A suite for a file, with a case for a finding; errors alone are failures. A file without any
    has one case that passed."""
    by_file: defaultdict[str, list[Diagnostic]] = defaultdict(list)
    for path in report.files:
        by_file[path] = []
    for item in report.findings:
        by_file[item.where.file if item.where is not None else project_name(project)].append(item)
    suites = ElementTree.Element("testsuites", name="lambdad")
    failures = 0
    for path, items in sorted(by_file.items()):
        failed = sum(item.severity is Severity.ERROR for item in items)
        failures += failed
        counts = {"tests": len(items) or 1, "failures": failed, "errors": 0, "skipped": 0}
        suite = _element(suites, "testsuite", {"name": path, **counts})
        if not items:
            _element(suite, "testcase", {"classname": path, "name": "lint"})
        for item in items:
            _case(suite, path, item)
    suites.set("tests", str(sum(len(items) or 1 for items in by_file.values())))
    suites.set("failures", str(failures))
    ElementTree.indent(suites)
    body = ElementTree.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{body}\n'


def project_name(project: Project) -> str:
    return os.path.basename(project.root) or "project"


def _case(suite: ElementTree.Element, path: str, item: Diagnostic) -> None:
    at = item.where
    name = item.code if at is None or at.line is None else f"{item.code} at line {at.line}"
    case = _element(suite, "testcase", {"classname": path, "name": name, "file": path})
    if at is not None and at.line is not None:
        case.set("line", str(at.line))
    if item.severity is Severity.ERROR:
        about = {"type": item.code, "message": _in_line(item.message)}
        _element(case, "failure", about).text = _fit(f"{line(item)}\n{item.hint or ''}".rstrip())
    else:
        _element(case, "system-out", {}).text = _fit(line(item))


def _element(
    above: ElementTree.Element, name: str, about: Mapping[str, object]
) -> ElementTree.Element:
    fit = {key: _fit(str(value)) for key, value in about.items()}
    return ElementTree.SubElement(above, name, fit)


def _fit(told: str) -> str:
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", told)


OUTPUTS: Final[Mapping[str, Callable[[Report, Project], str]]] = {
    "github": github,
    "sarif": sarif,
    "junit": junit,
    "errorformat": errorformat,
}
"""By what `--output` calls it; beside these there is text for people."""
