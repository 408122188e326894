"""`lambdad invoke`: one function runs once, as its files are now."""

from __future__ import annotations

import json
import os
import sys
from typing import BinaryIO

import click

from lambdad.bundler.config.find import read_live
from lambdad.bundler.model import BundlerError
from lambdad.daemon.cli import project as projects
from lambdad.daemon.live.examples import example_event
from lambdad.daemon.live.once import run_once
from lambdad.daemon.live.session import StartOptions


@click.command(
    "invoke",
    epilog="""The answer is on stdout, and what the function logs on stderr. It is built first if
its files have changed, and runs with the environment that `lambdad start` gives it.

\b
Examples:
  lambdad invoke ListNotes
  lambdad invoke ListNotes --event event.json
  echo '{"id": 1}' | lambdad invoke ListNotes --event -
  lambdad invoke OnMessage --example sqs

Exit code: 0 it answered; 1 it failed, or can't be built; 2 usage or machine.""",
)
@click.argument("function")
@click.option(
    "--project",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    help="The project's folder. [default: found from here upwards]",
)
@click.option(
    "--event",
    "event_file",
    metavar="FILE",
    type=click.File("rb"),
    help="The event, as JSON; - reads it from stdin. [default: {}]",
)
@click.option(
    "--example",
    metavar="NAME",
    help="An event as a service of AWS sends it: alb, cloudwatch-logs, dynamodb, eventbridge, "
    "http, kinesis, rest, s3, schedule, sns or sqs.",
)
@click.option(
    "--env-file",
    "env_files",
    metavar="FILE",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False),
    help="Variables for functions, as for `lambdad start`.",
)
@click.option("--profile", metavar="NAME", help="The AWS profile that the function uses.")
@click.option("--region", metavar="NAME", help="The AWS region that the function sees.")
def command(
    function: str,
    project: str | None,
    event_file: BinaryIO | None,
    example: str | None,
    **given: object,
) -> int:
    """Run FUNCTION once, with an event, on this machine."""
    if event_file is not None and example is not None:
        raise click.UsageError("say --event or --example, not both")
    payload = b"{}" if event_file is None else event_file.read()
    if example is not None:
        payload = example_event(example)
    try:
        json.loads(payload)
    except (ValueError, RecursionError) as fault:
        raise BundlerError("bad-event", f"the event is not JSON: {fault}") from fault
    root = projects.read(projects.CommandPlace(project=project)).root
    options = StartOptions(
        root=root,
        read=lambda: read_live(root, dict(os.environ)),
        **given,  # type: ignore[arg-type]  # click has checked them
    )
    code, answer = run_once(options, os.environ, function, payload)
    if answer is not None:
        sys.stdout.buffer.write(answer + b"\n")
        sys.stdout.buffer.flush()
    return code
