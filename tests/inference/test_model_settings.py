"""Whether colors are converted: by the option, else as in training."""

import io
import json
import logging
import shutil
from pathlib import Path

import made_profiles
import pytest
from PIL import Image, ImageCms
from process import PHOTOS, ROOT

from realqa_cli import Scorer
from realqa_cli.inference.model_settings import ModelSettings, decode_setting, manages_colors, report_colors
from realqa_cli.models.realqa_json import ScorerConfig

PLAIN, MANAGED = ScorerConfig(color_management=False), ScorerConfig()


@pytest.mark.parametrize(
    ("option", "config", "managed", "said"),
    [
        (None, None, True, None),
        (None, MANAGED, True, None),
        (None, PLAIN, False, None),
        (False, None, False, None),
        (False, PLAIN, False, None),
        (False, MANAGED, False, "trained with color management, and photos are now read without it"),
        (True, PLAIN, True, "trained without color management, and photos are now read with it"),
    ],
)
def test_the_option_wins_over_the_training_and_a_contradiction_is_reported(
    caplog: pytest.LogCaptureFixture,
    option: bool | None,
    config: ScorerConfig | None,
    managed: bool,
    said: str | None,
) -> None:
    settings = ModelSettings(color_management=option)
    with caplog.at_level(logging.WARNING, "realqa"):
        report_colors(settings, config)
    assert manages_colors(settings, config) is managed
    assert decode_setting(settings, config) == ({} if managed else {"color_management": False})
    assert [said is not None and said in message for message in caplog.messages] == ([True] if said else [])


def test_a_model_that_was_trained_without_color_management_is_scored_without_it(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(ROOT / "realqa_cli" / "models" / "realqa-tiny", folder)
    config = json.loads((folder / "realqa.json").read_text())
    (folder / "realqa.json").write_text(json.dumps({**config, "color_management": False}))
    profile = ImageCms.ImageCmsProfile(io.BytesIO(made_profiles.rgb_profile(*made_profiles.SPACES["Display P3"])))
    photo = tmp_path / "p3.png"
    with Image.open(PHOTOS / "bee.jpg") as bee:
        bee.resize((400, 300)).save(photo, icc_profile=profile.tobytes())
    trained, reported = Scorer(folder), Scorer(color_management=False)
    assert trained.score([photo])[0]["score"] == reported.score([photo])[0]["score"]
    assert trained.score([photo])[0]["score"] != Scorer().score([photo])[0]["score"]
    assert trained.manifest.settings["color_management"] is False
