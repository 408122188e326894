"""The project that is tortured, on disk, and every state it ever had.

All changes go through `step`: one is one change of the disk, and what must be built from it is read
off the disk by model.py before the next. So an answer can be held against each moment it may tell.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.python_index import Index, source_tree
from tests.torture import layout, model
from tests.torture.layout import BUNDLED, EIGHT, HANDLERS, IMPORTS, PACKAGED, PYTHON, VERSIONS
from tests.torture.model import States
from tests.torture.state import tokens_in


class World:
    """One project below `place`, a fresh folder. One thread calls everything."""

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
        self.installing: set[int] = set()
        """States amid an installation, when nobody may load what it has half written."""
        self.kills = 0
        """Of the daemon or esbuild, begun; and those done."""
        self.killed = 0
        self.log: list[str] = []
        self.imports: dict[str, tuple[str, ...]] = {
            path: tuple(names) for path, names in IMPORTS.items()
        }
        self.functions = [*BUNDLED, *PYTHON, *PACKAGED]
        self.spare: dict[str, str] = {}
        """Functions that come and go -> their handler's file."""
        self.asks: Callable[[str], bool] = lambda _function: False
        """A client asks for the function now, if one is free, and nobody waits for its answer."""
        self.heard: Callable[[], bool] = lambda: True
        """Whether an answer came that nobody has looked at yet."""
        self._tokens = 0
        self._wheels: dict[str, str] = {}
        self._lay()

    # --- the disk's states ---

    def step(
        self, act: Callable[[], object], *, blurred: bool = False, installing: bool = False
    ) -> None:
        """One change, and what must be built from then on."""
        self.begun += 1
        if blurred:
            self.blurred.add(self.begun)
        if installing:
            self.installing.add(self.begun)
        act()
        self.done = self.begun
        self._note(model.states(self.root))

    def retoken(self, name: str) -> None:
        """A bundled module that is whole gets another token, and no more: as fast as can be."""
        path = self.path(name)
        before = tokens_in([path.read_text()])
        text = self.text(name)
        after = tokens_in([text])
        temporary = path.with_name(f".{path.name}.swp")
        temporary.write_text(text)
        self.begun += 1
        os.replace(temporary, path)
        self.done = self.begun
        self._note(
            {
                function: state._replace(tokens=(state.tokens - before) | after)
                if state.tokens >= before
                else state
                for function, state in self.history[-1].items()
            }
        )

    def _note(self, now: States) -> None:
        """What is as it was is kept once: there are many thousand states."""
        last = self.history[-1] if self.history else {}
        self.history.append(
            {name: last[name] if last.get(name) == state else state for name, state in now.items()}
        )

    def path(self, name: str) -> Path:
        return Path(self.root, name)

    def token(self) -> str:
        """Never used before; all have one length."""
        self._tokens += 1
        return f"T{self._tokens:08d}"

    def pause(self, longest_s: float = 0.004) -> None:
        """At most as long as a build of a few files takes, and less than a sleep could be."""
        until = time.perf_counter() + self.random.random() * longest_s
        while time.perf_counter() < until:
            pass

    # --- texts ---

    def text(self, name: str) -> str:
        """A new text of the module: the same imports, another token, the same length."""
        imports = self.imports[name]
        token = self.token()
        is_handler = os.path.basename(name) in HANDLERS
        if name.endswith(".py"):
            lines = [f"import {found}" for found in imports]
            lines.append(f'SEEN = "{token}"')
            if is_handler:
                lines.append("def handler(event, context): return SEEN")
        elif name.startswith(("js", "node_modules/")) or os.path.basename(name) == "main.js":
            lines = [f'require("{found}");' for found in imports]
            lines.append(f'globalThis.seen = "{token}";')
            if is_handler:
                lines.append("exports.handler = async () => 1;")
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
        handlers = {**BUNDLED, **self.spare}
        folders = {**PYTHON, **PACKAGED}
        for name in self.functions:
            lines += [f"  {name}:", "    Type: AWS::Serverless::Function"]
            if name in folders:
                lines += [
                    "    Properties:",
                    f"      Runtime: {'python3.11' if name in PYTHON else 'nodejs22.x'}",
                    f"      CodeUri: {folders[name]}",
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
            for name in BUNDLED
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
        for name, text in layout.PLAIN.items():
            self.path(name).write_text(text)
        for name, target in layout.LINKS.items():
            self.path(name).parent.mkdir(parents=True, exist_ok=True)
            self.path(name).symlink_to(target)
        for name, text in self.greeting().items():
            path = self.path(f"libs/greet/{name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for folder, version in ((EIGHT, VERSIONS[0]), ("js/nine", "")):
            for name, text in self.installation(version).items():
                self.path(f"{folder}/{name}").parent.mkdir(parents=True, exist_ok=True)
                self.path(f"{folder}/{name}").write_text(text)
        self.path("py/six/requirements.txt").write_text(self.lock("1.0"))
        self.path("py/seven/requirements.txt").write_text("../../libs/greet\n")
        self.path("template.yaml").write_text(self.template())
        self.path("lambdad.toml").write_text(self.options())
        self._note(model.states(self.root))

    def installation(self, version: str) -> dict[str, str]:
        """What `npm install` writes for Eight, in its order; for Nine if there is no version."""
        if not version:
            return {
                "node_modules/bare/package.json": layout.package("bare", "1.0.0"),
                "node_modules/bare/index.js": f'exports.seen = "{self.token()}";\n',
                layout.NPM_RECORD: layout.npm_record("1.0.0"),
            }
        return {
            "package.json": layout.manifest(version),
            layout.NPM_LOCK: layout.npm_lock(version),
            "node_modules/dep/package.json": layout.package("dep", version),
            "node_modules/dep/index.js": f'exports.seen = "{self.token()}";\n',
            "node_modules/dep/inside.js": f'exports.seen = "{self.token()}";\n',
            "node_modules/sub/package.json": layout.package("sub", "1.0.0"),
            "node_modules/sub/index.js": f'exports.seen = "{self.token()}";\n',
            layout.NPM_RECORD: layout.npm_record(version),
        }

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
