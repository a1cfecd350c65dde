"""Collation: what is trained, what is refused, and that a row does not depend on its batch."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from made_conversations import cot, direct, load, photo, write_direct, write_lines
from small_models import write

from realqa_cli.backends.hf.model import HFBackend
from realqa_cli.domain.scales import Scale
from realqa_cli.errors import UsageError
from realqa_cli.inference.teacher_forcing import conversations
from realqa_cli.inference.teacher_forcing.answer_logits import answer_logits
from realqa_cli.inference.teacher_forcing.collator import Collator, label_on_scale
from realqa_cli.inference.teacher_forcing.data_spec import infer_data_spec
from realqa_cli.models.realqa_json import ScorerConfig

KINDS = ["qwen2_vl", "llava", "qwen2_vl-merging"]


@pytest.fixture(scope="module", params=KINDS)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> HFBackend:
    family, _, merging = request.param.partition("-")
    return load(write(tmp_path_factory.mktemp("models") / family, family, merges_digits=bool(merging)))


def collator(backend: HFBackend, **more: Any) -> Collator:
    return Collator(backend.processor, **{"digits": 3, "max_length": 2048, "takes_mask": True, **more})


def trained_text(backend: HFBackend, batch: dict[str, Any], row: int) -> str:
    labels = batch["labels"][row]
    return str(backend.processor.tokenizer.decode(labels[labels >= 0]))


def test_the_answer_and_the_token_that_ends_it_are_trained_and_nothing_else(backend: HFBackend, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "c.jsonl", [direct(photo(tmp_path, 0), "3.98"), cot(photo(tmp_path, 1), "2.50")])
    batch = collator(backend)(conversations.read_conversations([file]))
    assert trained_text(backend, batch, 0) == "The score of this image is 3.98.<|im_end|>"
    assert trained_text(backend, batch, 1).endswith("The final score is <2.50>.<|im_end|>")
    assert "Rate" not in trained_text(backend, batch, 1)
    ids = batch["input_ids"][:, : batch["labels"].shape[1]]
    kept = batch["labels"] >= 0
    assert torch.equal(ids[kept], batch["labels"][kept])


def test_all_answers_of_a_conversation_are_trained(backend: HFBackend, tmp_path: Path) -> None:
    line = direct(photo(tmp_path, 0), "3.98")
    line["messages"][:0] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "<image>What is it?"},
        {"role": "assistant", "content": "Noise."},
    ]
    line["messages"][3]["content"] = "Rate it."
    (read,) = conversations.read_conversations([write_lines(tmp_path / "c.jsonl", [line])])
    batch = collator(backend)([read])
    assert trained_text(backend, batch, 0) == "Noise.<|im_end|>The score of this image is 3.98.<|im_end|>"
    assert [span.digit_branches.text for span in batch["spans"]] == ["3.98"]


def test_a_template_that_does_not_end_the_turn_gets_the_eos_token(tmp_path: Path) -> None:
    backend = load(write(tmp_path / "model"))
    backend.processor.tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] }}:{% for p in m['content'] %}{% if p['type'] == 'image' %}"
        "<|image_pad|>{% else %}{{ p['text'] }}{% endif %}{% endfor %} {% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}"
    )
    batch = collator(backend)(conversations.read_conversations([write_direct(tmp_path / "data", 1)]))
    assert trained_text(backend, batch, 0) == "The score of this image is 1.00.<|im_end|>"


def test_the_question_is_rendered_as_in_scoring(tmp_path: Path) -> None:
    backend = load(write(tmp_path / "model"))
    (read,) = conversations.read_conversations([write_direct(tmp_path / "data", 1)])
    rendered = backend.processor.render(read.turns[0][1].removeprefix("<image>"), 1)
    assert backend.processor.render_turns(read.turns[:1], answer_next=True) == rendered
    broken = [("user", read.turns[0][1].replace("<image>", "<image>\n"))]
    assert backend.processor.render_turns(broken, answer_next=True) == rendered


def test_a_row_does_not_depend_on_its_batch(backend: HFBackend, tmp_path: Path) -> None:
    folder = write_direct(tmp_path / "data", 3).parent
    lines = [json.loads(text) for text in (folder / "direct.jsonl").read_text().splitlines()]
    file = write_lines(folder / "c.jsonl", [*lines, cot("1.png", "2.50")])
    read, make = conversations.read_conversations([file]), collator(backend, scale=Scale(1.0, 5.0))
    with torch.inference_mode():
        batch = make(read)
        together = answer_logits(backend.model, batch)
        sums = together.token_losses(batch["labels"]).sum(dim=1)
        numbers = [m.ncm for m in together.ncm_values(batch["spans"])]
        for row, conversation in enumerate(read):
            single = make([conversation])
            alone = answer_logits(backend.model, single)
            assert alone.token_losses(single["labels"]).sum().item() == pytest.approx(sums[row].item(), rel=1e-4)
            if row < 3:
                assert alone.ncm_values(single["spans"])[0].ncm == pytest.approx(numbers[row], rel=1e-3)
    assert len(batch["spans"]) == 3


def test_both_dialects_give_the_same_conversation(tmp_path: Path) -> None:
    line = direct(photo(tmp_path, 0), "3.98")
    turns = [{"from": t, "value": m["content"]} for t, m in zip(("human", "gpt"), line["messages"], strict=True)]
    other = {"conversations": turns, "image": "0.png"}
    one, two = conversations.read_conversations([write_lines(tmp_path / "c.jsonl", [line, other])])
    assert one.turns == two.turns
    assert one.images == two.images == (tmp_path / "0.png",)
    assert two.numeral == "3.98"


def test_image_paths_are_relative_to_the_file_then_to_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    photo(tmp_path, 7)
    monkeypatch.chdir(tmp_path)
    file = write_lines(tmp_path / "data" / "c.jsonl", [direct("7.png", "3.00")])
    assert conversations.read_conversations([file])[0].images == (Path("7.png"),)


def without_images(line: dict[str, Any]) -> None:
    line["images"] = []


def with_a_missing_image(line: dict[str, Any]) -> None:
    line["images"] = ["gone.png"]


def with_a_mark_too_many(line: dict[str, Any]) -> None:
    line["messages"][0]["content"] += "<image>"


def without_an_answer(line: dict[str, Any]) -> None:
    del line["messages"][1]


def with_an_unknown_speaker(line: dict[str, Any]) -> None:
    line["messages"][1]["role"] = "robot"


def without_turns(line: dict[str, Any]) -> None:
    del line["messages"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (without_images, r"c\.jsonl:2: the conversation has no images"),
        (with_a_missing_image, r"c\.jsonl:2: image not found: .*gone\.png"),
        (with_a_mark_too_many, r"c\.jsonl:2: the conversation has 1 image but <image> 2 times"),
        (without_an_answer, r"c\.jsonl:2: a conversation must end with an answer"),
        (with_an_unknown_speaker, r"c\.jsonl:2: a turn's role is 'robot', not one of"),
        (without_turns, r'c\.jsonl:2: the line has neither "messages" nor "conversations"'),
    ],
)
def test_a_bad_line_is_named(spoil: Callable[[dict[str, Any]], None], said: str, tmp_path: Path) -> None:
    good, bad = direct(photo(tmp_path, 0), "3.98"), direct("0.png", "3.98")
    spoil(bad)
    with pytest.raises(UsageError, match=said):
        conversations.read_conversations([write_lines(tmp_path / "c.jsonl", [good, bad])])


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"c\.jsonl: the file has no conversations"):
        conversations.read_conversations([write_lines(tmp_path / "c.jsonl", [])])


def test_a_line_that_is_not_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text("\n{'a': 1}\n")
    with pytest.raises(UsageError, match=r"c\.jsonl:2: .*JSON"):
        conversations.read_conversations([tmp_path / "c.jsonl"])


def test_a_broken_photo_is_named_with_its_line(tmp_path: Path) -> None:
    backend = load(write(tmp_path / "model"))
    (tmp_path / "0.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    read = conversations.read_conversations([write_lines(tmp_path / "c.jsonl", [direct("0.png", "3.98")])])
    with pytest.raises(UsageError, match=r"c\.jsonl:1: .*0\.png"):
        collator(backend)(read)


def test_a_conversation_that_is_too_long_is_refused_before_training(tmp_path: Path) -> None:
    backend = load(write(tmp_path / "model"))
    file = write_lines(tmp_path / "c.jsonl", [direct(photo(tmp_path, 0), "3.98"), cot("0.png", "3.98")])
    read = conversations.read_conversations([file])
    make = collator(backend, max_length=60)
    make(read[:1])
    with pytest.raises(UsageError, match=r"c\.jsonl:2: the conversation has \d+ tokens, over the limit of 60"):
        make.check(read)


class TestDataSpec:
    def read(self, folder: Path, *lines: dict[str, Any]) -> list[conversations.Conversation]:
        photo(folder, 0)
        return conversations.read_conversations([write_lines(folder / "c.jsonl", [*lines])])

    def test_scale_digits_and_form_follow_from_the_answers(self, tmp_path: Path) -> None:
        ten = {"mos_range": [0, 10], "mos": 7.5}
        found = infer_data_spec(self.read(tmp_path, direct("0.png", "7.5", **ten)), None, None, None)
        assert (found.scale, found.digits, found.form) == ((0.0, 10.0), 2, None)
        found = infer_data_spec(self.read(tmp_path, direct("0.png", "3.98"), cot("0.png", "3.98")), None, None, None)
        assert (found.scale, found.digits) == ((1.0, 5.0), 3)
        assert found.form == ("composition.score", "image_clarity")
        assert found.has_cot
        wide = {"mos_range": [0, 100], "mos": 62}
        assert infer_data_spec(self.read(tmp_path, direct("0.png", "6.20", **wide)), None, None, None).scale == (0, 10)
        with pytest.raises(
            UsageError, match=r"3\.48 is not the MOS 62 of 0-100 on the scale 0-10, which would be 6\.20"
        ):
            infer_data_spec(self.read(tmp_path, direct("0.png", "3.48", **wide)), None, None, None)
        assert infer_data_spec(self.read(tmp_path, direct("0.png", "3.48", **wide)), None, (1, 5), None).scale == (1, 5)

    @pytest.mark.parametrize(
        ("numerals", "options", "said"),
        [
            (
                ("3.98", "3.9"),
                (None, None),
                r"c\.jsonl:2: the answers have different numbers of digits: 3 in",
            ),
            (
                ("3.98", "5.60"),
                (None, None),
                r"c\.jsonl:2: the answer's number 5\.60 is outside the scale 1-5",
            ),
            (("3.98",), (None, 2), r"c\.jsonl:1: the answer's number 3\.98 does not have 2 digits"),
            (
                ("3.98",),
                ((2.0, 3.0), None),
                r"c\.jsonl:1: the answer's number 3\.98 is outside the scale 2-3",
            ),
            (("3.98",), ((1.0, 50.0), None), r"--scale/--digits: the scale 1-50 does not fit one digit"),
        ],
    )
    def test_contradictions_are_refused(
        self, numerals: tuple[str, ...], options: tuple[Any, Any], said: str, tmp_path: Path
    ) -> None:
        read = self.read(tmp_path, *(direct("0.png", numeral) for numeral in numerals))
        with pytest.raises(UsageError, match=said):
            infer_data_spec(read, None, *options)

    def test_a_starting_model_on_another_scale_is_reported_in_one_line(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        read = self.read(tmp_path, direct("0.png", "7.5", mos_range=[0, 10]))
        infer_data_spec(read, ScorerConfig(scale=Scale(0, 10), digits=2), None, None)
        assert not caplog.records
        infer_data_spec(read, ScorerConfig(scale=Scale(1, 5), digits=3), None, None)
        (record,) = caplog.records
        assert "on 0-10 with 2 digits, the starting model on 1-5 with 3" in record.getMessage()
        assert "--for MODEL" in record.getMessage()

    def test_conversations_that_were_built_for_another_scale_are_refused(self, tmp_path: Path) -> None:
        read = self.read(tmp_path, direct("0.png", "3.98", scale=[1, 5]))
        with pytest.raises(UsageError, match="--scale: the conversations were built for 1-5"):
            infer_data_spec(read, None, (1.0, 10.0), None)

    def test_the_exact_label_is_used_if_it_agrees_with_the_text(self, tmp_path: Path) -> None:
        exact, mapped, foreign = self.read(
            tmp_path,
            direct("0.png", "3.98", mos=3.9843),
            direct("0.png", "3.98", mos=74.5, mos_range=[0, 100]),
            direct("0.png", "3.98", mos=12.0, mos_range=[0, 100]),
        )
        assert label_on_scale(exact, "3.98", Scale(1.0, 5.0)) == 3.9843
        assert label_on_scale(mapped, "3.98", Scale(1.0, 5.0)) == pytest.approx(3.98)
        assert label_on_scale(foreign, "3.98", Scale(1.0, 5.0)) == 3.98
