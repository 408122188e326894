"""AWS CDK apps, by the cloud assembly that `cdk synth` writes: which functions their stacks hold.

A function's name is its construct's path (Stack/Handler), or its resource's logical id. The source
of its asset is known if the assembly names it: by default it holds copies, without their origin.
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Mapping
from typing import Final

from lambdad.bundler.config.api_drafts import FoundApis
from lambdad.bundler.config.cdk.assembly import (
    SYNTH,
    Assembly,
    Stack,
    classes_of,
    open_assembly,
    path_of,
)
from lambdad.bundler.config.declared import Draft, Found, Said
from lambdad.bundler.config.files import CDK_APP, CDK_MANIFEST
from lambdad.bundler.config.paths import folder_of, joined
from lambdad.bundler.config.sam.function import Context, read_function
from lambdad.bundler.config.sam.intrinsics import scope_of
from lambdad.bundler.inputs.seen import Seen
from lambdad.bundler.located import located_json
from lambdad.bundler.located.located import Document, Node, broken, decode, shortened
from lambdad.bundler.model import Diagnostic, Location, ProjectError, RelPath, error

FUNCTION: Final = "AWS::Lambda::Function"
NESTED: Final = "AWS::CloudFormation::Stack"

MOST: Final = 2_000
"""Templates of an assembly that are read."""

SOURCES: Final = ("aws:asset:original-path", "aws:asset:path")
"""Metadata that says where an asset is; the first, of some versions only, before it was copied."""
BUNDLED: Final = "aws:asset:is-bundled"

STAGED: Final = re.compile(r"(?:.*/)?asset\.[0-9a-f]{64}(\.[A-Za-z0-9.]+)?")
"""A copy in the assembly, by its contents' digest."""

BUNDLING: Final = re.compile(r".*[.](?:NodejsFunction|PythonFunction|GoFunction)")
"""Constructs that bundle whatever they are given."""

UUID: Final = "[0-9a-fA-F]{32}"
OWN: Final = re.compile(
    rf"""
    Custom::.+ | @aws-cdk--.+ | com[.]amazonaws[.]cdk[.].+   # providers of custom resources
    | .+CustomResourceProvider | AWSCDK.+Provider
    | framework-(?:onEvent|isComplete|onTimeout)             # custom_resources.Provider
    | (?:AWS|BucketNotificationsHandler|CrossRegionAwsSdk|Eval|LogRetention){UUID}
    | SingletonLambda(?:224e77f9a32e4b4dac32983477abba16|8693BB64968944B69AAFB0CC9EB8757C)
    """,
    re.VERBOSE,
)
"""The ids under which aws-cdk-lib puts functions of its own into a stack."""


def named(seen: Seen) -> Said[RelPath] | None:
    """The manifest in the folder that cdk.json names as its output, if it is there."""
    app = read_app(seen)
    output = app.fields.get("output") if app else None
    if output is None or not isinstance(output.value, str) or not output.value:
        return None
    manifest = joined(".", f"{output.value}/{CDK_MANIFEST}", seen.root)
    return Said(manifest, output.where) if seen.kind(manifest) == "file" else None


def read_app(seen: Seen) -> Node | None:
    """cdk.json; None if none can be read. The CDK itself reports what is wrong there."""
    try:
        content = seen.read(CDK_APP)
        return located_json.parse(decode(content, CDK_APP), CDK_APP).top if content else None
    except ProjectError:
        return None


def read(seen: Seen, file: Said[RelPath], given: Mapping[str, str]) -> Found:
    """The functions of every stack, nested ones and those of Stages too."""
    found = Found()
    try:
        assembly = open_assembly(seen, file)
    except ProjectError as fault:
        found.diagnostics += fault.diagnostics
        found.broken = True
        return found
    todo: list[tuple[Stack, tuple[RelPath, ...]]] = []
    todo += ((stack, ()) for stack in reversed(assembly.stacks))
    count = 0
    parsed: list[tuple[Stack, Document | None]] = []
    while todo:
        stack, above = todo.pop()
        count += 1
        try:
            if stack.file in above or count > MOST:
                raise _endless(stack)
            document = _template(assembly.seen, stack)
            parsed.append((stack, document))
            nested = _read_stack(assembly, stack, document, given, found) if document else []
        except ProjectError as fault:
            found.diagnostics += fault.diagnostics
            found.broken = True
            continue
        todo += ((each, (*above, stack.file)) for each in reversed(nested))
    found.apis.append(functools.partial(_apis, assembly, parsed, given))
    return found


def _apis(
    assembly: Assembly, parsed: list[tuple[Stack, Document | None]], given: Mapping[str, str]
) -> FoundApis:
    from lambdad.bundler.config.cdk import http

    def named(stack: Stack, logical_id: str, resource: Node) -> str:
        return _name(_path(assembly, stack, logical_id, resource))

    return http.read(assembly.seen, parsed, given, named)


def _endless(stack: Stack) -> ProjectError:
    message = f"{shortened(stack.file)} nests itself, or is one of more than {MOST}"
    return ProjectError(error("template-loop", message, Location(stack.file), f"{SYNTH} again"))


def _read_stack(
    assembly: Assembly,
    stack: Stack,
    document: Document,
    given: Mapping[str, str],
    found: Found,
) -> list[Stack]:
    """Adds the stack's functions; returns the stacks that it nests. Raises ProjectError."""
    found.diagnostics += document.diagnostics
    scope = scope_of(document, given)
    resources = document.top.fields["Resources"].fields if scope.resources else {}
    found.parameters.update(scope.parameters)
    context = Context(
        root=assembly.seen.root, folder=folder_of(stack.file), scope=scope, defaults={}
    )
    nested = []
    for logical_id, resource in resources.items():
        form = resource.fields.get("Type")
        if form is None:
            continue
        if form.text == FUNCTION:
            found.drafts.append(_function(assembly, stack, context, logical_id, resource))
        elif form.text == NESTED:
            nested += _nested(assembly, stack, logical_id, resource)
    return nested


def _template(seen: Seen, stack: Stack) -> Document | None:
    """None: it holds nothing of ours. Raises ProjectError."""
    content = seen.read(stack.file)
    if content is None:
        message = f"there is no {shortened(stack.file)}: the cloud assembly is not whole"
        where = Location(f"{stack.folder}/{CDK_MANIFEST}")
        raise ProjectError(error("missing-synth", message, where, f"{SYNTH} again"))
    found = decode(content, stack.file)
    if FUNCTION not in found and NESTED not in found:
        return None
    document = located_json.parse(found, stack.file)
    if not isinstance(document.top.value, dict):
        raise broken("not a template: it holds no object", stack.file, 1, 1)
    return document


def _nested(assembly: Assembly, stack: Stack, logical_id: str, resource: Node) -> list[Stack]:
    metadata = resource.fields.get("Metadata")
    told = metadata.fields.get("aws:asset:path") if metadata else None
    properties = resource.fields.get("Properties")
    url = properties.fields.get("TemplateURL") if properties else None
    source = told.text if told else _by_key(stack, url) if url else None
    if not source:
        return []  # a template that lies elsewhere
    file = posixpath.normpath(posixpath.join(stack.folder, source))
    if not file.startswith(f"{assembly.top}/") or not file.isprintable():
        return []
    path = _path(assembly, stack, logical_id, resource)
    # Of Main/Inner.NestedStack/Inner.NestedStackResource.
    above = path.rpartition("/")[0]
    inner = above.removesuffix(".NestedStack") if above.endswith(".NestedStack") else path
    return [
        Stack(file, inner, stack.folder, stack.assets, stack.metadata, stack.metadata_file),
    ]


def _by_key(stack: Stack, url: Node) -> str | None:
    """The asset whose name in S3 ends the URL, however that is put together."""
    ending = _last_text(url)
    keys = (key for key in stack.assets if ending == key or ending.endswith(f"/{key}"))
    return next((stack.assets[key] for key in keys), None)


def _last_text(node: Node) -> str:
    while not isinstance(node.value, str):
        children = [*node.fields.values(), *node.items]
        if not children:
            return ""
        node = children[-1]
    return node.value


def _path(assembly: Assembly, stack: Stack, logical_id: str, resource: Node) -> str:
    metadata = resource.fields.get("Metadata")
    told = metadata.fields.get("aws:cdk:path") if metadata else None
    if told and isinstance(told.value, str) and told.value:
        return told.value
    return path_of(assembly, stack, logical_id) or f"{stack.path}/{logical_id}"


def _name(path: str) -> str:
    """The resource is a child of the construct that people wrote."""
    return path.removesuffix("/Resource").removesuffix("/Default")


# --- a function ----------------------------------------------------------------------------------


def _function(
    assembly: Assembly, stack: Stack, context: Context, logical_id: str, resource: Node
) -> Draft:
    path = _path(assembly, stack, logical_id, resource)
    name = _name(path)
    draft = read_function(context, name, resource, FUNCTION)
    draft.alias = logical_id
    if any(OWN.fullmatch(part) for part in name.split("/")):
        _leave_alone(draft)
        return draft
    properties = resource.fields.get("Properties")
    code = properties.fields.get("Code") if properties else None
    if code is None and "package" not in draft.reasons:
        draft.failed("source", error("bad-value", "its template has no Code", draft.where))
    elif code is not None and "S3Key" in code.fields:
        _asset(assembly, stack, draft, resource, code)
    return draft


def _leave_alone(draft: Draft) -> None:
    draft.reasons.clear()
    draft.skipped("source", "framework-function", "it is a function of the CDK's own", draft.where)


def _asset(assembly: Assembly, stack: Stack, draft: Draft, resource: Node, code: Node) -> None:
    """Where its code is, if that is an asset of the assembly and not just a place in S3."""
    metadata = resource.fields.get("Metadata")
    told: Mapping[str, Node] = metadata.fields if metadata else {}
    node = next((told[key] for key in SOURCES if key in told and told[key].text), None)
    path = node.text if node else _by_key(stack, code.fields["S3Key"])
    if path is None:
        return
    where = node.where if node else code.where
    draft.reasons.pop("code", None)
    draft.code = Said(".", draft.where)
    if "/node_modules/aws-cdk-lib/" in path or "/node_modules/@aws-cdk/" in path:
        _leave_alone(draft)
        return
    bundled = told.get(BUNDLED)
    if bundled.value is True if bundled else _bundles(assembly, draft.name):
        draft.skipped("source", "ready-asset", "the CDK bundled its asset already", where)
        if draft.runtime and draft.runtime.value.startswith("nodejs"):
            # If lambdad.toml says what it is made of, lambdad bundles it.
            draft.bundle = True
    elif staged := STAGED.fullmatch(path):
        if staged[1]:
            draft.skipped("source", "ready-archive", "its asset is an archive: ready", where)
        else:
            draft.staged = joined(stack.folder, path, assembly.seen.root)
            draft.refused("source", _unknown(draft, where))
    else:
        draft.code = Said(_placed(assembly.seen, stack.folder, path), where)


def _bundles(assembly: Assembly, path: str) -> bool:
    """Whether the construct is one that bundles; asked where metadata says nothing of its asset."""
    return any(map(BUNDLING.fullmatch, classes_of(assembly, path)[-1:]))


def _unknown(draft: Draft, where: Location) -> Diagnostic:
    message = "the cloud assembly holds a copy of its code, and does not say from where"
    table = f'[functions."{shortened(draft.name)}"]'
    said = f'set it in lambdad.toml: {table} code = "FOLDER"'
    hint = f"run `lambdad init`, which looks for it, or {said}; or run cdk synth --no-staging"
    return error("unknown-source", message, where, hint)


def _placed(seen: Seen, folder: RelPath, path: str) -> RelPath:
    if not path.startswith("/") or path.startswith(f"{seen.root}/"):
        return joined(folder, path, seen.root)
    # The app may have been synthesised through a symlink to the project's folder.
    try:
        real = seen.real(path)
    except (OSError, ValueError):
        real = path
    inside = real == seen.root or real.startswith(f"{seen.root}/")
    return joined(folder, real if inside else path, seen.root)
