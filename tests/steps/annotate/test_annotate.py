"""`realqa annotate` against a real server: what is asked, kept, counted, paid once, and what stops it."""

import base64
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from billing_server import USAGE, label
from chat_server import GARBAGE, HALF, SILENT, Answer, ChatServer, Fault, completion, status
from PIL import Image
from process import Ran, Realqa, command, environment

from realqa_cli.domain import prompts

KEY = "sk-very-secret-0123456789"
GOOD = json.dumps(label(7))
PRICED = ("--model", "gpt-4o")


def paid(text: str | None, **choice: Any) -> Fault:
    """An answer with its cost: 0.0045 USD by gpt-4o's price."""
    return Fault(body=json.dumps(json.loads(completion(text, **choice)) | {"usage": USAGE}))


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def replies(output: Path) -> list[dict[str, Any]]:
    return lines(output.with_name(f"{output.name}.replies.jsonl"))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "labels.jsonl"


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """Five small photos."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(5):
        Image.new("RGB", (40, 30), (i * 50, 90, 200 - i * 40)).save(folder / f"{i}.png")
    return folder


Annotate = Callable[..., Ran]


@pytest.fixture
def annotate(realqa_here: Realqa, output: Path, monkeypatch: pytest.MonkeyPatch) -> Annotate:
    """Annotates by a server, one photo at a time, without pauses between attempts."""
    monkeypatch.setattr("realqa_cli.backends.server.client.time.sleep", lambda seconds: None)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def run(server: ChatServer | str, *arguments: object) -> Ran:
        url = server if isinstance(server, str) else server.url
        return realqa_here("annotate", *arguments, "--server", url, "--concurrency", 1, "-o", output)

    return run


class TestRecords:
    def test_a_record_is_as_the_contract_has_it(self, annotate: Annotate, few: Path, output: Path) -> None:
        with ChatServer(lambda body: paid(GOOD)) as server:
            ran = annotate(server, few, *PRICED)
        assert (ran.code, ran.out) == (0, "")
        record = lines(output)[0]
        assert re.fullmatch(r"sha256:[0-9a-f]{64}", record.pop("content"))
        assert record.pop("run") in json.loads(Path(f"{output}.run.json").read_text())["runs"]
        assert record == {
            "image": str(few / "0.png"),
            "attributes": label(7),
            "annotator": {"model": "gpt-4o", "prompt": prompts.annotation_prompt_hash()},
            "refined": False,
            "cost_usd": pytest.approx(0.0045),
            "unparsed": None,
            "error": None,
        }
        assert ran.said == [
            "realqa: 5 calls to gpt-4o: 5,000 tokens in, 1,000 out, 0.0225 USD",
            "realqa: 5 items: 5 annotated",
        ]

    def test_shards_divide_the_photos_of_a_list(
        self, annotate: Annotate, few: Path, output: Path, tmp_path: Path
    ) -> None:
        names = tmp_path / "names.txt"
        names.write_text("".join(f"{file}\n" for file in sorted(few.iterdir())))
        with ChatServer(lambda body: paid(GOOD)) as server:
            assert annotate(server, "--files-from", names, "--shard", "1/2", *PRICED).code == 0
            first = [record["image"] for record in lines(output)]
            assert annotate(server, "--files-from", names, "--shard", "2/2", *PRICED).code == 0
        assert 0 < len(first) < 5
        assert sorted(record["image"] for record in lines(output)) == sorted(map(str, few.iterdir()))

    def test_people_get_the_labels_of_all_photos(self, annotate: Annotate, few: Path, tmp_path: Path) -> None:
        ran = annotate("http://x/v1", few, "--to", "label-studio", tmp_path / "tasks.json", "--shard", "1/2")
        assert (ran.code, ran.said) == (
            2,
            ["realqa: --shard: applies to photos, and label-studio exchanges the labels of all; leave it out"],
        )

    def test_a_request_shows_the_photo_reduced_and_is_the_same_each_time(
        self, annotate: Annotate, photos: Path, output: Path
    ) -> None:
        with ChatServer(lambda body: GOOD) as server:
            annotate(server, photos / "bee.jpg", "--max-pixels", 9000)
            output.unlink()
            output.with_name(f"{output.name}.replies.jsonl").unlink()
            annotate(server, photos / "bee.jpg", "--max-pixels", 9000)
        first, second = server.bodies
        assert first == second
        assert first["temperature"] == 0
        assert first["response_format"] == prompts.response_format()
        picture, question = first["messages"][0]["content"]
        assert question["text"] == prompts.annotation_question()
        head, data = picture["image_url"]["url"].split(",")
        assert head == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as photo:
            assert 8500 < photo.width * photo.height <= 9000

    def test_the_users_fields_pass_through_and_old_labels_do_not(
        self, annotate: Annotate, few: Path, output: Path, tmp_path: Path
    ) -> None:
        old = {"image": str(few / "0.png"), "mos": 3.5, "mos_range": [1, 5], "attributes": {}, "cost_usd": 9}
        (tmp_path / "in.jsonl").write_text(json.dumps(old))
        with ChatServer(lambda body: GOOD) as server:
            annotate(server, tmp_path / "in.jsonl")
        (record,) = lines(output)
        assert (record["mos"], record["mos_range"]) == (3.5, [1, 5])
        assert record["attributes"] == label(7)
        assert record["cost_usd"] is None, "the server's price is unknown"

    def test_the_curation_flags_are_in_the_record_on_demand(self, annotate: Annotate, few: Path, output: Path) -> None:
        flags = {"subtitle": False, "watermark": True, "stitched": False}
        with ChatServer(lambda body: json.dumps(label(7, screen=flags))) as server:
            annotate(server, few / "0.png", "--screen")
        (record,) = lines(output)
        assert record["screen"] == flags
        assert record["annotator"]["prompt"] == prompts.annotation_prompt_hash(screen=True)

    def test_what_is_not_a_photo_is_an_error_record_in_its_place(
        self, annotate: Annotate, few: Path, output: Path
    ) -> None:
        (few / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
        (few / "2.mp4").write_bytes(b"no video")
        with ChatServer(lambda body: GOOD) as server:
            ran = annotate(server, few, few / "none.jpg")
        assert ran.code == 1
        types = [(record.get("error") or {}).get("type") for record in lines(output)]
        assert types == [None, "broken", "video", None, None, None, "missing"]
        assert len(server.bodies) == 4

    def test_photos_with_the_same_bytes_are_paid_once(self, annotate: Annotate, few: Path, output: Path) -> None:
        for i in range(1, 5):
            shutil.copy(few / "0.png", few / f"{i}.png")
        with ChatServer(lambda body: GOOD) as server:
            assert annotate(server, few, "--concurrency", 4).code == 0
        assert len(server.bodies) == 1
        assert [record["attributes"] for record in lines(output)] == [label(7)] * 5


class TestRepair:
    def test_a_reply_that_cannot_be_used_is_repaired_by_one_more_turn(
        self, annotate: Annotate, few: Path, output: Path
    ) -> None:
        def reply(body: dict[str, Any]) -> Answer:
            return paid(GOOD if len(body["messages"]) > 1 else json.dumps(label(7, exposure="dark")))

        with ChatServer(reply) as server:
            ran = annotate(server, few / "0.png", *PRICED)
        assert ran.code == 0
        assert "1 repaired by a second request" in ran.err
        asked, answered, mend = server.bodies[1]["messages"]
        assert asked == server.bodies[0]["messages"][0]
        assert json.loads(answered["content"])["exposure"] == "dark"
        assert "exposure: 'dark' is none of" in mend["content"]
        assert [reply["turn"] for reply in replies(output)] == [0, 1]
        assert lines(output)[0]["cost_usd"] == pytest.approx(0.009), "both turns are paid"

    def test_there_is_exactly_one_such_turn_and_what_failed_is_not_paid_again(
        self, annotate: Annotate, few: Path, output: Path
    ) -> None:
        with ChatServer(lambda body: "I would rather not say.") as server:
            ran = annotate(server, few / "0.png")
            assert (ran.code, len(server.bodies)) == (1, 2)
            (record,) = lines(output)
            assert record["error"]["type"] == "unparsed"
            assert "there is no JSON object in it" in record["error"]["message"]
            assert "could not be used: 1 unparsed; --ask-again sends (and pays for) new requests" in ran.err
            again = annotate(server, few / "0.png")
            assert (again.code, len(server.bodies), len(lines(output))) == (1, 2, 1)

    def test_ask_again_pays_only_for_what_could_not_be_used(self, annotate: Annotate, few: Path, output: Path) -> None:
        bad = {0, 1, 3, 4}
        with ChatServer(lambda body: "No." if server_calls() in bad else GOOD) as server:

            def server_calls() -> int:
                return len(server.bodies) - 1

            assert annotate(server, few / "0.png", few / "1.png").code == 1
            assert len(server.bodies) == 3
            assert annotate(server, few / "0.png", few / "1.png", "--ask-again").code == 1
            assert len(server.bodies) == 5
            assert annotate(server, few / "0.png", few / "1.png", "--ask-again").code == 0
            assert len(server.bodies) == 6
        good = [record["image"] for record in lines(output) if record.get("error") is None]
        assert good == [str(few / "1.png"), str(few / "0.png")]

    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            (paid(None, message={"role": "assistant", "content": None, "refusal": "No."}), "refused"),
            (paid("", finish_reason="content_filter"), "refused"),
            (paid(""), "empty"),
            (paid("<think>hm</think>"), "empty"),
            (paid(GOOD[:200], finish_reason="length"), "cut"),
        ],
    )
    def test_refused_empty_and_cut_replies_are_counted_and_not_sent_back_for_repair(
        self, annotate: Annotate, few: Path, output: Path, answer: Fault, kind: str
    ) -> None:
        with ChatServer(lambda body: answer) as server:
            ran = annotate(server, few / "0.png", few / "1.png")
        assert (ran.code, len(server.bodies)) == (1, 2)
        assert [record["error"]["type"] for record in lines(output)] == [kind] * 2
        assert f"could not be used: 2 {kind}" in ran.err

    def test_a_reply_that_was_cut_is_asked_again_with_a_higher_limit_and_the_others_are_not(
        self, annotate: Annotate, few: Path, output: Path
    ) -> None:
        def reply(body: dict[str, Any]) -> Answer:
            cut = len(server.bodies) == 2 and body["max_tokens"] < 100
            return paid(GOOD[:200], finish_reason="length") if cut else GOOD

        with ChatServer(reply) as server:
            assert annotate(server, few, "--max-tokens", 50).code == 1
            assert "was cut off after 50 tokens; raise --max-tokens, and add --ask-again" in output.read_text()
            assert annotate(server, few, "--max-tokens", 500, "--ask-again").code == 0
        assert len(server.bodies) == 6

    def test_a_whole_answer_counts_though_the_limit_was_met(self, annotate: Annotate, few: Path, output: Path) -> None:
        with ChatServer(lambda body: paid(GOOD, finish_reason="length")) as server:
            assert annotate(server, few / "0.png").code == 0


class TestServers:
    def test_what_may_pass_is_tried_again_and_counted(self, annotate: Annotate, few: Path) -> None:
        faults = [status(429), status(500), HALF, GARBAGE, SILENT, Fault(body='{"choices": []}')]
        with ChatServer(lambda body: GOOD, faults=faults) as server:
            ran = annotate(server, few / "0.png", "--retries", 9, "--timeout", 0.5)
        assert ran.code == 0
        reported = "failed attempts: 1 x 429, 1 x 500, 1 x broken off, 1 x no answer, 1 x not JSON, 1 x time-out"
        assert reported in ran.err

    def test_a_server_that_takes_no_schema_is_asked_in_words(self, annotate: Annotate, few: Path) -> None:
        def reply(body: dict[str, Any]) -> Answer:
            return status(400, "This response_format type is unavailable") if "response_format" in body else GOOD

        with ChatServer(reply) as server:
            ran = annotate(server, few)
        assert ran.code == 0
        assert len(server.bodies) == 6, "it is learnt once"
        assert ran.err.count("does not accept a schema for answers") == 1

    def test_a_request_that_is_refused_fails_for_its_photo_only_and_is_tried_by_the_next_run(
        self, annotate: Annotate, few: Path, output: Path
    ) -> None:
        with ChatServer(lambda body: GOOD, faults=[status(400, "not such a photo")]) as server:
            assert annotate(server, few).code == 1
            assert annotate(server, few).code == 0
        assert len(server.bodies) == 6
        assert len([record for record in lines(output) if record.get("error") is None]) == 5

    @pytest.mark.parametrize(
        ("fault", "words"),
        [
            (status(401, f"{KEY} has expired"), r"refuses the key (401: *** has expired)"),
            (status(404, "no such model"), "unknown address or model"),
            (status(429, "insufficient_quota"), "no credit or quota left"),
        ],
    )
    def test_what_will_not_pass_stops_with_one_line_and_what_is_finished_is_kept(
        self,
        annotate: Annotate,
        few: Path,
        output: Path,
        monkeypatch: pytest.MonkeyPatch,
        fault: Fault,
        words: str,
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        with ChatServer(lambda body: GOOD if len(server.bodies) <= 2 else fault) as server:
            ran = annotate(server, few, "--model", "tiny")
            assert (ran.code, len(server.bodies), len(ran.said)) == (2, 3, 1)
        assert words in ran.said[0]
        assert len(lines(output)) == len(replies(output)) == 2
        with ChatServer(lambda body: GOOD) as server:
            assert annotate(server, few, "--model", "tiny").code == 0
            assert len(server.bodies) == 3

    def test_the_key_is_in_no_file_and_no_line_even_if_the_server_repeats_it(
        self, annotate: Annotate, few: Path, output: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        wordy = json.dumps(label(7, subject_background={"subject": KEY, "background": "room"}))
        with ChatServer(lambda body: wordy) as server:
            ran = annotate(server, few / "0.png")
        assert server.headers[0]["authorization"] == f"Bearer {KEY}"
        assert lines(output)[0]["attributes"]["subject_background"]["subject"] == "***"
        written = b"".join(path.read_bytes() for path in output.parent.iterdir() if path.is_file())
        assert KEY.encode() not in written + ran.err.encode()

    def test_requests_per_minute_are_kept(self, realqa_here: Realqa, few: Path) -> None:
        times: list[float] = []

        def reply(body: dict[str, Any]) -> str:
            times.append(time.monotonic())
            return GOOD

        with ChatServer(reply) as server:
            realqa_here("annotate", few, "--server", server.url, "--requests-per-minute", 600)
        assert times[-1] - times[0] >= 0.35


class TestLedger:
    def test_a_finished_run_asks_nothing_more(self, annotate: Annotate, few: Path, output: Path) -> None:
        with ChatServer(lambda body: GOOD) as server:
            annotate(server, few)
            before = output.read_bytes()
            ran = annotate(server, few)
        assert (ran.code, len(server.bodies)) == (0, 5)
        assert ran.said == ["realqa: 5 items: 5 done before"]
        assert output.read_bytes() == before

    def test_lost_records_are_made_from_the_ledger_though_the_server_is_gone(
        self, annotate: Annotate, few: Path, output: Path
    ) -> None:
        with ChatServer(lambda body: paid(GOOD)) as server:
            annotate(server, few, *PRICED)
        before = output.read_bytes()
        ran = annotate(server, few, *PRICED, "--no-resume", "--overwrite")
        assert ran.code == 0, ran.err
        assert "5 from the ledger" in ran.err
        assert output.read_bytes() == before

    def test_a_reply_is_on_disk_before_it_is_read(
        self, annotate: Annotate, few: Path, output: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def careless(text: str, **how: Any) -> None:
            raise ZeroDivisionError

        with ChatServer(lambda body: GOOD) as server:
            with monkeypatch.context() as patch:
                patch.setattr("realqa_cli.steps.annotate.labeler.read_label", careless)
                assert annotate(server, few / "0.png").code == 1
            assert len(replies(output)) == 1
            assert annotate(server, few / "0.png").code == 0
            assert len(server.bodies) == 1, "a repaired parser reads what was paid for"

    def test_other_settings_are_other_questions(self, annotate: Annotate, few: Path) -> None:
        with ChatServer(lambda body: GOOD, models=("a", "b")) as server:
            for more in (["--model", "a"], ["--model", "b"], ["--model", "a", "--max-pixels", 1000]):
                annotate(server, few / "0.png", *more)
        assert len(server.bodies) == 3

    def test_without_an_output_the_ledger_is_in_the_users_data_folder(
        self, realqa_here: Realqa, few: Path, tmp_path: Path
    ) -> None:
        with ChatServer(lambda body: GOOD) as server:
            first = realqa_here("annotate", few, "--server", server.url)
            second = realqa_here("annotate", few, "--server", server.url)
        assert first.records == second.records
        assert len(server.bodies) == len(first.records) == 5
        assert (tmp_path / "data" / "realqa" / "annotate" / "tiny.replies.jsonl").is_file()

    def test_an_interrupt_files_the_replies_that_are_being_paid_for(self, few: Path, output: Path) -> None:
        release = threading.Event()

        def reply(body: dict[str, Any]) -> str:
            release.wait(30)
            return GOOD

        with ChatServer(reply) as server:
            run = command("annotate", few, "--server", server.url, "--concurrency", 2, "-o", output)
            process = subprocess.Popen(run, stderr=subprocess.PIPE, text=True, env=environment())
            assert process.stderr is not None
            while len(server.bodies) < 2:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            while "waiting for 2 paid replies" not in process.stderr.readline():
                assert process.poll() is None
            release.set()
            said = process.stderr.read()
            process.stderr.close()
            assert process.wait(30) == 130
        assert len(server.bodies) == len(replies(output)) == 2
        assert "interrupted" in said


class TestCost:
    def test_a_cap_stops_before_it_is_exceeded_and_a_higher_one_goes_on(
        self, annotate: Annotate, few: Path, output: Path
    ) -> None:
        how = (*PRICED, "--max-tokens", 200)
        with ChatServer(lambda body: paid(GOOD)) as server:
            ran = annotate(server, few, *how, "--max-cost", 0.012)
            asked = len(server.bodies)
            assert 1 <= asked <= 2, "of 0.0045 USD each"
            assert ran.code == 1
            assert f"stopped before exceeding 0.012 USD, {5 - asked} photos left" in ran.err
            assert len(lines(output)) == asked
            again = annotate(server, few, *how, "--max-cost", 0.012)
            assert (again.code, len(server.bodies)) == (1, asked), "what earlier runs paid counts"
            assert annotate(server, few, *how, "--max-cost", 1).code == 0
        assert len(lines(output)) == 5

    def test_a_cap_holds_for_calls_in_flight(self, annotate: Annotate, few: Path, output: Path) -> None:
        with ChatServer(lambda body: paid(GOOD)) as server:
            annotate(server, few, *PRICED, "--max-tokens", 200, "--max-cost", 0.012, "--concurrency", 5)
        assert len(server.bodies) <= 2

    def test_answers_that_were_lost_count_as_paid(self, annotate: Annotate, few: Path) -> None:
        with ChatServer(lambda body: HALF) as server:
            ran = annotate(server, few, *PRICED, "--max-tokens", 200, "--max-cost", 0.03, "--retries", 99)
        assert ran.code == 1
        assert 1 <= len(server.bodies) <= 5

    def test_a_dry_run_prints_what_it_would_cost_and_sends_and_writes_nothing(
        self, annotate: Annotate, few: Path, output: Path
    ) -> None:
        with ChatServer(lambda body: paid(GOOD)) as server:
            ran = annotate(server, few, *PRICED, "--dry-run")
            assert (ran.code, server.bodies) == (0, [])
            (plan,) = ran.records
            assert (plan["images"], plan["done"], plan["failed"]) == (5, 0, 0)
            assert 0 < plan["cost_usd"] < plan["most_usd"]
            assert "5 photos to send to gpt-4o" in ran.err
            assert not output.exists()
            annotate(server, few, *PRICED, "--limit", 2)
            (plan,) = annotate(server, few, *PRICED, "--dry-run").records
        assert (plan["images"], plan["done"]) == (3, 2)

    def test_what_a_photo_is_estimated_at_is_what_is_asked(self, annotate: Annotate, photos: Path) -> None:
        (plan,) = annotate("http://localhost/v1", photos / "bee.jpg", *PRICED, "--dry-run").records
        letters = len(prompts.annotation_question()) + len(json.dumps(prompts.response_format()))
        assert letters / 4 + 85 + 170 < plan["input_tokens"] < letters / 4 + 85 + 170 * 8 + 50

    def test_prices_of_the_users_own_count(self, annotate: Annotate, few: Path, output: Path, tmp_path: Path) -> None:
        (tmp_path / "prices.json").write_text('{"tiny": {"input": 1, "output": 1}}')
        with ChatServer(lambda body: paid(GOOD)) as server:
            annotate(server, few / "0.png", "--prices", tmp_path / "prices.json")
        assert lines(output)[0]["cost_usd"] == pytest.approx(0.0012)

    def test_a_price_that_is_given_later_counts_for_replies_of_earlier(
        self, annotate: Annotate, few: Path, output: Path, tmp_path: Path
    ) -> None:
        with ChatServer(lambda body: paid(GOOD)) as server:
            annotate(server, few / "0.png")
            assert lines(output)[0]["cost_usd"] is None
            (tmp_path / "prices.json").write_text('{"tiny": {"input": 1, "output": 1}}')
            annotate(server, few / "0.png", "--prices", tmp_path / "prices.json", "--no-resume", "--overwrite")
        assert lines(output)[0]["cost_usd"] == pytest.approx(0.0012)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--server: no server is given; add --server URL"),
        (["--server", "http://h/v1", "--model", "mine", "--max-cost", "1"], "the price of mine is unknown"),
        (["--dry-run", "--model", "mine", "--max-cost", "1"], "the price of mine is unknown"),
        (["--dry-run"], "--model: no model is named"),
        (["--model", "m", "--to", "csv", "x"], "--to: unknown format 'csv'; choose one of: openai-batch, label-studio"),
        (["--to", "openai-batch", "x.jsonl", "--from", "openai-batch", "y"], "mutually exclusive"),
        (["--dry-run", "--to", "openai-batch", "x.jsonl"], "--dry-run: estimates the cost of requests"),
        (["--to", "openai-batch", "x.jsonl"], "--model: no model is named"),
        (["--to", "label-studio", "x.json"], "not a file of labels; give a file of realqa annotate or self-label"),
        (["--server", "http://h/v1", "--model", "m", "--image-format", "gif"], "--image-format: unknown format 'gif'"),
        (["--from", "openai-batch", "/nowhere.jsonl"], "/nowhere.jsonl: cannot be read"),
        (["--overwrite", "--server", "http://h/v1", "--model", "m"], "--overwrite: applies to an output file"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_one_line(realqa_here: Realqa, few: Path, arguments: list[str], words: str) -> None:
    ran = realqa_here("annotate", few, *arguments)
    assert (ran.code, ran.out, len(ran.said)) == (2, "", 1)
    assert words in ran.said[0]


def test_people_refine_what_was_annotated(
    annotate: Annotate, realqa_here: Realqa, few: Path, output: Path, tmp_path: Path
) -> None:
    with ChatServer(lambda body: GOOD) as server:
        annotate(server, few)
    tasks = tmp_path / "tasks.json"
    ran = realqa_here("annotate", output, "--to", "label-studio", tasks)
    assert ran.code == 0, ran.err
    assert (tmp_path / "tasks.xml").is_file()
    export = json.loads(tasks.read_text())
    for i, task in enumerate(export):
        (prediction,) = task["predictions"]
        result = json.loads(json.dumps(prediction["result"]))
        for part in result:
            if part["from_name"] == "image_clarity" and i < 2:
                part["value"]["choices"] = ["moderately blurry"]
        task |= {
            "id": i,
            "annotations": [{"id": i, "completed_by": 3, "result": result, "prediction": prediction}],
        }
    (tmp_path / "export.json").write_text(json.dumps(export))
    ran = realqa_here("annotate", "--from", "label-studio", tmp_path / "export.json")
    assert ran.code == 0, ran.err
    assert [record["changed"] for record in ran.records] == [["image_clarity"]] * 2 + [[]] * 3
    assert all(record["refined"] for record in ran.records)
    assert "image clarity" in ran.err
    assert "5 records, 5 refined" in ran.err


def test_nothing_heavy_is_loaded_to_annotate(few: Path, tmp_path: Path) -> None:
    code = (
        "import json, sys; from realqa_cli.cli import main; main(sys.argv[1:]);"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    with ChatServer(lambda body: GOOD) as server:
        ran = subprocess.run(
            [sys.executable, "-c", code, "annotate", few, "--server", server.url],
            capture_output=True,
            text=True,
            check=True,
            env=environment(XDG_DATA_HOME=str(tmp_path)),
        )
    loaded = set(json.loads(ran.stdout.splitlines()[-1]))
    assert not loaded & {"torch", "transformers", "scipy", "peft", "tokenizers", "huggingface_hub", "sklearn"}
