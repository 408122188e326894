"""The way from a handler to its function, in sources of every shape."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.daemon.lsp.source import EditorSources, NamedPlace, in_python, in_script
from tests.conftest import Tree, write_tree

PYTHON: dict[str, tuple[Tree, str]] = {
    "function": ({"a.py": "x = 1\n\ndef handler(event, context): ...\n"}, "a.py:3:5"),
    "async": ({"a.py": "async def handler(event, context): ...\n"}, "a.py:1:11"),
    "decorated": ({"a.py": "@wrap\n@other\ndef handler(e, c): ...\n"}, "a.py:3:5"),
    "lambda": ({"a.py": "handler = lambda e, c: 1\n"}, "a.py:1:1"),
    "annotated": ({"a.py": "handler: object = make()\n"}, "a.py:1:1"),
    "of several": ({"a.py": "first, handler = make()\n"}, "a.py:1:8"),
    "the last": ({"a.py": "def handler(): ...\nhandler = wrap(handler)\n"}, "a.py:2:1"),
    "conditional": ({"a.py": "try:\n    x\nexcept E:\n    def handler(e, c): ...\n"}, "a.py:4:9"),
    "class": ({"a.py": "class handler: ...\n"}, "a.py:1:7"),
    "wide characters": ({"a.py": "'\N{PILE OF POO}'; handler = 1\n"}, "a.py:1:6"),
    "in a function": ({"a.py": "def f():\n    def handler(): ...\n"}, ""),
    "broken": ({"a.py": "x = (\ndef handler(event, context):\n"}, "a.py:2:5"),
    "imported": (
        {"a.py": "from lib.b import main as handler\n", "lib/b.py": "\ndef main(e, c): ...\n"},
        "lib/b.py:2:5",
    ),
    "relative": (
        {"a.py": "from .b import handler\n", "b.py": "def handler(e, c): ...\n"},
        "b.py:1:5",
    ),
    "package": (
        {"a.py": "from lib import handler\n", "lib/__init__.py": "def handler(): ...\n"},
        "lib/__init__.py:1:5",
    ),
    "from elsewhere": ({"a.py": "from mangum import handler\n"}, "a.py:1:20"),
    "in a circle": (
        {"a.py": "from b import handler\n", "b.py": "from a import handler\n"},
        "a.py:1:15",
    ),
    "absent": ({"a.py": "def other(): ...\n"}, ""),
    "empty": ({"a.py": ""}, ""),
    "binary": ({"a.py": b"\0\xff\xfe"}, ""),
}
SCRIPTS: dict[str, tuple[Tree, str]] = {
    "function": ({"a.ts": "\nexport async function handler(e: Event) {}\n"}, "a.ts:2:23"),
    "generator": ({"a.ts": "export function* handler() {}\n"}, "a.ts:1:18"),
    "const": ({"a.ts": "export const handler: Handler<E> = async () => 1;\n"}, "a.ts:1:14"),
    "of several": ({"a.ts": "export const a = [1, 2], handler = f(a, b);\n"}, "a.ts:1:26"),
    "class": ({"a.ts": "export abstract class handler {}\n"}, "a.ts:1:23"),
    "clause": ({"a.ts": "const handler = 1;\nexport { other, handler };\n"}, "a.ts:1:7"),
    "renamed": ({"a.ts": "function main() {}\nexport { main as handler };\n"}, "a.ts:1:10"),
    "default": ({"a.ts": "export default handler;\n"}, ""),
    "passed on": (
        {"a.ts": 'export { main as handler } from "./b";\n', "b.ts": "export const main = 1;\n"},
        "b.ts:1:14",
    ),
    "by its name to be": (
        {"a.ts": 'export { handler } from "./b.js";\n', "b.ts": "export const handler = 1;\n"},
        "b.ts:1:14",
    ),
    "star": (
        {"a.ts": 'export * from "./lib";\n', "lib/index.ts": "export const handler = 1;\n"},
        "lib/index.ts:1:14",
    ),
    "from elsewhere": ({"a.ts": 'export { handler } from "pkg";\n'}, "a.ts:1:10"),
    "in a circle": ({"a.ts": 'export * from "./a";\n'}, ""),
    "commonjs": ({"a.ts": "const x = 1;\nexports.handler = async () => x;\n"}, "a.ts:2:9"),
    "module": ({"a.ts": "module.exports.handler = async () => 1;\n"}, "a.ts:1:16"),
    "object": ({"a.ts": "module.exports = { other, handler: f };\n"}, "a.ts:1:27"),
    "method": ({"a.ts": "module.exports = { async handler() { x } };\n"}, "a.ts:1:26"),
    "in a comment": ({"a.ts": "// export const handler\nexport const handler = 1;\n"}, "a.ts:2:14"),
    "in a text": ({"a.ts": "const x = 'export const handler';\n"}, ""),
    "not exported": ({"a.ts": "const handler = 1;\n"}, ""),
    "compared": ({"a.ts": "exports.handler == 1;\nexports.handler = 1;\n"}, "a.ts:2:9"),
    "in doubt": ({"a.ts": "x = `${\nexport const handler = 1;\n"}, "a.ts:2:14"),
    "wide characters": ({"a.ts": "'\N{PILE OF POO}'; exports.handler = 1\n"}, "a.ts:1:14"),
    "empty": ({"a.ts": ""}, ""),
}


def _shown(place: NamedPlace | None, folder: Path) -> str:
    if place is None:
        return ""
    name = Path(place.path).relative_to(folder)
    return f"{name}:{place.span.line + 1}:{place.span.start + 1}"


@pytest.mark.parametrize("case", PYTHON)
def test_python(tmp_path: Path, case: str) -> None:
    """A name of a Python module is found where it is bound, through own modules."""
    files, expected = PYTHON[case]
    write_tree(tmp_path, files)
    found = in_python(f"{tmp_path}/a.py", "handler", [str(tmp_path)], EditorSources())
    assert _shown(found, tmp_path) == expected


@pytest.mark.parametrize("case", SCRIPTS)
def test_scripts(tmp_path: Path, case: str) -> None:
    """An export of a script is found where it is written, through own files."""
    files, expected = SCRIPTS[case]
    write_tree(tmp_path, files)
    assert _shown(in_script(f"{tmp_path}/a.ts", "handler", EditorSources()), tmp_path) == expected


WORDS = (
    *("export ", "const ", "handler", "{", "}", "as ", "from ", "'./a'", "*", "=", ",", ";", "\n"),
    *(
        "exports.",
        "module.",
        "function ",
        "async ",
        "def ",
        "import ",
        "(",
        ")",
        ":",
        " ",
        "`",
        "/",
    ),
)


@given(text=st.lists(st.sampled_from(WORDS), max_size=30).map("".join))
def test_any_source_has_an_answer(text: str) -> None:
    """Whatever a file holds, there is a place in it or none, and no failure."""
    sources = EditorSources({"/a.py": text, "/a.ts": text})
    for path, found in (
        ("/a.py", in_python("/a.py", "handler", ["/"], sources)),
        ("/a.ts", in_script("/a.ts", "handler", sources)),
    ):
        if found is not None:
            assert found.path == path
            line = sources.get(path).line(found.span.line)
            assert "handler"[: found.span.end - found.span.start] in line or found.span.end == 0
