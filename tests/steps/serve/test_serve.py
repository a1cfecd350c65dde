"""`realqa serve` as a client uses it: a real process, real photos, real connections, and nothing lost."""

import base64
import json
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from process import PHOTOS, ROOT, Ran, Realqa
from serving import Served, serving

HOSTILE = sorted((ROOT / "tests" / "data" / "hostile").iterdir())
STATUS = {"broken": 422, "empty": 422, "too-large": 413, "too-slow": 422, "unsupported": 415}
SECRET = "a-key-that-nobody-guesses"
FEW_PIXELS = ("--max-pixels", 20000)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of photos, with a photo, a folder and links next to it."""
    top = tmp_path_factory.mktemp("served")
    shutil.copytree(PHOTOS, top / "photos")
    shutil.copytree(PHOTOS, top / "photos2")
    (top / "photos" / "inside.jpg").symlink_to("bee.jpg")
    (top / "photos" / "outside.jpg").symlink_to(PHOTOS / "bee.jpg")
    (top / "photos" / "above").symlink_to(top)
    (top / "photos" / "loop.jpg").symlink_to("loop.jpg")
    shutil.copy(ROOT / "tests" / "data" / "hostile" / "video-ok.mp4", top / "photos" / "clip.mp4")
    return top / "photos"


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[Served]:
    with serving(*FEW_PIXELS, "--root", root, "--max-images", 12) as served:
        yield served


@pytest.fixture(scope="module")
def scored(realqa: Realqa) -> Ran:
    return realqa("score", PHOTOS, *FEW_PIXELS)


def without_name(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != "image"}


def data_uri(file: Path) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(file.read_bytes()).decode()}"


def test_every_way_of_asking_gives_the_records_of_the_command(server: Served, scored: Ran) -> None:
    for record in scored.records[::3]:
        file = Path(record["image"])
        for answer in (server.upload(file), server.ask({"image": data_uri(file)}), server.ask({"image": file.name})):
            assert answer.status_code == 200, answer.text
            assert without_name(answer.json()) == without_name(record)


def test_labels_are_those_of_the_command(server: Served, realqa: Realqa) -> None:
    bee = PHOTOS / "bee.jpg"
    (record,) = realqa("self-label", bee, *FEW_PIXELS).records
    assert without_name(server.upload(bee, task="self-label").json()) == without_name(record)


def test_several_photos_are_answered_in_their_order(server: Served, scored: Ran) -> None:
    files = [Path(record["image"]) for record in scored.records]
    answer = server.upload(*files).json()
    assert [record["image"] for record in answer["records"]] == [file.name for file in files]
    assert [without_name(record) for record in answer["records"]] == [without_name(each) for each in scored.records]


def test_one_broken_photo_of_several_is_an_error_record_in_its_place(server: Served) -> None:
    broken = next(file for file in HOSTILE if file.name == "broken-truncated.png")
    answer = server.upload(PHOTOS / "bee.jpg", broken, PHOTOS / "dogs.jpg")
    assert answer.status_code == 200
    assert [record["error"] and record["error"]["type"] for record in answer.json()["records"]] == [
        None,
        "broken",
        None,
    ]


def test_other_fields_of_a_request_pass_through(server: Served) -> None:
    record = server.ask({"image": "bee.jpg", "mos": 3.5, "mos_range": [1, 5], "id": "ü-7"}).json()
    assert (record["image"], record["mos"], record["mos_range"], record["id"]) == ("bee.jpg", 3.5, [1, 5], "ü-7")
    listed = server.ask({"images": ["bee.jpg", {"image": "dogs.jpg", "id": 2}]}).json()["records"]
    assert [(record["image"], record.get("id")) for record in listed] == [("bee.jpg", None), ("dogs.jpg", 2)]


def test_a_video_below_the_root_is_scored_and_an_uploaded_one_is_refused(server: Served, root: Path) -> None:
    record = server.ask({"video": "clip.mp4"}).json()
    assert (record["video"], record["error"]) == ("clip.mp4", None)
    refused = server.upload(root / "clip.mp4")
    assert (refused.status_code, refused.json()["error"]["type"]) == (415, "video")


@pytest.mark.parametrize("file", [file for file in HOSTILE if file.suffix != ".mp4"], ids=lambda file: file.name)
def test_a_hostile_file_is_answered_by_its_kind(server: Served, file: Path) -> None:
    answer = server.upload(file)
    kind = next((kind for kind in STATUS if file.name.startswith(kind)), None)
    error = answer.json()["error"]
    assert (answer.status_code, error and error["type"]) == ((200, None) if kind is None else (STATUS[kind], kind))
    assert server.process.poll() is None


@pytest.mark.parametrize(
    "name",
    [
        "../photos2/bee.jpg",
        "../nothing.jpg",
        "/etc/passwd",
        "outside.jpg",
        "above/photos2/bee.jpg",
        "above/photos/../photos2/bee.jpg",
        "sub/../../photos2/bee.jpg",
    ],
)
def test_what_is_outside_of_the_root_is_refused_whether_it_exists_or_not(server: Served, name: str) -> None:
    answer = server.ask({"image": name})
    assert (answer.status_code, answer.json()["error"]["type"]) == (403, "forbidden")


def test_links_within_the_root_and_its_own_address_are_followed(server: Served, root: Path) -> None:
    for name in ("inside.jpg", "above/photos/bee.jpg", str(root / "bee.jpg"), "./sub/../bee.jpg"):
        assert server.ask({"image": name}).status_code == 200, name


@pytest.mark.parametrize(
    ("name", "status", "type"),
    [
        ("nothing.jpg", 404, "missing"),
        ("bee.jpg\0", 404, "missing"),
        ("\ud800.jpg", 404, "missing"),
        ("loop.jpg", 404, "missing"),
        ("x" * 5000, 422, "unreadable"),
        (".", 422, "unreadable"),
        ("LICENSES.md", 415, "unsupported"),
        ("http://127.0.0.1/bee.jpg", 415, "unsupported"),
        ("file:///etc/passwd", 415, "unsupported"),
        ("data:image/jpeg;base64,????", 400, "record"),
        ("data:image/jpeg,abc", 400, "record"),
        ("data:,", 400, "record"),
        ("data:image/jpeg;base64,", 422, "empty"),
    ],
)
def test_a_name_that_cannot_be_opened_is_an_error_without_the_place_of_the_root(
    server: Served, root: Path, name: str, status: int, type: str
) -> None:
    answer = server.client.post(
        "/v1/score", content=json.dumps({"image": name}), headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, type), answer.text
    assert str(root) not in answer.text


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "7",
        "{}",
        '{"image": 7}',
        '{"image": ""}',
        '{"image": "a.jpg", "video": "b.mp4"}',
        '{"images": []}',
        '{"images": "a.jpg"}',
        '{"images": [7]}',
        '{"images": ["a.jpg"], "image": "a.jpg"}',
        '{"image": "bee.jpg", "id": NaN}',
        '{"image": "bee.jpg", "id": 1e999}',
        "[" * 100_000,
        '{"image": "bee.jpg", "id": ' + "9" * 5000 + "}",
    ],
)
def test_a_request_that_is_not_one_gets_400_and_says_why(server: Served, body: str) -> None:
    answer = server.client.post("/v1/score", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "request"


def test_a_form_that_is_not_one_gets_400_and_says_why(server: Served) -> None:
    bee = ("bee.jpg", (PHOTOS / "bee.jpg").read_bytes())
    for parts in ([("photo", bee)], [("image", bee), ("image", bee)], [("image", bee), ("images", bee)]):
        answer = server.client.post("/v1/score", files=parts)
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "request")
    for kind in ("multipart/form-data", "multipart/form-data; boundary=x"):
        answer = server.client.post("/v1/score", content=b"nothing", headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "request")
    assert server.client.post("/v1/score", content=bee[1]).status_code == 415


def test_unknown_paths_and_methods_name_what_there_is(server: Served) -> None:
    for answer, status in ((server.client.get("/"), 404), (server.client.get("/v1/score"), 405)):
        assert answer.status_code == status
        assert "POST /v1/score" in answer.json()["error"]["message"]


def test_too_many_photos_in_one_request_are_refused(server: Served) -> None:
    assert server.ask({"images": ["bee.jpg"] * 12}).status_code == 200
    assert server.ask({"images": ["bee.jpg"] * 13}).status_code == 413
    assert server.upload(*[PHOTOS / "bee.jpg"] * 13).status_code in (400, 413)


def test_the_description_has_the_endpoints_and_its_page_loads_nothing_from_elsewhere(server: Served) -> None:
    described = server.client.get("/openapi.json").json()
    assert {"/v1/score", "/v1/self-label", "/healthz", "/metrics"} <= described["paths"].keys()
    assert "percentile_reference" in described["components"]["schemas"]["ScoreRecord"]["properties"]
    page = server.client.get("/docs").text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert loaded
    assert [address for address in loaded if not address.startswith("/")] == []
    assert [server.client.get(address).status_code for address in loaded] == [200] * len(loaded)


def test_health_names_the_models_and_the_runs_of_the_records(server: Served, scored: Ran) -> None:
    health = server.client.get("/healthz").json()
    assert (health["status"], health["models"]["score"]) == ("ok", "realqa-tiny")
    assert health["runs"]["score"] == scored.records[0]["run"]


def test_many_clients_at_the_same_time_get_their_own_records(server: Served, scored: Ran) -> None:
    expected = {Path(record["image"]).name: without_name(record) for record in scored.records}
    names = sorted(expected) * 6
    before = server.metric('realqa_images_total{endpoint="score",result="succeeded"}')
    runs = server.metric('realqa_run_items_count{endpoint="score"}')

    def ask(number: int) -> dict[str, Any]:
        record: dict[str, Any] = server.ask({"image": names[number], "id": number}).json()
        return record

    with ThreadPoolExecutor(16) as pool:
        records = [*pool.map(ask, range(len(names)))]
    assert [record.pop("id") for record in records] == [*range(len(names))]
    assert [record.pop("image") for record in records] == names
    assert records == [expected[name] for name in names]
    assert server.metric('realqa_images_total{endpoint="score",result="succeeded"}') == before + len(names)
    assert server.metric('realqa_run_items_count{endpoint="score"}') < runs + len(names), "requests share runs"


def address_of(server: Served) -> tuple[str, int]:
    host, _, port = server.address.removeprefix("http://").partition(":")
    return host, int(port)


def half_a_request(server: Served, body: bytes, *headers: str) -> socket.socket:
    """A connection on which a request has begun: five bytes of its body were sent."""
    connection = socket.create_connection(address_of(server), timeout=60)
    lines = ("POST /v1/score HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {len(body)}")
    connection.sendall("\r\n".join([*lines, *headers, "", ""]).encode() + body[:5])
    return connection


def await_in_progress(server: Served, count: int) -> None:
    for _ in range(1200):
        if server.metric("realqa_requests_in_progress") == count:
            return
        time.sleep(0.05)
    raise AssertionError(f"not {count} requests in progress")


@pytest.fixture(scope="module")
def small() -> Iterator[Served]:
    """A server with a key and narrow limits."""
    limits = ("--max-body", 0.5, "--queue", 2, "--body-timeout", 2)
    options = (*FEW_PIXELS, *limits, "--only", "score", "--api-key-env", "REALQA_TEST_KEY")
    with serving(*options, env={"REALQA_TEST_KEY": SECRET}) as served:
        served.client.headers["Authorization"] = f"Bearer {SECRET}"
        yield served


def test_a_request_without_the_key_gets_401(small: Served) -> None:
    bee = PHOTOS / "bee.jpg"
    assert small.upload(bee).status_code == 200
    assert small.upload(bee, headers={"Authorization": "", "X-API-Key": SECRET}).status_code == 200
    for headers in (
        {"Authorization": ""},
        {"Authorization": f"Bearer {SECRET}x"},
        {"Authorization": SECRET},
        {"Authorization": "", "X-API-Key": SECRET[:-1]},
    ):
        refused = small.upload(bee, headers=headers)
        assert (refused.status_code, refused.json()["error"]["type"]) == (401, "key")
        assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert small.client.get("/healthz", headers={"Authorization": ""}).status_code == 200


def test_the_page_of_the_interface_asks_for_the_key_where_there_is_one(small: Served, server: Served) -> None:
    schemes = [
        each.client.get("/openapi.json").json()["components"].get("securitySchemes", {}) for each in (small, server)
    ]
    assert [[*scheme] for scheme in schemes] == [["HTTPBearer"], []]


def test_the_key_is_in_no_answer_and_no_line(small: Served) -> None:
    small.upload(PHOTOS / "bee.jpg", headers={"Authorization": f"Bearer {SECRET}x"})
    texts = [small.client.get(path).text for path in ("/healthz", "/metrics", "/openapi.json")]
    assert [text for text in [*texts, small.log.read_text()] if SECRET in text] == []


def test_a_task_that_is_not_offered_is_not_there(small: Served) -> None:
    assert small.upload(PHOTOS / "bee.jpg", task="self-label").status_code == 404


@pytest.mark.parametrize("size", [600_000, 1_900_000, 30_000_000])
def test_a_body_over_the_limit_gets_413_with_and_without_a_length(small: Served, size: int) -> None:
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    part = b"--x\r\nContent-Disposition: form-data; name=image; filename=a.jpg\r\n\r\n"

    def chunks() -> Iterator[bytes]:
        yield part
        for _ in range(size // 50_000):
            yield bytes(50_000)

    for content in (part + bytes(size), chunks()):
        try:
            answer = small.client.post("/v1/score", content=content, headers=form)
            assert (answer.status_code, answer.json()["error"]["type"]) == (413, "too-large")
        except httpx2.TransportError:
            assert size > 4 * 500_000, "the answer is lost only where much more is sent"
    assert small.upload(PHOTOS / "bee.jpg").status_code == 200


def test_more_requests_than_the_queue_holds_get_429_until_there_is_room(small: Served) -> None:
    body = json.dumps({"image": data_uri(PHOTOS / "bee.jpg")}).encode()
    waiting = [half_a_request(small, body, f"X-API-Key: {SECRET}") for _ in range(2)]
    await_in_progress(small, 2)
    refused = small.upload(PHOTOS / "bee.jpg")
    assert (refused.status_code, refused.json()["error"]["type"]) == (429, "busy")
    assert int(refused.headers["Retry-After"]) >= 1
    for connection in waiting:
        connection.sendall(body[5:])
        assert connection.recv(12) == b"HTTP/1.1 200"
        connection.close()
    assert small.upload(PHOTOS / "bee.jpg").status_code == 200


def test_a_request_that_does_not_arrive_gets_408(small: Served) -> None:
    with half_a_request(small, bytes(100), f"X-API-Key: {SECRET}") as connection:
        assert connection.recv(12) == b"HTTP/1.1 408"
    await_in_progress(small, 0)


def test_clients_that_leave_do_no_harm(server: Served) -> None:
    half_a_request(server, bytes(10)).close()
    with socket.create_connection(address_of(server), timeout=60) as connection:
        connection.sendall(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
    body = json.dumps({"images": ["bee.jpg"] * 8}).encode()
    with half_a_request(server, body) as connection:
        connection.sendall(body[5:])  # and does not wait for the answer
    await_in_progress(server, 0)
    assert server.ask({"image": "bee.jpg"}).status_code == 200


def test_sigterm_during_load_answers_what_was_accepted_and_exits_with_0() -> None:
    with serving(*FEW_PIXELS, "--only", "score", "--root", PHOTOS) as served, ThreadPoolExecutor(4) as pool:
        contents = [{"images": [{"image": "bee.jpg", "id": [n, m]} for m in range(20)]} for n in range(4)]
        answers = [pool.submit(served.ask, content) for content in contents]
        body = json.dumps({"image": "dogs.jpg"}).encode()
        with half_a_request(served, body) as late:
            await_in_progress(served, 5)
            served.process.send_signal(signal.SIGTERM)
            await_refusal(served)
            late.sendall(body[5:])
            assert late.recv(12) == b"HTTP/1.1 200"
        for content, answer in zip(contents, answers, strict=True):
            records = answer.result().json()["records"]
            assert [record["id"] for record in records] == [each["id"] for each in content["images"]]
            assert {record["error"] for record in records} == {None}
        assert served.process.wait(60) == 0
        assert served.log.read_text().splitlines()[-1] == "realqa: stopped; all accepted requests were answered"
        assert "Traceback" not in served.log.read_text()


def await_refusal(server: Served) -> None:
    for _ in range(1200):
        try:
            socket.create_connection(address_of(server), timeout=60).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.05)
    raise AssertionError("the server still accepts connections")


@pytest.mark.slow
def test_a_calibration_is_applied_as_by_the_command(realqa: Realqa, tmp_path: Path) -> None:
    fixed: dict[str, Any] = {
        "scale": [1, 5],
        "run": "0123456789abcdef",
        "method": "direct",
        "decode": "exact",
        "text": "",
        "flags": [],
    }
    fixed |= {"std": 0.5, "mode": 3, "interval": [2, 4], "mass": 1, "content": None, "error": None}
    lines = {
        "scores": [{"image": f"{i}.jpg", "score": 1 + i / 20, **fixed} for i in range(60)],
        "labels": [{"image": f"{i}.jpg", "mos": i + i % 7, "mos_range": [0, 100]} for i in range(60)],
    }
    for name, records in lines.items():
        (tmp_path / name).with_suffix(".jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    calibration = tmp_path / "calibration.json"
    fit = ("calibrate", "fit", tmp_path / "labels.jsonl", "--scores", tmp_path / "scores.jsonl", "-o", calibration)
    assert realqa(*fit).code == 0
    (record,) = realqa("score", PHOTOS / "bee.jpg", *FEW_PIXELS, "--calibration", calibration).records
    with serving(*FEW_PIXELS, "--only", "score", "--calibration", calibration) as served:
        assert without_name(served.upload(PHOTOS / "bee.jpg").json()) == without_name(record)
        assert "calibrated" in record
        assert served.stop() == 0


def test_no_telemetry_is_sent_whatever_the_environment_says() -> None:
    with socket.create_server(("127.0.0.1", 0)) as collector:
        collector.settimeout(0.5)
        address = f"http://127.0.0.1:{collector.getsockname()[1]}"
        variables = {"FASTAPI_OTEL_AUTO_CONFIGURE": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": address}
        with serving(*FEW_PIXELS, "--only", "score", env=variables) as served:
            assert served.upload(PHOTOS / "bee.jpg").status_code == 200
            assert served.stop() == 0
        with pytest.raises(TimeoutError):
            collector.accept()


def test_sigterm_while_nothing_is_asked_and_an_interrupt_end_it_at_once() -> None:
    with serving(*FEW_PIXELS, "--only", "score") as served:
        assert served.client.get("/healthz").status_code == 200  # the connection stays open
        assert served.stop() == 0
    with serving(*FEW_PIXELS, "--only", "score") as served:
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(60) == 130
        assert served.log.read_text().splitlines()[-1] == "realqa: interrupted"


def test_wrong_options_are_one_line(realqa_here: Realqa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REALQA_TEST_KEY", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments, what in (
            (("--port", port), "cannot listen there"),
            (("--host", "256.0.0.1"), "cannot listen there"),
            (("--root", tmp_path / "nothing"), "this is not a folder"),
            (("--only", "rank"), "unknown value 'rank'"),
            (("--api-key-env", "REALQA_TEST_KEY"), "set REALQA_TEST_KEY to the key"),
            (("--port", 0, "--model", "no-such-model"), "no-such-model"),
        ):
            ran = realqa_here("serve", *arguments)
            assert ran.code == 2
            assert len(ran.err.splitlines()) == 1
            assert what in ran.err


@pytest.mark.parametrize("package", ["fastapi", "fastapi_offline", "uvicorn"])
def test_without_the_extra_one_line_says_how_to_install_it(
    realqa_here: Realqa, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    for name in [*sys.modules]:
        if name.partition(".")[0] == package or name.startswith("realqa_cli.steps.serve"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    ran = realqa_here("serve", "--port", 0)
    assert ran.code == 2
    what = f"this needs the Python package {package}, which is not installed"
    assert ran.err == f"realqa: {what}; pip install 'realqa[serve]'\n"
