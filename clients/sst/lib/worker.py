"""A worker for Python: worker.py, with its task on stdin.

What every function needs is imported first; then it waits. With the task it becomes the function's
process, which serves one event after the other until it is ended, as on Lambda.
"""

import http.client
import importlib
import json
import logging
import os
import sys
import time
import traceback
import types

API = "/2018-06-01/runtime"


class Context:
    """What SST's own client gives a handler, with a remaining time that can be asked for."""

    function_version = "$LATEST"

    def __init__(self, headers):
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.invoked_function_arn = headers["Lambda-Runtime-Invoked-Function-Arn"]
        self.deadline_ms = int(headers["Lambda-Runtime-Deadline-Ms"])
        self.identity = fields(headers["Lambda-Runtime-Cognito-Identity"])
        self.client_context = fields(headers["Lambda-Runtime-Client-Context"])

    def get_remaining_time_in_millis(self):
        return max(self.deadline_ms - int(time.time() * 1000), 0)

    def log(self, text):
        sys.stdout.write(text)


def fields(text):
    return types.SimpleNamespace(**json.loads(text or "{}"))


class Client:
    """The runtime API, over one connection."""

    def __init__(self, address):
        address, _, prefix = address.partition("/")
        self.path = f"/{prefix}{API}"
        self.connection = http.client.HTTPConnection(address)

    def next(self):
        """The event and its headers."""
        self.connection.request("GET", f"{self.path}/invocation/next")
        answer = self.connection.getresponse()
        return json.loads(answer.read()), answer.headers

    def post(self, path, document):
        body = json.dumps(document).encode()
        headers = {"Content-Type": "application/json"}
        self.connection.request("POST", f"{self.path}/{path}", body, headers)
        self.connection.getresponse().read()


def fault_of(error):
    """As Lambda reports it; the user's terminal has it, too, where it can be read."""
    traceback.print_exc()
    lines = traceback.format_tb(error.__traceback__)
    own = [line for line in lines if __file__ not in line.split("\n")[0]]
    trace = [line.rstrip("\n") for line in own]
    return {"errorType": type(error).__name__, "errorMessage": str(error), "trace": trace}


def load(handler):
    module, _, name = handler.rpartition(".")
    return getattr(importlib.import_module(module.replace("/", ".")), name)


def serve(client, handler):
    while True:
        event, headers = client.next()
        context = Context(headers)
        path = f"invocation/{context.aws_request_id}"
        try:
            client_answer = handler(event, context)
            json.dumps(client_answer)
        except Exception as error:
            client.post(f"{path}/error", fault_of(error))
        else:
            client.post(f"{path}/response", client_answer)


def main():
    logging.basicConfig()
    text = sys.stdin.read()  # blocks until there is a task, or no one left to give it
    if not text:
        return
    task = json.loads(text)
    os.environ.clear()
    os.environ.update(task["env"])
    time.tzset()
    sys.path[:1] = task["path"]  # in place of this file's folder
    # As under SST alone, what lies in the app's folder can be imported by its path from there.
    sys.path.append(os.getcwd())
    client = Client(os.environ["AWS_LAMBDA_RUNTIME_API"])
    try:
        handler = load(task["handler"])
    except Exception as error:
        client.post("init/error", fault_of(error))
        sys.exit(1)
    serve(client, handler)


if __name__ == "__main__":
    try:
        main()
    except (ConnectionError, http.client.HTTPException):
        sys.exit(1)  # SST has gone
