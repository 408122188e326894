"""One function's resource in an AWS SAM or CloudFormation template.

Sources: AWS SAM Developer Guide, "AWS::Serverless::Function", "Globals section" and "Building
Lambda functions with esbuild"; CloudFormation User Guide, "AWS::Lambda::Function".
"""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from lambdad.bundler.config.declared import Draft, Said
from lambdad.bundler.config.paths import joined
from lambdad.bundler.config.sam.intrinsics import (
    TemplateScope,
    UnresolvedIntrinsicError,
    resolve,
    resolve_all,
)
from lambdad.bundler.config.sam.settings import read_settings
from lambdad.bundler.located.located import Node, kind, plain, shortened
from lambdad.bundler.model import Language, Location, RelPath, error
from lambdad.bundler.runtimes import RUNTIMES

CODE: Final = {"AWS::Serverless::Function": "CodeUri", "AWS::Lambda::Function": "Code"}
"""The types that are functions, each with the property that names its code."""

REMOTE: Final = ("s3://", "https://", "http://")

OTHER_BUILDS: Final = {
    "makefile": "a makefile",
    "rust-cargolambda": "cargo-lambda",
    "go": "Go's compiler",
    "dotnet": "the .NET compiler",
    "java": "a Java build",
    "ruby": "Ruby's bundler",
}
"""Values of BuildMethod, up to their version, that are not ours to run."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a template says for all of its functions."""

    root: str
    """The project's, absolute."""
    folder: RelPath
    """Of the template: its paths start there."""
    scope: TemplateScope
    defaults: Mapping[str, Node]
    """Of `Globals.Function`."""


@dataclass(frozen=True, slots=True)
class TemplateFields:
    """A mapping's fields with the template's defaults behind them, intrinsics resolved."""

    scope: TemplateScope
    own: Mapping[str, Node]
    defaults: Mapping[str, Node]
    draft: Draft

    def get(self, name: str, setting: str) -> Node | None:
        """None: not there, or not to be known, which then is the draft's reason under `setting`."""
        for fields in (self.own, self.defaults):
            node = fields.get(name)
            if node is not None:
                found = self.known(node, name, setting, resolve)
                if found is not None or setting in self.draft.reasons:
                    return found
        return None

    def known(
        self, node: Node, name: str, setting: str, way: Callable[[TemplateScope, Node], Node | None]
    ) -> Node | None:
        try:
            return way(self.scope, node)
        except UnresolvedIntrinsicError as fault:
            told = fault.diagnostic
            message = f"{name}: {told.message}"
            self.draft.failed(setting, error(told.code, message, told.where, told.hint))
        except RecursionError:
            message = f"{name}: conditions and functions are nested too deep"
            self.draft.failed(setting, error("unresolved-value", message, node.where))
        return None

    def text(self, name: str, setting: str) -> Said[str] | None:
        node = self.get(name, setting)
        return None if node is None else self.as_text(node, name, setting)

    def as_text(self, node: Node, name: str, setting: str) -> Said[str] | None:
        if node.value is None or isinstance(node.value, (dict, list)) or not node.text:
            self.wrong(node, name, setting, "text")
            return None
        return Said(node.text, node.where)

    def wrong(self, node: Node, name: str, setting: str, expected: str) -> None:
        message = f"{name} must be {expected}, not {kind(node)}"
        self.draft.failed(setting, error("bad-value", message, node.where))


def read_function(context: Context, name: str, resource: Node, form: str) -> Draft:
    where = resource.key_where
    draft = Draft(name=name, where=where, code=Said(context.folder, where))
    properties = resource.fields.get("Properties")
    own = properties.fields if properties else {}
    defaults = context.defaults if form == "AWS::Serverless::Function" else {}
    fields = TemplateFields(context.scope, own, defaults, draft)
    metadata = resource.fields.get("Metadata")
    settings = TemplateFields(context.scope, metadata.fields if metadata else {}, {}, draft)

    _package(context, fields, CODE[form])
    draft.handler = fields.text("Handler", "handler")
    draft.runtime = fields.text("Runtime", "runtime")
    draft.architecture = _architecture(fields)
    draft.layers = _has_layers(fields) or None
    draft.wrapped = _is_wrapped(fields)
    draft.settings = functools.partial(read_settings, context.scope, own, defaults)
    _build_method(settings, draft)
    return draft


def _package(context: Context, fields: TemplateFields, property_name: str) -> None:
    """Where the code is, or that it is not ours to package."""
    draft = fields.draft
    form = fields.text("PackageType", "package")
    image = fields.get("ImageUri", "package")
    if image is not None or (form and form.value == "Image"):
        _refuse_image(draft, form.where if form else image.where if image else draft.where)
        return
    inline = "InlineCode" in fields.own or "InlineCode" in fields.defaults
    if property_name == "CodeUri" and inline:
        node = fields.own.get("InlineCode") or fields.defaults["InlineCode"]
        _skip_inline(draft, node.key_where)
        return
    code = fields.get(property_name, "code")
    if code is None:
        return
    if isinstance(code.value, dict):
        _remote_code(fields, code, property_name)
        return
    said = fields.as_text(code, property_name, "code")
    if said is None:
        return
    if said.value.startswith(REMOTE):
        draft.skipped("code", "remote-code", f"its code is in {shortened(said.value)}", said.where)
    else:
        path = joined(context.folder, said.value, context.root)
        draft.code = Said(path, said.where)


def _refuse_image(draft: Draft, where: Location) -> None:
    message = "it is a container image, which lambdad does not build"
    hint = "build it with Docker, and say skip = true in lambdad.toml"
    draft.refused("package", error("container-image", message, where, hint))


def _skip_inline(draft: Draft, where: Location) -> None:
    draft.skipped("code", "inline-code", "its code is in the template itself", where)


def _remote_code(fields: TemplateFields, code: Node, name: str) -> None:
    keys = code.fields.keys()
    if "ZipFile" in keys:
        _skip_inline(fields.draft, code.where)
    elif "ImageUri" in keys:
        _refuse_image(fields.draft, code.where)
    elif keys & {"Bucket", "S3Bucket"}:
        fields.draft.skipped("code", "remote-code", "its code is in S3", code.where)
    else:
        fields.wrong(code, name, "code", "a path, or a place in S3")


def _architecture(fields: TemplateFields) -> Said[str] | None:
    node = fields.get("Architectures", "architecture")
    if node is None:
        return None
    if not isinstance(node.value, list) or len(node.value) != 1:
        fields.wrong(node, "Architectures", "architecture", "a list of one")
        return None
    item = fields.known(node.value[0], "Architectures", "architecture", resolve)
    return None if item is None else fields.as_text(item, "Architectures", "architecture")


def _has_layers(fields: TemplateFields) -> bool:
    """Also where their names can't be known: that there are some is enough."""
    for layers in (fields.own.get("Layers"), fields.defaults.get("Layers")):
        if layers is None:
            continue
        try:
            found = resolve(fields.scope, layers)
            items = found.items if found else []
            if any(resolve(fields.scope, item) is not None for item in items):
                return True
        except (UnresolvedIntrinsicError, RecursionError):
            return True
    return False


def _is_wrapped(fields: TemplateFields) -> bool:
    for source in (fields.own, fields.defaults):
        environment = source.get("Environment")
        variables = environment.fields.get("Variables") if environment else None
        if variables and "AWS_LAMBDA_EXEC_WRAPPER" in variables.fields:
            return True
    return False


# --- Metadata --------------------------------------------------------------------------------


def _build_method(metadata: TemplateFields, draft: Draft) -> None:
    skip = metadata.get("SkipBuild", "skip")
    if skip is not None and skip.text.lower() == "true":
        draft.skipped("skip", "skip-build", "SkipBuild says that it is ready", skip.where)
        return
    said = metadata.text("BuildMethod", "skip")
    if said is None:
        return
    method = said.value
    if method == "esbuild":
        draft.bundle = True
        _build_properties(metadata, draft)
    elif method.startswith(("python", "nodejs")):
        _language_method(draft, said)
    else:
        base = method.rstrip("0123456789.x")
        tool = OTHER_BUILDS.get(base)
        message = f'BuildMethod "{shortened(method)}" is not known'
        if tool:
            message = f"it is built by {tool} (BuildMethod {shortened(method)})"
        hint = (
            "build it with its own tool and say skip = true in lambdad.toml; "
            "skip = false has lambdad build it after all"
        )
        fault = error("unsupported-build-method", message, said.where, hint)
        draft.refused("skip", fault)


def _language_method(draft: Draft, said: Said[str]) -> None:
    """`python3.12`, `nodejs22.x`: the language's own way. The version is the runtime's."""
    language = Language.PYTHON if said.value.startswith("python") else Language.JAVASCRIPT
    runtime = RUNTIMES.get(draft.runtime.value) if draft.runtime else None
    if runtime and runtime.language is not language:
        message = f"BuildMethod {shortened(said.value)} does not fit the runtime {runtime.name}"
        draft.failed("runtime", error("bad-value", message, said.where, "let the two agree"))
    if language is Language.JAVASCRIPT:
        draft.bundle = False


def _build_properties(metadata: TemplateFields, draft: Draft) -> None:
    from lambdad.bundler.esbuild import options

    node = metadata.own.get("BuildProperties")
    found = metadata.known(node, "BuildProperties", "esbuild", resolve_all) if node else None
    if found and found.value is not None and not isinstance(found.value, dict):
        metadata.wrong(found, "BuildProperties", "esbuild", "a mapping")
        return
    # Without properties too: SAM's own defaults differ from esbuild's.
    fields = found.fields if found else {}
    if entries := fields.get("EntryPoints"):
        draft.entry_points = _entry_points(metadata, entries)
    raw = {name: plain(item) for name, item in fields.items()}
    checked, faults = options.from_sam(
        raw, lambda name: fields[name].where if name in fields else draft.where
    )
    draft.esbuild.update(checked)
    draft.unset = {name[:1].lower() + name[1:] for name in raw} - draft.esbuild.keys()
    for fault in faults:
        draft.failed("esbuild", fault)


def _entry_points(metadata: TemplateFields, entries: Node) -> tuple[str, ...]:
    texts = [item.text for item in entries.items if isinstance(item.value, str) and item.text]
    if not texts or len(texts) != len(entries.items):
        metadata.wrong(entries, "EntryPoints", "esbuild", "a list of paths")
    return tuple(posixpath.normpath(text) for text in texts)
