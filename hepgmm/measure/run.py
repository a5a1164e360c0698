"""The one loop of every measurement, and what it measures of classifiers: ladder and studies."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed, parallel_config

from hepgmm.analysis.analysis import Analysis
from hepgmm.analysis.figures import environment
from hepgmm.classify.ladder import CLASSIFIERS, NETWORKS, RUNGS, classifier_names
from hepgmm.classify.metrics import calibration, difference, roc_band, rung_figures
from hepgmm.cores import usable_cores
from hepgmm.io.atomic import write_json
from hepgmm.io.cache import code_fingerprint, digest
from hepgmm.measure.plans import EVENTS, SETTINGS, STUDIES
from hepgmm.measure.variants import Variant

__all__ = ["measure_ladder", "measure_studies", "run"]

#: The rung that all others of the ladder are compared with.
BAR = "trees"
#: Rungs of every study: the strongest without and with a network that train within a minute.
NAMES = ("trees", "deepsets")


def run(path, about: dict, part: str, steps: Callable, *, progress: Callable = print) -> dict:
    """Fill a JSON file of figures step by step; what it holds already is kept.

    ``about`` is what decides the figures, of which the file has to hold the same, and ``part`` the
    key of the figures. ``steps`` is a generator of ``figures`` that fills them, and yields a line
    for ``progress`` before what takes long; the file is written each time.
    """
    path = Path(path)
    figures = _read(path, about, part) if path.is_file() else about | {part: {}}
    for line in steps(figures):
        progress(line)
        write_json(path, figures)
    write_json(path, figures)
    return figures


def _read(path, about, part):
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        figures = None
    if not isinstance(figures, dict) or not isinstance(figures.get(part), dict):
        raise ValueError(f"{path}: not a file of {part} and their figures; name another one")
    other = [key for key in about if figures.get(key) != about[key]]
    if other:
        raise ValueError(f"{path}: of other {', '.join(other)}; name another file, or remove it")
    return figures


def measure_ladder(
    path,
    *,
    preset: str = "standard",
    names=None,
    settings=tuple(SETTINGS),
    trainings: int = 5,
    n_bootstrap: int = 200,
    seed: int | None = None,
    training: Mapping | None = None,
    progress: Callable = print,
    **groups,
) -> dict:
    """Train classifiers and measure them on the test events of a preset, in several settings.

    Every training is kept in the cache, and resumes. Figures in the file are kept if they are of
    the same events and code, and made again if they are asked for.

    Parameters
    ----------
    path : str or Path
        JSON file of the figures.
    preset : str or path
        Where hard events, pileup and the split into training, validation and test come from.
    names, settings : iterable of str, optional
        Rungs, from ``hepgmm.classify.classifier_names()``, and names from
        ``hepgmm.measure.SETTINGS``; all of them when not given.
    trainings : int
        Of each rung, with other initial weights and another order of events.
    n_bootstrap : int
        Bootstrap samples of the test events.
    seed : int, optional
        Of the preset; its own when not given.
    training : mapping, optional
        Arguments of :func:`hepgmm.classify.train` for all networks, such as ``{"epochs": 2}``.
    progress : callable
        Called with a line before each training.
    **groups
        Keys of the preset to change, as for :class:`hepgmm.Analysis`.

    Returns
    -------
    dict
        ``settings``: name → ``events`` of each sample, and ``rungs`` → name → ``title``,
        ``figures`` (:func:`~hepgmm.classify.metrics.rung_figures`), ``above_trees`` (difference in
        AUC to the boosted trees), ``roc`` (``hepgmm.classify.metrics.roc_band``), ``calibration``
        of the first training (:func:`hepgmm.classify.calibration_curve`), number of ``trainings``,
        ``seconds`` of one, and digests of what decided it; with the preset, its parameters, the
        versions and the machine.

    Raises
    ------
    ValueError
        For an unknown rung or setting, fewer than one training, or a file of something else, of
        another preset or of another machine.
    """
    names = tuple(names or classifier_names())
    _check("names", names, classifier_names())
    _check("settings", settings, SETTINGS)
    if trainings < 1:
        raise ValueError(f"trainings = {trainings}: give at least 1")
    base = Analysis(preset, seed=seed, **groups)
    about = {"parameters": base.parameters, "training": training, **environment()}
    bootstrap = {"n_bootstrap": n_bootstrap, "seed": base.parameters["seed"]}

    def steps(figures):
        figures["preset"] = base.parameters["preset"]
        for label in settings:
            variant = Variant.at(SETTINGS[label], preset, groups, seed=seed, train=training)
            score = partial(_scores, variant, trainings=trainings, prefix=f"{label}: ")
            bar = yield from score(BAR)
            test = variant.datasets()["test"]
            earlier = figures["settings"].get(label, {"rungs": {}})["rungs"]
            # Figures of other code, events or settings have another key.
            rungs = {name: rung for name, rung in earlier.items() if rung["bar"] == bar.key}
            figures["settings"][label] = {"events": _sizes(variant), "rungs": rungs}
            for name in names:
                done = yield from score(name)
                rungs[name] = {
                    **_figures(name, done, test, bootstrap),
                    "above_trees": difference(done.scores, bar.scores, test, **bootstrap),
                    "roc": roc_band(done.scores, test, **bootstrap),
                    "calibration": calibration(done.scores[0], test),
                    "trainings": trainings,
                    "bar": bar.key,
                }
                ordered = {known: rungs[known] for known in classifier_names() if known in rungs}
                figures["settings"][label]["rungs"] = ordered

    return run(path, about, "settings", steps, progress=progress)


def measure_studies(
    path,
    *,
    preset: str = "standard",
    studies=tuple(STUDIES),
    names=NAMES,
    events: Mapping = EVENTS,
    training: Mapping | None = None,
    trainings: int = 1,
    n_bootstrap: int = 200,
    workers: int | None = None,
    progress: Callable = print,
) -> dict:
    """Train classifiers at each point of the studies and measure them on test events.

    Every training is kept in the cache, and resumes. All points share the seed of the preset, so
    that hard events and pileup are the same where a study doesn't change them.

    Parameters
    ----------
    path : str or Path
        JSON file of the figures; studies of the same preset, events and code are kept.
    preset : str or path
        What the studies start from.
    studies, names : iterable of str
        Names from ``hepgmm.measure.STUDIES``, and rungs of the ladder; a study may have more.
    events : mapping
        Keys of the preset to change in all studies, by group.
    training : mapping, optional
        Arguments of :func:`hepgmm.classify.train` for all networks.
    trainings : int
        Of each rung at each point; a study may ask for more.
    n_bootstrap : int
        Bootstrap samples of the test events.
    workers : int, optional
        Processes that generate events, and train classifiers side by side, each on one core; as
        many as there are cores when not given. On a graphics processor they train in this one.
    progress : callable
        Called with a line before each point and each training (after it, side by side).

    Returns
    -------
    dict
        ``studies`` → name → ``seconds`` that it took when it was trained, and ``settings``, a list
        with ``value``, number of ``events`` and ``rungs`` → name → ``figures`` as
        :func:`hepgmm.classify.metrics.rung_figures` gives them, and paired differences in AUC:
        ``difference``, to the first point, where there are as many test events of each kind (the
        same hard events, where the study leaves them alone), and ``above_<first>``, to the first
        rung at the same point; with the parameters, the versions and the machine.

    Raises
    ------
    ValueError
        For an unknown study or rung, or a file of something else.
    """
    _check("studies", studies, STUDIES)
    _check("names", names, classifier_names())
    base = Analysis(preset, **events)
    about = {"parameters": base.parameters, "training": training, **environment()}
    workers = workers or usable_cores()
    code = code_fingerprint("measure.run")
    bootstrap = {"n_bootstrap": n_bootstrap, "seed": base.parameters["seed"]}
    at = partial(Variant.at, preset=preset, groups=events, train=training)

    def steps(figures):
        earlier = figures["studies"]
        figures["studies"] = {k: v for k, v in earlier.items() if v["code"] == code}
        for name in studies:
            study, start = STUDIES[name], time.perf_counter()
            rungs = list(dict.fromkeys((*names, *study.more)))
            repeats = max(trainings, study.trainings)
            if workers > 1 and about["machine"]["accelerator"] == "none":
                for line in _side_by_side(at, study.points, rungs, repeats, workers):
                    yield f"{name}: {line}"
            rows = yield from _points(name, at, rungs, repeats, workers, bootstrap)
            seconds = time.perf_counter() - start
            if name in earlier and _keys(earlier[name]["settings"]) == _keys(rows):
                seconds = max(seconds, earlier[name]["seconds"])
            figures["studies"][name] = {"code": code, "seconds": seconds, "settings": rows}

    return run(path, about, "studies", steps, progress=progress)


def _check(what, given, known):
    unknown = [each for each in given if each not in known]
    if unknown:
        raise ValueError(f"{what}: no {', '.join(unknown)}; there are {', '.join(known)}")


class Trainings(NamedTuple):
    """Scores from each training, (k, n); mean seconds of one; digest of all that decides them."""

    scores: np.ndarray
    seconds: float
    key: str


def _scores(variant, name, trainings, prefix="") -> Generator[str, None, Trainings]:
    """Train a rung; yields a line before each training that is not kept."""
    numbers = range(trainings)
    for number in numbers:
        if not variant.scores_path(name, number).exists():
            yield f"{prefix}{name}, {number + 1}"
            variant.scores_of(name, number)
    scores = np.stack([variant.scores_of(name, number) for number in numbers])
    seconds = np.mean([variant.training_seconds(name, number) or 0.0 for number in numbers])
    return Trainings(scores, float(seconds), digest([variant.scores_path(name).name, trainings]))


def _points(name, at, rungs, trainings, workers, bootstrap):
    """Rows of a study, one for each point, beside its first point and its first rung."""
    rows, first, reference = [], None, rungs[0]
    for point in STUDIES[name].points:
        yield f"{name}: {point.value}"
        variant, done = at(point, workers=workers), {}
        for rung in rungs:
            done[rung] = yield from _scores(variant, rung, trainings)
        test = variant.datasets()["test"]
        figures = {rung: _figures(rung, done[rung], test, bootstrap) for rung in rungs}
        for rung in rungs:
            below = partial(difference, done[rung].scores, test=test, **bootstrap)
            # Pairs of unlike events gain nothing, and cost nothing.
            if first and np.array_equal(test.y, first[0].y):
                figures[rung]["difference"] = below(first[1][rung].scores)
            if rung != reference:
                figures[rung][f"above_{reference}"] = below(done[reference].scores)
        first = first or (test, done)
        rows.append({"value": point.value, "events": _sizes(variant), "rungs": figures})
    return rows


def _side_by_side(at, points, rungs, trainings, workers):
    """Train rungs at all points in processes of one core each; yields a line after each."""
    for point in points:
        at(point, workers=workers).datasets()
        yield f"{point.value}, events"
    # A small network leaves a second core idle. Other processes do not know classes of your own.
    tasks = [(point, name) for point in points for name in rungs if name in RUNGS]
    # The longest first, so that no core is idle in the end.
    tasks.sort(key=lambda task: (not task[0].fresh, task[1] not in NETWORKS))
    with parallel_config("loky", n_jobs=workers, inner_max_num_threads=1):
        side_by_side = Parallel(return_as="generator_unordered")
        yield from side_by_side(delayed(_train)(at, *task, trainings) for task in tasks)


def _train(at, point, name, trainings):
    """Train a rung at a point, without a word, for the cache; says what was done."""
    with redirect_stderr(io.StringIO()):
        list(_scores(at(point, workers=1, progress=False), name, trainings))
    return f"{point.value}, {name}"


def _figures(name, done, test, bootstrap):
    figures = rung_figures(done.scores, test, **bootstrap)
    title = CLASSIFIERS[name].title
    return {"title": title, "figures": figures, "seconds": done.seconds, "key": done.key}


def _sizes(variant):
    return {name: len(sample) for name, sample in variant.datasets().items()}


def _keys(rows):
    """What the trainings of a study were made of."""
    return [rung["key"] for row in rows for rung in row["rungs"].values()]
