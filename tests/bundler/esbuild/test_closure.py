from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from lambdad.bundler.esbuild.closure import closure, from_metafile
from lambdad.bundler.esbuild.engine import EsbuildJob
from lambdad.bundler.esbuild.prober import Disk
from lambdad.bundler.esbuild.resolution import Settings
from lambdad.bundler.inputs import snapshot
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.model import InputSet, ProjectError, Walk, Want
from lambdad.bundler.zips.member import Contents
from tests.conftest import write_tree
from tests.support.closures import needs_strace, touched, uncovered
from tests.support.esbuild_cases import (
    case_files,
    lay_out,
    oneshot,
    pack,
    requests,
    service,
    workshop_of,
)

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
        packed = pack([request], workshop_of(root), service())
        result = packed[name]
        if isinstance(result, ProjectError) and result.diagnostics[0].code in NOT_ASKED:
            continue
        out = tmp_path / name
        out.mkdir()
        missed = {
            os.path.relpath(path, root)
            for path in touched(request, root, out)
            if uncovered(path, packed.inputs(name), os.path.realpath(root))
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
                inputs = pack([request], workshop_of(root), service()).inputs(name)
                for change in SHADOWS[name]:
                    assert _stale(inputs, root, change), change


def test_case_does_not_count(tmp_path: Path) -> None:
    """esbuild takes Util.tsx for ./util even where the two are different names: when such a file
    appears the bundle is stale, and building it tells the other spelling."""
    root = os.path.realpath(tmp_path)
    (tmp_path / "app.ts").write_text('export { handler } from "./util"')
    (tmp_path / "util.ts").write_text("export const handler = () => 1")
    wanted = requests({"functions": [{"name": "a", "handler": "app.handler"}]})
    workshop = workshop_of(tmp_path)
    first = pack(wanted, workshop, service())
    assert isinstance(first["a"], Contents)
    seen = snapshot.observe(root, first.inputs("a"))
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
    inputs = pack([first], workshop_of(tmp_path), service()).inputs(first.function.name)
    for change in ("README.md", "src/other.ts", "src/lib/unrelated.ts", "typed/new.ts"):
        assert uncovered(f"{os.path.realpath(tmp_path)}/{change}", inputs, str(tmp_path)), change


def test_folders_above_are_files(tmp_path: Path) -> None:
    """Above the repository only the few names that matter are looked at, never a whole folder."""
    root = tmp_path / "deep" / "app"
    said = lay_out(case_files("good")[0].with_name("modules.txt"), root)
    first = requests(said)[0]
    inputs = pack([first], workshop_of(root), service()).inputs(first.function.name)
    assert {"../node_modules", "../package.json", "../../tsconfig.json"} <= inputs.files
    assert not [folder for folder in inputs.listings if folder.startswith("..")]


def test_a_base_that_is_not_installed(tmp_path: Path) -> None:
    """A tsconfig.json may extend a package that is not there: esbuild warns, and builds on; when
    the package is installed, anywhere above, the bundle is stale."""
    (tmp_path / "tsconfig.json").write_text('{"extends": "@absent/node22/tsconfig.json"}')
    (tmp_path / "a.ts").write_text("export const handler = () => 1")
    (wanted,) = requests({"functions": [{"name": "a", "handler": "a.handler"}]})
    packed = pack([wanted], workshop_of(tmp_path), service())
    result, inputs = packed["a"], packed.inputs("a")
    assert isinstance(result, Contents)
    assert [one.code for one in result.diagnostics] == ["esbuild-tsconfig-json"]
    assert _stale(inputs, tmp_path, "node_modules/@absent/node22/package.json")
    assert "../node_modules/@absent/node22/package.json" in inputs.files


def test_a_symlinked_source_counts_with_its_target(tmp_path: Path) -> None:
    """Where a symlinked file or folder leads is an input, whatever it is imported as."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a.ts").write_text("export const a = 1")
    (tmp_path / "real/b.ts").write_text("export const b = 1")
    (tmp_path / "a.ts").symlink_to("middle.ts")
    (tmp_path / "middle.ts").symlink_to("real/a.ts")
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "index.ts").write_text('export * from "./a"; export * from "./folder/b"')
    job = EsbuildJob(
        entries=(("index", f"{tmp_path}/index.ts"),),
        flags=("--bundle",),
        folder=str(tmp_path),
        out_folder=str(tmp_path),
    )
    output = service().build(job)
    disk = Disk()
    seen = Seen(str(tmp_path), str(tmp_path))
    sources = from_metafile(output.metafile, ["index.ts"], str(tmp_path), disk)
    closure(sources, seen, settings=Settings(folder=str(tmp_path)), disk=disk)
    inputs = seen.inputs()
    assert inputs.links == {"a.ts", "middle.ts", "folder"}
    assert {"real/a.ts", "real/b.ts"} <= inputs.files


def test_the_commands_failures_are_retried(tmp_path: Path) -> None:
    """Without a trace a failed build depends on every name in the code folder."""
    said = lay_out(case_files("faults")[0], tmp_path)
    wanted = [r for r in requests(said) if r.function.name in ("relative", "syntax")]
    results = pack(wanted, workshop_of(tmp_path), oneshot())
    inputs = results.inputs("relative")
    assert isinstance(inputs.listings["src"], Walk)
    assert {"src/relative.ts", "src/node_modules", "package.json"} <= inputs.files
    assert "src/syntax.ts" in results.inputs("syntax").files


SDK = {
    "package.json": '{"dependencies": {"@aws-sdk/client-s3": "3"}}',
    "node_modules/@aws-sdk/client-s3/package.json": '{"main": "index.js"}',
    "node_modules/@aws-sdk/client-s3/index.js": "exports.S3 = 1;",
    "app.ts": 'import "@aws-sdk/client-s3"; export const handler = () => 1;',
}


def test_what_is_left_out_depends_on_what_is_installed(tmp_path: Path) -> None:
    """Where a project brings some of the AWS SDK, the other installed clients are left out by their
    names: installing one makes the bundle stale, and so does a nearer copy of one that is brought.
    """
    write_tree(tmp_path, SDK)
    (wanted,) = requests({"functions": [{"name": "a", "handler": "app.handler"}]})
    packed = pack([wanted], workshop_of(tmp_path), service())
    assert isinstance(packed["a"], Contents)
    before = snapshot.observe(os.path.realpath(tmp_path), packed.inputs("a"))
    write_tree(tmp_path, {"node_modules/@aws-sdk/client-sqs/package.json": "{}"})
    changed = list(snapshot.changes(os.path.realpath(tmp_path), before))
    assert changed == ["node_modules/@aws-sdk/client-sqs appeared"]


def test_what_a_live_bundle_leaves_out_depends_on_what_is_installed(tmp_path: Path) -> None:
    """On this machine the SDK is bundled once any of it is installed."""
    write_tree(tmp_path, {"app.ts": "export const handler = () => 1;"})
    (wanted,) = requests({"functions": [{"name": "a", "handler": "app.handler"}]})
    packed = pack([replace(wanted, want=Want.LIVE)], workshop_of(tmp_path), service())
    assert isinstance(packed["a"], Contents)
    assert _stale(packed.inputs("a"), tmp_path, "node_modules/@aws-sdk/client-sqs")


def test_a_hint_depends_on_what_lies_near(tmp_path: Path) -> None:
    """What a failure proposes is looked at: it is told anew when that has changed."""
    write_tree(tmp_path, {"package.json": "{}", "app.ts": 'import "left-pad"'})
    (wanted,) = requests({"functions": [{"name": "a", "handler": "app.handler"}]})
    inputs = pack([wanted], workshop_of(tmp_path), service()).inputs("a")
    for path in ("pnpm-lock.yaml", "package.json", "node_modules/left-pad"):
        assert _stale(inputs, tmp_path, path), path
