"""Memory that one batch leaves to the next: fewer pages to be had from the system."""

import ctypes
import subprocess
import sys

import pytest

from hepgmm.classify.memory import kept_memory

#: Eight blocks of 4 MB, which are 8192 pages, taken and freed twenty times.
SCRIPT = """
import contextlib, resource
from hepgmm.classify.memory import kept_memory

def batch():
    blocks = [bytearray(4 << 20) for _ in range(8)]

with {context}:
    batch()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        batch()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc"
)
def test_pages_are_not_had_from_the_system_again():
    faults = {}
    for context in ("contextlib.nullcontext()", "kept_memory()"):
        script = SCRIPT.format(context=context)
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        faults[context] = int(done.stdout)
    assert faults["kept_memory()"] < 0.05 * faults["contextlib.nullcontext()"]


def test_error_inside_comes_through():
    with pytest.raises(ValueError, match="of the batch"), kept_memory():
        raise ValueError("of the batch")
