"""How a model is read out: what decides scale, digits and pixels, and what is said about it."""

import logging

import pytest
from PIL import Image

from realqa_cli.errors import ModelError, UsageError
from realqa_cli.models.realqa_json import RealqaJson
from realqa_cli.readout import resolve
from realqa_cli.score import ScoreSettings

TRAINED = RealqaJson(scale=(1, 5), digits=2, min_pixels=1000, max_pixels=2000)


def test_the_models_own_settings_are_used_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    found = resolve(TRAINED, ScoreSettings())
    assert (found.scale, found.digits, found.min_pixels, found.max_pixels) == ((1, 5), 2, 1000, 2000)
    assert found.numerals[:2] == ("1.0", "1.1")
    assert not caplog.records


def test_an_option_wins_and_the_contradiction_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    found = resolve(TRAINED, ScoreSettings(digits=3, max_pixels=5000))
    assert (found.digits, found.max_pixels) == (3, 5000)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "digits 3 instead of 2, max pixels 5000 instead of 2000" in record.getMessage()


def test_what_nobody_says_is_assumed_aloud(caplog: pytest.LogCaptureFixture) -> None:
    assert resolve(None, ScoreSettings()).scale == (1, 5)
    assert "assuming scale 1-5 and digits 3" in caplog.text
    caplog.clear()
    assert resolve(None, ScoreSettings(scale=(1, 10), digits=1)).numerals[-1] == "9"
    assert not caplog.records


def test_a_model_of_another_objective_is_refused() -> None:
    with pytest.raises(ModelError, match="regression"):
        resolve(RealqaJson(objective="regression"), ScoreSettings())


@pytest.mark.parametrize("settings", [{"scale": (0, 100)}, {"digits": 4}, {"preset": "other"}])
def test_what_cannot_be_read_out_is_a_usage_error(settings: dict) -> None:
    with pytest.raises(UsageError):
        resolve(TRAINED, ScoreSettings(**settings))


def test_the_release_preset_shrinks_by_nearest_neighbour_and_writes_short_numerals() -> None:
    found = resolve(RealqaJson(), ScoreSettings(preset="realqa-release"))
    assert (found.min_pixels, found.max_pixels) == (200_704, 401_408)
    assert "3.9" in found.numerals
    assert "3.90" not in found.numerals
    photo = Image.effect_noise((1024, 1024), 90).convert("RGB")
    small = found.prepare(photo)
    assert small.size == (512, 512)
    assert small.tobytes() == photo.resize((512, 512), Image.Resampling.NEAREST).tobytes()
    assert found.prepare(small) is small
