"""What happens to a project's files while people and tools work on it: each operation, weighed."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from typing import IO, Final

from tests.torture.model import BROKEN
from tests.torture.world import FILLER, World

Operation = Callable[[World], None]


def operate(world: World) -> None:
    """One operation, chosen by chance; its name is logged."""
    names = list(OPERATIONS)
    weights = [OPERATIONS[name][0] for name in names]
    (name,) = world.random.choices(names, weights)
    world.log.append(f"{world.done} {name}")
    OPERATIONS[name][1](world)


# --- how a file is written ----------------------------------------------------------------------


def _some(world: World) -> str:
    return world.random.choice(world.modules())


def _put(file: IO[str], text: str) -> None:
    file.write(text)
    file.flush()


def _truncating(world: World) -> None:
    name = _some(world)
    text = world.text(name)
    with contextlib.ExitStack() as stack:
        opened = []
        world.step(lambda: opened.append(stack.enter_context(open(world.path(name), "w"))))
        world.step(lambda: _put(opened[0], text))
    world.log.append(f"  {name}")


def _in_two_steps(world: World) -> None:
    name = _some(world)
    text = world.text(name)
    middle = text.index('"T') + 5  # amid a literal: half of it is no program
    with contextlib.ExitStack() as stack:
        opened = []
        world.step(lambda: opened.append(stack.enter_context(open(world.path(name), "w"))))
        world.step(lambda: _put(opened[0], text[:middle]))
        world.step(lambda: _put(opened[0], text[middle:]))
    world.log.append(f"  {name}")


def _renamed_over(world: World) -> None:
    name = _some(world)
    text = world.text(name)
    world.step(lambda: world.replace(name, text))
    world.log.append(f"  {name}")


def _same_size_and_mtime(world: World) -> None:
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
    world.log.append(f"  {name}")


def _unpacked(world: World) -> None:
    """As `cp -p` and `tar -x` leave it: another inode, an old mtime."""
    name = _some(world)
    text = world.text(name)
    path = world.path(name)
    status = path.stat()
    temporary = path.with_name(f".{path.name}.swp")
    temporary.write_text(text)
    os.utime(temporary, ns=(0, status.st_mtime_ns))
    world.step(lambda: os.replace(temporary, path))
    world.log.append(f"  {name}")


def _through_a_hard_link(world: World) -> None:
    """From outside of the project: no watcher hears of it."""
    name = _some(world)
    text = world.text(name)
    link = world.outside / "linked"
    link.unlink(missing_ok=True)
    os.link(world.path(name), link)
    world.step(lambda: _overwrite(str(link), text))
    world.log.append(f"  {name}")


def _overwrite(path: str, text: str) -> None:
    """One change where the size stays; else shortened after it was written."""
    with open(path, "r+b", buffering=0) as file:
        file.write(text.encode())
        file.truncate()


def _behind_a_link(world: World) -> None:
    link, name = world.random.choice(
        [
            ("src/two/linked", "inner.js"),
            ("src/two/linked", "near.ts"),
            ("node_modules/@acme/ws", "main.js"),
            ("py/five/util", "inner.py"),
        ]
    )
    real = os.path.relpath(os.path.realpath(world.path(f"{link}/{name}")), world.root)
    if real not in world.imports or not world.path(real).is_file():
        return
    text = world.text(real)
    world.step(lambda: world.replace(f"{link}/{name}", text))
    world.log.append(f"  {link}/{name}")


PAIRS: Final = {
    ("src/one/handler.ts", "src/one/part.js"): "One",
    ("src/shared/words.ts", "src/shared/deep/leaf.js"): "Four",
    ("src/three/handler.ts", "src/three/mod/data.ts"): "Three",
    ("outer/box/inner.js", "outer/box/near.ts"): "Two",
}
"""One that imports, one that is imported and so read later; and a function that holds them."""


def _in_a_row(world: World) -> None:
    """Two files in turn, while they are built: no answer may tell of the later write alone."""
    pair = world.random.choice(list(PAIRS))
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


# --- links, shadows, settings ---------------------------------------------------------------------


def _retarget(world: World) -> None:
    name, targets = world.random.choice(
        [
            ("src/two/linked", ("../../outer/box", "../../outer/crate")),
            ("py/five/util", ("../../pyshared", "../../pyspare")),
        ]
    )
    path = world.path(name)
    target = targets[1] if os.readlink(path) == targets[0] else targets[0]
    temporary = path.with_name(".link.swp")
    temporary.symlink_to(target)
    world.step(lambda: os.replace(temporary, path))
    world.log.append(f"  {name} -> {target}")


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
)


def _shadow(world: World) -> None:
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
}


def _setting(world: World) -> None:
    """A tsconfig.json or package.json is added, edited or removed."""
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


# --- folders --------------------------------------------------------------------------------------


def _swap(world: World) -> None:
    """A folder is moved away, and an older copy of it moved in: no file in it changes."""
    name = world.random.choice(
        ["src/shared", "src/three/mod", "lib", "outer/box", "pyshared", "node_modules/pkg"]
    )
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
    world.log.append(f"  {name}")


def _parent_and_back(world: World) -> None:
    """What changes while the folder has another name is not heard under its own."""
    name = world.random.choice(["src", "src/shared", "lib", "outer", "packages"])
    path = world.path(name)
    away = world.outside / "renamed"
    inside = [each for each in world.modules() if each.startswith(f"{name}/")]
    if not inside:
        return
    module = world.random.choice(inside)
    text = world.text(module)
    moved = away / os.path.relpath(world.path(module), path)
    world.step(lambda: os.rename(path, away))
    moved.write_text(text)
    world.step(lambda: os.rename(away, path))
    world.log.append(f"  {name}, {module}")


def _project_and_back(world: World) -> None:
    """The folder above the project is moved, a file is edited there, and it is moved back."""
    module = _some(world)
    text = world.text(module)
    away = world.place / "elsewhere"

    def act() -> None:
        os.rename(world.parent, away)
        try:
            (away / "project" / module).write_text(text)
        finally:
            os.rename(away, world.parent)

    world.step(act, blurred=True)
    world.log.append(f"  {module}")


def _checkout(world: World) -> None:
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


def _reinstall(world: World) -> None:
    """A dependency is removed and written again, with the times that the archive tells."""
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
            (folder / name).write_text(text)
            os.utime(folder / name, (499162500, 499162500))  # npm's time of every file

    world.step(act, blurred=True)


# --- what breaks and is mended --------------------------------------------------------------------


def _delete(world: World) -> None:
    name = _some(world)
    world.log.append(f"  {name}")
    world.step(world.path(name).unlink)


def _mend(world: World) -> None:
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


def _break(world: World) -> None:
    """A syntax error, in what a handler reaches or not."""
    name = _some(world)
    text = world.text(name) + BROKEN + "\n"
    world.log.append(f"  {name}")
    world.step(lambda: world.replace(name, text))


HOLDERS: Final = {
    "src/one/part.js": "One",
    "src/shared/words.ts": "Two",
    "src/four/handler.ts": "Four",
}


def _new_module(world: World) -> None:
    """A module that no build has met: written, imported, and written again at once."""
    name = world.random.choice(list(HOLDERS))
    if not world.path(name).is_file():
        return
    own = world.random.randrange(1000)
    new = f"{os.path.dirname(name)}/new{own}.ts"
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
    world.log.append(f"  {new}")


# --- configuration --------------------------------------------------------------------------------


def _configure(world: World, name: str, text: str) -> None:
    """Who asked before may be told of sources as they are after it, built as they were then."""
    world.step(lambda: world.replace(name, text), blurred=True)


def _function(world: World) -> None:
    """A function is added to the template, or taken out of it."""
    gone = [name for name in world.spare if name in world.functions]
    if gone and world.random.random() < 0.5:
        name = world.random.choice(gone)
        world.functions.remove(name)
    else:
        name = f"Spare{len(world.spare)}"
        world.spare[name] = world.random.choice(["src/one/handler.ts", "src/four/handler.ts"])
        world.functions.append(name)
        if len(world.functions) > 10:
            world.functions.remove(gone[0] if gone else name)
    text = world.template()
    world.log.append(f"  {name}")
    _configure(world, "template.yaml", text)


def _handler(world: World) -> None:
    """A function of the template leads to another handler."""
    there = [name for name in world.spare if name in world.functions]
    if not there:
        return
    name = world.random.choice(there)
    world.spare[name] = world.random.choice(["src/one/handler.ts", "src/three/handler.ts"])
    text = world.template()
    _configure(world, "template.yaml", text)


def _options(world: World) -> None:
    text = world.options()
    _configure(world, "lambdad.toml", text)


def _broken_template(world: World) -> None:
    broken = f"Resources: [{BROKEN}\n"
    text = world.template()
    _configure(world, "template.yaml", broken)
    world.pause()
    _configure(world, "template.yaml", text)


def _relock(world: World) -> None:
    path = world.path("py/six/requirements.txt")
    now = path.read_text()
    text = world.lock(
        world.random.choice([each for each in world.versions() if world.lock(each) != now])
    )
    world.step(lambda: world.replace("py/six/requirements.txt", text))


def _local_package(world: World) -> None:
    text = world.greeting()["greet/__init__.py"]
    world.step(lambda: world.replace("libs/greet/greet/__init__.py", text))


def _made(world: World) -> None:
    """What was built is removed or damaged by another hand."""
    folder = world.path(".lambdad/live")
    if not folder.is_dir():
        return
    homes = sorted(path for path in folder.iterdir() if path.is_dir())
    if homes:
        home = world.random.choice(homes)
        world.step(lambda: shutil.rmtree(home, ignore_errors=True), blurred=True)


OPERATIONS: Final[dict[str, tuple[float, Operation]]] = {
    "truncating write": (9, _truncating),
    "write in two steps": (6, _in_two_steps),
    "atomic rename": (10, _renamed_over),
    "same size and mtime": (10, _same_size_and_mtime),
    "unpacked": (6, _unpacked),
    "hard link": (7, _through_a_hard_link),
    "behind a link": (6, _behind_a_link),
    "in a row": (3, _in_a_row),
    "retarget": (5, _retarget),
    "shadow": (9, _shadow),
    "setting": (9, _setting),
    "folder swapped": (4, _swap),
    "parent and back": (2.5, _parent_and_back),
    "project and back": (0.5, _project_and_back),
    "checkout": (0.15, _checkout),
    "reinstall": (3, _reinstall),
    "delete": (3, _delete),
    "mend": (8, _mend),
    "syntax error": (4, _break),
    "new module": (4, _new_module),
    "function": (1.5, _function),
    "handler": (1, _handler),
    "options": (1.5, _options),
    "broken template": (0.5, _broken_template),
    "relock": (1, _relock),
    "local package": (0.15, _local_package),
    "made": (0.3, _made),
}
