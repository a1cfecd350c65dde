"""Settings by keyword: unknown names are errors with the nearest name, values are checked."""

import re
from typing import Any

import pytest

from realqa_cli import Scorer, ScoreSettings, UsageError
from realqa_cli.inference.keyword_settings import settings_from


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batchsize": 8}, "unknown setting 'batchsize'; did you mean batch_size?"),
        ({"max-pixels": 8}, "did you mean max_pixels?"),
        ({"methd": "cot"}, "did you mean method?"),
        ({"zzz": 1}, "use one of: model, adapter"),
        ({"batch_size": "many"}, "batch_size: "),
        ({"distribution": "maybe"}, "distribution: "),
        ({"scale": "5-1"}, 'give (1, 5) or "1-5"'),
        ({"scale": (1, 2, 3)}, 'give (1, 5) or "1-5"'),
        ({"server": 5}, "server"),
    ],
)
def test_a_wrong_setting_is_one_clear_error(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        Scorer(**given)
    assert "\n" not in str(caught.value)


def test_settings_are_taken_as_people_type_them() -> None:
    settings = settings_from(ScoreSettings, {"scale": "1-5", "server": "http://localhost:8000/v1", "batch_size": 2})
    assert settings.scale == (1.0, 5.0)
    assert settings.server is not None
    assert settings.server.url == "http://localhost:8000/v1"
    assert settings_from(ScoreSettings, {}) == ScoreSettings()
