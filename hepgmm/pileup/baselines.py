"""Simple pileup: real events again and again, and events of independent tracks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from numbers import Integral

import awkward as ak
import numpy as np

from hepgmm.events import FEATURES, make_events, ranges, to_columns, wrap
from hepgmm.mixture.large import fit_one
from hepgmm.mixture.sampling import check_draw
from hepgmm.pileup.base import Generator, find_training_events
from hepgmm.pileup.points import expand, track_features

__all__ = [
    "GlobalMixture",
    "IndependentGenerator",
    "IndependentTracks",
    "KernelDensity",
    "Oversampling",
]


class IndependentGenerator(Generator, ABC):
    """Base of the generators that draw a multiplicity and then every track by itself.

    The multiplicity is that of a training event, any with the same probability, and φ is uniform.
    How pT, η, d0 and dz of a track are distributed is up to the subclass.

    Attributes
    ----------
    multiplicities_
        Tracks of every training event, in their order.
    report_
        ``events_used``, ``events_dropped`` and what the subclass adds.
    """

    def fit(self, events, *, progress=False) -> IndependentGenerator:
        """Learn the multiplicities and the distribution of tracks.

        Parameters
        ----------
        events
            Min-bias events as :func:`hepgmm.generate` gives them.
        progress
            Whether to show a progress bar where there is something to wait for.

        Returns
        -------
        IndependentGenerator
            The model itself.

        Raises
        ------
        ValueError
            For bad events or parameters, or fewer than 10 events with ``min_tracks`` tracks.
        """
        kept = find_training_events(events, min_tracks=self.min_tracks)
        figures = self._fit_tracks(events, progress)
        self.multiplicities_ = ak.to_numpy(ak.num(events))[kept]
        used, dropped = int(kept.sum()), int((~kept).sum())
        self.report_ = {"events_used": used, "events_dropped": dropped, **figures}
        return self

    def sample(self, n_events, *, seed):
        """Synthetic pileup events, each with its vertex at the origin.

        Parameters
        ----------
        n_events
            How many; exactly so many are returned.
        seed
            Anything that ``numpy.random.default_rng`` takes.

        Returns
        -------
        awkward.Array
            ``n_events * var * Track[pt, eta, phi, d0, dz]``, float32; GeV, rad, mm.

        Raises
        ------
        ValueError
            If the model isn't fitted, or for a bad ``n_events``.
        """
        self._check_fitted()
        check_draw(n_events=n_events)
        rng = np.random.default_rng(seed)
        counts = rng.choice(self.multiplicities_, size=n_events)
        n_tracks = int(counts.sum())
        columns = {"phi": rng.uniform(-np.pi, np.pi, n_tracks), **self._draw_tracks(n_tracks, rng)}
        provenance = {"process": "minbias", "generator": type(self).__name__, "seed": str(seed)}
        return make_events(columns, counts, provenance=provenance)

    @abstractmethod
    def _fit_tracks(self, events, progress) -> dict:
        """Learn from all tracks of events with ``min_tracks``; figures for the report."""

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
    min_tracks
        Events with fewer tracks are dropped (and counted), and none is sampled.

    Attributes
    ----------
    tracks_
        float32 ``(4, N)``: pT, η, d0 and dz of the training tracks; in GeV and mm.
    multiplicities_
        Tracks of every training event, in their order.
    report_
        ``events_used`` and ``events_dropped``.

    Examples
    --------
    >>> columns = {name: np.arange(30.0) for name in ("pt", "eta", "phi", "d0", "dz")}
    >>> model = IndependentTracks().fit(make_events(columns, [3] * 10))
    >>> ak.num(model.sample(4, seed=1)).tolist()
    [3, 3, 3, 3]
    """

    FITTED = ("multiplicities_", "tracks_", "report_")
    COLUMNS = ("pt", "eta", "d0", "dz")

    def __init__(self, *, min_tracks=3):
        self.min_tracks = min_tracks

    def _fit_tracks(self, events, progress):
        columns, _ = to_columns(events[ak.num(events) >= self.min_tracks])
        self.tracks_ = np.stack([columns[name] for name in self.COLUMNS]).astype(np.float32)
        return {}

    def _draw_tracks(self, n_tracks, rng):
        drawn = self.tracks_[:, rng.integers(self.tracks_.shape[1], size=n_tracks)]
        return dict(zip(self.COLUMNS, drawn, strict=True))


class Oversampling(Generator):
    """Training events drawn with replacement, each turned by an azimuth of its own.

    This is how Delphes makes pileup: from a file of simulated events, of which any is as likely as
    any other, turned by φ → φ + δ with δ uniform on [-π, π). Single events are as real as can be,
    but among n draws from N training events only N (1 - (1 - 1/N)ⁿ) differ, up to the azimuth.

    Parameters
    ----------
    min_tracks
        Events with fewer tracks are dropped (and counted), and none is sampled.
    rotate
        Whether to turn the events; without, they are exact copies.

    Attributes
    ----------
    tracks_
        float32 ``(5, N)``: tracks of the training events in the order of ``hepgmm.FEATURES``; in
        GeV, rad and mm.
    offsets_
        int64 ``(n + 1,)``: training event i has the tracks ``offsets_[i]:offsets_[i + 1]``.
    report_
        ``events_used`` and ``events_dropped``.

    References
    ----------
    J. de Favereau et al. (DELPHES 3 collaboration), DELPHES 3: a modular framework for fast
    simulation of a generic collider experiment, JHEP 02 (2014) 057, arXiv:1307.6346.

    Examples
    --------
    >>> events = make_events({name: np.arange(30.0) for name in FEATURES}, [3] * 10)
    >>> model = Oversampling(rotate=False).fit(events)
    >>> copies, sources = model.sample(2, seed=1, return_sources=True)
    >>> copies.pt.tolist() == events.pt[sources].tolist()
    True
    """

    FITTED = ("tracks_", "offsets_", "report_")
    HAS_SOURCES = True

    def __init__(self, *, min_tracks=3, rotate=True):
        self.min_tracks = min_tracks
        self.rotate = rotate

    def fit(self, events, *, progress=False) -> Oversampling:
        """Keep the events.

        Parameters
        ----------
        events
            Min-bias events as :func:`hepgmm.generate` gives them.
        progress
            Has no effect, for this takes no time.

        Returns
        -------
        Oversampling
            The model itself.

        Raises
        ------
        ValueError
            For bad events or parameters, or fewer than 10 events with ``min_tracks`` tracks.
        """
        kept = find_training_events(events, min_tracks=self.min_tracks)
        columns, self.offsets_ = to_columns(events[kept])
        self.tracks_ = np.stack([columns[name] for name in FEATURES]).astype(np.float32)
        self.report_ = {"events_used": int(kept.sum()), "events_dropped": int((~kept).sum())}
        return self

    def sample(self, n_events, *, seed, return_sources=False):
        """Pileup events, each with its vertex at the origin.

        Parameters
        ----------
        n_events
            How many; exactly so many are returned.
        seed
            Anything that ``numpy.random.default_rng`` takes. The same training events are drawn
            with ``rotate`` and without.
        return_sources
            Whether to return which training events they are too.

        Returns
        -------
        events : awkward.Array
            ``n_events * var * Track[pt, eta, phi, d0, dz]``, float32; GeV, rad, mm.
        sources : numpy.ndarray
            int64 ``(n_events,)``: number of the training event of each, counted among those with
            at least ``min_tracks`` tracks; only with ``return_sources``.

        Raises
        ------
        ValueError
            If the model isn't fitted, or for a bad ``n_events``.
        """
        self._check_fitted()
        check_draw(n_events=n_events)
        rng = np.random.default_rng(seed)
        sources = rng.integers(len(self.offsets_) - 1, size=n_events)
        counts = np.diff(self.offsets_)[sources]
        tracks = self.tracks_[:, np.repeat(self.offsets_[sources], counts) + ranges(counts)]
        columns = dict(zip(FEATURES, tracks, strict=True))
        if self.rotate:
            phi = columns["phi"] + np.repeat(rng.uniform(-np.pi, np.pi, n_events), counts)
            columns["phi"] = wrap(phi)
        provenance = {"process": "minbias", "generator": "Oversampling", "seed": str(seed)}
        events = make_events(columns, counts, provenance=provenance)
        return (events, sources) if return_sources else events


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
