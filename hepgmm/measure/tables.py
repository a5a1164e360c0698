"""Tables of ladder and generators, filled from the files of figures."""

from __future__ import annotations

from collections.abc import Mapping

from hepgmm.statistics import format_measurement

__all__ = ["REJECTIONS", "as_text", "fidelity_table", "ladder_table", "size_table"]

#: Columns of the table of the ladder: figure → heading.
COLUMNS = {"auc": "AUC", "above_trees": "above the trees", "rejection_60": "rejection at 60%"}
#: Background rejection at signal efficiencies.
REJECTIONS = {f"rejection_{efficiency}": f"{efficiency}%" for efficiency in (70, 60, 50, 30, 10)}
#: Figures of generators: name → heading.
ROWS = {
    "auc_events": "AUC, events",
    "auc_accepted": "AUC, accepted region",
    "auc_smeared": "AUC, accepted, smeared",
    "auc_tracks": "AUC, tracks",
    "auc_bundles": "AUC, bundles of 60",
    "auc_transformer": "AUC, transformer",
    "auc_events_unsplit": "AUC, duplicates count",
    "fpd": "FPD",
    "kpd": "KPD",
    "w1_events": "W1 of summaries",
    "w1_tracks": "W1 of tracks",
    "nearest": "nearest",
    "nearest_azimuth": "nearest, azimuth",
}
#: Smaller errors are not shown: an AUC of 0.99999964 ± 0.00000026 is 1 to every reader.
FINEST = 5e-4
#: From here on only powers of ten are.
LARGE = 1e5


def as_text(rows: Mapping[str, Mapping[str, str]]) -> str:
    """A table for the terminal, of texts by row and column."""
    headings = list(next(iter(rows.values()), {}))
    lines = [["", *headings], *([name, *row.values()] for name, row in rows.items())]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
        for line in lines
    )


def ladder_table(figures: Mapping, setting: str, columns: Mapping = COLUMNS):
    """Rungs down, figures across, each with its error.

    Parameters
    ----------
    figures : mapping
        What :func:`~hepgmm.measure.measure_ladder` returns.
    setting : str
        Of ``hepgmm.measure.SETTINGS``.
    columns : mapping
        Name of a figure → heading; ``above_trees`` is the AUC above that of the boosted trees.

    Returns
    -------
    pandas.DataFrame of str

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

    return pd.DataFrame(ladder_rows(figures, setting, columns)).T


def ladder_rows(figures, setting, columns=COLUMNS):
    """Texts of :func:`ladder_table`: title of a rung → heading → text."""
    rows = {}
    for name, rung in figures["settings"][setting]["rungs"].items():
        above = "–" if name == "trees" else rung["above_trees"]
        values = rung["figures"] | {"above_trees": above}
        texts = {heading: values.get(column, "–") for column, heading in columns.items()}
        rows[rung["title"]] = {name: format_measurement(text) for name, text in texts.items()}
    return rows


def fidelity_table(figures: Mapping, rows: Mapping = ROWS):
    """Generators down, figures across, each with its error; the floor is the first line.

    Parameters
    ----------
    figures : mapping
        What :func:`~hepgmm.measure.measure_fidelity` returns.
    rows : mapping
        Name of a figure → heading.

    Returns
    -------
    pandas.DataFrame of str
        With a dash where a generator has no such figure.

    Examples
    --------
    >>> auc = {"value": 0.58, "error": 0.01, "floor": 0.502}
    >>> entry = {"title": "toy", "figures": {"auc_events": auc}, "per_second": auc}
    >>> figures = {"generators": {"toy": entry}}
    >>> table = fidelity_table(figures, {"auc_events": "AUC"})
    >>> table["AUC"].tolist()
    ['0.502', '0.580 ± 0.010']
    """
    import pandas as pd

    return pd.DataFrame(fidelity_rows(figures, rows)).T


def fidelity_rows(figures, rows=ROWS):
    """Texts of :func:`fidelity_table`: title of a generator → heading → text."""
    entries = [entry for entry in figures["generators"].values() if "figures" in entry]
    columns = {}
    for name, heading in rows.items():
        finest = 0.0 if name in ("fpd", "kpd") else FINEST
        floors = [e["figures"][name]["floor"] for e in entries if name in e["figures"]]
        columns[heading] = [f"{floors[0]:.3g}" if floors else "–"]
        columns[heading] += [_text(entry["figures"].get(name), finest) for entry in entries]
    for name, heading in (("trees", "ΔAUC, trees"), ("mlp", "ΔAUC, MLP")):
        losses = [figures.get("transfer_floor", {}), *(e.get("transfer", {}) for e in entries)]
        columns[heading] = [_text(loss.get(name)) for loss in losses]
    columns["events/s"] = ["–", *(format_measurement(entry["per_second"]) for entry in entries)]
    titles = ["real against real", *(entry["title"] for entry in entries)]
    texts = zip(titles, zip(*columns.values(), strict=True), strict=True)
    return {title: dict(zip(columns, row, strict=True)) for title, row in texts}


def size_table(figures: Mapping, row: str):
    """One figure against the number of training events, a column for each generator.

    Parameters
    ----------
    figures : mapping
        As in :func:`fidelity_table`.
    row : str
        Name of the figure.

    Returns
    -------
    pandas.DataFrame of str

    Examples
    --------
    >>> auc = {"value": 0.58, "error": 0.01}
    >>> sizes = {"1000": {"toy": {"auc_events": auc}}}
    >>> figures = {"generators": {"toy": {"title": "toy"}}, "sizes": sizes}
    >>> size_table(figures, "auc_events")
                            toy
    1,000 events  0.580 ± 0.010
    """
    import pandas as pd

    titles = {name: entry["title"] for name, entry in figures["generators"].items()}
    rows = {
        f"{int(size):,} events": {titles[n]: _text(e.get(row), FINEST) for n, e in entries.items()}
        for size, entries in figures["sizes"].items()
    }
    return pd.DataFrame(rows).T


def _text(figure, finest=0.0):
    """A figure with its error; the value alone if the error is below ``finest``."""
    if not figure:
        return "–"
    if abs(figure["value"]) >= LARGE:
        return f"{figure['value']:.0e} ± {figure['error']:.0e}"
    return format_measurement(figure) if figure["error"] > finest else f"{figure['value']:.3f}"
