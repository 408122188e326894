"""Our Python worker beside AWS's runtime interface client: answers, errors and logs agree."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from lambdad.daemon.live.workers import launch
from lambdad.daemon.live.workers.process import WorkerProcess
from lambdad.daemon.live.workers.runtime_api import (
    Oversized,
    Raised,
    Ready,
    Returned,
    RuntimeApi,
    RuntimeTask,
    WorkerReport,
)

pytest.importorskip("awslambdaric")

HEADERS = {
    "Lambda-Runtime-Aws-Request-Id": "the-id",
    "Lambda-Runtime-Deadline-Ms": "4102444800000",
    "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:012345678912:function:F",
    "Lambda-Runtime-Trace-Id": "Root=1-00000000-000000000000000000000000",
    "Lambda-Runtime-Client-Context": json.dumps(
        {"custom": {"a": 1}, "env": {"b": "c"}, "client": {"app_title": "t"}}
    ),
}
APP = """
import collections, decimal, json, logging, os, sys
Point = collections.namedtuple("Point", "x y")
def value(event, context):
    return [1.5, "é", None, {"a": (1, 2)}, Point(1, [Point(2, 3)]), decimal.Decimal("1.10"),
            decimal.Decimal("1E+3"), b"bytes", {1: 2, None: 3, True: 4, 1.5: 5}, event]
def special(event, context):
    return [float("nan"), float("inf"), decimal.Decimal("NaN")]
def raw(event, context):
    return b"\\x00raw"
def context(event, context):
    return [context.aws_request_id, context.function_name, context.memory_limit_in_mb,
            context.function_version, context.log_group_name, context.log_stream_name,
            context.invoked_function_arn, context.client_context.custom,
            context.client_context.env, context.client_context.client.app_title,
            context.identity.cognito_identity_id, context.get_remaining_time_in_millis() > 1000,
            os.environ["_X_AMZN_TRACE_ID"]]
def logs(event, context):
    print("printed"); sys.stderr.write("to stderr\\n")
    logging.getLogger().setLevel("INFO")
    logging.info("info %s", 1); logging.warning("several\\nlines")
    try:
        1 / 0
    except ZeroDivisionError:
        logging.exception("caught")
    context.log("by context\\n")
def inner():
    raise KeyError("no")
def raises(event, context):
    inner()
def chained(event, context):
    try:
        inner()
    except KeyError as fault:
        raise RuntimeError("outer") from fault
class Odd(Exception):
    def __str__(self): return ""
def odd(event, context):
    raise Odd()
def unserialisable(event, context):
    return {"a": {1, 2}}
def keys(event, context):
    return {(1, 2): 3}
def circular(event, context):
    found = []
    found.append(found)
    return found
def exits(event, context):
    sys.exit(3)
def recursion(event, context):
    return recursion(event, context)

"""
FILES = {
    "app.py": APP,
    "syntax.py": "def handler(:\n",
    "at_import.py": "raise OSError('at import')\n",
    "imports.py": "import no_such_module\n",
    "folder/inner.py": "def handler(event, context):\n    return __name__\n",
}
HANDLERS = (
    *("app.value", "app.special", "app.raw", "app.context", "app.logs", "app.raises"),
    *("app.chained", "app.odd", "app.unserialisable", "app.keys", "app.circular", "app.exits"),
    *("app.recursion", "app.nope", "syntax.handler", "at_import.handler"),
    *("imports.handler", "nope.handler", "folder/inner.handler", "folder.inner.handler"),
    *("sys.handler", "nodot"),
)
ANSWERS = (Returned, Raised, Oversized)


async def run(folder: Path, handler: str, command: list[str], **more: str) -> dict[str, Any]:
    """What one request, and the loading before it, comes to."""
    reports: asyncio.Queue[WorkerReport] = asyncio.Queue()
    api = RuntimeApi(reports.put_nowait, None)
    environ = {
        "PATH": "/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_LAMBDA_RUNTIME_API": await api.start(),
        "AWS_LAMBDA_FUNCTION_NAME": "F",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/F",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
        **more,
    }
    output: list[bytes] = []
    process = WorkerProcess(command, cwd=str(folder), environ=environ, heard=output.append)
    api.assign({"path": [str(folder)], "handler": handler, "environ": {}, "dependencies": []})
    found: dict[str, Any] = {"exit": None}
    try:
        async with asyncio.timeout(60):
            while True:
                getting = asyncio.ensure_future(reports.get())
                await asyncio.wait((getting, process.ended), return_when="FIRST_COMPLETED")
                if not getting.done():
                    getting.cancel()
                    found["exit"] = process.ended.result()
                    break
                report = getting.result()
                if isinstance(report, Ready):
                    if "answer" in found:
                        break
                    api.give(RuntimeTask(request_id="the-id", payload=b'{"e": 1}', headers=HEADERS))
                elif isinstance(report, ANSWERS):
                    found["answer"] = plain(report)
    finally:
        process.kill()
        await process.ended
        await api.close()
    found["output"] = normal(b"".join(output).decode())
    return found


def plain(report: WorkerReport) -> object:
    match report:
        case Returned(payload, content_type):
            return payload, content_type
        case Raised(error, in_init):
            return json.loads(normal(error.decode())), in_init
        case _:
            return report


def normal(text: str) -> str:
    """Without the time of a line, and without AWS's remark about unhandled errors at the start."""
    text = re.sub(r"line repeated \d+ more", "line repeated N more", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME", text)
    return re.sub(r"\[WARNING\]\tTIME\t\tLAMBDA_WARNING: Unhandled exception[^\n]*\n", "", text)


@pytest.mark.parametrize("handler", HANDLERS)
def test_as_awslambdaric(tmp_path: Path, handler: str) -> None:
    """Of what each handler of APP returns, raises, logs, and of those that can't be loaded."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    ours = [sys.executable, f"{launch.HERE}/python_worker.py"]
    theirs = [sys.executable, "-m", "awslambdaric", handler]
    version = "AWS_Lambda_python3.12"
    both = [
        asyncio.run(run(tmp_path, handler, command, AWS_EXECUTION_ENV=version))
        for command in (ours, theirs)
    ]
    assert both[0] == both[1]
