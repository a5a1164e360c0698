"""Compare synthetic pileup events with real ones: AUCs, distances and physics."""

from __future__ import annotations

import awkward as ak
import numpy as np

from hepgmm.events import check_events
from hepgmm.statistics import bootstrap_error
from hepgmm.validate.distances import frechet_distance, kernel_distance, weighted_wasserstein
from hepgmm.validate.measured import (
    EVENT_FEATURES,
    TRACK_FEATURES,
    Measured,
    Pair,
    event_features,
    numbered_sources,
)
from hepgmm.validate.memory import azimuth_features, nearest_ratio
from hepgmm.validate.physics import event_sums, physics_ratios
from hepgmm.validate.two_sample import bundle_auc, split, weighted_two_sample_auc

__all__ = ["compare"]

_MIN_EVENTS = 100
# fewest events with tracks, and fewest different sources
_MIN_FILLED = 50


def compare(
    real,
    synthetic,
    *,
    training=None,
    sources=None,
    seed,
    n_bootstrap=50,
    bundle_size=60,
    transformer=False,
):
    """How far synthetic events are from real ones.

    Parameters
    ----------
    real, synthetic : awkward array of Track records
        At least 100 events each; the real ones should not have been used to fit the generator.
    training : awkward array of Track records, optional
        The events that the generator was fitted to.
    sources : array of int, shape (n_synthetic,) or (n_synthetic, 2), optional
        The training event that each synthetic event was made from, 50 different ones at least.
        Events of one source are kept on one side of every split, so that to know the source again
        does not count as telling the samples apart. Without, each event is its own source. If a
        source is made of several training events, a second column says which of them an event
        follows: those of one number fluctuate together in the bootstrap.
    seed : int
    n_bootstrap : int
    bundle_size : int
        Events in a bundle.
    transformer : bool
        Whether to train the transformer, which takes a minute or two.

    Returns
    -------
    dict
        Name to ``{"value", "error", "floor"}``.

        AUCs, 0.5 if nothing tells the samples apart, of boosted trees cross-validated in five
        folds: ``auc_events`` on :data:`EVENT_FEATURES`; ``auc_accepted`` on those of the tracks
        with pT > 0.5 GeV and abs(η) < 4.5; ``auc_smeared`` on those of the same tracks as a
        detector measures them, with Gaussian errors of 30 µm on d0 and 60 µm on dz;
        ``auc_events_unsplit``, only with ``sources``, as ``auc_events`` but in folds that ignore
        them; ``auc_tracks`` on :data:`TRACK_FEATURES`;
        ``auc_bundles`` on :data:`EVENT_FEATURES` of ``bundle_size`` superimposed events, only from
        20 ``bundle_size`` real events and 10 ``bundle_size`` synthetic ones (1200 and 600 for 60).
        ``auc_transformer``, only if asked for, is of a network that sees the 60 hardest accepted
        tracks.

        Distances of :data:`EVENT_FEATURES`: ``fpd`` and ``kpd``, by
        :func:`~hepgmm.validate.frechet_distance` and :func:`~hepgmm.validate.kernel_distance`; 0
        for equal distributions and independent events, whatever the sizes of the samples. Only
        with ``training``: ``nearest`` and ``nearest_azimuth``,
        :func:`~hepgmm.validate.nearest_ratio` of :data:`EVENT_FEATURES`, of whose azimuths only the
        balance is one, and of :func:`~hepgmm.validate.azimuth_features`; 1 if nothing was learnt
        by heart.

        ``physics_*``: each figure of ``hepgmm.validate.physics``, synthetic over real, with both
        under the keys ``real`` and ``synthetic``; left out if it is 0 for real events.

        ``w1_track_*`` and ``w1_event_*``: Wasserstein distance of each feature in units of its real
        standard deviation; ``w1_tracks`` and ``w1_events`` their means.

        Errors are from the bootstrap over real events and sources of synthetic ones, for ``kpd``
        from subsamples and for ``auc_bundles`` from the spread of the folds. No classifier is
        fitted again, so that near 0.5, where trees learn fluctuations, the other cross-validated
        AUCs vary by some 1.4 times their errors. Without sources an error holds the fluctuation of
        the synthetic events only, not that of the events that the generator learnt from.

        The floor is the same figure for one half of the real events against the other; Wasserstein
        distances, which do not vanish for n real events and m sources, are scaled to these by
        √(1/n + 1/m).

    Raises
    ------
    ValueError
        If there are too few events or sources, or an event or a source is broken.

    Examples
    --------
    >>> from hepgmm.events import FEATURES, make_events
    >>> def toy(seed, shift):
    ...     values = np.random.default_rng(seed).random(400)
    ...     columns = {name: values for name in FEATURES}
    ...     columns["eta"] = values + shift
    ...     return make_events(columns, [4] * 100)
    >>> figures = compare(toy(1, 0.0), toy(2, 1.0), seed=3, n_bootstrap=5)
    >>> figures["auc_events"]["value"] > 0.95
    True
    """
    for name, events in {"real": real, "synthetic": synthetic}.items():
        check_events(events, name=name, min_events=_MIN_EVENTS)
        filled = int(ak.sum(ak.num(events) > 0))
        if filled < _MIN_FILLED:
            raise ValueError(f"{name}: {filled} events with tracks, give at least {_MIN_FILLED}")
    if training is not None:
        check_events(training, name="training", min_events=1)
    if bundle_size < 1:
        raise ValueError(f"bundle_size = {bundle_size}: give at least 1")
    source = template = np.arange(len(synthetic))
    if sources is not None:
        columns = numbered_sources(sources, len(synthetic))
        source, template = columns[0], columns[-1]
        distinct = source.max() + 1
        if distinct < _MIN_FILLED:
            raise ValueError(
                f"sources: {distinct} different ones, but at least {_MIN_FILLED} are needed"
            )
    rng = np.random.default_rng(seed)
    halves = np.array_split(rng.permutation(len(real)), 2)
    samples = (Measured.of(events, seed=rng) for events in (real, synthetic))
    pair = Pair(*samples, source, template)
    own = np.arange(len(halves[1]))
    floor = Pair(*map(pair.real.part, halves), own, own)
    bootstrap = {"seed": seed, "n_bootstrap": n_bootstrap}
    ratios = physics_ratios(*map(event_sums, pair[:2]), halves, sources=template, **bootstrap)
    return (
        _classifiers(pair, floor, sources is not None, transformer, **bootstrap)
        | _bundles(pair, floor, bundle_size, seed)
        | _distances(pair, floor, training, seed)
        | {f"physics_{name}": ratio for name, ratio in ratios.items()}
        | _wassersteins(pair, floor, **bootstrap)
    )


def _classifiers(pair, floor, unsplit, transformer, *, seed, n_bootstrap):
    """The rows of AUCs that are functions of event weights."""
    aucs, floors = (_aucs(both, transformer, seed) for both in (pair, floor))
    if unsplit:
        aucs["auc_events_unsplit"] = weighted_two_sample_auc(
            pair.scaled("summaries"), pair.is_synthetic, np.arange(len(pair.unit)), seed=seed
        )
        floors["auc_events_unsplit"] = floors["auc_events"]
    return _rows(
        aucs,
        lambda weights: np.array([area(weights) for area in aucs.values()]),
        [area(np.ones(len(floor.unit))) for area in floors.values()],
        pair.unit,
        seed=seed,
        n_bootstrap=n_bootstrap,
    )


def _aucs(pair, transformer, seed):
    """Each AUC as a function of event weights."""
    is_synthetic, unit = pair.is_synthetic, pair.kept_together
    every = np.arange(len(unit))
    rows = {"events": ("summaries", every), "accepted": ("accepted", every)}
    rows |= {"smeared": ("smeared", every), "tracks": ("tracks", pair.event)}
    aucs = {
        f"auc_{name}": weighted_two_sample_auc(
            pair.scaled(kind), is_synthetic[event], event, source=unit, seed=seed
        )
        for name, (kind, event) in rows.items()
    }
    if transformer:
        from hepgmm.validate.two_sample_network import weighted_transformer_auc

        aucs["auc_transformer"] = weighted_transformer_auc(
            pair.real.events,
            pair.synthetic.events,
            split(is_synthetic, unit, seed=seed),
            seed=seed,
        )
    return aucs


def _bundles(pair, floor, size, seed):
    """The row of the AUC of bundles, if there are enough events."""
    figures = [
        bundle_auc(
            both.real.events,
            both.synthetic.events,
            split(both.is_synthetic, both.kept_together, seed=seed),
            size=size,
            seed=seed,
        )
        for both in (pair, floor)
    ]
    if None in figures:
        return {}
    return {"auc_bundles": figures[0] | {"floor": figures[1]["value"]}}


def _distances(pair, floor, training, seed):
    """The rows of distances of features of events."""
    template, own = ({"sources": both.template} for both in (pair, floor))
    samples, halves = ([sample.summaries for sample in both[:2]] for both in (pair, floor))
    rows = {
        "fpd": [frechet_distance(*samples, **template, seed=seed)],
        "kpd": [kernel_distance(*samples, seed=seed)],
    }
    rows["fpd"].append(frechet_distance(*halves, **own, seed=seed))
    rows["kpd"].append(kernel_distance(*halves, seed=seed))
    if training is not None:
        angles, angle_halves = (
            [azimuth_features(sample.events) for sample in both[:2]] for both in (pair, floor)
        )
        for name, known, both, of_halves in (
            ("nearest", event_features(training)[0], samples, halves),
            ("nearest_azimuth", azimuth_features(training), angles, angle_halves),
        ):
            rows[name] = [
                nearest_ratio(known, *both, **template, seed=seed),
                nearest_ratio(known, *of_halves, **own, seed=seed),
            ]
    return {name: figure | {"floor": other["value"]} for name, (figure, other) in rows.items()}


def _wassersteins(pair, floor, *, seed, n_bootstrap):
    """The rows of Wasserstein distances, with the floors that belong to samples of these sizes."""
    names = ["w1_events", "w1_tracks"]
    names += [f"w1_event_{name}" for name in EVENT_FEATURES]
    names += [f"w1_track_{name}" for name in TRACK_FEATURES]
    spread, half_spread = (
        np.sqrt(1 / len(both.real.events) + 1 / (both.template.max() + 1)) for both in (pair, floor)
    )
    floors = _wasserstein(floor)(np.ones(len(floor.unit))) * spread / half_spread
    return _rows(names, _wasserstein(pair), floors, pair.unit, seed=seed, n_bootstrap=n_bootstrap)


def _wasserstein(pair):
    """All Wasserstein distances as one function of event weights."""
    event, is_synthetic = pair.event, pair.is_synthetic
    events = weighted_wasserstein(pair.scaled("summaries"), is_synthetic)
    tracks = weighted_wasserstein(pair.scaled("tracks"), is_synthetic[event])

    def statistic(weights):
        of_events, of_tracks = events(weights), tracks(weights[event])
        return np.array([of_events.mean(), of_tracks.mean(), *of_events, *of_tracks])

    return statistic


def _rows(names, statistic, floors, unit, *, seed, n_bootstrap):
    """Rows of a function of event weights, with errors from the bootstrap over units."""
    n_units = unit.max() + 1
    values = statistic(np.ones(len(unit)))
    errors = bootstrap_error(
        lambda weights: statistic(weights[unit]), n_units, n_bootstrap=n_bootstrap, seed=seed
    )
    return {
        name: {"value": float(value), "error": float(error), "floor": float(floor)}
        for name, value, error, floor in zip(names, values, errors, floors, strict=True)
    }
