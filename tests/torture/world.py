"""The project that is tortured, on disk, and every state it ever had.

All changes go through `step`: one is one change of the disk, and what must be built from it is read
off the disk by model.py before the next. So an answer can be held against each moment it may tell.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.python_index import Index, source_tree
from tests.torture import model
from tests.torture.model import States

FILLER = 2000
"""Files of a large checkout."""

NODE = {
    "One": "src/one/handler.ts",
    "Two": "src/two/handler.js",
    "Three": "src/three/handler.ts",
    "Four": "src/four/handler.ts",
}
PYTHON = {"Five": "py/five", "Six": "py/six", "Seven": "py/seven"}

IMPORTS: Mapping[str, Sequence[str]] = {
    "src/one/handler.ts": ("./part", "../shared/words", "@lib/tool", "pkg"),
    "src/one/part.js": ("../shared/deep",),
    "src/two/handler.js": ("./linked/inner", "../shared/words", "pkg", "pkg/extra"),
    "src/three/handler.ts": ("../shared/deep", "./mod/data", "@acme/ws", "@lib/more"),
    "src/three/mod/data.ts": (),
    "src/four/handler.ts": ("../three/mod/data", "../shared/words", "@acme/ws"),
    "src/shared/words.ts": ("./deep/leaf",),
    "src/shared/deep/index.ts": ("./leaf",),
    "src/shared/deep/leaf.js": (),
    "lib/tool.ts": (),
    "lib/more.ts": ("./tool",),
    "other/tool.ts": (),
    "other/more.ts": (),
    "outer/box/inner.js": ("./near",),
    "outer/box/near.ts": (),
    "outer/crate/inner.js": ("./near",),
    "outer/crate/near.ts": (),
    "packages/ws/main.js": ("./part", "pkg"),
    "packages/ws/index.js": (),
    "packages/ws/part.js": (),
    "node_modules/pkg/index.js": ("./inside",),
    "node_modules/pkg/main.js": (),
    "node_modules/pkg/inside.js": (),
    "node_modules/pkg/extra.js": (),
}
LIVES_IN_PYTHON: Mapping[str, Sequence[str]] = {
    "py/five/app.py": ("part", "util.inner"),
    "py/five/part.py": (),
    "py/five/unused.py": (),
    "pyshared/inner.py": (),
    "pyspare/inner.py": (),
    "py/six/app.py": ("part",),
    "py/six/part.py": (),
    "py/seven/app.py": (),
}
PLAIN: Mapping[str, str] = {
    "package.json": '{"name": "tortured", "private": true, "workspaces": ["packages/*"]}\n',
    "tsconfig.json": '{"extends": "./tsconfig.base.json"}\n',
    "tsconfig.base.json": '{"compilerOptions": {"paths": {"@lib/*": ["./lib/*"]}}}\n',
    "packages/ws/package.json": '{"name": "@acme/ws", "main": "main.js"}\n',
    "node_modules/pkg/package.json": '{"name": "pkg", "version": "1.0.0"}\n',
}
LINKS = {
    "src/two/linked": "../../outer/box",
    "node_modules/@acme/ws": "../../packages/ws",
    "py/five/util": "../../pyshared",
}


class World:
    """One project below `place`, a fresh folder. One thread calls everything but `sent`."""

    def __init__(self, place: Path, seed: int) -> None:
        self.place = place
        self.parent = place / "parent"
        self.root = str(self.parent / "project")
        self.outside = place / "outside"
        self.random = random.Random(seed)
        self.begun = 0
        self.done = 0
        self.history: list[States] = []
        self.blurred: set[int] = set()
        """Steps of many changes: what is seen amid one may be any part of it."""
        self.kills = 0
        self.log: list[str] = []
        self.imports: dict[str, tuple[str, ...]] = {
            path: tuple(names) for path, names in {**IMPORTS, **LIVES_IN_PYTHON}.items()
        }
        self.functions = [*NODE, *PYTHON]
        self.spare: dict[str, str] = {}
        """Functions that come and go -> their handler's file."""
        self.asks: Callable[[str], None] = lambda _function: None
        """A client asks for the function now, and nobody waits for its answer."""
        self.heard: Callable[[], bool] = lambda: True
        """Whether an answer came that nobody has looked at yet."""
        self._tokens = 0
        self._wheels: dict[str, str] = {}
        self._lay()

    # --- the disk's states ---

    def step(self, act: Callable[[], object], *, blurred: bool = False) -> None:
        """One change, and what must be built from then on."""
        self.begun += 1
        if blurred:
            self.blurred.add(self.begun)
        act()
        self.done = self.begun
        self.history.append(model.states(self.root))

    def retoken(self, name: str) -> None:
        """A bundled module gets another token, and nothing else: as fast as can be."""
        path = self.path(name)
        before = model.TOKEN.findall(path.read_text())
        text = self.text(name)
        after = model.TOKEN.findall(text)
        temporary = path.with_name(f".{path.name}.swp")
        temporary.write_text(text)
        self.begun += 1
        os.replace(temporary, path)
        self.done = self.begun
        now = {
            function: state._replace(tokens=(state.tokens - {*before}) | {*after})
            if state.tokens.issuperset(before)
            else state
            for function, state in self.history[-1].items()
        }
        self.history.append(now)

    def path(self, name: str) -> Path:
        return Path(self.root, name)

    def token(self) -> str:
        """Never used before; all have one length."""
        self._tokens += 1
        return f"T{self._tokens:08d}"

    def pause(self) -> None:
        """At most as long as a build of a few files takes, and less than a sleep could be."""
        until = time.perf_counter() + self.random.random() * 0.004
        while time.perf_counter() < until:
            pass

    # --- texts ---

    def text(self, name: str) -> str:
        """A new text of the module: the same imports, another token, the same length."""
        imports = self.imports[name]
        token = self.token()
        is_handler = os.path.basename(name) in ("app.py", "handler.ts", "handler.js")
        if name.endswith(".py"):
            lines = [f"import {found}" for found in imports]
            lines.append(f'SEEN = "{token}"')
            if is_handler:
                lines.append("def handler(event, context): return SEEN")
        elif name.startswith("node_modules/") or os.path.basename(name) == "main.js":
            lines = [f'require("{found}");' for found in imports]
            lines.append(f'globalThis.seen = "{token}";')
        else:
            lines = [f'import "{found}";' for found in imports]
            lines.append(f'globalThis.seen = "{token}";')
            if is_handler:
                lines.append("export const handler = async () => 1;")
        return "\n".join(lines) + "\n"

    def modules(self) -> list[str]:
        """Those that are there, by the names in `imports`."""
        return sorted(name for name in self.imports if self.path(name).is_file())

    def replace(self, name: str, text: str) -> None:
        """As editors save: a new file takes the name."""
        path = self.path(name)
        temporary = path.with_name(f".{path.name}.swp")
        temporary.write_text(text)
        os.replace(temporary, path)

    def template(self) -> str:
        """What declares the functions that there are."""
        lines = ["Transform: AWS::Serverless-2016-10-31", "Resources:"]
        handlers = {**NODE, **self.spare}
        for name in self.functions:
            lines += [f"  {name}:", "    Type: AWS::Serverless::Function"]
            if name in PYTHON:
                lines += [
                    "    Properties:",
                    "      Runtime: python3.11",
                    f"      CodeUri: {PYTHON[name]}",
                    "      Handler: app.handler",
                ]
            else:
                stem = os.path.splitext(handlers[name])[0]
                lines += [
                    "    Metadata: {BuildMethod: esbuild}",
                    "    Properties:",
                    "      Runtime: nodejs22.x",
                    "      CodeUri: .",
                    f"      Handler: {stem}.handler",
                ]
        return "\n".join(lines) + "\n"

    def options(self) -> str:
        """lambdad.toml: each bundle begins with a token of its own."""
        return "".join(
            f'[functions.{name}.esbuild]\nbanner = {{ js = "/* {self.token()} */" }}\n'
            for name in NODE
        )

    def lock(self, version: str) -> str:
        """A requirements.txt that pins the local wheel."""
        return f"wordy=={version} --hash=sha256:{self._wheels[version]}\n"

    def versions(self) -> list[str]:
        return sorted(self._wheels)

    @property
    def index(self) -> Path:
        return self.place / "index"

    # --- the beginning ---

    def _lay(self) -> None:
        os.makedirs(self.root)
        self.outside.mkdir()
        self.index.mkdir()
        index = Index(self.index)
        for version in ("1.0", "2.0", "3.0"):
            content = f'SEEN = "{self.token()}"\n'.encode()
            self._wheels[version] = index.wheel(
                "wordy", version, files={"wordy/__init__.py": content}
            )
        (self.place / ".git").mkdir()
        for name in self.imports:
            self.path(name).parent.mkdir(parents=True, exist_ok=True)
            self.path(name).write_text(self.text(name))
        for name, text in PLAIN.items():
            self.path(name).write_text(text)
        for name, target in LINKS.items():
            self.path(name).parent.mkdir(parents=True, exist_ok=True)
            self.path(name).symlink_to(target)
        for name, text in self.greeting().items():
            path = self.path(f"libs/greet/{name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.path("py/six/requirements.txt").write_text(self.lock("1.0"))
        self.path("py/seven/requirements.txt").write_text("../../libs/greet\n")
        self.path("template.yaml").write_text(self.template())
        self.path("lambdad.toml").write_text(self.options())
        self.history.append(model.states(self.root))

    def greeting(self) -> dict[str, str]:
        """The local package that Seven requires."""
        return source_tree("greet", code=f'SEEN = "{self.token()}"\n')

    def copy(self, target: Path) -> str:
        """The project as it is, without what was built; its root."""
        root = target / "parent" / "project"
        ignored = shutil.ignore_patterns(".lambdad")
        shutil.copytree(self.root, root, symlinks=True, ignore=ignored)
        (target / ".git").mkdir()
        return str(root)
