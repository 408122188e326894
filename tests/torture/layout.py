"""What the tortured project begins as: its functions, modules, links and settings.

Whoever imports what is said here and nowhere else; texts are made by world.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

BUNDLED: Final[Mapping[str, str]] = {
    "One": "src/one/handler.ts",
    "Two": "src/two/handler.js",
    "Three": "src/three/handler.ts",
    "Four": "src/four/handler.ts",
}
"""Function -> its handler's file."""
PYTHON: Final[Mapping[str, str]] = {"Five": "py/five", "Six": "py/six", "Seven": "py/seven"}
"""Function -> its code folder. Five has no dependencies, Six a lock, Seven a local package."""
PACKAGED: Final[Mapping[str, str]] = {"Eight": "js/eight", "Nine": "js/nine"}
"""Plain Node.js: Eight has a package.json and npm's lock, Nine neither."""
IN_PLACE: Final = frozenset({*PYTHON, *PACKAGED})
"""Their live trees are the user's own files."""

FILLER: Final = 2000
"""Files of a large checkout."""

IMPORTS: Final[Mapping[str, Sequence[str]]] = {
    "src/one/handler.ts": ("./part", "../shared/words", "@lib/tool", "pkg"),
    "src/one/part.js": ("../shared/deep",),
    "src/two/handler.js": ("./linked/inner", "../shared/words", "pkg", "pkg/extra"),
    "src/three/handler.ts": ("../shared/deep", "./mod/data", "@acme/ws", "@lib/more"),
    "src/three/mod/data.ts": (),
    "src/four/handler.ts": ("../three/mod/data", "../shared/words", "@acme/ws"),
    "src/shared/words.ts": ("./deep/leaf",),
    "src/shared/deep/index.ts": ("./leaf",),
    "src/shared/deep/leaf.js": (),
    "lib/tool.ts": (),
    "lib/more.ts": ("./tool",),
    "other/tool.ts": (),
    "other/more.ts": (),
    "outer/box/inner.js": ("./near",),
    "outer/box/near.ts": (),
    "outer/crate/inner.js": ("./near",),
    "outer/crate/near.ts": (),
    "packages/ws/main.js": ("./part", "pkg"),
    "packages/ws/index.js": (),
    "packages/ws/part.js": (),
    "packages/fork/main.js": ("./part",),
    "packages/fork/part.js": (),
    "node_modules/pkg/index.js": ("./inside",),
    "node_modules/pkg/main.js": (),
    "node_modules/pkg/inside.js": (),
    "node_modules/pkg/extra.js": (),
    "py/five/app.py": ("part", "util.inner"),
    "py/five/part.py": (),
    "py/five/unused.py": (),
    "pyshared/inner.py": (),
    "pyspare/inner.py": (),
    "py/six/app.py": ("part",),
    "py/six/part.py": (),
    "py/seven/app.py": (),
    "js/eight/app.js": ("./part", "dep"),
    "js/eight/part.js": (),
    "js/eight/data/unused.js": (),
    "js/nine/app.js": ("./util/inner", "bare", "@acme/ws"),
    "jsshared/inner.js": (),
    "jsspare/inner.js": (),
}
"""Module -> what it imports. Any of them may be written at any time, alone."""

LINKS: Final[Mapping[str, str]] = {
    "src/two/linked": "../../outer/box",
    "node_modules/@acme/ws": "../../packages/ws",
    "py/five/util": "../../pyshared",
    "js/nine/util": "../../jsshared",
}

PLAIN: Final[Mapping[str, str]] = {
    "package.json": '{"name": "tortured", "private": true, "workspaces": ["packages/*"]}\n',
    "tsconfig.json": '{"extends": "./tsconfig.base.json"}\n',
    "tsconfig.base.json": '{"compilerOptions": {"paths": {"@lib/*": ["./lib/*"]}}}\n',
    "packages/ws/package.json": '{"name": "@acme/ws", "main": "main.js"}\n',
    "packages/fork/package.json": '{"name": "@acme/ws", "main": "main.js"}\n',
    "node_modules/pkg/package.json": '{"name": "pkg", "version": "1.0.0"}\n',
}

HANDLERS: Final = ("app.js", "app.py", "handler.js", "handler.ts")
"""Modules of these names hold a handler."""

# --- what npm writes ---------------------------------------------------------------------------

EIGHT: Final = "js/eight"
VERSIONS: Final = ("1.0.0", "2.0.0")
"""Of `dep`, which Eight asks for. It needs `sub`."""
NPM_LOCK: Final = "package-lock.json"
NPM_RECORD: Final = "node_modules/.package-lock.json"
"""npm writes it last, when all packages are in place."""


def manifest(version: str) -> str:
    """Eight's package.json."""
    return f'{{"name": "eight", "dependencies": {{"dep": "{version}"}}}}\n'


def npm_lock(version: str) -> str:
    """The package-lock.json that fits it."""
    return (
        '{"lockfileVersion": 3, "packages": {'
        f'"": {{"name": "eight", "dependencies": {{"dep": "{version}"}}}}, '
        f'"node_modules/dep": {{"version": "{version}", "dependencies": {{"sub": "1.0.0"}}}}, '
        '"node_modules/sub": {"version": "1.0.0"}}}\n'
    )


def npm_record(version: str) -> str:
    """What npm notes of the installation."""
    return npm_lock(version).replace('"": {"name": "eight"', '"node_modules/x": {"name": "x"', 1)


def package(name: str, version: str) -> str:
    """The package.json of an installed package."""
    needs = ', "dependencies": {"sub": "1.0.0"}' if name == "dep" else ""
    return f'{{"name": "{name}", "version": "{version}"{needs}}}\n'
