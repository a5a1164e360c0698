"""Pairs of displaced tracks that may come from one decay, and the mass peaks of K_S and Λ."""

from __future__ import annotations

from typing import NamedTuple

import awkward as ak
import numpy as np

from hepgmm.particles import KAON, LAMBDA, PION, PROTON

__all__ = ["DECAYS", "DISPLACED", "Decay", "displaced_pairs"]

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
    """Count candidates of two-body decays in each event.

    A pair is two tracks with abs(d0) > 0.1 mm of opposite sign, as those of a neutral particle from
    the origin are, and √(Δη² + Δφ²) < 1; directions are those at the perigee.

    Parameters
    ----------
    events : awkward array of Track records

    Returns
    -------
    dict
        ``pairs``, and for each of ``DECAYS`` the pairs in its peak minus those in its sidebands;
        arrays of shape (n_events,).

    Examples
    --------
    Two pions of 1 GeV with cos Δφ = 1 - (0.49761² - 4 · 0.13957²) / 2 come from a K_S:

    >>> from hepgmm.tracks import make_events
    >>> columns = {name: [1.0, 1.0] for name in ("pt", "eta", "dz")}
    >>> columns |= {"phi": [0.0, 0.41491], "d0": [-1.0, 1.0]}
    >>> counts = displaced_pairs(make_events(columns, [2]))
    >>> {name: number.tolist() for name, number in counts.items()}
    {'pairs': [1.0], 'kaons': [1.0], 'lambdas': [0.0]}
    """
    displaced = events[abs(events.d0) > DISPLACED]
    first, second = ak.unzip(ak.combinations(displaced, 2))
    angle = (first.phi - second.phi + np.pi) % (2 * np.pi) - np.pi
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
