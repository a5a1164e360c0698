"""Speckles: synthetic components so narrow that their tracks stand out as dots and lines.

A Gaussian for Cholesky entries puts many of them near zero. A component whose covariance has a
tiny eigenvalue squeezes its tracks onto a line, or, with two of them, into a point.
"""

from __future__ import annotations

import awkward as ak
import numpy as np

from hepgmm.pileup.points import MIXTURE_FEATURES
from hepgmm.statistics import ratio_of_sums

__all__ = ["diagnose", "smallest_spread", "speckled_events", "spreads"]

#: Where a speckle is looked for unless told otherwise. In d0 and dz a spread of zero is right:
#: most tracks have exactly d0 = dz = 0.
PLANE = ("log_pt", "eta")


def smallest_spread(covariances):
    """Standard deviation along the narrowest axis of covariances ``(M, d, d)``, ``(M,)``."""
    # Rounding can push the eigenvalue of a singular matrix below zero.
    return np.sqrt(np.maximum(np.linalg.eigvalsh(covariances)[..., 0], 0.0))


def spreads(model, *, n_events, seed, features=PLANE) -> dict:
    """Smallest spread in ``features`` of every component, ``"fitted"`` and ``"synthetic"``."""
    return {
        "fitted": _spreads(model.fitted_components(), features),
        "synthetic": _spreads(model.sample_components(n_events, seed=seed), features),
    }


def diagnose(model, *, n_events, seed, threshold=0.02, features=PLANE) -> dict:
    """How much of the training sample and of synthetic events is speckle.

    A component is a speckle if its smallest spread in ``features`` is below ``threshold``. Of
    its event's tracks it makes, in expectation, the fraction given by its weight. Errors count
    events as independent, not components or tracks.

    Parameters
    ----------
    model : HierarchicalGMM
        A fitted one.
    n_events : int
        Synthetic events.
    seed
        As in ``model.sample``.
    threshold : float
        In the units of the features (log pT and eta have none).
    features : sequence of str
        The marginal to look at, names out of ``("log_pt", "eta", "d0", "dz")``.

    Returns
    -------
    dict
        ``threshold``, ``features``, and for ``"fitted"`` and ``"synthetic"`` each ``events``,
        ``components``, ``component_fraction`` and ``track_fraction`` (of components and of
        tracks in speckles, with errors) and the ``quantiles`` of the smallest spread (5, 25,
        50, 75 and 95%). Plain numbers throughout.

    Raises
    ------
    ValueError
        For an unknown feature, or a model that isn't fitted.
    """
    fitted, synthetic = model.fitted_components(), model.sample_components(n_events, seed=seed)
    return {
        "threshold": threshold,
        "features": list(features),
        "fitted": _fractions(fitted, model.multiplicities_, threshold, features),
        # Multiplicity and components of a synthetic event are independent: every event counts 1.
        "synthetic": _fractions(synthetic, np.ones(n_events), threshold, features),
    }


def speckled_events(model, *, n_events, seed, threshold=0.02, features=PLANE):
    """Events of ``model.sample(n_events, seed=seed)``, and whether a track is of a speckle.

    The latter is an awkward array ``n_events * var * bool``; arguments are those of ``diagnose``.
    """
    events, components, index = model.sample(n_events, seed=seed, return_components=True)
    narrow = _spreads(components, features) < threshold
    return events, ak.unflatten(narrow[index], ak.num(events))


def _spreads(components, features):
    unknown = set(features) - set(MIXTURE_FEATURES)
    if unknown or not len(features):
        raise ValueError(
            f"features: {', '.join(sorted(unknown)) or 'none given'}; "
            f"allowed: {', '.join(MIXTURE_FEATURES)}"
        )
    columns = np.array([MIXTURE_FEATURES.index(name) for name in features])
    return smallest_spread(components.covariances[:, columns[:, None], columns])


def _fractions(components, multiplicities, threshold, features):
    narrowest = _spreads(components, features)
    narrow = narrowest < threshold
    first, n_components = components.offsets[:-1], np.diff(components.offsets)
    of_components = np.add.reduceat(narrow.astype(float), first)
    of_tracks = multiplicities * np.add.reduceat(components.weights * narrow, first)
    return {
        "events": len(first),
        "components": len(narrow),
        "component_fraction": ratio_of_sums(of_components, n_components),
        "track_fraction": ratio_of_sums(of_tracks, multiplicities),
        "quantiles": np.quantile(narrowest, [0.05, 0.25, 0.5, 0.75, 0.95]).tolist(),
    }
