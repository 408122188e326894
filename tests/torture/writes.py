"""The ways in which editors, tools and archives write one file."""

from __future__ import annotations

import contextlib
import os
from typing import IO, Final

from tests.torture.world import World


def _some(world: World) -> str:
    name = world.random.choice(world.modules())
    world.log.append(f"  {name}")
    return name


def _put(file: IO[str], text: str) -> None:
    file.write(text)
    file.flush()


def truncating(world: World) -> None:
    name = _some(world)
    text = world.text(name)
    with contextlib.ExitStack() as stack:
        opened = []
        world.step(lambda: opened.append(stack.enter_context(open(world.path(name), "w"))))
        world.step(lambda: _put(opened[0], text))


def in_two_steps(world: World) -> None:
    name = _some(world)
    text = world.text(name)
    middle = text.index('"T') + 5  # amid a literal: half of it is no program
    with contextlib.ExitStack() as stack:
        opened = []
        world.step(lambda: opened.append(stack.enter_context(open(world.path(name), "w"))))
        world.step(lambda: _put(opened[0], text[:middle]))
        world.step(lambda: _put(opened[0], text[middle:]))


def renamed_over(world: World) -> None:
    name = _some(world)
    text = world.text(name)
    world.step(lambda: world.replace(name, text))


def same_size_and_mtime(world: World) -> None:
    """In place: of all that stat tells only ctime moves."""
    name = _some(world)
    text = world.text(name).encode()
    path = world.path(name)
    status = path.stat()
    if status.st_size != len(text):
        world.step(lambda: path.write_bytes(text))
        return
    with open(path, "r+b", buffering=0) as file:

        def act() -> None:
            file.write(text)
            os.utime(path, ns=(0, status.st_mtime_ns))

        world.step(act)


def unpacked(world: World) -> None:
    """As `cp -p` and `tar -x` leave it: another inode, an old mtime."""
    name = _some(world)
    text = world.text(name)
    path = world.path(name)
    status = path.stat()
    temporary = path.with_name(f".{path.name}.swp")
    temporary.write_text(text)
    os.utime(temporary, ns=(0, status.st_mtime_ns))
    world.step(lambda: os.replace(temporary, path))


def through_a_hard_link(world: World) -> None:
    """From outside of the project: no watcher hears of it."""
    name = _some(world)
    text = world.text(name)
    link = world.outside / "linked"
    link.unlink(missing_ok=True)
    os.link(world.path(name), link)
    world.step(lambda: _overwrite(str(link), text))


def _overwrite(path: str, text: str) -> None:
    """One change where the size stays; else shortened after it was written."""
    with open(path, "r+b", buffering=0) as file:
        file.write(text.encode())
        file.truncate()


BEHIND: Final = (
    ("src/two/linked", "inner.js"),
    ("src/two/linked", "near.ts"),
    ("node_modules/@acme/ws", "main.js"),
    ("py/five/util", "inner.py"),
    ("js/nine/util", "inner.js"),
)


def behind_a_link(world: World) -> None:
    link, name = world.random.choice(BEHIND)
    world.log.append(f"  {link}/{name}")
    real = os.path.relpath(os.path.realpath(world.path(f"{link}/{name}")), world.root)
    if real in world.imports and world.path(real).is_file():
        text = world.text(real)
        world.step(lambda: world.replace(f"{link}/{name}", text))
