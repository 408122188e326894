"""Which of a service's functions esbuild bundles, and with which options.

The framework bundles by itself (version 4: TypeScript, and what `build` says) or by a plugin. What
webpack or tsc does in one of these, esbuild does here. Sources: serverless-esbuild 1.57,
serverless-webpack 5.16, serverless-bundle 6.3, serverless-plugin-typescript 2.1, and the
framework's own plugins/esbuild.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from lambdad.bundler import aws_sdk
from lambdad.bundler.config.serverless.service import Service, ServiceFields
from lambdad.bundler.config.serverless.variables import UnresolvedVariableError, at
from lambdad.bundler.located.located import Node, kind, plain, shortened
from lambdad.bundler.model import Diagnostic, Location, error, warning
from lambdad.bundler.runtimes import RUNTIMES

WITHOUT_EFFECT: Final = frozenset(
    {"allowOverwrite", "color", "incremental", "logLevel", "logLimit", "logStyle", "metafile"}
    | {"outdir", "outfile", "serve", "write"}
    | {"buildConcurrency", "concurrency", "disposeContext", "keepOutputDirectory", "nativeZip"}
    | {"outputBuildFolder", "outputWorkFolder", "packager", "packagePath", "skipBuildExcludeFns"}
    | {"skipRebuild", "stripEntryResolveExtensions", "watch", "zipConcurrency"}
)
"""Settings of how the work is done, that leave what a zip does as it is."""

OVERRULED: Final = frozenset(
    {"absPaths", "chunkNames", "entryNames", "entryPoints", "outbase", "splitting"}
)
"""Options of esbuild's that lambdad's bundles go without, and still do the same."""

OWN: Final = WITHOUT_EFFECT | frozenset(
    {"bundle", "config", "configFile", "exclude", "external", "installExtraArgs", "nodeExternals"}
    | {"outputFileExtension", "packagerOptions", "plugins", "skipBuild", "sourcemap"}
)
"""Settings that are not esbuild's, or that mean something of their own here."""


@dataclass(slots=True, kw_only=True)
class ServiceBundling:
    """What bundles the functions of a service."""

    by: str
    """A plugin's name, or "build" for the framework itself."""
    bundle: bool | None
    """Of a function that says nothing; None: TypeScript alone."""
    esbuild: dict[str, object] = field(default_factory=dict)
    """Options of esbuild's, not checked yet."""
    places: dict[str, Location] = field(default_factory=dict)
    """Theirs."""
    dependencies: Mapping[str, object] = field(default_factory=dict)
    """The packages that the project declares."""
    external: list[str] | None = None
    exclude: list[str] | None = None
    faults: list[Diagnostic] = field(default_factory=list)
    """Why no function can be bundled so."""
    code: list[Diagnostic] = field(default_factory=list)
    """Why none can, unless lambdad.toml has options to take in place of this code."""
    ready: Location | None = None
    """The setting that says that the bundles are there already."""

    @property
    def takes_patterns(self) -> bool:
        """Whether `package.patterns` add files to a bundle's zip."""
        return self.by in ("build", "serverless-esbuild", "serverless-plugin-typescript")


def read(service: Service) -> ServiceBundling | None:
    """None: nothing bundles, or TypeScript alone, without options of the service's."""
    for plugin, take in PLUGINS.items():
        if plugin in service.plugins:
            bundling = ServiceBundling(by=plugin, bundle=True)
            bundling.dependencies = _dependencies(service.manifest_for(None))
            try:
                take(service, bundling)
            except UnresolvedVariableError as fault:
                bundling.faults.append(fault.diagnostic)
            return bundling
    if service.major < 4:
        return None
    bundling = ServiceBundling(by="build", bundle=None)
    bundling.dependencies = _dependencies(service.manifest)
    try:
        _take_build(service, bundling)
    except UnresolvedVariableError as fault:
        bundling.faults.append(fault.diagnostic)
    return bundling


def _dependencies(manifest: Mapping[str, object]) -> Mapping[str, object]:
    found = manifest.get("dependencies")
    return found if isinstance(found, dict) else {}


def apply(bundling: ServiceBundling, fields: ServiceFields) -> None:
    """Settles whether the function is bundled, and how, for a function of Node.js."""
    draft = fields.draft
    draft.bundle = _is_bundled(bundling, fields)
    if draft.bundle is False:
        return
    if bundling.ready is not None:
        message = f"{bundling.by} is configured to take a ready bundle"
        draft.skipped("esbuild", "skip-build", message, bundling.ready)
        return
    if entry := fields.text("esbuildEntrypoint", "esbuild"):
        draft.entry_points = (entry.value.removeprefix("./").rpartition(".")[0] or entry.value,)
    for fault in bundling.faults:
        draft.failed("esbuild", fault)
    for fault in bundling.code:
        draft.failed("plugins", fault)
    # The framework's default is no more than that: lambdad.toml may have another.
    runtime = draft.runtime.value if draft.runtime else ""
    raw = dict(bundling.esbuild)
    external = _external(bundling, runtime)
    if external:
        raw["external"] = external
    draft.install = _installed(bundling, raw, external)
    from lambdad.bundler.esbuild import options

    checked, faults = options.parse(raw, lambda name: bundling.places.get(name, draft.where))
    draft.esbuild.update(checked)
    draft.unset = raw.keys() - draft.esbuild.keys()
    for fault in faults:
        draft.failed("esbuild", fault)


def _is_bundled(bundling: ServiceBundling, fields: ServiceFields) -> bool | None:
    if bundling.by == "build":
        said = fields.get("build", "bundle")
        return bundling.bundle if said is None else said.text == "esbuild"
    if bundling.by == "serverless-esbuild" and fields.is_true("skipEsbuild", "bundle"):
        return False
    return bundling.bundle


# --- packages that stay out of the bundle ------------------------------------------------------


def _external(bundling: ServiceBundling, runtime: str) -> list[str]:
    external = list(bundling.external or ())
    exclude = bundling.exclude
    if bundling.by == "build":
        if RUNTIMES.get(runtime) and aws_sdk.provided(RUNTIMES[runtime], aws_sdk.V2):
            external.append(aws_sdk.V2)
        elif not any(name.startswith(aws_sdk.SCOPE) for name in bundling.dependencies):
            external.append(f"{aws_sdk.SCOPE}*")
        else:
            external += _matching(bundling, [f"{aws_sdk.SCOPE}*"])
        external += _matching(bundling, bundling.external or ())
    elif exclude is None:
        # By default without version 2 of the AWS SDK. Later runtimes have none, so that a bundle
        # without it would fail there.
        if RUNTIMES.get(runtime) and aws_sdk.provided(RUNTIMES[runtime], aws_sdk.V2):
            external.append(aws_sdk.V2)
    else:
        external += (name for name in exclude if name != "*")
    return [name for name in dict.fromkeys(external) if name and not name.startswith("!")]


def _installed(
    bundling: ServiceBundling, raw: Mapping[str, object], external: Iterable[str]
) -> tuple[str, ...] | None:
    """The packages that go into the zip's node_modules because the bundle is without them."""
    exclude = [*(bundling.exclude or ())]
    if "*" in exclude:
        return None
    if bundling.by == "build":
        exclude += (aws_sdk.V2, f"{aws_sdk.SCOPE}*")
    elif bundling.exclude is None:
        exclude.append(aws_sdk.V2)
    dependencies = bundling.dependencies
    names = set(external).intersection(dependencies)
    if raw.get("packages") == "external":
        names = set(dependencies)
    return tuple(sorted(names - set(_matching(bundling, exclude)))) or None


def _matching(bundling: ServiceBundling, patterns: Iterable[str]) -> list[str]:
    """The declared packages that the patterns match; "!" before one takes them out again."""
    found: dict[str, None] = {}
    for pattern in patterns:
        names = fnmatch.filter(bundling.dependencies, pattern.removeprefix("!"))
        for name in names:
            if pattern.startswith("!"):
                found.pop(name, None)
            else:
                found[name] = None
    return list(found)


# --- settings ----------------------------------------------------------------------------------


def _take_esbuild(service: Service, bundling: ServiceBundling) -> None:
    node = service.custom("custom.esbuild")
    _take_options(service, bundling, node, "custom.esbuild")
    if node is None:
        return
    fields = node.fields
    path = fields.get("packagePath")
    if path is not None and path.text:
        bundling.dependencies = _dependencies(service.manifest_for(path.text))
    if extension := fields.get("outputFileExtension"):
        _add(bundling, "outExtension", {".js": plain(extension)}, extension.where)
    if (ready := fields.get("skipBuild")) and ready.value is True:
        bundling.ready = ready.where


def _take_build(service: Service, bundling: ServiceBundling) -> None:
    node = service.custom("build")
    esbuild = node.fields.get("esbuild") if node else None
    if node is not None and node.value is not None and esbuild is None:
        bundling.bundle = node.text == "esbuild"
    if esbuild is not None and esbuild.value is not None:
        bundling.bundle = esbuild.value not in (False, "")
    _add(bundling, "sourcemap", True, node.where if node else None)
    if service.manifest.get("type") == "module":
        _add(bundling, "format", "esm", node.where if node else None)
    _take_options(service, bundling, esbuild, "build.esbuild")
    if bundling.esbuild.get("outExtension") == {".js": ".js"}:
        # The package.json that the framework puts beside it makes that load; we need none.
        del bundling.esbuild["outExtension"]


def _take_options(
    service: Service, bundling: ServiceBundling, node: Node | None, path: str
) -> None:
    if node is None or isinstance(node.value, (bool, type(None))):
        return
    if not isinstance(node.value, dict):
        message = f"{path} must be a mapping, not {kind(node)}"
        bundling.faults.append(error("bad-value", message, node.where))
        return
    ignored = []
    for name, item in node.fields.items():
        if item.value is None or name in WITHOUT_EFFECT:
            continue
        if name in OVERRULED or (name in ("packagerOptions", "installExtraArgs") and plain(item)):
            ignored.append(item)
        elif name not in OWN:
            _add(bundling, name, plain(item), item.where)
    for name in ("config", "configFile", "plugins", "nodeExternals"):
        code = node.fields.get(name)
        if code is not None and plain(code):
            bundling.code.append(_code(f"{path}.{name}", code))
    if (bundle := node.fields.get("bundle")) and bundle.value is False:
        message = f"{path}.bundle is false: each file would be on its own, without what it imports"
        hint = "remove it, or say bundle = false for the function in lambdad.toml"
        bundling.faults.append(error("unsupported-option", message, bundle.where, hint))
    if source_map := node.fields.get("sourcemap"):
        form = source_map.fields.get("type")
        _add(bundling, "sourcemap", plain(form) if form else _flag(source_map), source_map.where)
    bundling.external = _names(bundling, node, "external", path)
    bundling.exclude = _names(bundling, node, "exclude", path)
    note(service, path, {item: name for name, item in node.fields.items() if item in ignored})


def _flag(source_map: Node) -> object:
    return True if isinstance(source_map.value, dict) else plain(source_map)


def _code(path: str, item: Node) -> Diagnostic:
    message = f"{path} is code, which lambdad does not run; without it bundles would differ"
    hint = "set what it does as options of esbuild, here or in lambdad.toml ([defaults.esbuild])"
    return error("unsupported-option", message, item.key_where, hint)


def _names(bundling: ServiceBundling, node: Node, name: str, path: str) -> list[str] | None:
    said = node.fields.get(name)
    if said is None or said.value is None:
        return None
    items = said.items if isinstance(said.value, list) else [said]
    if not all(isinstance(item.value, str) for item in items):
        message = f"{path}.{name} must be a list of texts"
        bundling.faults.append(error("bad-value", message, said.where))
        return None
    return [item.text for item in items]


def _add(bundling: ServiceBundling, name: str, value: object, where: Location | None) -> None:
    bundling.esbuild[name] = value
    if where is not None:
        bundling.places[name] = where


def note(service: Service, path: str, ignored: Mapping[Node, str]) -> None:
    """One warning for all settings of a table that count for nothing."""
    if not ignored:
        return
    first = next(iter(ignored))
    names = ", ".join(shortened(name) for name in ignored.values())
    message = f"{path}: lambdad has no counterpart of {names}, and goes without"
    hint = "see whether the zips lack anything; options of ours are set in lambdad.toml"
    service.notes.append(warning("ignored-setting", message, first.key_where, hint))


def _take_webpack(service: Service, bundling: ServiceBundling) -> None:
    node = service.custom("custom.webpack")
    modules = node.fields.get("includeModules") if node else None
    if modules is not None:
        bundling.exclude = _names(bundling, modules, "forceExclude", "includeModules")
        bundling.external = _names(bundling, modules, "forceInclude", "includeModules")
    fields = node.fields if node else {}
    where = node.where if node else None
    _instead(service, "webpack's own configuration", fields.get("webpackConfig"), where)
    note(
        service,
        "custom.webpack",
        {fields[name]: name for name in ("excludeFiles", "excludeRegex") if name in fields},
    )


def _take_bundle(service: Service, bundling: ServiceBundling) -> None:
    node = service.custom("custom.bundle")
    if node is None:
        return
    fields = node.fields
    bundling.exclude = _names(bundling, node, "forceExclude", "custom.bundle")
    external = fields.get("externals")
    named = [*(_names(bundling, node, "forceInclude", "custom.bundle") or ())]
    if external is not None and external.text == "all":
        _add(bundling, "packages", "external", external.where)
    elif external is not None:
        named += _names(bundling, node, "externals", "custom.bundle") or ()
    bundling.external = named
    if (maps := fields.get("sourcemaps")) and maps.value is True:
        _add(bundling, "sourcemap", True, maps.where)
    if (config := fields.get("tsConfig")) and isinstance(config.value, str):
        _add(bundling, "tsconfig", config.text, config.where)
    known = {"externals", "forceExclude", "forceInclude", "sourcemaps", "tsConfig"}
    known |= {"caching", "disableForkTsChecker", "esbuild", "generateStatsFiles", "linting"}
    known |= {"packager", "stats"}
    ignored = {item: name for name, item in fields.items() if name not in known and plain(item)}
    note(service, "custom.bundle", ignored)


def _take_typescript(service: Service, bundling: ServiceBundling) -> None:
    bundling.bundle = None
    node = service.custom("custom.serverlessPluginTypescript.tsConfigFileLocation")
    if node is not None and isinstance(node.value, str):
        _add(bundling, "tsconfig", node.text, node.where)


def _instead(service: Service, what: str, item: Node | None, where: Location | None) -> None:
    message = f"esbuild bundles the functions here, and {what} is not read"
    hint = "set what the functions need of it as options of esbuild: [defaults.esbuild]"
    place = item.where if item else where or Location(service.file)
    service.notes.append(warning("ignored-setting", message, place, hint))


def _take_other(service: Service, bundling: ServiceBundling) -> None:
    plugins = at(service.scope, "plugins")
    listed = (plugins.fields.get("modules") or plugins).items if plugins else []
    where = next((item.where for item in listed if item.text == bundling.by), None)
    _instead(service, f"what the plugin {bundling.by} is told", None, where)


PLUGINS: Final[Mapping[str, Callable[[Service, ServiceBundling], None]]] = {
    "serverless-esbuild": _take_esbuild,
    "serverless-bundle": _take_bundle,
    "serverless-webpack": _take_webpack,
    "serverless-plugin-typescript": _take_typescript,
    "serverless-rspack": _take_other,
    "serverless-plugin-optimize": _take_other,
    "serverless-vite": _take_other,
}
"""The plugins that bundle; of several, the first."""
