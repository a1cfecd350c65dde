"""How a model is read out: what decides scale, digits and pixels, and what is said about it."""

import logging
from typing import Any

import pytest
from PIL import Image

from realqa_cli.domain.levels import WORDS
from realqa_cli.domain.scales import Scale
from realqa_cli.errors import ModelError, UsageError
from realqa_cli.inference.readout import Readout, resolve
from realqa_cli.models.presets import read_preset
from realqa_cli.models.realqa_json import ScorerConfig
from realqa_cli.steps.score.score import ScoreSettings

RELEASE = read_preset("realqa-release")
TRAINED = ScorerConfig(scale=Scale(1, 5), digits=2, min_pixels=1000, max_pixels=2000)


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


@pytest.mark.parametrize(("objective", "own"), [("ntp", "direct"), ("levels", "levels"), ("regression", "regression")])
def test_a_model_is_read_out_by_the_method_that_it_was_trained_for(objective: Any, own: str) -> None:
    assert resolve(ScorerConfig(objective=objective), ScoreSettings()).method == own


def test_levels_are_read_out_of_any_model_that_writes_text_and_need_no_numerals() -> None:
    found = resolve(TRAINED, ScoreSettings(method="levels", scale=(0, 100)))
    assert (found.method, found.scale, found.numerals) == ("levels", (0, 100), ())


def bounds_of(found: Readout) -> tuple[float, float]:
    assert tuple(found.words) == WORDS
    return found.words["bad"], found.words["excellent"]


def test_levels_have_the_bounds_that_they_were_trained_with_also_on_another_scale() -> None:
    trained = ScorerConfig(objective="levels", scale=Scale(0, 10), level_bounds=Scale(2, 9))
    assert bounds_of(resolve(trained, ScoreSettings())) == (2, 9)
    assert bounds_of(resolve(trained, ScoreSettings(scale=(0, 100)))) == (20, 90)
    assert bounds_of(resolve(TRAINED, ScoreSettings(method="levels"))) == (1, 5)
    assert resolve(TRAINED, ScoreSettings()).words == {}


@pytest.mark.parametrize(
    ("objective", "method", "said"),
    [
        (
            "regression",
            "direct",
            "--method: the model was trained with the objective 'regression', not for the method direct; "
            "leave it out, or use regression",
        ),
        ("levels", "cot", "objective 'levels', not for the method cot; leave it out, or use levels"),
        (
            "ntp",
            "regression",
            "was not trained for the method regression; leave it out, or use direct or cot or levels",
        ),
    ],
)
def test_a_method_that_contradicts_the_model_is_refused(objective: Any, method: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        resolve(ScorerConfig(objective=objective), ScoreSettings(method=method))


@pytest.mark.parametrize("objective", ["levels", "regression"])
def test_greedy_decoding_is_for_numbers_alone(objective: Any) -> None:
    with pytest.raises(UsageError, match="--decode greedy: applies to --method direct and cot"):
        resolve(ScorerConfig(objective=objective), ScoreSettings(decode="greedy"))


def test_without_numerals_no_digits_are_assumed(caplog: pytest.LogCaptureFixture) -> None:
    resolve(None, ScoreSettings(method="levels"))
    (record,) = caplog.records
    assert record.getMessage() == "the model has no realqa.json: assuming scale 1-5; set --scale to change it"


@pytest.mark.parametrize("settings", [{"scale": (0, 100)}, {"digits": 4}])
def test_what_cannot_be_read_out_is_a_usage_error(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        resolve(TRAINED, ScoreSettings(**settings))


def test_the_release_preset_shrinks_by_nearest_neighbour_and_writes_short_numerals() -> None:
    found = resolve(ScorerConfig(), ScoreSettings(), RELEASE)
    assert (found.min_pixels, found.max_pixels) == (200_704, 401_408)
    assert (found.scale, found.digits) == ((0, 10), 3)
    assert (found.numerals[0], found.numerals[-1], len(found.numerals)) == ("0.0", "9.99", 1000)
    assert "3.9" in found.numerals
    assert "3.90" not in found.numerals
    photo = Image.effect_noise((1024, 1024), 90).convert("RGB")
    transform = found.photo_transform(None)
    assert transform is not None
    small = transform(photo)
    assert small.size == (512, 512)
    assert small.tobytes() == photo.resize((512, 512), Image.Resampling.NEAREST).tobytes()
    assert transform(small) is small


def test_the_release_preset_states_the_scale_unless_an_option_or_the_model_contradicts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert resolve(None, ScoreSettings(), RELEASE).scale == (0, 10)
    assert not caplog.records
    assert resolve(None, ScoreSettings(scale=(1, 5)), RELEASE).numerals[-1] == "5.0"
    resolve(TRAINED, ScoreSettings(), RELEASE)
    assert "scale 0-10 instead of 1-5" in caplog.text


def test_the_release_preset_takes_small_frames_twice_a_second_unless_other_ones_are_requested() -> None:
    found = resolve(ScorerConfig(), ScoreSettings(), RELEASE)
    frame = Image.effect_noise((1280, 720), 90).convert("RGB")
    assert found.prepare_frame(frame).size == (170, 96)
    assert found.sampling(None, None).settings() == {"frames": 64, "fps": 2}
    assert found.sampling(5, None).settings() == {"frames": 5, "fps": None}
    plain = resolve(ScorerConfig(), ScoreSettings())
    assert plain.prepare_frame(frame) is frame
    assert plain.sampling(None, None).settings() == {"frames": 8, "fps": None}
    with pytest.raises(UsageError, match="--frames"):
        plain.sampling(0, None)
