"""The results of `Scorer` are plain records that show themselves, and comparisons are exact."""

import builtins
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from realqa_cli import ItemError, Scorer, ScoreResult, ScoreResults, UsageError
from realqa_cli.domain.numerals import ScoreDistribution

PHOTOS = Path(__file__).parents[3] / "examples" / "photos"
BEE, BLURRED = PHOTOS / "bee.jpg", PHOTOS / "bee_blurred.jpg"


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer()


@pytest.fixture(scope="module")
def records(scorer: Scorer) -> ScoreResults:
    return scorer.score([BEE, Image.open(BLURRED), "<b>nope</b>.jpg"])


def test_the_texts_show_score_spread_scale_and_error(scorer: Scorer, records: ScoreResults) -> None:
    assert repr(records[0]) == f"<{BEE}: {records[0]['score']:.2f} ± {records[0]['std']:.2f} on 1-5>"
    assert repr(records[2]) == "<<b>nope</b>.jpg: error missing: no such file; check the path>"
    assert repr(records).startswith("3 score records:\n  <")
    assert repr(ScoreResults()) == "no score records"
    assert repr(scorer).startswith("Scorer('realqa-tiny', method='direct', scale=1-5, backend='onnx'")


def test_a_notebook_shows_thumbnails_and_escapes_names(records: ScoreResults) -> None:
    page = records._repr_html_()
    assert page.count("data:image/jpeg;base64,") == 2
    assert "&lt;b&gt;nope" in page
    assert "<b>" not in page
    assert "data:image/jpeg" in records[1]._repr_html_()


def test_long_lists_are_cut_when_they_are_shown(records: ScoreResults) -> None:
    many = ScoreResults([records[2]] * 60)
    assert "10 more" in repr(many)
    assert many._repr_html_().count("<tr>") == 51


def test_a_data_frame_has_flat_columns(records: ScoreResults) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    frame = records.to_pandas()
    assert [*frame["image"]] == [str(BEE), "image-1", "<b>nope</b>.jpg"]
    assert frame["interval_low"][0] == records[0]["interval"][0]
    assert frame["error_type"][2] == "missing"
    assert frame["score"].isna().tolist() == [False, False, True]


def test_without_pandas_the_error_says_how_to_install_it(
    records: ScoreResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "pandas":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"pip install 'realqa\[pandas\]'"):
        records.to_pandas()


def test_a_comparison_is_exact_and_says_when_it_is_too_close(scorer: Scorer) -> None:
    found = scorer.compare(BEE, Image.open(BLURRED))
    a, b = (Scorer(distribution=True).score(photo)["distribution"] for photo in (BEE, BLURRED))
    above = sum(p * q for x, p in a for y, q in b if x > y) + sum(p * q for x, p in a for y, q in b if x == y) / 2
    assert found.p_better == pytest.approx(above, abs=1e-4)
    assert found.decided
    assert found.better is not None
    assert found.better["image"] == str(BEE)
    same = scorer.compare(BEE, BEE)
    assert same.p_better == pytest.approx(0.5)
    assert not same.decided
    assert same.better is None
    assert "too close to call" in repr(same)
    assert scorer.compare(BLURRED, BEE).p_better == pytest.approx(1 - found.p_better)
    assert found._repr_html_().count("data:image/jpeg") == 2


def test_a_comparison_that_cannot_be_made_is_an_error(scorer: Scorer) -> None:
    with pytest.raises(ItemError, match="no such file"):
        scorer.compare(BEE, "nope.jpg")
    with pytest.raises(UsageError, match="two photos"):
        scorer.compare(BEE, PHOTOS)
    with pytest.raises(UsageError, match="level"):
        scorer.compare(BEE, BEE, level=0.4)
    with pytest.raises(UsageError, match="no distributions"):
        Scorer(backend="echo", decode="greedy").compare(BEE, BEE)


def test_the_distribution_itself_is_not_part_of_a_record(records: ScoreResults) -> None:
    assert "distribution" not in records[0]
    assert not any(isinstance(value, ScoreDistribution) for value in records[0].values())
    assert isinstance(records[0], ScoreResult)
