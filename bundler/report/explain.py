"""What is shown of a function's last build: what it took in, and what would make it stale."""

from __future__ import annotations

from lambdad.bundler.model import Function, Names, Project, Stems, Want
from lambdad.bundler.store import freshness
from lambdad.bundler.store.freshness import Fresh
from lambdad.bundler.store.project_folder import ProjectFolder
from lambdad.bundler.store.record import Record
from lambdad.bundler.toolchain import request_of


def stale_because(
    project: Project, function: Function, known: Record | None, want: Want = Want.ZIP
) -> tuple[str, ...]:
    """Why the last build no longer holds; empty if it does."""
    verdict = freshness.check(
        ProjectFolder(project.root), request_of(project, function, want=want), known
    )
    return () if isinstance(verdict, Fresh) else verdict.reasons


def document(function: str, stale: tuple[str, ...], known: Record | None) -> dict[str, object]:
    """As `lambdad why --json` prints it and the daemon answers it."""
    answer: dict[str, object] = {
        "schema": 1,
        "name": function,
        "fresh": not stale,
        "stale_because": list(stale),
    }
    if known is not None:
        answer["last_build"] = {
            "succeeded": known.succeeded,
            "reasons": list(known.reasons),
            "duration_ms": round(known.duration_s * 1000, 1),
            "sha256": known.artifact.sha256 if known.artifact else None,
            "request": known.request,
            "files": sorted(path for path, key in known.inputs.files.items() if key),
            "absent": sorted(path for path, key in known.inputs.files.items() if not key),
            "symlinks": sorted(known.inputs.links),
            "folders": {
                path: counted_text(listing.counted)
                for path, listing in known.inputs.listings.items()
            },
        }
    return answer


def counted_text(names: Names) -> str:
    """Which names of a folder count, in words."""
    if isinstance(names, Stems):
        return ", ".join(sorted(names.names))
    left_out = f", less {', '.join(names.patterns)}" if names.patterns else ""
    return f"any name{left_out}"
