"""Simple pileup: real events again and again, and events of independent tracks."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral

import awkward as ak
import numpy as np

from hepgmm.events import FEATURES, ranges, to_columns, wrap
from hepgmm.mixture.large import fit_one
from hepgmm.pileup.base import Generator
from hepgmm.pileup.points import expand, track_features

__all__ = [
    "GlobalMixture",
    "IndependentGenerator",
    "IndependentTracks",
    "KernelDensity",
    "Oversampling",
]


class Oversampling(Generator):
    """Training events drawn with replacement, each turned by an azimuth of its own.

    This is how Delphes makes pileup: from a file of simulated events, of which any is as likely as
    any other, turned by φ → φ + δ with δ uniform on [-π, π). Single events are as real as can be,
    but among n draws from N training events only N (1 - (1 - 1/N)ⁿ) differ, up to the azimuth.

    Parameters
    ----------
    min_tracks : int
        Events with fewer tracks are dropped (and counted), and none is sampled.
    rotate : bool
        Whether to turn the events; without, they are exact copies. The same training events are
        drawn with it and without.

    References
    ----------
    J. de Favereau et al. (DELPHES 3 collaboration), DELPHES 3: a modular framework for fast
    simulation of a generic collider experiment, JHEP 02 (2014) 057, arXiv:1307.6346.

    Examples
    --------
    >>> from hepgmm.events import make_events
    >>> events = make_events({name: np.arange(30.0) for name in FEATURES}, [3] * 10)
    >>> model = Oversampling(rotate=False).fit(events)
    >>> copies, sources = model.sample(2, seed=1, return_sources=True)
    >>> copies.pt.tolist() == events.pt[sources].tolist()
    True
    """

    FITTED = ("tracks_", "offsets_", "report_")
    HAS_SOURCES = True
    NEEDS_PT = False

    def __init__(self, *, min_tracks=3, rotate=True):
        self.min_tracks = min_tracks
        self.rotate = rotate

    def _fit(self, events, progress):
        columns, self.offsets_ = to_columns(events)
        self.tracks_ = np.stack([columns[name] for name in FEATURES]).astype(np.float32)
        return {}

    def _sample(self, n_events, rng, *, return_sources=False):
        sources = rng.integers(len(self.offsets_) - 1, size=n_events)
        counts = np.diff(self.offsets_)[sources]
        tracks = self.tracks_[:, np.repeat(self.offsets_[sources], counts) + ranges(counts)]
        columns = dict(zip(FEATURES, tracks, strict=True))
        if self.rotate:
            phi = columns["phi"] + np.repeat(rng.uniform(-np.pi, np.pi, n_events), counts)
            columns["phi"] = wrap(phi)
        return (columns, counts, sources) if return_sources else (columns, counts)


class IndependentGenerator(Generator):
    """Base of the generators that draw a multiplicity and then every track by itself.

    The multiplicity is that of a training event, any with the same probability, and φ is uniform.
    How pT, η, d0 and dz of a track are distributed is up to the subclass.
    """

    def _fit(self, events, progress):
        self.multiplicities_ = ak.to_numpy(ak.num(events))
        return self._fit_tracks(events, progress)

    def _sample(self, n_events, rng):
        counts = rng.choice(self.multiplicities_, size=n_events)
        n_tracks = int(counts.sum())
        phi = rng.uniform(-np.pi, np.pi, n_tracks)
        return {"phi": phi, **self._draw_tracks(n_tracks, rng)}, counts

    @abstractmethod
    def _fit_tracks(self, events, progress) -> dict:
        """Learn from all tracks; figures for the report."""

    @abstractmethod
    def _draw_tracks(self, n_tracks, rng) -> dict:
        """Columns pt, eta, d0 and dz of so many tracks, in GeV and mm."""


class IndependentTracks(IndependentGenerator):
    """Real tracks, thrown together at random.

    Every track is drawn with replacement from the tracks of all training events, with a fresh φ.
    Distributions of single tracks are those of the training sample, exact zeros of d0 and dz
    included; what tracks of one event have in common is lost, but for their number.

    Parameters
    ----------
    min_tracks : int
        Events with fewer tracks are dropped (and counted), and none is sampled.
    """

    FITTED = ("multiplicities_", "tracks_", "report_")
    NEEDS_PT = False
    COLUMNS = ("pt", "eta", "d0", "dz")

    def __init__(self, *, min_tracks=3):
        self.min_tracks = min_tracks

    def _fit_tracks(self, events, progress):
        columns, _ = to_columns(events)
        self.tracks_ = np.stack([columns[name] for name in self.COLUMNS]).astype(np.float32)
        return {}

    def _draw_tracks(self, n_tracks, rng):
        drawn = self.tracks_[:, rng.integers(self.tracks_.shape[1], size=n_tracks)]
        return dict(zip(self.COLUMNS, drawn, strict=True))


class KernelDensity(IndependentGenerator):
    """Independent tracks from a Gaussian kernel density of all training tracks.

    In x = (log pT, η, asinh(d0 / 10 µm), asinh(dz / 10 µm)), with N training tracks of covariance
    Σ, the density is p(x) = Σᵢ N(x | xᵢ, h² Σ) / N. A draw is a training track plus Gaussian noise
    of covariance h² Σ, so that draws have the mean of the training tracks and the covariance
    (1 + h²) Σ. pT is kept within 1e-6 and 6500 GeV, and abs(d0) and abs(dz) below 1e5 mm.

    Its known weakness: one bandwidth for all smears whatever is narrower than h. Most tracks have
    d0 = dz = 0 exactly, and not one synthetic track has.

    Parameters
    ----------
    min_tracks : int
        Events with fewer tracks are dropped (and counted), and none is sampled.
    bandwidth : float, optional
        h, in units of the spread of the training tracks; Scott's rule for d = 4 features,
        N^(-1 / (d + 4)), when not given.

    References
    ----------
    D. W. Scott, Multivariate Density Estimation: Theory, Practice, and Visualization, Wiley (1992),
    chapter 6.
    """

    FITTED = ("multiplicities_", "points_", "covariance_", "bandwidth_", "report_")

    def __init__(self, *, min_tracks=3, bandwidth=None):
        self.min_tracks = min_tracks
        self.bandwidth = bandwidth

    def _rules(self):
        yield from super()._rules()
        h = self.bandwidth
        fine = h is None or 0 < h < np.inf
        yield fine, f"bandwidth = {h}: give None or a finite number above 0"

    def _fit_tracks(self, events, progress):
        points, _ = track_features(events, features="asinh")
        n, d = points.shape
        self.points_ = points.astype(np.float32)
        self.covariance_ = np.cov(points.T, bias=True)
        scott = n ** (-1 / (d + 4))
        self.bandwidth_ = float(scott if self.bandwidth is None else self.bandwidth)
        return {"bandwidth": self.bandwidth_}

    def _draw_tracks(self, n_tracks, rng):
        # Not Cholesky: a feature that is constant, such as d0 without decays, makes Σ singular.
        values, axes = np.linalg.eigh(self.covariance_)
        roots = self.bandwidth_ * axes * np.sqrt(np.maximum(values, 0))
        points = self.points_[rng.integers(len(self.points_), size=n_tracks)]
        noise = rng.standard_normal(points.shape, dtype=np.float32)
        return expand(points + noise @ roots.T.astype(np.float32))


class GlobalMixture(IndependentGenerator):
    """Independent tracks from one Gaussian mixture for all tracks of all events.

    The mixture p(x) = Σₖ wₖ N(x | μₖ, Σₖ) has full covariances, and K by BIC; x = (log pT, η,
    asinh(d0 / 10 µm), asinh(dz / 10 µm)). pT is kept within 1e-6 and 6500 GeV, and abs(d0) and
    abs(dz) below 1e5 mm. It is what remains of the hierarchical mixture when events differ in
    nothing but the number of their tracks.

    Parameters
    ----------
    n_components : sequence of int, or int
        Candidate K, or the only one.
    min_tracks : int
        Events with fewer tracks are dropped (and counted), and none is sampled.
    n_init : int
        Chains of the search over K.
    covariance_floor : float, or array, shape (4,)
        Least variance of a component. The exact zeros of d0 and dz make components singular without
        it; 1e-4 is a spread of 0.1 µm around zero.
    max_tracks : int
        The mixture is fitted to a random choice of so many tracks if there are more.
    workers : int
        Threads for fitting; no effect on the result.
    seed : int or sequence of int
        Seed of the fit.
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

    def _rules(self):
        yield from super()._rules()
        fine = isinstance(self.max_tracks, Integral) and self.max_tracks >= 2
        yield fine, f"max_tracks = {self.max_tracks!r}: give a whole number of at least 2"

    def _fit_tracks(self, events, progress):
        points, _ = track_features(events, features="asinh")
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
        # BIC of each candidate K for each chain, NaN where it was not tried.
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
