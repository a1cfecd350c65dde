"""The shipped reference distribution applies to scores of the same model with the same settings only."""

import json
from pathlib import Path

import pytest
from process import ROOT

from realqa_cli import Scorer, models
from realqa_cli.models import reference


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """A distribution for the bundled model, in place of the shipped ones."""
    settings = reference.deciding_settings(Scorer().manifest.settings)
    made = {"settings": settings, "photos": 100, "source": "made", "quantiles": [1.0, 3.0, 5.0]}
    monkeypatch.setattr(reference, "_entries", lambda: [made])
    return made


def test_scores_of_the_same_model_have_a_percentile_and_others_none(
    entry: dict[str, object], photo_files: list[Path]
) -> None:
    (record,) = Scorer().score([photo_files[0]])
    expected = record["score"] * 25 - 25
    assert record["percentile_reference"] == pytest.approx(expected)
    (enlarged,) = Scorer(max_pixels=100_000).score([photo_files[0]])
    assert "percentile_reference" not in enlarged


def test_failed_items_have_the_field_without_a_value(entry: dict[str, object]) -> None:
    (record,) = Scorer().score(["no.jpg"])
    assert record["percentile_reference"] is None


def test_the_shipped_file_holds_quantiles_and_no_names() -> None:
    shipped = json.loads((ROOT / "realqa_cli" / "models" / reference.FILE).read_text(encoding="utf-8"))
    for each in shipped["references"]:
        assert set(each) == {"model", "settings", "photos", "source", "quantiles"}
        assert each["photos"] >= 100
        assert each["quantiles"] == sorted(each["quantiles"])
    assert models.path("realqa-tiny").is_dir()
