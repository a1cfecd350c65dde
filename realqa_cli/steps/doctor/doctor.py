"""The step `realqa doctor`: one finding for each check of the installation, then of the model."""

from collections.abc import Iterator

from realqa_cli.inference.readout import ReadoutSettings
from realqa_cli.steps.doctor.findings import Finding
from realqa_cli.steps.doctor.installation import check_installation
from realqa_cli.steps.doctor.model_checks import check_loaded_model


def examine(settings: ReadoutSettings) -> Iterator[Finding]:
    """Yields each finding as soon as its check is finished."""
    yield from check_installation()
    yield from check_loaded_model(settings)
