"""Scales: the affine maps, the model's scale for a range of labels, and their plain text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realqa_cli.domain.scales import Scale

SCALES = st.sampled_from([Scale(1, 5), Scale(1, 10), Scale(0, 10), Scale(0, 100), Scale(-1, 1)])


@given(SCALES, SCALES, st.floats(0, 1))
def test_a_map_to_another_scale_keeps_the_share_and_has_an_inverse(one: Scale, other: Scale, share: float) -> None:
    value = one.at(share)
    mapped = other.from_scale(value, one)
    assert other.share(mapped) == pytest.approx(share, abs=1e-9)
    assert one.from_scale(mapped, other) == pytest.approx(value, abs=1e-9)


def test_an_array_is_mapped_as_its_numbers_are() -> None:
    values = np.array([0.0, 55.25, 100.0])
    assert Scale(0, 10).from_scale(values, (0, 100)).tolist() == pytest.approx([0.0, 5.525, 10.0])


def test_the_same_scale_changes_nothing_not_even_the_last_bit() -> None:
    assert Scale(1, 5).from_scale(3.1000000000000005, (1, 5)) == 3.1000000000000005


@pytest.mark.parametrize(
    ("mos_range", "scale"),
    [((1, 5), (1, 5)), ((1, 10), (1, 10)), ((0, 10), (0, 10)), ((0, 100), (0, 10)), ((1, 100), (0, 10)),
     ((-3, 3), (0, 10)), ((0, 1), (0, 10)), ((0.02, 0.3), (0, 10))],
)  # fmt: skip
def test_a_range_that_one_digit_can_write_is_the_models_scale_and_others_go_to_0_10(
    mos_range: tuple[float, float], scale: tuple[float, float]
) -> None:
    assert Scale.native_for(mos_range) == scale


def test_values_outside_are_clipped_to_the_bounds() -> None:
    scale = Scale(1, 5)
    assert [scale.clip(value) for value in (0.5, 3, 7)] == [1, 3, 5]
    assert [scale.clipped_share(value) for value in (0.5, 3, 7)] == [0, 0.5, 1]
    assert scale.share(7) == 1.5


@pytest.mark.parametrize("text", ["1-5", " 1 - 5 ", "1 5", "[1, 5]", "1:5", "1.0-5.0"])
def test_a_scale_is_read_from_its_usual_texts_and_written_plainly(text: str) -> None:
    assert Scale.parse(text) == (1, 5)
    assert str(Scale.parse(text)) == "1-5"
    assert f"{Scale.parse(text)}" == "1-5"


@pytest.mark.parametrize("text", ["", "5-1", "5", "1-", "a-b", "1-5-9", "nan-5", "5-5"])
def test_a_text_that_is_not_a_scale_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a scale such as 1-5"):
        Scale.parse(text)


@pytest.mark.parametrize("bounds", [(5, 1), (1, 1), (float("nan"), 5), (0, float("inf"))])
def test_bounds_that_do_not_ascend_are_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="do not ascend"):
        Scale.of(bounds)
