"""The second promise: the same inputs give the same bytes everywhere."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.worlds import HERE, World, differences, files_below

APPS = HERE / "fixtures" / "apps"


def npm_install(app: Path) -> None:
    for folder in (app / "notes", app / "users" / "src"):
        subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-fund", "--no-audit", "--silent"],
            cwd=folder,
            check=True,
        )


def build(world: World) -> dict[str, bytes]:
    """Each function's zip, of all sample apps."""
    return {
        f"{app}/{name}": zipped
        for app in ("notes", "orders", "users", "science")
        for name, zipped in world.build(app).items()
    }


def test_same_bytes_in_another_world(worlds: tuple[World, World], tmp_path: Path) -> None:
    """Every function's zip is equal, byte for byte, whatever of the world around it differs."""
    built = []
    for world in worlds:
        world.lay(files_below(APPS))
        npm_install(world.root)
        built.append(build(world))
    one, other = built
    assert len(one) >= 10
    assert differences(one, other, tmp_path) == {}
    assert not [name for name, zipped in other.items() if b"where else" in zipped]
