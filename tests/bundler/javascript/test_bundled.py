from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler.esbuild.engine import EsbuildGone, EsbuildJob, EsbuildOutput
from lambdad.bundler.javascript import bundled
from lambdad.bundler.model import BundlerError, Location, ProjectError, Severity
from lambdad.bundler.npm.target import install_flags
from lambdad.bundler.zips.member import Contents
from tests.support.closures import uncovered
from tests.support.esbuild_cases import (
    call,
    case_files,
    engine,
    files_of,
    lay_out,
    oneshot,
    pack,
    requests,
    service,
    workshop_of,
    write_files,
)
from tests.support.npm_apps import elf

GOOD = [pytest.param(path, id=path.stem) for path in case_files("good")]


@pytest.mark.parametrize("case", GOOD)
def test_bundles_load(case: Path, tmp_path: Path) -> None:
    """A bundle lies where its handler says, and Node.js that sees nothing else gets its answer."""
    said = lay_out(case, tmp_path / "app")
    results = pack(requests(said), workshop_of(tmp_path / "app"), service())
    for function in said["functions"]:
        name = function["name"]
        expected = said["expect"][name]
        files = files_of(results[name])
        assert _names_fit(expected, files), (name, sorted(files))
        zipped = tmp_path / "zips" / name
        write_files(files, zipped)
        for text in expected.get("holds", ()):
            assert any(text in content.decode() for content in files.values()), (name, text)
        if "answer" in expected:
            main = (expected.get("files") or expected["match"])[0]
            export = function["handler"].rpartition("/")[2].partition(".")[2]
            answer = call(zipped, main, export, [str(tmp_path / "app/image")])
            assert answer == expected["answer"], name


def _names_fit(expected: dict[str, Any], files: dict[str, bytes]) -> bool:
    if "files" in expected:
        return sorted(files) == sorted(expected["files"])
    found = {name: any(re.fullmatch(p, name) for p in expected["match"]) for name in files}
    return len(files) == len(expected["match"]) and all(found.values())


@pytest.mark.parametrize("case", GOOD)
def test_together_and_alone_give_the_same(case: Path, tmp_path: Path) -> None:
    """Functions built together have the bytes, inputs and warnings that each has alone."""
    said = lay_out(case, tmp_path)
    for extra in ({}, {"minify": True, "sourcemap": "inline"}, {"sourcemap": True}):
        functions = [
            f | {"options": f.get("options", {}) | ({} if f.get("sam") else extra)}
            for f in said["functions"]
        ]
        wanted = requests({"functions": functions})
        workshop = workshop_of(tmp_path)
        together = pack(wanted, workshop, service())
        for one in wanted:
            name = one.function.name
            single = pack([one], workshop, service())
            alone, same = single[name], together[name]
            assert files_of(alone) == files_of(same), name
            assert isinstance(alone, Contents)
            assert isinstance(same, Contents)
            assert single.inputs(name) == together.inputs(name), name
            assert alone.diagnostics == same.diagnostics


@pytest.mark.parametrize("case", GOOD)
def test_the_command_gives_the_services_bytes(case: Path, tmp_path: Path) -> None:
    """A build by the one-shot command equals one by the service in all but time."""
    said = lay_out(case, tmp_path)
    workshop = workshop_of(tmp_path)
    by_service = pack(requests(said), workshop, service())
    by_command = pack(requests(said), workshop, oneshot())
    for name, result in by_service.items():
        other = by_command[name]
        assert files_of(result) == files_of(other), name
        assert by_service.inputs(name) == by_command.inputs(name), name


@pytest.mark.parametrize("case", GOOD)
def test_no_folder_shows_in_the_bytes(case: Path, tmp_path: Path) -> None:
    """A project in two folders gives the same bytes, and neither folder's name is in them."""
    found = []
    for folder in ("first-place", "other/second place ü"):
        said = lay_out(case, tmp_path / folder)
        results = pack(requests(said), workshop_of(tmp_path / folder), service())
        found.append({name: files_of(result) for name, result in results.items()})
    assert found[0] == found[1]
    everything = b"".join(b"".join(files.values()) for files in found[0].values())
    for word in (b"first-place", os.fsencode(tmp_path.name), os.fsencode(tmp_path)):
        assert word not in everything


def test_sources_are_relative_to_the_code_folder(tmp_path: Path) -> None:
    """A source map names the handler's source as it lies beside the bundle."""
    said = lay_out(case_files("good")[0].with_name("contents.txt"), tmp_path)
    results = pack(requests(said), workshop_of(tmp_path), service())
    maps = files_of(results["above"])["app.js.map"]
    assert json.loads(maps)["sources"] == ["app.ts", "../../above.ts"]


@pytest.mark.parametrize("name", ["service", "oneshot"])
def test_faults(name: str, tmp_path: Path) -> None:
    """Each fault has its code, its place and its next step; the functions beside it are built."""
    said = lay_out(case_files("faults")[0], tmp_path)
    results = pack(requests(said), workshop_of(tmp_path), engine(name))
    wrong = {}
    for function, expected in said["expect"].items():
        found = results[function].diagnostics
        fits = len(found) == len(expected) and all(
            diagnostic.where is not None
            and [
                diagnostic.code,
                diagnostic.where.file,
                diagnostic.where.line,
                diagnostic.where.column,
            ]
            == one[:4]
            and one[4] in (diagnostic.hint or "")
            for diagnostic, one in zip(found, expected, strict=True)
        )
        if not fits:
            wrong[function] = found
    assert not wrong


def test_failures_have_inputs(tmp_path: Path) -> None:
    """Every failure says what it looked at, so that mending it is noticed."""
    said = lay_out(case_files("faults")[0], tmp_path)
    results = pack(requests(said), workshop_of(tmp_path), service())
    for name, result in results.items():
        if isinstance(result, ProjectError):
            assert results.inputs(name).files or results.inputs(name).listings, name
    root = os.path.realpath(tmp_path)
    for name, path in {
        "relative": "src/goood.ts", "no-file": "src/god.ts", "undeclared": "node_modules/left-pad",
    }.items():  # fmt: skip
        assert not uncovered(f"{root}/{path}", results.inputs(name), root), name


NATIVES = {
    "one that fits": ({"node_modules/a/x.node": "x64"}, None),
    "another machine's": ({"node_modules/a/x.node": "arm64"}, "node_modules/a/x.node"),
    "one of many fits": (
        {f"node_modules/a/{cpu}.node": cpu for cpu in ("arm64", "x64")},
        None,
    ),
    "another package's fits": (
        {"node_modules/a/x.node": "arm64", "node_modules/@b/c/x.node": "x64"},
        "node_modules/a/x.node",
    ),
    "in a scope": ({"node_modules/@b/c/x.node": "arm64"}, "node_modules/@b/c/x.node"),
    "one's own": ({"build/x.node": "arm64"}, "build/x.node"),
}


@pytest.mark.parametrize("name", NATIVES)
def test_native_modules_that_do_not_load(name: str, tmp_path: Path) -> None:
    """A copied native module for another machine is an error with the command that mends it,
    unless its package carries one that fits; mending it is noticed."""
    modules, culprit = NATIVES[name]
    write_files({path: elf(cpu) for path, cpu in modules.items()}, tmp_path)
    needed = "; ".join(f'require("./{path}")' for path in modules)
    write_files({"app.js": f"{needed}; exports.handler = () => 1".encode()}, tmp_path)
    wanted = requests({"functions": [{"name": "f", "handler": "app.handler"}]})
    packed = pack(wanted, workshop_of(tmp_path), service())
    result = packed["f"]
    if culprit is None:
        assert len(files_of(result)) > len(set(modules.values()))
        return
    (told,) = result.diagnostics
    assert (told.code, told.severity) == ("native-platform", Severity.ERROR)
    assert told.message == f"{culprit} is built for arm64, not for x86_64"
    assert told.where == Location(culprit)
    flags = install_flags(wanted[0].function.architecture)
    expected = f"run `npm install {flags}` in the project's folder" if "node_" in culprit else ""
    assert (told.hint or "").startswith(expected or "build it for Linux on x86_64")
    assert culprit in packed.inputs("f").files


class _Dying:
    """An esbuild that ends at the first question."""

    pid = None

    def build(self, job: EsbuildJob) -> EsbuildOutput:
        raise EsbuildGone("killed")

    def close(self) -> None:
        """Nothing is left of it."""


def test_another_esbuild_is_started_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An esbuild that dies is replaced once; after that it is the machine's fault."""
    said = lay_out(case_files("good")[0].with_name("modules.txt"), tmp_path)
    wanted = requests(said)[:1]
    found: list[Any] = [_Dying(), oneshot()]
    monkeypatch.setattr(bundled, "start", lambda _workshop: found.pop(0))
    assert files_of(pack(wanted, workshop_of(tmp_path))[wanted[0].function.name])
    found = [_Dying(), _Dying()]
    with pytest.raises(BundlerError) as caught:
        pack(wanted, workshop_of(tmp_path))
    assert caught.value.code == "esbuild-gone"
