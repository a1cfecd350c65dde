"""The two forms of a chain of thought: which one is read, with or without reasons, exactly or greedily."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from realqa_cli.backends.base import Backend, Prompt
from realqa_cli.domain import prompts
from realqa_cli.domain.numerals import Floats
from realqa_cli.errors import ItemError, ModelError, UsageError
from realqa_cli.inference.readout import resolve
from realqa_cli.io.records import CotRecord
from realqa_cli.models.realqa_json import ScorerConfig
from realqa_cli.steps.score.method import MethodContext, make_method
from realqa_cli.steps.score.score import ScoreSettings

PHOTO = Image.new("RGB", (32, 32), "white")
WITH_REASONS = ScorerConfig(form=("composition.reason", "composition.score", "saturation"), formats=("cot-regular",))
WITHOUT = ScorerConfig(form=("composition.score", "saturation"), formats=("cot", "cot-regular"))
PARAGRAPH = "The lines lead to the bed. Quite calm. The final score is <3.1>. And more."


class Scripted(Backend):
    """Generates `text` after each prompt, and prefers the continuation 4.2 of final and direct scores."""

    def __init__(self, text: str) -> None:
        self.text, self.prompts = text, list[Prompt]()

    def generate(self, batch: Sequence[Prompt], max_new_tokens: int, stop: str | None = None) -> list[str]:
        self.prompts += batch
        return [prompt.prefix + self.text for prompt in batch]

    def log_probs(self, batch: Sequence[Prompt], continuations: Sequence[str], end: str) -> Floats:
        self.prompts += batch
        preferred = [0.9 if text in ("4.2", "7", "medium saturation") else 0.0 for text in continuations]
        return np.log(np.array([preferred] * len(batch)) + 1e-6)


def predict(text: str, config: ScorerConfig | None, *, photos: int = 1, **options: Any) -> tuple[Any, Scripted]:
    settings = ScoreSettings(method="cot", digits=2, scale=(1.0, 5.0), **options)
    readout = resolve(config, settings)
    backend = Scripted(text)
    method = make_method("cot", MethodContext(backend, readout, config, settings.decode))
    return method.predict([PHOTO] * photos), backend


def test_a_model_that_was_trained_with_reasons_is_read_with_reasons() -> None:
    (fields,), backend = predict(" calm lines, 1.2 Composition Score: 5", WITH_REASONS)
    assert (fields["form"], fields["reasons"]) == ("regular", True)
    assert fields["attributes"]["composition"] == {"reason": "calm lines", "score": 7}
    assert backend.prompts[-1].prefix.endswith(prompts.FINAL_PREFIX)
    assert "Reason for Composition Score: calm lines" in backend.prompts[-1].prefix
    (fields,), _ = predict("", WITH_REASONS, reasons=False)
    assert fields["reasons"] is False
    assert fields["attributes"]["composition"] == {"score": 7}


def test_a_model_that_was_trained_without_reasons_is_read_without_them() -> None:
    (fields,), _ = predict("", WITHOUT)
    assert (fields["form"], fields["reasons"]) == ("regular", False)
    with pytest.raises(UsageError, match="--reasons: the model was trained without reasons"):
        predict("", WITHOUT, reasons=True)


def test_natural_language_is_written_up_to_the_score_which_is_a_distribution() -> None:
    (fields, again), backend = predict(PARAGRAPH, WITHOUT, form="natural", photos=2)
    assert (fields["form"], fields["reasons"], fields["attributes"]) == ("natural", True, {})
    assert fields["mode"] == 4.2
    assert fields["text"] == "The lines lead to the bed. Quite calm. The final score is <4.2>."
    assert fields["score_direct"] == pytest.approx(fields["score"])
    assert {key: str(value) for key, value in fields.items()} == {key: str(value) for key, value in again.items()}
    assert [prompt.question for prompt in backend.prompts[:2]] == [prompts.COT_QUESTION] * 2
    assert backend.prompts[2].prefix == "The lines lead to the bed. Quite calm. The final score is <"
    fields.pop("distribution")  # an object, which the step turns into pairs where they are requested
    record = {**fields, "image": "a", "scale": [1.0, 5.0], "method": "cot", "decode": "exact", "run": "1"}
    assert CotRecord.parse(record).form == "natural"


@pytest.mark.parametrize(("form", "config"), [("natural", WITHOUT), ("regular", WITHOUT), ("natural", None)])
def test_greedy_reads_what_the_model_writes(form: str, config: ScorerConfig | None) -> None:
    (fields,), _ = predict(PARAGRAPH, config, form=form, decode="greedy")
    assert (fields["score"], fields["form"]) == (3.1, form)
    assert fields["mass"] is None


def test_a_text_without_a_score_is_an_error_of_its_photo() -> None:
    (error,), _ = predict("I like it.", WITHOUT, form="natural")
    assert isinstance(error, ItemError)
    assert (error.type, error.remedy) == ("unparsed", "use --form regular")
    (error,), _ = predict("I like it.", WITHOUT, form="natural", decode="greedy")
    assert isinstance(error, ItemError)


@pytest.mark.parametrize(
    ("config", "learnt"),
    [
        (ScorerConfig(), False),
        (ScorerConfig(formats=("direct", "cot-regular")), False),
        (ScorerConfig(formats=("cot",)), True),
        (ScorerConfig(trained_on="a.jsonl: 8 conversations (4 cot-regular, 4 direct)"), False),
        (ScorerConfig(trained_on="a.jsonl: 8 conversations (4 cot, 4 direct)"), True),
    ],
)
def test_natural_language_is_refused_for_a_model_that_never_learnt_it(config: ScorerConfig, learnt: bool) -> None:
    settings = ScoreSettings(method="cot", form="natural")
    if learnt:
        assert resolve(config, settings).form == "natural"
        assert resolve(config, replace(settings, form=None)).form == "natural"
    else:
        with pytest.raises(ModelError, match=r"--form natural: the model was not trained on .*; use --form regular$"):
            resolve(config, settings)


@pytest.mark.parametrize("options", [{"form": "natural"}, {"reasons": True}, {"reasons": False}])
def test_options_of_the_chain_of_thought_need_the_method(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="applies to --method cot; add --method cot"):
        resolve(None, ScoreSettings(**options))


def test_the_manifest_says_which_form_was_read() -> None:
    assert resolve(WITH_REASONS, ScoreSettings(method="cot")).settings()["reasons"] is True
    assert "form" not in resolve(WITH_REASONS, ScoreSettings()).settings()


def test_attributes_at_chance_are_marked() -> None:
    agreement = {"saturation": {"known": False, "srcc": 0.01, "n": 90}, "composition": {"known": True, "srcc": 0.6}}
    config = ScorerConfig.model_validate({"form": ["composition.score", "saturation"], "attributes": agreement, "x": 1})
    (fields,), _ = predict("", config)
    assert fields["unreliable"] == ["saturation"]
    (fields,), _ = predict("", WITHOUT)
    assert "unreliable" not in fields
    assert config.unreliable(["level_shot"]) == []
