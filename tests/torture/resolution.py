"""What decides where an import leads: links, shadows, settings."""

from __future__ import annotations

import os
from typing import Final

from tests.torture import layout
from tests.torture.disk import BROKEN
from tests.torture.layout import VERSIONS
from tests.torture.world import World

TARGETS: Final = {
    "node_modules/@acme/ws": ("Four", "../../packages/ws", "../../packages/fork"),
    "src/two/linked": ("Two", "../../outer/box", "../../outer/crate"),
    "py/five/util": ("Five", "../../pyshared", "../../pyspare"),
    "js/nine/util": ("Nine", "../../jsshared", "../../jsspare"),
}
"""Symlink -> a function that follows it, and where it leads to in turn."""


def retarget(world: World) -> None:
    """A symlink leads elsewhere."""
    name = world.random.choice(list(TARGETS))
    path = world.path(name)
    function, one, other = TARGETS[name]
    target = other if os.readlink(path) == one else one
    world.log.append(f"  {name} -> {target}")
    temporary = path.with_name(".link.swp")
    temporary.symlink_to(target)
    world.step(lambda: os.replace(temporary, path))
    if world.random.random() < 0.5:
        world.asks(function)


SHADOWS: Final = (
    "src/one/part.ts",
    "src/one/part.tsx",
    "src/three/mod/data.tsx",
    "src/shared/deep.ts",
    "src/shared/deep.js",
    "src/shared/deep/leaf.ts",
    "outer/box/near.tsx",
    "outer/crate/inner.ts",
    "lib/tool.tsx",
    "src/node_modules/pkg/index.js",
    "src/one/node_modules/pkg.js",
    "packages/node_modules/pkg/index.js",
    "node_modules/@lib/tool.js",
    "node_modules/@lib/more.js",
    "src/two/handler.ts",
    "py/five/part.pyi",
    "py/six/part/__init__.py",
    "js/eight/part/index.js",
    "jsshared/more.js",
)


def shadow(world: World) -> None:
    """A file that goes before another comes, or goes again."""
    name = world.random.choice(SHADOWS)
    path = world.path(name)
    world.log.append(f"  {name}")
    if path.exists():
        world.imports.pop(name, None)
        world.step(path.unlink)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    world.imports[name] = ()
    text = world.text(name)
    temporary = world.outside / "coming"
    temporary.write_text(text)
    world.step(lambda: os.replace(temporary, path))


SETTINGS: Final = {
    "tsconfig.json": (
        '{"extends": "./tsconfig.base.json"}\n',
        '{"compilerOptions": {"paths": {"@lib/*": ["./other/*", "./lib/*"]}}}\n',
        '{"compilerOptions": {"paths": {"@lib/*": ["./absent/*", "./lib/*"]}}}\n',
        None,
    ),
    "tsconfig.base.json": (
        '{"compilerOptions": {"paths": {"@lib/*": ["./lib/*"]}}}\n',
        '{"compilerOptions": {"paths": {"@lib/*": ["./other/*"]}}}\n',
    ),
    "src/one/tsconfig.json": (
        None,
        '{"compilerOptions": {"paths": {"@lib/*": ["../../other/*"]}}}\n',
        '{"extends": "../../tsconfig.base.json"}\n',
    ),
    "packages/ws/package.json": (
        '{"name": "@acme/ws", "main": "main.js"}\n',
        '{"name": "@acme/ws", "main": "part.js"}\n',
        None,
    ),
    "node_modules/pkg/package.json": (
        '{"name": "pkg", "version": "1.0.0"}\n',
        '{"name": "pkg", "version": "1.0.1", "main": "main.js"}\n',
        None,
    ),
    "src/shared/deep/package.json": (None, '{"main": "./leaf.js"}\n'),
    f"{layout.EIGHT}/package.json": tuple(layout.manifest(version) for version in VERSIONS),
    f"{layout.EIGHT}/{layout.NPM_LOCK}": (
        *(layout.npm_lock(version) for version in VERSIONS),
        f"{{{BROKEN}\n",
        None,
    ),
    f"{layout.EIGHT}/{layout.NPM_RECORD}": (
        *(layout.npm_record(version) for version in VERSIONS),
        None,
    ),
}


def setting(world: World) -> None:
    """A tsconfig.json, a package.json or a lock of npm's is added, edited or removed."""
    name = world.random.choice(list(SETTINGS))
    path = world.path(name)
    if not path.parent.is_dir():
        return
    now = path.read_text() if path.exists() else None
    text = world.random.choice([other for other in SETTINGS[name] if other != now])
    world.log.append(f"  {name}: {text!r}")
    if text is None:
        world.step(path.unlink)
    else:
        world.step(lambda: world.replace(name, text))
