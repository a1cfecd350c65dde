"""The closing lines of `realqa score`: a rate has the noun in the number that the rate has."""

import pytest

from realqa_cli.cli.score_summary import ScoreSummary


@pytest.mark.parametrize(
    ("done", "seconds", "rate"),
    [
        (1, 1.4, "0.714 items"),
        (1, 1.0, "1 item"),
        (7, 7.001, "1 item"),
        (1, 0.5, "2 items"),
        (30, 2.0, "15 items"),
    ],
)
def test_the_noun_of_the_speed_agrees_with_the_rate_and_not_with_the_count(
    done: int, seconds: float, rate: str
) -> None:
    (line,) = ScoreSummary().lines(None, None, done, seconds)
    assert line == f"speed: {rate} a second, loading not counted"
