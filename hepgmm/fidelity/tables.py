"""Tables of generators, filled from the file of figures."""

from __future__ import annotations

from collections.abc import Mapping

from hepgmm.statistics import format_measurement

__all__ = ["ROWS", "fidelity_table", "size_table"]

#: Smaller errors are not shown: an AUC of 0.99999964 ± 0.00000026 is 1 to every reader.
FINEST = 5e-4
#: From here on only powers of ten are.
LARGE = 1e5
#: Figures of the short table: name → what it is called.
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


def fidelity_table(figures: Mapping, rows: Mapping = ROWS):
    """Generators down, figures across, each with its error; the floor is the first line.

    Parameters
    ----------
    figures
        What :func:`~hepgmm.fidelity.measure_fidelity` returns.
    rows
        Name of a figure → heading.

    Returns
    -------
    pandas.DataFrame
        Of strings; a dash where a generator has no such figure.

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

    measured = {n: e for n, e in figures["generators"].items() if "figures" in e}
    table = {}
    for name, heading in rows.items():
        finest = 0.0 if name in ("fpd", "kpd") else FINEST
        column = {e["title"]: _text(e["figures"].get(name), finest) for e in measured.values()}
        floors = [e["figures"][name]["floor"] for e in measured.values() if name in e["figures"]]
        table[heading] = {"real against real": f"{floors[0]:.3g}" if floors else "–"} | column
    for classifier, heading in (("trees", "ΔAUC, trees"), ("mlp", "ΔAUC, MLP")):
        column = {
            e["title"]: _text(e.get("transfer", {}).get(classifier)) for e in measured.values()
        }
        floor = _text(figures.get("transfer_floor", {}).get(classifier))
        table[heading] = {"real against real": floor} | column
    table["events/s"] = {"real against real": "–"} | {
        entry["title"]: format_measurement(entry["per_second"]) for entry in measured.values()
    }
    return pd.DataFrame(table)


def size_table(figures: Mapping, row: str):
    """One figure against the number of training events, a column for each generator.

    Parameters
    ----------
    figures
        As in :func:`fidelity_table`.
    row
        Name of the figure.

    Returns
    -------
    pandas.DataFrame
        Of strings.

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
    return pd.DataFrame(
        {
            f"{int(size):,} events": {
                titles[n]: _text(e.get(row), FINEST) for n, e in entries.items()
            }
            for size, entries in figures["sizes"].items()
        }
    ).T


def _text(figure, finest=0.0):
    """A figure with its error; the value alone if the error is below ``finest``."""
    if not figure:
        return "–"
    if abs(figure["value"]) >= LARGE:
        return f"{figure['value']:.0e} ± {figure['error']:.0e}"
    return format_measurement(figure) if figure["error"] > finest else f"{figure['value']:.3f}"
