"""One function of a Serverless Framework service.

Source: Serverless Framework, "AWS Lambda Functions" and "Serverless.yml Reference".
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lambdad.bundler.config.check import OUTPUTS
from lambdad.bundler.config.declared import Draft, Said
from lambdad.bundler.config.serverless import esbuild, package, python
from lambdad.bundler.config.serverless.esbuild import ServiceBundling
from lambdad.bundler.config.serverless.package import Packaging
from lambdad.bundler.config.serverless.python import Requirements
from lambdad.bundler.config.serverless.service import Service, ServiceFields
from lambdad.bundler.config.serverless.settings import read_settings
from lambdad.bundler.config.serverless.variables import UnresolvedVariableError, resolve
from lambdad.bundler.config.serverless.version import DEFAULT_RUNTIMES
from lambdad.bundler.located.located import Node, kind, shortened
from lambdad.bundler.model import error

INJECTED: Final = {
    "wsgi_handler": ("serverless-wsgi", "`serverless wsgi install` writes it here"),
    "wsgi": ("serverless-wsgi", "`serverless wsgi install` writes it here, as wsgi_handler"),
}
"""Modules that a plugin puts into the package, and how they can be had before."""

SCRIPTS: Final = ("build", "compile", "bundle", "tsc", "prebuild", "package")
"""Usual names of the script in package.json that compiles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """How the functions of a service are built."""

    service: Service
    bundling: ServiceBundling | None
    requirements: Requirements | None


def ways(service: Service) -> Ways:
    return Ways(
        service=service,
        bundling=esbuild.read(service),
        requirements=python.read(service),
    )


def read_function(known: Ways, name: str, node: Node) -> Draft | None:
    """None: the file takes it out again, by saying nothing of it."""
    service = known.service
    where = node.key_where
    draft = Draft(name=name, where=where, code=Said(service.folder, where))
    draft.runtime_default = Said(DEFAULT_RUNTIMES[service.major], where)
    try:
        found = resolve(service.scope, node)
    except UnresolvedVariableError as fault:
        draft.failed("handler", fault.diagnostic)
        return draft
    if found.value is None:
        return None
    if not isinstance(found.value, dict):
        message = f"a function must be a mapping, not {kind(found)}"
        draft.failed("handler", error("bad-value", message, where))
        return draft
    fields = ServiceFields(service.scope, found.fields, draft, service.provider)
    if not _is_ours(service, fields):
        return draft
    packaging = package.of(service, fields)
    if package.skip_ready(service, packaging):
        return draft
    draft.handler = fields.text("handler", "handler")
    draft.runtime = fields.text("runtime", "runtime")
    draft.architecture = fields.text("architecture", "architecture")
    draft.layers = _has_layers(fields) or None
    draft.wrapped = _is_wrapped(fields)
    draft.settings = functools.partial(read_settings, fields)
    runtime = draft.runtime or draft.runtime_default
    if runtime.value.startswith("python"):
        _python(known, fields, packaging)
    elif runtime.value.startswith("nodejs"):
        _javascript(known, fields, packaging)
    _refuse_unwritten(service, draft)
    return draft


def _is_ours(service: Service, fields: ServiceFields) -> bool:
    draft = fields.draft
    provider = service.provider
    if not isinstance(provider, UnresolvedVariableError) and "name" in provider:
        name = ServiceFields(service.scope, provider, draft, {}).text("name", "provider")
        if name is not None and name.value != "aws":
            message = f"its provider is {shortened(name.value)}; lambdad builds for AWS Lambda"
            hint = "leave it to the framework, and say skip = true in lambdad.toml"
            fault = error("unsupported-provider", message, name.where, hint)
            draft.refused("provider", fault)
            return False
    if "image" in fields.own:
        image = fields.own["image"]
        if image.value is not None:
            message = "it is a container image, which lambdad does not build"
            hint = "build it with Docker, and say skip = true in lambdad.toml"
            fault = error("container-image", message, image.key_where, hint)
            draft.refused("package", fault)
            return False
    return True


def _python(known: Ways, fields: ServiceFields, packaging: Packaging) -> None:
    service, draft = known.service, fields.draft
    if known.requirements is not None:
        python.apply(service, known.requirements, fields, packaging)
    patterns = package.of_folder(service, packaging)
    if draft.code.value != service.folder and "module" in fields.own:
        patterns = package.below(patterns, resolve(service.scope, fields.own["module"]).text)
    draft.globs = patterns


def _javascript(known: Ways, fields: ServiceFields, packaging: Packaging) -> None:
    service, draft, bundling = known.service, fields.draft, known.bundling
    draft.globs = package.of_folder(service, packaging)
    if bundling is not None:
        esbuild.apply(bundling, fields)
    if bundling is None or bundling.takes_patterns:
        every = bundling is not None and bundling.by == "serverless-esbuild"
        draft.beside = package.beside_bundle(packaging, always_own=every)


def _has_layers(fields: ServiceFields) -> bool:
    """Also where their names can't be known: that there are some is enough."""
    for source in fields.sources("layers"):
        if isinstance(source, UnresolvedVariableError) or "layers" not in source:
            continue
        try:
            found = resolve(fields.scope, source["layers"])
        except UnresolvedVariableError:
            return True
        if found.value is not None:
            return bool(found.value)
    return False


def _is_wrapped(fields: ServiceFields) -> bool:
    for source in fields.sources("environment"):
        if isinstance(source, UnresolvedVariableError) or "environment" not in source:
            continue
        try:
            variables = resolve(fields.scope, source["environment"]).fields
        except UnresolvedVariableError:
            continue
        if "AWS_LAMBDA_EXEC_WRAPPER" in variables:
            return True
    return False


# --- what is still to be written ---------------------------------------------------------------


def _refuse_unwritten(service: Service, draft: Draft) -> None:
    """A handler that a plugin or a compiler writes, and has not written yet."""
    if draft.handler is None:
        return
    text, where = draft.handler.value, draft.handler.where
    shown = shortened(text)
    module = text.rpartition(".")[0].removeprefix("./")
    if module in INJECTED:
        plugin, hint = INJECTED[module]
        written = f"{module}.py"
        if plugin in service.plugins and not service.seen.kind(service.path(written)):
            message = f'the plugin {plugin} writes the file of "{shown}" when it packages'
            fault = error("plugin-handler", message, where, f"{hint}; then lambdad builds it")
            draft.refused("handler", fault)
        return
    top = module.partition("/")[0]
    if top not in OUTPUTS or "/" not in module or service.seen.kind(_below(draft, top)):
        return
    message = f'"{shown}" is what a compiler writes into {shortened(top)}, and that is not there'
    step = _step(service.manifest)
    hint = f"run {step} first, or name the sources and let lambdad bundle them"
    draft.refused("handler", error("missing-output", message, where, hint))


def _below(draft: Draft, name: str) -> str:
    return name if draft.code.value == "." else f"{draft.code.value}/{name}"


def _step(manifest: Mapping[str, object]) -> str:
    scripts = manifest.get("scripts")
    known = scripts if isinstance(scripts, dict) else {}
    return next((f"`npm run {name}`" for name in SCRIPTS if name in known), "the compiler")
