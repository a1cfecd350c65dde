"""The leg on real photographs: people's ratings, the teacher's opinion and its features, all parts trained.

    python examples/realqa-tiny/photographs.py --photos PHOTOS --livec LIVEC --start MODEL --output MODEL
    [--more PHOTOS] [--minutes N N] [--work FOLDER]

Every step adds the gradients of three batches: crops of photographs that people rated; crops of other and of
changed photographs, with blank frames among them, by the opinions of `opinions`; and one of ladders of
damage or of conversations about attributes. While it scores the first two, the vision part also predicts
what the teacher's network sees in every cell of 28 pixels, by a linear layer that is thrown away.

The weights that are written are a running mean over the last steps. A run that was cut off goes on from its
last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import ladders
import numpy as np
import numpy.typing as npt
import torch
from blank import SCORES, blank
from export import settle, write_settings
from inputs import Conversation
from livec import read_ratings
from opinions import Opinions
from photos import GRID, split
from reminders import SCENES, label_scenes, remind
from teacher import Summary, fit_summary
from together import Lessons
from torch import distributed, nn
from torch.multiprocessing import spawn
from train import Settings as WindowSettings
from train import cosine, step_loss
from transformers import AutoModelForImageTextToText, AutoTokenizer
from views import View, plan, write_views

from realqa_cli.backends.hf.fused_ops import fuse_operations

COMPONENTS = 64  # of what the teacher's network sees in a cell
CHANGED_VIEWS = 370
FITTED_ON = 120  # views whose cells these are fitted on
PEOPLE, OPINIONS = "people", "opinions"
LADDERS, WHOLE_LADDERS, LESSONS = "ladders", "whole ladders", "lessons"


@dataclass(frozen=True)
class Settings:
    """Optimiser and schedule; the schedule runs on the clock.

    sigma: of the soft target in points; the width of the distribution that the model gives.
    people, opinions: images of a batch, and the least and the largest side of their crops in cells.
    """

    minutes: float = 53.0
    vision_rate: float = 4e-4
    language_rate: float = 3e-4
    warm_up: int = 30  # steps
    weight_decay: float = 0.05
    clip: float = 1.0
    sigma: float = 0.5
    regression: float = 1.0  # weight of the squared error and the correlation of the expected score
    features: float = 0.5  # weight of the teacher's features
    order: float = 3.0  # weight of the order within ladders
    people: tuple[int, int, int] = (3, 12, 18)
    opinions: tuple[int, int, int] = (3, 8, 14)
    whole: float = 0.3  # share of the batches of rated photos whose crops are as large as can be
    blank: float = 0.06  # share of blank frames among the opinions
    videos: float = 0.1  # share of the opinions that are asked for as if they were of videos
    other: float = 0.55  # share of the steps that have a batch of the others
    others: tuple[tuple[str, float], ...] = ((LADDERS, 0.3), (WHOLE_LADDERS, 0.1), (LESSONS, 0.6))
    mean: float = 0.985  # of the running mean of the weights, a step
    processes: int = 4  # of one thread each; their weights are averaged every `together` steps
    together: int = 4
    seed: int = 17


# Of the second part, whose steps are cheaper: see `reading`.
READING = Settings(
    minutes=13.0,
    people=(8, 12, 18),
    opinions=(4, 8, 14),
    language_rate=3e-4,
    vision_rate=2e-4,
    warm_up=10,
    seed=18,
)


@dataclass(frozen=True)
class Batch:
    """images: of one size, (B, 28 R, 28 C, 3).  scores: (B,).

    features: (B, R, C, K) of the teacher's network; zeros where there are none, as `known`, (B,), has it.
    """

    kind: str
    images: npt.NDArray[np.uint8]
    scores: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32]
    known: npt.NDArray[np.bool_]


class Crops:
    """Crops of views on the grid of cells, in batches of one size."""

    def __init__(self, views: list[View], opinions: Opinions, summary: Summary, settings: Settings) -> None:
        self.views, self.opinions, self._summary = views, opinions, summary
        self.settings = settings
        people = [i for i, view in enumerate(views) if view.score is not None and view.change < 2]
        chosen = {*people}
        self.groups = {PEOPLE: people, OPINIONS: [i for i in range(len(views)) if i not in chosen]}

    def draw(self, kind: str, rng: np.random.Generator) -> Batch:
        """kind: PEOPLE or OPINIONS."""
        count, rows, columns = self.size(kind, rng)
        parts = []
        while len(parts) < count:
            if kind == OPINIONS and rng.random() < self.settings.blank:
                parts.append(self._blank(rows, columns, rng))
                continue
            view = int(rng.choice(self.groups[kind]))
            part = self._crop(view, rows, columns, rng)
            if part is not None:
                parts.append(part)
        images, scores, features, known = zip(*parts, strict=True)
        return Batch(kind, np.stack(images), np.array(scores, np.float32), np.stack(features), np.array(known))

    def size(self, kind: str, rng: np.random.Generator) -> tuple[int, int, int]:
        """A random (number of crops, rows, columns) for a batch."""
        told = self.settings
        count, least, most = told.people if kind == PEOPLE else told.opinions
        rows, columns = (int(rng.integers(least, most + 1)) for _ in range(2))
        if kind == PEOPLE and rng.random() < told.whole:
            rows = columns = most
        return count, rows, columns

    def _crop(self, number: int, rows: int, columns: int, rng: np.random.Generator) -> Any:
        """(pixels, score, features, True), or None for a view that is too small."""
        cells = self.views[number].cells()
        high, wide = cells.shape[:2]
        if high < rows or wide < columns:
            return None
        top, left = int(rng.integers(high - rows + 1)), int(rng.integers(wide - columns + 1))
        cells = cells[top : top + rows, left : left + columns]
        pixels = self.views[number].pixels()[top * GRID : (top + rows) * GRID, left * GRID : (left + columns) * GRID]
        return pixels, self.opinions.of_crop(number, cells), self._summary(cells), True

    @staticmethod
    def _blank(rows: int, columns: int, rng: np.random.Generator) -> Any:
        pixels = blank(rows * GRID, columns * GRID, rng)
        features = np.zeros((rows, columns, COMPONENTS), np.float32)
        return pixels, float(rng.uniform(*SCORES)), features, False


def ahead(crops: Crops, kind: str, seed: list[int]) -> Iterator[Batch]:
    """Endless batches, made by a thread."""
    queue: Queue[Batch | Exception] = Queue(maxsize=4)

    def work() -> None:
        rng = np.random.default_rng(seed)
        try:
            while True:
                queue.put(crops.draw(kind, rng))
        except (OSError, ValueError, RuntimeError) as error:  # raised where the batch is waited for
            queue.put(error)

    Thread(target=work, daemon=True).start()
    while True:
        batch = queue.get()
        if isinstance(batch, Exception):
            raise batch
        yield batch


class Learner:
    """Losses of batches, with gradients."""

    def __init__(self, model: Any, tokenizer: Any, lessons: Lessons | None, settings: Settings) -> None:
        self._model, self._lessons, self._settings = model, lessons, settings
        self._of_images, self._of_videos = Conversation(tokenizer), Conversation(tokenizer, "video")
        self.head = nn.Linear(model.config.vision_config.out_hidden_size, COMPONENTS)
        self._told = WindowSettings(sigma=settings.sigma, regression=settings.regression, keeps_mean=True)
        self._seen: torch.Tensor | None = None
        self.errors: list[float] = []  # of the features, since they were last told
        model.model.visual.register_forward_hook(self._keep)

    def _keep(self, _module: Any, _inputs: Any, output: Any) -> None:
        self._seen = output.pooler_output

    def photographs(self, batch: Batch, rng: np.random.Generator) -> tuple[torch.Tensor, float, float]:
        """(loss, a scalar; PLCC of the scores; error of the features)."""
        talk = self._talk(batch.kind, rng)
        with torch.autocast("cpu", torch.bfloat16):
            loss, expected = step_loss(self._model, talk, batch.images, batch.scores, self._told, rng)
            assert self._seen is not None
            found = self.head(self._seen).float()
        wanted = torch.from_numpy(batch.features).reshape(found.shape)
        known = torch.from_numpy(batch.known).repeat_interleave(wanted.shape[0] // len(batch.known))
        error = (((found - wanted) ** 2).mean(-1) * known).sum() / known.sum().clamp(min=1)
        agreement = plcc(expected.detach().numpy(), batch.scores)
        return loss + self._settings.features * error, agreement, float(error.detach())

    def _talk(self, kind: str, rng: np.random.Generator) -> Conversation:
        """The question for the subject that a batch is asked about."""
        videos = kind == OPINIONS and rng.random() < self._settings.videos
        return self._of_videos if videos else self._of_images

    def losses(self, draw: Draw, rng: np.random.Generator) -> Iterator[tuple[str, torch.Tensor, float]]:
        """(kind, loss, what is told of it) of the batches of a step."""
        for kind in (PEOPLE, OPINIONS):
            loss, agreement, error = self.photographs(draw.crops(kind), rng)
            self.errors.append(error)
            yield kind, loss, agreement
        if rng.random() < self._settings.other:
            yield from self.of_others(draw.other(rng), draw, rng)

    def of_others(self, kind: str, draw: Draw, rng: np.random.Generator) -> Iterator[tuple[str, torch.Tensor, float]]:
        """The same of one batch of another kind."""
        if kind == LESSONS:
            yield *self.lesson(rng), math.nan
        else:
            yield kind, *self.ladders(draw.ladders(kind), rng)

    def ladders(self, images: npt.NDArray[np.uint8], rng: np.random.Generator) -> tuple[torch.Tensor, float]:
        """(loss, a scalar; share of the steps that fall)."""
        blank = np.full(len(images), 3.0, np.float32)  # only the order counts
        with torch.autocast("cpu", torch.bfloat16):
            _, expected = step_loss(self._model, self._of_images, images, blank, self._told, rng)
        falls = expected.detach().reshape(-1, len(ladders.RUNGS)).diff(dim=1) < 0
        return self._settings.order * ladders.order_loss(expected), float(falls.float().mean())

    def lesson(self, rng: np.random.Generator) -> tuple[str, torch.Tensor]:
        """(format of the conversations, loss)."""
        assert self._lessons is not None
        batch = self._lessons.draw(rng)
        with torch.autocast("cpu", torch.bfloat16):
            return batch.kind, self._lessons.loss(self._model, batch)


def plcc(expected: npt.NDArray[np.float32], scores: npt.NDArray[np.float32]) -> float:
    """Of a batch; NaN where it has no deviation."""
    deviates = expected.std() > 0 and scores.std() > 0
    return float(np.corrcoef(expected, scores)[0, 1]) if deviates else math.nan


class Group:
    """The processes that train together; each has weights of its own, which are averaged now and then."""

    def __init__(self, rank: int, processes: int, meeting: Path) -> None:
        self.rank, self.size = rank, processes
        if processes > 1:
            store = distributed.FileStore(str(meeting), processes)
            distributed.init_process_group("gloo", store=store, rank=rank, world_size=processes)

    def average(self, model: nn.Module, head: nn.Module) -> None:
        """The weights of all processes become their mean."""
        if self.size > 1:
            parameters = [*model.parameters(), *head.parameters()]
            flat = torch.cat([p.data.flatten() for p in parameters])
            distributed.all_reduce(flat)
            for p, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
                p.data.copy_(part.view_as(p) / self.size)

    def agree(self, value: float) -> float:
        """The first process's value."""
        told = torch.tensor([value], dtype=torch.float64)
        if self.size > 1:
            distributed.broadcast(told, 0)
        return float(told)


@dataclass(frozen=True)
class Leg:
    """What a process of a part of the leg is given. photos: for ladders.  lessons: files of conversations.

    checkpoint: file to write.  begin: the checkpoint of the first part, for the second one only.
    """

    crops: Crops
    photos: list[Path]
    lessons: list[Path]
    start: Path
    checkpoint: Path
    settings: Settings
    begin: Path | None = None


def learn(rank: int, leg: Leg) -> None:
    """One process of a part of the leg: trains until the time is over, and leaves the last checkpoint."""
    settings, checkpoint = leg.settings, leg.checkpoint
    torch.set_num_threads(1)
    torch.manual_seed(settings.seed)
    group = Group(rank, settings.processes, checkpoint.with_suffix(".meeting"))
    model = fuse_operations(AutoModelForImageTextToText.from_pretrained(leg.start, dtype=torch.float32))
    tokenizer = AutoTokenizer.from_pretrained(leg.start)
    lessons = Lessons(leg.lessons, leg.start, model) if leg.lessons else None
    learner = _learner(leg, rank, model, tokenizer, lessons)
    optimiser = torch.optim.AdamW(_groups(model, learner.head, settings), betas=(0.9, 0.98))
    step, spent = 0, 0.0
    mean = {name: value.clone() for name, value in model.state_dict().items()}
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        learner.head.load_state_dict(state["head"])
        optimiser.load_state_dict(state["optimiser"])
        mean, step, spent = state["mean"], state["step"], state["spent"]
    step, spent = int(group.agree(step)), group.agree(spent)
    rng = np.random.default_rng([settings.seed, step, rank])
    draw = Draw(leg, leg.begin is None, lessons is not None, [settings.seed, step, rank])
    history: list[tuple[str, float, float]] = []
    model.train()
    start = time.time() - spent
    saved = logged = time.time()
    progress = group.agree(spent / (60 * settings.minutes))
    while progress < 1:
        for group_of in optimiser.param_groups:
            group_of["lr"] = group_of["peak"] * cosine(progress, step, settings.warm_up)
        optimiser.zero_grad(set_to_none=True)
        for kind, loss, told in learner.losses(draw, rng):
            (loss / 3).backward()
            history.append((kind, float(loss.detach()), told))
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        optimiser.step()
        step += 1
        if step % settings.together:
            continue
        group.average(model, learner.head)
        progress = group.agree((time.time() - start) / (60 * settings.minutes))
        share = min(settings.mean**settings.together, step / (step + 50))
        for name, value in model.state_dict().items():
            mean[name].lerp_(value, 1 - share)
        if rank:
            continue
        if time.time() - logged > 30:
            if learner.errors:
                history.append(("features", float(np.mean(learner.errors)), math.nan))
            _log(step, time.time() - start, history)
            logged, history = time.time(), []
            learner.errors.clear()
        if time.time() - saved > 120:
            _save(checkpoint, model, learner, optimiser, mean, step, time.time() - start)
            saved = time.time()
    if rank == 0:
        _save(checkpoint, model, learner, optimiser, mean, step, time.time() - start)


def _learner(leg: Leg, rank: int, model: Any, tokenizer: Any, lessons: Lessons | None) -> Learner:
    """That of the first part; or that of the second, with the weights that the first part came to."""
    if leg.begin is None:
        return Learner(model, tokenizer, lessons, leg.settings)
    from reading import Reader

    model.load_state_dict(torch.load(leg.begin, weights_only=True)["mean"])
    return Reader(model, tokenizer, lessons, leg.settings, leg.crops, rank)


class Draw:
    """Batches of all kinds, made ahead by threads."""

    def __init__(self, leg: Leg, pixels: bool, lessons: bool, seed: list[int]) -> None:
        """pixels: whether batches of crops are asked for.  lessons: whether there are any."""
        kinds = (PEOPLE, OPINIONS) if pixels else ()
        self._crops = {kind: ahead(leg.crops, kind, [*seed, place]) for place, kind in enumerate(kinds)}
        self._ladders = {
            kind: ladders.batches(leg.photos, 1, sum(seed) + whole, whole=whole)
            for whole, kind in enumerate((LADDERS, WHOLE_LADDERS))
        }
        others = [(kind, share) for kind, share in leg.settings.others if kind != LESSONS or lessons]
        self._kinds = [kind for kind, _ in others]
        self._shares = np.array([share for _, share in others])

    def crops(self, kind: str) -> Batch:
        return next(self._crops[kind])

    def ladders(self, kind: str) -> npt.NDArray[np.uint8]:
        return next(self._ladders[kind])

    def other(self, rng: np.random.Generator) -> str:
        """LADDERS, WHOLE_LADDERS or LESSONS."""
        return str(rng.choice(self._kinds, p=self._shares / self._shares.sum()))


def _groups(model: Any, head: nn.Module, settings: Settings) -> list[dict[str, Any]]:
    """Vision and language, matrices and others: each with its peak rate and its weight decay."""
    named = [*model.named_parameters(), *((f".visual.{name}", p) for name, p in head.named_parameters())]
    named = [(name, p) for name, p in named if p.requires_grad]
    return [
        {
            "params": [p for name, p in named if (".visual." in name) == vision and (p.ndim > 1) == matrices],
            "lr": 0.0,
            "peak": settings.vision_rate if vision else settings.language_rate,
            "weight_decay": settings.weight_decay * matrices,
        }
        for vision in (True, False)
        for matrices in (True, False)
    ]


def _save(
    checkpoint: Path,
    model: Any,
    learner: Learner,
    optimiser: Any,
    mean: dict[str, torch.Tensor],
    step: int,
    spent: float,
) -> None:
    """A checkpoint that is whole or not there."""
    state = {"model": model.state_dict(), "head": learner.head.state_dict(), "mean": mean}
    state |= {"optimiser": optimiser.state_dict(), "step": step, "spent": spent}
    partial = checkpoint.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(checkpoint)


def _log(step: int, spent: float, history: list[tuple[str, float, float]]) -> None:
    """One line: for each kind of batch the mean loss, what is told of it, and how many there were."""
    parts = []
    for kind in sorted({kind for kind, _, _ in history}):
        losses, told = np.array([row[1:] for row in history if row[0] == kind]).T
        known = told[~np.isnan(told)]
        parts.append(f"{kind} {losses.mean():.3f}/{known.mean() if len(known) else math.nan:.3f} ({len(losses)})")
    print(f"{spent:6.0f} s  step {step:5d}  {'  '.join(parts)}", flush=True)


def write(mean: dict[str, torch.Tensor], start: Path, output: Path, trained_on: str) -> None:
    """The folder `output`: the architecture and the settings of `start` with other weights."""
    model = AutoModelForImageTextToText.from_pretrained(start, dtype=torch.float32)
    model.load_state_dict(mean)
    for part in (model.config.text_config, model.config.vision_config):
        part.dtype = None  # that of the whole counts
    settle(model, AutoTokenizer.from_pretrained(start), output)
    file: dict[str, Any] = json.loads((start / "realqa.json").read_text())
    write_settings(output, file | {"trained_on": trained_on, "started_from": None})


def run(leg: Leg) -> None:
    """One part of the leg, in all its processes."""
    leg.checkpoint.with_suffix(".meeting").unlink(missing_ok=True)
    if leg.settings.processes > 1:
        spawn(learn, (leg,), leg.settings.processes)
    else:
        learn(0, leg)


def photographs(
    views: list[View],
    photos: list[Path],
    lessons: list[Path],
    start: Path,
    output: Path,
    work: Path,
    settings: Settings,
    reading: Settings,
) -> None:
    """Writes `output`. photos: for ladders.  lessons: files of conversations.  start: model folder.

    settings, reading: of the two parts.
    """
    opinions = Opinions(views)
    told = f"penalty {opinions.penalty:g}, PLCC on left-out photos {opinions.agreement:.3f}"
    print(f"teacher: {told}", flush=True)
    ordinary = [view for view in views if view.change == 0]
    step = max(1, len(ordinary) // FITTED_ON)
    summary = fit_summary([view.cells() for view in ordinary[::step]], COMPONENTS)
    first, second = work / "photographs.pt", work / "reading.pt"
    crops = Crops(views, opinions, summary, settings)
    run(Leg(crops, photos, lessons, start, first, settings))
    crops = Crops(views, opinions, summary, reading)
    run(Leg(crops, photos, lessons, start, second, reading, begin=first))
    mean = torch.load(second, weights_only=True)["mean"]
    people = len({view.photo for view in views if view.score is not None})
    others = len({view.photo for view in views if view.score is None})
    text = f"people's ratings of {people} photographs (LIVE In the Wild)"
    write(mean, start, output, f"{text}; {others} other photographs, damage and scenes without ratings")


def real_photographs(
    photos: Path,
    livec: Path,
    start: Path,
    output: Path,
    work: Path,
    settings: Settings,
    reading: Settings,
    *,
    more: Path | None = None,
    reminders: list[Path] | None = None,
    changed_views: int = CHANGED_VIEWS,
    scenes: int = SCENES,
) -> None:
    """Data, then `photographs`. photos, more: folders of photographs.  reminders: conversations, if made."""
    work.mkdir(parents=True, exist_ok=True)
    if reminders is None:
        labels = label_scenes(photos, work, scenes=scenes, items=scenes // 3, processes=settings.processes)
        reminders = remind(labels, work)
    paths = split(photos)["train"]
    if more:
        paths += sorted(p for p in more.iterdir() if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
    rated = [(one.path, round(one.score, 4)) for one in read_ratings(livec, "train")]
    tasks = plan(rated, paths, changed_views)
    views = write_views(tasks, work / "views", start, processes=settings.processes)
    photographs(views, paths, reminders, start, output, work, settings, reading)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of sharp, well-made photographs")
    parser.add_argument("--livec", type=Path, required=True, help="folder with labels.csv and images/")
    parser.add_argument("--start", type=Path, required=True, help="model folder to start from")
    parser.add_argument("--output", type=Path, required=True, help="model folder to write")
    parser.add_argument("--more", type=Path, help="folder of more photographs")
    parser.add_argument("--work", type=Path, help="folder for data and checkpoints (default: OUTPUT-work)")
    parser.add_argument(
        "--minutes",
        type=float,
        nargs=2,
        default=(Settings.minutes, READING.minutes),
        help="training time of the two parts on the clock",
    )
    parser.add_argument("--processes", type=int, default=Settings.processes)
    parser.add_argument("--changed-views", type=int, default=CHANGED_VIEWS)
    parser.add_argument("--scenes", type=int, default=SCENES, help="scenes whose attributes are asked for")
    arguments = parser.parse_args()
    work = arguments.work or arguments.output.parent / f"{arguments.output.name}-work"
    real_photographs(
        arguments.photos,
        arguments.livec,
        arguments.start,
        arguments.output,
        work,
        *(
            replace(part, minutes=minutes, processes=arguments.processes)
            for part, minutes in zip((Settings(), READING), arguments.minutes, strict=True)
        ),
        more=arguments.more,
        changed_views=arguments.changed_views,
        scenes=arguments.scenes,
    )


if __name__ == "__main__":
    main()
