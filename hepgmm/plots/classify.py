"""Figures and tables of the classifiers: inputs, training, ROC curves, scores, areas per mass."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import pyplot

from hepgmm.classify.ladder import classifier_class
from hepgmm.classify.metrics import PAPER, roc_curve
from hepgmm.plots.style import COLOURS, count, draw, measured, rows_of_panels

__all__ = [
    "areas_per_mass",
    "calibration",
    "learning_rates",
    "loss_curves",
    "network_inputs",
    "operating_point",
    "parameter_table",
    "rejection_curves",
    "roc_curves",
    "rung_look",
    "score_distributions",
    "transform_table",
]

_BAND = (15.87, 84.13)  # percentiles: the central 68%, one standard deviation of a Gaussian


def rung_look(name: str) -> dict[str, str]:
    """Colour and label of a rung; those of your own are black."""
    return {"color": COLOURS.get(name, COLOURS["real"]), "label": classifier_class(name).title}


def transform_table() -> str:
    """Every table of network inputs as Markdown: a row each, with its inputs."""
    from hepgmm.classify.features import load_table, table_names

    lines = ["| table | inputs |", "|---|---|"]
    for name in table_names():
        rows, normalise = load_table(name)
        inputs = "; ".join(row.formula for row in rows)
        lines.append(f"| {name} | {inputs}{'; mean 0, variance 1' if normalise else ''} |")
    return "\n".join(lines)


def parameter_table(models: Mapping[str, object]) -> str:
    """Trainable parameters of each part of each network, rung → module, as a Markdown table."""
    lines = ["| network | part | parameters |", "|---|---|---|"]
    for name, model in models.items():
        title, total = classifier_class(name).title, 0
        for part, module in model.named_children():
            size = sum(weights.numel() for weights in module.parameters())
            copies = f" ({len(module)} of them)" if hasattr(module, "__len__") else ""
            total += size
            if size:
                lines.append(f"| {title} | {part}{copies} | {size:,} |")
        lines.append(f"| **{title}** | **all** | **{total:,}** |")
    return "\n".join(lines)


def network_inputs(features, sample, *, title: str, bins: int = 41):
    """Distributions of the inputs that `TrackFeatures` make, signal and background tracks.

    Bins lie between the 0.1 and 99.9 percentiles; for an input of both signs as far to either side,
    so that 0 is in the middle of a bin if their number is odd. The error bars count the tracks of
    one event as one draw.
    """
    import torch

    if len(np.unique(sample.y)) != 2:
        raise ValueError("sample: both classes are needed, 1 for signal and 0 for background")
    inputs = features(torch.from_numpy(sample.X), torch.from_numpy(sample.mask)).numpy()
    n_rows = len(features.rows) // 3 + 1  # the last place is the legend's
    figure, grid = pyplot.subplots(n_rows, 3, figsize=(10.4, 3.1 * n_rows), squeeze=False)
    for column, (axes, row) in enumerate(zip(grid.flat, features.rows, strict=False)):
        values = inputs[..., column]
        low, high = np.percentile(values[sample.mask], (0.1, 99.9))
        if low < 0 < high:
            low, high = -max(-low, high), max(-low, high)
        edges = np.linspace(low, high, bins + 1)
        heights = {}
        for label, role in enumerate(("background", "signal")):
            events, slots = np.nonzero(sample.mask & (sample.y == label)[:, None])
            heights[role] = count(values[events, slots], edges, groups=events) / len(events)
        draw(axes, heights, edges)
        axes.set(xlabel=row.formula, ylabel="fraction of tracks per bin")
        if row.of in ("eta", "phi"):  # no tails
            axes.set_ylim(bottom=0)
        else:
            axes.set_yscale("log")
    handles, names = grid[0, 0].get_legend_handles_labels()
    for axes in grid.flat[len(features.rows) :]:
        axes.axis("off")
    grid.flat[-1].legend(handles, names, loc="center", fontsize=12)
    figure.suptitle(title)
    return figure


def learning_rates(results: Mapping[str, object], *, title: str):
    """Learning rate by epoch for each network, name → trained rung with its ``history``."""
    figure, axes = pyplot.subplots(figsize=(8, 3.6))
    for name, result in results.items():
        epoch, rate = _columns(result.history, "epoch", "lr")
        axes.plot(epoch, rate, marker=".", **rung_look(name))
    axes.set(xlabel="Epoch", ylabel="Learning rate", ylim=(0, None), title=title)
    axes.legend()
    return figure


def loss_curves(results: Mapping[str, object], *, title: str, errors: Mapping[str, float]):
    """Training and validation loss by epoch, a panel for each network, best epoch marked.

    Results are name → trained rung with ``history`` and ``best_epoch``; errors are the standard
    errors of the validation losses (finite number of validation events), drawn as bands.
    """
    if not results:
        raise ValueError("results: give the trainings of at least one network")
    figure, panels = rows_of_panels(len(results), columns=2)
    for axes, (name, result) in zip(panels.flat, results.items(), strict=False):
        epoch, train, validation = _columns(result.history, "epoch", "train_loss", "val_loss")
        look = rung_look(name)
        colour, label = look["color"], look["label"]
        axes.plot(epoch, train, color=colour, ls="--", label="training (mean of the epoch)")
        axes.plot(epoch, validation, color=colour, label="validation")
        axes.fill_between(
            epoch, validation - errors[name], validation + errors[name], color=colour, alpha=0.25
        )
        best = epoch == result.best_epoch
        axes.plot(epoch[best], validation[best], "o", color="black", label="best epoch, kept")
        axes.axhline(np.log(2), color="grey", ls=":", label="guessing, $\\ln 2$")
        axes.set(xlabel="Epoch", title=label, xlim=(0.5, len(epoch) + 0.5))
    panels[0, 0].legend()
    for axes in panels[:, 0]:
        axes.set_ylabel("Binary cross-entropy\n(nats per event)")
    figure.suptitle(title)
    return figure


def roc_curves(
    scores: Mapping[str, np.ndarray],
    labels: np.ndarray,
    *,
    title: str,
    seed: int,
    n_bootstrap: int = 200,
    paper: bool = True,
):
    """ROC curves with bootstrap bands of 68%, linear and as background rejection.

    Scores are rung → ``(n,)``, labels ``(n,)``, 1 for signal. All classifiers are resampled with
    the same test events, so that bands may be compared. `paper` marks the working points that the
    paper publishes.
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
        low, high = np.maximum(low, floor), np.maximum(high, floor)
        right.fill_between(grid, 1 / high, 1 / low, color=look["color"], alpha=0.25)
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


def operating_point(recall: float, precision: float) -> tuple[float, float]:
    r"""False and true positive rate of a recall and a precision, classes balanced.

    Precision is :math:`t / (t + f)` when both classes have equally many events, with the true
    positive rate :math:`t` (the recall), so :math:`f = t\,(1 / \mathrm{precision} - 1)`.
    """
    if not (0 <= recall <= 1 and 0 < precision <= 1):
        raise ValueError(f"recall {recall}, precision {precision}: both lie between 0 and 1")
    return round(recall * (1 / precision - 1), 12), recall


def score_distributions(
    scores: Mapping[str, np.ndarray], labels: np.ndarray, *, title: str, bins: int = 25
):
    """Scores ``(n,)`` from 0 to 1 of both classes, a panel for each classifier, Poisson errors."""
    labels = _check(scores, labels)
    figure, panels = rows_of_panels(len(scores))
    edges = np.linspace(0, 1, bins + 1)
    for axes, (name, values) in zip(panels.flat, scores.items(), strict=False):
        heights = {
            role: count(values[labels == label], edges) / np.sum(labels == label)
            for label, role in enumerate(("background", "signal"))
        }
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
    """AUC for each signal mass against all the background, classifier → mass in GeV → figure."""
    if not areas:
        raise ValueError("areas: give the areas of at least one classifier")
    figure, axes = pyplot.subplots(figsize=(7, 4))
    for shift, (name, by_mass) in enumerate(areas.items()):
        # Beside each other, so that error bars of nearly equal areas stay apart.
        place = np.arange(len(by_mass)) + 0.6 / len(areas) * (shift - (len(areas) - 1) / 2)
        axes.errorbar(place, *measured(by_mass.values()), fmt="o", capsize=4, **rung_look(name))
        masses = [f"{mass:g} GeV" for mass in by_mass]
    axes.set_xticks(range(len(masses)), masses)
    axes.set(ylabel="AUC", xlabel="Mass of the long-lived neutralino", title=title)
    axes.set_xlim(-0.5, len(masses) - 0.5)
    axes.minorticks_off()
    axes.legend(loc="best")
    return figure


def calibration(curves: Mapping[str, tuple], *, title: str):
    """Share of signal against predicted probability, a panel for each classifier.

    Curves are label → predicted, observed and error, of :func:`hepgmm.classify.calibration_curve`.
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
    """Background rejection over signal efficiency, with bands: rung → ``title`` and ``roc``."""
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


def _columns(history, *names):
    return [np.array([row[name] for row in history]) for name in names]
