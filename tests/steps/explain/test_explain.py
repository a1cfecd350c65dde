"""`realqa explain`: measures with units, exact flips, and a map of the parts that move the score."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from process import Realqa

from realqa_cli import Scorer
from realqa_cli.backends.base import Prompt
from realqa_cli.backends.hf.model import HFBackend
from realqa_cli.cli.views.explanation import print_explanation
from realqa_cli.domain import prompts
from realqa_cli.domain.numerals import ScoreDistribution
from realqa_cli.io.explain_record import ExplainRecord
from realqa_cli.media.photo import open_photo
from realqa_cli.steps.explain.explain import Explainer, ExplainSettings

SMALL = ("--max-pixels", "50176", "--groups", "12")


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """The dandelion, small, so that the map takes little time."""
    file = tmp_path_factory.mktemp("explain") / "<b>small.jpg"
    image = open_photo(photos / "dandelion.jpg")
    image.thumbnail((280, 280))
    image.save(file, quality=95)
    return file


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return Explainer(ExplainSettings(max_pixels=50_176, groups=12))


def test_the_record_the_map_the_page_and_the_table(
    realqa_here: Realqa, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, page = tmp_path / "map.png", tmp_path / "page.html"
    ran = realqa_here("explain", photo, *SMALL, "--map", picture, "--report", page)
    record: dict[str, Any] = json.loads(ran.out)
    ExplainRecord.model_validate(record)
    assert ran.code == 0
    assert record["measures"]["pixels"] == [280, 158]
    occlusion = record["occlusion"]
    grid = np.array(occlusion["contributions"])
    assert grid.shape == (len(occlusion["rows"]) - 1, len(occlusion["columns"]) - 1)
    assert np.ptp(grid) > 0
    used = {flip["attribute"] for flip in record["flips"]}
    assert record["not_used"] == ["composition", "subject_integrity", "level_shot"]
    assert not used & {*record["not_used"]}
    assert used == {*record["attributes"]} - {*record["not_used"]}
    changes = [abs(flip["change"]) for flip in record["flips"]]
    assert changes == sorted(changes, reverse=True)
    with Image.open(picture) as drawn:
        assert drawn.width > 800
    text = page.read_text(encoding="utf-8")
    assert "&lt;b&gt;small.jpg" in text
    assert "<b>small" not in text
    assert "http" not in text
    print_explanation(record)
    table = capsys.readouterr().out
    assert "Exposure" in table
    assert "levels of 255" in table
    assert f"score {record['score']:.2f}" in table


def test_the_score_is_that_of_realqa_score(explainer: Explainer, photo: Path) -> None:
    backend = explainer.backend
    assert isinstance(backend, HFBackend)
    scored = Scorer(max_pixels=50_176, backend="hf").score(photo)
    image = open_photo(photo)
    prompt = Prompt.about(image, prompts.DIRECT_QUESTION, prompts.DIRECT_PREFIX)
    numerals = explainer.readout.numerals
    (row,) = backend.log_probs_hiding(prompt, [[]], numerals, prompts.DIRECT_END)
    assert ScoreDistribution.from_log_probs(numerals, row).mean == pytest.approx(scored["score"], abs=1e-4)


def test_hiding_does_not_depend_on_the_batch_and_hides_all_that_it_is_given(explainer: Explainer, photo: Path) -> None:
    backend, image = explainer.backend, open_photo(photo)
    rows, columns = backend.visual_grid(image)
    prompt = Prompt.about(image, prompts.DIRECT_QUESTION, prompts.DIRECT_PREFIX)
    hidden = [[], [0, 1], list(range(rows * columns)), [5]] * 5
    numerals = explainer.readout.numerals
    together = backend.log_probs_hiding(prompt, hidden, numerals, prompts.DIRECT_END)
    alone = backend.log_probs_hiding(prompt, [[0, 1]], numerals, prompts.DIRECT_END)
    assert np.allclose(together[1], alone[0], atol=1e-4)
    assert np.allclose(together[:4], together[16:], atol=1e-4)
    assert not np.allclose(together[0], together[1], atol=1e-4)
    other = Prompt.about(image.rotate(180), prompts.DIRECT_QUESTION, prompts.DIRECT_PREFIX)
    blind = backend.log_probs_hiding(other, [list(range(rows * columns))], numerals, prompts.DIRECT_END)
    assert np.allclose(blind[0], together[2], atol=1e-4), "with all tokens hidden, the photo does not matter"


def test_a_photo_that_cannot_be_opened_is_an_error_record(realqa_here: Realqa, tmp_path: Path) -> None:
    ran = realqa_here("explain", tmp_path / "nope.jpg", *SMALL)
    assert ran.code == 1
    assert json.loads(ran.out)["error"]["type"] == "missing"


def test_only_one_photo_is_explained(realqa_here: Realqa, photos: Path) -> None:
    ran = realqa_here("explain", photos)
    assert ran.code == 2
    assert "name one photo" in ran.err
