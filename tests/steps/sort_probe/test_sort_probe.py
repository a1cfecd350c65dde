"""The sorting probe: its questions, its marks, real small models, a real server that answers in known ways."""

import ast
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from chat_server import Answer, ChatServer, status
from hypothesis import given
from hypothesis import strategies as st
from process import Ran, Realqa, environment
from small_models import TEMPLATE, tokenizer, write
from transformers import LlamaConfig, LlamaForCausalLM, dynamic_module_utils

from realqa_cli import models
from realqa_cli.backends.base import LoadOptions, Prompt
from realqa_cli.backends.hf.text import TextBackend
from realqa_cli.cli import main
from realqa_cli.domain.prompts import sort_question
from realqa_cli.errors import ModelError, UsageError
from realqa_cli.inference.model_settings import ModelSettings
from realqa_cli.io.summary_records import SortProbeRecord
from realqa_cli.steps.sort_probe.sort_probe import Probe, ProbeSettings, TrialScore, trial_numbers
from realqa_cli.steps.sort_probe.text_models import check_model, open_local

Sort = Callable[..., Ran]


@pytest.fixture
def sort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sort:
    """`realqa sort-probe ARGUMENTS` in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REALQA_MODEL", raising=False)

    def run(*arguments: object) -> Ran:
        code = main(["sort-probe", *map(str, arguments)])
        return Ran(code, *capsys.readouterr())

    return run


def numbers_in(body: dict[str, Any]) -> list[float]:
    found = re.search(r"Numbers: (\[.*?\])", body["messages"][0]["content"])
    assert found
    return list(ast.literal_eval(found[1]))


def perfect(body: dict[str, Any]) -> str:
    return str(sorted(numbers_in(body)))


def test_the_question_is_the_papers() -> None:
    assert sort_question(["5.9", "4.0", "8.88"]) == (
        "Sort these numbers from low to high and return the result directly to me! Numbers: [5.9, 4.0, 8.88]."
        " Return format: [number 1, number 2, ..., number n]"
    )


def test_numbers_are_decimals_from_one_to_ten_as_python_writes_them() -> None:
    trials = list(trial_numbers(ProbeSettings(trials=300)))
    texts = [text for trial in trials for text in trial]
    assert len(trials) == 300
    assert {len(trial) for trial in trials} == {10}
    assert all(1 <= float(text) <= 10 and text == str(float(text)) for text in texts)
    lengths = [len(text.partition(".")[2]) for text in texts]
    shares = [lengths.count(n) / len(lengths) for n in (1, 2, 3)]
    assert 0.45 < shares[0] < 0.56, "drawn with no or one decimal, or one whose later ones are 0"
    assert all(0.2 < share < 0.28 for share in shares[1:]), shares
    whole = sum(text.endswith(".0") for text in texts) / len(texts)
    assert 0.24 < whole < 0.32, "a quarter is drawn without decimals, as ten of the thirty in the paper's examples"
    repeating = sum(len(set(trial)) < len(trial) for trial in trials) / len(trials)
    assert 0.25 < repeating < 0.6, "about one list of three in the paper's examples holds a number twice"
    two = [text for trial in trial_numbers(ProbeSettings(decimals=2)) for text in trial]
    assert {len(text.partition(".")[2]) for text in two} == {1, 2}
    none = [text for trial in trial_numbers(ProbeSettings(decimals=0, trials=20)) for text in trial]
    assert all(text.endswith(".0") for text in none)


def test_the_seed_decides_and_more_trials_only_add() -> None:
    few, many = (list(trial_numbers(ProbeSettings(trials=n, seed=3))) for n in (5, 50))
    assert many[:5] == few
    assert list(trial_numbers(ProbeSettings(trials=5, seed=4))) != few


@pytest.mark.parametrize(
    ("answered", "given", "marks"),
    [
        # accuracy, recall and hallucination by membership, then both by multiset
        ([1.0, 2.0, 3.0, 4.0], [4.0, 2.0, 3.0, 1.0], (1, 1, 0, 1, 0)),
        ([1.0, 3.0, 2.0, 4.0], [4.0, 2.0, 3.0, 1.0], (0.5, 1, 0, 1, 0)),
        ([1.0, 2.0, 3.0], [4.0, 2.0, 3.0, 1.0], (0.75, 0.75, 0, 0.75, 0)),
        ([2.0, 3.0, 4.0], [4.0, 2.0, 3.0, 1.0], (0, 0.75, 0, 0.75, 0)),
        ([1.0, 2.0, 3.0, 4.0, 5.0], [4.0, 2.0, 3.0, 1.0], (1, 1, 0.2, 1, 0.2)),
        ([1.0, 2.0, 2.0, 4.0], [4.0, 2.0, 2.0, 1.0], (1, 1, 0, 1, 0)),
        ([1.0, 2.0, 4.0], [4.0, 2.0, 2.0, 1.0], (0.5, 1, 0, 0.75, 0)),
        ([1.0, 2.0, 2.0, 2.0, 4.0], [4.0, 2.0, 2.0, 1.0], (0.75, 1, 0, 1, 0.2)),
        ([1.0, 1.0, 1.0, 1.0], [4.0, 2.0, 3.0, 1.0], (0.25, 0.25, 0, 0.25, 0.75)),
        ([7.0, 8.0], [4.0, 2.0, 3.0, 1.0], (0, 0, 1, 0, 1)),
        (None, [4.0, 2.0, 3.0, 1.0], (0, 0, 0, 0, 0)),
    ],
)
def test_metrics_are_by_membership_and_by_multiset(answered: Any, given: list[float], marks: Any) -> None:
    assert tuple(vars(TrialScore.of(answered, given)).values()) == pytest.approx(marks)


def test_the_papers_example_has_one_number_made_up() -> None:
    given = [9.0, 2.0, 2.0, 8.0, 1.51, 8.0, 3.6, 9.72, 6.0, 8.3]
    found = TrialScore.of([1.51, 2.0, 2.0, 3.6, 6.0, 8.0, 8.0, 8.3, 8.72, 9.0, 9.72], given)
    assert (found.accuracy, found.recall, found.hallucination) == pytest.approx((0.8, 1, 1 / 11))


values = st.lists(st.sampled_from([1.0, 1.5, 2.0, 3.25, 9.9]), min_size=2, max_size=8)


@given(values, values)
def test_marks_are_shares_and_the_truth_is_perfect(answered: list[float], given: list[float]) -> None:
    found = TrialScore.of(answered, given)
    assert all(0 <= share <= 1 for share in vars(found).values())
    assert found.accuracy <= found.recall + 1e-12
    assert found.recall_multiset <= found.recall + 1e-12
    assert found.hallucination <= found.hallucination_multiset + 1e-12
    assert tuple(vars(TrialScore.of(sorted(given), given)).values()) == (1, 1, 0, 1, 0)


def drops_two(body: dict[str, Any]) -> str:
    return str(sorted(numbers_in(body))[:8])


def makes_up(body: dict[str, Any]) -> str:
    return str([*sorted(numbers_in(body))[:9], 77.7])


def talks(body: dict[str, Any]) -> str:
    given = numbers_in(body)
    lines = "\n".join(f"{i}. **{n}** kg" for i, n in enumerate(sorted(given), 1))
    return f"<think>let me see</think>You gave me 10 numbers, {given}. In order:\n\n{lines}\n\nDone!"


@pytest.mark.parametrize(
    ("reply", "marks"),
    [
        (perfect, (1, 1, 0)),
        (drops_two, (0.8, 0.8, 0)),
        (makes_up, (0.9, 0.9, 0.1)),
        (talks, (1, 1, 0)),
        (lambda body: "I would rather not.", (0, 0, 0)),
    ],
)
def test_a_server_with_known_answers_gets_its_marks(reply: Any, marks: Any, sort: Sort) -> None:
    with ChatServer(reply) as server:
        ran = sort("--server", server.url, "--trials", 12, "--decimals", 2)
    assert ran.code == 0
    (record,) = ran.records
    found = [record[name] for name in ("accuracy", "recall_multiset", "hallucination_multiset")]
    assert found == pytest.approx(marks)
    assert record["hallucination"] == pytest.approx(marks[2])
    assert (record["model"], record["trials"], record["failed"]) == ("tiny", 12, 0)
    assert set(record) <= set(SortProbeRecord.model_fields)
    assert record["recall_multiset"] <= record["recall"] <= 1
    assert ("no list could be read in 12 of 12 answers, for example: 'I would rather not.'" in ran.err) == (
        marks[0] == 0
    )
    assert record["unparsed"] == (12 if marks == (0, 0, 0) else 0)
    manifest = json.loads(next(line for line in ran.err.splitlines() if line.startswith("{")))
    assert manifest["run"] == record["run"]
    assert manifest["settings"]["server"] == server.url
    assert all(isinstance(body["messages"][0]["content"], str) for body in server.bodies)
    assert {body["temperature"] for body in server.bodies} == {0}


def test_answers_come_back_to_their_own_trials_whatever_the_order(sort: Sort) -> None:
    with ChatServer(perfect, faults=[status(500), status(429, retry_after="0.01")]) as server:
        ran = sort("--server", server.url, "--trials", 30, "--concurrency", 8)
    assert ran.records[0]["accuracy"] == 1


def test_several_models_of_a_server_are_several_records_or_one_table(sort: Sort) -> None:
    def reply(body: dict[str, Any]) -> Answer:
        return (perfect if body["model"] == "good" else drops_two)(body)

    with ChatServer(reply, models=("good", "bad")) as server:
        given = ["--server", server.url, "--model", "good", "--model", "bad", "--trials", 5]
        ran = sort(*given)
        assert [(r["model"], r["accuracy"]) for r in ran.records] == [("good", 1), ("bad", 0.8)]
        shown = sort(*given, "--table")
    assert re.search(r"model\s+accuracy\s+recall\s+hallucination\s+trials\s+unparsed", shown.out)
    assert re.search(r"good\s+1.000\s+1.000\s+0.000\s+5\s+0\s+0\n\s*bad\s+0.800\s+0.800\s+0.000", shown.out)


def test_a_short_name_means_its_hub_id_where_the_server_knows_that(sort: Sort) -> None:
    with ChatServer(perfect, models=("OpenGVLab/InternVL2-8B", "b")) as server:
        ran = sort("--server", server.url, "--model", "internvl2", "--trials", 1)
    assert ran.records[0]["model"] == "internvl2"
    assert server.bodies[0]["model"] == "OpenGVLab/InternVL2-8B"


def test_trials_without_an_answer_are_counted_and_left_out_of_the_means(sort: Sort) -> None:
    def reply(body: dict[str, Any]) -> Answer:
        return status(400, "no") if len(server.bodies) % 3 == 0 else perfect(body)

    with ChatServer(reply) as server:
        ran = sort("--server", server.url, "--trials", 9, "--concurrency", 1, "--transcripts", "t.jsonl")
    assert ran.code == 1
    assert (ran.records[0]["accuracy"], ran.records[0]["failed"], ran.records[0]["unparsed"]) == (1, 3, 0)
    lines = [json.loads(line) for line in Path("t.jsonl").read_text().splitlines()]
    assert [line["trial"] for line in lines if line.get("error") is not None] == [2, 5, 8]
    assert "trials without an answer: 3" in ran.said[-1]


def test_a_server_that_never_answers_gives_no_means_and_not_a_zero(sort: Sort) -> None:
    with ChatServer(lambda body: status(400, "no")) as server:
        ran = sort("--server", server.url, "--trials", 2)
        shown = sort("--server", server.url, "--trials", 2, "--table")
    assert ran.records[0]["accuracy"] is None
    assert (ran.code, shown.code) == (1, 1)


def test_transcripts_hold_every_prompt_and_answer_and_a_later_run_goes_on(sort: Sort) -> None:
    with ChatServer(perfect) as server:
        given = ["--server", server.url, "--trials", 6, "--concurrency", 1, "--transcripts", "t.jsonl"]
        ran = sort(*given)
        whole = Path("t.jsonl").read_text()
        lines = [json.loads(line) for line in whole.splitlines()]
        assert [line["trial"] for line in lines] == list(range(6))
        assert lines[0]["prompt"] == server.bodies[0]["messages"][0]["content"]
        assert ast.literal_eval(lines[0]["answer"]) == lines[0]["read"]
        assert {line["run"] for line in lines} == {ran.records[0]["run"]}
        assert set(json.loads(Path("t.jsonl.run.json").read_text())["runs"]) == {ran.records[0]["run"]}

        Path("t.jsonl").write_text("".join(line + "\n" for line in whole.splitlines()[:4]) + '{"mod')
        server.bodies.clear()
        again = sort(*given)
        assert len(server.bodies) == 2
        assert again.records == ran.records
        assert Path("t.jsonl").read_text() == whole
        other = sort(*given, "--seed", 1)
        assert other.records[0]["run"] != ran.records[0]["run"]
        assert len(Path("t.jsonl").read_text().splitlines()) == 12


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small models: two that see, one of language alone, whose template takes plain texts."""
    root = tmp_path_factory.mktemp("models")
    for family in ("qwen2_vl", "llava"):
        write(root / family, family)
    words = tokenizer()
    words.chat_template = TEMPLATE.replace(
        "{% for part in message['content'] %}", "{{ message['content'] }}{% for part in [] %}"
    )
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(words), **sizes))
    model.save_pretrained(root / "llama")
    words.save_pretrained(root / "llama")
    for family in ("qwen2_vl", "llava"):  # no image processor: none is needed
        for name in ("preprocessor_config.json", "processor_config.json"):
            (root / family / name).unlink(missing_ok=True)
    return root


@pytest.mark.parametrize("family", ["qwen2_vl", "llava", "llama"])
def test_models_of_every_kind_are_asked_without_a_photo(family: str, folders: Path) -> None:
    settings = ModelSettings(model=str(folders / family))
    probe = Probe(open_local(settings), ProbeSettings(trials=3, numbers=2))
    transcripts = list(probe.transcripts())
    assert [one["trial"] for one in transcripts] == [0, 1, 2]
    assert all(isinstance(one["answer"], str) for one in transcripts)
    record = probe.record(transcripts)
    assert record["trials"] == 3
    assert 0 <= record["accuracy"] <= record["recall"] <= 1


@pytest.mark.parametrize("family", ["qwen2_vl", "llava", "llama"])
def test_an_answer_is_what_plain_greedy_decoding_writes_alone_or_in_a_batch(family: str, folders: Path) -> None:
    backend = TextBackend.load(models.find(str(folders / family)), LoadOptions(device="cpu"))
    asks = [Prompt(sort_question(numbers)) for numbers in trial_numbers(ProbeSettings(trials=3, numbers=4))]
    asks.append(Prompt("Hi", prefix="So: "))
    together = backend.generate(asks, 12)
    assert together == [backend.generate([ask], 12)[0] for ask in asks]
    assert together[-1].startswith("So: ")
    text = f"<|im_start|>user\n{asks[0].question}<|im_end|>\n<|im_start|>assistant\n"
    ids = torch.tensor([backend.tokenizer(text, add_special_tokens=False)["input_ids"]])
    for _ in range(12):
        step = backend.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, -1].argmax()
        ids = torch.cat([ids, step[None, None]], dim=1)
        if step == backend.model.generation_config.eos_token_id:
            break
    new = ids[0, len(backend.tokenizer(text, add_special_tokens=False)["input_ids"]) :]
    assert together[0] == backend.tokenizer.decode(new, skip_special_tokens=True)


def test_the_bundled_model_is_the_default_and_two_runs_agree(sort: Sort) -> None:
    first, second = (sort("--trials", 2, "--numbers", 2) for _ in range(2))
    assert first.code == 0
    assert first.records == second.records
    assert first.records[0]["model"] == "realqa-tiny"


REMOTE = """
import torch
from transformers import PretrainedConfig, PreTrainedModel


class Config(PretrainedConfig):
    model_type = "sorter_of_its_own"


class Sorter(PreTrainedModel):
    config_class = Config

    def __init__(self, config):
        super().__init__(config)
        self.scale = torch.nn.Linear(1, 1)
        self.post_init()

    def chat(self, tokenizer, pixel_values, question, generation_config, history=None):
        assert pixel_values is None and not generation_config["do_sample"] and len(tokenizer) > 10
        FAULT
        numbers = question.split("[")[1].split("]")[0].split(", ")
        return "[" + ", ".join(sorted(numbers, key=float)) + "]"
"""


def write_remote(folder: Path, *, fault: str = "pass", code: str = REMOTE) -> Path:
    """A model with code of its own, as hub repositories have it, that sorts."""
    from safetensors.torch import save_file

    folder.mkdir()
    tokenizer().save_pretrained(folder)
    names = {"AutoConfig": "modeling_sorter.Config", "AutoModel": "modeling_sorter.Sorter"}
    config = {"model_type": "sorter_of_its_own", "architectures": ["Sorter"], "auto_map": names}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling_sorter.py").write_text(code.replace("FAULT", fault))
    weights = {"scale.weight": torch.zeros(1, 1), "scale.bias": torch.zeros(1)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps transformers from copying the code into the developer's home."""
    cache = tmp_path / "modules"
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(cache))
    monkeypatch.syspath_prepend(str(cache))


@pytest.mark.usefixtures("modules")
def test_a_model_with_its_own_code_runs_where_that_is_trusted(tmp_path: Path, sort: Sort) -> None:
    folder = write_remote(tmp_path / "trusted")
    ran = sort("--model", folder, "--trust-remote-code", "--revision", "abc123", "--trials", 3)
    assert ran.code == 0, ran.err
    assert ran.records[0]["accuracy"] == 1
    manifest = json.loads(next(line for line in ran.err.splitlines() if line.startswith("{")))
    assert manifest["settings"]["revision"] == "abc123"


def test_a_model_with_its_own_code_is_not_run_unasked(tmp_path: Path, sort: Sort) -> None:
    marker = tmp_path / "ran"
    folder = write_remote(tmp_path / "own", code=f"open({str(marker)!r}, 'w')\n{REMOTE}")
    ran = sort("--model", "realqa-tiny", "--model", folder, "--trials", 1)
    assert (ran.code, ran.out, len(ran.said)) == (2, "", 1)
    assert "no architecture 'sorter_of_its_own'; add --trust-remote-code --revision COMMIT" in ran.said[0]
    assert "--server" in ran.said[0]
    assert not marker.exists()
    unpinned = sort("--model", folder, "--trials", 1, "--trust-remote-code")
    assert unpinned.code == 2
    assert "pinned revision" in unpinned.said[0]
    assert not marker.exists()


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"fault": "self.scale.seen_tokens"}, "AttributeError"),
        ({"code": "from transformers import NoLongerThere\n"}, "ImportError"),
        ({"code": REMOTE.replace("def chat", "def talk")}, "not have a method `chat`"),
        ({"fault": "return 7"}, "returns a int"),
    ],
)
def test_code_that_does_not_run_under_these_transformers_is_one_line_with_the_way_out(
    more: dict[str, str], reason: str, tmp_path: Path, sort: Sort
) -> None:
    folder = write_remote(tmp_path / f"old_{reason[:6].strip().replace(' ', '_')}", **more)
    ran = sort("--model", folder, "--trust-remote-code", "--revision", "abc", "--trials", 1)
    assert (ran.code, ran.out) == (2, "")
    assert "its own code does not run with transformers" in ran.said[-1]
    assert reason in ran.said[-1]
    assert "--server http://HOST:PORT/v1" in ran.said[-1]


def test_an_architecture_that_nothing_here_knows_is_sent_to_a_server(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "mplug_owl2"}')
    with pytest.raises(
        ModelError, match=r"no architecture 'mplug_owl2', and the model brings no code of its own; serve .* --server"
    ):
        check_model(ModelSettings(model=str(tmp_path), trust_remote_code=True, revision="x"))


def test_what_is_measured_before_a_model_fails_is_shown(folders: Path, tmp_path: Path, sort: Sort) -> None:
    broken = write(tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"no weights")
    ran = sort("-m", folders / "qwen2_vl", "-m", broken, "--trials", 1, "--numbers", 2, "--json")
    assert ran.code == 2
    assert [record["model"] for record in ran.records] == [str(folders / "qwen2_vl")]
    assert "cannot be loaded" in ran.said[-1]


def test_a_folder_without_a_chat_template_is_one_line(folders: Path, tmp_path: Path, sort: Sort) -> None:
    folder = write(tmp_path / "mute")
    (folder / "chat_template.jinja").unlink()
    ran = sort("--model", folder, "--trials", 1)
    assert ran.code == 2
    assert "has no chat template" in ran.said[-1]
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    assert sort("--model", folder, "--trials", 1, "--numbers", 2).code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--model", "qwen9"],
            "unknown model 'qwen9'; give a model folder, a hub id (owner/name), or one of: ",
        ),
        (["--numbers", "1"], "--numbers"),
        (["--decimals", "4"], "--decimals"),
        (["--trials", "0"], "--trials"),
        (["--json", "--table"], "--table and --json are mutually exclusive"),
        (["--revision", "a", "--revision", "b"], "--revision: is given 2 times for 1 model"),
        (["--server", "http://localhost:1"], "does not look like the address"),
        (
            ["--server", "http://localhost:1/v1", "--device", "cpu"],
            "--device: applies to models in this process",
        ),
        (["--transcripts", "no/such/folder.jsonl"], "there is no folder no/such"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], words: str, sort: Sort) -> None:
    ran = sort(*arguments)
    assert (ran.code, ran.out, len(ran.said)) == (2, "", 1)
    assert words in ran.said[0]


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError, match="--numbers: must be from 2 to 1000"):
        ProbeSettings(numbers=1).check()


@pytest.mark.parametrize("name", ["internvl2", "minicpm-v2.5"])
def test_a_model_of_the_paper_that_needs_a_server_says_what_to_do_step_by_step(name: str, sort: Sort) -> None:
    ran = sort("--model", name)
    assert (ran.code, ran.out, len(ran.said)) == (2, "", 1)
    steps = f"2) vllm serve {models.SHORT_NAMES[name]} --trust-remote-code; 3) realqa sort-probe --model {name}"
    assert f"{steps} --server http://localhost:8000/v1" in ran.said[0]


@pytest.mark.parametrize("name", ["qwen2-vl-2b", "qwen2-vl-7b", "llava-1.5"])
def test_a_model_that_cannot_be_downloaded_says_what_to_do_step_by_step(
    name: str, sort: Sort, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_connection(*arguments: object, **more: object) -> None:
        raise ModelError("cannot be downloaded from the hub", where="owner/name", remedy="check the connection")

    monkeypatch.setattr(models, "config_of", no_connection)
    ran = sort("--model", name)
    assert (ran.code, ran.out, len(ran.said)) == (2, "", 1)
    hub_id = models.SHORT_NAMES[name]
    folder = hub_id.rpartition("/")[2]
    for step in (
        f"1) hf download {hub_id} --local-dir {folder}",
        f"2) realqa sort-probe --model {folder}.",
        f"2) vllm serve {hub_id}; 3) realqa sort-probe --model {name} --server http://localhost:8000/v1",
    ):
        assert step in ran.said[0]


def test_the_steps_for_a_model_without_code_name_its_authors() -> None:
    with pytest.raises(ModelError, match=r"mplug-owl2: .*github\.com/X-PLUG/mPLUG-Owl.* 2\) realqa sort-probe"):
        check_model(ModelSettings(model="mplug-owl2"))


def test_the_papers_models_have_short_names() -> None:
    assert set(models.SHORT_NAMES) == {
        "qwen2-vl-2b", "qwen2-vl-7b", "internvl2", "minicpm-v2.5", "llava-1.5", "mplug-owl2",
    }  # fmt: skip


def test_as_a_process_the_record_is_on_stdout_and_the_key_nowhere(realqa: Realqa, tmp_path: Path) -> None:
    key = "sk-secret-0123456789"
    with ChatServer(perfect) as server:
        ran = realqa(
            "sort-probe", "--server", server.url, "--trials", 3, "--transcripts", "t.jsonl",
            cwd=tmp_path, env=environment(OPENAI_API_KEY=key),
        )  # fmt: skip
    assert ran.code == 0
    assert server.headers[0]["authorization"] == f"Bearer {key}"
    kept = "".join(file.read_text() for file in tmp_path.glob("t.jsonl*"))
    assert key not in ran.out + ran.err + kept
