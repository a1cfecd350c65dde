"""Checks of a model: whether something would change its scores without notice."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice, repeat
from typing import Any

from PIL import Image

from realqa_cli.backends.base import UnsupportedModel
from realqa_cli.domain import prompts
from realqa_cli.domain.numerals import token_trie
from realqa_cli.domain.scales import LEAST_MASS, Scale
from realqa_cli.domain.wording import plural
from realqa_cli.errors import ModelError, UsageError, one_line
from realqa_cli.inference.readout import ReadoutSettings
from realqa_cli.models.realqa_json import ScorerConfig
from realqa_cli.steps.doctor.findings import Finding
from realqa_cli.steps.doctor.scoring import LoadedModel, sample_photos

BATCH = 8
"""Photos in the batch that is compared with single photos."""
SAME, SAME_HALF = 0.002, 0.05
"""Points of a scale of 1-5 by which scores may differ between batches and devices: in float32, in lower precision."""


def check_loaded_model(settings: ReadoutSettings) -> Iterator[Finding]:
    """All checks of the model; those after one that makes them impossible are left out."""
    try:
        model = LoadedModel.load(settings, settings.find())
    except UsageError as error:
        what = f"{error.where}: {error.what}" if error.where else error.what
        yield Finding("model", "failed", what, error.remedy)
        return
    yield _describe(model)
    yield check_config(model.source.config)
    yield check_bounds(model)
    if model.readout.numerals:
        yield check_numerals(model)
    photos = sample_photos()
    checks: list[Callable[[LoadedModel, Sequence[Image.Image]], Finding]] = [
        check_photo_scores,
        check_batches,
        check_device_agreement,
    ]
    if model.readout.method != "regression":
        checks.insert(0, check_mass)
    if settings.backend == "auto" and model.backend.settings().get("backend") == "onnx":
        checks.append(check_graphs)
    for check in checks:
        try:
            yield check(model, photos)
        except (ValueError, RuntimeError, MemoryError) as error:
            yield Finding(check.__name__.removeprefix("check_"), "failed", f"the model failed: {one_line(error)}")


def _describe(model: LoadedModel) -> Finding:
    values: dict[str, Any] = {"name": model.source.name, "method": model.readout.method, **model.backend.settings()}
    values |= {"device": model.backend.environment().get("device", "cpu")}
    parts = [f"backend {values.get('backend')}", str(values["device"]), str(values.get("dtype", "float32"))]
    return Finding("model", "ok", f"{model.source.name} by {', '.join(parts)}", values=values)


def check_config(config: ScorerConfig | None) -> Finding:
    """Whether the model says on which scale it was trained."""
    if config is None:
        what = "the model has no realqa.json: its scale, digits and pixel bounds are assumed"
        return Finding("realqa.json", "warning", what, "give --scale and --digits, or a --preset, as in its training")
    return Finding("realqa.json", "ok", f"trained for scores of {config.scale} with {plural(config.digits, 'digit')}")


def check_bounds(model: LoadedModel) -> Finding:
    """Whether photos are resized as in training (docs/method.md): other bounds cost accuracy without an error."""
    config = model.source.config or ScorerConfig()
    used = {name: model.backend.settings().get(name) for name in ("min_pixels", "max_pixels")}
    trained = {name: getattr(config, name) for name in used}
    values = {"used": used, "trained": trained}
    text = f"photos are resized to {used['min_pixels']} to {used['max_pixels']} pixels"
    if None in used.values():
        return Finding("pixel bounds", "skipped", "models of this family have no pixel bounds", values=values)
    if differing := [name for name in used if trained[name] is not None and used[name] != trained[name]]:
        was = ", ".join(f"{name.replace('_', ' ')} {trained[name]}" for name in differing)
        remedy = "leave out --preset, --min-pixels and --max-pixels"
        return Finding("pixel bounds", "failed", f"{text}, but the model was trained with {was}", remedy, values)
    if None in trained.values() and model.readout.preset is None:
        remedy = "give --min-pixels and --max-pixels as in its training"
        return Finding("pixel bounds", "warning", f"{text}; the model does not say its bounds", remedy, values)
    return Finding("pixel bounds", "ok", f"{text}, as in training", values=values)


def check_numerals(model: LoadedModel) -> Finding:
    """Whether the tokenizer distinguishes all numerals and writes them back as they are."""
    from tokenizers import Tokenizer

    file = model.source.base / "tokenizer.json"
    if not file.is_file():
        return Finding("numerals", "skipped", "the model has no tokenizer.json")
    tokenizer, numerals = Tokenizer.from_file(str(file)), model.readout.numerals

    def encode(texts: list[str]) -> list[list[int]]:
        return [each.ids for each in tokenizer.encode_batch(texts, add_special_tokens=False)]

    try:
        _, trie = token_trie(encode, prompts.DIRECT_PREFIX, numerals, prompts.DIRECT_END)
    except ValueError as error:
        return Finding("numerals", "failed", str(error), "use another model: its tokenizer cannot write scores")
    whole = [prompts.DIRECT_PREFIX + numeral + prompts.DIRECT_END for numeral in numerals]
    lost = [
        text for text, ids in zip(whole, encode(whole), strict=True) if _text(tokenizer, ids) != " ".join(text.split())
    ]
    lengths = sorted({len(path) for path in trie.paths})
    values = {"numerals": len(numerals), "tokens": lengths, "nodes": len(trie.inner), "lost": lost[:5]}
    if lost:
        what = f"{len(lost)} of {len(numerals)} numerals do not survive the tokenizer, such as {lost[0]!r}"
        return Finding("numerals", "failed", what, "use another model: its tokenizer cannot write scores", values)
    span = f"{lengths[0]} to {lengths[-1]}" if len(lengths) > 1 else f"{lengths[0]}"
    each = f"{span} {'token' if span == '1' else 'tokens'} each"
    text = f"all {len(numerals)} numerals from {numerals[0]} to {numerals[-1]} are distinct, {each}"
    return Finding("numerals", "ok", text, values=values)


def _text(tokenizer: Any, ids: list[int]) -> str:
    return " ".join(str(tokenizer.decode(ids)).split())


def check_mass(model: LoadedModel, photos: Sequence[Image.Image]) -> Finding:
    """Whether the model answers with scores on its scale."""
    masses = [each.mass for each in model.distributions(photos)]
    values = {"mass": masses}
    text = f"scores on the scale have a probability of {', '.join(f'{mass:.2g}' for mass in masses)}"
    if sum(masses) / len(masses) < LEAST_MASS:
        remedy = "use a model or an adapter that was trained for it, check --scale, or try --method levels"
        return Finding("mass", "failed", f"{text}: the model does not answer with such scores", remedy, values)
    return Finding("mass", "ok", text, values=values)


def check_photo_scores(model: LoadedModel, photos: Sequence[Image.Image]) -> Finding:
    """Whether scores depend on the photo, and a photo out of focus has a lower one."""
    scores = model.scores(photos)
    values = {"scores": scores}
    text = f"three photographs score {', '.join(f'{score:.2f}' for score in scores)}"
    if max(scores) - min(scores) < SAME * model.readout.scale.point:
        return Finding("photos", "failed", f"{text}: the scores do not depend on the photo", "check the model", values)
    if scores[1] >= scores[0]:
        what = f"{text}: the second, which is the first out of focus, is not worse"
        return Finding("photos", "warning", what, "check the model and the scale on photos that you know", values)
    return Finding("photos", "ok", text, values=values)


def check_batches(model: LoadedModel, photos: Sequence[Image.Image]) -> Finding:
    """Whether a photo has the same score alone and in a batch with others."""
    many = [*islice(chain.from_iterable(repeat(photos)), BATCH)]
    alone = [model.scores([photo])[0] for photo in photos]
    together = model.scores(many)
    expected = [*islice(chain.from_iterable(repeat(alone)), BATCH)]
    return _compared(
        "batches", f"alone and in a batch of {BATCH}", expected, together, model.readout.scale, model.is_float32
    )


def check_device_agreement(model: LoadedModel, photos: Sequence[Image.Image]) -> Finding:
    """Whether the CPU and the GPU give the same scores."""
    import torch

    gpu = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else None
    if gpu is None:
        return Finding("cpu and gpu", "skipped", "there is no GPU")
    if model.settings.quantize is not None:
        return Finding("cpu and gpu", "skipped", "quantized models run on the GPU only")
    try:
        pair = [model.on(device=device, backend="hf") for device in ("cpu", gpu)]
    except (ModelError, RuntimeError, MemoryError) as error:
        return Finding("cpu and gpu", "skipped", f"the model cannot be loaded on both: {one_line(error)}")
    ours, theirs = (each.scores(photos) for each in pair)
    exact = all(each.is_float32 for each in pair)
    return _compared("cpu and gpu", f"on the CPU and on {gpu}", ours, theirs, model.readout.scale, exact)


def check_graphs(model: LoadedModel, photos: Sequence[Image.Image]) -> Finding:
    """Whether the ONNX graphs of a small model give the scores of its weights."""
    try:
        torch_model = model.on(device="cpu", backend="hf")
    except UnsupportedModel as error:
        return Finding("onnx and hf", "skipped", one_line(error))
    ours, theirs = (each.scores(photos) for each in (model, torch_model))
    return _compared("onnx and hf", "by the backends onnx and hf", ours, theirs, model.readout.scale, True)


def _compared(
    check: str, how: str, ours: Sequence[float], theirs: Sequence[float], scale: Scale, exact: bool
) -> Finding:
    """ok where the scores agree. exact: whether both are in float32."""
    largest = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    limit = (SAME if exact else SAME_HALF) * scale.point
    values = {"largest_difference": largest, "limit": limit}
    text = f"scores {how} differ by at most {largest:.2g}"
    if not largest <= limit:  # also for NaN
        remedy = "try --dtype float32, another --device, or realqa score --batch-size 1, and report it"
        return Finding(check, "failed", f"{text}, which is over {limit:.2g}", remedy, values)
    return Finding(check, "ok", text, values=values)
