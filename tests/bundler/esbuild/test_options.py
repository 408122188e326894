from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lambdad.bundler.esbuild import options
from lambdad.bundler.esbuild.engine import EsbuildJob, EsbuildOutput
from lambdad.bundler.esbuild.options import OPTIONS, UNSUPPORTED, flags, from_sam, parse
from lambdad.bundler.model import Location, Severity
from lambdad.bundler.runtimes import RUNTIMES
from tests.support.esbuild_cases import oneshot, service

NODE = RUNTIMES["nodejs22.x"]


def where(name: str) -> Location:
    return Location("lambdad.toml", 1 + len(name), 1)


SOURCE = """\
/*! legal */
import { helper } from "./helper"
import data from "./data.odd"
import cond from "cond"
import ali from "aliased"
import { linked } from "linked"
import fields from "fields"
class Named { static who = Named.name }
function unused() { console.log("dropped") }
DEV: console.log("labelled")
debugger
/* @__PURE__ */ helper()
noEffect()
let far; try { far = require("from-far") } catch {}
const props = { secret_: 1, keep_: 2, odd: typeof far === "fooo" }
export const handler = async () => [helper(), data, cond, ali, far, fields, Named.who,
  DEFINED, linked, props, "ü", injected, { "quoted_": 1 }["quoted_"], globalThis?.x ?? 1]
export const view = <><p class="x" /></>
"""
FILES = {
    "index.tsx": SOURCE,
    "helper.ts": "export const helper = () => 7",
    "helper.zz.ts": "export const helper = () => 8",
    "data.odd": "odd data",
    "node_modules/cond/package.json": '{"exports": {"special": "./s.js", "default": "./d.js"}}',
    "node_modules/cond/s.js": 'export default "special"',
    "node_modules/cond/d.js": 'export default "usual"',
    "node_modules/target/index.js": 'export default "alias target"',
    "node_modules/aliased/index.js": 'export default "not aliased"',
    "packages/linked/index.js": "export const linked = 'linked'",
    "node_modules/fields/package.json": '{"main": "m.js", "odd": "o.js", "browser": "b.js"}',
    "node_modules/fields/m.js": 'module.exports = "main field"',
    "node_modules/fields/b.js": 'module.exports = "browser field"',
    "node_modules/fields/o.js": 'module.exports = "odd field"',
    "node_modules/jsxlib/jsx-runtime.js": "export const jsx = 1, jsxs = 2, Fragment = 3",
    "node_modules/jsxlib/jsx-dev-runtime.js": "export const jsxDEV = 1, Fragment = 3",
    "extra/from-far.js": 'module.exports = "far away"',
    "shim.ts": "export const injected = 'injected value'",
    "odd.json": '{"compilerOptions": {"jsx": "react", "jsxFactory": "oddFactory"}}',
}
BASE: dict[str, object] = {
    "external": ["aliased", "react"],
    "loader": {".odd": "text"},
    "format": "esm",
}


def text_of(output: EsbuildOutput) -> str:
    assert not output.errors, output.errors
    files = sorted(output.files.items())
    warned = [message.id for message in output.warnings]
    return "\n".join([*warned, *(f"// {name}\n{text.decode()}" for name, text in files)])


def holds(*texts: str) -> Callable[[str, str], bool]:
    """The option brings these in."""
    return lambda with_it, without: all(t in with_it and t not in without for t in texts)


def lacks(*texts: str) -> Callable[[str, str], bool]:
    """The option takes these out."""
    return lambda with_it, without: all(t not in with_it and t in without for t in texts)


def differs(with_it: str, without: str) -> bool:
    return with_it != without


EFFECTS: dict[str, tuple[object, Callable[[str, str], bool]]] = {
    "alias": ({"cond": "target"}, holds("alias target")),
    "assetNames": ("files/[name]", holds("// files/data.odd")),
    "banner": ({"js": "// banner"}, holds("// banner")),
    "charset": ("utf8", holds('"ü"')),
    "conditions": (["special"], holds('"special"')),
    "define": ({"DEFINED": '"was defined"'}, holds("was defined")),
    "drop": (["console", "debugger"], lacks("debugger", 'console.log("labelled")')),
    "dropLabels": (["DEV"], lacks("labelled")),
    "external": (["aliased", "cond"], holds('from "cond"')),
    "footer": ({"js": "// footer"}, holds("// footer")),
    "format": ("cjs", holds("0 && (module.exports")),
    "ignoreAnnotations": (True, holds("\nhelper();")),
    "inject": (["{folder}/shim.ts"], holds("injected value")),
    "jsx": ("preserve", holds("<p class")),
    "jsxDev": (True, holds("jsxDEV")),
    "jsxFactory": ("make", holds("make(")),
    "jsxFragment": ("Frag", holds("(Frag, null")),
    "jsxImportSource": ("jsxlib", holds("jsxlib/jsx-runtime")),
    "jsxSideEffects": (True, differs),
    "keepNames": (True, holds("__name")),
    "legalComments": ("external", holds(".LEGAL.txt")),
    "lineLimit": (60, differs),
    "loader": ({".odd": "base64"}, holds("b2RkIGRhdGE=")),
    "logOverride": ({"impossible-typeof": "silent"}, lacks("impossible-typeof")),
    "mainFields": (["odd"], holds("odd field")),
    "mangleProps": ("_$", lacks("secret_: 1", "keep_: 2")),
    "mangleQuoted": (True, lacks('"quoted_"')),
    "minify": (True, differs),
    "minifyIdentifiers": (True, lacks("var helper")),
    "minifySyntax": (True, differs),
    "minifyWhitespace": (True, lacks("// helper.ts")),
    "nodePaths": (["{folder}/extra"], holds("far away")),
    "outExtension": ({".js": ".cjs"}, holds("index.cjs")),
    "packages": ("external", holds('from "cond"')),
    "platform": ("browser", holds("browser field")),
    "preserveSymlinks": (True, holds("// node_modules/linked")),
    "publicPath": ("/public", holds('"/public/data-')),
    "pure": (["noEffect"], lacks("noEffect()")),
    "reserveProps": ("keep_", holds("keep_: 2")),
    "resolveExtensions": ([".zz.ts", ".ts", ".js"], holds("=> 8")),
    "sourceRoot": ("/top/of/sources", holds('"sourceRoot": "/top/of/sources"')),
    "sourcemap": ("inline", holds("sourceMappingURL=data:")),
    "sourcesContent": (False, lacks('"sourcesContent"')),
    "supported": ({"nullish-coalescing": False}, lacks("?? 1")),
    "target": ("es2019", lacks("?? 1")),
    "treeShaking": (False, holds("function unused")),
    "tsconfig": ("{folder}/odd.json", holds("oddFactory")),
    "tsconfigRaw": (
        {"compilerOptions": {"jsxFactory": "rawFactory"}},
        holds("rawFactory"),
    ),
}
"""Each option with a value and what that changes in the bundle of SOURCE."""

BESIDE: dict[str, dict[str, object]] = {
    "assetNames": {"loader": {".odd": "file"}},
    "ignoreAnnotations": {"minifySyntax": True, "treeShaking": True},
    "jsxDev": {"jsx": "automatic", "jsxImportSource": "jsxlib"},
    "jsxImportSource": {"jsx": "automatic"},
    "lineLimit": {"minifyWhitespace": True},
    "mangleQuoted": {"mangleProps": "_$"},
    "publicPath": {"loader": {".odd": "file"}},
    "reserveProps": {"mangleProps": "_$"},
    "sourceRoot": {"sourcemap": "linked"},
    "sourcesContent": {"sourcemap": "linked"},
}
"""What an option needs beside it to do anything."""


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_every_option_reaches_esbuild(name: str, tmp_path: Path) -> None:
    """Each option of the table is taken by the real esbuild and has its effect, both ways."""
    for path, content in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    (tmp_path / "node_modules/linked").symlink_to("../packages/linked")
    value, effect = EFFECTS[name]
    filled = json.loads(json.dumps(value).replace("{folder}", str(tmp_path)))
    beside = BASE | BESIDE.get(name, {})
    with_it = _build(tmp_path, beside | {name: filled})
    without = _build(tmp_path, beside)
    assert effect(with_it, without)


def _build(folder: Path, raw: dict[str, object]) -> str:
    checked, faults = parse(raw, where)
    assert not faults
    found = dict(checked)
    job = EsbuildJob(
        entries=(("index", f"{folder}/index.tsx"),),
        flags=flags(checked, NODE),
        folder=str(folder),
        out_folder=str(folder),
        node_paths=options.texts(found.get("nodePaths")),
    )
    text = text_of(service().build(job))
    assert text_of(oneshot().build(job)) == text
    return text


def test_every_option_of_the_api_is_in_a_table() -> None:
    """No name is both supported and not, and each that is not has its reason."""
    assert not set(OPTIONS) & set(UNSUPPORTED)
    assert set(EFFECTS) == set(OPTIONS)
    assert all(UNSUPPORTED.values())


@pytest.mark.parametrize("name", sorted(UNSUPPORTED))
def test_unsupported_options_say_why(name: str) -> None:
    """An option without a place here is an error with the reason, never passed over."""
    checked, faults = parse({name: True, "minify": True}, where)
    assert checked == (("minify", True),)
    (fault,) = faults
    assert fault.code == "unsupported-option"
    assert fault.severity is Severity.ERROR
    assert UNSUPPORTED[name] in fault.message
    assert fault.where == where(name)


@pytest.mark.parametrize(
    ("raw", "code", "text"),
    [
        ({"minfy": True}, "unknown-option", "did you mean minify?"),
        ({"qqqqqq": True}, "unknown-option", "esbuild.github.io"),
        ({"sourceMap": True}, "unknown-option", "did you mean sourcemap?"),
        ({"minify": "yes"}, "invalid-option", 'wants true or false, not "yes"'),
        ({"format": "iife"}, "invalid-option", "exports nothing that Lambda could call"),
        ({"format": "umd"}, "invalid-option", '"cjs" or "esm"'),
        ({"format": True}, "invalid-option", "wants text, not true"),
        ({"external": [1]}, "invalid-option", "wants a list of texts"),
        ({"external": {"a": "b"}}, "invalid-option", "not a table"),
        ({"target": "node22,es2020"}, "invalid-option", 'can\'t hold "node22,es2020"'),
        ({"drop": ["everything"]}, "invalid-option", '"console" or "debugger"'),
        ({"define": {"A": 1}}, "invalid-option", 'A = "1"'),
        ({"define": {"A": "1", "B=C": "2"}}, "invalid-option", 'the name "B=C"'),
        ({"loader": {".x": "yaml"}}, "invalid-option", 'can\'t be "yaml" for ".x"'),
        ({"loader": "text"}, "invalid-option", "wants a table of texts"),
        ({"lineLimit": -1}, "invalid-option", "wants a whole number"),
        ({"lineLimit": True}, "invalid-option", "wants a whole number"),
        ({"tsconfigRaw": 3}, "invalid-option", "wants JSON"),
        ({"sourcemap": None}, "invalid-option", "not nothing"),
    ],
)
def test_wrong_values(raw: dict[str, object], code: str, text: str) -> None:
    """A value of the wrong kind is an error that says what is wanted."""
    checked, (fault,) = parse(raw, where)
    assert checked == ()
    assert fault.code == code
    assert text in f"{fault.message} {fault.hint}"


def test_faults_come_together() -> None:
    """All that is wrong is told at once, and what is right is kept."""
    checked, faults = parse({"plugins": [], "nope": 1, "minify": 1, "format": "esm"}, where)
    assert checked == (("format", "esm"),)
    assert len(faults) == 3


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"sourcemap": True}, {"sourcemap": "linked"}),
        ({"sourcemap": False}, {}),
        ({"target": "es2020"}, {"target": ("es2020",)}),
        ({"external": "pg-native"}, {"external": ("pg-native",)}),
        ({"supported": {"bigint": False}}, {"supported": (("bigint", "false"),)}),
        ({"define": {"b": "2", "a": "1"}}, {"define": (("a", "1"), ("b", "2"))}),
    ],
)
def test_values_are_normal(raw: dict[str, object], expected: dict[str, object]) -> None:
    """What means the same is stored the same, so that it builds once."""
    checked, faults = parse(raw, where)
    assert not faults
    assert dict(checked) == expected


def test_sam_properties() -> None:
    """SAM's spelling of each kind of value comes to esbuild's."""
    raw = {
        "Minify": "false",
        "Target": "es2020,node18",
        "Sourcemap": True,
        "SourcesContent": False,
        "External": ["aws-sdk", "./node_modules/*"],
        "Loader": [".png=dataurl", ".txt=text"],
        "Define": ['A="x=y"'],
        "MainFields": "module, main",
        "OutExtension": [".js=.mjs"],
        "Banner": "js=// hi",
        "KeepNames": True,
        "EntryPoints": ["app.ts"],
        "UseNpmCi": True,
        "Platform": "node",
    }
    checked, faults = from_sam(raw, where)
    assert not faults
    assert dict(checked) == {
        "minify": False,
        "target": ("es2020", "node18"),
        "sourcemap": "linked",
        "sourcesContent": False,
        "external": ("aws-sdk", "./node_modules/*"),
        "loader": ((".png", "dataurl"), (".txt", "text")),
        "define": (("A", '"x=y"'),),
        "mainFields": ("module", "main"),
        "outExtension": ((".js", ".mjs"),),
        "banner": (("js", "// hi"),),
        "keepNames": True,
    }


def test_sam_minifies_unless_told() -> None:
    """SAM's default is kept; its faults are placed where the template says them."""
    assert from_sam({}, where) == ((("minify", True),), ())
    _checked, (fault,) = from_sam({"Plugins": ["x"]}, where)
    assert fault.code == "unsupported-option"
    assert fault.where == where("Plugins")
    _checked, (fault,) = from_sam({"Loader": [".png"]}, where)
    assert fault.where == where("Loader")


def test_defaults() -> None:
    """Without options: a CommonJS bundle for the runtime's Node.js, native modules as files."""
    line = flags((), RUNTIMES["nodejs18.x"])
    expected = {"--bundle", "--platform=node", "--format=cjs", "--target=node18"}
    assert expected | {"--loader:.node=copy"} <= set(line)
    line = flags((("format", "esm"),), NODE)
    assert "--out-extension:.js=.mjs" in line
    line = flags((("format", "esm"), ("outExtension", ((".js", ".js"),))), NODE)
    assert not [flag for flag in line if ".mjs" in flag]
    line = flags((("loader", ((".node", "file"),)),), NODE)
    assert [flag for flag in line if ".node" in flag] == ["--loader:.node=file"]
