"""The nouns of the project: what a user declared, what a build is to do, and how it ended.

Everything here is frozen, compares by value and imports nothing of ours, so any module may use it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

RelPath = str
"""A path relative to the project's root, with "/" between parts; it may begin with "../"."""


class Language(enum.Enum):
    JAVASCRIPT = "javascript"
    PYTHON = "python"


class Architecture(enum.Enum):
    """A Lambda instruction set, by the name AWS gives it."""

    X86_64 = "x86_64"
    ARM64 = "arm64"


class Method(enum.Enum):
    """How a function's zip is made."""

    ESBUILD = "esbuild"
    """One bundled file per entry point."""
    NODE = "node"
    """The code folder as it is, and its production node_modules."""
    PYTHON = "python"
    """The code folder as it is, and its locked dependencies."""


class Want(enum.Enum):
    """What a function is built as."""

    ZIP = "zip"
    """An artifact for Lambda."""
    LIVE = "live"
    """Something that a process on this machine loads."""


class Severity(enum.Enum):
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a file of the project; line and column count from 1, None where unknown."""

    file: RelPath
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """A fault in the user's project: what is wrong, where, and what to do next."""

    code: str
    """Stable, documented in docs/diagnostics.md, greppable."""
    severity: Severity
    message: str
    where: Location | None = None
    hint: str | None = None
    retried: bool = False
    """Something outside of the project decided it, such as an index, a build tool or what this
    machine has installed. No record answers with such an error: the next build tries again."""


class BundlerError(Exception):
    """A fault of the machine or of its tools, not of the project; `hint` is the next step."""

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class ProjectError(Exception):
    """Carries diagnostics out of a step that can't go on; caught where a build's result is made.

    A failure has inputs too: whatever the step has looked at is in its recorder (inputs/seen.py).
    """

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("; ".join(d.message for d in diagnostics))
        self.diagnostics = diagnostics


Failure = ProjectError | BundlerError
"""Why a step has no result; the flow of a build hands faults on as values."""


def error(
    code: str, message: str, where: Location | None = None, hint: str | None = None
) -> Diagnostic:
    return Diagnostic(code=code, severity=Severity.ERROR, message=message, where=where, hint=hint)


def retried(items: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The same, decided outside of the project (`Diagnostic.retried`)."""
    return tuple(replace(item, retried=True) for item in items)


def warning(
    code: str, message: str, where: Location | None = None, hint: str | None = None
) -> Diagnostic:
    return Diagnostic(code=code, severity=Severity.WARNING, message=message, where=where, hint=hint)


# --- what the user declared ------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """One of Lambda's runtimes; the table of all is bundler/runtimes.py."""

    name: str
    language: Language
    version: tuple[int, ...]
    """(3, 12) for python3.12, (22,) for nodejs22.x."""
    glibc: tuple[int, int]
    """Of the runtime's Amazon Linux: the newest a native module may need."""


@dataclass(frozen=True, slots=True)
class Handler:
    """The `Handler` setting, parsed once.

    `module` is its path below the code folder without an extension ("src/list" of
    "src/list.handler"; "package/mod" of "package.mod.fn"). `export` is None for an executable
    wrapper such as run.sh, and `module` is then the file itself.
    """

    text: str
    module: str
    export: str | None


OptionValue = bool | int | str | tuple[str, ...] | tuple[tuple[str, str], ...]
Options = tuple[tuple[str, OptionValue], ...]
"""Checked options under the tool's own names, sorted by name; lists and maps as tuples."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Files beside the code that go into the zip."""

    source: RelPath
    """A file, a folder, or a glob, as in a .gitignore."""
    to: str
    """Of a file its name in the zip, or with "/" at its end ("." too) the folder it goes into; of a
    folder the folder that gets its content; of a glob the folder that gets what it matches, each
    below it as it lies below the glob's first parts, those without a wildcard. "": the place that
    the source has in the project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """What the user declared, checked; all that decides the bytes except file contents."""

    name: str
    runtime: Runtime
    architecture: Architecture
    handler: Handler
    method: Method
    code: RelPath
    """The code folder, or the single source file that is all of the code."""
    exclude: tuple[str, ...] = ()
    """.gitignore-style patterns, relative to the code folder, beside the built-in ones."""
    include: tuple[str, ...] = ()
    """.gitignore-style patterns of what goes in although an exclude leaves it out."""
    globs: tuple[str, ...] = ()
    """Ordered globs (bundler/inputs/globs.py) that decide about the code folder's files before the
    built-in excludes do; of ESBUILD, which of them lie beside the bundle."""
    copy: tuple[Copy, ...] = ()
    """In the user's order: what lies at a place already stays there."""
    layers: bool = False
    """It has layers: a module that nothing else provides may come from them."""
    allow: tuple[RelPath, ...] = ()
    """Folders outside the repository that symlinks may lead to."""

    entry_points: tuple[str, ...] = ()
    """ESBUILD: source files relative to the code folder; empty: found from the handler."""
    esbuild: Options = ()
    install: tuple[str, ...] = ()
    """ESBUILD: npm packages left out of the bundle and put into the zip's node_modules, sorted."""
    env: tuple[tuple[str, str], ...] = ()
    """ESBUILD: what process.env.NAME is replaced with in the bundle, sorted by name."""

    shared: tuple[RelPath, ...] = ()
    """PYTHON: folders beside the code whose content is own code too; the first goes before."""
    requirements: RelPath | None = None
    """PYTHON: the file that declares the dependencies; None: found in the code folder."""
    extras: tuple[str, ...] = ()
    """PYTHON: extras of the project that declares them, normalised, sorted."""
    groups: tuple[str, ...] = ()
    """PYTHON: likewise its dependency groups."""
    resolver: str | None = None
    """PYTHON: "uv" or "pip-tools"; None: decided by the files there are."""
    without: tuple[str, ...] = ()
    """PYTHON: normalised names of distributions left out, because the runtime has them."""

    lint: str | None = field(default=None, compare=False)
    """"off", "warn" or "error"; None: a build lints nothing, and `lint` and `save` warn."""
    format: bool = field(default=False, compare=False)
    """Lint reports files that ruff would format otherwise."""

    where: Location = field(compare=False)
    """Where it was declared."""
    handler_where: Location = field(compare=False)
    notes: tuple[Diagnostic, ...] = field(default=(), compare=False)
    """Warnings the configuration's reader had; they travel with every result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotBuilt:
    """A declared function that no build is begun for: its declaration decides what it comes to."""

    outcome: Failed | Refused | Skipped
    where: Location = field(compare=False)
    """Where it was declared."""

    @property
    def name(self) -> str:
        return self.outcome.name

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Why it is not built."""
        return self.outcome.diagnostics


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """Everything the configuration said, with what the reading of it depended on."""

    root: str
    """Absolute, symlinks resolved."""
    repository: str
    """Absolute: the version control root above, else `root`. Symlinks may lead anywhere inside."""
    functions: tuple[Function, ...]
    not_built: tuple[NotBuilt, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    """Of the project as a whole."""
    inputs: InputSet
    """Every configuration file read, or looked for and absent."""
    aliases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Functions' names by their other names: an AWS CDK function's logical id."""
    environ: frozenset[str] = frozenset()
    """The environment's variables that the configuration asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """The versions that decide the bytes beside the request and the sources."""

    lambdad: str
    esbuild: str
    deflate: str
    uv: str
    pip_tools: str
    zip_format: int
    """Raised whenever the same inputs would give other bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """All that decides the bytes, except file contents; its digest is the record's key."""

    function: Function
    toolchain: Toolchain
    repository: RelPath = "."
    """The version control root: what lies outside of it is refused."""
    want: Want = Want.ZIP
    locked: bool = field(default=False, compare=False)
    """Refuse dependencies that no lock pins. It decides no bytes: freshness.py looks at it."""


# --- what a build looked at ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stems:
    """Of a folder only these names count: those equal to a stem, or that go on with "." after it.

    "util" covers util.ts, util.test.ts and Util.tsx: what could shadow the import of ./util, since
    esbuild looks for names without regard to case, on every file system.
    """

    names: frozenset[str]
    """Case-folded: `of` does it."""

    @classmethod
    def of(cls, names: Iterable[str]) -> Stems:
        return cls(frozenset(name.casefold() for name in names))

    def covers(self, name: str) -> bool:
        name = name.casefold()
        dot = len(name)
        while dot > 0:
            if name[:dot] in self.names:
                return True
            dot = name.rfind(".", 0, dot)
        return False


@dataclass(frozen=True, slots=True)
class Walk:
    """Of a folder every name counts but what the walk leaves out (inputs/counted.py)."""

    top: RelPath
    """The folder that the patterns are relative to."""
    patterns: tuple[str, ...] = ()
    """What is left out, beside the built-in excludes."""
    include: tuple[str, ...] = ()
    """What is taken in although those leave it out."""
    only: tuple[str, ...] = ()
    """Beside which no file is taken in; empty: any file is."""
    globs: tuple[str, ...] = ()
    """Ordered globs (inputs/globs.py): they decide after those, before the built-in excludes."""


Names = Stems | Walk


@dataclass(frozen=True, slots=True)
class InputSet:
    """What a build looked at, found or not."""

    files: frozenset[RelPath] = frozenset()
    """Read or looked for, through symlinks; of a folder only its presence counts."""
    links: frozenset[RelPath] = frozenset()
    """Symlinks passed on the way: where they lead counts."""
    listings: Mapping[RelPath, Names] = field(default_factory=lambda: MappingProxyType({}))
    """Folders whose names count."""


class FileKey(NamedTuple):
    """Identity and state of a file: if all six are equal, its contents are taken to be."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    mode: int


@dataclass(frozen=True, slots=True)
class Listing:
    """A folder's key, and the names that counted in it: sorted, each with its kind (d, f, l, ?)."""

    key: FileKey | None
    counted: Names
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An InputSet at one moment. None: looked for, absent."""

    files: Mapping[RelPath, FileKey | None]
    links: Mapping[RelPath, FileKey | None]
    listings: Mapping[RelPath, Listing]
    suspects: frozenset[RelPath] = frozenset()
    """Changed so near the build's start that their key proves nothing."""
    above: Mapping[RelPath, FileKey | None] = field(default_factory=dict, compare=False)
    """The other folders on the way, with their times: for a comparison with another moment of the
    same build, and is not recorded."""


# --- what goes into a zip --------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file of the zip whose bytes we hold: own code, a bundle, a source map."""

    name: str
    """Its path in the zip: relative, "/" between parts, no "." or ".." among them."""
    content: bytes
    executable: bool = False


# --- what is loaded on this machine -------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What a worker on this machine loads. A path outside of the project is absolute."""

    entry: RelPath
    """The handler's file."""
    path: tuple[str, ...]
    """Folders for `sys.path`, first to last; empty for JavaScript."""
    digest: str
    """Of contents alone, in hex: a worker that loaded another one must reload."""
    interpreter: str | None = None
    """Python: the absolute path of one that the dependencies are for, if this machine has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runnable:
    """What a language made of a function for this machine, and what decided it."""

    live: Live
    own: tuple[Entry, ...] = ()
    """What is to be written: a bundle. Empty where the user's own files are loaded."""
    links: tuple[tuple[str, str], ...] = ()
    """Names beside `own`, each with the absolute path it is to lead to."""
    diagnostics: tuple[Diagnostic, ...] = ()
    """Warnings only: an error is a ProjectError."""


# --- what a build answers --------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A zip that Lambda takes."""

    path: RelPath
    """.lambdad/build/<Name>.zip, replaced by rename."""
    immutable_path: RelPath
    """The same file under its digest; it never changes."""
    sha256: str
    """Of the zip's bytes, in hex."""
    size: int
    """Bytes."""
    unzipped_size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Superseded:
    """Edited while it was built: the result is not worth keeping."""

    changed: tuple[RelPath, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What was asked for is there: a zip, or a live tree."""

    function: Function
    artifact: Artifact | None = None
    """Where a zip was asked for."""
    live: Live | None = None
    """Where a live tree was asked for."""
    cached: bool = False
    """The last build's result still holds."""
    reasons: tuple[str, ...] = ()
    """Why it was built; empty if it was not."""
    duration_s: float = 0.0
    diagnostics: tuple[Diagnostic, ...] = ()
    """No errors among them."""

    @property
    def name(self) -> str:
        return self.function.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A function that is ours to build, and has a fault."""

    name: str
    function: Function | None = None
    """None if the declaration itself is at fault, or is gone."""
    artifact: Artifact | None = None
    """The last good zip, which stays."""
    live: Live | None = None
    """The last good live tree, which stays."""
    cached: bool = False
    """The last build's fault still holds."""
    reasons: tuple[str, ...] = ()
    duration_s: float = 0.0
    diagnostics: tuple[Diagnostic, ...] = ()
    """At least one error."""
    machine_fault: bool = False
    """It failed for want of something on this machine, which says nothing about the project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A function that is not ours to build as it is declared; the diagnostics say why."""

    name: str
    diagnostics: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A function of which there is nothing to build, or that the configuration says to skip."""

    name: str
    function: Function | None = None
    """Where it could be built all the same."""
    diagnostics: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Linted:
    """A function whose code was linted; nothing was asked of a build."""

    function: Function
    diagnostics: tuple[Diagnostic, ...] = ()
    """The findings."""

    @property
    def name(self) -> str:
        return self.function.name


BuildResult = Built | Failed
"""What a build of a function comes to."""

Outcome = Built | Failed | Refused | Skipped | Linted
"""What one function's turn comes to."""
