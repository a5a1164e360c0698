"""Pairs of tracks: how they lie to each other in η and φ, and which may come from one decay."""

from __future__ import annotations

from typing import NamedTuple

import awkward as ak
import numpy as np
from numba import njit

from hepgmm.collide.processes import (
    KAON,
    LAMBDA,
    PION,
    PROTON,
)
from hepgmm.events import accept, check_events, to_columns, wrap

__all__ = [
    "DECAYS",
    "DISPLACED",
    "Decay",
    "correlation",
    "correlation_map",
    "displaced_pairs",
    "pair_counts",
]

_wrap = njit(wrap)


def pair_counts(events, *, shape, delta_eta, partner=None):
    """Pairs of accepted tracks of each event in bins of abs(Δη) < delta_eta and of abs(Δφ).

    The second track of a pair is of the event ``partner``, if given, instead of the event itself.
    Returns counts, shape (n_events, *shape), and the numbers of accepted tracks.
    """
    columns, offsets = to_columns(accept(events))
    eta, phi = (columns[name].astype(float) for name in ("eta", "phi"))
    partner = np.arange(len(events)) if partner is None else partner
    return _count(eta, phi, offsets, partner, *shape, delta_eta), np.diff(offsets)


@njit(cache=True)
def _count(eta, phi, offsets, partner, n_eta, n_phi, largest):
    counts = np.zeros((len(partner), n_eta, n_phi))
    for event, other in enumerate(partner):
        for i in range(offsets[event], offsets[event + 1]):
            first = i + 1 if other == event else offsets[other]
            for j in range(first, offsets[other + 1]):
                distance = abs(eta[i] - eta[j])
                if distance < largest:
                    angle = abs(_wrap(phi[i] - phi[j]))
                    row = min(int(distance / largest * n_eta), n_eta - 1)
                    counts[event, row, min(int(angle / np.pi * n_phi), n_phi - 1)] += 1
    return counts


def correlation(events, *, bins: int = 8, delta_eta: float = 1.0):
    """Distribution of abs(Δφ) of pairs of tracks that are close in η, with the mean 1.

    All pairs of accepted tracks (pT > 0.5 GeV, abs(η) < 4.5) of the same event count. Independent
    tracks give 1 everywhere; jets and decays a peak at 0, the balance of momentum a rise at π.

    Parameters
    ----------
    events : awkward array of Track records
    bins
        Bins from 0 to π.
    delta_eta
        Largest abs(Δη) of a pair.

    Returns
    -------
    edges : array, shape (bins + 1,)
        In rad.
    value, error : array, shape (bins,)
        Events, not pairs, are counted as independent.

    Raises
    ------
    ValueError
        For broken events, bad bins, or if there is no pair.

    Examples
    --------
    >>> from hepgmm.events import FEATURES, make_events
    >>> columns = {name: [1.0, 1.0] for name in FEATURES} | {"phi": [0.1, 0.3]}
    >>> correlation(make_events(columns, [2]), bins=2)[1].tolist()
    [2.0, 0.0]
    """
    _check(events, (bins,), delta_eta)
    counts, _ = pair_counts(events, shape=(1, bins), delta_eta=delta_eta)
    value, error = _shares(counts[:, 0])
    return np.linspace(0, np.pi, bins + 1), bins * value, bins * error


def correlation_map(events, *, bins=(20, 16), delta_eta: float = 4.0, mixed: int = 5, seed):
    """Ratio S / B of pairs of the same event to pairs of two events, in abs(Δη) and abs(Δφ).

    S and B are distributions of all pairs of accepted tracks, each with the sum 1, so that
    independent tracks give 1 and the shape of the η distribution drops out. For B each event meets
    events with (almost) as many accepted tracks, and counts for as many pairs as it has in S.

    Parameters
    ----------
    events : awkward array of Track records
    bins : tuple of int
        Bins in abs(Δη) and in abs(Δφ).
    delta_eta
        Largest abs(Δη).
    mixed
        How many events each event meets.
    seed
        Anything that ``numpy.random.default_rng`` takes; events of equal size meet at random.

    Returns
    -------
    eta_edges, phi_edges : array
    value, error : array, shape ``bins``
        NaN where B has no pair. The error counts events, and in B pairs of events, as independent.

    Raises
    ------
    ValueError
        For broken events, not more than ``mixed``, bad bins, or if there is no pair.

    References
    ----------
    CMS, JHEP 09 (2010) 091, arXiv:1009.4122, section 4.

    Examples
    --------
    >>> from hepgmm.events import FEATURES, make_events
    >>> rng = np.random.default_rng(1)
    >>> columns = {name: rng.uniform(1, 3, 9000) for name in FEATURES}
    >>> events = make_events(columns, [3] * 3000)
    >>> options = {"bins": (2, 1), "delta_eta": 2.0, "seed": 1}
    >>> *_, value, error = correlation_map(events, **options)
    >>> bool((np.abs(value - 1) < 4 * error).all())
    True
    """
    _check(events, bins, delta_eta, min_events=mixed + 1)
    same, sizes = pair_counts(events, shape=bins, delta_eta=delta_eta)
    order = np.lexsort((np.random.default_rng(seed).random(len(sizes)), sizes))
    across = np.zeros_like(same)
    for step in range(1, mixed + 1):
        partner = np.empty_like(order)
        partner[order] = np.roll(order, step)
        counts, _ = pair_counts(events, shape=bins, delta_eta=delta_eta, partner=partner)
        weight = np.maximum(sizes - 1, 0) / np.maximum(sizes[partner], 1)
        across += weight[:, None, None] * counts
    (signal, signal_error), (mixture, mixture_error) = _shares(same), _shares(across)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = signal / mixture
        error = np.hypot(signal_error, value * mixture_error) / mixture
    edges = (np.linspace(0, end, n + 1) for end, n in zip((delta_eta, np.pi), bins, strict=True))
    return *edges, value, error


def _shares(counts):
    """Each bin's share of all pairs, with its error to first order over events."""
    totals = counts.sum(axis=tuple(range(1, counts.ndim)), keepdims=True)
    if not totals.any():
        raise ValueError("events: no pair of accepted tracks within delta_eta")
    shares = counts.sum(axis=0) / totals.sum()
    return shares, np.sqrt(((counts - shares * totals) ** 2).sum(axis=0)) / totals.sum()


def _check(events, bins, delta_eta, min_events=1):
    check_events(events, min_events=min_events)
    if min(bins) < 1 or not delta_eta > 0:
        raise ValueError(
            f"bins = {bins}, delta_eta = {delta_eta}: give at least 1 bin, more than 0"
        )


#: A track is displaced if its abs(d0) is above this, in mm.
DISPLACED = 0.1
#: Largest distance √(Δη² + Δφ²) of the tracks of a pair.
RADIUS = 1.0


class Decay(NamedTuple):
    """A neutral particle that decays to two tracks, and where its peak is counted; in GeV."""

    mass: float
    #: Mass given to the track with the larger momentum; the other is a pion.
    heavy: float
    #: Peak: abs(m - mass) < window.
    window: float
    #: Sidebands: gap ≤ abs(m - mass) < gap + window, together as wide as the peak.
    gap: float


#: The solenoid turns the directions at the perigee away from those at the decay, which smears the
#: peak of K_S by some 30 MeV upwards; threshold leaves the Λ no room for a wider gap.
DECAYS = {
    "kaons": Decay(KAON, PION, 0.030, 0.060),
    "lambdas": Decay(LAMBDA, PROTON, 0.015, 0.015),
}


def displaced_pairs(events):
    """Candidates of two-body decays in each event: pairs, and in each peak of ``DECAYS``.

    A pair is two tracks with abs(d0) > 0.1 mm of opposite sign, as those of a neutral particle from
    the origin are, and √(Δη² + Δφ²) < 1; directions are those at the perigee. Pairs in the
    sidebands are subtracted from those in the peak.
    """
    displaced = events[abs(events.d0) > DISPLACED]
    first, second = ak.unzip(ak.combinations(displaced, 2))
    angle = wrap(first.phi - second.phi)
    kept = (first.d0 * second.d0 < 0) & ((first.eta - second.eta) ** 2 + angle**2 < RADIUS**2)
    event = np.repeat(np.arange(len(events)), ak.to_numpy(ak.sum(kept, axis=1)))
    one, two = (
        {name: _column(tracks[name][kept]) for name in ("pt", "eta", "phi")}
        for tracks in (first, second)
    )
    harder = one["pt"] * np.cosh(one["eta"]) > two["pt"] * np.cosh(two["eta"])

    def per_event(weights):
        return np.bincount(event, weights=weights, minlength=len(events))

    counts = {"pairs": per_event(np.ones(len(event)))}
    for name, decay in DECAYS.items():
        masses = (np.where(side, decay.heavy, PION) for side in (harder, ~harder))
        distance = np.abs(_mass(one, two, *masses) - decay.mass)
        beside = (distance >= decay.gap) & (distance < decay.gap + decay.window)
        counts[name] = per_event((distance < decay.window) * 1.0 - beside)
    return counts


def _column(values):
    return ak.to_numpy(ak.flatten(values)).astype(float)


def _mass(one, two, mass, other):
    """m² = m₁² + m₂² + 2 (mT₁ mT₂ cosh Δy - pT₁ pT₂ cos Δφ), which large η do not spoil."""
    transverse, rapidity = [], []
    for track, m in ((one, mass), (two, other)):
        transverse.append(np.hypot(track["pt"], m))
        rapidity.append(np.arcsinh(track["pt"] * np.sinh(track["eta"]) / transverse[-1]))
    product = transverse[0] * transverse[1] * np.cosh(rapidity[0] - rapidity[1])
    product -= one["pt"] * two["pt"] * np.cos(one["phi"] - two["phi"])
    return np.sqrt(mass**2 + other**2 + 2 * product)
