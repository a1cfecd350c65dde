"""The paper's baselines train, save, load, score and resume like next-token prediction."""

import gc
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_conversations import cot, direct, load, photo, write_direct, write_lines
from process import environment
from safetensors.numpy import load_file
from small_models import write
from small_training import SMALL, _one_thread, log_of, settings  # noqa: F401  (pytest finds the fixture by its name)

from realqa_cli import Scorer
from realqa_cli.backends.base import Prompt
from realqa_cli.backends.hf.regression_head import HEAD_FILE
from realqa_cli.cli import main
from realqa_cli.domain import levels, prompts
from realqa_cli.domain.scales import Scale
from realqa_cli.errors import ModelError, UsageError
from realqa_cli.inference.teacher_forcing import conversations
from realqa_cli.inference.teacher_forcing.data_spec import DataSpec
from realqa_cli.media.photo import open_photo
from realqa_cli.models import find
from realqa_cli.steps.train.objectives.levels_objective import with_level
from realqa_cli.steps.train.objectives.objective import ObjectiveSetup, make_objective
from realqa_cli.steps.train.progress import TrainProgress
from realqa_cli.steps.train.train import train

BASELINES = ["levels", "regression"]
CONTRACT = {"score", "mode", "std", "interval", "mass", "scale", "method", "decode", "text", "run"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_direct(tmp_path_factory.mktemp("data"), 12)


@pytest.fixture(scope="module")
def trained(base: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Returns the folder of a run that fits the twelve photos, by objective; trained once."""
    folder = tmp_path_factory.mktemp("trained")

    def of(objective: str) -> Path:
        if not (folder / objective).exists():
            how = settings(base, objective=objective, tuning="full", epochs=16, learning_rate=5e-3)
            train([data], folder / objective, how)
        return folder / objective

    return of


def weights(folder: Path) -> dict[str, np.ndarray]:
    """All weights of a folder: adapter or model, and head."""
    files = sorted(folder.glob("*.safetensors"))
    return {f"{file.stem} {name}": value for file in files for name, value in load_file(file).items()}


def scores(folder: Path, data: Path) -> list[float]:
    records = Scorer(str(folder)).score([data.parent / f"{i}.png" for i in range(12)])
    return [record["score"] for record in records]


def stop_at(step: int) -> Callable[[Mapping[str, Any], int], None]:
    """A callback that interrupts a run at a step."""

    def on_step(record: Mapping[str, Any], steps: int) -> None:
        if record["step"] == step:
            raise KeyboardInterrupt

    return on_step


@pytest.mark.parametrize("objective", BASELINES)
class TestBoth:
    def test_the_trained_folder_is_scored_without_options(
        self, objective: str, trained: Callable[[str], Path], data: Path
    ) -> None:
        folder = trained(objective)
        config = json.loads((folder / "realqa.json").read_text())
        assert (config["objective"], config["scale"]) == (objective, [1.0, 5.0])
        truth = [1 + 3.9 * i / 11 for i in range(12)]
        assert np.corrcoef(scores(folder, data), truth)[0, 1] > 0.8
        losses = [line["loss"] for line in log_of(folder)]
        assert np.mean(losses[-10:]) < np.mean(losses[:10]) / 2

    def test_the_metric_of_numbers_is_null_in_the_log(self, objective: str, trained: Callable[[str], Path]) -> None:
        for line in log_of(trained(objective)):
            assert line["ncm"] is line["ncm_star"] is line["ncm_star_release"] is None
            assert line["samples_per_second"] > 0

    @pytest.mark.slow
    def test_an_adapter_can_spare_the_vision_tower_and_be_trained_further(
        self, objective: str, base: Path, data: Path, tmp_path: Path
    ) -> None:
        how = {"objective": objective, "max_steps": 2, "learning_rate": 1e-2, "lora_rank": 4}
        train([data], tmp_path / "one", settings(base, freeze_vision=True, **how))
        assert not [name for name in weights(tmp_path / "one") if "visual" in name]
        train([data], tmp_path / "two", settings(tmp_path / "one", **how))
        assert json.loads((tmp_path / "two" / "realqa.json").read_text())["base_model"] == str(base)
        assert scores(tmp_path / "two", data) != scores(tmp_path / "one", data)

    @pytest.mark.slow
    def test_scratch_starts_from_new_weights(
        self, objective: str, trained: Callable[[str], Path], data: Path, tmp_path: Path
    ) -> None:
        how = settings(trained(objective), objective=objective, tuning="scratch", max_steps=1, learning_rate=1e-9)
        train([data], tmp_path / "run", how)
        before, after = weights(trained(objective)), weights(tmp_path / "run")
        assert before.keys() == after.keys()
        assert all(not np.array_equal(before[name], after[name]) for name in before if before[name].ndim > 1)

    def test_conversations_without_a_direct_answer_are_left_out_with_a_warning(
        self, objective: str, base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("WARNING", "realqa")
        lines = [direct(photo(tmp_path, 0), "3.98"), *[cot("0.png", "3.98")] * 2]
        file = write_lines(tmp_path / "c.jsonl", lines)
        summary = train([file], tmp_path / "run", settings(base, objective=objective, max_steps=1))
        assert summary["conversations"] == 1
        assert (
            f"2 of 3 conversations are left out: they have no direct answer, which --objective {objective} needs"
            in caplog.text
        )
        with pytest.raises(UsageError, match=r"c\.jsonl: no conversation has a direct answer"):
            train([write_lines(file, lines[1:])], tmp_path / "none", settings(base, objective=objective))

    def test_another_objective_cannot_continue_from_it(
        self, objective: str, trained: Callable[[str], Path], data: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(UsageError, match=f"the model was trained with the objective '{objective}'"):
            train([data], tmp_path / "run", settings(trained(objective)))


class TestLevels:
    def test_the_answer_is_a_word_of_the_exact_label(self, base: Path, tmp_path: Path) -> None:
        lines = [direct(photo(tmp_path, 0), "3.40", mos=3.4049), direct("0.png", "3.40")]
        read = conversations.read_conversations([write_lines(tmp_path / "c.jsonl", lines)])
        setup = ObjectiveSetup(load(base).processor, DataSpec(Scale(1, 5), 3, None, {}), 2048, takes_mask=True)
        batch = make_objective("levels", setup).collate(read)
        labels = [row[row >= 0] for row in batch["labels"]]
        said = setup.processor.tokenizer.batch_decode(labels, skip_special_tokens=True)
        assert said == ["The quality of this image is good.", "The quality of this image is fair."]
        assert not batch["spans"]

    def test_levels_divide_the_range_of_the_training_labels(
        self, base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        numerals = ("2.00", "2.39", "2.41", "3.00", "3.61", "3.81", "4.00")
        lines = [direct(photo(tmp_path, i), numeral) for i, numeral in enumerate(numerals)]
        read = conversations.read_conversations([write_lines(tmp_path / "c.jsonl", lines)])
        setup = ObjectiveSetup(load(base).processor, DataSpec(Scale(1, 5), 3, None, {}), 2048, takes_mask=True)
        objective = make_objective("levels", setup)
        objective.check(read)
        assert objective.config_fields["level_bounds"] == [2, 4]
        objective.check(read[:2])
        assert objective.config_fields["level_bounds"] == [2, 4], "other conversations do not move the bounds"
        labels = [row[row >= 0] for row in objective.collate(read)["labels"]]
        texts = setup.processor.tokenizer.batch_decode(labels, skip_special_tokens=True)
        words = [text.removeprefix("The quality of this image is ").rstrip(".") for text in texts]
        assert words == ["bad", "bad", "poor", "fair", "excellent", "excellent", "excellent"]
        alone = make_objective("levels", setup)
        alone.check(read[:1])
        assert alone.config_fields["level_bounds"] == [1, 5]
        assert "all labels are 2: the levels divide the whole scale 1-5" in caplog.text

    def test_an_answer_about_a_video_stays_about_a_video(self, tmp_path: Path) -> None:
        line = direct(photo(tmp_path, 0), "4.90")
        line["messages"][1]["content"] = "The score of this video is 4.90."
        (read,) = conversations.read_conversations([write_lines(tmp_path / "c.jsonl", [line])])
        assert with_level(read, Scale(1, 5), Scale(1, 5)).turns[-1][1] == "The quality of this video is excellent."

    def test_a_record_has_the_probability_of_every_word_and_their_mean(
        self, trained: Callable[[str], Path], data: Path
    ) -> None:
        (record,) = Scorer(str(trained("levels")), distribution=True).score([data.parent / "11.png"])
        assert record.keys() >= CONTRACT
        assert [*record["levels"]] == [*levels.WORDS]
        shares = np.array([*record["levels"].values()])
        assert shares.sum() == pytest.approx(1)
        bounds = Scale.of(json.loads((trained("levels") / "realqa.json").read_text())["level_bounds"])
        labels = [json.loads(line)["mos"] for line in data.read_text().splitlines()]
        assert tuple(bounds) == (min(labels), max(labels))
        assert record["score"] == pytest.approx(float(shares @ np.array(levels.level_values(bounds))))
        best = levels.WORDS[int(shares.argmax())]
        assert record["text"] == f"The quality of this image is {best}."
        assert record["mode"] == pytest.approx(levels.level_values(bounds)[levels.WORDS.index(best)])
        assert (record["method"], record["decode"]) == ("levels", "exact")
        assert 0 < record["mass"] <= 1
        assert record["distribution"][-1][0] == bounds.high

    def test_the_words_have_the_probability_of_plain_forward_passes(self, base: Path, data: Path) -> None:
        backend = load(base)
        (record,) = Scorer(str(base), method="levels", scale=(1, 5)).score([data.parent / "1.png"])
        image = open_photo(data.parent / "1.png")
        begun = backend.processor.render(prompts.DIRECT_QUESTION, 1) + prompts.LEVEL_PREFIX
        before = len(backend.processor.encode([begun])[0])
        totals = []
        for word in levels.WORDS:
            prompt = backend.processor.batch([begun + word], [[image]])
            with torch.inference_mode():
                logs = backend.model(**prompt.forward_inputs()).logits.float().log_softmax(-1)[0]
            count = len(backend.processor.encode([begun + word])[0]) - before
            ids = prompt.ids_B_T[0, -count:]
            totals.append(sum(float(logs[-count - 1 + i, token]) for i, token in enumerate(ids)))
        expected = np.exp(np.array(totals) - np.logaddexp.reduce(totals))
        assert [*record["levels"].values()] == pytest.approx(expected.tolist(), rel=1e-4)
        assert record["mass"] == pytest.approx(float(np.exp(totals).sum()), rel=1e-4)


class TestRegression:
    def test_a_record_has_only_a_score(self, trained: Callable[[str], Path], data: Path) -> None:
        (record,) = Scorer(str(trained("regression"))).score([data.parent / "3.png"])
        assert record.keys() >= CONTRACT
        unknown = ("mode", "std", "interval", "mass", "decode", "text")
        assert [record[name] for name in unknown] == [None] * len(unknown)
        assert (record["method"], record["scale"]) == ("regression", [1.0, 5.0])

    def test_scoring_and_training_compute_the_same_values_in_any_batch(
        self, trained: Callable[[str], Path], data: Path
    ) -> None:
        backend = load(trained("regression"))
        read = conversations.read_conversations([data])
        setup = ObjectiveSetup(backend.processor, DataSpec(Scale(1, 5), 3, None, {}), 2048, takes_mask=True)
        objective = make_objective("regression", setup)
        batch = objective.collate(read)
        assert batch["labels"].tolist() == pytest.approx([0.975 * i / 11 for i in range(12)], abs=0.003)
        prompts_ = [Prompt(prompts.DIRECT_QUESTION, (open_photo(one.images[0]),)) for one in read]
        together = backend.regression_values(prompts_)
        alone = [float(backend.regression_values([prompt])[0]) for prompt in prompts_]
        assert together == pytest.approx(alone, abs=1e-5)
        error = ((together - batch["labels"].numpy()) ** 2).sum()
        trained = objective.fit(backend.model, find(str(trained("regression"))), new_weights=False)
        assert objective.loss(trained, batch).total.item() == pytest.approx(error, rel=1e-4)

    def test_the_folder_has_a_separate_head_and_unchanged_text_weights(
        self, trained: Callable[[str], Path], base: Path
    ) -> None:
        from transformers import AutoModelForImageTextToText

        assert {*load_file(trained("regression") / HEAD_FILE)} == {"weight", "bias"}
        old, new = (AutoModelForImageTextToText.from_pretrained(f) for f in (base, trained("regression")))
        assert torch.equal(old.lm_head.weight, new.lm_head.weight)

    def test_a_folder_without_its_head_is_refused_in_one_line(
        self, trained: Callable[[str], Path], data: Path, tmp_path: Path
    ) -> None:
        folder = shutil.copytree(trained("regression"), tmp_path / "copy")
        (folder / HEAD_FILE).unlink()
        with pytest.raises(ModelError, match=f"{HEAD_FILE}: its regression head cannot be loaded: .*; copy the whole"):
            Scorer(str(folder))

    @pytest.mark.slow
    @pytest.mark.parametrize("tuning", ["lora", "full"])
    def test_an_interrupted_run_resumes_to_the_same_weights(
        self, tuning: str, base: Path, data: Path, tmp_path: Path
    ) -> None:
        how = settings(base, objective="regression", tuning=tuning, max_steps=12, save_steps=4, learning_rate=1e-2)
        train([data], tmp_path / "whole", how)
        with pytest.raises(KeyboardInterrupt):
            train([data], tmp_path / "stopped", how, progress=TrainProgress(on_step=stop_at(7)))
        gc.collect()  # the lock goes with the run
        train([data], tmp_path / "stopped", how)
        whole, stopped = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
        assert whole.keys() == stopped.keys()
        assert not [name for name in whole if not np.array_equal(whole[name], stopped[name])]

    @pytest.mark.slow
    def test_other_families_can_be_trained(self, data: Path, tmp_path: Path) -> None:
        base = write(tmp_path / "llava", "llava", merges_digits=True)
        how = settings(base, objective="regression", max_steps=2, min_pixels=None, max_pixels=None)
        train([data], tmp_path / "run", how)
        assert all(1 <= score <= 5 for score in scores(tmp_path / "run", data))

    @pytest.mark.slow
    def test_two_processes_give_the_weights_of_one_process(self, base: Path, data: Path, tmp_path: Path) -> None:
        how = {"objective": "regression", "tuning": "full", "max_steps": 3, "learning_rate": 1e-3}
        train([data], tmp_path / "one", settings(base, **how))
        more = {**SMALL, **how, "accumulate": 1, "model": base, "output": tmp_path / "two"}
        given = [str(part) for name, value in more.items() for part in (f"--{name.replace('_', '-')}", value)]
        launcher = ["torch.distributed.run", "--nproc-per-node", "2", "-m", "realqa_cli", "train", str(data)]
        env = environment(OMP_NUM_THREADS="1")
        ran = subprocess.run([sys.executable, "-m", *launcher, *given], env=env, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
        assert max(float(np.abs(one[name] - two[name]).max()) for name in one) < 1e-4


@pytest.mark.parametrize("verb", ["score", "train", "ncm"])
def test_the_commands_refuse_a_contradiction_in_one_line(
    verb: str, trained: Callable[[str], Path], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {
        "score": [str(data.parent / "1.png"), "--method", "direct"],
        "train": [str(data), "--output", str(tmp_path / "run")],
        "ncm": [str(data)],
    }
    assert main([verb, *given[verb], "--model", str(trained("regression"))]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the model was trained with the objective 'regression'" in line


def test_records_of_a_baseline_can_be_evaluated(
    trained: Callable[[str], Path], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [{"image": f"{i}.png", "mos": 1 + i / 3} for i in range(12)]
    write_lines(data.parent / "photos.jsonl", lines)
    for objective in BASELINES:
        preds = tmp_path / f"{objective}.jsonl"
        given = [str(data.parent / "photos.jsonl"), "--model", str(trained(objective)), "-o", str(preds)]
        assert main(["score", *given]) == 0
        assert main(["eval", str(preds), "--metric", "srcc", "--json"]) == 0
        (line,) = capsys.readouterr().out.splitlines()
        assert (json.loads(line)["n"], json.loads(line)["unparsed"]) == (12, 0)
