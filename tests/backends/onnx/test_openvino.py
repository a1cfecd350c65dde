"""The `openvino` backend: its checks (openvino_checks.py) run in a process of their own.

In one process with OpenVINO, one that torch forks to load data has been seen to crash.
"""

import subprocess
import sys
from importlib.util import find_spec

import pytest
from process import ROOT, environment


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("openvino"), reason="OpenVINO is not installed")
@pytest.mark.skipif(not find_spec("onnx"), reason="the package onnx is not installed")
def test_the_backend_passes_its_checks() -> None:
    checks = ROOT / "tests" / "support" / "openvino_checks.py"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", str(checks)]
    ran = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout
