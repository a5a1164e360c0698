"""Climb the ladder: train every rung, several times and with every reference of dz."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hepgmm.analysis import Analysis
from hepgmm.cache import code_fingerprint, digest
from hepgmm.classify.registry import CLASSIFIERS, classifier_names, make_classifier
from hepgmm.io_utils import atomic_write, write_json
from hepgmm.ladder.figures import difference, rung_figures
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
        options = {"trainings": trainings, "training": training, "progress": progress}
        bar, _, bar_key = trained_scores(analysis, BAR, **options)
        test = analysis.datasets()["test"]
        # Figures of other code, events or settings have another key.
        keys = {name: rung["bar"] for name, rung in own["rungs"].items()}
        own["rungs"] = {name: own["rungs"][name] for name, key in keys.items() if key == bar_key}
        for name in names:
            scores, seconds, key = trained_scores(analysis, name, **options)
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


def trained_scores(analysis, name, *, trainings, training, progress):
    """Test scores of each training, shape (k, n), mean seconds of one, and what decides them."""
    samples, rows, keys = analysis.datasets(), [], []
    for number in range(trainings):
        seed = [analysis.parameters["seed"], number]
        keys.append(rung_key(analysis, name, training, seed))
        path = analysis.cache / f"rung-{name}-{keys[-1]}.npz"
        if not path.exists():
            progress(f"{analysis.parameters['overlay']['dz_reference']}: {name}, {number + 1}")
            start = time.perf_counter()
            rung = fit(name, samples, seed, training, path)
            seconds = time.perf_counter() - start
            if hasattr(rung, "history"):  # of epochs before an interruption, too
                seconds = sum(epoch["seconds"] for epoch in rung.history)
            scores = rung.predict_proba(samples["test"].X, samples["test"].mask)
            with atomic_write(path) as temporary, temporary.open("wb") as file:
                np.savez(file, scores=scores, seconds=seconds)
        with np.load(path, allow_pickle=False) as kept:
            rows.append((kept["scores"], float(kept["seconds"])))
    scores, seconds = zip(*rows, strict=True)
    return np.stack(scores), float(np.mean(seconds)), digest(keys)


def rung_key(analysis, name, training, seed):
    """Digest of all that decides a training: the events, the settings, the rung and its code."""
    cls = CLASSIFIERS[name]
    code = [code_fingerprint("classify"), code_of(cls), code_of(getattr(cls, "architecture", None))]
    return digest([analysis.key("datasets"), name, training, seed, code])


def code_of(cls):
    """The text of a class, or its name where there is none (typed in, or not there at all)."""
    try:
        return inspect.getsource(cls)
    except (TypeError, OSError):
        return repr(getattr(cls, "__qualname__", cls))


def fit(name, samples, seed, training, path):
    """A trained rung; a network keeps its checkpoints beside ``path``."""
    options = {}
    if hasattr(CLASSIFIERS[name], "architecture"):
        options = {"directory": path.with_suffix(""), "training": training}
    number = int(np.random.SeedSequence(seed).generate_state(1)[0])
    parts = samples["train"], samples["validation"]
    return make_classifier(name, **options).fit(*parts, seed=number, progress=True)
