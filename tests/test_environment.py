"""What a run's bits depend on is recorded, and differences are listed line by line."""

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import threadpoolctl
from hypothesis import given
from hypothesis import strategies as st

from minitrain.runs.environment import KERNELS, THREADS, describe, differences, numpy_blas
from minitrain.with_torch import doctor

DESCRIBE = "import json; from minitrain.runs.environment import describe; print(json.dumps(describe({})))"


def described(**environment: str) -> dict[str, Any]:
    """The description that a process with these variables gives."""
    kept = {name: value for name, value in os.environ.items() if name not in (*THREADS, *KERNELS)}
    command = [sys.executable, "-c", DESCRIBE]
    facts: dict[str, Any] = json.loads(subprocess.check_output(command, env={**kept, **environment}, text=True))
    return facts


def test_a_description_is_flat_json_with_the_versions_and_the_blas() -> None:
    facts = describe({"torch": "2.13.0", "torch threads": 2})
    assert json.loads(json.dumps(facts)) == facts
    assert {type(value) for value in facts.values()} <= {str, int}
    assert facts["numpy"] == np.__version__
    assert (facts["torch"], facts["torch threads"]) == ("2.13.0", 2)
    for name in ("minitrain", "python", "platform", "CPU", "NumPy's CPU features", "BLAS"):
        assert facts[name]
    assert describe({}) == describe({})


def test_other_threads_and_other_kernels_are_told() -> None:
    one, two = described(OPENBLAS_NUM_THREADS="1"), described(OPENBLAS_NUM_THREADS="2", OPENBLAS_CORETYPE="Prescott")
    if "openblas" not in str(one["BLAS"]):
        pytest.skip("NumPy has another BLAS here")
    told = differences(one, two)
    if len(os.sched_getaffinity(0)) > 1:
        assert "BLAS threads: 1 then, 2 now" in told
    assert "OPENBLAS_NUM_THREADS: 1 then, 2 now" in told
    assert "OPENBLAS_CORETYPE: nothing then, Prescott now" in told
    if one["BLAS kernels"] != two["BLAS kernels"]:  # which OpenBLAS names otherwise: Katmai, for Prescott
        assert f"BLAS kernels: {one['BLAS kernels']} then, {two['BLAS kernels']} now" in told


def test_instructions_that_numpy_may_not_use_are_told() -> None:
    features = str(described()["NumPy's CPU features"]).split()
    built: Any = np.show_config(mode="dicts")
    if not built["SIMD Extensions"]["found"]:
        pytest.skip("this CPU has none that could be left unused")
    fewer = described(NPY_DISABLE_CPU_FEATURES=features[-1])
    assert str(fewer["NumPy's CPU features"]).split() == features[:-1]
    assert fewer["NPY_DISABLE_CPU_FEATURES"] == features[-1]


def test_the_doctor_tells_the_same_blas() -> None:
    assert f"BLAS {describe({})['BLAS']}" in doctor._numpy().text()
    assert numpy_blas().kernels in doctor._numpy().text()


def test_of_several_blas_numpys_own_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pools = [
        {"user_api": "openmp", "filepath": "/numpy/libgomp.so", "num_threads": 8},
        {"user_api": "blas", "filepath": "/scipy.libs/openblas.so", "num_threads": 4, "architecture": "Zen"},
        {"user_api": "blas", "filepath": "/numpy.libs/openblas.so", "num_threads": 2, "architecture": "Haswell"},
    ]
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: pools)
    assert numpy_blas()[2:] == ("Haswell", 2)
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: pools[:1])
    assert numpy_blas()[2:] == ("", None)
    assert not {"BLAS kernels", "BLAS threads"} & describe({}).keys()


# --- differences ------------------------------------------------------------------------------------------------------

NOW: dict[str, str | int] = {"numpy": "2.4.6", "BLAS threads": 1}


@pytest.mark.parametrize(
    ("then", "lines"),
    [
        ({"BLAS threads": 1, "numpy": "2.4.6"}, []),
        ({"numpy": "2.4.6", "BLAS threads": 2}, ["BLAS threads: 2 then, 1 now"]),
        ({"numpy": "2.4.6"}, ["BLAS threads: nothing then, 1 now"]),
        ({**NOW, "OMP_NUM_THREADS": "2"}, ["OMP_NUM_THREADS: 2 then, nothing now"]),
        ({**NOW, "OMP_NUM_THREADS": ""}, ["OMP_NUM_THREADS: '' then, nothing now"]),
        ({"numpy": "2.3", "BLAS threads": 2}, ["numpy: 2.3 then, 2.4.6 now", "BLAS threads: 2 then, 1 now"]),
        ({**NOW, "BLAS threads": True}, ["BLAS threads: True then, 1 now"]),
        ({**NOW, "BLAS threads": 1.0}, ["BLAS threads: 1.0 then, 1 now"]),
        ({**NOW, "BLAS threads": "1"}, ["BLAS threads: '1' then, 1 now"]),
        ({**NOW, "BLAS threads": None}, ["BLAS threads: None then, 1 now"]),
        ({**NOW, "\x1b[2J": "a\nb"}, [r"'\x1b[2J': 'a\nb' then, nothing now"]),
        ({**NOW, "numpy": "9" * 10**6}, [f"numpy: {'9' * 120}... then, 2.4.6 now"]),
        (None, ["the environment: None then, which is not a description of one"]),
        ([1, 2], ["the environment: [1, 2] then, which is not a description of one"]),
    ],
)
def test_each_difference_has_its_line(then: object, lines: list[str]) -> None:
    assert differences(then, NOW) == lines


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text() | st.sampled_from([*NOW]), parts, max_size=3),
)


@given(anything)
def test_whatever_a_file_says_the_lines_can_be_printed(then: Any) -> None:
    for line in differences(then, NOW):
        assert line.isprintable()
        assert len(line) < 700


@pytest.mark.parametrize("then", [nested(900), {"numpy": nested(900), "BLAS threads": 10**4000}], ids=["list", "dict"])
def test_what_is_nested_or_large_is_shortened(then: Any) -> None:
    assert differences(then, NOW)
    assert all(len(line) < 200 for line in differences(then, NOW))
