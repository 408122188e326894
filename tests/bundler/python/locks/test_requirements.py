"""Requirement files, read statically."""

from __future__ import annotations

import codecs
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pip._internal.req.req_file import preprocess

from lambdad.bundler.model import BundlerError, Diagnostic, ProjectError
from lambdad.bundler.python.indexes import Indexes
from lambdad.bundler.python.locks import requirements
from lambdad.bundler.python.locks.lines import decoded, logical_lines
from lambdad.bundler.store.store import Store
from lambdad.bundler.workshop import Workshop
from tests.conftest import write_tree
from tests.support.paths import ROOT

CASES = json.loads((ROOT / "fixtures/python/requirements.json").read_text())


def workshop_at(root: Path, environ: dict[str, str] | None = None) -> Workshop:
    return Workshop(
        root=str(root), repository=str(root), store=Store(root / "store"), environ=environ or {}
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_cases(case: dict[str, Any], tmp_path: Path) -> None:
    """Each case's file is read as it says: what is wanted, from where, and what decided it."""
    write_tree(tmp_path, case["files"])
    workshop = workshop_at(tmp_path, case.get("environ"))
    path = case.get("read", "requirements.txt")
    if "faults" in case:
        with pytest.raises(ProjectError) as caught:
            requirements.read(path, workshop)
        faults = [
            f"{fault.code} {fault.where.line}:{fault.where.column}"
            for fault in caught.value.diagnostics
            if fault.where is not None
        ]
        assert faults == case["faults"]
        if "inputs" in case:
            assert sorted(workshop.seen.inputs().files) == case["inputs"]
        return
    found = requirements.read(path, workshop)
    assert [wanted.text for wanted in found.wanted] == case["wanted"]
    assert [wanted.text for wanted in found.constraints] == case.get("constraints", [])
    expected = {**dataclasses.asdict(Indexes()), **case.get("indexes", {})}
    assert json.loads(json.dumps(dataclasses.asdict(found.indexes))) == json.loads(
        json.dumps(expected)
    )
    _check_columns(case, found, workshop)


def _check_columns(
    case: dict[str, Any], found: requirements.RequirementsFile, workshop: Workshop
) -> None:
    root = Path(workshop.root)
    columns = {
        "lines": [wanted.where.line for wanted in found.wanted],
        "hashes": [list(wanted.hashes) for wanted in found.wanted],
        "extras": [sorted(wanted.extras) for wanted in found.wanted],
        "editable": [wanted.editable for wanted in found.wanted],
        "paths": [
            str(Path(wanted.path).relative_to(root)) if wanted.path else None
            for wanted in found.wanted
        ],
        "inputs": sorted(workshop.seen.inputs().files),
    }
    for name, actual in columns.items():
        if name in case:
            assert actual == case[name]


LINES = st.lists(
    st.sampled_from(
        ["six", "six==1", " # c", "#c", "a \\", "\\", "  --pre", "-r x", "a#b", "a # b\\", "", " "]
    ),
    max_size=8,
)


@given(lines=LINES)
def test_lines_are_those_pip_sees(lines: list[str]) -> None:
    """Continuations and comments are joined and cut as pip does it, with the same numbers."""
    text = "\n".join(lines)
    ours = [
        (line.where.line, line.text)
        for line in logical_lines(text, "requirements.txt", lambda _name: None, constraint=False)
    ]
    theirs = [(number, line.strip()) for number, line in preprocess(text) if line.strip()]
    assert ours == theirs


@settings(max_examples=300)
@given(text=st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No content of a file is a crash: it is read, or it is a diagnostic with a place."""
    root = tmp_path_factory.getbasetemp()
    (root / "any.txt").write_bytes(text.encode("utf-8", "surrogatepass"))
    faults: tuple[Diagnostic, ...] = ()
    try:
        requirements.read("any.txt", workshop_at(root))
    except ProjectError as fault:
        faults = fault.diagnostics
    assert all(found.where is not None for found in faults)


@pytest.mark.parametrize(
    "content",
    [
        codecs.BOM_UTF8 + "é".encode(),
        codecs.BOM_UTF16_LE + "é".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "é".encode("utf-16-be"),
        codecs.BOM_UTF32_LE + "é".encode("utf-32-le"),
        "é".encode(),
    ],
)
def test_encodings(content: bytes) -> None:
    """A byte order mark decides, else it is UTF-8: never this machine's locale."""
    assert decoded(content) == "é"


def test_named_encoding() -> None:
    """A coding comment in the first two lines decides as well."""
    assert decoded("# -*- coding: latin-1 -*-\né".encode("latin-1")).endswith("é")


def test_not_utf8(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are a fault that names the file."""
    (tmp_path / "requirements.txt").write_bytes(b"\xff\xfe\xff six")
    (tmp_path / "other.txt").write_bytes(b"caf\xe9")
    with pytest.raises(ProjectError) as caught:
        requirements.read("other.txt", workshop_at(tmp_path))
    assert [fault.code for fault in caught.value.diagnostics] == ["bad-encoding"]


def test_the_page_tells_the_options() -> None:
    """docs/python.md lists each option that a requirements file may hold, and no other."""
    page = ROOT / "docs" / "python.md"
    rows = re.findall(r"^\| (`-.*?) \|", page.read_text("utf-8"), re.MULTILINE)
    told = {option for row in rows for option in re.findall(r"`(-[^`]*)`", row)}
    assert told == {*requirements._SHORT, *requirements._FLAGS, *requirements._VALUED}


@pytest.mark.parametrize("option", ["-r", "-c"])
def test_files_of_the_machine_are_not_shown(option: str, tmp_path: Path) -> None:
    """A clone that names a file outside of the repository learns nothing of its text, and gets none
    of it read before its user runs lambdad there."""
    secret = tmp_path / "secret"
    secret.write_text(
        "root:$6$HIDDEN$:1::\n--hash=HIDDEN\nname --hash=HIDDEN\n-r https://HIDDEN/\n"
    )
    root = tmp_path / "app"
    write_tree(root, {"requirements.txt": f"{option} {secret}\n"})
    with pytest.raises(ProjectError) as caught:
        requirements.read("requirements.txt", workshop_at(root))
    assert {found.code for found in caught.value.diagnostics} >= {"bad-requirement"}
    for found in caught.value.diagnostics:
        assert "HIDDEN" not in f"{found.message}{found.hint}"
        assert found.where is not None
        assert (found.where.file, found.where.line) == ("../secret", None)
    untrusted = dataclasses.replace(workshop_at(root), trusted=False)
    with pytest.raises(BundlerError) as refused:
        requirements.read("requirements.txt", untrusted)
    assert refused.value.code == "untrusted-build"
