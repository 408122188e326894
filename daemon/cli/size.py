"""`lambdad size`: what takes the space in a function's zip, and what grew since the last build."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from lambdad.bundler.model import Function, Method, Project
from lambdad.bundler.report import sizes
from lambdad.bundler.report.shown import paint_for, size_text
from lambdad.bundler.report.sizes import Change, Comparison, Package, SizedFile, Sizes
from lambdad.bundler.store.disk import disk_faults
from lambdad.bundler.store.project_folder import ProjectFolder
from lambdad.bundler.zips import zip_sources
from lambdad.bundler.zips.limits import UNZIPPED, ZIPPED
from lambdad.daemon.cli import project as projects
from lambdad.daemon.cli.build import ask_daemon, build_here, is_plain
from lambdad.daemon.terminal.answer import MACHINE, Results

if TYPE_CHECKING:
    from lambdad.bundler.report.shown import Paint

LAST: Final = "the build before"
"""The value of --compare without a file."""
PACKAGES: Final = 25
"""Packages that are listed; the smaller ones are summed up."""

_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A function's zip as it is now."""

    name: str
    artifact: dict[str, Any]
    sizes: Sizes


@click.command(
    "size",
    epilog="""The function is built first if it is stale. A package is a Python distribution, an npm
package, or your own code. In a bundle, each source counts with its bytes there; its part of the zip
is in proportion.

\b
Examples:
  lambdad size ListNotes                       what is large in it
  lambdad size ListNotes --compare             what grew and shrank with the last build
  lambdad size ListNotes --compare old.zip     ... against another zip
  lambdad size ListNotes --html size.html      a picture

Exit code: 0; 1 the function could not be built; 2 usage or machine.""",
)
@click.argument("function", required=False)
@projects.options
@click.option(
    "--files",
    "most",
    metavar="N",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="The number of files to list.",
)
@click.option("--all", "show_all", is_flag=True, help="List every package and file.")
@click.option(
    "--compare",
    "other",
    metavar="[FILE.zip]",
    is_flag=False,
    flag_value=LAST,
    help="Show what grew and shrank: since the build before, or against another zip.",
)
@click.option(
    "--html",
    "picture",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Write a treemap there: a page that needs no network.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    function: str | None,
    place: projects.CommandPlace,
    most: int,
    other: str | None,
    picture: str | None,
    **flags: bool,
) -> int:
    """Show what takes the space in FUNCTION's zip, by package and by file, zipped and unzipped."""
    if function is None and other not in (None, LAST):  # --compare took it for its own value
        function, other = other, LAST
    if function is None:
        raise click.UsageError("Missing argument 'FUNCTION'.")
    app = projects.read(place)
    found = _measure(app, function, place, as_json=flags["as_json"])
    if isinstance(found, int):
        return found
    compared = _compare(app, found, other) if other is not None else None
    if picture is not None:
        from lambdad.bundler.report import treemap

        try:
            with open(picture, "w", encoding="utf-8") as file:
                file.write(treemap.page(found.name, found.sizes))
        except OSError as fault:
            raise click.FileError(picture, fault.strerror or str(fault)) from fault
    if flags["as_json"]:
        click.echo(json.dumps(_document(found, other, compared), indent=2))
        return 0
    files = len(found.sizes.files) if flags["show_all"] else most
    packages = len(found.sizes.packages) if flags["show_all"] else PACKAGES
    for line in _head(found, compared, paint_for(sys.stdout)):
        click.echo(line)
    if compared is not None:
        lines = _changes(compared, None if flags["show_all"] else most)
    elif other is not None:
        lines = iter(("", "there is no build before this one to compare with"))
    else:
        lines = _contents(found.sizes, packages, files)
    for line in lines:
        click.echo(line)
    if picture is not None:
        click.echo(f"\n{picture} shows it")
    return 0


# --- measuring -------------------------------------------------------------------------------


def _measure(
    app: Project, name: str, place: projects.CommandPlace, *, as_json: bool
) -> Measured | int:
    """The function's zip, built now if it was stale; else the exit code, once the reason is
    printed."""
    wanted, not_built = projects.select(app, (name,))
    with Results(app.root, as_json=as_json, verbose=False, news_only=True, lines=False) as results:
        for force in (False, True):
            told = None
            if not force and is_plain(app, place):
                names = [*(item.name for item in wanted), *(item.name for item in not_built)]
                told = ask_daemon(app.root, names, results, quiet=as_json)
            if told is None:
                told = build_here(app, wanted, not_built, results, force=force)
            (item,) = told["functions"]
            if item["status"] != "built":
                return _not_built(item, as_json=as_json)
            artifact = item["artifact"]
            known = zip_sources.load(projects.state_of(app), item["name"])
            if known is not None and known.sha256 != artifact["sha256"]:
                known = None
            # A build from before such things were noted, or whose note was lost: only another
            # build shows what is in a bundle.
            if known is not None or not _is_bundled(wanted):
                break
    zip_file = ProjectFolder(app.root).at(artifact["immutable_path"])
    with disk_faults(), zip_file.open() as file:
        measured = sizes.of_zip(file, known)
    return Measured(name=item["name"], artifact=artifact, sizes=measured)


def _is_bundled(wanted: Sequence[Function]) -> bool:
    return any(function.method is Method.ESBUILD for function in wanted)


def _not_built(item: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        kept = {key: item[key] for key in ("name", "status", "diagnostics")}
        click.echo(json.dumps({"schema": 1, **kept}, indent=2))
    else:
        reasons = "; ".join(one["message"] for one in item["diagnostics"])
        told = f": {reasons}" if item["status"] == "skipped" else ""
        click.echo(f"{item['name']} is {item['status']}{told}")
    if item.get("machine_fault"):
        return MACHINE
    return 0 if item["status"] == "skipped" else 1


def _compare(app: Project, found: Measured, other: str) -> Comparison | None:
    """None: there is nothing to compare with. Raises click.UsageError."""
    if other == LAST:
        former = zip_sources.load_former(projects.state_of(app), found.name)
        if former is None:
            return None
        try:
            return sizes.compare(sizes.of_former(former, found.sizes), found.sizes)
        except (OSError, zipfile.BadZipFile):
            return None
    try:
        with open(other, "rb") as file:
            return sizes.compare(sizes.of_zip(file, like=found.sizes), found.sizes)
    except (OSError, zipfile.BadZipFile) as fault:
        raise click.UsageError(f"--compare {other}: {fault}") from fault


# --- for people ------------------------------------------------------------------------------


def _head(found: Measured, compared: Comparison | None, paint: Paint) -> Iterator[str]:
    yield f"{paint(found.name, 'bold')}  {found.artifact['path']}"
    now = found.sizes
    before = compared.before if compared is not None else None
    for what, size, was, limit, rule in (
        ("zip", now.zipped, before.zipped if before else 0, ZIPPED, "for an upload"),
        ("unzipped", now.unzipped, before.unzipped if before else 0, UNZIPPED, "layers included"),
    ):
        change = f"{_signed(size - was):>11}" if before is not None else ""
        share = f"{_share(size, limit)} of Lambda's {limit // _MIB} MiB {rule}"
        yield f"  {what:<8} {size_text(size):>10}{change}  {share}"


def _contents(found: Sizes, packages: int, files: int) -> Iterator[str]:
    yield f"\n{'UNZIPPED':>10} {'ZIP':>10} {'SHARE':>6}  PACKAGE"
    for one in found.packages[:packages]:
        yield _row(one, found, _package_text(one))
    if small := found.packages[packages:]:
        unzipped, zipped = sum(one.unzipped for one in small), sum(one.zipped for one in small)
        share = _share(unzipped, found.unzipped)
        text = f"{len(small)} smaller ones (--all lists them)"
        yield f"{size_text(unzipped):>10} {size_text(zipped):>10} {share:>6}  {text}"
    if not files:
        return
    yield f"\n{'UNZIPPED':>10} {'ZIP':>10} {'SHARE':>6}  FILE"
    for file in found.files[:files]:
        yield _row(file, found, _file_text(file.path, file.bundle, found.bundles))
    if (more := len(found.files) - files) > 0:
        yield f"and {more} more (--all lists them)"


def _row(one: SizedFile | Package, found: Sizes, text: str) -> str:
    share = _share(one.unzipped, found.unzipped)
    return f"{size_text(one.unzipped):>10} {size_text(one.zipped):>10} {share:>6}  {text}"


def _package_text(one: Package) -> str:
    files = f"{one.files} file{'s' if one.files > 1 else ''}"
    return (
        f"{one.name} ({files}, {one.copies} copies)" if one.copies > 1 else f"{one.name} ({files})"
    )


def _file_text(path: str, bundle: str | None, bundles: frozenset[str]) -> str:
    text = f"{path} in {bundle}" if bundle is not None and len(bundles) > 1 else path
    # Any zip may be compared with, and a terminal obeys control characters in a name.
    return text if text.isprintable() else ascii(text)


def _changes(compared: Comparison, most: int | None) -> Iterator[str]:
    if compared.whole:
        told = ", ".join(compared.whole)
        yield f"\n{told} as a whole: the other zip does not record what went into it"
    if not compared.packages and not compared.files:
        yield "\nnothing grew or shrank"
        return
    bundles = compared.before.bundles | compared.now.bundles
    for title, changes, limit in (
        ("PACKAGE", compared.packages, None if most is None else PACKAGES),
        ("FILE", compared.files, most),
    ):
        if not changes or limit == 0:
            continue
        yield f"\n{'UNZIPPED':>10} {'CHANGE':>10} {'ZIP':>10} {'CHANGE':>10}  {title}"
        for one in changes[:limit]:
            yield _change_row(one, bundles)
        if limit is not None and len(changes) > limit:
            yield f"and {len(changes) - limit} more (--all lists them)"


def _change_row(one: Change, bundles: frozenset[str]) -> str:
    unzipped, zipped = one.now
    mark = " (new)" if not any(one.before) else " (gone)" if not any(one.now) else ""
    return (
        f"{size_text(unzipped):>10} {_signed(one.unzipped):>10} "
        f"{size_text(zipped):>10} {_signed(one.zipped):>10}  "
        f"{_file_text(one.name, one.bundle, bundles)}{mark}"
    )


def _signed(size: int) -> str:
    if not size:
        return "="
    return f"{'+' if size > 0 else '-'}{size_text(abs(size))}"


def _share(size: int, whole: int) -> str:
    return f"{100 * size / max(1, whole):.1f}%"


# --- for programs ----------------------------------------------------------------------------


def _document(found: Measured, other: str | None, compared: Comparison | None) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "schema": 1,
        "name": found.name,
        "status": "built",
        "artifact": found.artifact,
        "limits": {"size": ZIPPED, "unzipped_size": UNZIPPED},
        "packages": [
            {
                "name": one.name,
                "kind": one.kind.value,
                **_sizes(one.zipped, one.unzipped),
                "files": one.files,
                "copies": one.copies,
            }
            for one in found.sizes.packages
        ],
        "files": [
            {
                **_named(one.path, one.bundle),
                "kind": one.kind.value,
                "package": one.package,
                **_sizes(one.zipped, one.unzipped),
            }
            for one in found.sizes.files
        ],
    }
    if other is not None:
        answer["compare"] = _comparison(other, compared) if compared is not None else None
    return answer


def _comparison(other: str, compared: Comparison) -> dict[str, Any]:
    return {
        "with": other,
        **_sizes(compared.before.zipped, compared.before.unzipped),
        "packages": [{"name": one.name, **_change(one)} for one in compared.packages],
        "files": [{**_named(one.name, one.bundle), **_change(one)} for one in compared.files],
        "whole": list(compared.whole),
    }


def _change(one: Change) -> dict[str, Any]:
    return {
        "kind": one.kind.value,
        "before": _sizes(one.before[1], one.before[0]),
        "now": _sizes(one.now[1], one.now[0]),
    }


def _named(path: str, bundle: str | None) -> dict[str, str]:
    return {"path": path} if bundle is None else {"path": path, "bundle": bundle}


def _sizes(zipped: int, unzipped: int) -> dict[str, int]:
    """Under the names that an artifact's have."""
    return {"size": zipped, "unzipped_size": unzipped}
