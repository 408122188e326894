"""Which route a request takes."""

from __future__ import annotations

import pytest

from lambdad.bundler.config.routes import ApiKind, Fixed
from lambdad.daemon.live.http.matching import (
    NotFound,
    label,
    match,
    overview,
    parameters_of,
)
from lambdad.daemon.live.http.request import Matched
from tests.support.http_requests import api, route

PETS = (
    *("GET /pets", "POST /pets", "ANY /pets/{id}", "GET /pets/dog", "GET /pets/{id}/toys"),
    *("ANY /pets/{proxy+}", "GET /{proxy+}", "ANY /"),
)


@pytest.mark.parametrize(
    ("kind", "asked", "expected", "parameters"),
    [
        (ApiKind.HTTP, "GET /pets", "GET /pets", {}),
        (ApiKind.HTTP, "GET /pets/", "GET /pets", {}),
        (ApiKind.HTTP, "GET /pets/dog", "GET /pets/dog", {}),
        (ApiKind.HTTP, "GET /pets/cat", "ANY /pets/{id}", {"id": "cat"}),
        (ApiKind.HTTP, "GET /pets/a%2Fb", "ANY /pets/{id}", {"id": "a/b"}),
        (ApiKind.HTTP, "POST /pets/dog", "ANY /pets/{id}", {"id": "dog"}),
        (ApiKind.HTTP, "GET /pets/1/toys", "GET /pets/{id}/toys", {"id": "1"}),
        (ApiKind.HTTP, "PUT /pets/1/toys", "ANY /pets/{proxy+}", {"proxy": "1/toys"}),
        (ApiKind.HTTP, "GET /else/x", "GET /{proxy+}", {"proxy": "else/x"}),
        (ApiKind.HTTP, "PUT /", "ANY /", {}),
        (ApiKind.HTTP, "PUT /else", None, {}),
        (ApiKind.REST, "GET /pets/cat", "ANY /pets/{id}", {"id": "cat"}),
        (ApiKind.REST, "PUT /pets", None, {}),
        (ApiKind.REST, "POST /pets/dog", None, {}),
        (ApiKind.REST, "PUT /pets/1/toys", None, {}),
    ],
)
def test_precedence(
    kind: ApiKind, asked: str, expected: str | None, parameters: dict[str, str]
) -> None:
    """Text before a parameter before a greedy one; a REST API's resource decides before methods."""
    method, _, path = asked.partition(" ")
    for order in (1, -1):
        routes = [route(key) for key in PETS[::order]]
        found = match([api(kind, *routes)], "localhost:3000", method, path)
        if expected is None:
            assert isinstance(found, NotFound)
        else:
            assert isinstance(found, Matched)
            assert (found.route.key, dict(found.parameters)) == (expected, parameters)


def test_a_method_goes_before_any() -> None:
    for keys in (("ANY /x", "GET /x"), ("GET /x", "ANY /x")):
        found = match([api(ApiKind.HTTP, *map(route, keys))], "localhost", "GET", "/x")
        assert isinstance(found, Matched)
        assert found.route.key == "GET /x"


@pytest.mark.parametrize(
    ("wanted", "path", "expected"),
    [
        ("/a/{b}", "/a/", None),
        ("/a/{b+}", "/a", None),
        ("/{b+}", "/", None),
        ("/{b+}", "/x/y%20z", {"b": "x/y z"}),
        ("/a/{b}/c", "/a/1/d", None),
        ("/a/{b}", "/a/1/2", None),
        ("/a b", "/a%20b", {}),
        ("/A", "/a", None),
        ("/", "/", {}),
    ],
)
def test_parameters(wanted: str, path: str, expected: dict[str, str] | None) -> None:
    assert parameters_of(wanted, path) == expected


def test_the_default_route_is_the_last() -> None:
    """Of any API, once no other route of any takes the request."""
    apis = [
        api(ApiKind.HTTP, route("$default"), name="One"),
        api(ApiKind.REST, route("GET /x"), name="Two"),
    ]
    for path, key in (("/x", "GET /x"), ("/y", "$default")):
        found = match(apis, "localhost", "GET", path)
        assert isinstance(found, Matched)
        assert found.route.key == key


def test_a_path_may_begin_with_the_stage() -> None:
    apis = [api(ApiKind.REST, route("GET /x"), route("GET /"))]
    for path, inner in (("/x", "/x"), ("/Prod/x", "/x"), ("/Prod", "/"), ("/Prod/", "/")):
        found = match(apis, "localhost", "GET", path)
        assert isinstance(found, Matched)
        assert found.path == inner
    assert isinstance(match(apis, "localhost", "GET", "/Production/x"), NotFound)


APIS = [
    api(ApiKind.HTTP, route("GET /x"), name="Stack/My_Api"),
    api(ApiKind.HTTP, route("GET /x"), name="Other"),
    api(ApiKind.URL, route("$default"), name="Hook"),
]


@pytest.mark.parametrize(
    ("host", "path", "name", "inner"),
    [
        ("localhost:3000", "/x", "Stack/My_Api", "/x"),
        ("other.localhost:3000", "/x", "Other", "/x"),
        ("OTHER.localhost", "/x", "Other", "/x"),
        ("stack-my-api.localhost", "/x", "Stack/My_Api", "/x"),
        ("hook.localhost:3000", "/any/thing", "Hook", "/any/thing"),
        ("127.0.0.1:3000", "/@hook/any", "Hook", "/any"),
        ("127.0.0.1:3000", "/@hook", "Hook", "/"),
        ("127.0.0.1:3000", "/any", None, ""),
        ("127.0.0.1:3000", "/@none/x", None, ""),
    ],
)
def test_a_host_and_a_path_for_each_api(host: str, path: str, name: str | None, inner: str) -> None:
    """A function's URL answers there alone, where there are other APIs."""
    found = match(APIS, host, "GET", path)
    if name is None:
        assert isinstance(found, NotFound)
    else:
        assert isinstance(found, Matched)
        assert (found.api.name, found.path) == (name, inner)


def test_a_url_that_is_all_there_is_answers_everywhere() -> None:
    assert isinstance(match(APIS[2:], "localhost:3000", "GET", "/x"), Matched)


def test_the_nearest_route_comes_first() -> None:
    """What only answers preflights is not listed."""
    preflight = Fixed(status=200)
    keys = ("GET /users", "POST /notes", "GET /notes/{id}")
    routes = [*map(route, keys), route("OPTIONS /notes", preflight)]
    found = match([api(ApiKind.HTTP, *routes)], "localhost", "GET", "/note")
    assert isinstance(found, NotFound)
    assert found.near == ("POST /notes", "GET /notes/{id}", "GET /users")
    wrong_method = match([api(ApiKind.HTTP, *routes)], "localhost", "PUT", "/notes/1")
    assert isinstance(wrong_method, NotFound)
    assert wrong_method.near[0] == "GET /notes/{id}"


def test_an_overview_for_people() -> None:
    """A function's URL by its own host, unless it is all there is."""
    routes = [*map(route, ("GET /users", "$default")), route("OPTIONS /users", Fixed(status=200))]
    apis = [api(ApiKind.HTTP, *routes), APIS[2]]
    assert overview(apis, 3000) == [
        "GET /users  F",
        "ANY $default  F",
        "http://hook.localhost:3000/  F",
    ]
    assert overview(APIS[2:], 3000) == ["ANY $default  F"]
    many = [api(ApiKind.HTTP, *(route(f"GET /{number}") for number in range(25)))]
    assert overview(many, 3000)[20:] == ["and 5 more routes"]


def test_a_name_that_is_no_host() -> None:
    assert label(api(name="Über/Ap!")) == "ber-ap"
    assert label(api(name="!")) == "api"
