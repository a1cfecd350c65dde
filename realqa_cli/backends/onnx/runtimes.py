"""What computes the graphs of onnx_graphs.py: ONNX Runtime, or OpenVINO, which can do so in bfloat16.

A runtime takes a graph and the weights that it names, and knows nothing of models.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from realqa_cli.backends.base import UnsupportedModel

Array = NDArray[np.float32]

Run = Callable[[Sequence[str], Mapping[str, Any]], list[Array]]
"""What a graph computes: the outputs of those names, of inputs by name. Raises RuntimeError."""


class Runtime(Protocol):
    """Opens graphs."""

    @property
    def dtype(self) -> str:
        """In what it computes: "float32" or "bfloat16"."""
        ...

    def open(self, graph: Path, weights: Mapping[str, Array]) -> Run:
        """The graph with its weights, ready to run. Raises Unfit where they do not go together."""
        ...


class OnnxRuntime:
    """Implements `Runtime`: starts fast, float32 alone."""

    dtype = "float32"

    def open(self, graph: Path, weights: Mapping[str, Array]) -> Run:
        """See `Runtime`."""
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        # They have no class in common.
        errors = tuple(e for e in vars(state).values() if isinstance(e, type) and issubclass(e, Exception))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()
        options.log_severity_level = 3  # errors; they are raised too
        # Threads that wait for work must not keep the processor from those that open photos.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_external_initializers(
            [*weights], [onnxruntime.OrtValue.ortvalue_from_numpy(value) for value in weights.values()]
        )
        try:
            session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except errors as error:
            raise _unfit(error, graph) from error

        def run(names: Sequence[str], inputs: Mapping[str, Any]) -> list[Array]:
            try:
                found: list[Array] = session.run(names, inputs)
            except errors as error:
                raise _failed(error) from error
            return found

        return run


class OpenVino:
    """Implements `Runtime`: slower to start, and about twice as fast where the processor has bfloat16.

    Not for a process that goes on to fork others (torch's loaders of data do): that has been seen to crash.
    """

    def __init__(self, dtype: str = "auto") -> None:
        """dtype: "auto" is bfloat16 where the processor multiplies it, else float32.

        Raises Unfit where it does not and was asked for, or where OpenVINO is not installed.
        """
        try:
            import onnx

            openvino = _openvino()
        except ImportError as error:
            raise UnsupportedModel(
                "OpenVINO is not installed",
                where="--backend openvino",
                remedy="pip install 'realqa[openvino]'",
            ) from error
        self._onnx, self._core = onnx, openvino.Core()
        able = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if dtype == "bfloat16" and not able:
            raise UnsupportedModel(
                "this processor does not multiply it", where="--dtype bfloat16", remedy="leave it out"
            )
        self.dtype = ("bfloat16" if able else "float32") if dtype == "auto" else dtype

    def open(self, graph: Path, weights: Mapping[str, Array]) -> Run:
        """See `Runtime`."""
        drawn = self._onnx.load(graph, load_external_data=False)
        precision = {"float32": "f32", "bfloat16": "bf16"}[self.dtype]
        options = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads(),
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        try:
            for tensor in drawn.graph.initializer:
                if tensor.data_location == self._onnx.TensorProto.EXTERNAL:
                    given = weights[tensor.name]
                    if given.shape != (*tensor.dims,):
                        raise RuntimeError(f"{tensor.name} is {given.shape}, not {(*tensor.dims,)}")
                    tensor.CopyFrom(self._onnx.numpy_helper.from_array(given, tensor.name))
            compiled = self._core.compile_model(self._core.read_model(drawn.SerializeToString()), "CPU", options)
        except (KeyError, RuntimeError) as error:
            raise _unfit(error, graph) from error
        asked, alone = compiled.create_infer_request(), Lock()
        taken = {name for each in compiled.inputs for name in each.names}

        def run(names: Sequence[str], inputs: Mapping[str, Any]) -> list[Array]:
            given = {name: np.ascontiguousarray(inputs[name]) for name in taken}
            with alone:
                try:
                    found = asked.infer(given, share_inputs=True)
                except RuntimeError as error:
                    raise _failed(error) from error
                return [found[name] for name in names]

        return run


def threads() -> int:
    """How many threads compute: one a core that this process may use, or fewer by OMP_NUM_THREADS."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(wanted))) if wanted.isdecimal() else cores


def _openvino() -> Any:
    """The package, which reports to its makers that it was imported, by another one: not from here."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _unfit(error: Exception, graph: Path) -> UnsupportedModel:
    return UnsupportedModel(f"its weights do not fit the graph: {_line(error)[:200]}", where=str(graph))


def _failed(error: Exception) -> RuntimeError:
    return RuntimeError(_line(error)[:300])


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
