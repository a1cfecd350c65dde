"""Runtimes of the graphs in graphs.py: ONNX Runtime, or OpenVINO, which also computes in bfloat16."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from realqa_cli.backends.base import UnsupportedModel
from realqa_cli.errors import one_line

Array = NDArray[np.float32]

Run = Callable[[Sequence[str], Mapping[str, Any]], list[Array]]
"""Runs a graph: returns the outputs with those names for inputs by name. Raises RuntimeError."""


class Runtime(Protocol):
    """Loads graphs."""

    @property
    def dtype(self) -> str:
        """The precision of the computation: "float32" or "bfloat16"."""
        ...

    def open(self, graph: Path, weights: Mapping[str, Array]) -> Run:
        """The graph with its weights, ready to run. Raises UnsupportedModel if they do not fit together."""
        ...


class OnnxRuntime:
    """Implements `Runtime` with ONNX Runtime: starts fast, float32 only."""

    dtype = "float32"

    def open(self, graph: Path, weights: Mapping[str, Array]) -> Run:
        """See `Runtime`."""
        onnxruntime = import_onnxruntime()
        errors = onnxruntime_errors()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()
        options.log_severity_level = 3  # errors only; they are also raised
        # Idle threads must not take processor time from the threads that open photos.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_external_initializers(
            [*weights], [onnxruntime.OrtValue.ortvalue_from_numpy(value) for value in weights.values()]
        )
        try:
            session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except errors as error:
            raise _misfit(error, graph) from error

        def run(names: Sequence[str], inputs: Mapping[str, Any]) -> list[Array]:
            try:
                outputs: list[Array] = session.run(names, inputs)
            except errors as error:
                raise RuntimeError(one_line(error)) from error
            return outputs

        return run


class OpenVino:
    """Implements `Runtime` with OpenVINO: slower to start, about twice as fast on processors with bfloat16.

    Do not use it in a process that forks others later, as the data loaders of torch do: such processes have
    crashed.
    """

    def __init__(self, dtype: str = "auto") -> None:
        """dtype: "auto" is bfloat16 if the processor supports it, else float32.

        Raises UnsupportedModel if bfloat16 is requested and not supported, or OpenVINO is not installed.
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
        supported = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if dtype == "bfloat16" and not supported:
            raise UnsupportedModel(
                "this processor does not support it", where="--dtype bfloat16", remedy="leave it out"
            )
        self.dtype = ("bfloat16" if supported else "float32") if dtype == "auto" else dtype

    def open(self, graph: Path, weights: Mapping[str, Array]) -> Run:
        """See `Runtime`."""
        model = self._onnx.load(graph, load_external_data=False)
        precision = {"float32": "f32", "bfloat16": "bf16"}[self.dtype]
        options = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads(),
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        try:
            for tensor in model.graph.initializer:
                if tensor.data_location == self._onnx.TensorProto.EXTERNAL:
                    weight = weights[tensor.name]
                    if weight.shape != (*tensor.dims,):
                        raise RuntimeError(f"{tensor.name} is {weight.shape}, not {(*tensor.dims,)}")
                    tensor.CopyFrom(self._onnx.numpy_helper.from_array(weight, tensor.name))
            compiled = self._core.compile_model(self._core.read_model(model.SerializeToString()), "CPU", options)
        except (KeyError, RuntimeError) as error:
            raise _misfit(error, graph) from error
        request, lock = compiled.create_infer_request(), Lock()
        input_names = {name for each in compiled.inputs for name in each.names}

        def run(names: Sequence[str], inputs: Mapping[str, Any]) -> list[Array]:
            given = {name: np.ascontiguousarray(inputs[name]) for name in input_names}
            with lock:
                try:
                    outputs = request.infer(given, share_inputs=True)
                except RuntimeError as error:
                    raise RuntimeError(one_line(error)) from error
                return [outputs[name] for name in names]

        return run


def threads() -> int:
    """The number of threads: the cores that this process may use, or fewer by OMP_NUM_THREADS."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(limit))) if limit.isdecimal() else cores


def import_onnxruntime() -> Any:
    """Imports ONNX Runtime with its telemetry disabled, which must be done before the import.

    Every import of onnxruntime in this package goes through here.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime


def onnxruntime_errors() -> tuple[type[Exception], ...]:
    """The exceptions of ONNX Runtime, which have no public common base class.

    This is the only place that uses the private module of its exceptions.
    """
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return tuple(e for e in vars(state).values() if isinstance(e, type) and issubclass(e, Exception))


def _openvino() -> Any:
    """Imports OpenVINO without the package that reports each import to its makers."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _misfit(error: Exception, graph: Path) -> UnsupportedModel:
    return UnsupportedModel(f"its weights do not fit the graph: {one_line(error, 200)}", where=str(graph))
