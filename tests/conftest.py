"""Fixtures of all tests."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data():
    """Folder of the reference files that lie beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the reference files are not there: ../shared/data beside the checkout")
    return SHARED_DATA
