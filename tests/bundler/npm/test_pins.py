"""What other managers' locks pin, by lines of theirs; whole locks are in test_managers.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lambdad.bundler.npm import pins
from lambdad.bundler.npm.pins import Pins, outdated

PNPM_9 = """
lockfileVersion: '9.0'
catalogs:
  default:
    leaf:
      specifier: ^1.0.0
      version: 1.1.0
importers:
  .: {}
  apps/one:
    dependencies:
      '@s/a':
        specifier: ^1.0.0
        version: 1.2.0(b@2.0.0)
      leaf:
        specifier: 'catalog:'
        version: 1.1.0
    devDependencies:
      tester:
        specifier: ^1.0.0
        version: 1.0.0
    optionalDependencies:
      fast:
        specifier: 1.x
        version: 1.0.0
packages:
  '@s/a@1.2.0':
    resolution: {integrity: sha512-x}
    peerDependencies:
      b: '*'
  '@s/a@1.3.0-rc.1':
    resolution: {integrity: sha512-x}
  leaf@1.1.0: {}
  near@file:near:
    resolution: {directory: near, type: directory}
  git@https://index.example/git/tar.gz/abc: {}
snapshots:
  '@s/a@1.2.0(b@2.0.0)': {}
"""
PNPM_6 = """
lockfileVersion: '6.0'
dependencies:
  a:
    specifier: ^1.0.0
    version: 1.2.0
packages:
  /a@1.2.0(b@2.0.0):
    dev: false
  /@s/a@2.0.0:
    dev: true
"""
YARN_1 = """
# yarn lockfile v1

"@s/a@^1.0.0", "@s/a@^1.1.0":
  version "1.2.0"
  dependencies:
    leaf "^1.0.0"

alias@npm:leaf@^1.0.0, leaf@^1.0.0:
  version "1.1.0"

"near@file:near":
  version "1.0.0"

"git@git+ssh://git@index.example/git.git":
  version "3.0.0"
"""
YARN_4 = """
__metadata:
  version: 8

"@s/a@npm:^1.0.0, @s/a@npm:^1.1.0":
  version: 1.2.0
  resolution: "@s/a@npm:1.2.0"
  dependencies:
    leaf: "npm:^1.0.0"

"app@workspace:apps/one":
  version: 0.0.0-use.local
  resolution: "app@workspace:apps/one"
  dependencies:
    "@s/a": "npm:^1.0.0"
    near: "file:../near"

"leaf@npm:^1.0.0":
  version: 1.1.0
  resolution: "leaf@npm:1.1.0::__archiveUrl=https%3A%2F%2Findex.example%2Fleaf.tgz"

"leaf@patch:leaf@npm%3A1.1.0#~/.yarn/patches/leaf.patch":
  version: 1.1.0
  resolution: "leaf@patch:leaf@npm%3A1.1.0#~/.yarn/patches/leaf.patch::version=1.1.0&hash=1"
"""
BUN = """
{
  "lockfileVersion": 1,
  "workspaces": {
    "": { "name": "root", },
    "apps/one": {
      "name": "app",
      "dependencies": { "@s/a": "^1.0.0", "odd": ",]", },
    },
  },
  "packages": {
    "@s/a": ["@s/a@1.2.0", "", {}, "sha512-x"],
    "app/@s/a": ["@s/a@2.0.0", "", {}, "sha512-x"],
    "near": ["near@file:near", {}],
  }
}
"""
EXPECTED: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "pnpm 9": (
        "pnpm-lock.yaml",
        PNPM_9,
        {
            "versions": {
                "@s/a": {"1.2.0", "1.3.0-rc.1"},
                "leaf": {"1.1.0"},
                "near": None,
                "git": None,
            },
            "members": {
                ".": {},
                "apps/one": {"@s/a": "^1.0.0", "leaf": "catalog:", "fast": "1.x"},
            },
            "catalogs": {("default", "leaf"): "^1.0.0"},
        },
    ),
    "pnpm 8 without a workspace": (
        "pnpm-lock.yaml",
        PNPM_6,
        {"versions": {"a": {"1.2.0"}, "@s/a": {"2.0.0"}}, "members": {".": {"a": "^1.0.0"}}},
    ),
    "pnpm with overrides": (
        "pnpm-lock.yaml",
        "lockfileVersion: '9.0'\noverrides:\n  a: 1.0.0\n",
        {"versions": {}, "members": {".": {}}, "compared": False},
    ),
    "yarn 1": (
        "yarn.lock",
        YARN_1,
        {
            "versions": {
                "@s/a": {"1.2.0"},
                "alias": {"1.1.0"},
                "leaf": {"1.1.0"},
                "near": None,
                "git": None,
            },
            "patterns": {
                "@s/a@^1.0.0",
                "@s/a@^1.1.0",
                "alias@npm:leaf@^1.0.0",
                "leaf@^1.0.0",
                "near@file:near",
                "git@git+ssh://git@index.example/git.git",
            },
        },
    ),
    "yarn 4": (
        "yarn.lock",
        YARN_4,
        {
            "versions": {"@s/a": {"1.2.0"}, "app": None, "leaf": None},
            "members": {"apps/one": {"@s/a": "^1.0.0", "near": "file:../near"}},
        },
    ),
    "bun": (
        "bun.lock",
        BUN,
        {
            "versions": {"@s/a": {"1.2.0", "2.0.0"}, "near": None},
            "members": {".": {}, "apps/one": {"@s/a": "^1.0.0", "odd": ",]"}},
        },
    ),
}


@pytest.mark.parametrize("case", EXPECTED)
def test_locks(case: str) -> None:
    """Versions, and what each package.json asked for, as each manager writes them."""
    name, text, expected = EXPECTED[case]
    found = pins.parse(f"apps/{name}", text.encode())
    assert found == Pins(path=f"apps/{name}", **expected)


UNREAD = {
    "pnpm 5": ("pnpm-lock.yaml", "lockfileVersion: 5.4\n"),
    "nothing": ("pnpm-lock.yaml", ""),
    "no lock of Yarn's": ("yarn.lock", "a:\n  b: c\n"),
    "bun's binary": ("bun.lockb", "#!/usr/bin/env bun"),
    "not JSON": ("bun.lock", "{"),
    "a list": ("bun.lock", "[]"),
    "npm's": ("package-lock.json", "{}"),
}


@pytest.mark.parametrize("case", UNREAD)
def test_unread(case: str) -> None:
    """What can't be read is not compared with anything."""
    name, text = UNREAD[case]
    assert pins.parse(name, text.encode()) is None


WANTED = {
    "as locked": ({"@s/a": "^1.0.0", "leaf": "catalog:"}, []),
    "wanted otherwise": ({"@s/a": "^2.0.0"}, ["@s/a"]),
    "new": ({"new": "^1.0.0", "@s/a": "^1.0.0"}, ["new"]),
    "a place": ({"@s/a": "file:../a"}, []),
    "another catalog": ({"leaf": "catalog:new"}, ["leaf"]),
    "an unknown catalog": ({"leaf": "catalog:gone"}, []),
}


@pytest.mark.parametrize("case", WANTED)
def test_outdated(case: str) -> None:
    """What is asked for and not locked so is told; where a manager may write it anew, it is not."""
    wanted, expected = WANTED[case]
    found = pins.parse("pnpm-lock.yaml", PNPM_9.encode())
    assert found is not None
    workspace = b"catalog: {leaf: ^1.0.0}\ncatalogs:\n  new: {leaf: ^2.0.0}\n"
    assert outdated(found, "apps/one", wanted, pins.catalogs(workspace)) == expected
    assert outdated(found, "apps/unknown", wanted, {}) == []


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"a: [", b"catalog: 1\ncatalogs: [a]", b"\xff", b"catalogs: {a: {b: [c]}}"]
)
def test_odd_catalogs(text: bytes) -> None:
    """A workspace file that is none has no catalogs of use: pnpm says what is wrong with it."""
    assert set(pins.catalogs(text)) <= {("a", "b")}


LINES = st.sampled_from(
    [line for _, text, _ in EXPECTED.values() for line in text.splitlines()]
    + ['"', "'", ":", "  :", '{"packages":', "? x", '"a', "\t- b", "x" * 50]
)


@given(
    name=st.sampled_from(["pnpm-lock.yaml", "yarn.lock", "bun.lock"]),
    text=st.lists(LINES).map("\n".join) | st.text(),
)
@example(name="bun.lock", text='\\"' * 200_000)
@example(name="bun.lock", text="," * 200_000)
@example(name="bun.lock", text="[" * 200_000)
@example(name="pnpm-lock.yaml", text="\n".join(" " * depth + "a:" for depth in range(3_000)))
def test_any_lock(name: str, text: str) -> None:
    """However broken a lock is, there is an answer, and soon."""
    found = pins.parse(name, text.encode("utf-8", "surrogatepass"))
    if found is not None:
        assert outdated(found, ".", {"a": "^1.0.0"}, {}) in ([], ["a"])
