"""Starts esbuild: as a service where its protocol holds, else as a command for each build."""

from __future__ import annotations

import tempfile
from typing import Final

from lambdad.bundler.esbuild import binary
from lambdad.bundler.esbuild.engine import Esbuild, EsbuildGone, EsbuildJob
from lambdad.bundler.esbuild.oneshot import OneShot
from lambdad.bundler.esbuild.service import EsbuildService
from lambdad.bundler.workshop import Workshop

_SOURCE: Final = "export const answer: number = 6 * 7\n"
_GOLDEN: Final = b"// golden.ts\nvar answer = 6 * 7;\nexport {\n  answer\n};\n"


def start(workshop: Workshop, *, soft_limit: int | None = None) -> Esbuild:
    """esbuild, ready to build; close() it. `soft_limit` as in Service. Raises BundlerError as
    binary.find does."""
    path = binary.find(workshop)
    try:
        service = EsbuildService(path, binary.VERSION, soft_limit)
    except EsbuildGone as fault:
        workshop.say(f"esbuild's service does not start ({fault}); running it once per build")
        return OneShot(path, workshop.environ)
    if unexpected := prove(service):
        service.close()
        workshop.say(f"esbuild's service can't be used ({unexpected}); running it once per build")
        return OneShot(path, workshop.environ)
    return service


def prove(esbuild: Esbuild) -> str | None:
    """Builds one known file: None if all of the answer is as expected, else what is not."""
    with tempfile.TemporaryDirectory(prefix="lambdad-golden-") as folder:
        with open(f"{folder}/golden.ts", "w", encoding="utf-8") as file:
            file.write(_SOURCE)
        job = EsbuildJob(
            entries=(("golden", f"{folder}/golden.ts"),),
            flags=("--bundle", "--format=esm", "--platform=node"),
            folder=folder,
            out_folder=folder,
        )
        try:
            output = esbuild.build(job)
        except (EsbuildGone, ValueError, LookupError, TypeError) as fault:
            return f"{type(fault).__name__}: {fault}"
    if output.errors or output.warnings:
        return (output.errors or output.warnings)[0].text
    if dict(output.files) != {"golden.js": _GOLDEN}:
        return "it gave another output than it should"
    if output.metafile.get("outputs", {}).get("golden.js", {}).get("exports") != ["answer"]:
        return "its metafile is not as it should be"
    return None
