from __future__ import annotations

import os
from pathlib import Path

import pytest

from lambdad.bundler.esbuild.closure import closure, from_metafile
from lambdad.bundler.esbuild.engine import Job
from lambdad.bundler.esbuild.prober import Disk
from lambdad.bundler.esbuild.resolution import Settings
from lambdad.bundler.inputs import snapshot
from lambdad.bundler.javascript.bundled import pack
from lambdad.bundler.model import Contents, InputSet, ProjectError, Walk
from tests.support.closures import needs_strace, touched, uncovered
from tests.support.esbuild_cases import case_files, lay_out, oneshot, requests, service, workshop_of

NOT_ASKED = {
    "invalid-option", "missing-entry-point", "missing-handler-file", "missing-option-file"
}  # fmt: skip
"""Faults found before esbuild reads any file."""

LAYOUTS = [
    pytest.param(path, id=path.stem) for kind in ("good", "faults") for path in case_files(kind)
]


@needs_strace
@pytest.mark.parametrize("case", LAYOUTS)
def test_closure_covers_what_esbuild_touches(case: Path, tmp_path: Path) -> None:
    """Every path that esbuild asks about lies in the recorded inputs, failed builds included."""
    root = tmp_path / "app"
    said = lay_out(case, root)
    wrong = {}
    for request in requests(said):
        name = request.function.name
        result = pack([request], workshop_of(root), service())[name]
        if isinstance(result, ProjectError) and result.diagnostics[0].code in NOT_ASKED:
            continue
        out = tmp_path / name
        out.mkdir()
        missed = {
            os.path.relpath(path, root)
            for path in touched(request, root, out)
            if uncovered(path, result.inputs, os.path.realpath(root))
        }
        if missed:
            wrong[name] = sorted(missed)
    assert not wrong


def _stale(before: InputSet, root: Path, change: str) -> bool:
    """Whether a file of that name, created now, would be noticed."""
    return not uncovered(
        os.path.join(os.path.realpath(root), change), before, os.path.realpath(root)
    )


SHADOWS = {
    "ts": ["src/lib/shared.tsx", "src/package.json", "tsconfig.json"],
    "cjs": ["src/plain.ts", "src/plain.js", "src/lib/old.ts"],
    "esm": ["src/lib.tsx", "src/lib/index.tsx", "src/tsconfig.json"],
    "maps": ["src/node_modules", "src/inner.ts", "node_modules/exp.js", "jsconfig.json"],
    "workspace": ["packages/w/missing.js", "packages/w/src/w.tsx", "packages/node_modules",
                  "node_modules/.pnpm/pn@1.0.0/node_modules/pn/node_modules", "packages/w/src.ts"],
    "paths": ["api/absent", "api/top/@lib", "config/base"],
    "optional": ["node_modules/not-installed", "src/native"],
    "glob": ["src/words/c.ts", "src/words/more"],
}  # fmt: skip


@pytest.mark.parametrize("name", SHADOWS)
def test_a_file_that_would_shadow_counts(name: str, tmp_path: Path) -> None:
    """A file that would change what an import means makes the bundle stale when it appears."""
    for case in case_files("good"):
        root = tmp_path / case.stem
        said = lay_out(case, root)
        for request in requests(said):
            if request.function.name == name:
                result = pack([request], workshop_of(root), service())[name]
                for change in SHADOWS[name]:
                    assert _stale(result.inputs, root, change), change


def test_case_does_not_count(tmp_path: Path) -> None:
    """esbuild takes Util.tsx for ./util even where the two are different names: when such a file
    appears the bundle is stale, and building it tells the other spelling."""
    root = os.path.realpath(tmp_path)
    (tmp_path / "app.ts").write_text('export { handler } from "./util"')
    (tmp_path / "util.ts").write_text("export const handler = () => 1")
    wanted = requests({"functions": [{"name": "a", "handler": "app.handler"}]})
    workshop = workshop_of(tmp_path)
    first = pack(wanted, workshop, service())["a"]
    assert isinstance(first, Contents)
    seen = snapshot.observe(root, first.inputs)
    (tmp_path / "Util.tsx").write_text("export const handler = () => 2")
    assert list(snapshot.changes(root, seen)) == ["Util.tsx appeared"]
    again = pack(wanted, workshop, service())["a"]
    told = again.diagnostics
    assert "esbuild-different-path-case" in [one.code for one in told]
    assert any("Util.tsx" in one.message for one in told)


def test_unrelated_files_do_not_count(tmp_path: Path) -> None:
    """A name that no import could mean is not among the inputs."""
    said = lay_out(case_files("good")[0].with_name("modules.txt"), tmp_path)
    first = requests(said)[0]
    inputs = pack([first], workshop_of(tmp_path), service())[first.function.name].inputs
    for change in ("README.md", "src/other.ts", "src/lib/unrelated.ts", "typed/new.ts"):
        assert uncovered(f"{os.path.realpath(tmp_path)}/{change}", inputs, str(tmp_path)), change


def test_folders_above_are_files(tmp_path: Path) -> None:
    """Above the repository only the few names that matter are looked at, never a whole folder."""
    root = tmp_path / "deep" / "app"
    said = lay_out(case_files("good")[0].with_name("modules.txt"), root)
    first = requests(said)[0]
    inputs = pack([first], workshop_of(root), service())[first.function.name].inputs
    assert {"../node_modules", "../package.json", "../../tsconfig.json"} <= inputs.files
    assert not [folder for folder in inputs.listings if folder.startswith("..")]


def test_a_base_that_is_not_installed(tmp_path: Path) -> None:
    """A tsconfig.json may extend a package that is not there: esbuild warns, and builds on; when
    the package is installed, anywhere above, the bundle is stale."""
    (tmp_path / "tsconfig.json").write_text('{"extends": "@absent/node22/tsconfig.json"}')
    (tmp_path / "a.ts").write_text("export const handler = () => 1")
    (wanted,) = requests({"functions": [{"name": "a", "handler": "a.handler"}]})
    result = pack([wanted], workshop_of(tmp_path), service())["a"]
    assert isinstance(result, Contents)
    assert [one.code for one in result.diagnostics] == ["esbuild-tsconfig-json"]
    assert _stale(result.inputs, tmp_path, "node_modules/@absent/node22/package.json")
    assert "../node_modules/@absent/node22/package.json" in result.inputs.files


def test_a_symlinked_source_counts_with_its_target(tmp_path: Path) -> None:
    """Where a symlinked file or folder leads is an input, whatever it is imported as."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a.ts").write_text("export const a = 1")
    (tmp_path / "real/b.ts").write_text("export const b = 1")
    (tmp_path / "a.ts").symlink_to("middle.ts")
    (tmp_path / "middle.ts").symlink_to("real/a.ts")
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "index.ts").write_text('export * from "./a"; export * from "./folder/b"')
    job = Job(
        entries=(("index", f"{tmp_path}/index.ts"),),
        flags=("--bundle",),
        folder=str(tmp_path),
        out_folder=str(tmp_path),
    )
    output = service().build(job)
    disk = Disk()
    inputs = closure(
        from_metafile(output.metafile, ["index.ts"], str(tmp_path), disk),
        root=str(tmp_path),
        repository=str(tmp_path),
        settings=Settings(folder=str(tmp_path)),
        disk=disk,
    )
    assert inputs.links == {"a.ts", "middle.ts", "folder"}
    assert {"real/a.ts", "real/b.ts"} <= inputs.files


def test_the_commands_failures_are_retried(tmp_path: Path) -> None:
    """Without a trace a failed build depends on every name in the code folder."""
    said = lay_out(case_files("faults")[0], tmp_path)
    wanted = [r for r in requests(said) if r.function.name in ("relative", "syntax")]
    results = pack(wanted, workshop_of(tmp_path), oneshot())
    inputs = results["relative"].inputs
    assert isinstance(inputs.listings["src"], Walk)
    assert {"src/relative.ts", "src/node_modules", "package.json"} <= inputs.files
    assert "src/syntax.ts" in results["syntax"].inputs.files
