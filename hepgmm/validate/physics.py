"""Physics of pileup events in one number each: recoil, correlations, leading pT, decays."""

from __future__ import annotations

import numpy as np

from hepgmm.events import check_events
from hepgmm.statistics import bootstrap_error
from hepgmm.validate.correlations import DECAYS, DISPLACED, displaced_pairs, pair_counts
from hepgmm.validate.measured import Measured, numbered_sources

__all__ = ["FIGURES", "event_sums", "physics", "physics_ratios"]

FIGURES = (
    "recoil",
    "near_side",
    "away_side",
    "forward_backward",
    "leading_pt",
    "multiplicity",
    "multiplicity_spread",
    "sum_pt",
    "displaced",
    "displaced_pairs",
    *DECAYS,
)
"""Names of the figures of ``physics``."""

_BINS = 8
# the two bins between the near and the away side
_PEDESTAL = slice(3, 5)


def physics(events, *, sources=None, seed, n_bootstrap: int = 50) -> dict:
    """Figures of what a generator of pileup has to get right beyond its tracks.

    Parameters
    ----------
    events : awkward array of Track records
    sources : array of int, shape (n_events,) or (n_events, k), optional
        Events with the same number, in the last column, fluctuate together in the bootstrap.
    seed
        Anything that ``numpy.random.default_rng`` takes.
    n_bootstrap
        Bootstrap samples of the events for the errors.

    Returns
    -------
    dict
        Name to ``{"value", "error"}``; 0 where nothing defines a figure. Accepted tracks have
        pT > 0.5 GeV and abs(η) < 4.5.

        - ``recoil``: mean of abs(Σ pT vector)² / Σ pT², 1 for independent tracks;
        - ``near_side``, ``away_side``: ``hepgmm.validate.correlation`` in the first and the last
          of 8 bins, minus the mean of its fourth and fifth;
        - ``forward_backward``: correlation of the numbers of tracks with pT > 0.5 GeV and
          0.5 < η < 4.5, and -4.5 < η < -0.5;
        - ``leading_pt``: mean largest pT of the accepted tracks of an event, in GeV;
        - ``multiplicity``, ``multiplicity_spread``: mean and standard deviation of the number of
          tracks;
        - ``sum_pt``: mean Σ pT, in GeV;
        - ``displaced``: fraction of tracks with abs(d0) > 0.1 mm;
        - ``displaced_pairs``: pairs of such tracks an event with opposite signs of d0 and
          √(Δη² + Δφ²) < 1;
        - ``kaons``, ``lambdas``: the part of these pairs in the mass peak of K_S → π π
          (497.6 ± 30 MeV) and Λ → p π (1115.7 ± 15 MeV; the proton is the track with the larger
          momentum) above the sidebands (60 to 90 MeV, and 15 to 30 MeV, from the mass).

    Raises
    ------
    ValueError
        For fewer than 2 events, or broken ones.

    Examples
    --------
    >>> from hepgmm.events import FEATURES, make_events
    >>> columns = {name: [1.0, 1.0, 2.0] for name in FEATURES}
    >>> columns["phi"] = [0.0, np.pi, 0.0]
    >>> figures = physics(make_events(columns, [2, 1]), seed=1)
    >>> round(figures["recoil"]["value"], 3), figures["leading_pt"]["value"]
    (0.5, 1.5)
    """
    check_events(events, min_events=2)
    unit = np.arange(len(events))
    if sources is not None:
        unit = numbered_sources(sources, len(events))[-1]
    sums = event_sums(Measured.of(events, seed=seed))
    return _with_errors(sums, unit, seed=seed, n_bootstrap=n_bootstrap)


def physics_ratios(real, synthetic, halves, *, sources, seed, n_bootstrap) -> dict:
    """Ratio of each figure of synthetic events to that of real ones, both as ``event_sums``.

    With the error to first order; the floor is the ratio of two halves of the real events. A figure
    that is 0 for the real events or the first half is left out.
    """
    own = np.arange(len(real["events"]))
    below = _with_errors(real, own, seed=seed, n_bootstrap=n_bootstrap)
    above = _with_errors(synthetic, sources, seed=seed, n_bootstrap=n_bootstrap)
    one, two = (
        _figures({name: x[half].sum(axis=0) for name, x in real.items()}) for half in halves
    )
    ratios = {}
    for name, start, end in zip(FIGURES, one, two, strict=True):
        figure, other = below[name], above[name]
        if figure["value"] and start:
            value = other["value"] / figure["value"]
            error = np.hypot(other["error"], value * figure["error"]) / abs(figure["value"])
            ratios[name] = {"value": value, "error": float(error), "floor": float(end / start)}
            ratios[name] |= {"real": figure, "synthetic": other}
    return ratios


def event_sums(sample) -> dict:
    """What each event adds to the sums that the figures are made of, shape (n_events, ...)."""
    events, summaries = sample.events, sample.named("summaries")
    tracks = summaries["n_tracks"]
    pt, eta, _, d0, _ = sample.points.T
    forward, backward = (
        sample.per_event((pt > 0.5) & (side * eta > 0.5) & (side * eta < 4.5)) for side in (1, -1)
    )
    accepted = sample.named("accepted")
    some = accepted["n_tracks"] > 0
    angles, _ = pair_counts(events, shape=(1, _BINS), delta_eta=1.0)
    return {
        "events": np.ones(len(events)),
        "filled": tracks > 0,
        "recoil": summaries["recoil"],
        "angles": angles[:, 0],
        "forward": forward,
        "backward": backward,
        "forward_squared": forward**2,
        "backward_squared": backward**2,
        "both": forward * backward,
        "some_accepted": some,
        "leading_pt": np.where(some, np.exp(accepted["max_log_pt"]), 0.0),
        "tracks": tracks,
        "tracks_squared": tracks**2,
        "sum_pt": np.expm1(summaries["log_sum_pt"]),
        "displaced": sample.per_event(np.abs(d0) > DISPLACED),
        **displaced_pairs(events),
    }


def _with_errors(sums, unit, *, seed, n_bootstrap):
    """Figures with errors from the bootstrap over units, the unit of each event given."""

    def statistic(weights):
        return _figures({name: weights[unit] @ column for name, column in sums.items()})

    n_units = unit.max() + 1
    values = statistic(np.ones(n_units))
    errors = bootstrap_error(statistic, n_units, n_bootstrap=n_bootstrap, seed=seed)
    return {
        name: {"value": float(value), "error": float(error)}
        for name, value, error in zip(FIGURES, values, errors, strict=True)
    }


def _figures(total):
    """Figures, in the order of their names, from sums over events."""
    n = total["events"]
    angles = _BINS * _ratio(total["angles"], total["angles"].sum())
    pedestal = angles[_PEDESTAL].mean()
    forward, backward = (
        total[f"{side}_squared"] - total[side] ** 2 / n for side in ("forward", "backward")
    )
    together = total["both"] - total["forward"] * total["backward"] / n
    variance = total["tracks_squared"] / n - (total["tracks"] / n) ** 2
    return np.array(
        [
            _ratio(total["recoil"], total["filled"]),
            angles[0] - pedestal,
            angles[-1] - pedestal,
            _ratio(together, np.sqrt(max(forward * backward, 0.0))),
            _ratio(total["leading_pt"], total["some_accepted"]),
            total["tracks"] / n,
            np.sqrt(max(variance, 0.0)),
            total["sum_pt"] / n,
            _ratio(total["displaced"], total["tracks"]),
            total["pairs"] / n,
            *(_ratio(total[name], total["pairs"]) for name in DECAYS),
        ]
    )


def _ratio(above, below):
    return above / below if below else 0.0 * above
