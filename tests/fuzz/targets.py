"""What is fuzzed: the readers of the texts that models write, with what must hold for every text."""

import math
from collections.abc import Callable

from realqa_cli.domain.attributes import ATTRIBUTES
from realqa_cli.domain.parsing import (
    labelled_score,
    number_after,
    predicted_score,
    read_attributes,
    read_list,
    stated_score,
    without_thoughts,
)
from realqa_cli.errors import ItemError
from realqa_cli.steps.annotate.reading import read_label

GIVEN = (5.9, 4.0, 8.88, 1.5)


def scores(text: str) -> None:
    """A score is a finite number, or there is none."""
    stated = stated_score(text)
    assert predicted_score(text) == (None if stated is None else stated.value)
    for value in (predicted_score(text), labelled_score(text), number_after(text, "score")):
        assert value is None or math.isfinite(value)
    assert without_thoughts(text) == without_thoughts(text).strip()


def attributes(text: str) -> None:
    """Only known attributes are read."""
    assert read_attributes(text).keys() <= ATTRIBUTES.keys()


def lists(text: str) -> None:
    """A list has two finite numbers and more."""
    found = read_list(text, GIVEN)
    assert found is None or (len(found) > 1 and all(map(math.isfinite, found)))


def labels(text: str) -> None:
    """A reply is a whole label, or an error that says in one line what is wrong."""
    for screen in (False, True):
        try:
            label = read_label(text, screen=screen)
        except ItemError as error:
            lines = str(error).splitlines()
            assert len(lines) == 1
        else:
            assert label.attributes.keys() == ATTRIBUTES.keys()
            assert (label.screen is not None) == screen


TARGETS: tuple[Callable[[str], None], ...] = (scores, attributes, lists, labels)
