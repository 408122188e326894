"""esbuild's build options under the names its JavaScript API gives them, as a table.

Source: https://esbuild.github.io/api/ and esbuild 0.28.2, lib/shared/common.ts. What has no place
in a Lambda function's bundle is in the table too, with the reason: no option is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from lambdad.bundler.model import Diagnostic, Location, Options, OptionValue, Runtime, error

OptionPlace = Callable[[str], Location]
"""The place of an option's value in the configuration, by its name there."""


@dataclass(frozen=True, slots=True)
class Option:
    flag: str
    kind: str
    """bool, int, text, choice, many (a flag each), joined (by commas), map, json."""
    choices: tuple[str, ...] = ()
    """What the value, or each of its items, may be; empty: anything."""


LOADERS: Final = (
    "base64", "binary", "copy", "css", "dataurl", "default", "empty", "file",
    "global-css", "js", "json", "jsx", "local-css", "text", "ts", "tsx",
)  # fmt: skip

LEVELS: Final = ("verbose", "debug", "info", "warning", "error", "silent")

OPTIONS: Final[Mapping[str, Option]] = {
    "alias": Option("alias", "map"),
    "assetNames": Option("asset-names", "text"),
    "banner": Option("banner", "map"),
    "charset": Option("charset", "choice", ("ascii", "utf8")),
    "conditions": Option("conditions", "joined"),
    "define": Option("define", "map"),
    "drop": Option("drop", "many", ("console", "debugger")),
    "dropLabels": Option("drop-labels", "joined"),
    "external": Option("external", "many"),
    "footer": Option("footer", "map"),
    "format": Option("format", "choice", ("cjs", "esm")),
    "ignoreAnnotations": Option("ignore-annotations", "bool"),
    "inject": Option("inject", "many"),
    "jsx": Option("jsx", "choice", ("automatic", "preserve", "transform")),
    "jsxDev": Option("jsx-dev", "bool"),
    "jsxFactory": Option("jsx-factory", "text"),
    "jsxFragment": Option("jsx-fragment", "text"),
    "jsxImportSource": Option("jsx-import-source", "text"),
    "jsxSideEffects": Option("jsx-side-effects", "bool"),
    "keepNames": Option("keep-names", "bool"),
    "legalComments": Option(
        "legal-comments", "choice", ("eof", "external", "inline", "linked", "none")
    ),
    "lineLimit": Option("line-limit", "int"),
    "loader": Option("loader", "map", LOADERS),
    "logOverride": Option("log-override", "map", LEVELS),
    "mainFields": Option("main-fields", "joined"),
    "mangleProps": Option("mangle-props", "text"),
    "mangleQuoted": Option("mangle-quoted", "bool"),
    "minify": Option("minify", "bool"),
    "minifyIdentifiers": Option("minify-identifiers", "bool"),
    "minifySyntax": Option("minify-syntax", "bool"),
    "minifyWhitespace": Option("minify-whitespace", "bool"),
    "nodePaths": Option("", "many"),
    "outExtension": Option("out-extension", "map"),
    "packages": Option("packages", "choice", ("bundle", "external")),
    "platform": Option("platform", "choice", ("browser", "neutral", "node")),
    "preserveSymlinks": Option("preserve-symlinks", "bool"),
    "publicPath": Option("public-path", "text"),
    "pure": Option("pure", "many"),
    "reserveProps": Option("reserve-props", "text"),
    "resolveExtensions": Option("resolve-extensions", "joined"),
    "sourceRoot": Option("source-root", "text"),
    "sourcemap": Option("sourcemap", "choice", ("both", "external", "inline", "linked")),
    "sourcesContent": Option("sources-content", "bool"),
    "supported": Option("supported", "map", ("false", "true")),
    "target": Option("target", "joined"),
    "treeShaking": Option("tree-shaking", "bool"),
    "tsconfig": Option("tsconfig", "text"),
    "tsconfigRaw": Option("tsconfig-raw", "json"),
}

_HANDLER: Final = "the bundle is where Handler says, so that Lambda finds it"
_MEMORY: Final = "bundles go into the zip and are never written beside the sources"
_DIAGNOSTICS: Final = "messages are shown by lambdad, for people or as JSON (--json)"

UNSUPPORTED: Final[Mapping[str, str]] = {
    "absPaths": "paths of this machine in a bundle would make its bytes differ on another",
    "absWorkingDir": "esbuild runs in the project's folder, so that its bytes don't depend on it",
    "allowOverwrite": _MEMORY,
    "bundle": "bundling is turned on or off for the whole function (`bundle`), not for esbuild",
    "chunkNames": "there are no chunks without `splitting`",
    "color": _DIAGNOSTICS,
    "entryNames": _HANDLER,
    "entryPoints": "entry points are a setting of the function, not an option of esbuild",
    "globalName": 'it is for the format "iife", which exports nothing that Lambda could call',
    "incremental": "builds are always incremental in the daemon",
    "logLevel": _DIAGNOSTICS,
    "logLimit": _DIAGNOSTICS,
    "logStyle": _DIAGNOSTICS,
    "mangleCache": "it is written back by every build, so that no two builds have the same inputs",
    "metafile": "it is always made, and kept out of the zip",
    "outbase": _HANDLER,
    "outdir": _HANDLER,
    "outfile": _HANDLER,
    "plugins": "they are JavaScript, and no Node.js runs in the build; "
    "`alias`, `loader`, `define` and `inject` do what many of them do",
    "serve": "it is for browsers",
    "splitting": "each function is one file, so that a cold start reads one file",
    "stdin": "the entry point is a file",
    "watch": "the daemon watches",
    "write": _MEMORY,
}


def parse(raw: Mapping[str, object], where: OptionPlace) -> tuple[Options, tuple[Diagnostic, ...]]:
    """The options checked and sorted, and all that is wrong with them.

    Codes: `unknown-option`, `unsupported-option`, `invalid-option`. An option at fault is left out.
    """
    options: dict[str, OptionValue] = {}
    faults: list[Diagnostic] = []
    for name, value in raw.items():
        if name in UNSUPPORTED:
            faults.append(
                error(
                    "unsupported-option",
                    f"esbuild's option {name} can't be used here: {UNSUPPORTED[name]}",
                    where(name),
                    "remove it",
                )
            )
        elif name not in OPTIONS:
            faults.append(
                error(
                    "unknown-option",
                    f"esbuild has no option {name}",
                    where(name),
                    _near(name, OPTIONS) or "https://esbuild.github.io/api/ lists its options",
                )
            )
        else:
            checked, problem, hint = _check(name, value)
            if checked is None:
                text = f"esbuild's option {name} {problem}"
                faults.append(error("invalid-option", text, where(name), hint))
            elif checked is not False or name not in _OFF_IS_ABSENT:
                options[name] = checked
    return tuple(sorted(options.items())), tuple(faults)


_OFF_IS_ABSENT: Final = frozenset({"sourcemap"})
"""`sourcemap: false` is its default, and its flag takes no `false`."""


def from_sam(
    raw: Mapping[str, object], where: OptionPlace
) -> tuple[Options, tuple[Diagnostic, ...]]:
    """The same for the BuildProperties of an AWS SAM template.

    SAM turns any `SomeName` into `--some-name`; maps are lists of `key=value` there, booleans may
    be text. As SAM does (aws-lambda-builders, nodejs_npm_esbuild), code is minified unless Minify
    says otherwise. Its target, es2020, is not taken over: the runtime is known, so the runtime
    decides. `EntryPoints` and `UseNpmCi` are for the configuration's reader and passed over, and
    so are `Bundle`, `Platform` and `Outdir`, which SAM ignores as well.
    """
    renamed: dict[str, object] = {}
    names: dict[str, str] = {}
    for written, value in raw.items():
        if written in ("EntryPoints", "UseNpmCi", "Bundle", "Platform", "Outdir"):
            continue
        name = _SAM_NAMES.get(written.lower(), written[:1].lower() + written[1:])
        names[name] = written
        renamed[name] = _from_sam_value(OPTIONS.get(name), value)
    renamed.setdefault("minify", True)
    return parse(renamed, lambda name: where(names.get(name, name)))


_SAM_NAMES: Final = {name.lower(): name for name in (*OPTIONS, *UNSUPPORTED)}


def _from_sam_value(option: Option | None, value: object) -> object:
    if option is None:
        return value
    if isinstance(value, str):
        if value.lower() in ("true", "false") and option.flag in (*_BOOLEANS, "sourcemap"):
            return value.lower() == "true"
        if option.kind == "joined":
            return [part.strip() for part in value.split(",")]
        if option.kind == "map":
            value = [value]
    if option.kind == "map" and isinstance(value, list):
        parts = [item.partition("=") for item in value if isinstance(item, str)]
        if len(parts) == len(value) and all(equals for _key, equals, _text in parts):
            return {key: text for key, _equals, text in parts}
    return value


_BOOLEANS: Final = frozenset(option.flag for option in OPTIONS.values() if option.kind == "bool")


CheckedValue = tuple[OptionValue | None, str, str | None]
"""(the value, or None and why it won't do, and a hint)."""


def _check(name: str, value: object) -> CheckedValue:
    option = OPTIONS[name]
    match option.kind:
        case "bool":
            return (value, "", None) if isinstance(value, bool) else _wants("true or false", value)
        case "int":
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
            return (value, "", None) if whole else _wants("a whole number", value)  # type: ignore[return-value]
        case "text":
            return (value, "", None) if isinstance(value, str) else _wants("text", value)
        case "choice":
            return _check_choice(name, option, value)
        case "many" | "joined":
            return _check_list(option, value)
        case "map":
            return _check_map(name, option, value)
    return _check_json(value)


def _check_choice(name: str, option: Option, value: object) -> CheckedValue:
    if name == "sourcemap" and isinstance(value, bool):
        return ("linked" if value else False), "", None
    if not isinstance(value, str):
        return _wants("text", value)
    if value not in option.choices:
        reason = ": it exports nothing that Lambda could call" if value == "iife" else ""
        return None, f'can\'t be "{value}"{reason}', f"use {_or(option.choices)}"
    return value, "", None


def _check_list(option: Option, value: object) -> CheckedValue:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) for item in items):
        return _wants("a list of texts", value)
    for item in items:
        if not item or (option.kind == "joined" and "," in item):
            return None, f'can\'t hold "{item}"', None
        if option.choices and item not in option.choices:
            return None, f'can\'t hold "{item}"', f"use {_or(option.choices)}"
    return tuple(items), "", None


def _check_map(name: str, option: Option, value: object) -> CheckedValue:
    if not isinstance(value, Mapping):
        return _wants("a table of texts", value)
    checked = []
    for key, given in value.items():
        item = given
        if name == "supported" and isinstance(given, bool):
            item = "true" if given else "false"
        if not isinstance(key, str) or not key or "=" in key:
            return None, f'can\'t hold the name "{key}"', None
        if not isinstance(item, str):
            quoted = json.dumps(json.dumps(item, default=str))
            hint = (
                f"esbuild takes code as text here: {key} = {quoted}" if name == "define" else None
            )
            return None, f'wants text for "{key}", not {_kind(item)}', hint
        if option.choices and item not in option.choices:
            return None, f'can\'t be "{item}" for "{key}"', f"use {_or(option.choices)}"
        checked.append((key, item))
    return tuple(sorted(checked)), "", None


def _check_json(value: object) -> CheckedValue:
    if isinstance(value, str):
        return value, "", None
    if isinstance(value, Mapping):
        try:
            return json.dumps(value, sort_keys=True), "", None
        except (TypeError, ValueError):
            pass
    return _wants("JSON, as text or as a table", value)


def _wants(what: str, value: object) -> CheckedValue:
    return None, f"wants {what}, not {_kind(value)}", None


def _kind(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{value}"'
        case int() | float():
            return str(value)
        case Mapping():
            return "a table"
        case list() | tuple():
            return "a list"
    return type(value).__name__


def _or(choices: Iterable[str]) -> str:
    return " or ".join(f'"{choice}"' for choice in choices)


def _near(name: str, known: Iterable[str]) -> str | None:
    import difflib

    by_lower = {option.lower(): option for option in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"did you mean {by_lower[near[0]]}?" if near else None


def flags(options: Options, runtime: Runtime, externals: Iterable[str] = ()) -> tuple[str, ...]:
    """The whole command line but for entries and outputs: the user's options over our defaults.

    Defaults: bundle for Node.js of the runtime's version, CommonJS, native modules copied.
    `externals` come from us and not from the user.
    """
    chosen = dict(options)
    chosen.pop("nodePaths", None)
    chosen.setdefault("platform", "node")
    chosen.setdefault("format", "cjs")
    chosen.setdefault("target", (f"node{runtime.version[0]}",))
    # Native modules stay files: what a bundle requires by path must be in the zip.
    chosen["loader"] = _with(chosen.get("loader"), ".node", "copy")
    if extension(options) != ".js":
        chosen["outExtension"] = _with(chosen.get("outExtension"), ".js", extension(options))
    line = ["--bundle"]
    for name in sorted(chosen):
        line += _flags(OPTIONS[name], chosen[name])
    line += (f"--external:{name}" for name in externals)
    return (*line, "--allow-overwrite", "--log-limit=0")


def extension(options: Options) -> str:
    """Of the bundle: the user's choice, else what makes Node.js load its format."""
    chosen = dict(options)
    default = ".mjs" if chosen.get("format") == "esm" else ".js"
    return dict(pairs(chosen.get("outExtension"))).get(".js", default)


def texts(value: OptionValue | None) -> tuple[str, ...]:
    """The items of a list option; none if it is not given."""
    return tuple(item for item in _items(value) if isinstance(item, str))


def pairs(value: OptionValue | None) -> tuple[tuple[str, str], ...]:
    """The items of a map option; none if it is not given."""
    return tuple(item for item in _items(value) if isinstance(item, tuple))


def _items(value: OptionValue | None) -> tuple[str | tuple[str, str], ...]:
    return value if isinstance(value, tuple) else ()


def _with(value: OptionValue | None, key: str, default: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({key: default, **dict(pairs(value))}.items()))


def _flags(option: Option, value: OptionValue) -> list[str]:
    match option.kind:
        case "bool":
            return [f"--{option.flag}={'true' if value else 'false'}"]
        case "many":
            return [f"--{option.flag}:{item}" for item in texts(value)]
        case "joined":
            return [f"--{option.flag}={','.join(texts(value))}"]
        case "map":
            return [f"--{option.flag}:{key}={text}" for key, text in pairs(value)]
    return [f"--{option.flag}={value}"]
