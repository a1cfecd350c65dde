"""The batch API's files: requests within the limits of the service, and results that find their photos."""

import json
from pathlib import Path
from typing import Any

import pytest
from billing_server import USAGE, label
from process import Realqa

from realqa_cli.errors import OutputError, UsageError
from realqa_cli.steps.annotate.openai_batch import RequestFiles, Results
from realqa_cli.steps.annotate.prices import Prices


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def write(file: Path, count: int, **limits: Any) -> list[Path]:
    with RequestFiles(file, **limits) as files:
        for i in range(count):
            files.add_request({"custom_id": str(i), "body": "x" * 100})
            files.add_photo({"image": f"{i}.jpg"})
    return files.names


def test_one_file_is_enough_where_everything_fits(tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    assert write(file, 3) == [file]
    assert [line["custom_id"] for line in lines(file)] == ["0", "1", "2"]
    assert len(lines(tmp_path / "requests.jsonl.images.jsonl")) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "requests.jsonl",
        "requests.jsonl.images.jsonl",
    ]


@pytest.mark.parametrize("limits", [{"most_requests": 2}, {"most_bytes": 300}])
def test_more_goes_into_numbered_files_each_within_the_limits(tmp_path: Path, limits: dict[str, int]) -> None:
    names = write(tmp_path / "requests.jsonl", 5, **limits)
    assert [path.name for path in names] == [f"requests-{n:04d}.jsonl" for n in (1, 2, 3)]
    assert [len(lines(path)) for path in names] == [2, 2, 1]
    assert all(path.stat().st_size <= limits.get("most_bytes", 10**6) for path in names)
    assert not (tmp_path / "requests.jsonl").exists()


def test_files_that_are_there_are_replaced_only_on_demand_and_then_all_of_them(tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    write(file, 5, most_requests=2)
    with pytest.raises(OutputError, match=r"the file exists; choose another file, or add --overwrite"):
        write(file, 1)
    write(file, 1, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "requests.jsonl",
        "requests.jsonl.images.jsonl",
    ]


def test_nothing_is_left_of_files_that_were_not_finished(tmp_path: Path) -> None:
    def half() -> None:
        with RequestFiles(tmp_path / "requests.jsonl") as files:
            files.add_request({"custom_id": "0"})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ['{"image": "a.jpg"}\n', "hello\n", '{"custom_id": 3, "response": {}}\n', ""])
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "results.jsonl"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"not a result of the batch API|there are no results"):
        Results.read(file, Prices.read())


def result(key: str, text: str, **changes: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    body = {"model": "gpt-4o-2024-08-06", "choices": [choice], "usage": USAGE}
    return {
        "id": "b",
        "custom_id": key,
        "response": {"status_code": 200, "body": body},
        "error": None,
    } | changes


class TestThere:
    """From photos to requests, to results, and back to records."""

    @pytest.fixture
    def requests(self, realqa_here: Realqa, photos: Path, tmp_path: Path) -> Path:
        file = tmp_path / "requests.jsonl"
        ran = realqa_here("annotate", photos, "--model", "gpt-4o", "--max-pixels", 10_000, "--to", "openai-batch", file)
        assert (ran.code, ran.out) == (0, "")
        assert "requests to gpt-4o: 11, in files: 1" in ran.err
        return file

    def test_a_request_is_what_would_have_been_sent(self, requests: Path) -> None:
        asked = lines(requests)
        assert len({line["custom_id"] for line in asked}) == 11
        assert {(line["method"], line["url"]) for line in asked} == {("POST", "/v1/chat/completions")}
        body = asked[0]["body"]
        assert body["model"] == "gpt-4o"
        assert body["response_format"]["type"] == "json_schema"
        assert body["messages"][0]["content"][0]["image_url"]["url"].startswith("data:image/jpeg;base64,")

    def test_results_find_their_photos_by_nothing_but_their_ids(
        self, realqa_here: Realqa, requests: Path, tmp_path: Path
    ) -> None:
        keys = [line["custom_id"] for line in lines(requests)]
        results = [result(key, json.dumps(label(i))) for i, key in enumerate(keys)]
        (tmp_path / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in reversed(results)))
        output = tmp_path / "labels.jsonl"
        ran = realqa_here("annotate", "--from", "openai-batch", tmp_path / "results.jsonl", "-o", output)
        assert ran.code == 0, ran.err
        found = lines(output)
        assert [record["attributes"] for record in found] == [label(i) for i in range(11)]
        assert [record["image"] for record in found] == [
            line["image"] for line in lines(tmp_path / "requests.jsonl.images.jsonl")
        ]
        assert found[0]["annotator"]["model"] == "gpt-4o"
        assert found[0]["cost_usd"] == pytest.approx((1000 * 2.5 + 200 * 10) / 2e6), "half the price"
        assert "custom_id" not in found[0]
        again = realqa_here("annotate", "--from", "openai-batch", tmp_path / "results.jsonl", "-o", output)
        assert again.code == 0
        assert "11 done before" in again.err
        assert len(lines(output)) == len(lines(tmp_path / "labels.jsonl.replies.jsonl")) == 11

    def test_errors_become_error_records_and_a_later_result_mends_them(
        self, realqa_here: Realqa, photos: Path, requests: Path, tmp_path: Path
    ) -> None:
        keys = [line["custom_id"] for line in lines(requests)]
        expired = {
            "custom_id": keys[1],
            "response": None,
            "error": {"code": "batch_expired", "message": "too late"},
        }
        body = {"error": {"message": "bad photo"}}
        refused = {"custom_id": keys[2], "response": {"status_code": 400, "body": body}, "error": None}
        reported = [result(keys[0], json.dumps(label(0))), expired, refused, result(keys[3], "I will not.")]
        results, output = tmp_path / "results", tmp_path / "labels.jsonl"
        results.mkdir()
        (results / "output.jsonl").write_text("".join(json.dumps(line) + "\n" for line in reported))
        how = (photos, "--model", "gpt-4o", "--max-pixels", 10_000, "--limit", 5, "-o", output)
        ran = realqa_here("annotate", *how, "--from", "openai-batch", results)
        assert ran.code == 1
        found = lines(output)
        assert found[0]["attributes"] == label(0)
        assert "too late" in found[1]["error"]["message"]
        assert "400: bad photo" in found[2]["error"]["message"]
        assert [record["error"]["type"] for record in found[1:]] == [
            "request",
            "request",
            "unparsed",
            "missing",
        ]
        retry = [result(keys[1], json.dumps(label(1))), result(keys[3], json.dumps(label(3)))]
        (results / "output.jsonl").unlink()
        (results / "retry.jsonl").write_text("".join(json.dumps(line) + "\n" for line in retry))
        realqa_here("annotate", *how, "--from", "openai-batch", results)
        good = [record for record in lines(output) if record.get("error") is None]
        assert [record["attributes"] for record in good] == [label(0), label(1), label(3)]

    def test_results_that_were_asked_otherwise_fit_nothing_and_it_says_so(
        self, realqa_here: Realqa, photos: Path, requests: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "there").mkdir()
        file = tmp_path / "there" / "results.jsonl"
        file.write_text(json.dumps(result(lines(requests)[0]["custom_id"], json.dumps(label()))) + "\n")
        nothing = realqa_here(
            "annotate", "--from", "openai-batch", file, "-o", tmp_path / "o.jsonl", "--model", "gpt-4o"
        )
        assert nothing.code == 2
        assert "there is no list of photos next to it; name the photos as SOURCES" in nothing.err
        unnamed = realqa_here("annotate", photos, "--from", "openai-batch", file, "-o", tmp_path / "o.jsonl")
        assert unnamed.code == 2
        assert "no model is named; name the model of the batch" in unnamed.err
        other = realqa_here(
            "annotate",
            photos,
            "--from",
            "openai-batch",
            file,
            "-o",
            tmp_path / "o.jsonl",
            "--model",
            "gpt-4o",
        )
        assert other.code == 1
        assert "results that were not needed: 1" in other.err

    def test_what_is_answered_already_is_not_asked_again(
        self, realqa_here: Realqa, photos: Path, requests: Path, tmp_path: Path
    ) -> None:
        keys = [line["custom_id"] for line in lines(requests)]
        (tmp_path / "results.jsonl").write_text(json.dumps(result(keys[0], json.dumps(label()))) + "\n")
        output = tmp_path / "labels.jsonl"
        realqa_here("annotate", "--from", "openai-batch", tmp_path / "results.jsonl", "-o", output)
        rest = tmp_path / "rest.jsonl"
        how = ("--model", "gpt-4o", "--max-pixels", 10_000, "--to", "openai-batch", rest, "-o", output)
        ran = realqa_here("annotate", photos, *how)
        assert ran.code == 0, ran.err
        assert [line["custom_id"] for line in lines(rest)] == keys[1:]


def test_models_that_think_are_sent_no_temperature(realqa_here: Realqa, photos: Path, tmp_path: Path) -> None:
    for model, sent in (("o4-mini", False), ("gpt-5-mini", False), ("qwen-vl-max", True)):
        file = tmp_path / f"{model}.jsonl"
        realqa_here("annotate", photos / "bee.jpg", "--model", model, "--to", "openai-batch", file)
        assert ("temperature" in lines(file)[0]["body"]) is sent
