"""A report in every format: well-formed whatever the findings hold, each finding in it once."""

from __future__ import annotations

import json
import re
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.bundler.lint import outputs
from lambdad.bundler.lint.outputs import OUTPUTS
from lambdad.bundler.lint.run import Report
from lambdad.bundler.model import Diagnostic, InputSet, Linted, Location, Project, Severity
from lambdad.bundler.report.shown import ansi
from tests.support.samples import function

PROJECT = Project(root="/repo/app", repository="/repo", functions=(), inputs=InputSet())

ERROR = Diagnostic(
    code="F821",
    severity=Severity.ERROR,
    message="Undefined name `x`",
    where=Location("src/a b.py", 3, 7),
    hint="define it",
)
WARNING = Diagnostic(
    code="TS2322", severity=Severity.WARNING, message="100%\nnot, so: it", where=Location("b.ts", 1)
)
INFO = Diagnostic(
    code="unused-dependency", severity=Severity.INFO, message="m", where=Location("c")
)
NOWHERE = Diagnostic(code="lint-tool", severity=Severity.ERROR, message="ruff hangs", hint="end it")


def report(
    *items: Diagnostic, files: tuple[str, ...] = (), rest: tuple[Diagnostic, ...] = ()
) -> Report:
    outcome = Linted(function=function("One"), diagnostics=items)
    return Report(outcomes=(outcome,), diagnostics=rest, files=files)


ALL = report(ERROR, WARNING, INFO, rest=(NOWHERE,), files=("clean.py", "src/a b.py"))


def test_text() -> None:
    """A line a finding, as editors know it, by place; the hint below."""
    assert outputs.text(ALL.findings) == (
        "error[lint-tool] ruff hangs\n"
        "    hint: end it\n"
        "b.ts:1: warning[TS2322] 100% not, so: it\n"
        "c: info[unused-dependency] m\n"
        "src/a b.py:3:7: error[F821] Undefined name `x`\n"
        "    hint: define it\n"
    )
    assert "\x1b[31merror[F821]\x1b[0m" in outputs.text([ERROR], ansi)


def test_errorformat() -> None:
    """Every place is whole, and a finding is one line."""
    assert OUTPUTS["errorformat"](ALL, PROJECT) == (
        "error[lint-tool] ruff hangs\n"
        "b.ts:1:1: warning[TS2322] 100% not, so: it\n"
        "c:1:1: info[unused-dependency] m\n"
        "src/a b.py:3:7: error[F821] Undefined name `x`\n"
    )


def test_github() -> None:
    """Annotations at the repository's paths, with what would end them early escaped."""
    assert OUTPUTS["github"](ALL, PROJECT) == (
        "::error title=lint-tool::ruff hangs%0Ahint: end it\n"
        "::warning file=app/b.ts,line=1,title=TS2322::100%25%0Anot, so: it\n"
        "::notice file=app/c,title=unused-dependency::m\n"
        "::error col=7,file=app/src/a b.py,line=3,title=F821::Undefined name `x`"
        "%0Ahint: define it\n"
    )
    odd = Diagnostic(code="a:b,c", severity=Severity.ERROR, message="m", where=Location("x,y:z"))
    assert OUTPUTS["github"](report(odd), PROJECT) == (
        "::error file=app/x%2Cy%3Az,title=a%3Ab%2Cc::m\n"
    )


def test_sarif() -> None:
    """SARIF 2.1.0: results have places in the repository, all else is a notification."""
    whole = json.loads(OUTPUTS["sarif"](ALL, PROJECT))
    assert whole["version"] == "2.1.0"
    (run,) = whole["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert rules == [{"id": "F821"}, {"id": "TS2322"}, {"id": "unused-dependency"}]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    assert run["results"][2] == {
        "ruleId": "F821",
        "ruleIndex": 0,
        "level": "error",
        "message": {"text": "Undefined name `x`\nhint: define it"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": "app/src/a%20b.py", "uriBaseId": "%SRCROOT%"},
                    "region": {"startLine": 3, "startColumn": 7},
                }
            }
        ],
    }
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    (notification,) = invocation["toolExecutionNotifications"]
    assert notification["descriptor"] == {"id": "lint-tool"}


def test_junit() -> None:
    """A suite for a file, errors as failures, and a clean file as a case that passed."""
    suites = ElementTree.fromstring(OUTPUTS["junit"](ALL, PROJECT))
    assert {suite.get("name"): suite.get("failures") for suite in suites} == {
        "app": "1",
        "b.ts": "0",
        "c": "0",
        "clean.py": "0",
        "src/a b.py": "1",
    }
    assert (suites.get("tests"), suites.get("failures")) == ("5", "2")
    (failure,) = suites.findall("testsuite[@name='src/a b.py']/testcase/failure")
    assert failure.get("type") == "F821"
    assert failure.text == "src/a b.py:3:7: error[F821] Undefined name `x`\ndefine it"


def test_document() -> None:
    """The JSON is that of a build: a function's findings are the function's."""
    whole = json.loads(json.dumps(outputs.document(ALL)))
    assert whole["ok"] is False
    (one,) = whole["functions"]
    assert (one["name"], one["status"], len(one["diagnostics"])) == ("One", "linted", 3)
    assert [item["code"] for item in whole["diagnostics"]] == ["lint-tool"]


def test_nothing_found() -> None:
    """A clean report is a valid document of each format."""
    clean = report(files=("a.py",))
    assert clean.ok
    assert OUTPUTS["github"](clean, PROJECT) == OUTPUTS["errorformat"](clean, PROJECT) == ""
    assert json.loads(OUTPUTS["sarif"](clean, PROJECT))["runs"][0]["results"] == []
    assert ElementTree.fromstring(OUTPUTS["junit"](clean, PROJECT)).get("tests") == "1"


def test_each_once_as_the_strictest_has_it() -> None:
    """A file of two functions is told once, as an error if one of them says so."""
    strict = Diagnostic(
        code="F401", severity=Severity.ERROR, message="m", where=Location("a.py", 1)
    )
    mild = Diagnostic(
        code="F401", severity=Severity.WARNING, message="m", where=Location("a.py", 1)
    )
    both = Report(
        outcomes=tuple(
            Linted(function=function(name), diagnostics=(item,))
            for name, item in (("One", mild), ("Two", strict))
        ),
        diagnostics=(),
        files=("a.py",),
    )
    assert both.findings == (strict,)
    assert not both.ok


texts = st.text(max_size=20) | st.text("\n\r\t%:,<&]>\"'\0\x1b \ud800", max_size=8)
diagnostics = st.builds(
    Diagnostic,
    code=texts,
    severity=st.sampled_from(Severity),
    message=texts,
    where=st.none()
    | st.builds(
        Location,
        texts.map(lambda name: f"d/{name}".replace("\0", "").replace("\ud800", "")),
        st.none() | st.integers(1, 9),
        st.none() | st.integers(1, 9),
    ),
    hint=st.none() | texts,
)


@pytest.mark.parametrize("name", OUTPUTS)
@given(items=st.lists(diagnostics, max_size=4))
def test_any_finding(name: str, items: list[Diagnostic]) -> None:
    """Nothing that a tool says ends a line, an annotation or a document early."""
    whole = report(*items)
    told = OUTPUTS[name](whole, PROJECT)
    count = len(whole.findings)
    if name == "sarif":
        (run,) = json.loads(told)["runs"]
        notes = run["invocations"][0]["toolExecutionNotifications"]
        assert len(run["results"]) + len(notes) == count
        for result in run["results"]:
            uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
            assert re.fullmatch(r"[\w./%~-]+", uri, re.ASCII)
            assert unquote(uri).startswith("app/")
    elif name == "junit":
        suites = ElementTree.fromstring(told)
        assert len(suites.findall("testsuite/testcase")) == count
        assert suites.get("tests") == str(count)
    elif name == "github":
        assert told.count("\n") == count
        assert "\r" not in told
    else:
        assert len(told.split("\n")) == count + 1
