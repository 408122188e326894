"""What a bundle would stumble over on Lambda though esbuild built it. Only what is certain is
reported."""

from __future__ import annotations

import os

from lambdad.bundler import aws_sdk
from lambdad.bundler.esbuild import exports
from lambdad.bundler.esbuild import options as table
from lambdad.bundler.esbuild.engine import EsbuildOutput
from lambdad.bundler.esbuild.outputs import Share
from lambdad.bundler.esbuild.plan import BundlePlan
from lambdad.bundler.inputs.reading import SOURCE
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.model import Diagnostic, InputSet, error, warning
from lambdad.bundler.workshop import Workshop


def missing_export(
    one: BundlePlan, output: EsbuildOutput, made: Share, seen: Seen
) -> Diagnostic | None:
    """The bundle does not export what Handler names."""
    function = one.function
    chosen = dict(function.esbuild)
    if function.handler.export is None or chosen.get("platform", "node") != "node":
        return None
    if chosen.get("footer") or chosen.get("banner"):
        return None  # they may export anything
    path = one.entries[0][1]
    try:
        source = seen.content(path, SOURCE)
    except OSError:
        return None  # vanished meanwhile: the next check of the inputs finds it
    names = exports.missing(
        function.handler.export,
        bundle=made.files[made.handler],
        source=source,
        entry=made.record["entryPoint"],
        metafile=output.metafile,
        output=made.record,
        esm=chosen.get("format") == "esm",
    )
    if names is None:
        return None
    wanted = function.handler.export.split(".", 1)[0]
    if not names:
        hint = f"it exports nothing; export {wanted}"
    elif (
        names == ("default",)
        and output.metafile["inputs"][made.record["entryPoint"]].get("format") == "cjs"
    ):
        hint = 'it is CommonJS, which as an ES module exports only "default"; use format = "cjs"'
    else:
        import difflib

        shown = ", ".join(f'"{name}"' for name in names)
        near = (*difflib.get_close_matches(wanted, names, n=1), names[0])[0]
        hint = f"it exports {shown}; write {function.handler.module}.{near}"
    return error(
        "missing-export",
        f'{seen.relative(path)} does not export "{wanted}"',
        function.handler_where,
        hint,
    )


def sdk_v2(one: BundlePlan, made: Share) -> tuple[Diagnostic, ...]:
    """The user made AWS SDK v2 external on a runtime that has none."""
    function = one.function
    brought = function.layers or aws_sdk.V2 in function.install
    if brought or aws_sdk.provided(function.runtime, aws_sdk.V2) or aws_sdk.V2 not in one.left_out:
        return ()
    wanted = any(
        item.get("external") and item["path"].split("/")[0] == aws_sdk.V2
        for item in made.record["imports"]
    )
    if not wanted:
        return ()
    return (
        warning(
            "aws-sdk-v2-missing",
            f"aws-sdk is external, but {function.runtime.name} has no AWS SDK v2",
            function.where,
            "remove it from `external` and install it, or move to v3, such as @aws-sdk/client-s3",
        ),
    )


def archives(
    one: BundlePlan, made: Share, inputs: InputSet, workshop: Workshop
) -> tuple[Diagnostic, ...]:
    """The place of Plug'n'Play's archives on this machine is in the bundle: in the comments that
    name sources, or in its source map."""
    outside = {
        os.path.dirname(os.path.normpath(workshop.absolute(path)))
        for path in inputs.files
        if path.startswith("../") and path.endswith(".zip")
    }
    told = []
    for folder in sorted(outside):
        if f"{folder}/".startswith(f"{workshop.repository}/"):
            continue
        shown = os.path.relpath(folder, one.folder)
        below = "/".join(part for part in shown.split("/") if part != "..")
        if any(f"/{below}/".encode() in content for content in made.files.values()):
            told.append(shown)
    return tuple(
        warning(
            "plug-and-play",
            f"packages come from Yarn's archives in {shown}, and that path is in the bundle: on "
            "another machine it has other bytes",
            one.function.where,
            "set `enableGlobalCache: false` in .yarnrc.yml and run `yarn install`; or minify, "
            "without a source map",
        )
        for shown in told
    )


def requires(one: BundlePlan, made: Share) -> tuple[Diagnostic, ...]:
    """An ES module has no `require`: what CommonJS code in it requires from outside fails."""
    chosen = dict(one.function.esbuild)
    if chosen.get("format") != "esm":
        return ()
    if any("require" in text for _kind, text in table.pairs(chosen.get("banner"))):
        return ()
    names = sorted(
        {
            item["path"]
            for item in made.record["imports"]
            if item.get("external") and item["kind"] == "require-call"
        }
    )
    if not names:
        return ()
    return (
        warning(
            "require-in-esm",
            f"the bundle is an ES module, and code in it requires {', '.join(names)}",
            one.function.where,
            "set banner = { js = \"import { createRequire } from 'node:module'; "
            'const require = createRequire(import.meta.url);" }',
        ),
    )
