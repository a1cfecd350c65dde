"""Reading the list that an answer gives: with text around it, with units, too short, too long, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realqa_cli.domain.parsing import read_list

ASKED = [5.9, 4.0, 8.88]
SORTED = [4.0, 5.9, 8.88]


@pytest.mark.parametrize(
    "answer",
    [
        "[4.0, 5.9, 8.88]",
        "[4, 5.90, 8.880]",
        "[4.0,5.9,8.88",
        "['4.0', \"5.9\", `8.88`]",
        "```python\n[4.0,\n 5.9,\n 8.88]\n```",
        "\\[ [4.0, 5.9, 8.88] \\]",
        "Sure, here are the 3 numbers! [4.0, 5.9, 8.88] I hope that these 3 help 100%.",
        "The numbers [5.9, 4.0, 8.88] from low to high are [4.0, 5.9, 8.88].",
        "[4.0, 5.9, 8.88]\n\nNumbers: [1.0, 2.0, 3.0]. Return format: [number 1, number 2, ..., number n]",
        "First [4.0, 5.9], then [8.88]. So: [4.0, 5.9, 8.88]",
        "[number 1: 4.0, number 2: 5.9, number 3: 8.88]",
        "[4.0 kg, 5.9 kg, 8.88 kg]",
        "[4.0, 5.9, ..., 8.88]",
        "[4.0][5.9][8.88]",
        "{4.0, 5.9, 8.88}",
        "4.0, 5.9, 8.88",
        "4.0 5.9 8.88",
        "4.0, 5.9 and 8.88.",
        "(4.0; 5.9; 8.88)",
        "**4.0**, **5.9**, **8.88**",
        "4.0cm, 5.9cm, 8.88cm",
        "4.0 points, 5.9 points, 8.88 points",
        "4.0 < 5.9 < 8.88",
        "4.0 -> 5.9 -> 8.88",
        "4.0 - 5.9 - 8.88",
        "The smallest is 4.0, then 5.9, then 8.88",
        "Sorted from low to high, the 3 numbers are: 4.0, 5.9, and 8.88",
        "number 4.0, number 5.9, number 8.88",
        "1. 4.0\n2. 5.9\n3. 8.88",
        "1) 4.0\n2) 5.9\n3) 8.88\n",
        "number 1: 4.0\nnumber 2: 5.9\nnumber 3: 8.88",
        "- 4.0\n- 5.9\n- 8.88",
        "You gave me [5.9, 4.0, 8.88].\n\n1. **4.0** kg\n2. **5.9** kg\n3. **8.88** kg\n\nDone!",
        "4.0\n\n5.9\n\n8.88",
        "| 4.0 | 5.9 | 8.88 |",
    ],
)
def test_the_list_is_found_whatever_is_around_it(answer: str) -> None:
    assert read_list(answer, ASKED) == SORTED


@pytest.mark.parametrize(
    ("answer", "numbers"),
    [
        ("[4.0, 5.9]", [4.0, 5.9]),
        ("[4.0, 5.9, 6.6, 8.88]", [4.0, 5.9, 6.6, 8.88]),
        ("[-4.0, 5.9, 8.88]", [-4.0, 5.9, 8.88]),
        ("[−4.0, 5.9]", [-4.0, 5.9]),
        ("[5.9, 4.0, 8.88]", ASKED),
        ("Sorting [5.9, 4.0, 8.88] gives 4.0", ASKED),
        ("Sorting [5.9, 4.0, 8.88] gives\n1. 4.0 kg\n2. 5.9 kg", [4.0, 5.9]),
        ("[1, 2]: 4.0, 5.9", [1.0, 2.0]),
    ],
)
def test_fewer_more_and_other_numbers_are_read_as_they_are(answer: str, numbers: list[float]) -> None:
    assert read_list(answer, ASKED) == numbers


@pytest.mark.parametrize(
    "answer",
    ["", "I cannot sort.", "[]", "7", "[4.0]", "[number 1, number 2, ..., number n]", "There are 3 numbers."],
)
def test_an_answer_without_a_list_has_none(answer: str) -> None:
    assert read_list(answer, ASKED) is None


@given(
    st.lists(st.integers(1000, 10000), min_size=2, max_size=20),
    st.sampled_from([", ", " ", "\n", "; ", " < "]),
)
def test_what_is_written_is_read_back(thousandths: list[int], joint: str) -> None:
    numbers = [n / 1000 for n in thousandths]
    written = joint.join(map(str, numbers))
    assert read_list(written, sorted(numbers)) == numbers
    assert read_list(f"Here it is: [{written}]. Done.", sorted(numbers)) == numbers


@given(st.text() | st.from_regex(r"([\[\]., \n*-]|\d|number|kg)*", fullmatch=True))
def test_no_answer_breaks_the_reading(answer: str) -> None:
    found = read_list(answer, ASKED)
    assert found is None or len(found) > 1


@pytest.mark.parametrize("part", ["1 ", "* ", "[", "9.375", "number ", "- \n", "1. "])
def test_endless_answers_are_read_too(part: str) -> None:
    assert read_list(part * 5000, ASKED) == ([1.0] * 5000 if part == "1 " else None)
