"""Pileup events of independent tracks from one Gaussian mixture."""

from __future__ import annotations

from numbers import Integral

import numpy as np

from hepgmm.mixture.large import fit_one
from hepgmm.pileup.drawing import track_features
from hepgmm.pileup.expansion import expand
from hepgmm.pileup.independent import IndependentGenerator

__all__ = ["GlobalMixture"]


class GlobalMixture(IndependentGenerator):
    """Independent tracks from one Gaussian mixture for all tracks of all events.

    The mixture p(x) = Σₖ wₖ N(x | μₖ, Σₖ) has full covariances, and K by BIC; x = (log pT, η,
    asinh(d0 / 10 µm), asinh(dz / 10 µm)). Multiplicities are those of training events and φ is
    uniform. pT is kept within 1e-6 and 6500 GeV, and abs(d0) and abs(dz) below 1e5 mm.

    It is what remains of the hierarchical mixture when events differ in nothing but the number of
    their tracks.

    Parameters
    ----------
    n_components
        Candidate K, or the only one.
    min_tracks
        Events with fewer tracks are dropped (and counted), and none is sampled.
    n_init
        Chains of the search over K.
    covariance_floor
        Least variance of a component, one number or one for each feature. The exact zeros of d0
        and dz make components singular without it; 1e-4 is a spread of 0.1 µm around zero.
    max_tracks
        The mixture is fitted to a random choice of so many tracks if there are more.
    workers
        Threads for fitting; no effect on the result.
    seed
        Seed of the fit, an int or a list of ints.

    Attributes
    ----------
    mixture_
        The ``GaussianMixture``.
    candidates_
        Numbers of components, int64 ``(n_candidates,)``.
    bic_
        BIC of each of them for each chain, ``(n_candidates, n_init)``, NaN where it was not tried.
    multiplicities_
        Tracks of every training event, in their order.
    report_
        ``events_used``, ``events_dropped``, ``tracks_used`` for the fit of the mixture, its ``K``
        and ``BIC``, its components with a direction at the floor, ``components_floored``, and
        whether it ``converged``.

    Examples
    --------
    >>> from hepgmm.events import make_events
    >>> columns = np.random.default_rng(1).exponential(size=(5, 200)) + 0.1
    >>> events = make_events(dict(zip(("pt", "eta", "phi", "d0", "dz"), columns)), [20] * 10)
    >>> model = GlobalMixture(n_components=2).fit(events)
    >>> len(model.sample(7, seed=2))
    7
    """

    FITTED = ("multiplicities_", "mixture_", "candidates_", "bic_", "report_")

    def __init__(
        self,
        *,
        n_components=range(1, 41),
        min_tracks=3,
        n_init=3,
        covariance_floor=1e-4,
        max_tracks=50_000,
        workers=1,
        seed=0,
    ):
        self.n_components = n_components
        self.min_tracks = min_tracks
        self.n_init = n_init
        self.covariance_floor = covariance_floor
        self.max_tracks = max_tracks
        self.workers = workers
        self.seed = seed

    def _fit_tracks(self, events, progress):
        if not isinstance(self.max_tracks, Integral) or self.max_tracks < 2:
            raise ValueError(f"max_tracks = {self.max_tracks!r}: give a whole number of at least 2")
        points, _ = track_features(events, min_tracks=self.min_tracks, features="asinh")
        rng = np.random.default_rng(self.seed)
        if len(points) > self.max_tracks:
            points = points[rng.choice(len(points), self.max_tracks, replace=False)]
        scan = fit_one(
            points,
            self.n_components,
            n_init=self.n_init,
            floors=self.covariance_floor,
            seed=rng,
            workers=self.workers,
            progress=progress,
        )
        self.mixture_, self.candidates_, self.bic_ = scan.mixture, scan.candidates, scan.criterion
        return {
            "tracks_used": len(points),
            "K": scan.mixture.n_components,
            "BIC": float(np.nanmin(scan.criterion)),
            "components_floored": int((scan.floored > 0).sum()),
            "converged": scan.mixture.converged,
        }

    def _draw_tracks(self, n_tracks, rng):
        return expand(self.mixture_.sample(n_tracks, seed=rng, dtype=np.float32))
