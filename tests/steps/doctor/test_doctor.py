"""`realqa doctor`: a sound model passes, and each way to ruin scores without notice is found."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from process import Realqa
from small_models import write

from realqa_cli import models
from realqa_cli.backends.base import Prompt
from realqa_cli.backends.echo import EchoBackend
from realqa_cli.domain.numerals import Floats
from realqa_cli.inference.readout import ReadoutSettings, resolve
from realqa_cli.io.summary_records import DoctorRecord
from realqa_cli.steps.doctor import installation, model_checks
from realqa_cli.steps.doctor.scoring import LoadedModel, sample_photos


def findings(ran: Any) -> dict[str, dict[str, Any]]:
    """The printed findings by check."""
    records = [json.loads(line) for line in ran.out.splitlines()]
    for record in records:
        DoctorRecord.model_validate(record)
    return {record["check"]: record for record in records}


@pytest.mark.slow
def test_the_bundled_model_passes_every_check(realqa_here: Realqa) -> None:
    ran = realqa_here("doctor", "--json")
    found = findings(ran)
    assert ran.code == 0
    assert not [check for check, record in found.items() if record["status"] == "failed"]
    names = ["versions", "devices", "models folder", "current folder", "fonts", "decoders", "model", "realqa.json"]
    names += ["pixel bounds", "numerals", "mass", "photos", "batches", "cpu and gpu", "onnx and hf"]
    assert {*names} <= {*found}
    assert found["numerals"]["values"] == {"numerals": 401, "tokens": [4], "nodes": 51, "lost": []}
    assert found["batches"]["values"]["largest_difference"] < 0.002
    first, blurred, _ = found["photos"]["values"]["scores"]
    assert first - blurred > 1


def test_a_model_that_does_not_answer_with_scores_fails(realqa_here: Realqa, tmp_path: Path) -> None:
    ran = realqa_here("doctor", "--model", write(tmp_path / "random"))
    found = findings(ran)
    assert ran.code == 1
    assert found["mass"]["status"] == "failed"
    assert found["realqa.json"]["status"] == "warning"
    assert found["pixel bounds"]["status"] == "warning"
    assert found["batches"]["status"] == "ok"
    assert "failed" in ran.err


def test_other_pixel_bounds_than_in_training_fail(realqa_here: Realqa) -> None:
    ran = realqa_here("doctor", "--max-pixels", "100352")
    record = findings(ran)["pixel bounds"]
    assert ran.code == 1
    assert record["status"] == "failed"
    assert record["message"].endswith("was trained with max pixels 401408")
    assert record["values"]["used"]["max_pixels"] == 100352


def test_a_model_that_cannot_be_loaded_is_a_finding(realqa_here: Realqa, tmp_path: Path) -> None:
    ran = realqa_here("doctor", "--model", tmp_path)
    record = findings(ran)["model"]
    assert ran.code == 1
    assert "has no config.json" in record["message"]
    assert record["remedy"]


def test_the_table_shows_the_checks_at_every_width(realqa_here: Realqa, monkeypatch: pytest.MonkeyPatch) -> None:
    for width in (40, 100):
        monkeypatch.setenv("COLUMNS", str(width))
        ran = realqa_here("doctor", "--table", "--backend", "echo")
        assert re.search(r"^ok +numerals", ran.out, re.MULTILINE)
        assert max(map(len, ran.out.splitlines())) <= width


class BatchDependent(EchoBackend):
    """A backend whose answers change with the size of the batch, as with a leaking mask."""

    def log_probs(self, batch: Sequence[Prompt], continuations: Sequence[str], end: str) -> Floats:
        shift = np.arange(len(continuations)) * 0.01 * (len(batch) > 1)
        log_probs: Floats = np.log(np.full((len(batch), len(continuations)), 1 / len(continuations))) + shift
        return log_probs


def loaded(backend: Any) -> LoadedModel:
    settings = ReadoutSettings(backend="echo")
    source = settings.find()
    return LoadedModel(settings, source, resolve(source.config, settings), backend)


def test_a_score_that_depends_on_its_batch_fails() -> None:
    model = loaded(BatchDependent.load(ReadoutSettings().find(), None))  # type: ignore[arg-type]
    found = model_checks.check_batches(model, sample_photos())
    assert found.status == "failed"
    assert found.values["largest_difference"] > found.values["limit"]


def test_scores_that_do_not_depend_on_the_photo_fail() -> None:
    model = loaded(BatchDependent.load(ReadoutSettings().find(), None))  # type: ignore[arg-type]
    assert model_checks.check_photo_scores(model, sample_photos()).status == "failed"


def test_a_tokenizer_that_loses_a_digit_fails(tmp_path: Path) -> None:
    file = models.path("realqa-tiny") / "tokenizer.json"
    tokenizer = json.loads(file.read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["7"] = vocabulary["8"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    model = loaded(None)
    broken = replace(model, source=replace(model.source, base=tmp_path))
    assert model_checks.check_numerals(broken).status == "failed"


def test_a_folder_that_cannot_be_used_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert installation.check_folder("cache folder", tmp_path / "new" / "deep", "tests").status == "ok"
    monkeypatch.setattr("os.access", lambda *_: False)
    assert "cannot be written" in installation.check_folder("cache folder", tmp_path, "tests").message
    monkeypatch.undo()
    monkeypatch.setattr(installation, "LEAST_FREE_GB", 1e9)
    assert installation.check_folder("cache folder", tmp_path, "tests").status == "warning"


def test_versions_that_do_not_fit_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "requires", lambda _: ["numpy>=99", "no-such-package>=1", "x>=1 ; extra == 'y'"])
    found = installation.check_versions()
    assert found.status == "failed"
    assert "no-such-package is missing" in found.message
    assert ">=99" in found.message
    assert "x is" not in found.message
