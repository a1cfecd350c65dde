"""From labels to conversations: the paper's formats, the number's scale, what is left out or refused."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_attributes import FULL, labels
from process import Realqa, environment

from realqa_cli.domain import numerals, prompts
from realqa_cli.domain.prompts import free_text, read_form, slot_texts
from realqa_cli.domain.score_target import ScoreTarget, numeral_of
from realqa_cli.errors import UsageError
from realqa_cli.io.labels import LabelIndex, LabelRow, read_label_rows
from realqa_cli.steps.build_cot.build_cot import Builder
from realqa_cli.steps.build_cot.settings import BuildSettings


def row(**record: Any) -> LabelRow:
    record = {"image": "a.jpg", **record}
    return LabelRow("labels.jsonl:1", record.get("image"), "image", record)


def build(*rows: LabelRow, scores: LabelIndex | None = None, **settings: Any) -> list[dict[str, Any]]:
    return list(Builder(BuildSettings(**settings), scores).build(rows))


def answers(lines: list[dict[str, Any]]) -> dict[str, str]:
    return {line["format"]: line["messages"][1]["content"] for line in lines}


def error_of(line: dict[str, Any]) -> str:
    return str(line["error"]["message"])


LABEL = row(attributes=FULL, mos=3.984, mos_range=[1, 5])


def test_stage_two_gives_the_papers_three_formats_in_sharegpt_form() -> None:
    direct, cot, regular = build(LABEL)
    assert direct == {
        "messages": [
            {"role": "user", "content": "<image>Rate the aesthetics and quality of this image briefly."},
            {"role": "assistant", "content": "The score of this image is 3.98."},
        ],
        "images": ["a.jpg"],
        "format": "direct",
        "mos": 3.984,
        "mos_range": [1, 5],
        "scale": [1, 5],
        "digits": 3,
    }
    assert cot["messages"][0]["content"] == "<image>" + prompts.COT_QUESTION
    assert cot["messages"][1]["content"].endswith("The final score is <3.98>.")
    assert regular["messages"][0]["content"] == "<image>" + prompts.COT_REGULAR_QUESTION
    lines = regular["messages"][1]["content"].split("\n")
    assert lines[0].startswith("1.1 Reason for Composition Score: The subject is well placed. Lines lead the eye, ")
    assert lines[1].startswith("2.1 Subject: a dog, 2.2 Background: the sea, 2.3 Subject Integrity: fully complete")
    assert lines[2].startswith("3.1 Image Clarity: very clear, 3.2 Exposure: slightly overexposed, 3.3 Satur")
    assert lines[3] == "The final score is <3.98>."
    assert [line["format"] for line in (direct, cot, regular)] == ["direct", "cot", "cot-regular"]


def test_stage_one_asks_for_one_attribute_one_level_and_all() -> None:
    lines = build(LABEL, stage="attributes")
    assert [line["format"] for line in lines] == ["attributes"] * 10 + ["levels"] * 3 + ["mix"]
    said = [line["messages"][1]["content"] for line in lines]
    assert "Composition Score: 7." in said[0]
    assert "Image Clarity: very clear." in said
    assert "Subject: a dog, Background: the sea." in said
    assert not any(re.search(r"\d\.\d", text) for text in said[:10])
    low = [
        "1.1 Image Clarity: very clear",
        "1.2 Exposure: slightly overexposed",
        "1.3 Saturation: medium saturation.",
    ]
    assert said[12] == ", ".join(low)
    assert said[13].count("\n") == 2
    assert lines[0]["mos"] == 3.984
    assert "scale" not in lines[0]


def test_the_order_of_levels_turns_round_in_every_text() -> None:
    mix = build(LABEL, stage="attributes", granularity=("mix",), order="low-first")[0]["messages"][1]["content"]
    assert mix.startswith("1.1 Image Clarity: very clear")
    assert "\n3.1 Reason for Composition Score" in mix
    regular = answers(build(LABEL, order="low-first"))["cot-regular"]
    assert regular.startswith("1.1 Image Clarity: very clear")
    levels = build(LABEL, stage="attributes", granularity=("levels",), order="low-first")
    assert "low-level" in levels[0]["messages"][0]["content"]


@given(labels, st.floats(0, 100), st.sampled_from([1, 2, 3]), st.sampled_from(["high-first", "low-first"]))
def test_answers_in_the_regular_form_read_back_to_the_attributes(
    label: dict[str, Any], mos: float, digits: int, order: Any
) -> None:
    texts = slot_texts(label)
    lines = build(row(attributes=label, mos=mos, mos_range=[0, 100]), digits=digits, order=order)
    found = answers(lines)
    numeral = numeral_of(mos, (0, 100), (0, 10), digits)
    assert found["direct"] == f"The score of this image is {numeral}."
    assert numeral in numerals.numerals(digits, 0, 10)
    if texts:
        assert read_form(found["cot-regular"]) == (texts, numeral)
        mix = answers(build(row(attributes=label), stage="attributes", order=order))["mix"]
        assert read_form(mix) == (texts, None)
        options = {k: prompts.SLOTS[k].options[v] for k, v in texts.items() if not prompts.SLOTS[k].free}
        for key, value in options.items():
            attribute = prompts.SLOTS[key].attribute
            assert attribute.code(value) == attribute.code(label[attribute.key])
    else:
        assert set(found) == {"direct"}


@given(st.text() | st.from_regex(r"(, \d\.\d )?(Composition Score|Subject): ?:?\d+[.<>\n ]*", fullmatch=False))
def test_free_text_cannot_pass_for_an_item_or_a_final_score(text: str) -> None:
    tidy = free_text(text)
    assert free_text(tidy) == tidy
    assert not set("<>\n\r\u2028") & set(tidy)
    if tidy:
        texts = {"composition.reason": tidy, "composition.score": "7", "exposure": "overexposed"}
        form = prompts.fill(prompts.regular_form(tuple(texts)), texts)
        assert read_form(form + prompts.REGULAR_END) == (texts, None)


def test_an_answer_without_the_form_reads_as_nothing() -> None:
    assert read_form("I like this image.") == ({}, None)
    assert read_form("A fine shot. The final score is <3.98>.") == ({}, "3.98")


@pytest.mark.parametrize(
    ("mos", "mos_range", "scale", "digits", "expected"),
    [
        (3.984, (1, 5), None, 3, "3.98"),
        (3.984, (1, 5), None, 2, "4.0"),
        (3.984, (1, 5), None, 1, "4"),
        (62.5, (0, 100), None, 3, "6.25"),
        (0, (0, 100), None, 3, "0.00"),
        (100, (0, 100), None, 3, "9.99"),
        (62.5, (0, 100), (1, 5), 3, "3.50"),
        (6.593, (1, 10), None, 3, "6.59"),
        (10, (1, 10), None, 3, "9.99"),
        (10, (1, 10), None, 1, "9"),
        (0.05, (0, 0.2), None, 3, "2.50"),  # a click rate: scaled by its own range,
        (-1, (-3, 1), None, 3, "5.00"),
        (3, (1, 5), (1, 10), 3, "5.50"),
        (61.125, (0, 100), (1, 5), 3, "3.45"),  # 3.445, and as a binary fraction not quite
        (4.5, (1, 4.5), None, 1, "4"),  # 5 would be off the scale
    ],
)
def test_the_number_is_on_the_models_scale(mos: float, mos_range: Any, scale: Any, digits: int, expected: str) -> None:
    assert ScoreTarget.of(mos, mos_range, scale, digits).numeral == expected


def test_mos_itself_never_changes_its_scale() -> None:
    line = build(row(attributes=FULL, mos=88, mos_range=[0, 100]))[0]
    assert (line["mos"], line["mos_range"], line["scale"]) == (88, [0, 100], [0, 10])


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"mos": 101, "mos_range": [0, 100]}, "the MOS 101 is outside its range 0-100"),
        ({"mos": 60}, "the MOS 60 is outside its range 1-5; correct mos_range or --mos-range"),
        ({}, "the label has no `mos`"),
        ({"mos": "4"}, "mos"),
        ({"mos": True}, "mos"),
        ({"mos": 3, "mos_range": [5, 1]}, "lowest, highest"),
        ({"mos": 3, "attributes": {"image_clarity": "fuzzy"}}, "'fuzzy' is none of: very blurry"),
        ({"mos": 3, "attributes": {"composition": {"score": 11}}}, "11 is not from 1 to 10"),
        ({"mos": 3, "attributes": {"composition": {"score": 7, "reason": 3}}}, "3 is not a text"),
        ({"mos": 3, "attributes": [1]}, "`attributes` is not an object"),
        ({"image": None}, "names no image"),
        ({"mos": 10**400, "mos_range": [0, 100]}, "too large"),
    ],
)
def test_what_cannot_be_used_becomes_an_error_in_its_place(record: dict[str, Any], words: str) -> None:
    first, *middle, last = build(LABEL, row(**{"attributes": FULL} | record), LABEL, formats=("direct",))
    assert "messages" in first
    assert "messages" in last
    (failed,) = middle
    assert words in error_of(failed)
    assert "messages" not in failed


def test_attributes_that_a_label_lacks_are_left_out_or_reported() -> None:
    part = row(
        attributes={"composition": {"score": 7}, "exposure": None, "saturation": "low"},
        mos=3,
        mos_range=[1, 5],
    )
    assert answers(build(part))["cot-regular"] == (
        "1.2 Composition Score: 7\n2.3 Saturation: low saturation\nThe final score is <3.00>."
    )
    assert "lacks eye_catching, subject_background" in error_of(build(part, missing="report")[0])
    assert "messages" in build(LABEL, missing="report")[0]
    no_reasons = {
        key: value if not isinstance(value, dict) or "score" not in value else {"score": 1}
        for key, value in FULL.items()
    }
    assert "messages" in build(row(attributes=no_reasons, mos=3, mos_range=[1, 5]), missing="report")[0]


def test_without_attributes_there_is_a_direct_answer_only_and_it_is_counted() -> None:
    builder = Builder(BuildSettings())
    lines = list(builder.build([row(mos=3, mos_range=[1, 5])]))
    assert [line["format"] for line in lines] == ["direct"]
    assert builder.counts["without cot"] == 1
    assert "none of the attributes" in error_of(build(row(mos=3), formats=("cot",))[0])
    assert "none of the attributes" in error_of(build(row(mos=3), stage="attributes")[0])


def test_earlier_errors_are_passed_by_and_repetitions_counted() -> None:
    builder = Builder(BuildSettings(formats=("direct",)))
    lines = list(builder.build([LABEL, row(error={"type": "x", "message": "y"}), LABEL]))
    assert len(lines) == 2
    assert (builder.counts["failed before"], builder.counts["repeated"], builder.counts["failed"]) == (1, 1, 0)


def test_an_unknown_range_is_taken_as_one_to_five_and_counted() -> None:
    builder = Builder(BuildSettings(formats=("direct",)))
    (line,) = builder.build([row(mos=4)])
    assert line["mos_range"] == [1, 5]
    assert builder.counts["assumed range"] == 1
    assert build(row(mos=4), mos_range=(0, 100), formats=("direct",))[0]["messages"][1]["content"].endswith(" 0.40.")


def test_names_that_are_not_unicode_have_their_texts_too() -> None:
    odd = LabelRow("x:1", "\udcff.jpg", "image", {"attributes": FULL, "mos": 3, "mos_range": [1, 5]})
    assert build(odd)[1]["images"] == ["\udcff.jpg"]


def test_a_video_has_its_own_mark_and_word() -> None:
    video = LabelRow("x:1", "v.mp4", "video", {"video": "v.mp4", "attributes": FULL, "mos": 3, "mos_range": [1, 5]})
    direct, cot, _ = build(video)
    assert direct["messages"][0]["content"] == "<video>Rate the aesthetics and quality of this video briefly."
    assert direct["messages"][1]["content"] == "The score of this video is 3.00."
    assert direct["videos"] == ["v.mp4"]
    assert "images" not in direct
    assert not re.search("image|photo|picture", cot["messages"][1]["content"])


def test_texts_differ_between_images_with_equal_labels_and_repeat_with_the_seed() -> None:
    many = [
        LabelRow("x:1", f"{i}.jpg", "image", {"attributes": FULL, "mos": 3, "mos_range": [1, 5]}) for i in range(50)
    ]
    made = [line["messages"][1]["content"] for line in build(*many, formats=("cot",))]
    assert len(set(made)) == 50
    assert made == [line["messages"][1]["content"] for line in build(*many, formats=("cot",))]
    assert made != [line["messages"][1]["content"] for line in build(*many, formats=("cot",), seed=1)]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"stage": "two"}, "--stage: unknown value 'two'; choose one of: score, attributes"),
        ({"formats": ("direct", "prose")}, "--formats: unknown value 'prose'"),
        ({"formats": ()}, "--formats: is empty or repeats a value"),
        (
            {"granularity": ("mix", "mix")},
            "--granularity: is empty or repeats a value; give each of these at most once: attributes, levels, mix",
        ),
        ({"order": "middle-first"}, "--order"),
        ({"missing": "guess"}, "--missing"),
        ({"scale": (0, 100)}, "--scale: the scale 0-100 does not fit one digit"),
        ({"scale": (1.1, 1.2), "digits": 1}, "--scale: .*fewer than two numerals of 1 digits"),
        ({"digits": 4}, "--digits: a numeral has 1, 2 or 3 digits"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Builder(BuildSettings(**settings))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three labels (one without MOS anywhere, one failed) next to two photos and a table of scores."""
    (tmp_path / "photos").mkdir()
    for name in "ab":
        (tmp_path / "photos" / f"{name}.jpg").touch()
    lines = [{"image": f"photos/{name}.jpg", "attributes": FULL, "annotator": {"model": "m"}} for name in "ab"]
    failed = {"image": "photos/c.jpg", "error": {"type": "broken", "message": "no"}}
    (tmp_path / "attrs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [*lines, failed]))
    (tmp_path / "mos.csv").write_text("image,mos,mos_range\na.jpg,75,0-100\nb.jpg,50,0-100\n")
    return tmp_path


def test_the_command_writes_conversations_to_stdout_and_talk_to_stderr(realqa: Realqa, folder: Path) -> None:
    ran = realqa("build-cot", "attrs.jsonl", "--scores", "mos.csv", cwd=folder)
    assert ran.code == 0
    assert [line["format"] for line in ran.records] == ["direct", "cot", "cot-regular"] * 2
    assert ran.records[0]["messages"][1]["content"] == "The score of this image is 7.50."
    assert {line["images"][0] for line in ran.records} == {"photos/a.jpg", "photos/b.jpg"}
    assert ran.said == [
        "realqa: records of items that failed in an earlier step, left out: 1",
        "realqa: 3 records: 6 conversations (2 direct, 2 cot, 2 cot-regular)",
    ]


def test_labels_come_from_several_files_or_stdin(realqa: Realqa, folder: Path) -> None:
    text = (folder / "attrs.jsonl").read_text()
    once = realqa("build-cot", "-", "--scores", "mos.csv", stdin=text, cwd=folder)
    both = realqa("build-cot", "attrs.jsonl", "-", "--scores", "mos.csv", "-q", stdin=text, cwd=folder)
    assert (once.code, both.code, both.err) == (0, 0, "")
    assert both.records == once.records * 2


def test_items_without_a_score_fail_one_by_one(realqa: Realqa, folder: Path) -> None:
    (folder / "mos.csv").write_text("image,mos\nx/a.jpg,3\ny/a.jpg,4\nb.jpg,7\n")
    ran = realqa("build-cot", "attrs.jsonl", "--scores", "mos.csv", "--formats", "direct", cwd=folder)
    assert ran.code == 1
    assert [line["error"]["type"] for line in ran.records] == ["ambiguous", "mos"]
    assert "2 failed, see their error records" in ran.said[-1]


def test_paths_in_an_output_file_are_seen_from_its_folder(realqa: Realqa, folder: Path) -> None:
    (folder / "out").mkdir()
    ran = realqa("build-cot", "attrs.jsonl", "--stage", "attributes", "-o", "out/train.jsonl", cwd=folder)
    assert (ran.code, ran.out) == (0, "")
    lines = [json.loads(line) for line in (folder / "out" / "train.jsonl").read_text().splitlines()]
    assert len(lines) == 28
    assert all((folder / "out" / line["images"][0]).is_file() for line in lines)
    again = realqa("build-cot", "attrs.jsonl", "--stage", "attributes", "-o", "out/train.jsonl", cwd=folder)
    assert again.code == 0
    assert "realqa: 28 lines of an earlier run kept" in again.said
    refused = realqa(
        "build-cot", "attrs.jsonl", "--stage", "attributes", "-o", "out/train.jsonl", "--no-resume", cwd=folder
    )
    assert refused.code == 2
    assert "the file is not empty; add --overwrite" in refused.said[0]
    over = realqa(
        "build-cot",
        "attrs.jsonl",
        "--stage",
        "attributes",
        "-o",
        "out/train.jsonl",
        "--overwrite",
        cwd=folder,
    )
    assert over.code == 0
    assert len((folder / "out" / "train.jsonl").read_text().splitlines()) == 28


def test_different_scales_in_one_file_are_warned_of(realqa: Realqa, folder: Path) -> None:
    (folder / "mos.csv").write_text("image,mos,mos_range\na.jpg,3,1-5\nb.jpg,7,1-10\n")
    ran = realqa("build-cot", "attrs.jsonl", "--scores", "mos.csv", cwd=folder)
    assert ran.code == 0
    assert any("different scales (1-5, 1-10)" in line for line in ran.said)
    settled = realqa("build-cot", "attrs.jsonl", "--scores", "mos.csv", "--scale", "1-5", cwd=folder)
    assert not any("different scales" in line for line in settled.said)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.jsonl"], "none.jsonl: cannot be read"),
        (["attrs.jsonl", "--scores", "none.csv"], "none.csv: cannot be read"),
        (["attrs.jsonl", "--formats", "haiku"], "--formats: unknown value 'haiku'"),
        (["attrs.jsonl", "--scale", "5-1"], "is not a scale such as 1-5"),
        (["attrs.jsonl", "--digits", "4"], "--digits"),
        (["attrs.jsonl", "--stage", "attributes", "--scores", "mos.csv"], "--scores: applies to --stage score"),
        (["attrs.jsonl", "--overwrite"], "--overwrite: applies to an output file"),
        (["-", "-"], "standard input can be read only once"),
    ],
)
def test_wrong_usage_is_one_line(realqa: Realqa, folder: Path, arguments: list[str], words: str) -> None:
    ran = realqa("build-cot", *arguments, cwd=folder)
    assert (ran.code, ran.out, len(ran.said)) == (2, "", 1)
    assert words in ran.said[0]


def test_the_output_can_be_built_upon_by_a_pipe_that_ends_early(folder: Path) -> None:
    line = (folder / "attrs.jsonl").read_text().splitlines()[0]
    (folder / "many.jsonl").write_text((line + "\n") * 2000)
    command = f"{sys.executable} -m realqa_cli build-cot many.jsonl --scores mos.csv | head -n 1"
    ran = subprocess.run(command, shell=True, capture_output=True, cwd=folder, env=environment(), text=True, timeout=60)
    assert json.loads(ran.stdout)["format"] == "direct"
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("verb", ["build-cot", "eval"])
def test_neither_command_loads_torch(verb: str, folder: Path) -> None:
    (folder / "preds.jsonl").write_text(
        "".join(f'{{"image": "{i}.jpg", "score": {i}, "mos": {i * i}}}\n' for i in range(9))
    )
    arguments = ["build-cot", "attrs.jsonl", "--scores", "mos.csv"] if verb == "build-cot" else ["eval", "preds.jsonl"]
    code = (
        "import sys; from realqa_cli.cli import main; code = main(sys.argv[1:]);"
        "heavy = {'torch', 'transformers', 'peft'} & {name.split('.')[0] for name in sys.modules};"
        "sys.exit(f'{heavy} loaded' if heavy else code)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        capture_output=True,
        env=environment(),
        text=True,
    )
    assert ran.returncode == 0, ran.stderr


def test_rows_of_a_csv_file_are_labels_too(folder: Path) -> None:
    rows = read_label_rows(str(folder / "mos.csv"))
    assert [line["format"] for line in Builder(BuildSettings()).build(rows)] == ["direct", "direct"]
