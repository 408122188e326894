"""One esbuild process for many builds, driven over its stdio protocol.

Traps, each seen with 0.28.2: a `rebuild` sent while one runs is answered with the older build; a
request that lacks a field kills the process; closing stdin with live contexts ends in a deadlock
message; without `--ping` it can outlive us; a reader that stalls stalls every build.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Mapping
from typing import IO, Any, Final

from lambdad.bundler import tool_faults
from lambdad.bundler.esbuild import unreadable
from lambdad.bundler.esbuild.engine import (
    EsbuildGone,
    EsbuildJob,
    EsbuildOutput,
    Message,
    MessagePlace,
    ModuleRequest,
    Trace,
    without_answer,
)
from lambdad.bundler.esbuild.protocol import (
    FrameReader,
    Packet,
    ProtocolError,
    Value,
    decode,
    encode,
)
from lambdad.bundler.inputs.snapshot import Stat, stat_key
from lambdad.bundler.store.disk import system_fault
from lambdad.bundler.tool_faults import Program
from lambdad.bundler.tools import Completed, not_started

ANSWER_TIMEOUT_S: Final = 600.0
LEAVE_TIMEOUT_S: Final = 2.0
_SELDOM: Final = "200"
"""Percent by which the heap grows before Go's collector runs, a build being mostly garbage. More
makes many functions at once slower: new memory costs, too."""
NO_MESSAGES: Final[Mapping[str, Value]] = {"errors": [], "warnings": []}


class EsbuildService:
    """esbuild as a service. Any thread may call any method; contexts rebuild one at a time each."""

    def __init__(self, binary: str, version: str, soft_limit: int | None = None) -> None:
        """Starts the process. Raises EsbuildGone unless it answers with that very version.

        Near `soft_limit`, in bytes, it collects garbage rather than grow (GOMEMLIMIT of Go's
        package runtime), and long before it seldom (GOGC); what it cannot do without it takes all
        the same, slowly.
        """
        limits = {"GOMEMLIMIT": str(soft_limit), "GOGC": _SELDOM} if soft_limit else {}
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 -- until close()
        self._lock = threading.Lock()  # guards the five below
        self._gone: EsbuildGone | None = None
        self._ids = itertools.count()
        self._keys = itertools.count()
        self._waiting: dict[int, queue.SimpleQueue[Value | EsbuildGone]] = {}
        self._calls: dict[int, _Calls] = {}
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._handshake: queue.SimpleQueue[str | EsbuildGone] = queue.SimpleQueue()
        try:
            process = subprocess.Popen(
                [binary, f"--service={version}", "--ping"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                env={**os.environ, **limits},
                start_new_session=True,
                bufsize=0,
            )
        except OSError as fault:
            self._complaints.close()
            reason = not_started(binary, fault)
            raise EsbuildGone(reason.message, fault=reason) from fault
        self._process = process
        self._is_ended = False
        """By us: how it ended says nothing."""
        # Two threads, so that a full stdin pipe can never keep us from emptying stdout.
        self._reader = threading.Thread(
            target=self._read, args=(process.stdout,), name="esbuild-reader", daemon=True
        )
        self._writer = threading.Thread(
            target=self._write, args=(process.stdin,), name="esbuild-writer", daemon=True
        )
        try:
            self._reader.start()
            self._writer.start()
        except RuntimeError as fault:  # no more threads
            self._abandon()
            limit = system_fault(OSError(errno.EAGAIN, str(fault)))
            raise EsbuildGone(str(fault), fault=limit) from fault
        try:
            answer: str | EsbuildGone = self._handshake.get(timeout=10.0)
        except queue.Empty:
            answer = EsbuildGone("esbuild said nothing for 10 s")
        if answer != version:
            self.close()
            if isinstance(answer, EsbuildGone):
                raise answer
            raise EsbuildGone(f"esbuild is {answer}, not {version}")

    @property
    def pid(self) -> int:
        return self._process.pid

    def build(self, job: EsbuildJob, look: Stat = stat_key) -> EsbuildOutput:
        return self._built(job, _build_request(job, next(self._keys)))

    def reads(self, job: EsbuildJob, output: EsbuildOutput, files: Iterable[str]) -> None:
        """Nothing is kept but in contexts, whose owner looks after their inputs."""

    def trace(self, job: EsbuildJob) -> Trace:
        trace = Trace()
        key = next(self._keys)
        self._calls[key] = _Calls(trace=trace)
        try:
            self._built(job, _build_request(job, key) | {"plugins": [RECORDER]})
        finally:
            del self._calls[key]
        return trace

    def context(self, job: EsbuildJob) -> ServiceContext:
        """Keeps the parsed sources between builds: 1 MB for a small function, 40 MB with an SDK."""
        key = next(self._keys)
        calls = _Calls(trace=None)
        self._calls[key] = calls
        answer = self._ask(_build_request(job, key) | {"context": True})
        refused = bool(answer.get("error") or answer.get("errors"))
        if refused:
            del self._calls[key]
        return ServiceContext(self, job, key, calls, _output(answer, job) if refused else None)

    def close(self) -> None:
        """Ends the process. Safe to call again."""
        if any(calls.trace is None for calls in list(self._calls.values())):
            # It would take a second to complain of a deadlock. Nothing it has is worth saving.
            self._kill()
        self._outbox.put(None)
        try:
            self._process.wait(LEAVE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._kill()
            self._process.wait()
        self._reader.join()
        self._writer.join()
        self._complaints.close()

    def _abandon(self) -> None:
        """Ends the process before both its threads run."""
        self._kill()
        self._process.wait()
        self._outbox.put(None)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._complaints.close()

    def _dispose(self, key: int) -> None:
        with self._lock:
            known = self._calls.pop(key, None)
        if known is not None:
            self._ask({"command": "dispose", "key": key})

    def _kill(self) -> None:
        if self._process.poll() is None:  # else the number may be another's by now
            self._is_ended = True
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _built(
        self, job: EsbuildJob, request: Mapping[str, Value], calls: _Calls | None = None
    ) -> EsbuildOutput:
        """The output of a request that builds the job; `calls` has it where esbuild calls back.

        A build that never ends is ended with this process: no request makes it stop.
        """
        answer = self._put(request)
        for everywhere, wait_s in zip((False, True), unreadable.LOOKS_S, strict=True):
            try:
                value = answer.get(timeout=wait_s)
                break
            except queue.Empty:
                if refused := unreadable.refused(job, everywhere=everywhere):
                    self._leave_off()
                    return refused
        else:
            value = self._wait(answer)
        built = _answered(value)
        ended = calls.take() if calls is not None else None
        return _output(built if ended is None else ended, job)

    def _leave_off(self) -> None:
        """Ends the process for a build that never ends; its other builds go to the next process."""
        with self._lock:
            self._gone = EsbuildGone("esbuild was ended during a build that never ends")
        self._kill()

    def _ask(self, request: Mapping[str, Value]) -> dict[str, Any]:
        return _answered(self._wait(self._put(request)))

    def _put(self, request: Mapping[str, Value]) -> queue.SimpleQueue[Value | EsbuildGone]:
        """Sends it; where the answer will be."""
        answer: queue.SimpleQueue[Value | EsbuildGone] = queue.SimpleQueue()
        with self._lock:
            if self._gone is not None:
                raise EsbuildGone(str(self._gone), asked=False, fault=self._gone.fault)
            number = next(self._ids)
            self._waiting[number] = answer
        self._outbox.put(encode(Packet(number, True, request)))
        return answer

    def _wait(self, answer: queue.SimpleQueue[Value | EsbuildGone]) -> Value | EsbuildGone:
        try:
            return answer.get(timeout=ANSWER_TIMEOUT_S)
        except queue.Empty:
            self._kill()
            return EsbuildGone(f"esbuild gave no answer within {ANSWER_TIMEOUT_S:.0f} s")

    # --- the writer's thread ---

    def _write(self, stdin: IO[bytes]) -> None:
        with contextlib.suppress(OSError), stdin:
            while (packet := self._outbox.get()) is not None:
                rest = memoryview(packet)
                while rest:
                    rest = rest[stdin.write(rest) or 0 :]

    # --- the reader's thread ---

    def _read(self, stdout: IO[bytes]) -> None:
        reason = "esbuild ended"
        frames = FrameReader()
        greeted = False
        try:
            while data := stdout.read(1 << 18):
                for frame in frames.feed(data):
                    if greeted:
                        self._receive(decode(frame))
                    else:
                        self._handshake.put(frame.decode("utf-8", "replace"))
                        greeted = True
        except (OSError, ProtocolError) as fault:
            reason = f"esbuild's answers can't be read: {fault}"
        finally:
            stdout.close()
            self._lose(reason)

    def _receive(self, packet: Packet) -> None:
        if packet.is_request:
            request = packet.value if isinstance(packet.value, dict) else {}
            self._outbox.put(encode(Packet(packet.id, False, self._reply(request))))
            return
        with self._lock:
            answer = self._waiting.pop(packet.id, None)
        if answer is not None:
            answer.put(packet.value)

    def _reply(self, request: dict[str, Any]) -> Mapping[str, Value]:
        """The answer to esbuild's calls back; it waits for a reply to every call."""
        calls = self._calls.get(request.get("key", -1))
        match request.get("command"):
            case "on-start":
                return NO_MESSAGES
            case "on-end":
                if calls is not None:
                    calls.ended = request
                return NO_MESSAGES
            case "on-resolve":
                if calls is not None and calls.trace is not None and request["resolveDir"]:
                    found = ModuleRequest(request["resolveDir"], request["path"])
                    calls.trace.imports.add(found)
            case "on-load":
                if calls is not None and calls.trace is not None:
                    calls.trace.files.add(request["path"])
        return {}

    def _lose(self, reason: str) -> None:
        """From now on every question is answered with EsbuildGone."""
        code = self._process.wait()  # its stdout is closed: it has ended or is about to
        said = ""
        with contextlib.suppress(OSError, ValueError):
            self._complaints.seek(0)
            said = self._complaints.read(2000).decode("utf-8", "replace").strip()
        fault = None
        if code and not self._is_ended:
            fault = tool_faults.machine_fault(Program.ESBUILD, Completed(code, "", said))
        gone = EsbuildGone(f"{reason}: {said}" if said else reason, fault=fault)
        with self._lock:
            self._gone = gone
            waiting, self._waiting = self._waiting, {}
        self._outbox.put(None)
        self._handshake.put(gone)
        for answer in waiting.values():
            answer.put(EsbuildGone(str(gone), fault=fault))


def _answered(value: Value | EsbuildGone) -> dict[str, Any]:
    if isinstance(value, EsbuildGone):
        raise value
    if not isinstance(value, dict):
        raise EsbuildGone(f"esbuild answered {type(value).__name__} instead of a map")
    return value


class _Calls:
    """What esbuild said about one key when it called back. Written by the reader's thread."""

    def __init__(self, trace: Trace | None) -> None:
        self.trace = trace
        self.ended: dict[str, Any] | None = None

    def take(self) -> dict[str, Any] | None:
        """The last result, which holds every output and so is not kept."""
        ended, self.ended = self.ended, None
        return ended


class ServiceContext:
    """Repeats one job. A file replaced with the same inode, size and mtime is served stale: when
    only ctime moved, dispose of the context and make a new one."""

    def __init__(
        self,
        service: EsbuildService,
        job: EsbuildJob,
        key: int,
        calls: _Calls,
        refused: EsbuildOutput | None,
    ) -> None:
        self._service = service
        self._job = job
        self._key = key
        self._calls = calls
        self._refused = refused
        self._turn = threading.Lock()

    def rebuild(self) -> EsbuildOutput:
        if self._refused is not None:
            return self._refused
        # One at a time: on-end and the response have both arrived before the next one is sent.
        with self._turn:
            self._calls.take()
            request: dict[str, Value] = {"command": "rebuild", "key": self._key}
            return self._service._built(self._job, request, self._calls)

    def dispose(self) -> None:
        """Frees its memory. Safe to call again, and after the process has gone."""
        with contextlib.suppress(EsbuildGone):
            self._service._dispose(self._key)


RECORDER: Final[Mapping[str, Value]] = {
    "name": "record",
    "onStart": False,
    "onEnd": False,
    "onResolve": [{"id": 1, "filter": ".*", "namespace": ""}],
    "onLoad": [{"id": 2, "filter": ".*", "namespace": "file"}],
}


def _build_request(job: EsbuildJob, key: int) -> dict[str, Value]:
    return {
        "command": "build",
        "key": key,
        "entries": [list(entry) for entry in job.entries],
        "flags": [*job.flags, "--metafile", f"--outdir={job.out_folder}", "--log-level=silent"],
        "write": False,
        "stdinContents": None,
        "stdinResolveDir": None,
        "absWorkingDir": job.folder,
        "nodePaths": list(job.node_paths),
        "context": False,
    }


def _output(answer: Mapping[str, Any], job: EsbuildJob) -> EsbuildOutput:
    if reason := answer.get("error"):
        return without_answer(reason)
    base = job.out_folder.rstrip("/") + "/"
    metafile = answer.get("metafile") or b"{}"
    return EsbuildOutput(
        files={
            file["path"].removeprefix(base): file["contents"]
            for file in answer.get("outputFiles") or ()
        },
        metafile=json.loads(metafile),
        errors=tuple(_message(message) for message in answer["errors"]),
        warnings=tuple(_message(message) for message in answer["warnings"]),
    )


def _message(raw: Mapping[str, Any]) -> Message:
    at = raw["location"]
    place = MessagePlace(at["file"], at["line"], at["column"], at["lineText"]) if at else None
    return Message(raw["id"], raw["text"], place, tuple(note["text"] for note in raw["notes"]))
