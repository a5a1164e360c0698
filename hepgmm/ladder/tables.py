"""Tables of the ladder, filled from the file of figures."""

from __future__ import annotations

from collections.abc import Mapping

from hepgmm.report import format_measurement

__all__ = ["COLUMNS", "ladder_table"]

#: Figures of the table: name → heading.
COLUMNS = {
    "auc": "AUC",
    "rejection_70": "rejection at 70%",
    **{f"rejection_{efficiency}": f"at {efficiency}%" for efficiency in (60, 50, 30, 10)},
}


def ladder_table(figures: Mapping, setting: str, columns: Mapping = COLUMNS):
    """Rungs down, figures across, each with its error.

    Parameters
    ----------
    figures
        What :func:`~hepgmm.ladder.climb` returns.
    setting
        Of ``hepgmm.ladder.SETTINGS``.
    columns
        Name of a figure → heading.

    Returns
    -------
    pandas.DataFrame
        Of strings, with the AUC above that of the boosted trees and the minutes of a training.

    Examples
    --------
    >>> auc = {"value": 0.85, "error": 0.004}
    >>> rung = {"title": "MLP", "figures": {"auc": auc}, "above_trees": auc, "seconds": 90}
    >>> figures = {"settings": {"origin": {"rungs": {"mlp": rung}}}}
    >>> ladder_table(figures, "origin").loc["MLP", "AUC"]
    '0.8500 ± 0.0040'
    """
    import pandas as pd

    rows = {}
    for name, rung in figures["settings"][setting]["rungs"].items():
        row = {
            heading: format_measurement(rung["figures"].get(column, "–"))
            for column, heading in columns.items()
        }
        above = "–" if name == "trees" else format_measurement(rung["above_trees"])
        rows[rung["title"]] = row | {
            "above the trees": above,
            "minutes": f"{rung['seconds'] / 60:.1f}",
        }
    return pd.DataFrame(rows).T
