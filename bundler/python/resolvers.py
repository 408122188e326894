"""The tools that resolve, uv and pip-tools: how each is run, and what its answers mean."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

from lambdad.bundler import tool_caches, tool_faults, tools
from lambdad.bundler.model import (
    BundlerError,
    Diagnostic,
    Location,
    ProjectError,
    RelPath,
    Toolchain,
    error,
    retried,
)
from lambdad.bundler.python import index_answers, index_probe, indexes, interpreters, pip
from lambdad.bundler.python import target as targets
from lambdad.bundler.python.fetch import no_wheel
from lambdad.bundler.python.indexes import Indexes
from lambdad.bundler.python.locks import lock as locks
from lambdad.bundler.python.locks import pylock, requirements
from lambdad.bundler.python.locks.lock import Lock, Pinned
from lambdad.bundler.python.target import Target
from lambdad.bundler.tool_faults import Program
from lambdad.bundler.tools import Completed
from lambdad.bundler.workshop import Workshop


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolverQuestion:
    """What is to be resolved: equal questions have equal answers, new releases aside."""

    lines: tuple[str, ...]
    """The requirements that hold for the target, local packages as their wheels."""
    constraints: tuple[str, ...]
    sources: Indexes
    """As the requirement files say it, with what pip is configured to."""
    target: Target
    pip_tools: bool
    file: RelPath
    """Whose name annotations and diagnostics bear."""
    where: tuple[tuple[str, Location], ...] = field(default=(), compare=False)
    """Of each name that was asked for."""


def run(
    question: ResolverQuestion,
    tools_: Toolchain,
    workshop: Workshop,
    *,
    known: str | None = None,
    for_lock: bool = False,
) -> str:
    """The tool's answer: a pylock.toml by uv, or requirements with hashes by pip-tools.

    `known` is the lock there is, whose versions are kept where they still fit. `for_lock`: the
    answer is for a file of the project: uv's lists every platform's wheels, so that other tools
    and machines can use it, too; pip-tools' says what each package is for.
    Raises as resolve.resolve.
    """
    with workshop.store.workspace() as folder:
        source = folder / Path(question.file).name
        if source.suffix != ".in":
            source = source.with_suffix(".in")
        constraints = folder / "constraints.txt"
        constraints.write_text("".join(f"{line}\n" for line in question.constraints), "utf-8")
        compile_ = _pip_tools if question.pip_tools else _uv
        return compile_(_Run(question, tools_, workshop, folder, source, known, for_lock))


def parse(text: str, question: ResolverQuestion, workshop: Workshop) -> Lock:
    """What the answer pins, each where it was asked for: no user sees the answer itself."""
    if question.pip_tools:
        with workshop.store.workspace() as folder:
            path = folder / "requirements.txt"
            path.write_text(text, "utf-8")
            # The file is ours, and no input.
            answer = requirements.read(os.path.relpath(path, workshop.root), workshop.recording())
        lock = locks.from_requirements(answer, question.target)
    else:
        lock = pylock.parse(text, question.file, workshop.root, question.target)
    anywhere = Location(question.file)
    where = dict(question.where)
    return Lock(pins=tuple(replace(pin, where=where.get(pin.name, anywhere)) for pin in lock.pins))


@dataclass(frozen=True, slots=True)
class _Run:
    question: ResolverQuestion
    tools: Toolchain
    workshop: Workshop
    folder: Path
    source: Path
    known: str | None
    for_lock: bool


def _write_source(run_: _Run, sources: Indexes) -> None:
    lines = [*indexes.lines(sources), *run_.question.lines]
    run_.source.write_text("".join(f"{line}\n" for line in lines), "utf-8")


_ATTEMPTS: Final = 4
_WHEEL_WANTED: Final = re.compile(r"Wheels are required for `([^`]+)`")


def _uv(run_: _Run) -> str:
    answer = _uv_for_target(run_)
    if not run_.for_lock:
        return answer
    # The versions that fit the target are kept, as they are in the file that uv updates.
    with_all = replace(run_, known=answer)
    platform = ["--universal", f"--python-version={run_.question.target.short}"]
    everywhere = _run_uv(with_all, [], platform)
    # What has no answer for every platform may have one for Lambda's.
    return everywhere.stdout if everywhere.code == 0 else answer


def _uv_for_target(run_: _Run) -> str:
    """Wheels first: a version without one that fits is taken only where no version has one."""
    first = _run_uv(run_, ["--only-binary=:all:"])
    if first.code == 0:
        return first.stdout
    source_only = set(map(canonicalize_name, _WHEEL_WANTED.findall(first.stderr)))
    if not source_only:
        raise _fault(run_, first)
    anyhow = _run_uv(run_, [])
    if anyhow.code:
        raise _fault(run_, anyhow)
    names = {pin.name for pin in parse(anyhow.stdout, run_.question, run_.workshop).pins}
    for _ in range(_ATTEMPTS):
        only = sorted(names - source_only)
        better = _run_uv(run_, [f"--only-binary={name}" for name in only])
        if better.code == 0:
            return better.stdout
        more = set(map(canonicalize_name, _WHEEL_WANTED.findall(better.stderr)))
        if not more - source_only:
            break
        source_only |= more
    return anyhow.stdout


def _run_uv(run_: _Run, formats: Sequence[str], platform: Sequence[str] | None = None) -> Completed:
    import uv

    question = run_.question
    platform = targets.uv_flags(question.target) if platform is None else platform
    _, network = indexes.of_pip(run_.workshop.environ)
    sources = question.sources
    if sources.no_binary:
        formats = []  # the user chose what is built from source
    _write_source(run_, replace(sources, pre=False, prefer_binary=False, trusted_hosts=()))
    output = run_.folder / "pylock.toml"
    if run_.known is not None:
        output.write_text(run_.known, "utf-8")
    command = [
        *(uv.find_uv_bin(), "pip", "compile", "--no-config", "--no-python-downloads"),
        *("--format=pylock.toml", "--generate-hashes", "--no-header", "--quiet"),
        *("--color=never", "--no-progress", f"--python={sys.executable}"),
        *platform,
        *formats,
        *indexes.uv_flags(sources, network),
        *("--constraints=constraints.txt", f"--output-file={output.name}", run_.source.name),
    ]
    environ = {
        **indexes.uv_environ(run_.workshop.environ, network),
        **indexes.uv_secrets(sources),
        **tool_caches.chosen(Program.UV, run_.workshop.environ, run_.workshop.store),
        **index_answers.UV_TRACE,
    }
    ask = partial(tools.run, cwd=run_.folder, environ=environ, timeout_s=1800)
    answer = ask(command)
    answers = index_answers.of_uv(answer.stderr)
    if answer.code and index_answers.is_from_cache(answers):
        # A page in uv's cache is minutes old, and what is missing from it may be there by now.
        answer = ask([*command, "--refresh"])
        answers = index_answers.of_uv(answer.stderr)
    if fault := index_answers.fault(answers, Program.UV):
        raise fault
    stderr = index_answers.without_trace(answer.stderr)
    text = output.read_text("utf-8") if answer.code == 0 else ""
    return Completed(answer.code, text, stderr)


PIP_TOOLS_LAST: Final = {(3, 8): "7.5.2"}
"""The newest pip-tools that runs under an interpreter older than what the pinned one needs."""


def _pip_tools(run_: _Run) -> str:
    """pip-compile resolves only for the interpreter that runs it (pip-tools issues 585, 1382)."""
    question = run_.question
    version = question.target.version
    python = interpreters.find(version, run_.workshop.environ, run_.workshop.programs)
    if python is None:
        raise ProjectError(*retried([_no_interpreter(question)]))
    environment = _pip_tools_environment(python, version, run_)
    _write_source(run_, run_.question.sources)
    output = run_.folder / "requirements.txt"
    if run_.known is not None:
        output.write_text(run_.known, "utf-8")
    answer = tools.run(
        [
            *(str(environment / "bin/python"), "-m", "piptools", "compile", "--no-config"),
            *("--generate-hashes", "--allow-unsafe", "--strip-extras", "--no-header"),
            *("--resolver=backtracking", "--no-emit-options", "--quiet"),
            *(() if run_.for_lock else ("--no-annotate",)),
            *("--constraint=constraints.txt", f"--output-file={output.name}", run_.source.name),
        ],
        cwd=run_.folder,
        environ={
            **pip.environ(question.sources, run_.workshop, run_.folder, Program.PIP_TOOLS),
            "PIP_LOG": str(run_.folder / pip.LOG),
        },
        timeout_s=1800,
    )
    log = pip.read_log(run_.folder)
    if fault := index_answers.fault(index_answers.of_pip(log), Program.PIP_TOOLS):
        raise fault
    if answer.code:
        raise _fault(run_, answer, log)
    return output.read_text("utf-8")


def _no_interpreter(question: ResolverQuestion) -> Diagnostic:
    short = question.target.short
    return error(
        "no-interpreter",
        f"pip-tools resolves only for the Python that runs it, and this machine has no {short}",
        Location(question.file),
        f"install Python {short} (`uv python install {short}`, pyenv or your system's packages); "
        'or set resolver = "uv", which needs none; or lock on a machine that has it '
        "(`lambdad lock`) and commit the lock",
    )


def _pip_tools_environment(python: str, version: tuple[int, int], run_: _Run) -> Path:
    """A virtual environment with the pinned pip-tools, in the store: made once per version."""
    import uv

    release = PIP_TOOLS_LAST.get(version, run_.tools.pip_tools)
    store = run_.workshop.store
    name = f"pip-tools-{release}-{version[0]}.{version[1]}"
    name = f"{store.private(f'tools/{name}')}-{name}"
    if (found := store.find("tools", name)) and (found / "bin/python").exists():
        return found
    run_.workshop.say(f"installing pip-tools {release} for Python {version[0]}.{version[1]}")
    user, network = indexes.of_pip(run_.workshop.environ)
    environ = {
        **indexes.uv_environ(run_.workshop.environ, network),
        **indexes.uv_secrets(user),
        **tool_caches.chosen(Program.UV, run_.workshop.environ, store),
    }
    with store.workspace() as folder:
        (folder / "requirements.txt").write_text(
            "\n".join(
                [
                    *indexes.lines(replace(user, pre=False, prefer_binary=False, trusted_hosts=())),
                    f"pip-tools=={release}",
                    "pip",
                    "setuptools",
                    "wheel",
                ]
            ),
            "utf-8",
        )
        binary = uv.find_uv_bin()
        steps = (
            ["venv", "--quiet", "--no-config", "--no-python-downloads", "--relocatable"],
            # pip-tools runs without leave to write bytecode: none here would cost every lock 0.6 s.
            [
                *("pip", "install", "--quiet", "--no-config", "--compile-bytecode"),
                "--requirement=requirements.txt",
            ],
        )
        places = (["--python", python, "env"], ["--python", "env/bin/python"])
        for step, place in zip(steps, places, strict=True):
            flags = indexes.uv_flags(user, network) if step[0] == "pip" else []
            answer = tools.run(
                [binary, *step, *flags, *place], cwd=folder, environ=environ, timeout_s=900
            )
            if answer.code:
                raise tool_faults.machine_fault(Program.UV, answer) or BundlerError(
                    "pip-tools-failed", f"can't install pip-tools: {_detail(answer.stderr)}"
                )
        return store.adopt(folder / "env", "tools", name)


# --- what the tools say ----------------------------------------------------------------------

_EMPTY_PAGE: Final = re.compile(r"there are no versions of [\w.-]+ ")
"""uv's words for a page that names no file."""
_NOT_FOUND: Final = re.compile(
    r"Because (?P<uv>[\w.-]+) was not found in the (?:package registry|provided package locations)"
    r"|there (?:is|are) no versions? of (?P<version>[\w.-]+(?:[=<>!~][^\s,]+)?)"
    r"|No matching distribution found for (?P<pip>[^\s]+)"
    r"|Could not find a version that (?:matches|satisfies the requirement) (?P<other>[^\s]+)"
)
_TOO_NEW: Final = re.compile(
    r"only [\w.-]+[<>=!~]\S* (?:is|are) available and you require (?P<what>[^\s,]+)"
    r"|only the following versions of (?P<several>[\w.-]+) are available"
)
_NO_WHEEL: Final = re.compile(
    r"(?:Because |and )([\w.-]+)==(\S+) has no (?:usable )?wheels(?: with a matching| and)"
)
_CONFLICT: Final = re.compile(
    r"No solution found|conflicting dependencies|ResolutionImpossible|unsatisfiable", re.IGNORECASE
)


def _fault(run_: _Run, answer: Completed, log: str = "") -> ProjectError | BundlerError:
    """Why there is no answer. All that the project is at fault for can be mended elsewhere, too: a
    package be published, an interpreter be installed."""
    tool = Program.PIP_TOOLS if run_.question.pip_tools else Program.UV
    if fault := tool_faults.machine_fault(tool, answer):
        return fault
    text = answer.stderr or answer.stdout
    is_empty = any(one.is_empty for one in index_answers.of_pip(log)) or _EMPTY_PAGE.search(text)
    if is_empty and (fault := index_probe.fault(run_.question.sources, run_.workshop)):
        return fault
    return ProjectError(*retried([_diagnosed(text, run_.question)]))


def _diagnosed(text: str, question: ResolverQuestion) -> Diagnostic:
    detail = _explanation(text)
    where = _place(text, question)
    if unfit := _NO_WHEEL.search(text):
        pin = Pinned(name=canonicalize_name(unfit[1]), version=unfit[2], hashes=(), where=where)
        return no_wheel(pin, question.target, detail)
    found = _NOT_FOUND.search(text)
    if found is None and "depends on" not in text:
        found = _TOO_NEW.search(text)
    if found is not None:
        what = next(group for group in found.groups() if group)
        hint = "check the name and version; a private index must be in the requirements or pip.conf"
        message = f"no index has {what} for {question.target}: {detail}"
        return error("package-not-found", message, where, hint)
    if _CONFLICT.search(text):
        hint = "loosen one of the requirements that it names"
        message = f"no set of versions meets all requirements for {question.target}: {detail}"
        return error("dependency-conflict", message, where, hint)
    tool = "pip-tools" if question.pip_tools else "uv"
    message = f"{tool} can't resolve {question.file}: {detail}"
    return error("resolve-failed", message, where)


def _place(text: str, question: ResolverQuestion) -> Location:
    """Where the first of the requirements that the resolver names was written."""
    where = dict(question.where)
    for word in re.findall(r"[A-Za-z0-9][\w.-]*", text):
        if (found := where.get(canonicalize_name(word))) is not None:
            return found
    return Location(question.file)


def _explanation(text: str) -> str:
    """The resolver's reasons without its decorations."""
    lines = [
        re.sub(r"^[\s╰├│─▶·]*|^(?:error|ERROR|cause):", "", line) for line in text.splitlines()
    ]
    kept = [
        line.strip().removeprefix("error: ").removeprefix("cause: ")
        for line in lines
        if line.strip() and not line.lstrip().startswith(("hint:", "WARNING:", "warning:"))
    ]
    return tool_faults.scrubbed("\n  ".join(kept))[:2000]


def _detail(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return tool_faults.scrubbed("; ".join(line.removeprefix("cause: ") for line in lines[-3:]))[
        :500
    ]
