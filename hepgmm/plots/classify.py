"""Figures of the classifiers: ROC curves, scores, and the areas under the curve per mass."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import pyplot

from hepgmm.classify.ladder import classifier_class
from hepgmm.classify.metrics import PAPER, roc_curve
from hepgmm.plots.histograms import count, draw
from hepgmm.plots.style import COLOURS, rows_of_panels

__all__ = [
    "areas_per_mass",
    "calibration",
    "operating_point",
    "rejection_curves",
    "roc_curves",
    "score_distributions",
]

_BAND = (15.87, 84.13)  # percentiles: the central 68%, one standard deviation of a Gaussian


def roc_curves(
    scores: Mapping[str, np.ndarray],
    labels: np.ndarray,
    *,
    title: str,
    seed: int,
    n_bootstrap: int = 200,
    paper: bool = True,
):
    """ROC curves with bootstrap bands, linear and as background rejection.

    All classifiers are resampled with the same test events, so that bands may be compared.

    Parameters
    ----------
    scores
        Name of a rung of the ladder to its scores, shape (n,).
    labels
        Shape (n,); 1 is signal, 0 background.
    title
        Says the preset and the dz reference.
    seed
        Of the bootstrap.
    n_bootstrap
        Number of resampled test sets.
    paper
        Whether to mark the working points that the paper publishes.

    Returns
    -------
    matplotlib.figure.Figure
        Left: true positive rate against false positive rate. Right: one over the false positive
        rate, on a logarithmic axis, against the true positive rate. Bands hold the central 68%.

    Raises
    ------
    ValueError
        If there is no such rung, or its scores do not match the labels.

    Examples
    --------
    >>> labels = np.repeat([0, 1], 50)
    >>> scores = np.random.default_rng(1).normal(labels)
    >>> figure = roc_curves({"mlp": scores}, labels, title="toy", seed=1, n_bootstrap=5)
    >>> [axes.get_xlabel() for axes in figure.axes]
    ['False positive rate', 'True positive rate (signal efficiency)']
    """
    labels = _check(scores, labels)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4.6))
    # Dense where the curve is steep: a quadratic grid spends its points near zero.
    grid = np.linspace(0, 1, 201) ** 2
    draws = np.random.default_rng(seed).integers(len(labels), size=(n_bootstrap, len(labels)))
    floor = 1 / np.sum(labels == 0)  # no false positive yet: less than one event's worth
    for name, values in scores.items():
        look = rung_look(name)
        fpr, tpr = roc_curve(values, labels)
        replicas = [roc_curve(values[draw], labels[draw]) for draw in draws]
        low, high = np.percentile([np.interp(grid, f, t) for f, t in replicas], _BAND, axis=0)
        left.fill_between(grid, low, high, color=look["color"], alpha=0.25, lw=0)
        left.plot(fpr, tpr, **look)
        low, high = np.percentile([np.interp(grid, t, f) for f, t in replicas], _BAND, axis=0)
        right.fill_between(
            grid,
            1 / np.maximum(high, floor),
            1 / np.maximum(low, floor),
            color=look["color"],
            alpha=0.25,
        )
        some = fpr > 0
        right.plot(tpr[some], 1 / fpr[some], **look)
    left.plot([0, 1], [0, 1], color="grey", ls=":", label="guessing")
    right.plot(grid[1:], 1 / grid[1:], color="grey", ls=":", label="guessing")
    for name in (each for each in PAPER if paper and each in scores):
        fpr, tpr = operating_point(PAPER[name]["recall"], PAPER[name]["precision"])
        look = rung_look(name)
        style = dict(marker="*", ms=13, ls="", mec="black", color=look["color"])
        left.plot(fpr, tpr, **style, label=f"{look['label']}, the paper")
        right.plot(tpr, 1 / fpr, **style)
    left.set(xlabel="False positive rate", ylabel="True positive rate", title=title)
    left.set(xlim=(0, 1), ylim=(0, 1.02))
    right.set(xlabel="True positive rate (signal efficiency)", ylabel="1 / false positive rate")
    right.set(xlim=(0, 1), yscale="log", title="background rejection")
    right.set_ylim(1, 2 / floor)
    left.legend(loc="lower right")
    return figure


def rung_look(name: str) -> dict[str, str]:
    """Colour and label of a rung; those of your own are black.

    Examples
    --------
    >>> rung_look("mlp")
    {'color': '#009e73', 'label': 'MLP'}
    """
    title = classifier_class(name).title
    return {"color": COLOURS.get(name, COLOURS["real"]), "label": title}


def operating_point(recall: float, precision: float) -> tuple[float, float]:
    r"""The point of the ROC plane that a recall and a precision stand for, classes balanced.

    Precision is :math:`t / (t + f)` when both classes have equally many events, with the true
    positive rate :math:`t` (the recall) and the false positive rate :math:`f`, so
    :math:`f = t\,(1 / \mathrm{precision} - 1)`.

    Parameters
    ----------
    recall, precision
        Between 0 and 1, precision above 0.

    Returns
    -------
    tuple of float
        False positive rate and true positive rate.

    Raises
    ------
    ValueError
        If a number is outside its range.

    Examples
    --------
    >>> operating_point(recall=0.6, precision=0.75)
    (0.2, 0.6)
    """
    if not (0 <= recall <= 1 and 0 < precision <= 1):
        raise ValueError(f"recall {recall}, precision {precision}: both lie between 0 and 1")
    return round(recall * (1 / precision - 1), 12), recall


def score_distributions(
    scores: Mapping[str, np.ndarray], labels: np.ndarray, *, title: str, bins: int = 25
):
    """Scores of signal and background, a panel for each classifier, Poisson errors.

    Parameters
    ----------
    scores
        Name of a classifier to its scores between 0 and 1, shape (n,).
    labels
        Shape (n,); 1 is signal, 0 background.
    title
        Says the preset and the dz reference.
    bins
        Number of bins.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no such rung, or its scores do not match the labels.

    Examples
    --------
    >>> labels = np.repeat([0, 1], 50)
    >>> figure = score_distributions({"trees": labels / 2 + 0.25}, labels, title="toy")
    >>> figure.axes[0].get_xlabel()
    'Score'
    """
    labels = _check(scores, labels)
    figure, panels = rows_of_panels(len(scores))
    edges = np.linspace(0, 1, bins + 1)
    for axes, (name, values) in zip(panels.flat, scores.items(), strict=False):
        heights = {}
        for label, role in enumerate(("background", "signal")):
            counts, errors = count(values[labels == label], edges)
            heights[role] = counts / np.sum(labels == label), errors / np.sum(labels == label)
        draw(axes, heights, edges)
        axes.axvline(0.5, color="grey", ls=":")
        axes.set(xlabel="Score", title=classifier_class(name).title, xlim=(0, 1))
    # Once all are drawn: the panels share the scale of the highest.
    panels[0, 0].set(ylim=(0, None))
    for axes in panels[:, 0]:
        axes.set_ylabel("fraction of the class per bin")
    panels[0, 0].legend(loc="upper right")
    figure.suptitle(title)
    return figure


def areas_per_mass(areas: Mapping[str, Mapping[float, dict]], *, title: str):
    """Area under the ROC curve for each signal mass against all the background.

    Parameters
    ----------
    areas
        Name of a classifier to mass [GeV] to ``{"value", "error"}``.
    title
        Says the preset and the dz reference.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no classifier.

    Examples
    --------
    >>> area = {"value": 0.8, "error": 0.01}
    >>> areas_per_mass({"mlp": {100.0: area}}, title="toy").axes[0].get_ylabel()
    'AUC'
    """
    if not areas:
        raise ValueError("areas: give the areas of at least one classifier")
    figure, axes = pyplot.subplots(figsize=(7, 4))
    for shift, (name, by_mass) in enumerate(areas.items()):
        # Beside each other, so that error bars of nearly equal areas stay apart.
        place = np.arange(len(by_mass)) + 0.6 / len(areas) * (shift - (len(areas) - 1) / 2)
        values = [area["value"] for area in by_mass.values()]
        errors = [area["error"] for area in by_mass.values()]
        axes.errorbar(place, values, errors, fmt="o", capsize=4, **rung_look(name))
        masses = [f"{mass:g} GeV" for mass in by_mass]
    axes.set_xticks(range(len(masses)), masses)
    axes.set(ylabel="AUC", xlabel="Mass of the long-lived neutralino", title=title)
    axes.set_xlim(-0.5, len(masses) - 0.5)
    axes.minorticks_off()
    axes.legend(loc="best")
    return figure


def calibration(curves: Mapping[str, tuple], *, title: str):
    """Share of signal against predicted probability, a panel for each classifier.

    Parameters
    ----------
    curves
        Label of a classifier → predicted, observed and error, as
        :func:`hepgmm.classify.calibration_curve` gives them.
    title
        Says the preset.

    Returns
    -------
    matplotlib.figure.Figure
        With the diagonal on which a calibrated classifier lies.

    Examples
    --------
    >>> figure = calibration({"coin": ([0.4, 0.6], [0.5, 0.5], [0.1, 0.1])}, title="toy")
    >>> figure.axes[0].get_ylabel()
    'share of signal'
    >>> pyplot.close(figure)
    """
    figure, panels = rows_of_panels(len(curves))
    for axes, (label, (predicted, observed, error)) in zip(
        panels.flat, curves.items(), strict=False
    ):
        axes.plot([0, 1], [0, 1], color="0.5", lw=1, ls="--")
        axes.errorbar(
            predicted, observed, yerr=error, fmt="o", ms=5, color=COLOURS["signal"], clip_on=False
        )
        axes.set(xlabel="predicted probability", title=label, xlim=(0, 1), ylim=(0, 1))
    for axes in panels[:, 0]:
        axes.set_ylabel("share of signal")
    figure.suptitle(title)
    return figure


def rejection_curves(rungs: Mapping, *, title: str):
    """Background rejection of the rungs of the ladder over signal efficiency, with bands.

    Parameters
    ----------
    rungs
        Name → ``title`` and ``roc``, as :func:`hepgmm.ladder.climb` gives them.
    title
        What is compared.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> roc = {"efficiency": [0.2, 0.8], "rate": [0.01, 0.2], "error": [0.002, 0.01]}
    >>> figure = rejection_curves({"mlp": {"title": "MLP", "roc": roc}}, title="toy")
    >>> figure.axes[0].get_ylabel()
    'background rejection, 1 / rate'
    >>> pyplot.close(figure)
    """
    figure, axes = pyplot.subplots(figsize=(7.6, 4.8))
    for name, rung in rungs.items():
        efficiency, rate, error = (np.array(x) for x in rung["roc"].values())
        # A band that reaches no false positive has no upper end.
        seen = rate > 2 * error
        colour = rung_look(name)["color"]
        efficiency, rate, error = efficiency[seen], rate[seen], error[seen]
        axes.plot(efficiency, 1 / rate, color=colour, label=rung["title"])
        axes.fill_between(
            efficiency, 1 / (rate + error), 1 / (rate - error), color=colour, alpha=0.2, lw=0
        )
    axes.set(xlabel="signal efficiency", ylabel="background rejection, 1 / rate", title=title)
    axes.set(yscale="log", xlim=(0, 1), ylim=(1, None))
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _check(scores, labels):
    labels = np.asarray(labels)
    if not scores:
        raise ValueError("scores: give the scores of at least one classifier")
    for name, values in scores.items():
        if np.shape(values) != labels.shape:
            raise ValueError(
                f"scores of {name}: shape {np.shape(values)}, labels {labels.shape}; give one each"
            )
    if set(np.unique(labels)) != {0, 1}:
        raise ValueError("labels: both classes are needed, 1 for signal and 0 for background")
    return labels
