from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.bundler.esbuild.engine import EsbuildJob
from lambdad.bundler.esbuild.exports import missing
from tests.support.esbuild_cases import service

CASES: list[tuple[str, str, tuple[str, ...] | None]] = [
    ("export const handler = 1", "handler", None),
    ("export const handler = 1", "handler.inner", None),
    ("export const main = 1, b = 2", "handler", ("b", "main")),
    ("const a = 1; export { a as handler }", "handler", None),
    ("const a = 1; export { a as 'x-y' }", "handler", ("x-y",)),
    ("export default () => 1", "default", None),
    ("export { handler } from './esm.js'", "handler", None),
    ("export * from './esm.js'", "handler", None),
    ("export * from './esm.js'", "nothing", ("handler",)),
    ("export * from './cjs.js'", "nothing", None),
    ("export * from 'node:fs'", "nothing", None),
    ("import './esm.js'; console.log(1)", "handler", ()),
    ("import './esm.js'; exports.handler = 1", "handler", None),
    ("export const a = 1; module.exports = { handler: 2 }", "handler", None),
    ("exports.anything = 1", "handler", None),
    ("module.exports = require('./cjs.js')", "handler", None),
    ("console.log('0 && (module.exports = { handler })'); export {}", "handler", None),
]


@pytest.mark.parametrize("minify", [False, True])
@pytest.mark.parametrize(("source", "export", "expected"), CASES)
def test_commonjs(
    source: str, export: str, expected: tuple[str, ...] | None, minify: bool, tmp_path: Path
) -> None:
    """A missing export is reported with what there is; whatever is not certain passes."""
    assert look(source, export, tmp_path, esm=False, minify=minify) == expected


@pytest.mark.parametrize(
    ("source", "export", "expected"),
    [
        ("export const handler = 1", "handler", None),
        ("export const main = 1", "handler", ("main",)),
        ("export * from './esm.js'", "handler", None),
        ("export * from 'node:fs'", "handler", None),
        ("export * from './esm.js'", "nothing", ("handler",)),
        ("exports.handler = 1", "handler", ("default",)),
        ("console.log(1)", "handler", ()),
    ],
)
def test_esm(source: str, export: str, expected: tuple[str, ...] | None, tmp_path: Path) -> None:
    """An ES module's exports are known, but for those of external modules."""
    assert look(source, export, tmp_path, esm=True, minify=False) == expected
    assert look(source, export, tmp_path, esm=True, minify=True) == expected


def look(
    source: str, export: str, folder: Path, *, esm: bool, minify: bool
) -> tuple[str, ...] | None:
    (folder / "index.js").write_text(source)
    (folder / "esm.js").write_text("export const handler = 1")
    (folder / "cjs.js").write_text("exports.any = 1")
    output = service().build(
        EsbuildJob(
            entries=(("out", f"{folder}/index.js"),),
            flags=(
                "--bundle",
                "--platform=node",
                f"--format={'esm' if esm else 'cjs'}",
                f"--minify={str(minify).lower()}",
            ),
            folder=str(folder),
            out_folder=str(folder),
        )
    )
    return missing(
        export,
        bundle=output.files["out.js"],
        source=source.encode(),
        entry="index.js",
        metafile=output.metafile,
        output=output.metafile["outputs"]["out.js"],
        esm=esm,
    )
