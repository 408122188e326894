"""`lambdad daemon`: start, stop and look at the process that keeps a project's builds."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click

from lambdad.bundler.config.find import project_folder
from lambdad.bundler.model import BundlerError
from lambdad.bundler.report.shown import duration_text
from lambdad.daemon.client import asking, finding
from lambdad.daemon.life import control
from lambdad.daemon.wire import exchange
from lambdad.daemon.wire.address import NoDaemon, address, open_ours, read_note

Command = TypeVar("Command", bound=Callable[..., object])

FOLLOW_S = 0.2


@click.group("daemon")
def command() -> None:
    """Start, stop or look at this project's daemon.

    `lambdad fresh` starts the daemon by itself. The daemon keeps in memory what builds need. It
    leaves after half an hour without a request (LAMBDAD_IDLE_S), and is replaced when the version
    of lambdad or the settings in its environment change.
    """


def in_project(function: Command) -> Command:
    """Adds --project."""
    return click.option(
        "--project",
        metavar="DIR",
        type=click.Path(file_okay=False),
        help="The project's folder. [default: found from here upwards]",
    )(function)


@command.command("start")
@in_project
def start(project: str | None) -> int:
    """Start the daemon, unless one answers; it needs no terminal and keeps no pipe open.

    A daemon of another version or configuration is replaced.
    """
    root = _root(project)
    with _faults():
        started = control.start(root, os.environ)
    how = "started" if started else "already running"
    click.echo(f"{how}: {address(root, os.environ).socket}", err=True)
    return 0


@command.command("stop")
@in_project
def stop(project: str | None) -> int:
    """Stop the daemon, with everything it started; returns once all is gone.

    It first answers what it can within 3 seconds. Nothing to stop is fine.
    """
    root = _root(project)
    with _faults():
        stopped = control.stop(root, os.environ)
    click.echo("stopped" if stopped else "none was running", err=True)
    return 0


@command.command("restart")
@in_project
def restart(project: str | None) -> int:
    """Stop the daemon if one runs, and start it with this shell's environment.

    What is fresh stays fresh: nothing is built again for it.
    """
    root = _root(project)
    with _faults():
        control.restart(root, os.environ)
    click.echo(f"started: {address(root, os.environ).socket}", err=True)
    return 0


@command.command("address")
@in_project
def show_address(project: str | None) -> int:
    """Print the path of the daemon's socket, for clients of your own.

    Exit code: 0 a daemon answers there; 1 none runs.
    """
    where = address(_root(project), os.environ)
    with _faults():
        running = control.is_running(where)
    if not (running and exchange.is_alive(where.socket)):
        return 1
    click.echo(where.socket)
    return 0


@command.command("status")
@in_project
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def status(project: str | None, as_json: bool) -> int:
    """Show whether a daemon runs, its health, and the state of each function.

    Exit code: 0 a daemon answers; 1 none runs; 2 one runs and does not answer.
    """
    root = _root(project)
    where = address(root, os.environ)
    with _faults():
        running = control.is_running(where)
    if not running:
        click.echo(json.dumps({"schema": 1, "running": False}) if as_json else "not running")
        return 1
    note = read_note(where) or {}
    told: dict[str, Any] = {
        "schema": 1,
        "running": True,
        **{name: note.get(name) for name in ("pid", "version", "python", "project")},
        "socket": where.socket,
        "log": where.log,
    }
    try:
        code, answer = asking.request(root, "GET", "/v1/status", timeout_s=30, start=False)
        answers = code == 200
        told |= answer if answers else {"fault": answer.get("detail")}
    except NoDaemon as fault:
        answers = False
        told["fault"] = str(fault)
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        for line in _lines(told):
            click.echo(line)
    return 0 if answers else 2


@command.command("logs")
@in_project
@click.option("--follow", "-f", is_flag=True, help="Go on until interrupted.")
def logs(project: str | None, follow: bool) -> int:
    """Print the daemon's log; if none runs, that of the last one.

    At most about 2 MB are kept.
    """
    where = address(_root(project), os.environ)
    with _faults():
        _copy(f"{where.log}.1")
        at = _copy(where.log)
        if follow:
            _follow(where.log, at)
    return 0


@contextlib.contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except NoDaemon as fault:
        hint = "lambdad build and lambdad fresh work without it; lambdad daemon logs may say more"
        raise BundlerError("no-daemon", str(fault), hint) from fault


def _root(project: str | None) -> str:
    """The project's folder; a folder that was named is taken as it is if nothing describes it.

    Its daemon may still run when its configuration is gone, or it is itself.
    """
    found = finding.find_project(project or os.getcwd())
    if found is not None:
        return found
    return os.path.realpath(project) if project else project_folder(os.getcwd())


def _lines(told: dict[str, Any]) -> Iterator[str]:
    yield f"running: pid {told['pid']}, lambdad {told['version']}"
    if fault := told.get("fault"):
        yield f"  does not answer: {fault}"
    for name, value in told.items():
        if name in {"schema", "running", "pid", "version", "functions", "fault"}:
            continue
        yield f"  {name.removesuffix('_s'):<10} {_shown(name, value)}"
    for name, item in (told.get("functions") or {}).items():
        last = ", ".join(f"{want} {how}" for want, how in item.get("last", {}).items())
        yield f"  {item.get('state', ''):<10} {name}{f' ({last})' if last else ''}"


def _shown(name: str, value: object) -> str:
    if name.endswith("_s") and isinstance(value, int | float):
        return duration_text(value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(key, item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "none"
    return "none" if value is None else str(value)


def _copy(path: str, start: int = 0) -> int:
    """Prints the file from there on; returns where it ended. Raises NoDaemon."""
    try:
        with open(open_ours(path, os.O_RDONLY), "rb") as file:
            file.seek(start)
            sys.stdout.buffer.write(file.read())
            sys.stdout.flush()
            return file.tell()
    except FileNotFoundError:
        return 0


def _follow(path: str, at: int) -> None:
    inode = _inode(path)
    while True:
        time.sleep(FOLLOW_S)
        if (now := _inode(path)) != inode:  # it went on in a new file
            at, inode = 0, now
        at = _copy(path, at)


def _inode(path: str) -> int | None:
    try:
        return os.lstat(path).st_ino
    except FileNotFoundError:
        return None
