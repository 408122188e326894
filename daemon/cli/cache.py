"""`lambdad cache`: what the shared store holds, and how it is emptied."""

from __future__ import annotations

import json
import os
import re

import click

from lambdad.bundler.report.shown import size_text
from lambdad.bundler.store import prune
from lambdad.bundler.store.store import Store, cache_folder

_UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9}


class Size(click.ParamType[int]):
    """A size such as 500MB or 2GB, as a number of bytes."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, context: click.Context | None
    ) -> int:
        match = re.fullmatch(r"(\d+)\s*(kB|MB|GB)", str(value))
        if match is None:
            self.fail(f"{value}: write it as 500MB or 2GB", param, context)
        return int(match[1]) * _UNITS[match[2]]


@click.group("cache", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Show the store that all your projects share, or prune it.

    The store holds wheels, dependency segments, answers of resolvers and the esbuild binary: all of
    it can be fetched or made again. LAMBDAD_CACHE_DIR names another folder.
    """
    if context.invoked_subcommand is not None:
        return
    store = _store()
    usage = prune.usage(store)
    if as_json:
        kinds = {item.kind: {"entries": item.entries, "bytes": item.size} for item in usage}
        click.echo(json.dumps({"schema": 1, "path": str(store.root), "kinds": kinds}, indent=2))
        return
    click.echo(store.root)
    for item in usage:
        click.echo(f"  {item.kind:<10} {item.entries:>6} {size_text(item.size):>10}")
    click.echo(f"  {'in all':<10} {'':>6} {size_text(sum(item.size for item in usage)):>10}")


@command.command("prune")
@click.option("--days", type=click.IntRange(min=0), help="Remove what was unused for so many days.")
@click.option("--max-size", type=Size(), help="Keep this much: the least recently used goes first.")
def prune_command(days: int | None, max_size: int | None) -> None:
    """Remove what is not used: everything, unless --days or --max-size keeps some.

    A build that runs meanwhile fetches again what it misses.
    """
    if days is None and max_size is None:
        days = 0
    count, freed = prune.prune(_store(), unused_days=days, max_bytes=max_size)
    click.echo(f"removed {count} entries, {size_text(freed)}")


def _store() -> Store:
    return Store(cache_folder(dict(os.environ)))
