"""Fixtures of all tests."""

import sys
from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def no_open_figures():
    """Close the figures of other tests: matplotlib warns of too many, and warnings are errors."""
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="session")
def shared_data():
    """Folder of the reference files that lie beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the reference files are not there: ../shared/data beside the checkout")
    return SHARED_DATA
