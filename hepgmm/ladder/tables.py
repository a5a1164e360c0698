"""Tables of the ladder, filled from the file of figures."""

from __future__ import annotations

from collections.abc import Mapping

from hepgmm.statistics import format_measurement

__all__ = ["COLUMNS", "REJECTIONS", "ladder_table"]

#: Columns of the table: figure → heading.
COLUMNS = {
    "auc": "AUC",
    "above_trees": "above the trees",
    "rejection_60": "rejection at 60%",
}
#: Background rejection at signal efficiencies.
REJECTIONS = {f"rejection_{efficiency}": f"{efficiency}%" for efficiency in (70, 60, 50, 30, 10)}


def ladder_table(figures: Mapping, setting: str, columns: Mapping = COLUMNS):
    """Rungs down, figures across, each with its error.

    Parameters
    ----------
    figures
        What :func:`~hepgmm.ladder.climb` returns.
    setting
        Of ``hepgmm.ladder.SETTINGS``.
    columns
        Name of a figure → heading; ``above_trees`` is the AUC above that of the boosted trees.

    Returns
    -------
    pandas.DataFrame
        Of strings.

    Examples
    --------
    >>> auc = {"value": 0.85, "error": 0.004}
    >>> rung = {"title": "MLP", "figures": {"auc": auc}}
    >>> rung |= {"above_trees": auc, "seconds": 90}
    >>> figures = {"settings": {"origin": {"rungs": {"mlp": rung}}}}
    >>> ladder_table(figures, "origin").loc["MLP", "AUC"]
    '0.8500 ± 0.0040'
    """
    import pandas as pd

    rows = {}
    for name, rung in figures["settings"][setting]["rungs"].items():
        above = "–" if name == "trees" else rung["above_trees"]
        found = rung["figures"] | {"above_trees": above}
        rows[rung["title"]] = {
            heading: format_measurement(found.get(column, "–"))
            for column, heading in columns.items()
        }
    return pd.DataFrame(rows).T
