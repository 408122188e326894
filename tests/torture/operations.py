"""What happens to a project's files while people and tools work on it: each operation, weighed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.torture import breakage, configuration, folders, installs, races, resolution, writes
from tests.torture.world import World

Operation = Callable[[World], None]

OPERATIONS: Final[dict[str, tuple[float, Operation]]] = {
    "truncating write": (9, writes.truncating),
    "write in two steps": (6, writes.in_two_steps),
    "atomic rename": (10, writes.renamed_over),
    "same size and mtime": (10, writes.same_size_and_mtime),
    "unpacked": (6, writes.unpacked),
    "hard link": (7, writes.through_a_hard_link),
    "behind a link": (6, writes.behind_a_link),
    "torn": (6, races.torn),
    "in a row": (1, races.in_a_row),
    "new module": (4, races.new_module),
    "a guest": (2, races.a_guest),
    "retarget": (7, resolution.retarget),
    "shadow": (9, resolution.shadow),
    "setting": (12, resolution.setting),
    "folder swapped": (4, folders.swap),
    "parent and back": (2.5, folders.parent_and_back),
    "project and back": (0.5, folders.project_and_back),
    "checkout": (0.15, folders.checkout),
    "made": (0.3, folders.made),
    "reinstall": (3, installs.reinstall),
    "install": (4, installs.install),
    "install undeclared": (1.5, installs.install_undeclared),
    "relock": (1, installs.relock),
    "local package": (0.15, installs.local_package),
    "delete": (3, breakage.delete),
    "mend": (8, breakage.mend),
    "syntax error": (4, breakage.syntax_error),
    "function": (1.5, configuration.function),
    "handler": (1, configuration.handler),
    "options": (1.5, configuration.options),
    "broken template": (0.5, configuration.broken_template),
}


def operate(world: World) -> None:
    """One operation, chosen by chance; its name is logged."""
    names = list(OPERATIONS)
    weights = [OPERATIONS[name][0] for name in names]
    (name,) = world.random.choices(names, weights)
    world.log.append(f"{world.done} {name}")
    OPERATIONS[name][1](world)
