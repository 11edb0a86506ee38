"""The package `flatmin.testing.torch`: loaded when first used, its names, and its message where PyTorch is missing."""

import subprocess
import sys

import pytest

import flatmin as fm


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_pytorch_is_loaded_when_the_package_is_first_used():
    code = "import sys, flatmin; flatmin.testing; print('torch' in sys.modules)\n"
    assert run(code + "flatmin.testing.torch; print('torch' in sys.modules)").split() == ["False", "True"]


def test_public_names():
    assert set(fm.testing.torch.__all__) == {
        "PenaltyCheck",
        "TraceCase",
        "TraceCheck",
        "TraceScore",
        "check_penalty",
        "check_trace_estimator",
        "trace_cases",
    }
    assert "torch" not in fm.testing.__all__
    with pytest.raises(AttributeError, match="no attribute 'jax'; it has torch, check_measurement"):
        fm.testing.jax  # noqa: B018


def test_without_pytorch_one_sentence_says_what_to_install():
    code = "import sys; sys.modules['torch'] = None\nimport flatmin\ntry: flatmin.testing.torch\n"
    message = run(code + "except ImportError as error: print(error)").strip()
    assert message == "flatmin.testing.torch needs PyTorch, which is not installed: pip install 'flatmin[torch]'"
