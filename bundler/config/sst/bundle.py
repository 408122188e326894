"""SST's options of how a function is bundled, mapped to ours.

Sources: @serverless-stack/resources (Function) 0.9 to 1.18, its builders up to 0.4x, and
@serverless-stack/core (runtime/handler) after: which options there are, and what they do.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from lambdad.bundler.config.declared import Draft
from lambdad.bundler.config.paths import joined
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.located.located import Node, kind, plain, shortened
from lambdad.bundler.model import Copy, Location, error

REQUIRE: Final = (
    'import { createRequire as requireOfBundle } from "module"; '
    "const require = requireOfBundle(import.meta.url);"
)
"""ES modules have no `require`, which bundled CommonJS packages call. SST gives them one too."""


@dataclass(slots=True)
class SstBundling:
    seen: Seen
    draft: Draft
    esbuild: dict[str, object] = field(default_factory=dict)
    """Options of esbuild's, not checked yet."""
    places: dict[str, Location] = field(default_factory=dict)
    """Theirs."""

    def add(self, name: str, value: object, where: Location) -> None:
        self.esbuild[name] = value
        self.places[name] = where

    def wrong(self, node: Node, name: str, expected: str) -> None:
        message = f"{name} must be {expected}, not {kind(node)}"
        self.draft.failed("esbuild", error("bad-value", message, node.where))

    def texts(self, node: Node, name: str) -> tuple[str, ...]:
        texts = tuple(item.text for item in node.items if isinstance(item.value, str) and item.text)
        if not isinstance(node.value, list) or len(texts) != len(node.value):
            self.wrong(node, name, "a list of names")
        return texts


def read(seen: Seen, draft: Draft, node: Node | None, *, is_first: bool) -> None:
    """What a function's `bundle` says, into the draft. `is_first`: of SST before 0.5x."""
    runtime = draft.runtime or draft.runtime_default
    is_node = runtime is not None and runtime.value.startswith("nodejs")
    known = NODE if is_node else OTHERS
    bundling = SstBundling(seen, draft)
    if node is not None and not isinstance(node.value, (bool, dict)):
        bundling.wrong(node, "bundle", "true, false or an object")
        return
    for name, item in node.fields.items() if node else ():
        if name not in known:
            message = f"SST's option {shortened(name)} is not known"
            hint = "say in lambdad.toml what it is for"
            draft.failed("esbuild", error("unknown-option", message, item.key_where, hint))
        elif item.value is not None:
            known[name](bundling, item)
    if not is_node:
        return
    draft.bundle = node is None or node.value is not False
    if draft.bundle:
        _add_defaults(bundling, says_nothing=node is None, is_first=is_first)
        _check(bundling)


def _add_defaults(bundling: SstBundling, *, says_nothing: bool, is_first: bool) -> None:
    """What SST gives esbuild by itself, but for what the runtime decides here: the target, and
    whether the AWS SDK stays out."""
    esbuild = bundling.esbuild
    if is_first:
        esbuild.setdefault("sourcemap", True)
    elif says_nothing:
        esbuild["minify"] = True
    banner = esbuild.pop("banner", "")
    if esbuild.get("format") == "esm":
        esbuild.setdefault("mainFields", ["module", "main"])
        banner = f"{REQUIRE}{banner}"
    if banner:
        esbuild["banner"] = {"js": banner}


def _check(bundling: SstBundling) -> None:
    from lambdad.bundler.esbuild import options

    draft = bundling.draft
    checked, faults = options.parse(
        bundling.esbuild, lambda name: bundling.places.get(name, draft.where)
    )
    draft.esbuild.update(checked)
    for fault in faults:
        draft.failed("esbuild", fault)


# --- each option ---------------------------------------------------------------------------------


def _banner(bundling: SstBundling, node: Node) -> None:
    if isinstance(node.value, str):
        bundling.add("banner", node.value, node.where)
    else:
        bundling.wrong(node, "banner", "text")


def _commands(bundling: SstBundling, node: Node) -> None:
    if isinstance(node.value, list) and not node.value:
        return
    message = "SST runs commands of the function's own when it builds; lambdad runs none"
    hint = (
        "run them before lambdad build and say skip = false in lambdad.toml, or leave the function "
        "to SST and say skip = true"
    )
    fault = error("command-hooks", message, node.key_where, hint)
    bundling.draft.refused("skip", fault)


def _copy_files(bundling: SstBundling, node: Node) -> None:
    copies = []
    if not isinstance(node.value, list):
        bundling.wrong(node, "copyFiles", "a list")
    for item in node.items:
        source, to = item.fields.get("from"), item.fields.get("to")
        if source is None or not isinstance(source.value, str) or not source.value:
            bundling.wrong(source or item, "copyFiles", "a list of objects with from, and to")
            continue
        if to is not None and to.value is not None and not isinstance(to.value, str):
            bundling.wrong(to, "to", "text")
            continue
        # Both start in srcPath; without `to` they lie in the zip as they lie there.
        path = joined(bundling.draft.code.value, source.value, bundling.seen.root)
        into = posixpath.normpath(to.text if to is not None and to.value else source.value)
        if into.startswith(("/", "../")) or into == "..":
            bundling.wrong(to or source, "to", "a path in the zip")
            continue
        copies.append(Copy(path, into))
    bundling.draft.copy = tuple(copies) or None


def _esbuild_config(bundling: SstBundling, node: Node) -> None:
    if not isinstance(node.value, dict):
        # Up to 0.5x: a file of JavaScript.
        _code(bundling, node, "esbuildConfig")
    for name, item in node.fields.items():
        if name == "plugins" and item.value is not None:
            _code(bundling, item, "esbuildConfig.plugins")
        else:
            bundling.add(name, plain(item), item.where)


def _code(bundling: SstBundling, node: Node, name: str) -> None:
    message = f"{name} is code, which lambdad does not run; without it bundles would differ"
    hint = "set what it does as options of esbuild, in the app or in lambdad.toml"
    fault = error("unsupported-option", message, node.where, f"{hint} ([defaults.esbuild])")
    bundling.draft.failed("plugins", fault)


def _external(bundling: SstBundling, node: Node) -> None:
    bundling.add("external", bundling.texts(node, "externalModules"), node.where)


def _install(bundling: SstBundling, node: Node) -> None:
    bundling.draft.install = bundling.texts(node, "nodeModules") or None


def _esbuild(name: str) -> Callable[[SstBundling, Node], None]:
    return lambda bundling, node: bundling.add(name, plain(node), node.where)


NODE: Final[Mapping[str, Callable[[SstBundling, Node], None]]] = {
    "banner": _banner,
    "commandHooks": _commands,
    "copyFiles": _copy_files,
    "esbuildConfig": _esbuild_config,
    "externalModules": _external,
    "format": _esbuild("format"),
    "loader": _esbuild("loader"),
    "minify": _esbuild("minify"),
    "nodeModules": _install,
    "sourcemap": _esbuild("sourcemap"),
}
"""Of Node.js functions."""

OTHERS: Final[Mapping[str, Callable[[SstBundling, Node], None]]] = {
    "copyFiles": _copy_files,
    "installCommands": _commands,
}
"""Of Python's; other languages are refused for their runtime."""
