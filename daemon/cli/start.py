"""`lambdad start`: functions run on this machine, always as their files are now."""

from __future__ import annotations

import os

import click

from lambdad.bundler.config.find import read_live
from lambdad.daemon.cli import project as projects
from lambdad.daemon.live.session import StartOptions, run_session


@click.command(
    "start",
    epilog="""Each request waits until the function that it names is fresh: an edit that was saved
before it came is in the answer. No watcher has to notice it, and nothing has to be restarted.
Ctrl-C ends it; pressed twice, at once.

\b
Examples:
  lambdad start
  AWS_ENDPOINT_URL_LAMBDA=http://127.0.0.1:3001 aws lambda invoke --function-name ListNotes out.json
  lambdad start --port 0 --lambda-port 0 --json

Exit code: 130 interrupted; 2 usage or machine.""",
)
@click.option(
    "--project",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    help="The project's folder. [default: found from here upwards]",
)
@click.option(
    "--port",
    metavar="N",
    type=click.IntRange(0, 65535),
    default=3000,
    show_default=True,
    help="Where HTTP requests are answered; 0: any free port.",
)
@click.option(
    "--lambda-port",
    metavar="N",
    type=click.IntRange(0, 65535),
    default=3001,
    show_default=True,
    help="Where Lambda's API is, for AWS SDKs and the AWS CLI; 0: any free port.",
)
@click.option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on. Any other lets other machines run your functions.",
)
@click.option(
    "--allow-host",
    "hosts",
    metavar="NAME",
    multiple=True,
    help="A name beside localhost that requests may be sent to; may be given several times.",
)
@click.option(
    "--allow-origin",
    "origins",
    metavar="ORIGIN",
    multiple=True,
    help="An origin beside localhost's whose pages may call functions, as https://example.com.",
)
@click.option(
    "--env-file",
    "env_files",
    metavar="FILE",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False),
    help="Variables for functions, as .env has them, or in the JSON of SAM's --env-vars. They go "
    "before those of the configuration. [the project's .env is read in any case]",
)
@click.option("--profile", metavar="NAME", help="The AWS profile that functions use.")
@click.option("--region", metavar="NAME", help="The AWS region that functions see.")
@click.option(
    "--inspect",
    metavar="[FUNCTION[:PORT]]",
    multiple=True,
    is_flag=False,
    flag_value="",
    help="Let a debugger attach to a Node.js function, or to each of them, on port 9229 and those "
    "after it. Their time-outs don't count then.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def command(project: str | None, port: int, lambda_port: int, host: str, **given: object) -> int:
    """Run functions on this machine: HTTP and Lambda's API, always with fresh code."""
    place = projects.CommandPlace(project=project)
    root = projects.read(place).root
    return run_session(
        StartOptions(
            root=root,
            read=lambda: read_live(root, dict(os.environ)),
            host=host,
            http_port=port,
            lambda_port=lambda_port,
            **given,  # type: ignore[arg-type]  # click has checked them
        ),
        os.environ,
    )
