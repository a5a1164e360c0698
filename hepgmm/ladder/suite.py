"""Climb the ladder: train every rung, several times and with every reference of dz."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hepgmm.analysis import Analysis
from hepgmm.classify.registry import CLASSIFIERS, classifier_names
from hepgmm.io_utils import write_json
from hepgmm.ladder.figures import difference, rung_figures
from hepgmm.ladder.trainings import trained_scores
from hepgmm.merit import environment

__all__ = ["REFERENCES", "climb"]

#: What dz may be measured from, the oracle last.
REFERENCES = ("origin", "reconstructed", "hard")
#: The rung that all others are compared with.
BAR = "trees"


def climb(
    path,
    *,
    preset: str = "standard",
    names=None,
    references=REFERENCES,
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
    references
        What dz is measured from: ``"origin"``, ``"reconstructed"``, ``"hard"``.
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
        ``references``: what dz is measured from → ``events`` of each sample, and ``rungs`` →
        name → ``title``, ``figures`` (:func:`~hepgmm.ladder.rung_figures`), ``above_trees``
        (difference in AUC to the boosted trees), number of ``trainings``, ``seconds`` of one, and
        digests of what decided it; with the preset, its parameters, the versions and the machine.

    Raises
    ------
    ValueError
        For an unknown rung or reference, fewer than one training, or a file of something else, of
        another preset or of another machine.
    """
    path, names = Path(path), tuple(names or classifier_names())
    for name, given, known in (
        ("names", names, classifier_names()),
        ("references", references, REFERENCES),
    ):
        unknown = [each for each in given if each not in known]
        if unknown:
            raise ValueError(f"{name}: no {', '.join(unknown)}; there are {', '.join(known)}")
    if trainings < 1:
        raise ValueError(f"trainings = {trainings}: give at least 1")
    figures = read_figures(path)
    for reference in references:
        overlay = {**groups.get("overlay", {}), "dz_reference": reference}
        analysis = Analysis(preset, seed=seed, **{**groups, "overlay": overlay})
        parameters = {**analysis.parameters, "overlay": {**analysis.parameters["overlay"]}}
        del parameters["overlay"]["dz_reference"]
        about = {"parameters": parameters, "training": training, **environment()}
        other = [key for key in about if figures.get(key, about[key]) != about[key]]
        if other:
            raise ValueError(
                f"{path}: of other {', '.join(other)}; name another file, or remove it"
            )
        figures |= about | {"preset": analysis.parameters["preset"]}
        events = {name: len(part) for name, part in analysis.datasets().items()}
        own = figures["references"].setdefault(reference, {"rungs": {}}) | {"events": events}
        figures["references"][reference] = own
        run = partial(train_rung, analysis, trainings=trainings, training=training)
        run = partial(run, progress=lambda step, of=reference: progress(f"{of}: {step}"))
        bar, _, bar_key = run(BAR)
        test = analysis.datasets()["test"]
        # Figures of other code, events or settings have another key.
        keys = {name: rung["bar"] for name, rung in own["rungs"].items()}
        own["rungs"] = {name: own["rungs"][name] for name, key in keys.items() if key == bar_key}
        for name in names:
            scores, seconds, key = run(name)
            bootstrap = {"n_bootstrap": n_bootstrap, "seed": analysis.parameters["seed"]}
            own["rungs"][name] = {
                "title": CLASSIFIERS[name].title,
                "figures": rung_figures(scores, test, **bootstrap),
                "above_trees": difference(scores, bar, test, **bootstrap),
                "seconds": seconds,
                "trainings": trainings,
                "key": key,
                "bar": bar_key,
            }
            write_json(path, figures)
    return figures


def read_figures(path):
    """Figures that the file holds already."""
    if not path.is_file():
        return {"references": {}}
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        kept = None
    if not isinstance(kept, dict) or "references" not in kept:
        raise ValueError(f"{path}: not a file of figures of the ladder; name another one")
    return kept


def train_rung(analysis, name, *, trainings, training, progress):
    """Scores of the test events of an analysis, see :func:`trained_scores`."""
    wanted = getattr(CLASSIFIERS[name], "fresh_pileup", False)
    return trained_scores(
        name,
        analysis.datasets,
        key=analysis.key("datasets"),
        cache=analysis.cache,
        seeds=[[analysis.parameters["seed"], number] for number in range(trainings)],
        fresh=analysis.hard_events()["train"].sample if wanted else None,
        training=training,
        progress=progress,
    )
