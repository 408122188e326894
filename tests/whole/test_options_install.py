"""`install` and `env`: packages that a bundle leaves out and its zip brings, and values put in."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler import build
from lambdad.bundler.memory import Memory
from lambdad.bundler.model import Architecture, BuildResult, Copy, Function, Handler, Method, Want
from lambdad.bundler.report.render import status
from lambdad.bundler.runtimes import RUNTIMES
from lambdad.bundler.store.store import Store, cache_folder
from lambdad.bundler.store.upkeep import Upkeep
from lambdad.bundler.workshop import Workshop
from tests.bundler.inputs.test_snapshot import wait_for_tick
from tests.bundler.test_build import built, project
from tests.conftest import Tree, workshop_at
from tests.support import npm_apps
from tests.support.esbuild_cases import call
from tests.support.loading import call_node, unpack
from tests.support.npm_apps import Registry, elf, spec
from tests.support.samples import function

Lay = Callable[[Tree], None]

HANDLER = """
import heavy from "heavy";
import { light } from "light";
export const handler = async () => [heavy.where(), heavy.tree(), light];
"""
WHERE = npm_apps.TREE_JS + "\nexports.where = () => __filename.split('/node_modules/').pop();\n"


PRISMA = "exports.PrismaClient = require('.prisma/client').PrismaClient;\n"
PRISMA_HANDLER = """
import { PrismaClient } from "@prisma/client";
export const handler = async () => PrismaClient;
"""


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    published = Registry()
    needs = {"dependencies": {"below": "^1.0.0"}}
    published.publish(spec("heavy", "1.0.0", **needs), {"index.js": WHERE, "data.txt": "1"})
    published.publish(spec("heavy", "2.0.0", **needs), {"index.js": WHERE, "data.txt": "2"})
    published.publish(spec("below", "1.0.0"))
    published.publish(spec("light", "1.0.0"), {"index.js": "exports.light = 'light';\n"})
    published.publish(spec("@scope/native", "1.0.0"), {"lib/x.node": elf("x64")})
    published.publish(spec("unused", "1.0.0"))
    published.publish(spec("@prisma/client"), {"index.js": PRISMA})
    peers = {"peerDependencies": {"below": "*", "light": "*", "unused": "*"}}
    optional = {"peerDependenciesMeta": {name: {"optional": True} for name in ("light", "unused")}}
    published.publish(spec("peering", **peers, **optional), {"index.js": WHERE})
    with npm_apps.serving(published):
        yield published


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """A project whose store is the user's own, so that esbuild is fetched once."""
    return workshop_at(tmp_path / "project", Store(cache_folder(dict(os.environ))))


Install = Callable[..., None]


@pytest.fixture
def install(workshop: Workshop, registry: Registry) -> Install:
    """Lays the app out and has npm install what it needs."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")

    def install(*more: str, **fields: Any) -> None:
        root = Path(workshop.root)
        (root / "src").mkdir(exist_ok=True)
        (root / "src/app.ts").write_text(HANDLER)
        fields = {"dependencies": {"heavy": "^1.0.0", "light": "1.0.0"}, **fields}
        (root / "package.json").write_text(json.dumps(spec("app", **fields)))
        npm_apps.run(root, registry, "npm", "install", *more)

    return install


def of(**changes: Any) -> Function:
    fields: dict[str, Any] = {
        "runtime": RUNTIMES["nodejs22.x"],
        "method": Method.ESBUILD,
        "handler": Handler("app.handler", "app", "handler"),
        "install": ("heavy",),
    }
    return function(**{**fields, **changes})


def run(workshop: Workshop, one: Function, want: Want = Want.ZIP, **how: Any) -> BuildResult:
    wait_for_tick(workshop.root)
    (outcome,) = build.build((one,), workshop, Upkeep(project(workshop, one)), want=want, **how)
    return outcome


def good(workshop: Workshop, one: Function, want: Want = Want.ZIP, **how: Any) -> BuildResult:
    outcome = run(workshop, one, want, **how)
    assert status(outcome) == "built", outcome.diagnostics
    return outcome


def codes(outcome: BuildResult) -> list[str]:
    return [one.code for one in outcome.diagnostics]


EXPECTED = ["heavy/index.js", {"heavy@1.0.0": {"below": {"below@1.0.0": {}}}}, "light"]


def test_installed(workshop: Workshop, install: Install, tmp_path: Path) -> None:
    """The zip has the package as it is installed, and what it needs; the rest is in the bundle. Its
    handler answers with nothing else around."""
    install()
    outcome = good(workshop, of(), locked=True)
    assert codes(outcome) == []
    names = built(workshop)
    assert sorted(names) == [
        "app.js",
        "node_modules/below/README.md",
        "node_modules/below/index.js",
        "node_modules/below/package.json",
        "node_modules/heavy/README.md",
        "node_modules/heavy/data.txt",
        "node_modules/heavy/index.js",
        "node_modules/heavy/package.json",
    ]
    assert b'"light"' in names["app.js"]
    assert b"__filename" not in names["app.js"]
    folder = unpack(Path(workshop.root, ".lambdad/build/Sample.zip"), tmp_path / "unpacked")
    assert call_node(folder, "app.handler", {}) == EXPECTED


def test_live_agrees(workshop: Workshop, install: Install) -> None:
    """A live tree loads the package from where it is installed, and answers the same."""
    install()
    outcome = good(workshop, of(), Want.LIVE)
    assert codes(outcome) == []
    assert outcome.live is not None
    assert call(Path(workshop.root), outcome.live.entry, "handler") == EXPECTED


def test_what_prisma_generates(
    workshop: Workshop, install: Install, lay: Lay, tmp_path: Path
) -> None:
    """The generated client goes along with @prisma/client, and is looked at file by file, since
    `prisma generate` installs nothing."""
    install(dependencies={"@prisma/client": "1.0.0"})
    client = "node_modules/.prisma/client"
    manifest = '{"name": "prisma-client-1", "main": "index.js"}'
    lay({"src/app.ts": PRISMA_HANDLER, f"{client}/package.json": manifest})
    for answer in ("first", "other"):
        lay({f"{client}/index.js": f"exports.PrismaClient = '{answer}';\n"})
        assert codes(good(workshop, of(install=("@prisma/client",)), locked=True)) == []
        folder = unpack(Path(workshop.root, ".lambdad/build/Sample.zip"), tmp_path / answer)
        assert call_node(folder, "app.handler", {}) == answer


def test_optional_peers(workshop: Workshop, install: Install) -> None:
    """A peer that the package does without, and that is there for development alone, stays out."""
    install(
        dependencies={"peering": "1.0.0", "light": "1.0.0"},
        devDependencies={"unused": "1.0.0", "below": "1.0.0"},
    )
    (Path(workshop.root) / "src/app.ts").write_text(HANDLER.replace("heavy", "peering"))
    assert codes(good(workshop, of(install=("peering",)), locked=True)) == []
    held = {name.split("/")[1] for name in built(workshop) if name.startswith("node_modules/")}
    assert held == {"peering", "light", "below"}


@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("want", Want)
def test_installed_anew(workshop: Workshop, install: Install, want: Want, keeps: bool) -> None:
    """Another version makes the function stale; with what a daemon remembers, too."""
    if keeps:
        workshop = Workshop(
            root=workshop.root,
            repository=workshop.repository,
            store=workshop.store,
            environ=workshop.environ,
            memory=Memory(),
        )
    install()
    first = good(workshop, of(), want)
    assert good(workshop, of(), want).cached
    install(dependencies={"heavy": "^2.0.0", "light": "1.0.0"})
    second = good(workshop, of(), want)
    assert not second.cached
    if first.live and second.live:
        assert first.live.digest != second.live.digest
    else:
        assert built(workshop)["node_modules/heavy/data.txt"] == b"2"
    if workshop.memory is not None:
        workshop.memory.close()


def test_below_an_installed_one(workshop: Workshop, install: Install) -> None:
    """What a named package needs counts as that does: its package.json is what installers write."""
    install()
    good(workshop, of())
    manifest = Path(workshop.root, "node_modules/below/package.json")
    manifest.write_text(manifest.read_text() + "\n")
    outcome = good(workshop, of())
    assert outcome.reasons == ("node_modules/below/package.json changed",)
    assert built(workshop)["node_modules/below/package.json"].endswith(b"\n")


def test_functions_with_other_packages(workshop: Workshop, install: Install) -> None:
    """Functions of one project each get what they name, and no more."""
    install()
    for named in (("heavy",), ("below",), ("heavy", "light")):
        good(workshop, of(install=named))
        there = {name.split("/")[1] for name in built(workshop) if name.startswith("node_modules/")}
        assert there == {*named, "below"}


def test_however_it_is_declared(workshop: Workshop, install: Install) -> None:
    """A development dependency, and what only another package asked for, are shipped as well, and
    the lock vouches for them."""
    install(dependencies={"light": "1.0.0"}, devDependencies={"heavy": "^1.0.0"})
    outcome = good(workshop, of(install=("below", "heavy")), locked=True)
    assert codes(outcome) == []
    assert {"node_modules/below/index.js", "node_modules/heavy/index.js"} <= set(built(workshop))


def test_not_what_the_lock_says(workshop: Workshop, install: Install) -> None:
    """An edited dependency, and an installation that is not the lock's, are told."""
    install()
    lock = Path(workshop.root, "package-lock.json").read_text()
    manifest = Path(workshop.root, "package.json").read_text()
    Path(workshop.root, "package.json").write_text(manifest.replace("^1.0.0", "^1.0.1"))
    assert codes(run(workshop, of())) == ["lock-outdated"]
    install(dependencies={"heavy": "^2.0.0", "light": "1.0.0"})
    Path(workshop.root, "package-lock.json").write_text(lock)
    Path(workshop.root, "package.json").write_text(manifest)
    assert codes(run(workshop, of())) == ["install-outdated"]


@pytest.mark.parametrize("want", Want)
def test_not_installed(workshop: Workshop, install: Install, want: Want) -> None:
    """What is not installed is named with the command that mends it, which is picked up."""
    install()
    outcome = run(workshop, of(install=("heavy", "unused")), want)
    assert (status(outcome), codes(outcome)) == ("failed", ["not-installed"])
    assert outcome.diagnostics[0].message == "install names unused: not installed"
    assert outcome.diagnostics[0].hint == "run `npm install unused` in the project's folder"
    install("unused")
    good(workshop, of(install=("heavy", "unused")), want)


def test_faults_together(workshop: Workshop, install: Install) -> None:
    """A fault of the bundle, a package that is not there and a missing copy are told at once."""
    install()
    Path(workshop.root, "src/app.ts").write_text("import './gone'; export const handler = 1;")
    outcome = run(workshop, of(install=("unused",), copy=(Copy("nowhere", ""),)))
    assert codes(outcome) == ["unresolved-import", "missing-files", "not-installed"]


def test_for_the_target(workshop: Workshop, install: Install) -> None:
    """Native modules are judged for the function, not for this machine."""
    install("@scope/native")
    one = of(install=("@scope/native", "heavy"))
    good(workshop, one)
    assert "node_modules/@scope/native/lib/x.node" in built(workshop)
    other = of(install=("@scope/native", "heavy"), architecture=Architecture.ARM64)
    assert codes(run(workshop, other)) == ["native-platform"]


@pytest.mark.parametrize("code", [".", "packages/one", "packages/one/src/app.ts"])
def test_in_a_workspace(
    workshop: Workshop, registry: Registry, tmp_path: Path, code: str
) -> None:  # fmt: skip
    """The package is the one that the handler's own code finds, whatever the code folder is."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    root = Path(workshop.root)
    for name, version in (("first", "^1.0.0"), ("one", "^2.0.0")):
        folder = root / "packages" / name
        (folder / "src").mkdir(parents=True)
        (folder / "src/app.ts").write_text(
            "import { tree } from 'heavy';\nexport const handler = async () => tree();\n"
        )
        declared = spec(name, dependencies={"heavy": version})
        (folder / "package.json").write_text(json.dumps(declared))
    (root / "package.json").write_text(json.dumps({"workspaces": ["packages/*"]}))
    npm_apps.run(root, registry, "npm", "install")
    module = {".": "packages/one/src/app", "packages/one": "src/app"}.get(code, "app")
    one = of(code=code, handler=Handler(f"{module}.handler", module, "handler"))
    good(workshop, one, locked=True)
    assert (root / "packages/one/node_modules/heavy").is_dir()
    assert built(workshop)["node_modules/heavy/data.txt"] == b"2"
    folder = unpack(root / ".lambdad/build/Sample.zip", tmp_path / "unpacked")
    answer = call_node(folder, f"{module}.handler", {})
    assert answer == {"heavy@2.0.0": {"below": {"below@1.0.0": {}}}}
    live = good(workshop, one, Want.LIVE).live
    assert live is not None
    assert call(Path(workshop.root), live.entry, "handler") == answer


def test_copied_into_a_package(workshop: Workshop, install: Install, lay: Lay) -> None:
    """A copy may add to an installed package, and can't replace a file of it."""
    install()
    lay({"more.txt": "more", "data.txt": "other"})
    good(workshop, of(copy=(Copy("more.txt", "node_modules/heavy/"),)))
    assert built(workshop)["node_modules/heavy/more.txt"] == b"more"
    outcome = run(workshop, of(copy=(Copy("data.txt", "node_modules/heavy/"),)))
    assert codes(outcome) == ["zip-clash"]
    lay({"data.txt": "1"})
    good(workshop, of(copy=(Copy("data.txt", "node_modules/heavy/"),)))


def test_same_bytes(workshop: Workshop, install: Install, lay: Lay, tmp_path: Path) -> None:
    """The same sources and packages give the same zip elsewhere, built alone or with others."""
    install()
    lay({"texts/a.txt": "a", "texts/b/c.txt": "c"})
    one = of(copy=(Copy("texts/**/*.txt", "t"),), env=(("STAGE", "dev"),))
    first = good(workshop, one)
    shutil.copytree(workshop.root, tmp_path / "else/where", symlinks=True)
    shutil.rmtree(tmp_path / "else/where/.lambdad")
    other = workshop_at(tmp_path / "else/where", workshop.store)
    twin = of(name="Twin", copy=one.copy, env=one.env)
    outcomes = build.build((one, twin), other, Upkeep(project(other, one, twin)))
    assert first.artifact is not None
    assert {outcome.artifact.sha256 for outcome in outcomes if outcome.artifact} == {
        first.artifact.sha256
    }


# --- env -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("want", Want)
@pytest.mark.parametrize("value", ["plain", "", 'quo"te\n\\', "ünï", "a=b c:d"])
def test_env(workshop: Workshop, lay: Lay, tmp_path: Path, want: Want, value: str) -> None:
    """process.env.NAME is that very text when the function runs; other names are left alone."""
    lay(
        {
            "src/app.js": "export const handler = async () => "
            "[process.env.NAME, process.env['NAME'], process.env.OTHER ?? null];\n"
        }
    )
    outcome = good(workshop, of(install=(), env=(("NAME", value),)), want)
    if outcome.live is not None:
        answer = call(Path(workshop.root), outcome.live.entry, "handler")
    else:
        folder = unpack(Path(workshop.root, ".lambdad/build/Sample.zip"), tmp_path / "unpacked")
        answer = call_node(folder, "app.handler", {})
    assert answer == [value, value, None]


def test_define_goes_before_env(workshop: Workshop, lay: Lay) -> None:
    """What esbuild's own option says of a name stays; another value of `env` rebuilds."""
    lay({"src/app.js": "export const handler = [process.env.A, process.env.B];\n"})
    esbuild = (("define", (("process.env.A", '"defined"'),)),)
    good(workshop, of(install=(), esbuild=esbuild, env=(("A", "env"), ("B", "env"))))
    assert b'["defined", "env"]' in built(workshop)["app.js"]
    outcome = good(workshop, of(install=(), esbuild=esbuild, env=(("B", "new"),)))
    assert outcome.reasons[0].startswith("env changed")
    assert b'["defined", "new"]' in built(workshop)["app.js"]
