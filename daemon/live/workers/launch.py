"""How a worker is started, and what it loads: the command, the environment, the assignment."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from lambdad.bundler.model import BundlerError, Function, Language, Live
from lambdad.daemon.live.invocation import VERSION, FunctionConfig

HERE: Final = os.path.dirname(os.path.abspath(__file__))

LASTING: Final = re.compile(r"/.+/trees/[0-9a-f]{40}")
"""A folder of installed dependencies in the store: its name is its contents' digest."""

KEPT: Final = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_\w+|TMPDIR|TEMP|TMP|AWS_\w+|SSL_CERT_\w+"
    r"|NODE_EXTRA_CA_CERTS|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|(?i:https?|no|all)_PROXY|(?i:\w+_proxy)"
)
"""Of the terminal's environment functions see these. On Lambda they see none of it."""

OURS: Final = re.compile(r"AWS_LAMBDA_\w+|AWS_EXECUTION_ENV|AWS_ENDPOINT_URL_LAMBDA")
"""Which would say what is not so of a function; its own calls to Lambda go to AWS unless its own
environment says otherwise."""

STATIC_KEYS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A process to start. Two that are equal can stand in for each other until they load code."""

    command: tuple[str, ...]
    cwd: str
    environ: tuple[tuple[str, str], ...]
    """Sorted by name."""
    dependencies: tuple[str, ...] = ()
    """Python: folders that never change, whose modules a spare process imports ahead."""

    @property
    def key(self) -> str:
        text = json.dumps([self.command, self.cwd, self.environ, self.dependencies])
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a started process loads."""

    assignment: Mapping[str, object]
    is_mutable: bool
    """The user's own files are loaded, which may change while they are."""
    timeout_s: float
    memory_mb: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What decides a worker's environment beside its function."""

    root: str
    environ: Mapping[str, str]
    """Of the terminal."""
    overrides: Mapping[str, str]
    """Of .env and --env-file: they go before what the configuration says."""
    session: str
    """Names the log streams of this run of `start`."""
    profile: str | None = None
    region: str | None = None
    inspected: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Node.js functions that a debugger may hold, each with its inspector's port."""


DEBUGGED_S: Final = 86_400.0
"""A function's time-out where a debugger may hold it."""


def prepare(
    config: FunctionConfig, live: Live, handler: str, around: Surroundings
) -> tuple[Launch, Load]:
    """Raises BundlerError where this machine has no program that could run it."""
    function = config.function
    entry = os.path.join(around.root, live.entry)
    is_python = function.runtime.language is Language.PYTHON
    if is_python:
        folders = [os.path.join(around.root, folder) for folder in live.path]
        task_root, rules = folders[0], {}
        python = python_program(live.interpreter or sys.executable, around.root)
        command: tuple[str, ...] = (python, f"{HERE}/python_worker.py")
    else:
        folders = []
        task_root, handler = _rooted(entry, function, handler)
        rules = rules_of(function.runtime.version)
        node = node_program(around.environ.get("PATH", os.defpath))
        command = (node, *node_flags(function.runtime.version, node), f"{HERE}/node_worker.mjs")
    variables = environment(config, around)
    places = {"_HANDLER": handler, "LAMBDA_TASK_ROOT": task_root}
    if is_python:
        variables |= places  # they stay the same, and dependencies look at them
    launch = Launch(
        command=command,
        cwd=around.root,
        environ=tuple(sorted(variables.items())),
        dependencies=tuple(folder for folder in folders if LASTING.fullmatch(folder)),
    )
    port = None if is_python else around.inspected.get(function.name)
    load = Load(
        assignment={
            "inspect": port,
            "path": folders,
            "handler": handler,
            "root": task_root,
            "rules": rules,
            "environ": places,
            "dependencies": list(launch.dependencies),
        },
        is_mutable="/.lambdad/live/" not in entry,
        timeout_s=config.timeout_s if port is None else DEBUGGED_S,
        memory_mb=config.memory_mb,
    )
    return launch, load


def code_key(launch: Launch, load: Load, digest: str) -> str:
    """Equal where a worker that has loaded the one need not load the other."""
    text = json.dumps([launch.key, digest, load.assignment, load.timeout_s, load.memory_mb])
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:40]


def arn(name: str, around: Surroundings) -> str:
    return f"arn:aws:lambda:{region(around)}:{ACCOUNT}:function:{name}"


ACCOUNT: Final = "012345678912"
"""Stands for the account: there is none on this machine."""


def region(around: Surroundings) -> str:
    for known in (
        around.region,
        around.environ.get("AWS_REGION"),
        around.environ.get("AWS_DEFAULT_REGION"),
    ):
        if known:
            return known
    return "us-east-1"


def environment(config: FunctionConfig, around: Surroundings) -> dict[str, str]:
    """As Lambda sets it, with the function's own variables, and the terminal's way to AWS."""
    function = config.function
    found = {
        name: value
        for name, value in around.environ.items()
        if KEPT.fullmatch(name) and not OURS.fullmatch(name)
    }
    if around.profile is not None:
        for name in STATIC_KEYS:
            found.pop(name, None)
        found["AWS_PROFILE"] = around.profile
    found |= {"TZ": ":UTC", "LANG": found.get("LANG", "en_US.UTF-8")}
    # As Lambda: what the configuration says goes before the runtime's defaults.
    found |= {**config.environment, **around.overrides}
    found |= {
        "AWS_REGION": region(around),
        "AWS_DEFAULT_REGION": region(around),
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime.name}",
        "AWS_LAMBDA_FUNCTION_NAME": config.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.memory_mb),
        "AWS_LAMBDA_FUNCTION_VERSION": VERSION,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{config.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": around.session,
    }
    if function.runtime.language is Language.PYTHON:
        # A reload after a quick edit could run old bytecode (docs/proxies.md).
        found |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONIOENCODING": "utf-8"}
    return found


@functools.cache
def python_program(interpreter: str, folder: str) -> str:
    """The program itself, where a script such as pyenv's stands for it: that takes longer to find
    it than it takes to start."""
    try:
        said = subprocess.run(
            [interpreter, "-c", "import sys; print(sys.executable)"],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
            cwd=folder,
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return interpreter
    return said if os.path.isfile(said) else interpreter


# --- Node.js -----------------------------------------------------------------------------------


def rules_of(version: tuple[int, ...]) -> dict[str, bool]:
    """What differs between the runtimes in how a handler is found and called."""
    is_new = version >= (24,)
    return {"callbacks": not is_new, "extensionlessImport": is_new}


@functools.cache
def node_program(path: str) -> str:
    """Raises BundlerError `tool-missing`."""
    found = shutil.which("node", path=path)
    if found is None:
        hint = "install Node.js; https://nodejs.org says how"
        raise BundlerError("tool-missing", "there is no Node.js on PATH to run functions", hint)
    return found


@functools.cache
def node_version(program: str) -> tuple[int, ...]:
    """Of the program; empty where it can't be known."""
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=False, timeout=30
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.match(r"v(\d+)\.(\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else ()


def node_flags(version: tuple[int, ...], program: str) -> tuple[str, ...]:
    """Those that the runtime is started with on Lambda, as far as this Node.js knows them."""
    here = node_version(program)
    flags = ["--enable-source-maps"]
    if version in ((20,), (22,)) and here >= (20, 17):
        flags.append("--no-experimental-require-module")
    if version == (22,) and ((20, 10) <= here < (21,) or here >= (21, 1)):
        flags.append("--no-experimental-detect-module")
    return tuple(flags)


def _rooted(entry: str, function: Function, handler: str) -> tuple[str, str]:
    """The folder that stands for /var/task, and the handler below it."""
    stem = os.path.splitext(entry)[0]
    module = function.handler.module
    if stem.endswith(f"/{module}"):
        return stem[: -len(module) - 1] or "/", handler
    folder, name = os.path.split(stem)
    return folder, f"{name}.{function.handler.export}"
