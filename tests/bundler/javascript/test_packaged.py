"""Whole functions: installed by real installers, packed, unpacked, run by a real Node.js."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from lambdad.bundler.workshop import Workshop
from tests.conftest import write_tree
from tests.support import npm_apps, npm_managers
from tests.support.npm_apps import HANDLER_JS, Registry, call, names, pack, run, spec, unpack

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    registry = Registry()
    for declared in (
        spec("shared", "1.0.0"),
        spec("shared", "2.0.0", dependencies={"leaf": "^1.0.0"}),
        spec("leaf", "1.1.0"),
        spec("old", dependencies={"shared": "^1.0.0"}),
        spec("older", dependencies={"shared": "^1.0.0", "old": "^1.0.0"}),
        spec("@scope/new", dependencies={"shared": "^2.0.0"}),
        spec("round", dependencies={"about": "^1.0.0"}),
        spec("about", dependencies={"round": "^1.0.0"}),
        spec("plugin", peerDependencies={"shared": ">=1"}),
        spec("tester", dependencies={"leaf": "^1.0.0", "only-tests": "^1.0.0"}),
        spec("only-tests"),
        spec("for-mac", os=["darwin"]),
        spec("picky", optionalDependencies={"for-mac": "^1.0.0", "leaf": "^1.0.0"}),
    ):
        registry.publish(declared)
    registry.publish(
        spec("tool", bin={"tool": "bin/tool.js"}), {"bin/tool.js": "#!/usr/bin/env node\n"}
    )
    with npm_apps.serving(registry):
        yield registry


DEPENDENCIES: Final = {
    "@scope/new": "^1.0.0",
    "old": "^1.0.0",
    "older": "^1.0.0",
    "picky": "^1.0.0",
    "plugin": "^1.0.0",
    "round": "^1.0.0",
    "shared": "^2.0.0",
    "tool": "^1.0.0",
}
APP: Final = spec("app", dependencies=DEPENDENCIES, devDependencies={"tester": "^1.0.0"})


def json_files(files: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: text if isinstance(text, str) else json.dumps(text) for name, text in files.items()
    }


def root_of(workshop: Workshop, files: Mapping[str, Any]) -> Path:
    root = Path(workshop.root)
    write_tree(root, json_files(files))
    return root


def check_app(workshop: Workshop, out: Path) -> list[str]:
    """The unpacked zip gets the versions that were installed, and nothing of the tests' tools."""
    contents = pack(workshop)
    expected = call(Path(workshop.root, "src"))
    assert call(unpack(contents, out)) == expected
    assert "null" not in json.dumps(expected).replace('"for-mac": null', "")
    held = names(contents)
    assert not [name for name in held if "only-tests" in name or "tester" in name]
    assert not [name for name in held if "/.bin/" in name or "/.package-lock.json" in name]
    assert "for-mac" not in "".join(held)
    return held


@pytest.mark.parametrize(
    "command",
    [
        ("install",),
        ("install", "--lockfile-version=1"),
        ("install", "--lockfile-version=2"),
        ("install", "--no-package-lock"),
        ("install", "--omit=dev"),
        ("install", "--install-strategy=nested"),
        ("install", "--install-strategy=shallow"),
        ("install", "--install-strategy=linked"),
    ],
    ids=" ".join,
)
def test_npm(
    workshop: Workshop, registry: Registry, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """Whatever npm's lock and layout, the zip holds the production set in the same versions."""
    root = root_of(workshop, {"src/package.json": APP, "src/app.js": HANDLER_JS})
    run(root / "src", registry, "npm", *command)
    held = check_app(workshop, tmp_path / "out")
    assert "node_modules/tool/bin/tool.js" in held
    assert not [name for name in held if "package-lock" in name]


def test_ci_equals_install(workshop: Workshop, registry: Registry) -> None:
    """An installation made anew from the lock gives the same segment, byte for byte."""
    root = root_of(workshop, {"src/package.json": APP, "src/app.js": HANDLER_JS})
    run(root / "src", registry, "npm", "install")
    first = pack(workshop).dependencies
    shutil.rmtree(root / "src/node_modules")
    run(root / "src", registry, "npm", "ci", "--omit=dev")
    second = pack(workshop).dependencies
    assert first is not None
    assert second is not None
    assert first.digest == second.digest


def test_executables_stay_executable(
    workshop: Workshop, registry: Registry, tmp_path: Path
) -> None:
    """A package's executable file is executable in the zip, the others are not."""
    root = root_of(workshop, {"src/package.json": APP, "src/app.js": HANDLER_JS})
    run(root / "src", registry, "npm", "install")
    contents = pack(workshop)
    assert contents.dependencies is not None
    executable = [item.name for item in contents.dependencies.members if item.executable]
    assert executable == ["node_modules/tool/bin/tool.js"]


WORKSPACE: Final = {
    "package.json": spec("root", private=True, workspaces=["src", "lib"]),
    "src/package.json": spec("app", dependencies={**DEPENDENCIES, "@own/lib": "1.0.0"}),
    "src/app.js": HANDLER_JS,
    "lib/package.json": spec("@own/lib", dependencies={"shared": "^1.0.0", "leaf": "^1.0.0"}),
    "lib/index.js": npm_apps.TREE_JS,
    "lib/data/table.txt": "1\n",
}


def test_npm_workspace(workshop: Workshop, registry: Registry, tmp_path: Path) -> None:
    """Packages hoisted above the code, and a sibling workspace, land in the zip as files."""
    root = root_of(workshop, WORKSPACE)
    run(root, registry, "npm", "install")
    assert (root / "node_modules/@own/lib").is_symlink()
    assert "node_modules/@own/lib/data/table.txt" in check_app(workshop, tmp_path / "out")


def test_local_package(workshop: Workshop, registry: Registry, tmp_path: Path) -> None:
    """A `file:` dependency, which npm links, is copied, with what it depends on."""
    local = spec("local", dependencies={"shared": "^1.0.0"})
    root = root_of(
        workshop,
        {
            "src/package.json": spec(
                "app", dependencies={"local": "file:../local", "shared": "^2.0.0"}
            ),
            "src/app.js": HANDLER_JS,
            "local/package.json": local,
            "local/index.js": npm_apps.TREE_JS,
        },
    )
    run(root / "local", registry, "npm", "install")
    run(root / "src", registry, "npm", "install")
    held = check_app(workshop, tmp_path / "out")
    assert "node_modules/local/node_modules/shared/package.json" in held


def test_two_installations(workshop: Workshop, registry: Registry, tmp_path: Path) -> None:
    """Where the code's node_modules and one above hold two versions, each asker keeps its own."""
    root = root_of(
        workshop,
        {
            "package.json": spec("root", dependencies={"old": "^1.0.0", "shared": "^1.0.0"}),
            "src/package.json": spec("app", dependencies={"old": "*", "shared": "^2.0.0"}),
            "src/app.js": HANDLER_JS,
        },
    )
    run(root, registry, "npm", "install")
    run(root / "src", registry, "npm", "install", "--no-package-lock")
    shutil.rmtree(root / "src/node_modules/old")
    held = check_app(workshop, tmp_path / "out")
    assert "node_modules/old/node_modules/shared/package.json" in held


@pytest.mark.parametrize("settings", ["", "hoist=false\n", "node-linker=hoisted\n"])
def test_pnpm(
    workshop: Workshop, registry: Registry, tmp_path: Path, tools: Path, settings: str
) -> None:
    """pnpm's store behind symlinks becomes plain folders that resolve to the same versions."""
    pnpm = npm_managers.command("pnpm-9", tools)
    root = root_of(
        workshop,
        {"src/package.json": APP, "src/app.js": HANDLER_JS, "src/.npmrc": settings},
    )
    run(root / "src", registry, *pnpm, "install")
    held = check_app(workshop, tmp_path / "out")
    assert not [name for name in held if ".pnpm" in name or name.endswith((".npmrc", ".yaml"))]


def test_pnpm_workspace(
    workshop: Workshop, registry: Registry, tmp_path: Path, tools: Path
) -> None:
    """Each pnpm workspace package gets its own versions in the zip too."""
    pnpm = npm_managers.command("pnpm-9", tools)
    app = spec("app", dependencies={**DEPENDENCIES, "@own/lib": "workspace:*"})
    root = root_of(
        workshop,
        {
            **WORKSPACE,
            "package.json": spec("root", private=True),
            "pnpm-workspace.yaml": "packages: [src, lib]\n",
            "src/package.json": app,
        },
    )
    run(root, registry, *pnpm, "install")
    held = check_app(workshop, tmp_path / "out")
    assert "node_modules/@own/lib/node_modules/shared/package.json" in held


@pytest.mark.parametrize("workspace", [False, True])
def test_yarn(
    workshop: Workshop, registry: Registry, tmp_path: Path, tools: Path, workspace: bool
) -> None:
    """Yarn classic's layouts resolve to the same versions."""
    yarn = npm_managers.command("yarn-1", tools)
    files: Mapping[str, Any] = {"src/package.json": APP, "src/app.js": HANDLER_JS}
    root = root_of(workshop, WORKSPACE if workspace else files)
    run(root if workspace else root / "src", registry, *yarn, "install")
    check_app(workshop, tmp_path / "out")


def test_modules(workshop: Workshop, registry: Registry, tmp_path: Path) -> None:
    """An ES module handler loads a CommonJS package, and package.json's `type` stays in the zip."""
    code = (
        'import { tree } from "shared";\n'
        'import own from "#own";\n'
        "export const handler = async () => [own, tree()];\n"
    )
    root = root_of(
        workshop,
        {
            "src/package.json": spec(
                "app",
                type="module",
                imports={"#own": "./lib/own.js"},
                dependencies={"shared": "^2.0.0"},
            ),
            "src/app.js": code,
            "src/lib/own.js": "export default 7;\n",
        },
    )
    run(root / "src", registry, "npm", "install")
    out = unpack(pack(workshop), tmp_path / "out")
    assert call(out) == [7, {"shared@2.0.0": {"leaf": {"leaf@1.1.0": {}}}}]


def test_node_modules_without_a_manifest(
    workshop: Workshop, registry: Registry, tmp_path: Path
) -> None:
    """Where no package.json says what is needed, the folder's node_modules goes along as it is."""
    root = root_of(
        workshop,
        {"src/app.js": 'const { tree } = require("old");\nexports.handler = async () => tree();\n'},
    )
    write_tree(root, json_files({"src/package.json": APP}))
    run(root / "src", registry, "npm", "install", "--no-package-lock")
    (root / "src/package.json").unlink()
    contents = pack(workshop)
    assert contents.dependencies is None
    assert "node_modules/tester/package.json" in names(contents)
    assert not [name for name in names(contents) if "/.bin/" in name]
    assert call(unpack(contents, tmp_path / "out")) == call(root / "src")
