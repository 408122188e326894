"""What a build asks of esbuild and what it answers, whichever way esbuild is run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from lambdad.bundler import tool_faults
from lambdad.bundler.inputs.snapshot import Stat, stat_key
from lambdad.bundler.model import BundlerError
from lambdad.bundler.tool_faults import Program
from lambdad.bundler.tools import Completed


@dataclass(frozen=True, slots=True, kw_only=True)
class EsbuildJob:
    """One build. All paths are absolute; nothing is written to any of them."""

    entries: tuple[tuple[str, str], ...]
    """(output below `out_folder` without its extension, source file)."""
    flags: tuple[str, ...]
    """As on esbuild's command line, but for entries and `--outdir`."""
    folder: str
    """The working directory: comments, the metafile and messages name files relative to it."""
    out_folder: str
    """Where the outputs would lie: source maps and references are relative to that."""
    node_paths: tuple[str, ...] = ()
    repository: str = ""
    """Where the sources and installed packages are; empty if that is not known."""


@dataclass(frozen=True, slots=True)
class MessagePlace:
    file: str
    """Relative to the job's folder."""
    line: int
    """From 1; 0 where a whole file is meant."""
    column: int
    """From 0, in bytes of UTF-8."""
    line_text: str


@dataclass(frozen=True, slots=True)
class Message:
    id: str
    """Of warnings; errors have none."""
    text: str
    place: MessagePlace | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EsbuildOutput:
    files: Mapping[str, bytes]
    """By path relative to the job's out_folder."""
    metafile: Mapping[str, Any]
    """Empty after an error."""
    errors: tuple[Message, ...] = ()
    warnings: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class ModuleRequest:
    """A request for a module, as written in `folder`'s file; `found` where that is known."""

    folder: str
    specifier: str
    found: str | None = None


@dataclass(slots=True)
class Trace:
    """What a build that may have failed looked for and loaded."""

    files: set[str] = field(default_factory=set)
    imports: set[ModuleRequest] = field(default_factory=set)


class EsbuildGone(Exception):  # noqa: N818 -- a state of affairs, met by starting another
    """The process died or talks nonsense; what it was asked has no answer. Start another."""

    def __init__(
        self, reason: str, *, asked: bool = True, fault: BundlerError | None = None
    ) -> None:
        super().__init__(reason)
        self.asked = asked
        """Else it was dead before, and this question no reason for it."""
        self.fault = fault
        """The machine's fault that ended it or keeps it from starting, where that is known."""

    def told(self, what: str) -> BundlerError:
        """It as the fault of the machine that it is, after it failed `what`."""
        if self.fault is not None:
            return BundlerError(self.fault.code, self.fault.message, self.fault.hint)
        return BundlerError("esbuild-gone", f"{what}: {self}")


class BuildContext(Protocol):
    """A build that can be repeated: what did not change is not parsed again."""

    def rebuild(self) -> EsbuildOutput: ...

    def dispose(self) -> None: ...


class Esbuild(Protocol):
    """Ways to run esbuild. Each method may raise EsbuildGone."""

    @property
    def pid(self) -> int | None:
        """Of the process that outlives a build, if there is one."""
        ...

    def build(self, job: EsbuildJob, look: Stat = stat_key) -> EsbuildOutput:
        """`look` is how the job's inputs, as `reads` returned them, are checked before it."""
        ...

    def reads(self, job: EsbuildJob, output: EsbuildOutput, files: Iterable[str]) -> None:
        """Returns all that the job's output depended on, as absolute paths: a caller that keeps
        something for the next build of the job keeps it only then."""
        ...

    def trace(self, job: EsbuildJob) -> Trace | None:
        """Builds once more to learn what is looked for; None where this way can't find out."""
        ...

    def context(self, job: EsbuildJob) -> BuildContext: ...

    def close(self) -> None: ...


_OF_FILES: Final = re.compile(r"(?:Cannot|Could not|Failed to) (?:read|access|create|write)\b")


def check_system(errors: Iterable[Message]) -> None:
    """Raises the machine's fault, as BundlerError, that kept esbuild from reading or writing."""
    for message in errors:
        if _OF_FILES.match(message.text):
            ended = Completed(1, "", message.text)
            if fault := tool_faults.machine_fault(Program.ESBUILD, ended):
                raise fault


def without_answer(reason: str) -> EsbuildOutput:
    """The output of a job that esbuild refused as a whole, such as a malformed flag."""
    return EsbuildOutput(files={}, metafile={}, errors=(Message("", reason, None),))
