from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.bundler.config import schema
from lambdad.bundler.config.check import OF_LANGUAGE
from lambdad.bundler.located import located_toml
from lambdad.bundler.located.located import plain
from lambdad.bundler.runtimes import ARCHITECTURES, RUNTIMES
from tests.support.config_cases import CASES
from tests.support.paths import ROOT

SCHEMA = schema.load()
DOCUMENT = ROOT / "docs" / "configuration.md"
FUNCTION = SCHEMA["$defs"]["function"]["properties"]
DEFAULTS = SCHEMA["properties"]["defaults"]["properties"]

VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def every_schema(node: Any) -> Iterator[dict[str, Any]]:
    """The schema and those in it; the names of properties are no keywords."""
    yield node
    for name, inner in node.items():
        if name in ("properties", "$defs"):
            for each in inner.values():
                yield from every_schema(each)
        elif name in ("items", "additionalProperties") and isinstance(inner, dict):
            yield from every_schema(inner)


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    return {**resolved(SCHEMA["$defs"][node["$ref"].removeprefix("#/$defs/")]), **node}


def test_schema_is_one() -> None:
    """schema.json is a valid schema, and uses nothing that lambdad would pass over."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for each in every_schema(SCHEMA):
        assert each.keys() <= schema.KEYWORDS


def test_schema_speaks_to_editors() -> None:
    """Every setting has a title and a description, and its examples are right."""
    for name, setting in {**SCHEMA["properties"], **FUNCTION, **DEFAULTS}.items():
        whole = resolved(setting)
        assert whole.keys() >= {"title", "description"}, name
        validator = VALIDATOR.evolve(schema={**whole, "$defs": SCHEMA["$defs"]})
        for example in whole.get("examples", ()):
            validator.validate(example)


def test_schema_knows_the_tables() -> None:
    """Architectures, runtimes and settings are those that the rest of lambdad knows."""
    assert set(SCHEMA["$defs"]["architecture"]["enum"]) == set(ARCHITECTURES)
    assert set(SCHEMA["$defs"]["runtime"]["examples"]) <= set(RUNTIMES)
    assert set(OF_LANGUAGE) <= set(FUNCTION)
    assert set(DEFAULTS) < set(FUNCTION)


names = st.sampled_from(sorted({*FUNCTION, *SCHEMA["properties"], "nonsense", "from", "to"}))
values = st.recursive(
    st.sampled_from([True, 3, "", "x", "not ok", "arm64", "uv", "boto3", 1.5]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=8,
)
lists = st.lists(st.sampled_from(["boto3", "x", ""]), max_size=3)
tables = st.dictionaries(names, values) | st.fixed_dictionaries(
    {},
    optional={"without": lists, "entry_points": lists, "exclude": lists, "copy": st.lists(values)},
)
functions = st.dictionaries(st.sampled_from(["a", "b/c"]), tables | values)
files = st.dictionaries(names, values) | st.fixed_dictionaries(
    {}, optional={"functions": functions, "defaults": st.dictionaries(names, values)}
)


def as_toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"'{key}' = {as_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return f"'{value}'" if isinstance(value, str) else str(value).lower()


@given(file=files)
def test_same_verdict_as_jsonschema(file: dict[str, Any]) -> None:
    """What jsonschema finds fault with is told, at the same keys, and nothing else is."""
    text = "".join(f"{key} = {as_toml(value)}\n" for key, value in file.items())
    top = located_toml.parse(text, "f").top
    assert plain(top) == file

    ours = {path for path, _fault in schema.faults(top, SCHEMA)}
    theirs: set[tuple[str, ...]] = set()
    for fault in VALIDATOR.iter_errors(file):
        path = tuple(key for key in fault.absolute_path if isinstance(key, str))
        if fault.validator == "additionalProperties":
            known = fault.schema["properties"]
            theirs |= {(*path, key) for key in fault.instance if key not in known}
        else:
            theirs.add(path)
    assert ours == theirs


@pytest.mark.parametrize("name", ["missing-template", "toml-faults", "toml-only"])
def test_cases(name: str) -> None:
    """A whole lambdad.toml has faults of ours exactly where jsonschema has some."""
    file = CASES / name / "lambdad.toml"
    top = located_toml.parse(file.read_text(), "f").top
    assert bool(list(schema.faults(top, SCHEMA))) != VALIDATOR.is_valid(plain(top))


def rows(heading: str) -> dict[str, str]:
    section = DOCUMENT.read_text(encoding="utf-8").split(f"### {heading}\n")[1].split("\n## ")[0]
    section = section.split("\n### ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| .+ \| (.+) \|$", section, re.MULTILINE))


@pytest.mark.parametrize(
    ("heading", "settings"),
    [
        ("Top level", SCHEMA["properties"]),
        ("`[functions.NAME]`", FUNCTION),
        ("`[defaults]`", DEFAULTS),
    ],
)
def test_document(heading: str, settings: dict[str, Any]) -> None:
    """docs/configuration.md has every setting, and says of it what the schema says."""
    assert rows(heading) == {
        name: resolved(setting)["description"] for name, setting in settings.items()
    }


def test_document_example() -> None:
    """The example in docs/configuration.md is a lambdad.toml without fault."""
    (example,) = re.findall(r"```toml\n(.+?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    top = located_toml.parse(example, "f").top
    assert not list(schema.faults(top, SCHEMA))
