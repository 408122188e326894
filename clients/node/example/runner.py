"""Loads one Python function and runs it for its parent: runner.py HANDLER ENTRY PATH...

The parent's channel is Node.js's own: a socket with a line of JSON for each message.
"""

import importlib
import json
import os
import socket
import sys
import traceback
import types

name, _entry, *path = sys.argv[1:]
channel = socket.socket(fileno=int(os.environ.pop("NODE_CHANNEL_FD")))
sys.path[:1] = path  # in place of this file's folder
sys.dont_write_bytecode = True
handler = None

for line in channel.makefile(encoding="utf-8"):
    message = json.loads(line)
    answer = {"id": message["id"]}
    try:
        if handler is None:
            module, _, function = name.rpartition(".")
            handler = getattr(importlib.import_module(module.replace("/", ".")), function)
        context = types.SimpleNamespace(
            function_name=os.environ["AWS_LAMBDA_FUNCTION_NAME"],
            aws_request_id=str(message["id"]),
        )
        answer["value"] = handler(message["event"], context)
        text = json.dumps(answer)
    except Exception as fault:
        answer["fault"] = {
            "errorType": type(fault).__name__,
            "errorMessage": str(fault),
            "trace": traceback.format_exc().splitlines(),
        }
        answer.pop("value", None)
        text = json.dumps(answer)
    channel.sendall(f"{text}\n".encode())
