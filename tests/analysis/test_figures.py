import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepgmm.analysis.figures import classifier_table, load_results, update_readme
from hepgmm.io.cache import project_root
from hepgmm.statistics import format_measurement

METRICS = ("auc", "accuracy", "recall", "precision")


@pytest.fixture
def results():
    figures = {name: {"value": 0.8, "error": 0.01} for name in METRICS}
    return {
        "preset": "quick",
        "seed": 1,
        "events": {"test": 600},
        "parameters": {"overlay": {"mu": 60, "pileup": "hgmm", "dz_reference": "origin"}},
        "classifiers": {"mlp": figures, "trees": figures},
    }


@given(st.floats(-1e3, 1e3), st.floats(1e-6, 1e2))
def test_two_digits_of_the_error_survive(value, error):
    shown_value, shown_error = map(
        float, format_measurement({"value": value, "error": error}).split(" ± ")
    )
    unit = 10.0 ** min(0, math.floor(math.log10(error)) - 1)
    assert abs(shown_value - value) <= 0.5001 * unit
    assert abs(shown_error - error) <= 0.5001 * unit


def test_the_table_has_the_paper_beside_the_networks_alone(results):
    rows = classifier_table(results).splitlines()
    assert [row.split("|")[1].strip() for row in rows[2:]] == [
        "**MLP**",
        "MLP, the paper",
        "**Boosted trees**",
    ]
    assert rows[2].count("0.800 ± 0.010") == 4
    assert "0.762 | 0.703 | 0.636 | 0.734" in rows[3]


def test_the_readme_is_filled_and_filling_again_changes_nothing(tmp_path, results):
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- results -->\nold\n<!-- /results -->\nafter\n")
    update_readme(readme, results)
    once = readme.read_text()
    assert once.startswith("before\n") and once.endswith("\nafter\n")
    assert "600 test events" in once and "old" not in once
    update_readme(readme, results)
    assert readme.read_text() == once


def test_a_readme_without_markers_is_named(tmp_path, results):
    readme = tmp_path / "README.md"
    readme.write_text("nothing to fill")
    with pytest.raises(ValueError, match=r"README\.md: no <!-- results -->"):
        update_readme(readme, results)


def test_missing_and_truncated_results_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="hepgmm run --preset quick"):
        load_results("quick", folder=tmp_path)
    (tmp_path / "quick.json").write_text('{"preset": "qui')
    with pytest.raises(ValueError, match=r"quick.json: not a result file"):
        load_results("quick", folder=tmp_path)


def test_the_readme_shows_the_committed_results(tmp_path):
    root = project_root()
    assert (root / "results" / "standard_roc.svg").is_file()
    copy = tmp_path / "README.md"
    copy.write_text((root / "README.md").read_text())
    update_readme(copy, json.loads((root / "results" / "standard.json").read_text()))
    assert copy.read_text() == (root / "README.md").read_text()
