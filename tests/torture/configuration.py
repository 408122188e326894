"""Edits of what declares and configures the functions."""

from __future__ import annotations

from tests.torture.disk import BROKEN
from tests.torture.world import World


def _configure(world: World, name: str, text: str) -> None:
    """Who asked before may be told of sources as they are after it, built as they were then."""
    world.step(lambda: world.replace(name, text), blurred=True)


def function(world: World) -> None:
    """A function is added to the template, or taken out of it."""
    gone = [name for name in world.spare if name in world.functions]
    if gone and world.random.random() < 0.5:
        name = world.random.choice(gone)
        world.functions.remove(name)
    else:
        name = f"Spare{len(world.spare)}"
        world.spare[name] = world.random.choice(["src/one/handler.ts", "src/four/handler.ts"])
        world.functions.append(name)
        if len(world.functions) > 12:
            world.functions.remove(gone[0] if gone else name)
    world.log.append(f"  {name}")
    _configure(world, "template.yaml", world.template())


def handler(world: World) -> None:
    """A function of the template leads to another handler."""
    there = [name for name in world.spare if name in world.functions]
    if not there:
        return
    name = world.random.choice(there)
    world.spare[name] = world.random.choice(["src/one/handler.ts", "src/three/handler.ts"])
    _configure(world, "template.yaml", world.template())


def options(world: World) -> None:
    """Each bundle gets another banner."""
    _configure(world, "lambdad.toml", world.options())


def broken_template(world: World) -> None:
    """It is no YAML for a moment."""
    _configure(world, "template.yaml", f"Resources: [{BROKEN}\n")
    world.pause()
    _configure(world, "template.yaml", world.template())
