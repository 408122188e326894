"""Live trees: bundles in a folder per digest, and what is remembered of them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler import build
from lambdad.bundler.model import BuildResult, Function, Handler, Live, Method, Want
from lambdad.bundler.report.render import outcome_json, status
from lambdad.bundler.runtimes import RUNTIMES
from lambdad.bundler.store.store import Store, cache_folder
from lambdad.bundler.store.upkeep import Upkeep
from lambdad.bundler.workshop import Workshop
from tests.bundler.inputs.test_snapshot import wait_for_tick
from tests.bundler.test_build import project
from tests.conftest import Tree, workshop_at, write_tree
from tests.support.esbuild_cases import call
from tests.support.npm_apps import elf
from tests.support.samples import function

Lay = Callable[[Tree], None]

APP = {
    "src/list.ts": "import { word } from './word';\nexport const handler = async () => word;\n",
    "src/word.ts": "export const word: string = 'one';\n",
}


def bundled(name: str = "List", **changes: Any) -> Function:
    fields: dict[str, Any] = {
        "runtime": RUNTIMES["nodejs22.x"],
        "method": Method.ESBUILD,
        "handler": Handler("list.handler", "list", "handler"),
    }
    return function(name, **{**fields, **changes})


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """A project whose store is the user's own, so that esbuild is fetched once."""
    return workshop_at(tmp_path / "project", Store(cache_folder(dict(os.environ))))


def run(
    workshop: Workshop, *functions: Function, want: Want = Want.LIVE
) -> tuple[BuildResult, ...]:
    wait_for_tick(workshop.root)
    return build.build(functions, workshop, Upkeep(project(workshop, *functions)), want=want)


def made(workshop: Workshop, *functions: Function) -> Live:
    """What the first of them is loaded from."""
    outcome = run(workshop, *functions)[0]
    assert outcome.live is not None, outcome.diagnostics
    return outcome.live


def answer(workshop: Workshop, tree: Live, export: str = "handler") -> Any:
    return call(Path(workshop.root), tree.entry, export)


def folders(workshop: Workshop, name: str = "List") -> list[str]:
    home = Path(workshop.root, ".lambdad/live", name)
    return sorted(entry.name for entry in home.iterdir() if entry.is_dir())


# --- bundles -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["module", "commonjs"])
@pytest.mark.parametrize("esbuild", [(), (("format", "esm"),), (("minify", True),)])
def test_loaded_by_node(workshop: Workshop, lay: Lay, kind: str, esbuild: Any) -> None:
    """Node.js loads a bundle as Lambda would, whatever the project's package.json says."""
    lay({**APP, "package.json": json.dumps({"type": kind})})
    tree = made(workshop, bundled(esbuild=esbuild))
    assert answer(workshop, tree) == "one"
    assert tree.path == ()
    assert tree.entry.startswith(f".lambdad/live/List/{tree.digest}/list.")


@pytest.mark.parametrize(
    ("code", "handler", "group"),
    [
        ("src", "list", False),
        ("src", "list", True),
        (".", "src/list", True),
        ("src/list.ts", "list", False),
    ],
)
def test_maps_lead_to_the_sources(
    workshop: Workshop, lay: Lay, code: str, handler: str, group: bool
) -> None:
    """A traceback names the user's own file and line, wherever bundle and sources lie."""
    lay(
        {
            "src/list.ts": "type T = 1;\n\nexport const handler = () => {\n"
            "  return new Error().stack;\n};\n"
        }
    )
    one = bundled(code=code, handler=Handler(f"{handler}.handler", handler, "handler"))
    others = [bundled("Other", code=code, handler=one.handler)] if group else []
    tree = made(workshop, one, *others)
    script = f"console.log(require({json.dumps(f'{workshop.root}/{tree.entry}')}).handler())"
    done = subprocess.run(
        ["node", "--enable-source-maps", "-e", script], capture_output=True, text=True, check=True
    )
    assert f"{workshop.root}/src/list.ts:4:" in done.stdout


def test_digest_follows_content(workshop: Workshop, lay: Lay) -> None:
    """An edit is another digest in another folder; the same text again is the same, old or new."""
    lay(APP)
    first = made(workshop, bundled())
    lay({"src/word.ts": "export const word: string = 'two';\n"})
    second = made(workshop, bundled())
    assert second.digest != first.digest
    assert [answer(workshop, tree) for tree in (first, second)] == ["one", "two"]
    os.utime(Path(workshop.root, "src/word.ts"))
    (again,) = run(workshop, bundled())
    assert (again.cached, again.live) == (False, second)
    lay({"src/word.ts": APP["src/word.ts"]})
    assert made(workshop, bundled()) == first
    assert folders(workshop) == sorted([first.digest, second.digest])


def test_digest_does_not_tell_the_machine(workshop: Workshop, tmp_path: Path) -> None:
    """The same sources elsewhere have the same digest."""
    other = workshop_at(tmp_path / "elsewhere" / "deep", workshop.store)
    for place in (workshop, other):
        write_tree(Path(place.root), APP)
    assert made(workshop, bundled()) == made(other, bundled())


def test_answered_without_a_build(workshop: Workshop, lay: Lay) -> None:
    """What did not move is not built again, and the answer is the same, as JSON too."""
    lay(APP)
    (first,) = run(workshop, bundled())
    (second,) = run(workshop, bundled())
    assert (second.cached, second.live) == (True, first.live)
    told = outcome_json(second)
    assert second.live is not None
    assert told["live"] == {"entry": second.live.entry, "path": [], "digest": second.live.digest}
    assert "artifact" not in told


def test_zip_and_live_are_remembered_apart(workshop: Workshop, lay: Lay) -> None:
    """Being fresh as the one says nothing of the other, and each keeps its last good build."""
    lay(APP)
    (zipped,) = run(workshop, bundled(), want=Want.ZIP)
    (first,) = run(workshop, bundled())
    assert (first.reasons, first.artifact) == (("never built",), None)
    assert zipped.live is None
    lay({"src/word.ts": "export const word = 'two';\n"})
    run(workshop, bundled())
    (stale,) = run(workshop, bundled(), want=Want.ZIP)
    assert stale.reasons == ("src/word.ts changed",)
    lay({"src/list.ts": "export const handler = ;\n"})
    (failed,) = run(workshop, bundled())
    (failed_zip,) = run(workshop, bundled(), want=Want.ZIP)
    assert (status(failed), failed.artifact, failed_zip.live) == ("failed", None, None)
    assert failed_zip.artifact == stale.artifact


def test_a_failure_names_the_last_good_one(workshop: Workshop, lay: Lay) -> None:
    """Its folder stays loadable, the fault is told again without building, mending is seen."""
    lay(APP)
    good = made(workshop, bundled())
    os.rename(Path(workshop.root, "src/word.ts"), Path(workshop.root, "word.ts"))
    outcomes = [run(workshop, bundled())[0] for _ in range(2)]
    assert [(status(one), one.cached, one.live) for one in outcomes] == [
        ("failed", False, good),
        ("failed", True, good),
    ]
    assert answer(workshop, good) == "one"
    os.rename(Path(workshop.root, "word.ts"), Path(workshop.root, "src/word.ts"))
    assert made(workshop, bundled()) == good


@pytest.mark.parametrize("harm", ["edited", "map gone", "gone", "half gone"])
def test_a_harmed_folder_is_made_again(workshop: Workshop, lay: Lay, harm: str) -> None:
    """A folder that another hand changed is not believed."""
    lay(APP)
    tree = made(workshop, bundled())
    entry = Path(workshop.root, tree.entry)
    whole = {path.name: path.read_bytes() for path in entry.parent.iterdir()}
    match harm:
        case "edited":
            entry.write_text("exports.handler = () => 'evil'")
        case "map gone":
            entry.with_name("list.js.map").unlink()
        case "gone":
            entry.parent.rename(entry.parent.parent / "away")
        case "half gone":
            entry.unlink()
            Path(workshop.root, ".lambdad/state/live/List.json").unlink()
    (outcome,) = run(workshop, bundled())
    assert (outcome.cached, outcome.live) == (False, tree)
    assert {path.name: path.read_bytes() for path in entry.parent.iterdir()} == whole
    assert run(workshop, bundled())[0].cached


# --- packages that stay outside ----------------------------------------------------------------

LIB = {
    "package.json": '{"name": "lib", "version": "1.0.0"}',
    "index.js": "exports.word = 'lib 1';\n",
}
USES_LIB = {
    "src/list.ts": "import { word } from 'lib';\nexport const handler = async () => word;\n"
}


def installed(folder: str, files: Tree = LIB) -> Tree:
    return {f"{folder}/node_modules/lib/{name}": content for name, content in files.items()}


@pytest.mark.parametrize("esbuild", [(), (("format", "esm"),)])
@pytest.mark.parametrize("home", [".", "src", "packages"])
def test_external_packages_are_found(
    workshop: Workshop, lay: Lay, tmp_path: Path, home: str, esbuild: Any
) -> None:
    """What the user made external is loaded from where the code would find it, though the bundle
    lies elsewhere, and though the project is moved."""
    code = "packages/a" if home == "packages" else "src"
    lay({f"{code}/list.ts": USES_LIB["src/list.ts"], **installed(home)})
    esbuild = (("external", ("lib",)), *esbuild)
    tree = made(workshop, bundled(code=code, esbuild=esbuild))
    assert answer(workshop, tree) == "lib 1"
    os.rename(workshop.root, tmp_path / "moved")
    assert call(tmp_path / "moved", tree.entry, "handler") == "lib 1"


def test_an_external_package_reinstalled(workshop: Workshop, lay: Lay) -> None:
    """Another content of a package that the bundle only refers to is another digest."""
    lay({**USES_LIB, **installed("src")})
    lib = bundled(esbuild=(("external", ("lib",)),))
    first = made(workshop, lib)
    lay(installed("src", {**LIB, "index.js": "exports.word = 'lib 2';\n"}))
    second = made(workshop, lib)
    assert second.digest != first.digest
    assert answer(workshop, second) == "lib 2"
    lay(installed("src", LIB))
    assert made(workshop, lib) == first


SDK = {
    "src/list.ts": "import { S3 } from '@aws-sdk/client-s3';\nexport const handler = () => S3;\n"
}
CLIENT = {
    "node_modules/@aws-sdk/client-s3/package.json": '{"name": "@aws-sdk/client-s3"}',
    "node_modules/@aws-sdk/client-s3/index.js": "exports.S3 = 'installed';\n",
}


def test_the_sdk_of_the_runtime(workshop: Workshop, lay: Lay) -> None:
    """On Lambda the runtime brings it; here it is bundled where it is installed, else missed with
    a warning, and installing it makes the function stale."""
    lay(SDK)
    (without,) = run(workshop, bundled())
    assert status(without) == "built"
    assert [item.code for item in without.diagnostics] == ["not-installed-here"]
    lay(CLIENT)
    (outcome,) = run(workshop, bundled())
    assert not outcome.cached
    assert outcome.live is not None
    assert outcome.diagnostics == ()
    assert answer(workshop, outcome.live) == "installed"
    (zipped,) = run(workshop, bundled(), want=Want.ZIP)
    assert zipped.artifact is not None
    assert zipped.artifact.unzipped_size < 3000
    lay({"node_modules/@aws-sdk/client-s3/index.js": "exports.S3 = 'edited';\n"})
    edited = made(workshop, bundled())
    assert answer(workshop, edited) == "edited"
    assert edited.digest != outcome.live.digest


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({}, []),
        ({"esbuild": (("external", ("speed*",)),)}, ["not-installed-here"]),
        ({"esbuild": (("external", ("speedup/fast",)),)}, ["not-installed-here"]),
        ({"layers": True}, ["not-installed-here"]),
    ],
)
def test_optional_packages(workshop: Workshop, lay: Lay, changes: Any, codes: list[str]) -> None:
    """Of a package that code does without where it is not installed nothing is told, unless
    something says that it will be there on Lambda."""
    text = "let fast: unknown;\ntry { fast = require('speedup/fast') } catch { fast = 'slow' }\n"
    lay({"src/list.ts": f"{text}export const handler = () => fast;\n"})
    (outcome,) = run(workshop, bundled(**changes))
    assert [item.code for item in outcome.diagnostics] == codes
    assert outcome.live is not None
    assert answer(workshop, outcome.live) == "slow"


def test_one_sdk_package_is_missing_among_others(workshop: Workshop, lay: Lay) -> None:
    """What is installed is bundled, and only the other is left to fail when it is loaded."""
    lazy = "import { S3 } from '@aws-sdk/client-s3';\n"
    lazy += "export const handler = () => [S3, () => require('@aws-sdk/client-sqs')][0];\n"
    lay({"src/list.ts": lazy, **CLIENT})
    (outcome,) = run(workshop, bundled())
    assert outcome.live is not None
    assert answer(workshop, outcome.live) == "installed"
    (told,) = outcome.diagnostics
    assert "@aws-sdk/client-sqs" in told.message


def test_native_modules_are_this_machines(workshop: Workshop, lay: Lay) -> None:
    """No native module is held against Lambda's machine."""
    lay(
        {
            "src/list.ts": "export const handler = () => require('./fast.node');\n",
            "src/fast.node": elf("arm64"),
        }
    )
    assert status(run(workshop, bundled())[0]) == "built"
    assert status(run(workshop, bundled(), want=Want.ZIP)[0]) == "failed"
