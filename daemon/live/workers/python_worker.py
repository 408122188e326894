"""A Python worker: a program of its own, which runs a function's handler as Lambda's runtime does.

It imports nothing of ours, since the function's interpreter runs it (Python 3.8 or newer) and the
function's modules must find what they find on Lambda. Answers, errors and log lines have the
shapes that AWS's own runtime gives them.

It boots, asks for what to load, loads it, and then runs one request after the other.
"""

from __future__ import annotations

import decimal
import importlib
import json
import logging
import math
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any

PREFIX = "/2018-06-01/runtime"
MOST_HEADER = 60000
"""Characters; a header that is longer is refused."""
UNICODE_SINCE = (3, 12)
"""Runtimes whose answers have characters beyond ASCII as they are."""


class Fault(Exception):  # noqa: N818 -- AWS calls it so
    """What Lambda's runtime itself has against a function: the error's type and message."""

    def __init__(self, kind: str, message: str, trace: list[str] | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.trace = trace or []


# --- the Runtime API ------------------------------------------------------------------------------


class RuntimeClient:
    """One connection to the Runtime API. Whatever breaks it ends the process: `start` is gone."""

    def __init__(self, address: str, token: str | None) -> None:
        host, _, port = address.rpartition(":")
        self._address = (host, int(port))
        self._token = token
        self._peer: socket.socket | None = None
        self._file: Any = None

    def call(
        self, method: str, path: str, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers by lower-case name, body."""
        if self._peer is None:
            self._peer = socket.create_connection(self._address)
            self._peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._file = self._peer.makefile("rb")
        lines = [f"{method} {PREFIX}{path} HTTP/1.1", "Host: {}:{}".format(*self._address)]
        if self._token is not None:
            lines.append("Lambdad-Token: " + self._token)
        lines.extend("{}: {}".format(*field) for field in headers)
        lines.append(f"Content-Length: {len(body)}")
        self._peer.sendall("\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body)
        line = self._file.readline()
        if not line:
            os._exit(0)
        status = int(line.split()[1])
        found = {}
        while True:
            line = self._file.readline().decode("latin-1").strip()
            if not line:
                break
            name, _, value = line.partition(":")
            found[name.lower()] = value.strip()
        return status, found, self._file.read(int(found.get("content-length", "0")))

    def assignment(self) -> dict[str, Any]:
        """What to load, or what to import ahead of that."""
        _status, _headers, body = self.call("GET", "/assignment")
        found: dict[str, Any] = json.loads(body)
        return found

    def next(self, modules: list[str]) -> tuple[dict[str, str], bytes]:
        """The next request's headers and payload. `modules` were imported since the last one."""
        text = ",".join(modules)
        if len(text) > MOST_HEADER:
            text = text[: text.rindex(",", 0, MOST_HEADER)]
        headers = [("Lambdad-Modules", text)] if text and text.isascii() else []
        _status, found, body = self.call("GET", "/invocation/next", b"", headers)
        return found, body

    def post_result(self, request_id: str, payload: bytes, content_type: str) -> None:
        """413 where it is too large: then that is what the caller is answered."""
        headers = [("Content-Type", content_type)]
        self.call("POST", f"/invocation/{request_id}/response", payload, headers)

    def post_error(self, request_id: str, error: dict[str, Any]) -> None:
        headers = [("Lambda-Runtime-Function-Error-Type", _header(error["errorType"]))]
        self.call("POST", f"/invocation/{request_id}/error", to_json(error), headers)

    def post_init_error(self, error: dict[str, Any]) -> None:
        headers = [("Lambda-Runtime-Function-Error-Type", _header(error["errorType"]))]
        self.call("POST", "/init/error", to_json(error), headers)


def _header(text: str) -> str:
    return "".join(character for character in text if character.isprintable())


# --- JSON -----------------------------------------------------------------------------------------


def to_json(value: object) -> bytes:
    """As Lambda's runtime writes it: Decimal as a number, a named tuple as an object, bytes as
    text. Raises ValueError, TypeError, or RecursionError."""
    version = os.environ.get("AWS_EXECUTION_ENV", "").rpartition("python")[2].split(".")
    is_new = len(version) == 2 and tuple(map(int, version)) >= UNICODE_SINCE
    numbers: dict[str, str] = {}
    text = json.dumps(_plain(value, numbers, set()), ensure_ascii=not is_new)
    for mark, number in numbers.items():
        text = text.replace(f'"{mark}"', number)
    return text.encode("utf-8")


def _plain(value: object, numbers: dict[str, str], above: set[int]) -> object:
    """The same in types that the json module writes alike. `numbers` gets marks that stand for
    decimals; no text of the function's can hold them, since each is random."""
    if isinstance(value, decimal.Decimal):
        if value.is_nan():
            return math.nan
        mark = os.urandom(16).hex()
        numbers[mark] = str(value)
        return mark
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if not isinstance(value, (dict, list, tuple)):
        return value
    if id(value) in above:
        raise ValueError("Circular reference detected")
    above.add(id(value))
    named = getattr(value, "_asdict", None)
    if isinstance(value, tuple) and callable(named):
        plain = _plain(named(), numbers, above)
    elif isinstance(value, dict):
        plain = {
            key.decode("utf-8") if isinstance(key, bytes) else key: _plain(item, numbers, above)
            for key, item in value.items()
        }
    else:
        plain = [_plain(item, numbers, above) for item in value]
    above.discard(id(value))
    return plain


# --- what a handler is given ----------------------------------------------------------------------


class _Record:
    """An object that has its fields, each None where nothing is known."""

    _names: tuple[str, ...] = ()

    def __init__(self, known: Mapping[str, Any]) -> None:
        for name in self._names:
            setattr(self, name, known.get(name))

    def __repr__(self) -> str:
        fields = ",".join(f"{name}={getattr(self, name)}" for name in self._names)
        return f"{type(self).__name__}([{fields}])"


class CognitoIdentity(_Record):
    _names = ("cognito_identity_id", "cognito_identity_pool_id")


class ContextClient(_Record):
    _names = (
        "installation_id",
        "app_title",
        "app_version_name",
        "app_version_code",
        "app_package_name",
    )


class ClientContext(_Record):
    _names = ("custom", "env", "client")

    def __init__(self, known: Mapping[str, Any]) -> None:
        super().__init__(known)
        client = known.get("client")
        self.client = None if client is None else ContextClient(client)


class LambdaContext:
    """The second argument of a handler."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        environ = os.environ.get
        self.aws_request_id = headers["lambda-runtime-aws-request-id"]
        self.log_group_name = environ("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = environ("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = environ("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = environ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = environ("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn")
        self.tenant_id = headers.get("lambda-runtime-aws-tenant-id")
        known = _header_json(headers.get("lambda-runtime-client-context"), "Client Context")
        self.client_context = None if known is None else ClientContext(known)
        known = _header_json(headers.get("lambda-runtime-cognito-identity"), "Cognito Identity")
        self.identity = CognitoIdentity({})
        if known is not None:
            self.identity = CognitoIdentity(
                {
                    "cognito_identity_id": known.get("cognitoIdentityId"),
                    "cognito_identity_pool_id": known.get("cognitoIdentityPoolId"),
                }
            )
        self._epoch_deadline_time_in_ms = int(headers["lambda-runtime-deadline-ms"])

    def get_remaining_time_in_millis(self) -> int:
        return max(self._epoch_deadline_time_in_ms - int(time.time() * 1000), 0)

    def log(self, message: object) -> None:
        sys.stdout.write(str(message))

    def __repr__(self) -> str:
        fields = ",".join(f"{name}={value}" for name, value in vars(self).items() if name[0] != "_")
        return f"LambdaContext([{fields}])"


def _header_json(text: str | None, name: str) -> Any:
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError as fault:
        message = f"Unable to parse {name} JSON: {fault}"
        raise Fault("Runtime.LambdaContextUnmarshalError", message) from None


# --- logs -----------------------------------------------------------------------------------------


class Running:
    """The request that log records belong to."""

    request_id = ""


class Unbuffered:
    """A stream that holds nothing back, so that lines stand in order and a kill loses none."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        count: int = self._stream.write(text)
        self._stream.flush()
        return count

    def writelines(self, lines: Iterable[str]) -> None:
        self._stream.writelines(lines)
        self._stream.flush()


class LogHandler(logging.Handler):
    """Writes records to what sys.stdout is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stdout.write(self.format(record))


class TextFormatter(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__(
            "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n",
            "%Y-%m-%dT%H:%M:%S",
        )


class JsonFormatter(logging.Formatter):
    converter = staticmethod(time.gmtime)
    usual = frozenset(vars(logging.makeLogRecord({}))) | {"aws_request_id", "message", "taskName"}

    def __init__(self) -> None:
        super().__init__(datefmt="%Y-%m-%dT%H:%M:%SZ")

    def format(self, record: logging.LogRecord) -> str:
        is_plain = isinstance(record.msg, dict) and not record.args
        found: dict[str, Any] = {
            "timestamp": self.formatTime(record, self.datefmt),
            "level": record.levelname,
            "message": record.msg if is_plain else record.getMessage(),
            "logger": record.name,
            "requestId": Running.request_id or None,
        }
        kind, value, trace = record.exc_info or (None, None, None)
        if kind is not None:
            found["stackTrace"] = traceback.format_tb(trace)
            found["errorType"] = kind.__name__
            found["errorMessage"] = str(value)
            found["location"] = f"{record.pathname}:{record.funcName}:{record.lineno}"
        for name, value in vars(record).items():
            if name not in self.usual:
                found.setdefault(name, value)
        kept = {name: value for name, value in found.items() if value is not None}
        return json.dumps(kept, ensure_ascii=False, default=str) + "\n"


def _named(record: logging.LogRecord) -> bool:
    record.aws_request_id = Running.request_id
    record.tenant_id = None
    return True


def set_up_logging() -> None:
    handler = LogHandler()
    is_json = os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"
    handler.setFormatter(JsonFormatter() if is_json else TextFormatter())
    handler.addFilter(_named)
    root = logging.getLogger()
    level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
    level = "DEBUG" if level == "TRACE" else level
    if level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL"):
        root.setLevel(level)
    root.addHandler(handler)


def log_error(error: dict[str, Any]) -> None:
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON":
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = to_json(dict(error, timestamp=stamp, level="ERROR")).decode()
    else:
        named = [text for text in (error["errorType"], error["errorMessage"]) if text]
        lines = ["[ERROR] " + ": ".join(named), "Traceback (most recent call last):"]
        for entry in error["stackTrace"]:
            for text in entry.splitlines() or [""]:
                bare = text.lstrip(" ")
                lines.append("\u00a0" * (len(text) - len(bare)) + bare)
        line = "\r".join(lines)
    sys.stdout.write(line + "\n")


# --- the handler ----------------------------------------------------------------------------------


def load(handler: str) -> Callable[[Any, Any], Any]:
    """The function that the setting names. Raises Fault, or what its module raises."""
    module, dot, name = handler.rpartition(".")
    if not dot:
        reason = "not enough values to unpack (expected 2, got 1)"
        raise Fault("Runtime.MalformedHandlerName", f"Bad handler '{handler}': {reason}")
    if module.split(".")[0] in sys.builtin_module_names:
        message = f"Cannot use built-in module {module} as a handler module"
        raise Fault("Runtime.BuiltInModuleConflict", message)
    try:
        found = importlib.import_module(module.replace("/", "."))
    except ImportError as fault:
        message = f"Unable to import module '{module}': {fault}"
        raise Fault("Runtime.ImportModuleError", message) from None
    except SyntaxError as fault:
        trace = [f'  File "{fault.filename}" Line {fault.lineno}\n    {fault.text}']
        message = f"Syntax error in module '{module}': {fault}"
        raise Fault("Runtime.UserCodeSyntaxError", message, trace) from None
    try:
        function: Callable[[Any, Any], Any] = getattr(found, name)
    except AttributeError:
        message = f"Handler '{name}' missing on module '{module}'"
        raise Fault("Runtime.HandlerNotFound", message) from None
    return function


def described(fault: BaseException, request_id: str) -> dict[str, Any]:
    """The error object of what was raised."""
    if isinstance(fault, Fault):
        kind, message, trace = fault.kind, fault.message, fault.trace
    else:
        frames = traceback.extract_tb(fault.__traceback__)
        first = next((at for at, frame in enumerate(frames) if frame.filename != __file__), 0)
        kind, message = type(fault).__name__, str(fault)
        # Without the marks below a line that newer versions of Python add: Lambda has none.
        bare = [(frame.filename, frame.lineno, frame.name, frame.line) for frame in frames[first:]]
        trace = traceback.format_list(bare)  # type: ignore[arg-type]  # a number may be unknown
    return {
        "errorMessage": message,
        "errorType": kind,
        "requestId": request_id,
        "stackTrace": trace,
    }


def answer(
    client: RuntimeClient,
    function: Callable[[Any, Any], Any],
    headers: Mapping[str, str],
    payload: bytes,
) -> None:
    """Runs one request. What the handler raises that is no Exception ends the process."""
    request_id = headers["lambda-runtime-aws-request-id"]
    try:
        context = LambdaContext(headers)
        try:
            event = json.loads(payload)
        except ValueError as fault:
            message = f"Unable to unmarshal input: {fault}"
            raise Fault("Runtime.UnmarshalError", message) from None
        returned = function(event, context)
        if isinstance(returned, bytes):
            result, content_type = returned, "application/unknown"
        else:
            try:
                result, content_type = to_json(returned), "application/json"
            except Exception as fault:
                message = f"Unable to marshal response: {fault}"
                raise Fault("Runtime.MarshalError", message) from None
    except Exception as fault:
        error = described(fault, request_id)
        log_error(error)
        client.post_error(request_id, error)
    else:
        client.post_result(request_id, result, content_type)


def serve(client: RuntimeClient, assignment: Mapping[str, Any], path: list[str]) -> None:
    """Loads what was assigned, and runs requests for as long as there are any. `path` is what
    sys.path has of Python's own."""
    os.environ.update(assignment["environ"])
    sys.path[:] = [*assignment["path"], *path]
    importlib.invalidate_caches()
    os.chdir(assignment["path"][0])
    try:
        function = load(assignment["handler"])
    except Exception as fault:
        error = described(fault, "")
        log_error(error)
        client.post_init_error(error)
        sys.exit(1)
    reported: set[str] = set()
    while True:
        headers, payload = client.next(new_modules(assignment["dependencies"], reported))
        Running.request_id = headers["lambda-runtime-aws-request-id"]
        trace = headers.get("lambda-runtime-trace-id")
        if trace is not None:
            os.environ["_X_AMZN_TRACE_ID"] = trace
        else:
            os.environ.pop("_X_AMZN_TRACE_ID", None)
        answer(client, function, headers, payload)


# --- dependencies that are imported ahead ---------------------------------------------------------


def new_modules(folders: list[str], reported: set[str]) -> list[str]:
    """Modules that lie in those folders, and were not there before; in their order of import."""
    if not folders or len(sys.modules) == len(reported):
        return []
    found = []
    for name, module in list(sys.modules.items()):
        if name in reported:
            continue
        reported.add(name)
        if _file(module).startswith(tuple(folder + "/" for folder in folders)):
            found.append(name)
    return found


def _file(module: object) -> str:
    file = getattr(module, "__file__", None)
    return file if isinstance(file, str) else ""


def preload(ahead: Mapping[str, Any], path: list[str]) -> bool:
    """Imports those modules. False: one of them is not as it was, or led to a file of the project,
    so that this process must not load a function any more."""
    folders, root = ahead["folders"], ahead["root"] + "/"
    sys.path[:] = [*folders, *path]
    for name in ahead["modules"]:
        try:
            importlib.import_module(name)
        except ImportError:
            continue  # a module that another one makes; the function's own import finds it again
        except BaseException:
            return False
    inside = tuple(folder + "/" for folder in folders)
    return not any(
        file.startswith(root) and not file.startswith(inside)
        for file in map(_file, list(sys.modules.values()))
    )


def is_shadowed(modules: list[str], assignment: Mapping[str, Any]) -> bool:
    """Whether a folder that goes before the dependencies has a module that is called as one."""
    names = {name.partition(".")[0] for name in modules}
    for folder in assignment["path"]:
        if folder in assignment["dependencies"]:
            return False
        try:
            there = {name.partition(".")[0] for name in os.listdir(folder)}
        except OSError:
            continue
        if names & there:
            return True
    return False


def start_anew(token: str | None) -> None:
    """The same process runs this program from its beginning, without what it has imported."""
    if token is not None:
        os.environ["_LAMBDAD_TOKEN"] = token
    if _life is not None:
        os.environ["_LAMBDAD_LIFE"] = str(_life)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, __file__])  # noqa: S606 -- no shell is wanted


_life: int | None = None


def end_with(descriptor: int) -> None:
    """Ends this process when the pipe's other end is gone: where no signal does it."""
    import threading

    def wait() -> None:
        os.read(descriptor, 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    global _life  # noqa: PLW0603 -- it is for the whole process
    sys.path.pop(0)  # our folder, in which the function has no business
    if "_LAMBDAD_LIFE" in os.environ:
        _life = int(os.environ.pop("_LAMBDAD_LIFE"))
        end_with(_life)
    sys.stdout = Unbuffered(sys.stdout)
    sys.stderr = Unbuffered(sys.stderr)
    path = list(sys.path)
    token = os.environ.pop("_LAMBDAD_TOKEN", None)
    client = RuntimeClient(os.environ["AWS_LAMBDA_RUNTIME_API"], token)
    set_up_logging()
    document = client.assignment()
    ahead = document.get("preload")
    if ahead is not None:
        is_good = preload(ahead, path)
        document = client.assignment()
        if not is_good or is_shadowed(ahead["modules"], document):
            start_anew(token)
    serve(client, document, path)


if __name__ == "__main__":
    main()
