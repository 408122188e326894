"""AWS SAM and CloudFormation templates.

Sources: AWS SAM Developer Guide ("AWS SAM resource and property reference", "Globals section",
"Building Lambda functions with esbuild"), CloudFormation User Guide (`AWS::Lambda::Function`).
A function whose resource has a `Condition` is built whatever the condition says, as by `sam build`:
the deploy decides.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from bundler.config.declared import Draft, Found, Said
from bundler.config.intrinsics import Scope, UnresolvedError, resolve, resolve_all
from bundler.config.located import Document, Node, broken, decode, kind, plain, shortened
from bundler.config.look import Look, folder_of, joined
from bundler.model import Language, Location, ProjectError, RelPath, error
from bundler.runtimes import RUNTIMES

FILES: Final = ("template.yaml", "template.yml", "template.json")
"""In the order in which one is taken."""

CODE: Final = {"AWS::Serverless::Function": "CodeUri", "AWS::Lambda::Function": "Code"}
"""The types that are functions, each with the property that names its code."""

NESTED: Final = {
    "AWS::Serverless::Application": "Location",
    "AWS::CloudFormation::Stack": "TemplateURL",
}
"""The types that are stacks, each with the property that names its template."""

NEST_DEPTH: Final = 20

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

Given = Mapping[str, str]
"""Parameters' values from outside."""


@dataclass(frozen=True, slots=True)
class _Template:
    look: Look
    file: RelPath
    top: Node
    scope: Scope
    defaults: Mapping[str, Node]
    """Of `Globals.Function`."""
    prefix: str
    """Of its functions' names: the stacks it is nested in."""
    above: tuple[RelPath, ...]
    """The templates that nest it, outermost first."""
    found: Found = field(default_factory=Found)


def read(look: Look, file: RelPath, given: Given) -> Found:
    """The functions of a template, and of the local templates it nests (named Stack/Function)."""
    return _read(look, file, given, "", (), None)


def _read(
    look: Look,
    file: RelPath,
    given: Given,
    prefix: str,
    above: tuple[RelPath, ...],
    where: Location | None,
) -> Found:
    try:
        document = _document(look, file, where)
    except ProjectError as fault:
        return Found(diagnostics=list(fault.diagnostics))
    top = document.top.fields
    scope = Scope(
        parameters=_section(top, "Parameters"),
        mappings=_section(top, "Mappings"),
        conditions=_section(top, "Conditions"),
        given=given,
    )
    function = _section(top, "Globals").get("Function")
    defaults = function.fields if function else {}
    template = _Template(look, file, document.top, scope, defaults, prefix, above)
    template.found.diagnostics += document.diagnostics
    template.found.parameters.update(scope.parameters)
    _sections_are_mappings(template)
    for name, resource in _section(top, "Resources").items():
        _resource(template, name, resource)
    return template.found


def _document(look: Look, file: RelPath, where: Location | None) -> Document:
    content = look.read(file)
    if content is None:
        hint = "check the path; it starts at the folder of the file that says it"
        message = f"there is no template {shortened(file)}"
        raise ProjectError(error("missing-template", message, where or Location(file), hint))
    text = decode(content, file)
    if file.endswith(".json") or text.lstrip().startswith("{"):
        from bundler.config import located_json

        try:
            document = located_json.parse(text, file)
        except ProjectError:
            if file.endswith(".json"):
                raise
            # A flow mapping: YAML that only looks like JSON.
            document = _yaml(text, file)
    else:
        document = _yaml(text, file)
    if not isinstance(document.top.value, dict):
        what = "it is empty" if document.top.value is None else f"it is {kind(document.top)}"
        raise broken(f"not a template: {what}", file, 1, 1)
    resources = document.top.fields.get("Resources")
    if resources is None or not isinstance(resources.value, dict):
        message = "not a template: it has no Resources"
        raise broken(message, file, *_line_of(resources or document.top))
    return document


def _line_of(node: Node) -> tuple[int, int]:
    where = node.key_where
    return where.line or 1, where.column or 1


def _yaml(text: str, file: RelPath) -> Document:
    from bundler.config import located_yaml

    return located_yaml.parse(text, file)


def _section(top: Mapping[str, Node], name: str) -> Mapping[str, Node]:
    section = top.get(name)
    return section.fields if section else {}


def _sections_are_mappings(template: _Template) -> None:
    for name in ("Globals", "Parameters", "Mappings", "Conditions"):
        section = template.top.fields.get(name)
        if section and section.value is not None and not isinstance(section.value, dict):
            message = f"{name} must be a mapping, not {kind(section)}"
            template.found.diagnostics.append(error("bad-value", message, section.where))


def _resource(template: _Template, name: str, resource: Node) -> None:
    found = template.found
    if name.startswith("Fn::"):
        if _mentions_function(resource):
            message = f"{shortened(name)} declares functions, which lambdad does not read"
            hint = "write the functions out"
            where = resource.key_where
            found.diagnostics.append(error("unsupported-loop", message, where, hint))
        return
    if not isinstance(resource.value, dict):
        message = f"resource {shortened(name)} must be a mapping, not {kind(resource)}"
        found.diagnostics.append(error("bad-value", message, resource.key_where))
        return
    form = resource.fields.get("Type")
    if form is None:
        return
    if form.text in CODE:
        found.drafts.append(_function(template, name, resource, form.text))
    elif form.text in NESTED:
        _nested(template, name, resource, form.text)


def _mentions_function(node: Node) -> bool:
    if isinstance(node.value, (dict, list)):
        children = [*node.fields.values(), *node.items]
        return any(_mentions_function(child) for child in children)
    return node.text in CODE


# --- a function's fields ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Fields:
    """A mapping's fields with the template's defaults behind them, intrinsics resolved."""

    scope: Scope
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
        self, node: Node, name: str, setting: str, way: Callable[[Scope, Node], Node | None]
    ) -> Node | None:
        try:
            return way(self.scope, node)
        except UnresolvedError as fault:
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


def _function(template: _Template, name: str, resource: Node, form: str) -> Draft:
    folder = folder_of(template.file)
    where = resource.key_where
    draft = Draft(name=template.prefix + name, where=where, code=Said(folder, where))
    properties = resource.fields.get("Properties")
    own = properties.fields if properties else {}
    defaults = template.defaults if form == "AWS::Serverless::Function" else {}
    fields = _Fields(template.scope, own, defaults, draft)
    metadata = resource.fields.get("Metadata")
    settings = _Fields(template.scope, metadata.fields if metadata else {}, {}, draft)

    _package(template, fields, CODE[form])
    draft.handler = fields.text("Handler", "handler")
    draft.runtime = fields.text("Runtime", "runtime")
    draft.architecture = _architecture(fields)
    draft.layers = _has_layers(fields)
    draft.wrapped = _is_wrapped(fields)
    _build_method(settings, draft)
    return draft


def _package(template: _Template, fields: _Fields, property_name: str) -> None:
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
        path = joined(folder_of(template.file), said.value, template.look.root)
        draft.code = Said(path, said.where)


def _refuse_image(draft: Draft, where: Location) -> None:
    message = "it is a container image, which lambdad does not build"
    hint = "build it with Docker, and say skip = true in lambdad.toml"
    draft.because("package", "refused", error("container-image", message, where, hint))


def _skip_inline(draft: Draft, where: Location) -> None:
    draft.skipped("code", "inline-code", "its code stands in the template", where)


def _remote_code(fields: _Fields, code: Node, name: str) -> None:
    keys = code.fields.keys()
    if "ZipFile" in keys:
        _skip_inline(fields.draft, code.where)
    elif "ImageUri" in keys:
        _refuse_image(fields.draft, code.where)
    elif keys & {"Bucket", "S3Bucket"}:
        fields.draft.skipped("code", "remote-code", "its code is in S3", code.where)
    else:
        fields.wrong(code, name, "code", "a path, or a place in S3")


def _architecture(fields: _Fields) -> Said[str] | None:
    node = fields.get("Architectures", "architecture")
    if node is None:
        return None
    if not isinstance(node.value, list) or len(node.value) != 1:
        fields.wrong(node, "Architectures", "architecture", "a list of one")
        return None
    item = fields.known(node.value[0], "Architectures", "architecture", resolve)
    return None if item is None else fields.as_text(item, "Architectures", "architecture")


def _has_layers(fields: _Fields) -> bool:
    """Also where their names can't be known: that there are some is enough."""
    for layers in (fields.own.get("Layers"), fields.defaults.get("Layers")):
        if layers is None:
            continue
        try:
            found = resolve(fields.scope, layers)
            items = found.items if found else []
            if any(resolve(fields.scope, item) is not None for item in items):
                return True
        except (UnresolvedError, RecursionError):
            return True
    return False


def _is_wrapped(fields: _Fields) -> bool:
    for source in (fields.own, fields.defaults):
        environment = source.get("Environment")
        variables = environment.fields.get("Variables") if environment else None
        if variables and "AWS_LAMBDA_EXEC_WRAPPER" in variables.fields:
            return True
    return False


# --- Metadata --------------------------------------------------------------------------------


def _build_method(metadata: _Fields, draft: Draft) -> None:
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
        draft.because("skip", "refused", fault)


def _language_method(draft: Draft, said: Said[str]) -> None:
    """`python3.12`, `nodejs22.x`: the language's own way. The version is the runtime's."""
    language = Language.PYTHON if said.value.startswith("python") else Language.JAVASCRIPT
    runtime = RUNTIMES.get(draft.runtime.value) if draft.runtime else None
    if runtime and runtime.language is not language:
        message = f"BuildMethod {shortened(said.value)} does not fit the runtime {runtime.name}"
        draft.failed("skip", error("bad-value", message, said.where, "let the two agree"))
    if language is Language.JAVASCRIPT:
        draft.bundle = False


def _build_properties(metadata: _Fields, draft: Draft) -> None:
    from bundler.esbuild import options

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
    for fault in faults:
        draft.failed("esbuild", fault)


def _entry_points(metadata: _Fields, entries: Node) -> tuple[str, ...]:
    texts = [item.text for item in entries.items if isinstance(item.value, str) and item.text]
    if not texts or len(texts) != len(entries.items):
        metadata.wrong(entries, "EntryPoints", "esbuild", "a list of paths")
    return tuple(posixpath.normpath(text) for text in texts)


# --- nested stacks ---------------------------------------------------------------------------


def _nested(template: _Template, name: str, resource: Node, form: str) -> None:
    """Follows a stack's template if it lies in the project's files."""
    where = resource.key_where
    properties = resource.fields.get("Properties")
    own = properties.fields if properties else {}
    stand_in = Draft(name=name, where=where, code=Said(".", where))
    fields = _Fields(template.scope, own, {}, stand_in)
    location = fields.get(NESTED[form], "code")
    # A template that is known only after a deploy, or lies elsewhere, is not ours to build.
    if location is None or not isinstance(location.value, str):
        return
    if not location.value or location.value.startswith(REMOTE):
        return
    file = joined(folder_of(template.file), location.value, template.look.root)
    above = (*template.above, template.file)
    if file in above or len(above) > NEST_DEPTH:
        message = f"{shortened(file)} nests itself" if file in above else "nested too deep"
        fault = error("template-loop", message, location.where, "remove this stack")
        template.found.diagnostics.append(fault)
        return
    given = _passed(template.scope, own.get("Parameters"))
    prefix = f"{template.prefix}{name}/"
    inner = _read(template.look, file, given, prefix, above, location.where)
    template.found.drafts += inner.drafts
    template.found.diagnostics += inner.diagnostics


def _passed(scope: Scope, parameters: Node | None) -> Given:
    """What a stack is given; what can't be known is left out, and matters only if it is needed."""
    given: dict[str, str] = {}
    for name, node in (parameters.fields if parameters else {}).items():
        try:
            found = resolve_all(scope, node)
        except (UnresolvedError, RecursionError):
            continue
        if found is not None and not isinstance(found.value, dict):
            given[name] = ",".join(item.text for item in found.items) or found.text
    return given
