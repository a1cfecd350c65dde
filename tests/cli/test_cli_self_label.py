"""`realqa self-label` as a person runs it: photos in, label records out, resumable, into the pipe."""

from collections.abc import Sequence
from pathlib import Path

from process import Realqa

from realqa_cli.domain.attributes import ATTRIBUTES

ECHO = ("--backend", "echo")


def test_every_photo_gets_its_labels_and_a_missing_one_its_error(realqa: Realqa, photo_files: Sequence[Path]) -> None:
    ran = realqa("self-label", photo_files[0], "missing.jpg", photo_files[1], *ECHO)
    assert ran.code == 1
    first, missing, second = ran.records
    assert missing["error"]["type"] == "missing"
    for record in (first, second):
        assert set(record["attributes"]) == {*ATTRIBUTES} - {"subject_background"}
    assert ran.said[-1] == "realqa: 3 items: 2 labelled, 1 failed"


def test_an_interrupted_file_is_gone_on_with(realqa: Realqa, photo_files: Sequence[Path], tmp_path: Path) -> None:
    output = tmp_path / "attrs.jsonl"
    realqa("self-label", *photo_files[:2], "-o", output, *ECHO)
    ran = realqa("self-label", *photo_files[:3], "-o", output, *ECHO)
    assert ran.said[-1] == "realqa: 3 items: 1 labelled, 2 done before"
    assert len(output.read_text().splitlines()) == 3


def test_its_lines_are_what_build_cot_reads(realqa: Realqa, photo_files: Sequence[Path]) -> None:
    labels = realqa("self-label", *photo_files[:2], *ECHO)
    built = realqa("build-cot", "-", "--stage", "attributes", "--granularity", "mix", stdin=labels.out)
    assert built.code == 0
    assert [record["format"] for record in built.records] == ["mix", "mix"]
    assert "Image Clarity: " in built.records[0]["messages"][1]["content"]


def test_reasons_of_a_model_that_gives_none_are_refused_in_one_line(
    realqa: Realqa, photos: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name, text in (
        ("config.json", "{}"),
        ("model.safetensors", ""),
        ("realqa.json", '{"form": ["exposure"]}'),
    ):
        (folder / name).write_text(text)
    ran = realqa("self-label", photos, "--model", folder, "--reasons", *ECHO)
    assert (ran.code, len(ran.said)) == (2, 1)
    assert "trained without reasons" in ran.said[0]
