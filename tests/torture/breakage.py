"""Faults of the user's own making: what is deleted, broken and mended."""

from __future__ import annotations

from tests.torture.disk import BROKEN
from tests.torture.world import World


def delete(world: World) -> None:
    name = world.random.choice(world.modules())
    world.log.append(f"  {name}")
    world.step(world.path(name).unlink)


def syntax_error(world: World) -> None:
    """In what a handler reaches, or not."""
    name = world.random.choice(world.modules())
    text = world.text(name) + BROKEN + "\n"
    world.log.append(f"  {name}")
    world.step(lambda: world.replace(name, text))


def mend(world: World) -> None:
    """All that is missing or broken is as it should be again, one after the other."""
    names = [
        name
        for name in world.imports
        if not world.path(name).is_file() or BROKEN in world.path(name).read_text()
    ]
    world.random.shuffle(names)
    for name in names:
        text = world.text(name)
        world.path(name).parent.mkdir(parents=True, exist_ok=True)
        world.step(lambda name=name, text=text: world.replace(name, text))  # type: ignore[misc]
