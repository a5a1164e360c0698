"""Climb the ladder: train every rung, several times and in every setting."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from hepgmm.analysis.analysis import Analysis
from hepgmm.analysis.figures import environment
from hepgmm.classify.ladder import CLASSIFIERS, classifier_names
from hepgmm.classify.metrics import (
    calibration,
    difference,
    roc_band,
    rung_figures,
)
from hepgmm.io.atomic import read_figures, write_json
from hepgmm.ladder.settings import SETTINGS, Setting, merged

__all__ = ["climb"]

#: The rung that all others are compared with.
BAR = "trees"


def climb(
    path,
    *,
    preset: str = "standard",
    names=None,
    settings=tuple(SETTINGS),
    trainings: int = 5,
    n_bootstrap: int = 200,
    seed: int | None = None,
    training: dict | None = None,
    progress: Callable = print,
    **groups,
) -> dict:
    """Train classifiers and measure them on the test events of a preset.

    Every training is kept in the cache, and resumes. Figures that the file at ``path`` holds
    already are kept if they are of the same events and code, and made again if they are asked for.

    Parameters
    ----------
    path
        JSON file of the figures, written after each rung.
    preset
        Where hard events, pileup and the split into training, validation and test come from.
    names
        Rungs, from ``hepgmm.classify.classifier_names()``; all of them when not given.
    settings
        Names from ``hepgmm.ladder.SETTINGS``: what dz is measured from (``"origin"``,
        ``"reconstructed"``, ``"hard"``), and what is tested with real pileup (``"real"``,
        ``"detector"``).
    trainings
        Trainings of each rung, with other initial weights and another order of events.
    n_bootstrap
        Bootstrap samples of the test events.
    seed
        Of the preset; its own when not given.
    training
        Arguments of :func:`hepgmm.classify.train` for all networks, such as ``{"epochs": 2}``.
    progress
        Called with a line before each training.
    **groups
        Keys of the preset to change, as for :class:`hepgmm.Analysis`.

    Returns
    -------
    dict
        ``settings``: name → ``events`` of each sample, and ``rungs`` →
        name → ``title``, ``figures`` (:func:`~hepgmm.ladder.rung_figures`), ``above_trees``
        (difference in AUC to the boosted trees), ``roc``
        (``hepgmm.classify.metrics.roc_band``), ``calibration`` of the first training
        (:func:`hepgmm.classify.calibration_curve`), number of ``trainings``, ``seconds`` of one,
        and digests of what decided it; with the preset, its parameters, the versions and the
        machine.

    Raises
    ------
    ValueError
        For an unknown rung or setting, fewer than one training, or a file of something else, of
        another preset or of another machine.
    """
    path, names = Path(path), tuple(names or classifier_names())
    for name, given, known in (
        ("names", names, classifier_names()),
        ("settings", settings, SETTINGS),
    ):
        unknown = [each for each in given if each not in known]
        if unknown:
            raise ValueError(f"{name}: no {', '.join(unknown)}; there are {', '.join(known)}")
    if trainings < 1:
        raise ValueError(f"trainings = {trainings}: give at least 1")
    base = Analysis(preset, seed=seed, **groups)
    about = {"parameters": base.parameters, "training": training, **environment()}
    figures = read_figures(path, about, "settings")
    figures["preset"] = base.parameters["preset"]
    bootstrap = {"n_bootstrap": n_bootstrap, "seed": base.parameters["seed"]}
    for label in settings:
        own = SETTINGS[label]
        setting = Setting(preset, **own | {"groups": merged(groups, own["groups"])}, seed=seed)
        run = partial(setting.train, trainings=trainings, training=training)
        run = partial(run, progress=lambda step, of=label: progress(f"{of}: {step}"))
        bar, test = run(BAR), setting.samples()["test"]
        kept = figures["settings"].get(label, {"rungs": {}})["rungs"].items()
        # Figures of other code, events or settings have another key.
        rungs = {name: rung for name, rung in kept if rung["bar"] == bar.key}
        events = {name: len(part) for name, part in setting.samples().items()}
        figures["settings"][label] = {"events": events, "rungs": rungs}
        for name in names:
            done = run(name)
            rungs[name] = {
                "title": CLASSIFIERS[name].title,
                "figures": rung_figures(done.scores, test, **bootstrap),
                "above_trees": difference(done.scores, bar.scores, test, **bootstrap),
                "roc": roc_band(done.scores, test, **bootstrap),
                "calibration": calibration(done.scores[0], test),
                "seconds": done.seconds,
                "trainings": trainings,
                "key": done.key,
                "bar": bar.key,
            }
            ordered = {known: rungs[known] for known in classifier_names() if known in rungs}
            figures["settings"][label]["rungs"] = ordered
            write_json(path, figures)
    return figures
