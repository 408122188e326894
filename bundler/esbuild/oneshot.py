"""esbuild as a command, run anew for each build: slower, but on its public interface alone."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from lambdad.bundler import tool_faults, tools
from lambdad.bundler.esbuild import unreadable
from lambdad.bundler.esbuild.engine import (
    EsbuildGone,
    EsbuildJob,
    EsbuildOutput,
    Message,
    MessagePlace,
    Trace,
)
from lambdad.bundler.inputs.snapshot import Stat, stat_key
from lambdad.bundler.model import BundlerError
from lambdad.bundler.tool_faults import Program

_HEAD: Final = re.compile(r"^\S+ \[(ERROR|WARNING)\] (.*?)(?: \[([a-z.-]+)\])?$")
_PLACE: Final = re.compile(r"^    (\S.*?)(?::(\d+):(\d+))?:$")
_SOURCES: Final = re.compile(rb'"sources": (\[(?:"(?:[^"\\]|\\.)*"(?:, )?)*\])')
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')
_INLINE_MAP: Final = re.compile(
    rb"(//# sourceMappingURL=data:application/json;base64,)([A-Za-z0-9+/=]+)"
)


class OneShot:
    """Gives what Service gives, byte for byte."""

    def __init__(self, binary: str, environ: Mapping[str, str]) -> None:
        self._binary = binary
        self._environ = environ

    def build(self, job: EsbuildJob, look: Stat = stat_key) -> EsbuildOutput:
        if refused := unreadable.refused(job, everywhere=True):
            return refused
        with tempfile.TemporaryDirectory(prefix="lambdad-esbuild-") as temporary:
            folder = os.path.realpath(temporary)
            out = f"{folder}/out"
            environ = {k: v for k, v in self._environ.items() if k not in ("NODE_PATH", "NO_COLOR")}
            environ["NODE_PATH"] = os.pathsep.join(job.node_paths)
            try:
                done = tools.run(
                    [
                        self._binary,
                        *(f"{name}={path}" for name, path in job.entries),
                        *job.flags,
                        f"--metafile={folder}/metafile.json",
                        f"--outdir={out}",
                        "--color=false",
                        "--log-level=warning",
                    ],
                    cwd=job.folder,
                    environ=environ,
                )
            except BundlerError as fault:
                raise EsbuildGone(fault.message, fault=fault) from fault
            errors, warnings = parse_messages(done.stderr)
            if done.code != 0:
                # Errors quote sources, whose words are not esbuild's.
                ended = replace(done, stderr="") if errors else done
                machine = tool_faults.machine_fault(Program.ESBUILD, ended)
                if not errors or machine is not None:
                    reason = f"esbuild exited with {done.code}: {done.stderr.strip()}"
                    raise EsbuildGone(reason, fault=machine)
                return EsbuildOutput(files={}, metafile={}, errors=errors, warnings=warnings)
            with open(f"{folder}/metafile.json", "rb") as file:
                metafile = _moved_metafile(json.load(file), job, out)
            return EsbuildOutput(
                files=_read_outputs(job, out), metafile=metafile, warnings=warnings
            )

    @property
    def pid(self) -> int | None:
        return None

    def reads(self, job: EsbuildJob, output: EsbuildOutput, files: Iterable[str]) -> None:
        """Nothing is kept."""

    def trace(self, job: EsbuildJob) -> Trace | None:
        return None

    def context(self, job: EsbuildJob) -> OneShotContext:
        return OneShotContext(self, job)

    def close(self) -> None:
        """Nothing outlives a build."""


class OneShotContext:
    """Keeps nothing between builds."""

    def __init__(self, engine: OneShot, job: EsbuildJob) -> None:
        self._engine = engine
        self._job = job

    def rebuild(self) -> EsbuildOutput:
        return self._engine.build(self._job)

    def dispose(self) -> None:
        """Nothing is held."""


def parse_messages(text: str) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """(errors, warnings) of esbuild's own rendering on stderr; anything else is ignored."""
    found: dict[str, list[Message]] = {"ERROR": [], "WARNING": []}
    blocks = re.split(r"(?m)^(?=\S+ \[(?:ERROR|WARNING)\] )", text)
    for block in blocks:
        lines = block.split("\n")
        head = _HEAD.match(lines[0])
        if head is None:
            continue
        place = None
        notes: list[str] = []
        quoted = False
        for line in lines[1:]:
            at = _PLACE.match(line)
            if at:
                quoted = True
                if place is None:
                    place = MessagePlace(at[1], int(at[2] or 0), int(at[3] or 0), "")
            elif line.startswith("  ") and line[2:3].strip():
                if quoted or not notes:
                    notes.append(line.strip())
                else:  # wrapped
                    notes[-1] += " " + line.strip()
                quoted = False
        found[head[1]].append(Message(head[3] or "", head[2], place, tuple(notes)))
    return tuple(found["ERROR"]), tuple(found["WARNING"])


def _read_outputs(job: EsbuildJob, out: str) -> dict[str, bytes]:
    files = {}
    for folder, _folders, names in os.walk(out):
        for name in names:
            path = f"{folder}/{name}"
            with open(path, "rb") as file:
                content = file.read()
            relative = path[len(out) + 1 :]
            written = os.path.dirname(path)
            meant = os.path.dirname(os.path.join(job.out_folder, relative))
            if name.endswith(".map"):
                content = _moved_map(content, written, meant)
            elif name.endswith((".js", ".mjs", ".cjs", ".css")):
                content = _moved_inline_map(content, written, meant)
            files[relative] = content
    return files


def _moved_metafile(metafile: dict[str, Any], job: EsbuildJob, out: str) -> dict[str, Any]:
    def moved(path: str) -> str:
        absolute = os.path.normpath(os.path.join(job.folder, path))
        if not absolute.startswith(f"{out}/"):
            return path
        return os.path.relpath(os.path.join(job.out_folder, absolute[len(out) + 1 :]), job.folder)

    outputs = {}
    for path, output in metafile["outputs"].items():
        for found in output.get("imports", ()):
            if not found.get("external"):
                found["path"] = moved(found["path"])
        if "cssBundle" in output:
            output["cssBundle"] = moved(output["cssBundle"])
        outputs[moved(path)] = output
    return {**metafile, "outputs": outputs}


def _moved_map(content: bytes, written: str, meant: str) -> bytes:
    """The source map as it would be had its file been written to the folder `meant`.

    Only the list of sources is touched, so that the rest keeps esbuild's own form.
    """
    from urllib.parse import quote, unquote

    def moved(found: re.Match[bytes]) -> bytes:
        source = json.loads(found[0])
        if "://" in source:  # from a dependency's own map
            return found[0]
        path = os.path.normpath(os.path.join(written, unquote(source)))
        # As Go's url.URL writes a path, but for the spaces that esbuild puts back.
        again = quote(os.path.relpath(path, meant), safe="$&+,/:;=@").replace("%20", " ")
        return json.dumps(f"./{again}" if ":" in again.split("/")[0] else again).encode()

    def rewritten(found: re.Match[bytes]) -> bytes:
        return b'"sources": ' + _STRING.sub(moved, found[1])

    return _SOURCES.sub(rewritten, content, count=1)


def _moved_inline_map(content: bytes, written: str, meant: str) -> bytes:
    import base64

    found = list(_INLINE_MAP.finditer(content))
    if not found:
        return content
    last = found[-1]
    moved = _moved_map(base64.b64decode(last[2]), written, meant)
    return content[: last.start(2)] + base64.b64encode(moved) + content[last.end(2) :]
