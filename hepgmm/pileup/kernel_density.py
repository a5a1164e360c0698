"""Pileup events of independent tracks from a kernel density."""

from __future__ import annotations

import numpy as np

from hepgmm.pileup.drawing import track_features
from hepgmm.pileup.expansion import expand
from hepgmm.pileup.independent import IndependentGenerator

__all__ = ["KernelDensity"]


class KernelDensity(IndependentGenerator):
    """Independent tracks from a Gaussian kernel density of all training tracks.

    In x = (log pT, η, asinh(d0 / 10 µm), asinh(dz / 10 µm)), with N training tracks of covariance
    Σ, the density is p(x) = Σᵢ N(x | xᵢ, h² Σ) / N. A draw is a training track plus Gaussian noise
    of covariance h² Σ, so that draws have the mean of the training tracks and the covariance
    (1 + h²) Σ. Multiplicities are those of training events and φ is uniform. pT is kept within
    1e-6 and 6500 GeV, and abs(d0) and abs(dz) below 1e5 mm.

    Its known weakness: one bandwidth for all smears whatever is narrower than h. Most tracks have
    d0 = dz = 0 exactly, and not one synthetic track has.

    Parameters
    ----------
    min_tracks
        Events with fewer tracks are dropped (and counted), and none is sampled.
    bandwidth
        h, in units of the spread of the training tracks; None takes Scott's rule for d = 4
        features, N^(-1 / (d + 4)).

    Attributes
    ----------
    points_
        float32 ``(N, 4)``: the training tracks.
    covariance_
        Σ, ``(4, 4)``.
    bandwidth_
        h.
    multiplicities_
        Tracks of every training event, in their order.
    report_
        ``events_used``, ``events_dropped`` and ``bandwidth``.

    References
    ----------
    D. W. Scott, Multivariate Density Estimation: Theory, Practice, and Visualization, Wiley (1992),
    chapter 6.

    Examples
    --------
    >>> from hepgmm.events import make_events
    >>> columns = np.random.default_rng(1).exponential(size=(5, 256)) + 0.1
    >>> events = make_events(dict(zip(("pt", "eta", "phi", "d0", "dz"), columns)), [16] * 16)
    >>> KernelDensity().fit(events).bandwidth_
    0.5
    """

    FITTED = ("multiplicities_", "points_", "covariance_", "bandwidth_", "report_")

    def __init__(self, *, min_tracks=3, bandwidth=None):
        self.min_tracks = min_tracks
        self.bandwidth = bandwidth

    def _fit_tracks(self, events, progress):
        h = self.bandwidth
        if h is not None and not 0 < h < np.inf:
            raise ValueError(f"bandwidth = {h}: give None or a finite number above 0")
        points, _ = track_features(events, min_tracks=self.min_tracks, features="asinh")
        n, d = points.shape
        self.points_ = points.astype(np.float32)
        self.covariance_ = np.cov(points.T, bias=True)
        self.bandwidth_ = float(n ** (-1 / (d + 4)) if h is None else h)
        return {"bandwidth": self.bandwidth_}

    def _draw_tracks(self, n_tracks, rng):
        # Not Cholesky: a feature that is constant, such as d0 without decays, makes Σ singular.
        values, axes = np.linalg.eigh(self.covariance_)
        roots = self.bandwidth_ * axes * np.sqrt(np.maximum(values, 0))
        points = self.points_[rng.integers(len(self.points_), size=n_tracks)]
        noise = rng.standard_normal(points.shape, dtype=np.float32)
        return expand(points + noise @ roots.T.astype(np.float32))
