from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.bundler.located import located_json, located_toml, located_yaml
from lambdad.bundler.located.located import DEPTH, SIZE, Document, Node, decode, plain, shortened
from lambdad.bundler.model import ProjectError

Parse = Callable[[str, str], Document]

PARSERS: dict[str, Parse] = {
    "yaml": located_yaml.parse,
    "json": located_json.parse,
    "toml": located_toml.parse,
}

keys = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=8)
scalars = st.one_of(
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.text(st.characters(exclude_categories=["C"], exclude_characters="\u2028\u2029")),
)
trees = st.dictionaries(
    keys,
    st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=12,
    ),
    max_size=5,
)


def fault(parse: Parse, text: str) -> str:
    with pytest.raises(ProjectError) as caught:
        parse(text, "f")
    (diagnostic,) = caught.value.diagnostics
    where = diagnostic.where
    assert where is not None
    return f"{where.line}:{where.column} {diagnostic.code} {diagnostic.message}"


def every_node(node: Node) -> list[Node]:
    inner = [*node.fields.values(), *node.items]
    return [node, *(each for child in inner for each in every_node(child))]


def at(text: str, line: int, column: int) -> str:
    return text.split("\n")[line - 1][column - 1 :]


@given(tree=trees, indent=st.sampled_from([None, 1, "\t"]))
def test_json_is_what_json_says(tree: dict[str, Any], indent: int | str | None) -> None:
    """A JSON file's values are json.loads's, and at each place stands that value."""
    text = json.dumps(tree, indent=indent, ensure_ascii=False)
    top = located_json.parse(text, "f").top

    assert plain(top) == tree
    for node in every_node(top):
        there = at(text, node.line, node.column)
        if isinstance(node.value, (dict, list)):
            assert there[0] in "{["
        else:
            assert there.startswith(json.dumps(node.value, ensure_ascii=False))


@given(tree=trees)
def test_yaml_takes_flow_style(tree: dict[str, Any]) -> None:
    """JSON without its escapes is YAML, with the same values in the same places."""
    text = json.dumps(tree, ensure_ascii=True, indent=1)
    as_json = located_json.parse(text, "f").top
    if "\\ud" in text or "<<" in text:
        return  # surrogate pairs and merges: here the two differ
    as_yaml = located_yaml.parse(text, "f").top

    assert plain(as_yaml) == plain(as_json)
    assert [(n.line, n.column, n.key_line, n.key_column) for n in every_node(as_yaml)] == [
        (n.line, n.column, n.key_line, n.key_column) for n in every_node(as_json)
    ]


def toml_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return "[ # list\n" + "".join(f"  {toml_text(item)},\n" for item in value) + "]"
    return "{ " + ", ".join(f"{toml_text(k)} = {toml_text(v)}" for k, v in value.items()) + " }"


@given(tree=trees)
def test_toml_places(tree: dict[str, Any]) -> None:
    """A TOML file's values are tomllib's, and every key and value is where its place says."""
    lines = [f"{toml_text(key)} = {toml_text(value)} # end" for key, value in tree.items()]
    text = "\n".join(["# [not.a.table]", *lines, ""])
    top = located_toml.parse(text, "f").top

    assert plain(top) == tree
    for node in every_node(top)[1:]:
        there = at(text, node.line, node.column)
        if isinstance(node.value, (dict, list)):
            assert there[0] in "{["
        else:
            assert there.startswith(toml_text(node.value))
    for key, node in top.fields.items():
        assert at(text, node.key_line, node.key_column).startswith(toml_text(key))


@pytest.mark.parametrize(
    ("text", "path", "place"),
    [
        ("a = 1", ["a"], "1:5 1:1"),
        ("[a.b]\nc.d = [1, [2,\n 3]]", ["a", "b", "c", "d", 1, 1], "3:2"),
        ("[[t]]\nx = 1\n[[t]]\n  x = 2", ["t", 1, "x"], "4:7 4:3"),
        ("[[t]]\n[t.u]\ny = 1\n[[t]]\n[t.u]\ny = 2", ["t", 1, "u", "y"], "6:5 6:1"),
        ('"q [x] # k" = """\na"""  # c\nb = 2', ["b"], "3:5 3:1"),
        ('a = """x\\"" """\nb = 2', ["b"], "2:5 2:1"),
        ("a = '''x''''\nb = 2", ["b"], "2:5 2:1"),
        ("a = { b = [1], 'c.d' = 2 }", ["a", "c.d"], "1:24 1:16"),
        ("a = 1979-05-27 07:32:00\nb = 2", ["b"], "2:5 2:1"),
        ("a = 1\r\nb = 2\r\n", ["b"], "2:5 2:1"),
    ],
)
def test_toml_place(text: str, path: list[str | int], place: str) -> None:
    """Tables, arrays of tables, dotted keys and every kind of string keep places right."""
    node = located_toml.parse(text, "f").top
    for key in path:
        node = node.fields[key] if isinstance(key, str) else node.items[key]
    key_place = f" {node.key_line}:{node.key_column}" if node.key_line else ""
    assert f"{node.line}:{node.column}{key_place}" == place


@pytest.mark.parametrize(
    ("syntax", "text", "expected"),
    [
        ("json", '{"a": 1,\n "b" 2}', "2:6 broken-config expecting ':' delimiter"),
        ("json", "", "1:1 broken-config expecting value"),
        ("json", "[" * 200_000, f"1:101 broken-config nested more than {DEPTH} deep"),
        ("json", '{"a": "[' + "[" * 200, "1:7 broken-config unterminated string"),
        ("json", "[" * 150 + "]" * 150, f"1:101 broken-config nested more than {DEPTH} deep"),
        ("yaml", "a: [1, 2", "2:1 broken-config while parsing a flow sequence, did not find"),
        ("yaml", "a: 1\n---\nb: 2", "2:1 broken-config a second document begins here"),
        ("yaml", "a: &x [*x]", "1:8 broken-config *x would hold itself"),
        ("yaml", "a: *x", "1:4 broken-config *x names nothing above"),
        ("yaml", "a: \x07", "1:4 broken-config a character that YAML does not allow: U+0007"),
        ("yaml", "? [a]\n: b", "1:3 broken-config a key must be plain text"),
        ("yaml", "<<: a", '1:5 broken-config "<<" needs a mapping'),
        ("yaml", "[" * 200_000, f"1:101 broken-config nested more than {DEPTH} deep"),
        ("yaml", "a: [x, {b: \n" + "[" * 200_000, f"2:98 broken-config nested more than {DEPTH}"),
        ("yaml", "# " + "[" * 200 + "\na: '" + "[" * 200 + "'\nb: [", "4:1 broken-config while"),
        ("yaml", "- " * 200_000, f"1:201 broken-config nested more than {DEPTH} deep"),
        ("toml", "a = [", "1:6 broken-config invalid value"),
        ("toml", "a = 1\na = 2", "2:6 broken-config cannot overwrite a value"),
        ("toml", "d = 2001-02-30", "1:5 broken-config invalid date or datetime"),
        ("toml", "a = " + "9" * 5_000, "None:None broken-config Exceeds the limit"),
        ("toml", "a = " + "[" * 20_000, f"1:105 broken-config nested more than {DEPTH} deep"),
        (
            "toml",
            "# " + "[" * 200 + "\na = [" + "'[', " * 200,
            "2:1006 broken-config invalid value",
        ),
        ("toml", "a" + ".a" * 5_000 + " = 1", f"1:199 broken-config nested more than {DEPTH} deep"),
    ],
)
def test_broken_text(syntax: str, text: str, expected: str) -> None:
    """Broken text is one fault with its place, however hostile."""
    assert fault(PARSERS[syntax], text).startswith(expected)


def test_alias_bomb() -> None:
    """Aliases that repeat each other are stopped before they fill the memory."""
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert "aliases repeat too much" in fault(located_yaml.parse, "\n".join(levels))


def test_merge_bomb() -> None:
    """Merges that copy a large mapping again and again are stopped."""
    large = "a: &a {" + ", ".join(f"k{n}: 1" for n in range(1_000)) + "}\n"
    text = large + "".join(f"b{n}: {{<<: *a}}\n" for n in range(1_000))
    assert "repeat too much" in fault(located_yaml.parse, text)


def test_deep_aliases() -> None:
    """A chain of aliases counts as nesting, so that whoever recurses over the tree may."""
    text = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 500))
    assert "nested more than" in fault(located_yaml.parse, text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("!Ref a", {"Ref": "a"}),
        ("!Condition a", {"Condition": "a"}),
        ("!GetAtt a.b.c", {"Fn::GetAtt": ["a", "b.c"]}),
        ("!GetAtt [a, b]", {"Fn::GetAtt": ["a", "b"]}),
        ("!Sub '${a}'", {"Fn::Sub": "${a}"}),
        ("!Join ['', [!Ref a]]", {"Fn::Join": ["", [{"Ref": "a"}]]}),
        ("!Own {a: 1}", {"Fn::Own": {"a": 1}}),
        ("!!str 1", "1"),
        ("! 1", "1"),
        ("yes", True),
        ("'yes'", "yes"),
        ("~", None),
        ("010", 8),
        ("0b", "0b"),
        ("1_000", 1000),
        ("3.10", 3.1),
        ("2010-09-09", "2010-09-09"),
        ("9" * 5000, "9" * 5000),
        ("{<<: [{a: 1, b: 1}, {a: 2, c: 2}], b: 3}", {"b": 3, "a": 1, "c": 2}),
        ("{on: 1, 012: 2, ~: 3}", {"on": 1, "012": 2, "~": 3}),
    ],
)
def test_yaml_value(text: str, value: object) -> None:
    """YAML 1.1 as CloudFormation reads it: tags in their long form, keys as written."""
    assert plain(located_yaml.parse(text, "f").top) == value


def test_text_as_written() -> None:
    """A number's own text is kept: a parameter's default of 3.10 is not 3.1."""
    assert located_yaml.parse("a: 3.10", "f").top.fields["a"].text == "3.10"
    assert located_json.parse('{"a": 3.10}', "f").top.fields["a"].text == "3.10"


@pytest.mark.parametrize("parse", [located_yaml.parse, located_json.parse])
def test_duplicate_key(parse: Parse) -> None:
    """Of duplicate keys the last counts, and the place of each is told."""
    document = parse('{"a": 1,\n "b": {"c": 1}, "a": 2}', "f")
    (warning,) = document.diagnostics
    assert plain(document.top) == {"a": 2, "b": {"c": 1}}
    assert (warning.code, warning.where and warning.where.line) == ("duplicate-key", 2)
    assert warning.hint is not None
    assert "line 1" in warning.hint


@pytest.mark.parametrize(
    ("content", "place", "hint"),
    [
        (b"a: \xff", (1, 4), "UTF-8"),
        ("ä: 1\nbö".encode() + b"\xe9\n", (2, 3), "UTF-8"),
        (b"\xef\xbb\xbfab\xff", (1, 3), "UTF-8"),
        ("a: 1".encode("utf-16"), (1, 1), "UTF-16"),
    ],
)
def test_not_utf8(content: bytes, place: tuple[int, int], hint: str) -> None:
    """Bytes that are no text are told where they stand."""
    with pytest.raises(ProjectError) as caught:
        decode(content, "f")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.where is not None
    assert (diagnostic.where.line, diagnostic.where.column) == place
    assert hint in (diagnostic.hint or "")


def test_too_large() -> None:
    """A file that is no configuration by its size is not parsed."""
    with pytest.raises(ProjectError, match="larger than"):
        decode(b" " * (SIZE + 1), "f")


@given(text=st.text())
def test_shortened(text: str) -> None:
    """The user's text in a message is one short line without control characters."""
    shown = shortened(text)
    assert len(shown) <= 80
    assert shown == "" or shown.isprintable()
    if text.isprintable() and len(text) <= 80:
        assert shown == text
