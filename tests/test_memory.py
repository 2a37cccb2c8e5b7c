"""Where arrays lie: a step takes no new pages for what the last one freed; weights begin at a line of the cache."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minitrain import nn
from minitrain.layout import LINE, empty_at_line

PROGRAM = """
import resource
{first}
import numpy as np
def step():
    arrays = [np.ones((512, 512), np.float32) for _ in range(10)]
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def new_pages(first: str) -> int:
    """How many pages ten rounds of ten arrays of 1 MB are given by the system, after a round that does not count."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    program = [sys.executable, "-c", PROGRAM.format(first=first)]
    return int(subprocess.run(program, env=environment, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc learns from what is freed")
def test_freed_memory_is_kept_for_the_next_arrays() -> None:
    assert new_pages("pass") > 1000
    assert new_pages("import minitrain") < 100


LARGE_PAGES = """
{first}
with open("/proc/self/smaps") as file:
    heaps = file.read().split("[heap]")[1:]
print(any(" hg" in heap.split("VmFlags:")[1].splitlines()[0] for heap in heaps))
"""
SWITCH = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc learns from what is freed")
@pytest.mark.skipif(not SWITCH.exists() or "[never]" in SWITCH.read_text(), reason="no large pages here")
def test_what_is_kept_lies_in_large_pages() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    for first, expected in (("import numpy", "False\n"), ("import minitrain", "True\n")):
        program = [sys.executable, "-c", LARGE_PAGES.format(first=first)]
        assert subprocess.run(program, env=environment, capture_output=True, text=True, check=True).stdout == expected


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1, 1), (5, 7), (17, 3, 2)])
def test_an_array_at_a_line_is_like_any_other(shape: tuple[int, ...], dtype: str) -> None:
    arrays = [empty_at_line(shape, dtype) for _ in range(10)]
    for value, array in enumerate(arrays):
        array.fill(value)
    for value, array in enumerate(arrays):
        assert array.size == 0 or array.ctypes.data % LINE == 0
        assert (array.shape, array.dtype, array.flags.c_contiguous) == (shape, np.dtype(dtype), True)
        assert (array == value).all()


def test_a_layers_weight_begins_at_a_line() -> None:
    layers = [nn.Linear(5, size) for size in range(1, 20)]
    assert {layer.weight.array.ctypes.data % LINE for layer in layers} == {0}
