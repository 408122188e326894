"""The daemon's interface, asked as any client would: over its socket, of a real daemon."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lambdad.daemon.life import control
from lambdad.daemon.serving import protocol
from tests.bundler.inputs.test_snapshot import wait_for_tick
from tests.support.daemons import ends, processes
from tests.support.served import APP, PYTHON, SCRIPT, Gate, Served, gate, served, slow_app
from tests.support.unixhttp import Connection, Reply, ask, connect

PROBLEM = "application/problem+json"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """For tests that edit nothing."""
    with served(tmp_path_factory.mktemp("still")) as found:
        yield found


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[Gate]:
    with gate(tmp_path / "gate") as found:
        yield found


@pytest.fixture
def slow(tmp_path: Path, gated: Gate) -> Iterator[Served]:
    """Two's zip is built once the gate opens."""
    with served(tmp_path, slow_app(gated)) as found:
        yield found
        gated.open(8)  # whoever still waits is not in the way of the end


def statuses(answer: Any) -> dict[str, str]:
    return {found["name"]: found["status"] for found in answer["functions"]}


def codes(answer: Any) -> list[str]:
    """Of all diagnostics."""
    items = [answer, *answer["functions"]]
    return [found["code"] for item in items for found in item["diagnostics"]]


# --- fresh -------------------------------------------------------------------------------------


def test_live_is_the_default(still: Served) -> None:
    """Without `want` the answer tells what to load on this machine, and no zip."""
    answer = still.call("POST", "/v1/fresh", {"functions": ["One", "Web"]}).json
    one, web = answer["functions"]
    assert (answer["schema"], answer["ok"], answer["diagnostics"]) == (1, True, [])
    assert one["live"]["entry"] == "one/app.py"
    assert one["live"]["path"][0] == "one"
    assert os.path.isabs(one["live"]["interpreter"])
    assert "interpreter" not in web["live"]
    assert '"first"' in still.entry(web)
    assert "artifact" not in one
    assert "building" not in answer


def test_a_zip(still: Served) -> None:
    """The zip is named with its digests and sizes, and they are true."""
    found = still.one("Two", "zip")
    artifact = found["artifact"]
    data = (still.root / artifact["path"]).read_bytes()
    assert data == (still.root / artifact["immutable_path"]).read_bytes()
    assert artifact["sha256"] == hashlib.sha256(data).hexdigest()
    assert artifact["size"] == len(data)
    with zipfile.ZipFile(still.root / artifact["path"]) as archive:
        assert archive.namelist() == ["app.py"]
        assert artifact["unzipped_size"] == archive.getinfo("app.py").file_size
    assert "live" not in found
    assert found["handler"] == "app.handler"


def test_all_and_several(still: Served) -> None:
    """ "all" is every function by name; a list is answered in its order, each once."""
    assert list(statuses(still.fresh(want="zip"))) == ["One", "Two", "Web"]
    assert list(statuses(still.fresh("Web", "One", "Web"))) == ["Web", "One"]


def test_nothing_moved(still: Served) -> None:
    """The second answer is of the first's build, for every kind."""
    for want in ("live", "zip"):
        first, second = still.fresh(want=want), still.fresh(want=want)
        assert [found["cached"] for found in second["functions"]] == [True] * 3
        kind = {"live": "live", "zip": "artifact"}[want]
        assert [found[kind] for found in first["functions"]] == [
            found[kind] for found in second["functions"]
        ]


@pytest.mark.parametrize("want", ["live", "zip"])
def test_the_answer_after_a_save_holds_it(app: Served, want: str) -> None:
    """Saved, then asked for, at once and over and over: never an older build."""
    for number in range(20):
        app.lay({"web/word.ts": f'export const word = "n{number:02}";\n'})
        app.lay({"one/app.py": f"def handler(event, context):\n    return 'n{number:02}'\n"})
        answer = app.fresh("One", "Web", want=want)
        assert statuses(answer) == {"One": "built", "Web": "built"}
        one, web = answer["functions"]
        if want == "live":
            assert f'"n{number:02}"' in app.entry(web)
            assert f"'n{number:02}'" in app.entry(one)
            continue
        for found, entry in ((one, "app.py"), (web, "web.js")):
            with zipfile.ZipFile(app.root / found["artifact"]["path"]) as archive:
                assert f"n{number:02}" in archive.read(entry).decode()


def test_the_same_bytes_as_without_a_daemon(app: Served, tmp_path: Path) -> None:
    """A zip of the daemon's is the zip that a build in another folder without one makes."""
    shutil.copytree(app.root, tmp_path / "copy", ignore=shutil.ignore_patterns(".lambdad"))
    answer = app.fresh(want="zip")
    other = Served(type(app.site)(str(tmp_path / "copy"), app.site.environ))
    done = other.site.run("build", "--json")
    assert done.returncode == 0, done.stderr
    assert not processes(other.site.root)
    alone = json.loads(done.stdout)
    assert [found["artifact"]["sha256"] for found in alone["functions"]] == [
        found["artifact"]["sha256"] for found in answer["functions"]
    ]
    for name in ("One", "Two", "Web"):
        path = f".lambdad/build/{name}.zip"
        assert (app.root / path).read_bytes() == (other.root / path).read_bytes()


def test_one_by_one_or_together(app: Served) -> None:
    """A bundle of one function's context and one of a build of many have the same bytes."""
    second = SCRIPT.replace("Web:", "Twin:").replace("web.", "twin.")
    app.lay({"template.yaml": f"{APP['template.yaml']!s}{second}"})
    app.lay({"web/twin.ts": 'export { handler } from "./web";\n'})
    together = {found["name"]: found for found in app.fresh("Twin", "Web")["functions"]}
    texts = {name: app.entry(found) for name, found in together.items()}
    shutil.rmtree(app.root / ".lambdad")
    for name, found in together.items():
        alone = app.one(name)
        assert not alone["cached"]
        assert alone["live"] == found["live"]
        assert app.entry(alone) == texts[name]


def test_a_restart_builds_nothing(app: Served) -> None:
    """What was built by one daemon is believed by the next one, as long as nothing moved."""
    for want in ("live", "zip"):
        app.fresh(want=want)
    first = app.site.pid
    control.restart(app.site.root, app.site.environ)
    assert app.site.pid != first
    for want in ("live", "zip"):
        assert [found["cached"] for found in app.fresh(want=want)["functions"]] == [True] * 3
    app.lay({"two/app.py": "def handler(event, context):\n    return 'new'\n"})
    cached = {found["name"]: found["cached"] for found in app.fresh(want="zip")["functions"]}
    assert cached == {"One": True, "Two": False, "Web": True}


# --- wrong requests ----------------------------------------------------------------------------

BAD: dict[str, tuple[int, str, object]] = {
    "no body": (400, "bad-json", b""),
    "no JSON": (400, "bad-json", b"{"),
    "not UTF-8": (400, "bad-json", b'{"functions": ["\xff"]}'),
    "half a character": (400, "bad-json", b'{"functions": ["\\ud800"]}'),
    "a list": (422, "bad-request", []),
    "no functions": (422, "bad-request", {}),
    "null": (422, "bad-request", {"functions": None}),
    "another word": (422, "bad-request", {"functions": "ALL"}),
    "none named": (422, "bad-request", {"functions": []}),
    "an empty name": (422, "bad-request", {"functions": [""]}),
    "a number for a name": (422, "bad-request", {"functions": [1]}),
    "another want": (422, "bad-request", {"functions": "all", "want": "tar"}),
    "locked as text": (422, "bad-request", {"functions": "all", "locked": "yes"}),
    "an unknown field": (422, "bad-request", {"functions": "all", "function": "One"}),
    "a negative time": (422, "bad-request", {"functions": "all", "timeout_s": -1}),
    "a time as text": (422, "bad-request", {"functions": "all", "timeout_s": "1"}),
    "an infinite time": (400, "bad-json", b'{"functions": "all", "timeout_s": Infinity}'),
    "no number": (400, "bad-json", b'{"functions": "all", "timeout_s": NaN}'),
    "beyond numbers": (4, "bad-", b'{"functions": "all", "timeout_s": 1e999}'),
    "deep": (4, "bad-", b"[" * 100_000),
    "unknown": (404, "unknown-function", {"functions": ["One", "No"]}),
    "unknown, with a NUL": (404, "unknown-function", {"functions": ["a\0b"]}),
    "unknown, a path": (404, "unknown-function", {"functions": ["../../etc/passwd"]}),
}


def problem(reply: Reply) -> Any:
    """The problem, which is as the document describes it."""
    assert reply.headers["content-type"].split(";")[0] == PROBLEM
    schemas = protocol.openapi()["components"]["schemas"]
    jsonschema.validate(
        reply.json, {"$ref": "#/components/schemas/Problem", "components": {"schemas": schemas}}
    )
    assert reply.json["status"] == reply.status
    return reply.json


@pytest.mark.parametrize("case", BAD)
def test_wrong_requests(still: Served, case: str) -> None:
    """Each is a problem document with the code for its kind."""
    status, code, body = BAD[case]
    reply = still.call("POST", "/v1/fresh", body)
    assert str(reply.status).startswith(str(status)), reply
    assert problem(reply)["code"].startswith(code)


def test_an_unknown_function_fails_the_whole_request(app: Served) -> None:
    """It lists the unknown and the known, and nothing is built."""
    found = problem(app.call("POST", "/v1/fresh", {"functions": ["Z", "One", "A"]}))
    assert (found["unknown"], found["known"]) == (["A", "Z"], ["One", "Two", "Web"])
    assert not app.one("One")["cached"]


@pytest.mark.parametrize(
    ("method", "target", "status", "code", "allow"),
    [
        ("GET", "/v1/fresh", 405, "no-such-method", "POST"),
        ("OPTIONS", "/v1/fresh", 405, "no-such-method", "POST"),
        ("HEAD", "/v1/status", 405, "no-such-method", "GET"),
        ("DELETE", "/openapi.json", 405, "no-such-method", "GET"),
        ("FROB", "/v1/stop", 400, "bad-request", None),
        ("GET", "/", 404, "no-such-path", None),
        ("POST", "/v1/fresh/", 404, "no-such-path", None),
        ("GET", "/v2/status", 404, "no-such-path", None),
        ("GET", "/v1/..%2fopenapi.json", 404, "no-such-path", None),
        ("GET", "/v1/why", 422, "bad-request", None),
        ("GET", "/v1/why?function=", 422, "bad-request", None),
        ("GET", "/v1/why?function=No", 404, "unknown-function", None),
        ("GET", "/v1/why?function=%ff%00", 404, "unknown-function", None),
    ],
)
def test_wrong_paths_and_methods(  # noqa: PLR0917 -- pytest passes them by name
    still: Served, method: str, target: str, status: int, code: str, allow: str | None
) -> None:
    """404 and 405 are problems, too, and 405 says what is allowed."""
    reply = still.call(method, target)
    assert reply.status == status
    assert reply.headers.get("allow") == allow
    if method != "HEAD":
        assert problem(reply)["code"] == code


@pytest.mark.parametrize("way", ["told", "chunked", "just over"])
def test_a_large_body(still: Served, way: str) -> None:
    """Above 1 MB it is refused, whether or not its size is told; at 1 MB it is read."""
    names = {"functions": ["x" * (protocol.MOST_BYTES // 2)] * 3}
    headers = {}
    body = json.dumps(names).encode()
    if way == "just over":
        body = b'{"functions": "all"}'.ljust(protocol.MOST_BYTES + 1)
    if way == "chunked":
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        headers["Transfer-Encoding"] = "chunked"
        with connect(still.socket) as peer:
            peer.sendall(
                b"POST /v1/fresh HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            peer.sendall(body)
            said = peer.recv(65536)
        assert said.startswith(b"HTTP/1.1 413 ")
        assert b'"code":"too-large"' in said
        return
    reply = still.call("POST", "/v1/fresh", body)
    assert problem(reply)["code"] == "too-large"
    assert reply.status == 413
    just = b'{"functions": "all"}'.ljust(protocol.MOST_BYTES)
    assert still.call("POST", "/v1/fresh", just).status == 200


# --- waiting -----------------------------------------------------------------------------------


def test_a_time_out_names_what_is_still_building(slow: Served, gated: Gate) -> None:
    """What was done by then is told; the build goes on, and the next request gets it."""
    slow.fresh("One", "Web", want="zip")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(slow.fresh, want="zip", timeout_s=1.0)
        answer = asked.result(30)
    assert (answer["ok"], answer["building"]) == (False, ["Two"])
    assert statuses(answer) == {"One": "built", "Web": "built"}
    assert gated.began()
    gated.open()
    (two,) = slow.fresh("Two", want="zip")["functions"]
    assert two["status"] == "built"
    assert not gated.began(0), "it was built twice"


def test_no_time_at_all(slow: Served) -> None:
    """With 0 s the answer comes at once and says what is not known to be fresh."""
    answer = slow.fresh("Two", want="zip", timeout_s=0)
    assert (answer["ok"], answer["functions"], answer["building"]) == (False, [], ["Two"])


def test_others_do_not_wait_for_a_slow_build(slow: Served, gated: Gate) -> None:
    """While one function is built, others, and it as another thing, are answered."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(slow.fresh, "Two", want="zip")
        assert gated.began()
        assert statuses(slow.fresh("One", "Web")) == {"One": "built", "Web": "built"}
        status = slow.call("GET", "/v1/status").json
        assert status["functions"]["Two"]["state"] == "building"
        assert status["waiting"] == 1
        gated.open()
        assert statuses(waiting.result(60)) == {"Two": "built"}


def test_a_client_that_goes_away_drops_its_wait_only(slow: Served, gated: Gate) -> None:
    """Its build goes on, others that wait for it are answered, and nobody is waited for."""
    leaver, stayer = Connection(slow.socket), Connection(slow.socket)
    body = json.dumps({"functions": ["Two"], "want": "zip"})
    leaver.request("POST", "/v1/fresh", body)
    assert gated.began()
    stayer.request("POST", "/v1/fresh", body)
    waits_for(slow, 2)
    leaver.close()
    waits_for(slow, 1)
    gated.open()
    # The stayer asked after that build had begun: it gets a look of its own, and no second build.
    found = json.loads(stayer.getresponse().read())
    stayer.close()
    assert statuses(found) == {"Two": "built"}
    waits_for(slow, 0)
    assert not gated.began(0)


def waits_for(app: Served, count: int) -> None:
    """Returns once so many requests wait."""
    limit = time.monotonic() + 20
    while (found := app.call("GET", "/v1/status").json["waiting"]) != count:
        assert time.monotonic() < limit, f"{found} wait, not {count}"


def test_an_edit_during_a_build_is_in_the_answer(slow: Served, gated: Gate) -> None:
    """Saved while it is built, then asked for: that build is not the answer."""
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(slow.fresh, "Two", want="zip")
        assert gated.began()
        slow.lay({"two/app.py": "def handler(event, context):\n    return 'edited'\n"})
        second = pool.submit(slow.fresh, "Two", want="zip")
        gated.open(4)
        for asked in (first, second):
            (found,) = asked.result(60)["functions"]
            assert found["status"] == "built"
    with zipfile.ZipFile(slow.root / found["artifact"]["path"]) as archive:
        assert b"edited" in archive.read("app.py")


# --- the configuration -------------------------------------------------------------------------


def test_functions_come_change_and_go(app: Served) -> None:
    """What the template declares is what it declares now; no restart is needed."""
    app.fresh()
    template = str(APP["template.yaml"])
    app.lay({"template.yaml": template + PYTHON.format(name="New", code="one")})
    assert statuses(app.fresh()) == dict.fromkeys(["New", "One", "Two", "Web"], "built")
    app.lay({"template.yaml": template.replace("CodeUri: one", "CodeUri: two")})
    assert app.one("One")["live"]["entry"] == "two/app.py"
    assert problem(app.call("POST", "/v1/fresh", {"functions": ["New"]}))["unknown"] == ["New"]
    app.lay({"lambdad.toml": '[functions.One]\nexclude = ["*.md"]\n'})
    assert statuses(app.fresh()) == dict.fromkeys(["One", "Two", "Web"], "built")
    (app.root / "lambdad.toml").unlink()
    assert statuses(app.fresh()) == dict.fromkeys(["One", "Two", "Web"], "built")


def test_a_broken_template_is_an_answer(app: Served) -> None:
    """It is told with its line, the last good zip stays, and mending it is picked up."""
    good = app.one("One", "zip")["artifact"]
    app.lay({"template.yaml": "Resources:\n  One: [\n"})
    for functions in ({"functions": ["One"]}, {"functions": "all"}):
        reply = app.call("POST", "/v1/fresh", {**functions, "want": "zip"})
        assert reply.status == 200
        assert reply.json["ok"] is False
        (fault,) = reply.json["diagnostics"]
        assert fault["severity"] == "error"
        assert fault["where"]["file"] == "template.yaml"
        assert fault["where"]["line"] >= 2
    data = (app.root / good["path"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == good["sha256"]
    app.lay(dict(APP))
    mended = app.one("One", "zip")
    assert (mended["status"], mended["artifact"]) == ("built", good)


def test_without_any_template(app: Served) -> None:
    """When the configuration is gone it is said; when it is back, so is everything."""
    app.fresh("One")
    (app.root / "template.yaml").unlink()
    reply = app.call("POST", "/v1/fresh", {"functions": ["One"]})
    assert (reply.status, reply.json.get("ok")) == (200, False) or problem(reply)
    app.lay(dict(APP))
    assert app.one("One")["status"] == "built"


# --- builds that fail --------------------------------------------------------------------------


@pytest.mark.parametrize("want", ["live", "zip"])
def test_a_missing_file_that_is_created(app: Served, want: str) -> None:
    """A failed build is an answer; it is told again unbuilt, and the file's coming retries it."""
    kind = {"live": "live", "zip": "artifact"}[want]
    good = app.one("Web", want)[kind]
    os.rename(app.root / "web/word.ts", app.root / "word")
    wait_for_tick(str(app.root))  # what moves in the tick of a build is built once more
    failed, again = app.fresh("Web", want=want), app.fresh("Web", want=want)
    assert (failed["ok"], statuses(failed)) == (False, {"Web": "failed"})
    (found,) = failed["functions"]
    assert found[kind] == good
    assert found["diagnostics"][0]["where"]["file"] == "web/web.ts"
    assert again["functions"][0]["cached"]
    assert codes(again) == codes(failed)
    os.rename(app.root / "word", app.root / "web/word.ts")
    mended = app.one("Web", want)
    assert (mended["status"], mended[kind]) == ("built", good)


def test_a_syntax_error_and_its_mending(app: Served) -> None:
    """It is told where it lies; the other functions are built all the same."""
    app.lay({"two/app.py": "def handler(:\n", "web/word.ts": "export const word = ;\n"})
    answer = app.fresh(want="zip")
    assert statuses(answer) == {"One": "built", "Two": "failed", "Web": "failed"}
    places = [found["diagnostics"][0]["where"] for found in answer["functions"][1:]]
    assert [place["file"] for place in places] == ["two/app.py", "web/word.ts"]
    assert [place["line"] for place in places] == [1, 1]
    app.lay(dict(APP))
    assert app.fresh(want="zip")["ok"]


# --- save --------------------------------------------------------------------------------------


def test_save_rebuilds_what_the_file_touches(app: Served) -> None:
    """The functions that hold it and no others, however its path is written."""
    app.fresh()
    app.lay({"web/word.ts": 'export const word = "saved";\n'})
    (app.root.parent / "alias").symlink_to(app.root)
    for path in ("web/word.ts", "./web/../web/word.ts", str(app.root / "web/word.ts")):
        assert statuses(app.save(path)) == {"Web": "built"}
    assert statuses(app.save(str(app.root.parent / "alias/web/word.ts"))) == {"Web": "built"}
    assert statuses(app.save("web/word.ts", "one/app.py")) == {"Web": "built", "One": "built"}
    assert '"saved"' in app.entry(app.one("Web"))


def test_save_of_what_nobody_holds_is_silent(app: Served) -> None:
    """A file that no function depends on, inside the project or out, is fine."""
    app.fresh()
    for path in ("README.md", "/etc/hosts", "../../../..", "no/such/file", "a\0b", "\u2603", "."):
        answer = app.save(path)
        assert (answer["ok"], answer["diagnostics"]) == (True, []), path


def test_save_of_a_deleted_file(app: Served) -> None:
    """What needed it fails, and says so."""
    app.fresh()
    (app.root / "web/word.ts").unlink()
    answer = app.save("web/word.ts")
    assert (answer["ok"], statuses(answer)) == (False, {"Web": "failed"})
    app.lay(dict(APP))
    assert app.save("web/word.ts")["ok"]


@pytest.mark.parametrize(
    "body", [{}, {"files": []}, {"files": [""]}, {"files": "x"}, {"files": ["x"], "timeout_s": -1}]
)
def test_wrong_saves(still: Served, body: object) -> None:
    """As wrong requests for fresh."""
    reply = still.call("POST", "/v1/save", body)
    assert (reply.status, problem(reply)["code"]) == (422, "bad-request")


# --- the rest ----------------------------------------------------------------------------------


def test_why(app: Served) -> None:
    """Why the last build ran, on what, and what makes it stale by now."""
    app.fresh("Web", want="zip")
    told = app.call("GET", "/v1/why?function=Web").json
    assert (told["name"], told["fresh"]) == ("Web", True)
    assert told["last_build"]["reasons"] == ["never built"]
    assert {"web/web.ts", "web/word.ts"} <= set(told["last_build"]["files"])
    app.lay({"web/word.ts": 'export const word = "newer";\n'})
    told = app.call("GET", "/v1/why?function=Web").json
    assert (told["fresh"], told["stale_because"]) == (False, ["web/word.ts changed"])


def test_events(app: Served) -> None:
    """Builds are told as they begin and end; when the daemon leaves, the stream ends."""
    with connect(app.socket) as peer:
        peer.sendall(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
        said = b""
        while b"\r\n\r\n" not in said:
            said += peer.recv(65536)
        assert b"text/event-stream" in said
        app.fresh("One", "Web")
        while said.count(b"event: built") < 2:
            said += peer.recv(65536)
        assert said.index(b"event: building") < said.index(b"event: built")
        data = [json.loads(line[6:]) for line in said.split(b"\n") if line.startswith(b"data: ")]
        assert {found["function"] for found in data if "function" in found} == {"One", "Web"}
        pid = app.site.pid
        assert app.call("POST", "/v1/stop").json["stopping"]
        while peer.recv(65536):
            pass
    assert ends(pid)


def test_who_only_listened_does_not_keep_it(tmp_path: Path) -> None:
    """A client of the events that has gone is no reason to stay."""
    with served(tmp_path, start=False) as app:
        pid = app.site.started(LAMBDAD_IDLE_S="1")
        with connect(app.socket) as peer:
            peer.sendall(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
            assert peer.recv(65536)
        assert ends(pid)


def test_the_document_is_served_and_true(still: Served) -> None:
    """Every path it names is there with that method alone, and answers as it says."""
    document = still.call("GET", "/openapi.json").json
    assert document == protocol.openapi()
    assert document["openapi"].startswith("3.1")
    methods = {"get", "post", "put", "delete", "patch", "head", "options"}
    for path, item in document["paths"].items():
        for method in methods - item.keys():
            reply = still.call(method.upper(), path)
            assert reply.status == 405, (method, path)
            assert reply.headers["allow"].lower().split(",") == sorted(item)
    schema = {
        "$ref": "#/components/schemas/Answer",
        "components": document["components"],
    }
    for body in ({"functions": "all"}, {"functions": "all", "want": "zip"}):
        jsonschema.validate(still.call("POST", "/v1/fresh", body).json, schema)
    jsonschema.validate(still.save("web/word.ts", "nothing"), schema)


def test_status(still: Served) -> None:
    """Who it is, what it takes, how its watcher is, and where each function stands."""
    still.fresh("One")
    told = still.call("GET", "/v1/status").json
    assert (told["schema"], told["running"], told["pid"]) == (1, True, still.site.pid)
    assert told["project"] == str(still.root)
    assert told["memory"]["daemon"] > 1_000_000
    assert told["watcher"]["alive"]
    assert told["functions"]["One"]["last"]["live"] == "built"
    assert told["waiting"] == 0
    assert told["idle_s"] >= 0


def test_one_connection_many_requests(still: Served) -> None:
    """A connection stays open after answers and after problems."""
    connection = Connection(still.socket)
    for _ in range(3):
        assert ask(connection, "POST", "/v1/fresh", {"functions": ["One"]}).status == 200
        assert ask(connection, "POST", "/v1/fresh", {"functions": ["No"]}).status == 404
        assert ask(connection, "POST", "/v1/fresh", b"{").status == 400
        assert ask(connection, "GET", "/nowhere").status == 404
    connection.close()


# --- stop --------------------------------------------------------------------------------------


def test_stop_answers_what_can_be_answered(slow: Served, gated: Gate) -> None:
    """Who waits for a build that ends in time gets it; who comes later asks the next daemon."""
    pid = slow.site.pid
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(slow.fresh, "Two", want="zip")
        assert gated.began()
        keeping = Connection(slow.socket)
        assert ask(keeping, "GET", "/v1/status").status == 200
        assert slow.call("POST", "/v1/stop").json == {"schema": 1, "stopping": True, "pid": pid}
        late = ask(keeping, "POST", "/v1/fresh", {"functions": "all"})
        assert (late.status, problem(late)["code"]) == (503, "leaving")
        gated.open()
        assert statuses(waiting.result(30)) == {"Two": "built"}
        keeping.close()
    assert ends(pid)


def test_stop_does_not_wait_for_ever(slow: Served, gated: Gate) -> None:
    """Who waits for more is shown to ask the next daemon; the tools that ran are gone."""
    pid = slow.site.pid
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(slow.call, "POST", "/v1/fresh", {"functions": ["Two"], "want": "zip"})
        assert gated.began()
        children = below(pid)
        assert children
        assert control.stop(slow.site.root, slow.site.environ)
        reply = waiting.result(30)
    assert (reply.status, problem(reply)["code"]) == (503, "leaving")
    assert ends(pid)
    assert all(ends(child, 2) for child in children)
    gated.open(4)


def below(pid: int) -> list[int]:
    """Its children, and theirs."""
    found: list[int] = []
    for task in Path("/proc", str(pid), "task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *below(child)]
    return found


def test_many_clients_at_once(app: Served) -> None:
    """Eight who ask over and over while files are saved: each answer holds the save before it."""
    stop = threading.Event()
    said: list[str] = []

    def client(number: int) -> None:
        while not stop.is_set():
            text = app.entry(app.one("Web"))
            # Between truncation and writing the module is empty, and so it may be built.
            said.extend(re.findall(r"token-\d{3}", text))

    app.lay({"web/word.ts": 'export const word = "token-000";\n'})
    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(client, number) for number in range(8)]
        try:
            for number in range(30):
                token = f"token-{number:03}"
                app.lay({"web/word.ts": f'export const word = "{token}";\n'})
                assert f'"{token}"' in app.entry(app.one("Web"))
        finally:
            stop.set()
        for asked in clients:
            asked.result(30)
    assert "token-000" in said
