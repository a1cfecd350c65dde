"""Killed at random moments, `realqa annotate` ends with one record a photo and has paid next to nothing twice."""

from pathlib import Path

import pytest
from killing import kill_round, make_photos


@pytest.mark.slow
def test_kills_lose_no_label_and_cost_no_more_than_the_calls_in_flight(tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", 60)
    toll = kill_round(tmp_path, tmp_path / "photos", most_kills=8, longest=0.4, seed=1)
    assert toll.records == toll.photos == 60
    assert toll.excess <= toll.allowed
