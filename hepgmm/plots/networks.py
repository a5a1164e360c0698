"""Figures and tables of the networks: inputs, parameters, learning rate, loss."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import pyplot

from hepgmm.classify.ladder import classifier_class
from hepgmm.plots.classify import rung_look
from hepgmm.plots.histograms import count, draw
from hepgmm.plots.style import COLOURS, rows_of_panels

__all__ = [
    "cost_scan",
    "learning_rates",
    "loss_curves",
    "network_inputs",
    "parameter_table",
    "transform_table",
]


def transform_table() -> str:
    """Every table of network inputs as Markdown: a row each, with its inputs.

    Examples
    --------
    >>> print(transform_table().splitlines()[2])
    | raw | pT / Σ pT; η; φ [rad]; d0 [mm]; dz [mm] |
    """
    from hepgmm.classify.features import load_table, table_names

    lines = ["| table | inputs |", "|---|---|"]
    for name in table_names():
        rows, normalise = load_table(name)
        inputs = "; ".join(row.formula for row in rows)
        lines.append(f"| {name} | {inputs}{'; mean 0, variance 1' if normalise else ''} |")
    return "\n".join(lines)


def parameter_table(models: Mapping[str, object]) -> str:
    """Trainable parameters of each part of each network, as a Markdown table.

    Parameters
    ----------
    models
        Name of a network to the ``torch.nn.Module``.

    Returns
    -------
    str
        A row for each part that has parameters, and one for the sum.

    Examples
    --------
    >>> from hepgmm.classify import MLP
    >>> print(parameter_table({"mlp": MLP(width=4, n_layers=1)}))
    | network | part | parameters |
    |---|---|---|
    | MLP | encoder | 32 |
    | MLP | output | 5 |
    | **MLP** | **all** | **37** |
    """
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


def cost_scan(scan, *, title: str):
    """Draw how the training rate of the transformer falls with its numbers.

    Parameters
    ----------
    scan
        Tracks, width, heads, blocks → value → ``{"value", "error"}`` in events a second, as
        :func:`hepgmm.benchmark.classifiers.benchmark_classifiers` gives them.
    title
        What is measured.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> rate = {"value": 100.0, "error": 3.0}
    >>> figure = cost_scan({"n_blocks": {"1": rate, "2": rate}}, title="toy")
    >>> figure.axes[0].get_xlabel()
    'attention blocks'
    >>> pyplot.close(figure)
    """
    names = {"n_tracks": "tracks", "width": "width", "n_heads": "heads"}
    names["n_blocks"] = "attention blocks"
    figure, grid = pyplot.subplots(
        1, len(scan), figsize=(2 + 2.4 * len(scan), 3.6), sharey=True, squeeze=False
    )
    found = [rate["value"] for rates in scan.values() for rate in rates.values()]
    for axes, (name, rates) in zip(grid[0], scan.items(), strict=True):
        x = np.array([int(number) for number in rates])
        value, error = np.array([[rate["value"], rate["error"]] for rate in rates.values()]).T
        axes.errorbar(x, value, error, fmt="o-", color=COLOURS["transformer"])
        axes.set(xlabel=names[name], xscale="log", yscale="log")
        # The style ends axes at powers of ten, where markers would be cut.
        axes.set(xlim=(x[0] / 1.3, x[-1] * 1.3), ylim=(min(found) / 2, max(found) * 2))
        axes.set_xticks(x, list(rates))
        axes.xaxis.minorticks_off()
    ticks = [n * 10**power for power in range(7) for n in (1, 2, 5)]
    ticks = [tick for tick in ticks if min(found) / 2 < tick < max(found) * 2]
    grid[0, 0].set_yticks(ticks, map(str, ticks))
    grid[0, 0].set_ylabel("training [events/s]")
    figure.suptitle(title)
    return figure


def network_inputs(features, sample, *, title: str, bins: int = 41):
    """Distributions of the network inputs, signal and background tracks.

    The error bars count the tracks of one event as one draw.

    Parameters
    ----------
    features
        The :class:`hepgmm.classify.TrackFeatures` of a model.
    sample
        A :class:`hepgmm.classify.Sample`.
    title
        Says the preset and the dz reference.
    bins
        Number of bins, between the 0.1 and 99.9 percentiles of each input; for one of both signs as
        far to either side, so that 0 is in the middle of a bin if the number is odd.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the sample holds one class only.

    Examples
    --------
    >>> from hepgmm.classify import Sample, TrackFeatures
    >>> X = np.random.default_rng(1).uniform(0.1, 1, (4, 3, 5))
    >>> sample = Sample(X, np.ones((4, 3), dtype=bool), [0, 0, 1, 1])
    >>> figure = network_inputs(TrackFeatures("asinh"), sample, title="toy", bins=3)
    >>> figure.axes[3].get_xlabel()
    'asinh(d0 / 0.1 mm) / 4'
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
            counts, errors = count(values[events, slots], edges, groups=events)
            heights[role] = counts / len(events), errors / len(events)
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
    """Learning rate by epoch for each network.

    Parameters
    ----------
    results
        Name of a network to the trained rung, or what else has its ``history``.
    title
        Says the preset.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> result = SimpleNamespace(history=[dict(epoch=0, lr=1e-3), dict(epoch=1, lr=1e-4)])
    >>> learning_rates({"mlp": result}, title="toy").axes[0].get_xlabel()
    'Epoch'
    """
    figure, axes = pyplot.subplots(figsize=(8, 3.6))
    for name, result in results.items():
        epoch, rate = _columns(result.history, "epoch", "lr")
        axes.plot(epoch, rate, marker=".", **rung_look(name))
    axes.set(xlabel="Epoch", ylabel="Learning rate", ylim=(0, None), title=title)
    axes.legend()
    return figure


def loss_curves(results: Mapping[str, object], *, title: str, errors: Mapping[str, float]):
    """Training and validation loss by epoch, a panel for each network, best epoch marked.

    Parameters
    ----------
    results
        Name of a network to the trained rung, with its ``history`` and ``best_epoch``.
    title
        Says the preset.
    errors
        Name of a network to the standard error of its validation loss (finite number of
        validation events), drawn as a band.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no network.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> history = [dict(epoch=i, train_loss=0.7 - i / 50, val_loss=0.69) for i in range(5)]
    >>> result = SimpleNamespace(history=history, best_epoch=2)
    >>> loss_curves({"mlp": result}, title="toy", errors={"mlp": 0.01}).axes[0].get_xlabel()
    'Epoch'
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


def _columns(history, *names):
    return [np.array([row[name] for row in history]) for name in names]
