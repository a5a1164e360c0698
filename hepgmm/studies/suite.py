"""Measure the studies: one training of each rung at each setting, kept and resumed."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed, parallel_config

from hepgmm.analysis.analysis import Analysis
from hepgmm.analysis.figures import environment
from hepgmm.classify.ladder import (
    CLASSIFIERS,
    NETWORKS,
    RUNGS,
    classifier_names,
)
from hepgmm.classify.metrics import difference, rung_figures
from hepgmm.cores import usable_cores
from hepgmm.io.atomic import read_figures, write_json
from hepgmm.io.cache import code_fingerprint
from hepgmm.ladder.settings import Setting, merged
from hepgmm.studies.catalogue import STUDIES

__all__ = ["EVENTS", "NAMES", "measure_studies"]

#: Keys of the preset that the studies change: fewer events, of which more are for the test.
EVENTS = {
    "data": {"n_qcd": 8000, "n_llp_per_mass": 4000, "llp_masses": [100.0, 500.0]},
    "training": {"test_fraction": 0.4},
    "overlay": {"pileup": "shared"},
}
#: Rungs that are trained at every setting: the strongest without and with a network, of those that
#: train within a minute.
NAMES = ("trees", "deepsets")


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
    """Train classifiers at each setting of the studies and measure them on test events.

    A training is kept in the cache. All settings share the seed of the preset, so that hard events
    and pileup are the same where a study doesn't change them.

    Parameters
    ----------
    path
        JSON file of the figures, written after each study; studies of the same preset, events and
        code that it holds already are kept.
    preset
        What the studies start from.
    studies
        Names, from ``hepgmm.studies.STUDIES``.
    names
        Rungs of the ladder; a study may have more.
    events
        Keys of the preset to change in all studies, by group.
    training
        Arguments of :func:`hepgmm.classify.train` for all networks.
    trainings
        Of each rung at each setting; a study may ask for more.
    n_bootstrap
        Bootstrap samples of the test events.
    workers
        Processes that generate events, and that train classifiers side by side, each on one core;
        as many as there are cores when not given. With one, or with a graphics processor, which
        they would share, classifiers are trained one after another in this process.
    progress
        Called with a line before each setting and each training, or after it where they are side
        by side.

    Returns
    -------
    dict
        ``studies`` → name → ``seconds`` that it took when it was trained, and ``settings``, a list
        with ``value``, number of ``events`` and ``rungs`` → name → ``figures`` as
        :func:`hepgmm.ladder.rung_figures` gives them and, where there are as many test events
        of each kind as in the first setting, ``difference``, the AUC minus the first one's, paired
        event by event, which are the same hard events where the study leaves them alone; rungs
        after the first have ``above_<first>``, the AUC minus that of the first rung in the same
        setting, paired; with the parameters, the versions and the machine.

    Raises
    ------
    ValueError
        For an unknown study or rung, or a file of something else.
    """
    path = Path(path)
    for what, given, known in (
        ("studies", studies, tuple(STUDIES)),
        ("names", names, classifier_names()),
    ):
        unknown = [each for each in given if each not in known]
        if unknown:
            raise ValueError(f"{what}: no {', '.join(unknown)}; there are {', '.join(known)}")
    base = Analysis(preset, **events)
    about = {"parameters": base.parameters, "training": training, **environment()}
    workers = workers or usable_cores()
    code = code_fingerprint("studies.suite")
    bootstrap = {"n_bootstrap": n_bootstrap, "seed": base.parameters["seed"]}
    figures = read_figures(path, about, "studies")
    earlier = figures["studies"]
    figures["studies"] = {k: v for k, v in earlier.items() if v["code"] == code}
    for study in studies:
        rows, first, start = [], None, time.perf_counter()
        rungs = list(dict.fromkeys((*names, *STUDIES[study].more)))
        options = {"trainings": max(trainings, STUDIES[study].trainings), "training": training}
        if workers > 1 and about["machine"]["accelerator"] == "none":
            for line in _side_by_side(
                preset, events, STUDIES[study].points, rungs, options, workers
            ):
                progress(f"{study}: {line}")
        for point in STUDIES[study].points:
            progress(f"{study}: {point.value}")
            setting = _setting(preset, events, point, workers=workers)
            done = {name: setting.train(name, **options, progress=progress) for name in rungs}
            test = setting.samples()["test"]
            first = first or (test, done)
            sizes = {name: len(part) for name, part in setting.samples().items()}
            compared = _compared(done, test, *first, bootstrap)
            rows.append({"value": point.value, "events": sizes, "rungs": compared})
        seconds = time.perf_counter() - start
        if study in earlier and _keys(earlier[study]["settings"]) == _keys(rows):
            seconds = max(seconds, earlier[study]["seconds"])
        figures["studies"][study] = {"code": code, "seconds": seconds, "settings": rows}
        write_json(path, figures)
    return figures


def _setting(preset, events, point, **options):
    return Setting(
        preset,
        merged(events, point.groups),
        test=point.test,
        change=point.change,
        part=point.events,
        fresh=point.fresh,
        **options,
    )


def _side_by_side(preset, events, points, rungs, options, workers):
    """Train rungs at all points in processes of one core each; a line after each.

    A small network leaves much of a second core idle.
    """
    for point in points:
        _setting(preset, events, point, workers=workers).samples()
        yield f"{point.value}, events"
    # Other processes do not know classes of one's own.
    tasks = [(point, name) for point in points for name in rungs if name in RUNGS]
    # The longest first, so that no core is idle in the end.
    tasks.sort(key=lambda task: (not task[0].fresh, task[1] not in NETWORKS))
    with parallel_config("loky", n_jobs=workers, inner_max_num_threads=1):
        run = Parallel(return_as="generator_unordered")
        yield from run(delayed(_train)(preset, events, *task, options) for task in tasks)


def _train(preset, events, point, name, options):
    """Train a rung at a point, without a word, for the cache; says what was done."""
    with redirect_stderr(io.StringIO()):
        setting = _setting(preset, events, point, workers=1, progress=False)
        setting.train(name, **options, progress=lambda line: None)
    return f"{point.value}, {name}"


def _compared(done, test, first_test, first_done, bootstrap):
    """Figures of the rungs of a setting, beside the first setting and the first rung."""
    rungs, (reference, *_) = {}, done
    for name, trainings in done.items():
        scores = trainings.scores
        rungs[name] = {
            "title": CLASSIFIERS[name].title,
            "figures": rung_figures(scores, test, **bootstrap),
            "seconds": trainings.seconds,
            "key": trainings.key,
        }
        # Pairs of unlike events gain nothing, and cost nothing.
        if done is not first_done and np.array_equal(test.y, first_test.y):
            others = first_done[name].scores
            rungs[name]["difference"] = difference(scores, others, test, **bootstrap)
        if name != reference:
            others = done[reference].scores
            rungs[name][f"above_{reference}"] = difference(scores, others, test, **bootstrap)
    return rungs


def _keys(settings):
    """What the trainings of a study were made of."""
    return [rung["key"] for row in settings for rung in row["rungs"].values()]
