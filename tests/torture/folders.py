"""Whole folders that are moved, swapped and filled."""

from __future__ import annotations

import os
import shutil
from typing import Final

from tests.torture.layout import FILLER
from tests.torture.world import World

SWAPPED: Final = (
    "src/shared",
    "src/three/mod",
    "lib",
    "outer/box",
    "pyshared",
    "js/eight",
    "jsshared",
    "node_modules/pkg",
)


def swap(world: World) -> None:
    """A folder is moved away, and an older copy of it moved in: no file in it changes."""
    name = world.random.choice(SWAPPED)
    world.log.append(f"  {name}")
    path = world.path(name)
    other = world.outside / "other"
    shutil.rmtree(other, ignore_errors=True)
    shutil.copytree(path, other, symlinks=True)
    for folder, _below, names in os.walk(other):
        for each in names:
            inside = os.path.join(folder, each)
            known = os.path.relpath(inside, other)
            if f"{name}/{known}" in world.imports:
                stat = os.stat(inside)
                with open(inside, "w") as file:
                    file.write(world.text(f"{name}/{known}"))
                os.utime(inside, ns=(0, stat.st_mtime_ns))
    away = world.outside / "away"
    shutil.rmtree(away, ignore_errors=True)
    world.step(lambda: os.rename(path, away))
    world.step(lambda: os.rename(other, path))


def parent_and_back(world: World) -> None:
    """What changes while the folder has another name is not heard under its own."""
    name = world.random.choice(["src", "src/shared", "lib", "outer", "packages", "js", "py"])
    path = world.path(name)
    away = world.outside / "renamed"
    inside = [each for each in world.modules() if each.startswith(f"{name}/")]
    if not inside:
        return
    module = world.random.choice(inside)
    world.log.append(f"  {name}, {module}")
    text = world.text(module)
    moved = away / os.path.relpath(world.path(module), path)
    world.step(lambda: os.rename(path, away))
    moved.write_text(text)
    world.step(lambda: os.rename(away, path))


def project_and_back(world: World) -> None:
    """The folder above the project is moved, a file is edited there, and it is moved back."""
    module = world.random.choice(world.modules())
    world.log.append(f"  {module}")
    text = world.text(module)
    away = world.place / "elsewhere"

    def act() -> None:
        os.rename(world.parent, away)
        try:
            (away / "project" / module).write_text(text)
        finally:
            os.rename(away, world.parent)

    world.step(act, blurred=True)


def checkout(world: World) -> None:
    """2,000 files come or go, and a few that matter change among them."""
    folder = world.path("bulk")
    changed = [(name, world.text(name)) for name in world.random.sample(world.modules(), 3)]

    def act() -> None:
        if folder.exists():
            shutil.rmtree(folder)
        else:
            for number in range(FILLER):
                path = folder / str(number // 100) / f"file{number}.ts"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"export const value = {number};\n")
        for name, text in changed:
            world.replace(name, text)

    world.step(act, blurred=True)


def made(world: World) -> None:
    """What was built is removed or damaged by another hand."""
    folder = world.path(".lambdad/live")
    if not folder.is_dir():
        return
    homes = sorted(path for path in folder.iterdir() if path.is_dir())
    if homes:
        home = world.random.choice(homes)
        world.step(lambda: shutil.rmtree(home, ignore_errors=True), blurred=True)
