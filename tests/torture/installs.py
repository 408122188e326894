"""What package managers do: install, reinstall, lock."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from tests.torture.layout import EIGHT, VERSIONS
from tests.torture.world import World

ARCHIVE_S: Final = 499162500
"""npm's time of every file: 1985-10-26."""


def reinstall(world: World) -> None:
    """A bundled dependency is removed and written again, with the times that the archive tells."""
    folder = world.path("node_modules/pkg")
    names = [name for name in world.imports if name.startswith("node_modules/pkg/")]
    texts = {os.path.basename(name): world.text(name) for name in names}
    manifest = folder / "package.json"
    if manifest.exists():
        texts["package.json"] = manifest.read_text()

    def act() -> None:
        shutil.rmtree(folder)
        folder.mkdir()
        for name, text in texts.items():
            _unpack(folder / name, text)

    world.step(act, blurred=True)


def install(world: World) -> None:
    """`npm install dep@version` in Eight's folder, file by file, while it is asked for.

    As npm does it: the old packages are moved aside, the new ones unpacked in their places, and
    what is installed is noted at the end. Who is asked amid it may tell of anything.
    """
    _install(world, EIGHT, "Eight", world.random.choice(VERSIONS))


def install_undeclared(world: World) -> None:
    """The same where nothing but the node_modules folder tells of it."""
    _install(world, "js/nine", "Nine", "")


def _install(world: World, home: str, function: str, version: str) -> None:
    texts = world.installation(version)
    packages = sorted({name.split("/")[1] for name in texts if name.count("/") == 2})
    world.log.append(f"  {home}: {', '.join(packages)} {version}")
    modules = world.path(f"{home}/node_modules")
    aside = [modules / f".{name}-x" for name in packages]
    asked_at = world.random.randrange(len(texts))
    for name, old in zip(packages, aside, strict=True):
        folder = modules / name
        world.step(lambda folder=folder, old=old: os.rename(folder, old), installing=True)  # type: ignore[misc]
    for count, (name, text) in enumerate(texts.items()):
        path = world.path(f"{home}/{name}")
        last = count == len(texts) - 1
        if last:
            for old in aside:
                shutil.rmtree(old)
        world.step(lambda path=path, text=text: _unpack(path, text), installing=not last)  # type: ignore[misc]
        if count == asked_at:
            world.asks(function)
            world.pause(0.02)


def _unpack(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if "node_modules" in path.parts and not path.name.startswith("."):
        os.utime(path, (ARCHIVE_S, ARCHIVE_S))


def relock(world: World) -> None:
    """Six's requirements.txt pins another version."""
    path = world.path("py/six/requirements.txt")
    now = path.read_text()
    locks = [world.lock(version) for version in world.versions()]
    text = world.random.choice([lock for lock in locks if lock != now])
    world.step(lambda: world.replace("py/six/requirements.txt", text))


def local_package(world: World) -> None:
    """The package that Seven requires from a folder is edited."""
    text = world.greeting()["greet/__init__.py"]
    world.step(lambda: world.replace("libs/greet/greet/__init__.py", text))
