"""Decorators that want metadata of types, which esbuild does not write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lambdad.bundler.model import Location
from lambdad.bundler.zips.member import Contents
from tests.conftest import Tree, write_tree
from tests.support.esbuild_cases import (
    pack,
    requests,
    service,
    workshop_of,
)

DECORATORS = {"experimentalDecorators": True}
ON = json.dumps({"compilerOptions": {**DECORATORS, "emitDecoratorMetadata": True}})
OFF = json.dumps({"compilerOptions": DECORATORS})
SOURCE = """\
const column = (_target: object, _name: string): void => {};

export class Note {
  @column
  text: string = "";
}
export const handler = async () => new Note().text;
"""


def told(root: Path, files: Tree, **options: Any) -> list[Location | None]:
    write_tree(root, {"src/app.ts": SOURCE, **files})
    one = {"name": "One", "code": "src", "handler": "app.handler", "esbuild": options}
    found = pack(requests({"functions": [one]}), workshop_of(root), service())["One"]
    assert isinstance(found, Contents)
    codes = [item for item in found.diagnostics if item.code == "decorator-metadata"]
    return [item.where for item in codes]


@pytest.mark.parametrize(
    "files",
    [
        {"src/tsconfig.json": ON},
        {"tsconfig.json": ON},
        {"src/tsconfig.json": '{"extends": "../base.json"}', "base.json": ON},
        {"src/tsconfig.json": f"// ours\n{ON[:-1]},\n}}"},
    ],
)
@pytest.mark.parametrize("minify", [False, True])
def test_told_at_the_decorator(tmp_path: Path, files: Tree, minify: bool) -> None:
    """Wherever the tsconfig.json lies that esbuild takes for the source."""
    assert told(tmp_path, files, minify=minify) == [Location("src/app.ts", 4, 1)]


@pytest.mark.parametrize(
    "files",
    [
        {"tsconfig.json": OFF},
        {"tsconfig.json": ON, "src/tsconfig.json": OFF},
        {
            "src/tsconfig.json": '{"extends": "../b.json", "compilerOptions": '
            '{"emitDecoratorMetadata": false}}',
            "b.json": ON,
        },
        {"tsconfig.json": ON, "src/app.ts": "/** @column\n */\nexport const handler = 1;\n"},
    ],
)
def test_not_told_without_need(tmp_path: Path, files: Tree) -> None:
    """Metadata that nobody asks for, and sources without a decorator."""
    assert told(tmp_path, files) == []
