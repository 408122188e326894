"""Writes while a build runs: no answer may mix two moments."""

from __future__ import annotations

import os
import shutil
from typing import Final

from tests.torture import reads
from tests.torture.layout import BUNDLED
from tests.torture.world import World

PAIRS: Final = {
    ("src/one/handler.ts", "src/one/part.js"): "One",
    ("src/shared/words.ts", "src/shared/deep/leaf.js"): "Four",
    ("src/three/handler.ts", "src/three/mod/data.ts"): "Three",
    ("outer/box/inner.js", "outer/box/near.ts"): "Two",
    ("py/five/app.py", "py/five/part.py"): "Five",
    ("js/eight/app.js", "js/eight/part.js"): "Eight",
}
"""One that is read, one that is read later; and a function that holds them."""

LONG_TO_READ: Final = 100_000
"""So many elements of a list take a parser a few milliseconds."""


def torn(world: World) -> None:
    """The first is edited when it was read, the other before it is: rule 5 alone can tell.

    To have the time, what the first imports is found at the end of a long text.
    """
    pair = world.random.choice(list(PAIRS))
    first, other = pair
    world.log.append(f"  {pair}")
    if not all(world.path(name).is_file() for name in pair):
        return
    text = world.text(other)
    world.step(lambda: world.replace(other, text))  # whole, as `retoken` wants it
    path = world.path(first)
    temporary = path.with_name(f".{path.name}.swp")
    temporary.write_text(_long(first, world.text(first)))
    readers = 1 + world.random.choice((1, 1, 2, 3))  # we, and not all others are the build
    with reads.of(temporary) as wait:
        world.step(lambda: os.replace(temporary, path))
        if world.asks(PAIRS[pair]):
            wait(readers, world.heard)
    _write(world, first, PAIRS[pair])
    _write(world, other, PAIRS[pair])


def _long(name: str, text: str) -> str:
    if name.endswith(".py"):
        return f"{text}# {'-' * 10 * LONG_TO_READ}\n"
    return f"if (false) {{ [{'0,' * LONG_TO_READ}]; }}\n{text}"


def _write(world: World, name: str, function: str) -> None:
    if function in BUNDLED:
        world.retoken(name)
    else:
        text = world.text(name)
        world.step(lambda: world.replace(name, text))


def in_a_row(world: World) -> None:
    """Two files in turn, for as long as they are built."""
    pair = world.random.choice([pair for pair, name in PAIRS.items() if name in BUNDLED])
    world.log.append(f"  {pair}")
    if not all(world.path(name).is_file() for name in pair):
        return
    for name in pair:
        text = world.text(name)
        world.step(lambda name=name, text=text: world.replace(name, text))  # type: ignore[misc]
    world.asks(PAIRS[pair])
    for count in range(400):
        if count >= 40 and world.heard():
            break
        for name in pair:
            world.retoken(name)


HOLDERS: Final = {
    "src/one/part.js": "One",
    "src/shared/words.ts": "Two",
    "src/four/handler.ts": "Four",
}


def new_module(world: World) -> None:
    """A module that no build has met: written, imported, and written again at once."""
    name = world.random.choice(list(HOLDERS))
    if not world.path(name).is_file():
        return
    own = world.random.randrange(1000)
    new = f"{os.path.dirname(name)}/new{own}.ts"
    world.log.append(f"  {new}")
    old = [each for each in world.imports[name] if each.startswith("./new")]
    world.imports[new] = ()
    first = world.text(new)
    world.step(lambda: world.replace(new, first))
    world.imports[name] = (
        *(each for each in world.imports[name] if each not in old),
        f"./new{own}",
    )
    text = world.text(name)
    world.step(lambda: world.replace(name, text))
    world.asks(HOLDERS[name])
    for _ in range(3):
        world.pause()
        again = world.text(new)
        world.step(lambda again=again: world.replace(new, again))  # type: ignore[misc]
    for each in old:
        gone = f"{os.path.dirname(name)}/{each[2:]}.ts"
        if gone != new and world.imports.pop(gone, None) is not None:
            world.step(lambda gone=gone: world.path(gone).unlink(missing_ok=True))  # type: ignore[misc]


GUESTS: Final = {
    "src/shared": ("One", "src/one/handler.ts"),
    "src/three/mod": ("Four", "src/four/handler.ts"),
    "outer/box": ("Two", "src/two/handler.js"),
    "pyshared": ("Five", "py/five/app.py"),
    "jsshared": ("Nine", "js/nine/app.js"),
}
"""Folder -> a function that holds it, and a file of its that is edited to have it built."""


def a_guest(world: World) -> None:
    """A folder gives way to another while it is built, and comes back as it was."""
    name = world.random.choice(list(GUESTS))
    function, module = GUESTS[name]
    world.log.append(f"  {name}")
    if not world.path(module).is_file():
        return
    folder, away, guest = world.path(name), world.outside / "host", world.outside / "guest"
    shutil.rmtree(guest, ignore_errors=True)
    shutil.copytree(folder, guest, symlinks=True)
    for each in world.modules():
        if each.startswith(f"{name}/"):
            (guest / os.path.relpath(each, name)).write_text(world.text(each))
    text = world.text(module)
    world.step(lambda: world.replace(module, text))
    world.asks(function)
    world.pause(0.006)
    world.step(lambda: os.rename(folder, away))
    world.step(lambda: os.rename(guest, folder))
    world.pause()
    world.step(lambda: os.rename(folder, guest))
    world.step(lambda: os.rename(away, folder))
