"""Which packages are packed, and what is told when the installation is not right."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler.model import Architecture, ProjectError, Severity
from lambdad.bundler.workshop import Workshop
from tests.conftest import write_tree
from tests.support.npm_apps import codes, elf, names, pack, spec

HANDLER = "exports.handler = async () => 1;\n"


def lay(workshop: Workshop, files: Mapping[str, Any]) -> Path:
    root = Path(workshop.root)
    text = {
        name: content if isinstance(content, str | bytes) else json.dumps(content)
        for name, content in {"src/app.js": HANDLER, **files}.items()
    }
    write_tree(root, text)
    return root


def installed(*packages: Mapping[str, Any], top: str = "src") -> dict[str, Any]:
    """Each package in that folder's node_modules."""
    return {
        f"{top}/node_modules/{declared['name']}/package.json": declared for declared in packages
    }


def lock(*packages: Mapping[str, Any], **wants: str) -> dict[str, Any]:
    """A version 3 lock of packages that all lie in the root's node_modules."""
    table: dict[str, Any] = {"": {"dependencies": wants}}
    table |= {
        f"node_modules/{declared['name']}": {**declared, "resolved": "index.example"}
        for declared in packages
    }
    return {"lockfileVersion": 3, "packages": table}


def packed(workshop: Workshop, **changes: Any) -> set[str]:
    """The packages in the zip, by folder."""
    marked = [name for name in names(pack(workshop, **changes)) if name.endswith("/package.json")]
    return {name.rpartition("/")[0] for name in marked}


def fault(workshop: Workshop, **changes: Any) -> ProjectError:
    with pytest.raises(ProjectError) as caught:
        pack(workshop, **changes)
    return caught.value


def test_no_manifest(workshop: Workshop) -> None:
    """Without package.json the zip is the code alone."""
    lay(workshop, {"src/lib/util.js": "1"})
    contents = pack(workshop)
    assert names(contents) == ["app.js", "lib/util.js"]
    assert contents.dependencies is None
    assert "src/package.json" in workshop.seen.inputs().files


def test_managers_own_files_stay_out(workshop: Workshop) -> None:
    """Settings, locks and tools of package managers are no part of a function whose code folder is
    the project's; some hold a token."""
    managers_own = (
        *(
            ".npmrc",
            ".yarnrc",
            ".yarnrc.yml",
            "bunfig.toml",
            "pnpm-workspace.yaml",
            ".pnpmfile.cjs",
        ),
        *("package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock"),
        *(".pnp.cjs", ".pnp.data.json", ".yarn/releases/yarn.cjs", ".yarn/install-state.gz"),
    )
    lay(
        workshop,
        {"src/package.json": spec("app"), **{f"src/{name}": "{}" for name in managers_own}},
    )
    assert names(pack(workshop)) == ["app.js", "package.json"]


def test_a_lock_that_has_another_managers_beside_it(workshop: Workshop) -> None:
    """Where nothing else tells, npm's lock is the leftover: it is easily written by mistake."""
    for name, manager in (("yarn.lock", "yarn"), ("pnpm-lock.yaml", "pnpm"), ("bun.lock", "bun")):
        locks = {"src/package-lock.json": lock(spec("a"), a="1"), f"src/{name}": ""}
        lay(workshop, {"src/package.json": spec("x", dependencies={"a": "1"}), **locks})
        (told,) = fault(workshop).diagnostics
        assert told.hint == f"run `{manager} install` in src"
        Path(workshop.root, "src", name).unlink()


def test_no_dependencies(workshop: Workshop) -> None:
    """An installation of development tools alone is not shipped."""
    declared = spec("app", devDependencies={"tester": "1"})
    lay(workshop, {"src/package.json": declared, **installed(spec("tester"))})
    assert names(pack(workshop)) == ["app.js", "package.json"]


def test_single_file(workshop: Workshop) -> None:
    """A code path that is one file packs that file and nothing beside it."""
    lay(workshop, {"src/other.js": "1", "src/package.json": "broken"})
    contents = pack(workshop, code="src/app.js")
    assert names(contents) == ["app.js"]
    looked_at = workshop.seen.inputs().files
    assert "src/app.js" in looked_at
    # Beside it only what says whether it is a module of ECMAScript.
    assert {os.path.basename(path) for path in looked_at} == {"app.js", "package.json"}


NOT_INSTALLED: dict[str, tuple[dict[str, Any], str, str]] = {
    "nothing installed": ({}, "npm install", "src"),
    "a lock": ({"src/package-lock.json": lock(spec("a"), a="1")}, "npm ci", "src"),
    "pnpm's lock": ({"src/pnpm-lock.yaml": ""}, "pnpm install", "src"),
    "Yarn's lock": ({"src/yarn.lock": ""}, "yarn install", "src"),
    "Bun's lock": ({"src/bun.lock": ""}, "bun install", "src"),
    "pnpm's workspace": (
        {"pnpm-workspace.yaml": "", "pnpm-lock.yaml": ""},
        "pnpm install",
        "the project's folder",
    ),
    "npm's workspace": (
        {
            "package.json": {"workspaces": ["src"]},
            "package-lock.json": {
                "lockfileVersion": 3,
                "packages": {"src": {"dependencies": {"a": "1"}}, "node_modules/a": {}},
            },
        },
        "npm ci",
        "the project's folder",
    ),
    "a workspace of others": (
        {
            "package.json": {"workspaces": ["lib"]},
            "package-lock.json": {"lockfileVersion": 3, "packages": {"": {}}},
        },
        "npm install",
        "src",
    ),
    "a lock above that is no workspace's": ({"yarn.lock": ""}, "npm install", "src"),
    "pnpm's settings": ({"src/pnpm-workspace.yaml": ""}, "pnpm install", "src"),
    "Yarn's settings": ({"src/.yarnrc.yml": ""}, "yarn install", "src"),
    "Bun's settings": ({"src/bunfig.toml": ""}, "bun install", "src"),
    "pnpm's settings below npm's lock": (
        {
            "package.json": {"workspaces": ["src"]},
            "package-lock.json": {
                "lockfileVersion": 3,
                "packages": {"src": {"dependencies": {"a": "1"}}, "node_modules/a": {}},
            },
            "src/bunfig.toml": "",
        },
        "npm ci",
        "the project's folder",
    ),
    "the root's packageManager": (
        {
            "package.json": {"workspaces": ["src"], "packageManager": "yarn@4.0.0"},
            "pnpm-lock.yaml": "",
            "yarn.lock": "",
        },
        "yarn install",
        "the project's folder",
    ),
    "pnpm's workspace of others": (
        {
            "pnpm-workspace.yaml": "",
            "pnpm-lock.yaml": "lockfileVersion: '9.0'\nimporters:\n  lib: {}\n",
        },
        "pnpm install",
        "src",
    ),
    "packageManager": (
        {"src/package.json": spec("x", packageManager="pnpm@9", dependencies={"a": "1"})},
        "pnpm install",
        "src",
    ),
    "two locks and one record": (
        {
            "src/package-lock.json": lock(spec("a"), a="1"),
            "src/yarn.lock": "",
            "src/node_modules/.yarn-integrity": "",
        },
        "yarn install",
        "src",
    ),
    "another's record": (
        {"src/package-lock.json": lock(spec("a"), a="1"), "src/node_modules/.modules.yaml": ""},
        "pnpm install",
        "src",
    ),
}


@pytest.mark.parametrize("case", NOT_INSTALLED)
def test_not_installed(workshop: Workshop, case: str) -> None:
    """What is declared and not installed is named, with the command of its installer."""
    files, command, folder = NOT_INSTALLED[case]
    lay(workshop, {"src/package.json": spec("x", dependencies={"a": "1"}), **files})
    (told,) = fault(workshop).diagnostics
    assert told.code == "not-installed"
    assert "not installed: a" in told.message
    assert told.where is not None
    assert told.where.file == "src/package.json"
    assert told.hint is not None
    assert f"{command}" in told.hint
    assert told.hint.endswith(f"in {folder}")


@pytest.mark.parametrize("file", [".pnp.cjs", ".pnp.js"])
def test_plug_and_play(workshop: Workshop, file: str) -> None:
    """Packages in Yarn's archives are refused, with the setting that lays them out as files."""
    declared = spec("x", dependencies={"a": "1"})
    lay(workshop, {"src/package.json": declared, "src/yarn.lock": "", f"src/{file}": ""})
    (told,) = fault(workshop).diagnostics
    assert told.code == "plug-and-play"
    assert told.hint is not None
    assert "`nodeLinker: node-modules`" in told.hint
    assert "`yarn install` in src" in told.hint


def test_not_installed_points_at_the_line(workshop: Workshop) -> None:
    """The diagnostic stands at the dependency's line."""
    text = '{\n  "dependencies": {\n    "there": "1",\n    "gone": "^2"\n  }\n}\n'
    lay(workshop, {"src/package.json": text, **installed(spec("there"))})
    (told,) = fault(workshop).diagnostics
    assert told.where is not None
    assert told.where.line == 4


def test_missing_below(workshop: Workshop) -> None:
    """A package's own dependency that is missing is named with who needs it."""
    declared = spec("x", dependencies={"a": "1"})
    lay(workshop, {"src/package.json": declared, **installed(spec("a", dependencies={"b": "1"}))})
    (told,) = fault(workshop).diagnostics
    assert "b (for a)" in told.message


def test_installing_heals(workshop: Workshop) -> None:
    """A failure's inputs cover the folder that the missing package will appear in."""
    lay(workshop, {"src/package.json": spec("x", dependencies={"a": "1", "@s/b": "1"})})
    fault(workshop)
    assert "src/node_modules" in workshop.seen.inputs().files
    lay(workshop, installed(spec("a")))
    fault(workshop)
    names_that_count = workshop.seen.inputs().listings["src/node_modules"]
    assert getattr(names_that_count, "names", ()) == {"a", "@s"}


@pytest.mark.parametrize("version", [1, 2, 3])
def test_other_version_than_locked(workshop: Workshop, version: int) -> None:
    """An installed version that differs from the lock's is an error, whatever the lock's format."""
    made = lock(spec("a", "1.2.0"), a="1")
    made["lockfileVersion"] = version
    if version == 1:
        made = {"lockfileVersion": 1, "dependencies": {"a": {"version": "1.2.0"}}}
    lay(
        workshop,
        {
            "src/package.json": spec("x", dependencies={"a": "1"}),
            "src/package-lock.json": made,
            **installed(spec("a", "1.1.0")),
        },
    )
    (told,) = fault(workshop).diagnostics
    assert told.code == "install-outdated"
    assert "a 1.1.0 (the lock says 1.2.0)" in told.message
    assert told.hint == "run `npm ci` in src"


def test_shrinkwrap_wins(workshop: Workshop) -> None:
    """npm-shrinkwrap.json is read instead of package-lock.json."""
    lay(
        workshop,
        {
            "src/package.json": spec("x", dependencies={"a": "1"}),
            "src/package-lock.json": lock(spec("a", "9.0.0"), a="1"),
            "src/npm-shrinkwrap.json": lock(spec("a", "1.1.0"), a="1"),
            **installed(spec("a", "1.1.0")),
        },
    )
    assert packed(workshop) == {"node_modules/a"}


@pytest.mark.parametrize("spec_text", ["^1.0.0", "^3.0.0"])
def test_lock_of_another_manifest(workshop: Workshop, spec_text: str) -> None:
    """A dependency added or wanted anew since the lock was written is an error."""
    lay(
        workshop,
        {
            "src/package.json": spec("x", dependencies={"a": spec_text, "new": "1"}),
            "src/package-lock.json": lock(spec("a"), a="^1.0.0"),
            **installed(spec("a")),
        },
    )
    (told,) = fault(workshop).diagnostics
    assert told.code == "lock-outdated"
    assert told.message.endswith("a, new" if spec_text == "^3.0.0" else ": new")
    assert told.hint == "run `npm install` in src, and commit the lock"


def test_unlocked_peer_is_not_taken(workshop: Workshop) -> None:
    """What lies in node_modules and not in the lock is not packed because somebody could use it."""
    peered = spec("a", peerDependencies={"extra": "*"})
    files = {
        "src/package.json": spec("x", dependencies={"a": "1"}),
        **installed(peered, spec("extra")),
    }
    lay(workshop, files)
    assert packed(workshop) == {"node_modules/a", "node_modules/extra"}
    lay(workshop, {"src/package-lock.json": lock(peered, a="1")})
    assert packed(workshop) == {"node_modules/a"}


def test_locked_needs_a_lock(workshop: Workshop) -> None:
    """With --locked, dependencies without a lock are an error, and none need none."""
    lay(
        workshop,
        {
            "src/package.json": spec("x", dependencies={"a": "1"}),
            **installed(spec("a")),
            "bare/app.js": HANDLER,
            "bare/package.json": spec("bare"),
        },
    )
    assert codes(fault(workshop, locked=True).diagnostics) == ["unlocked"]
    assert names(pack(workshop, locked=True, code="bare")) == ["app.js", "package.json"]


# --- other machines --------------------------------------------------------------------------

VARIANTS = (
    spec("@n/linux-x64", os=["linux"], cpu=["x64"], libc=["glibc"]),
    spec("@n/linux-arm64", os=["linux"], cpu=["arm64"], libc=["glibc"]),
    spec("@n/linuxmusl-x64", os=["linux"], cpu=["x64"], libc=["musl"]),
    spec("@n/linux-arm64-musl", os=["linux"], cpu=["arm64"], libc=["musl"]),
    spec("@n/darwin-arm64", os=["darwin"], cpu=["arm64"]),
    spec("@n/not-linux", os=["!linux"]),
    spec("@n/not-windows", os=["!win32"], cpu=["any"]),
)
NATIVE = spec("native", optionalDependencies={item["name"]: "1.0.0" for item in VARIANTS})


def test_variants_of_the_target(workshop: Workshop) -> None:
    """Of packages for certain machines those of the target are packed, though all are installed."""
    declared = spec("x", dependencies={"native": "1"})
    lay(workshop, {"src/package.json": declared, **installed(NATIVE, *VARIANTS)})
    common = {"node_modules/native", "node_modules/@n/not-windows"}
    assert packed(workshop) == common | {"node_modules/@n/linux-x64"}
    arm = packed(workshop, architecture=Architecture.ARM64)
    assert arm == common | {"node_modules/@n/linux-arm64"}


@pytest.mark.parametrize("locked", [True, False])
def test_missing_variant(workshop: Workshop, locked: bool) -> None:
    """The target's variant that this machine did not install is an error with npm's flags."""
    here = [item for item in VARIANTS if "arm64" not in item["name"]]
    files = {
        "src/package.json": spec("x", dependencies={"native": "1"}),
        **installed(NATIVE, *here),
    }
    if locked:
        files["src/package-lock.json"] = lock(NATIVE, *VARIANTS, native="1")
    lay(workshop, files)
    pack(workshop)
    (told,) = fault(workshop, architecture=Architecture.ARM64).diagnostics
    assert told.code == "native-platform"
    assert "@n/linux-arm64 is not installed" in told.message
    assert "darwin" not in told.message
    assert "musl" not in told.message
    assert told.hint == "run `npm install --os=linux --cpu=arm64 --libc=glibc` in src"


def test_required_package_for_other_machines(workshop: Workshop) -> None:
    """A plain dependency that can't be installed on the target is an error."""
    declared = spec("x", dependencies={"@n/darwin-arm64": "1"})
    lay(workshop, {"src/package.json": declared, **installed(*VARIANTS)})
    (told,) = fault(workshop).diagnostics
    assert told.code == "native-platform"


def test_optional_that_failed_to_install(workshop: Workshop) -> None:
    """A locked optional package for all machines that is not there is a warning."""
    owner = spec("a", optionalDependencies={"fast": "1"})
    lay(
        workshop,
        {
            "src/package.json": spec("x", dependencies={"a": "1"}),
            "src/package-lock.json": lock(owner, spec("fast"), a="1"),
            **installed(owner),
        },
    )
    (told,) = pack(workshop).diagnostics
    assert (told.code, told.severity) == ("optional-missing", Severity.WARNING)


@pytest.mark.parametrize(
    ("built_for", "fails"),
    [(("x64",), False), (("arm64",), True), (("arm64", "x64"), False), (("x64", "arm64"), False)],
)
def test_native_modules(workshop: Workshop, built_for: tuple[str, ...], fails: bool) -> None:
    """Native modules that are all for other machines are an error; one that fits is enough."""
    modules = {
        f"src/node_modules/a/prebuilds/{number}.node": elf(cpu)
        for number, cpu in enumerate(built_for)
    }
    declared = spec("x", dependencies={"a": "1"})
    lay(workshop, {"src/package.json": declared, **installed(spec("a")), **modules})
    if not fails:
        assert "node_modules/a/prebuilds/0.node" in names(pack(workshop))
        return
    (told,) = fault(workshop).diagnostics
    assert told.code == "native-platform"
    assert "a: prebuilds/0.node is built for arm64" in told.message


@pytest.mark.parametrize("compiled", [True, False])
def test_modules_that_were_never_compiled(workshop: Workshop, compiled: bool) -> None:
    """A package installed without its install script has a recipe and no module: a warning."""
    files: dict[str, str | bytes] = {"src/node_modules/a/binding.gyp": "{}"}
    if compiled:
        files["src/node_modules/a/build/Release/a.node"] = elf("x64")
    declared = spec("x", dependencies={"a": "1"})
    lay(workshop, {"src/package.json": declared, **installed(spec("a")), **files})
    told = [item for item in pack(workshop).diagnostics if item.code == "native-uncompiled"]
    assert [item.message.split()[0] for item in told] == ([] if compiled else ["a"])


# --- bad input -------------------------------------------------------------------------------

BAD_FILES = {
    "not JSON": ("src/package.json", '{\n  "name": }', "bad-package-json", 2),
    "empty": ("src/package.json", "", "bad-package-json", 1),
    "a list": ("src/package.json", "[]", "bad-package-json", 1),
    "too deep": ("src/package.json", "[" * 100_000, "bad-package-json", None),
    "not UTF-8": ("src/package.json", b'{"name": "\xff"}', "bad-package-json", None),
    "a list of dependencies": (
        "src/package.json",
        '{"dependencies": ["a"]}',
        "bad-package-json",
        None,
    ),
    "a version that is none": (
        "src/package.json",
        '{"dependencies": {"a": 1}}',
        "bad-package-json",
        None,
    ),
    "a name that climbs": (
        "src/package.json",
        '{"dependencies": {"../../etc": "1"}}',
        "bad-package-json",
        None,
    ),
    "a hidden name": (
        "src/package.json",
        '{"dependencies": {".bin": "1"}}',
        "bad-package-json",
        None,
    ),
    "an installed manifest": ("src/node_modules/a/package.json", "{", "bad-package-json", 1),
    "an installed name that climbs": (
        "src/node_modules/a/package.json",
        '{"dependencies": {"../../../etc": "1"}}',
        "bad-package-json",
        None,
    ),
    "a lock that is no JSON": ("src/package-lock.json", "{", "bad-package-json", 1),
    "a lock of the future": (
        "src/package-lock.json",
        '{"lockfileVersion": 99}',
        "bad-npm-lock",
        None,
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file(workshop: Workshop, case: str) -> None:
    """A broken manifest or lock is one diagnostic, and the file is an input of the failure."""
    path, content, code, line = BAD_FILES[case]
    good = {"src/package.json": spec("x", dependencies={"a": "1"}), **installed(spec("a"))}
    lay(workshop, {**good, path: content})
    caught = fault(workshop)
    (told,) = caught.diagnostics
    assert told.code == code
    assert told.where is not None
    assert (told.where.file, told.where.line) == (path, line)
    assert path in workshop.seen.inputs().files


def test_odd_fields_of_installed_packages(workshop: Workshop) -> None:
    """Oddly typed fields of an installed package count as absent, as they do for npm."""
    odd = {"name": "a", "version": 1, "dependencies": [], "os": 7, "peerDependencies": None}
    declared = spec("x", dependencies={"a": "1"})
    lay(workshop, {"src/package.json": declared, **installed(odd)})
    assert packed(workshop) == {"node_modules/a"}


def test_byte_order_mark(workshop: Workshop) -> None:
    """A manifest that begins with a byte order mark is read as npm reads it."""
    lay(workshop, {"src/package.json": b"\xef\xbb\xbf" + json.dumps(spec("x")).encode()})
    assert names(pack(workshop)) == ["app.js", "package.json"]


def test_link_out_of_the_repository(workshop: Workshop, tmp_path: Path) -> None:
    """A package linked from outside the repository is an error, unless its folder is allowed."""
    write_tree(tmp_path / "elsewhere", {"package.json": json.dumps(spec("a"))})
    lay(
        workshop,
        {
            "src/package.json": spec("x", dependencies={"a": "1"}),
            "src/node_modules/a": "-> ../../../elsewhere",
        },
    )
    assert codes(fault(workshop).diagnostics) == ["symlink-escape"]
    assert packed(workshop, allow=("../elsewhere",)) == {"node_modules/a"}


def test_packages_in_conflict_without_end(workshop: Workshop) -> None:
    """Versions that need each other round and round are an error, not an endless tree."""
    lay(
        workshop,
        {
            "src/package.json": spec("x", dependencies={"a": "0", "b": "0"}),
            **installed(spec("a", "0.0.0", dependencies={"b": "1"}), spec("b", "0.0.0")),
            "src/node_modules/a/node_modules/b": "-> ../../../../store/1/node_modules/b",
            "store/1/node_modules/b/package.json": spec("b", "1.0.0", dependencies={"a": "2"}),
            "store/1/node_modules/a": "-> ../../2/node_modules/a",
            "store/2/node_modules/a/package.json": spec("a", "2.0.0", dependencies={"b": "3"}),
            "store/2/node_modules/b": "-> ../../3/node_modules/b",
            "store/3/node_modules/b/package.json": spec("b", "3.0.0", dependencies={"a": "4"}),
            "store/3/node_modules/a": "-> ../../4/node_modules/a",
            "store/4/node_modules/a/package.json": spec("a", "4.0.0", dependencies={"b": "1"}),
            "store/4/node_modules/b": "-> ../../1/node_modules/b",
        },
    )
    assert codes(fault(workshop).diagnostics) == ["unplaceable-packages"]


def test_all_faults_together(workshop: Workshop) -> None:
    """Faults of the dependencies and of the handler are told in one answer."""
    root = lay(workshop, {"src/package.json": spec("x", dependencies={"a": "1"})})
    (root / "src/app.js").unlink()
    assert codes(fault(workshop).diagnostics) == ["not-installed", "missing-handler-file"]


def test_excludes_do_not_touch_packages(workshop: Workshop) -> None:
    """The function's excludes are about own code; taking node_modules back in changes nothing."""
    lay(
        workshop,
        {
            "src/package.json": spec("x", dependencies={"a": "1"}),
            **installed(spec("a"), spec("dev-only")),
            "src/node_modules/a/tests/t.js": "1",
            "src/tests/t.js": "1",
            "src/.npmrc": "//index.example/:_authToken=secret",
            "src/.npmignore": "*.ts",
        },
    )
    for exclude in (("tests/",), ("tests/", "!node_modules/")):
        assert names(pack(workshop, exclude=exclude)) == [
            "app.js",
            "node_modules/a/package.json",
            "node_modules/a/tests/t.js",
            "package.json",
        ]
    assert "node_modules/dev-only/package.json" not in names(pack(workshop, exclude=("!*",)))
