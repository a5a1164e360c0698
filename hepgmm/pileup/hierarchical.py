"""The paper's hierarchical Gaussian mixture model of pileup events."""

from __future__ import annotations

from collections import Counter
from numbers import Integral
from typing import NamedTuple

import awkward as ak
import numpy as np
from numba import njit

from hepgmm.cores import in_threads
from hepgmm.mixture.em import check_candidates
from hepgmm.mixture.gaussian import log_entries, pack
from hepgmm.mixture.large import fit_one
from hepgmm.mixture.sampling import CHUNK, fill, generator, make_scratch, prepare, seed_sequence
from hepgmm.mixture.small import fit_many
from hepgmm.pileup.base import Generator
from hepgmm.pileup.points import (
    COLUMNS,
    draw_tracks,
    standardisation,
    synthesis_rules,
    track_features,
)

__all__ = ["Components", "HierarchicalGMM", "Synthesis"]

#: Parameters with a few values to choose from, the paper's first.
SWITCHES = {
    "draw": ("uniform", "tracks"),
    "parametrisation": ("cholesky", "log"),
    "features": ("linear", "asinh"),
    "outside": ("keep", "redraw"),
}
#: Those that say what the fitted numbers mean.
FIXED_BY_FIT = ("draw", "parametrisation", "features")
#: Parameters that are floors of variances, and how many features they belong to.
FLOORS = {"covariance_floor": 4, "high_level_floor": 15, "multiplicity_floor": 1}

#: Events whose components and tracks are drawn together, from one stream.
BATCH = 2048
#: Rounds of redrawing with ``outside="redraw"``.
REDRAWS = 20
#: First key of a stream: that of the numbers of tracks and components, and that of the rest.
NUMBERS, REST = 0, 1
#: No spread, and no weight before weights are renormalised, exceeds this where the high level
#: describes logarithms: the exponential of a Gaussian's tail would overflow.
LARGEST = 1e5
#: Row and column of each entry of a Cholesky factor in a component vector.
TRIANGLE = np.column_stack(np.tril_indices(4))


class Components(NamedTuple):
    """Gaussian components of events, flat: event i owns ``offsets[i]:offsets[i + 1]``.

    Attributes
    ----------
    means : array, shape (M, 4)
        In log pT (pT in GeV), eta, d0 and dz, which are in mm or, of a model with
        ``features="asinh"``, asinh(d0 / 10 µm) and asinh(dz / 10 µm).
    covariances : array, shape (M, 4, 4)
        Of the same.
    weights : array, shape (M,)
        Summing to 1 in every event.
    offsets : array, int64, shape (n_events + 1,)
    """

    means: np.ndarray
    covariances: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray


class HierarchicalGMM(Generator):
    r"""Pileup events as a Gaussian mixture over the components of Gaussian mixtures.

    Lower level: the tracks of every event with at least ``min_tracks`` of them, in
    (log pT, eta, d0, dz), are fitted by a full-covariance mixture with K by BIC. Each component
    becomes 15 numbers (4 means, 10 Cholesky entries, 1 weight). High level: the components of
    all events, standardised, are fitted by a second full-covariance mixture with its own K by
    BIC. The distribution of the lower K and a mixture for the multiplicity are kept beside it.

    An event is sampled by drawing a multiplicity, a K from the kept distribution, K components
    from the high level (weights renormalised), and then the tracks. phi is not modelled: it is
    drawn uniformly.

    That draw is biased. Where most components are small, as displaced ones are, most of the K are
    small ones too, and renormalising makes them large: the share of tracks
    E[Σ wₖ fₖ / Σ wₖ] with a property that a component's tracks have with probability f isn't
    E[w f] / E[w]. With ``draw="tracks"`` the weight is w n / n̄, for a component of an event with n
    tracks, and the first of the K components is drawn in proportion to it, which gives a set of
    components the density Σ wₖ / (K E[w]) relative to the uniform draw. So

    .. math:: E\left[\frac{\sum_k w_k}{K\, E[w]}\,
        \frac{\sum_k w_k f_k}{\sum_k w_k}\right] = \frac{E[w f]}{E[w]}

    for any K: the tracks of all events are distributed as those of the high level's components
    weighted by their numbers of tracks (the unbiased ratio estimate of Lahiri and Midzuno).

    Parameters
    ----------
    n_components : sequence of int, or int
        Candidate K of an event, or one K for all.
    max_components : int, or sequence of int
        Largest K of the high level (every number up to it is a candidate), or the candidates.
    min_tracks : int
        Events with fewer tracks are dropped (and counted), and none is sampled.
    n_init : int
        Starts of every fit; for the high level, chains of its search over K.
    covariance_floor : float, or array, shape (4,)
        Least variance of the events' components; the exact zeros of d0 and dz make them singular
        without it. In squared units of the features (of the standardised features with
        ``scale_features``).
    high_level_floor : float, or array, shape (15,)
        The same for the high level, whose numbers are standardised.
    multiplicity_floor : float
        The same for the multiplicity; 1/12 is the variance of rounding to whole numbers.
    scale_features : bool
        Whether to scale the features to zero mean and unit variance before the event fits;
        undone on sampling. Part of the second cure of speckles.
    clip_eigenvalues : float, optional
        Eigenvalues of synthetic covariances are raised to at least this, in the units of
        ``covariance_floor``: the first cure of speckles. None leaves them alone.
    min_weight : float
        Synthetic weights, which can be negative, are raised to at least this and renormalised.
    draw : {"uniform", "tracks"}
        Whether the K components of an event are drawn with equal probability, as in the paper, or
        the first in proportion to its number of tracks, w n / n̄ being its weight, which is then
        also kept below the largest of the training components.
    parametrisation : {"cholesky", "log"}
        Whether the high level describes the Cholesky entries and the weight as they are, as in the
        paper, or the diagonal entries and the weight by their logarithms: then no synthetic weight
        is negative and no diagonal entry near zero by chance. Synthetic logarithms are kept below
        log 1e5.
    features : {"linear", "asinh"}
        Whether the mixtures describe d0 and dz in mm, as in the paper, or as asinh(d0 / 10 µm) and
        asinh(dz / 10 µm), undone on sampling, where \|d0\| and \|dz\| are then kept below 1e5 mm.
        Floors are in the same units.
    pt_limits : pair of float
        Synthetic pT is kept between these, in GeV: a Gaussian in log pT has no upper end, and
        without the limit pT could overflow.
    outside : {"keep", "redraw"}
        Synthetic tracks outside the range of the training tracks in any feature are counted
        and kept, as in the paper, or drawn again from their event's mixture up to 20 times first.
    workers : int
        Threads for fitting; no effect on the result.
    seed : int or sequence of int
        Seed of the fit.

    Attributes
    ----------
    event_mixtures_ : MixtureFits
        The mixtures of the training events, in the (scaled) features.
    multiplicities_ : array, int64, shape (n_events,)
        Tracks of every training event.
    switches_ : dict
        ``draw``, ``parametrisation`` and ``features`` of the fit.
    range_ : array, shape (2, 4)
        Least and largest feature of the training tracks.
    feature_shift_, feature_scale_ : array, shape (4,)
        What ``scale_features`` subtracts and divides by; else 0 and 1.
    component_parameters_ : array, shape (M, 15)
        In the order of ``hepgmm.mixture.gaussian.parameter_names`` and in the form of
        ``parametrisation``.
    component_shift_, component_scale_ : array, shape (15,)
        Means and standard deviations of the component parameters.
    n_components_counts_ : array, int64
        Entry K is the number of training events with K components.
    high_level_ : GaussianMixture
        That of the standardised components.
    high_level_candidates_, high_level_bic_ : array, shape (n,) and (n, n_init)
        Numbers of components of the high level, and the BIC of each for each start, NaN where it
        was not tried.
    multiplicity_ : GaussianMixture
        That of the multiplicities.
    report_ : dict
        What the fit did, in numbers: events used and dropped, components, how many of them at
        the floor, mean K, fits that did not converge; K of the other two fits and whether they
        converged; of the high level its BIC and the components at its floor too.
    sample_report_ : dict
        What the last :meth:`sample` clipped, raised, redrew or found outside the training range;
        each as count and fraction.

    Examples
    --------
    >>> from hepgmm.events import make_events
    >>> rng = np.random.default_rng(1)
    >>> columns = {"pt": rng.exponential(size=400) + 0.1}
    >>> columns["eta"] = rng.normal(size=400)
    >>> columns |= {name: rng.normal(size=400) for name in ("phi", "d0", "dz")}
    >>> events = make_events(columns, [20] * 20)
    >>> model = HierarchicalGMM(n_components=[1], max_components=2).fit(events)
    >>> len(model.sample(7, seed=2))
    7
    """

    FITTED = (
        "switches_",
        "range_",
        "feature_shift_",
        "feature_scale_",
        "event_mixtures_",
        "component_parameters_",
        "n_components_counts_",
        "component_shift_",
        "component_scale_",
        "high_level_",
        "high_level_bic_",
        "high_level_candidates_",
        "multiplicities_",
        "multiplicity_",
        "report_",
    )

    def __init__(
        self,
        *,
        n_components=range(1, 11),
        max_components=100,
        min_tracks=3,
        n_init=3,
        covariance_floor=1e-6,
        high_level_floor=1e-6,
        multiplicity_floor=1 / 12,
        scale_features=False,
        clip_eigenvalues=None,
        min_weight=1e-3,
        draw="uniform",
        parametrisation="cholesky",
        features="linear",
        pt_limits=(1e-6, 6500.0),
        outside="keep",
        workers=1,
        seed=0,
    ):
        self.n_components = n_components
        self.max_components = max_components
        self.min_tracks = min_tracks
        self.n_init = n_init
        self.covariance_floor = covariance_floor
        self.high_level_floor = high_level_floor
        self.multiplicity_floor = multiplicity_floor
        self.scale_features = scale_features
        self.clip_eigenvalues = clip_eigenvalues
        self.min_weight = min_weight
        self.draw = draw
        self.parametrisation = parametrisation
        self.features = features
        self.pt_limits = pt_limits
        self.outside = outside
        self.workers = workers
        self.seed = seed

    def sample_components(self, n_events, *, seed) -> Components:
        """Components of ``n_events`` synthetic events: :meth:`sample` before tracks are drawn.

        Parameters
        ----------
        n_events, seed
            As in :meth:`sample`: the same seed gives the components of the same events.

        Returns
        -------
        Components
            ``means``, ``covariances``, ``weights`` and ``offsets`` of the components, in log pT
            (pT in GeV), eta, d0 and dz, which are in mm, or with ``features="asinh"``
            asinh(d0 / 10 µm) and asinh(dz / 10 µm); weights clipped and renormalised, eigenvalues
            raised if ``clip_eigenvalues`` asks for it.
        """
        self._check_ready(n_events)
        return Synthesis(self, n_events, seed).components()

    def fitted_components(self) -> Components:
        """Return the components of the training events, in the units of ``sample_components``."""
        self._check_fitted()
        fits = self.event_mixtures_
        factors = np.linalg.cholesky(fits.covariances) * self.feature_scale_[:, None]
        return Components(
            fits.means * self.feature_scale_ + self.feature_shift_,
            factors @ factors.transpose(0, 2, 1),
            fits.weights,
            fits.offsets,
        )

    def _rules(self):
        yield from super()._rules()
        yield from synthesis_rules(self)
        self._high_level_candidates()
        smallest = check_candidates(self.n_components)[0]
        yield (
            smallest <= self.min_tracks,
            f"n_components: the smallest, {smallest}, is above min_tracks = {self.min_tracks}",
        )
        clip = self.clip_eigenvalues
        yield clip is None or clip > 0, f"clip_eigenvalues = {clip}: give None or more than 0"
        for name, size in FLOORS.items():
            floor = getattr(self, name)
            yield (
                np.shape(floor) in ((), (size,)) and (np.asarray(floor) > 0).all(),
                f"{name} = {floor}: give a number above 0, or one for each of {size} features",
            )
        yield 0 < self.min_weight < 1, f"min_weight = {self.min_weight}: give one in (0, 1)"
        for name, allowed in SWITCHES.items():
            value = getattr(self, name)
            yield value in allowed, f"{name} = {value!r}: {' or '.join(map(repr, allowed))}"

    def _high_level_candidates(self):
        largest = self.max_components
        candidates = range(1, largest + 1) if isinstance(largest, Integral) else largest
        return check_candidates(candidates, "max_components")

    def _fit(self, events, progress):
        self.multiplicities_ = ak.to_numpy(ak.num(events))
        self.switches_ = {name: getattr(self, name) for name in FIXED_BY_FIT}
        seeds = np.random.default_rng(self.seed).integers(2**63, size=3)
        common = {"n_init": self.n_init, "workers": self.workers, "progress": progress}
        mixtures = self._fit_events(events, seed=seeds[0], **common)
        scan = self._fit_high_level(mixtures, seed=seeds[1], **common)
        self.multiplicity_ = fit_one(
            self.multiplicities_[:, None],
            n_components=range(1, 11),
            n_init=self.n_init,
            floors=self.multiplicity_floor,
            search="exhaustive",
            seed=seeds[2],
        ).mixture
        return {
            **_describe_fits(mixtures, self.covariance_floor),
            "high_level_K": self.high_level_.n_components,
            "high_level_BIC": float(np.nanmin(self.high_level_bic_)),
            "high_level_floored": int((scan.floored > 0).sum()),
            "high_level_converged": self.high_level_.converged,
            "multiplicity_K": self.multiplicity_.n_components,
            "multiplicity_converged": self.multiplicity_.converged,
        }

    def _fit_events(self, events, **options):
        """The mixtures of the events."""
        points, offsets = track_features(events, features=self.features)
        self.range_ = np.stack([points.min(axis=0), points.max(axis=0)])
        self.feature_shift_, self.feature_scale_ = np.zeros(4), np.ones(4)
        if self.scale_features:
            self.feature_shift_, self.feature_scale_ = standardisation(points)
        points = (points - self.feature_shift_) / self.feature_scale_
        floors = self.covariance_floor
        self.event_mixtures_ = fit_many(
            points, offsets, self.n_components, floors=floors, **options
        )
        return self.event_mixtures_

    def _fit_high_level(self, mixtures, **options):
        """The mixture of the components of those mixtures, and how it was chosen."""
        weights = mixtures.weights
        if self.draw == "tracks":
            sizes = self.multiplicities_ / self.multiplicities_.mean()
            weights = weights * np.repeat(sizes, mixtures.n_components)
        form = self.parametrisation
        vectors = pack(mixtures.means, mixtures.covariances, weights, form=form)
        self.component_parameters_ = vectors
        self.n_components_counts_ = np.bincount(mixtures.n_components)
        candidates = self._high_level_candidates()
        if candidates[0] > len(vectors):
            raise ValueError(
                f"max_components: the smallest, {candidates[0]}, is above the "
                f"{len(vectors)} components of all events"
            )
        self.component_shift_, self.component_scale_ = standardisation(vectors)
        vectors = (vectors - self.component_shift_) / self.component_scale_
        scan = fit_one(vectors, candidates, floors=self.high_level_floor, **options)
        self.high_level_ = scan.mixture
        self.high_level_candidates_, self.high_level_bic_ = scan.candidates, scan.criterion
        return scan

    def _sample(self, n_events, rng, *, return_components=False, workers=1):
        synthesis = Synthesis(self, n_events, rng, workers=workers)
        columns, index, self.sample_report_ = synthesis.events(return_components=return_components)
        if return_components:
            return columns, synthesis.counts, synthesis.components(), index
        return columns, synthesis.counts

    def _check_ready(self, n_events, workers=1):
        super()._check_ready(n_events, workers)
        for name, fitted in self.switches_.items():
            value = getattr(self, name)
            if value != fitted:
                raise ValueError(
                    f"{name} = {value!r}, but the model is fitted with {fitted!r}: fit again"
                )


def _describe_fits(mixtures, covariance_floor) -> dict:
    """Figures of the mixtures of many events; errors are standard errors over events.

    ``components_floored`` have a direction at the floor; ``floors_raised`` are events whose floor
    had to exceed ``covariance_floor``.
    """
    k, floored = mixtures.n_components, mixtures.floored > 0
    fitted = np.isfinite(mixtures.criterion)
    floored_in_event = np.add.reduceat(floored.astype(float), mixtures.offsets[:-1])
    fraction, events = floored.mean(), len(k)
    # Components of one event are not independent: the error is that of a ratio over events.
    squares = ((floored_in_event - fraction * k) ** 2).sum()
    error = np.sqrt(squares * events / (events - 1)) / k.sum()
    raised = (mixtures.floors > 1.001 * np.asarray(covariance_floor)).any(axis=1)
    return {
        "components": len(floored),
        "components_floored": int(floored.sum()),
        "floored_fraction": {"value": float(fraction), "error": float(error)},
        "mean_K": {"value": float(k.mean()), "error": float(k.std(ddof=1) / np.sqrt(len(k)))},
        "floors_raised": int(raised.sum()),
        "fits": int(fitted.sum()),
        "fits_not_converged": int((fitted & ~mixtures.converged).sum()),
    }


class Synthesis:
    """One sample of events from a fitted :class:`HierarchicalGMM`.

    The numbers of tracks and components of all events are drawn at once; the components and the
    tracks of a batch of events when they are asked for, the same whenever they are. Beside the
    result, a thread holds the components of 2048 events and the random numbers of 16384 tracks,
    some 5 MB (10 MB with ``draw="tracks"``, which draws 16384 components to choose from); all share
    32 bytes an event.

    Attributes
    ----------
    counts : array, int64, shape (n_events,)
        Tracks of every event.
    offsets : array, int64, shape (n_events + 1,)
        Event i has the components ``offsets[i]:offsets[i + 1]``.

    Raises
    ------
    ValueError
        If the model's ``min_tracks`` is above the mean multiplicity.
    """

    def __init__(self, model: HierarchicalGMM, n_events, seed, *, workers=1):
        mean = float(model.multiplicity_.weights @ model.multiplicity_.means[:, 0])
        if mean < model.min_tracks:
            raise ValueError(
                f"min_tracks = {model.min_tracks} is above the mean, {mean:.3g} tracks"
            )
        self.model, self.n_events, self.workers = model, n_events, workers
        self.root = seed_sequence(seed)
        self.batches = range(0, n_events, BATCH)
        self.logarithms = log_entries(4, form=model.parametrisation)
        # Standardisation is undone once, in the high level, and not in each of its points.
        self.high_level = _prepare_one(model.high_level_, *self._units())
        self.largest_weight = self._largest_weight()
        self.counts, k, self.drawn = self._numbers()
        self.offsets = np.concatenate([[0], np.cumsum(k)])

    def events(self, *, return_components=False):
        """Draw the tracks.

        Returns
        -------
        columns : dict
            Feature → float32 ``(N,)``, in GeV, rad and mm.
        index : array, int32, shape (N,), or None
            Rows of :meth:`components`; None without ``return_components``.
        report : dict
            What was clipped, raised, redrawn or found outside; each as count and fraction.
        """
        model = self.model
        starts = np.concatenate([[0], np.cumsum(self.counts)])
        tracks = np.empty((len(COLUMNS), starts[-1]), dtype=np.float32)
        index = np.empty(starts[-1], dtype=np.int32) if return_components else None
        options = {
            "limits": model.range_,
            "pt_limits": model.pt_limits,
            "redraws": REDRAWS if model.outside == "redraw" else 0,
            "features": model.features,
        }

        def run(batches):
            report, high = Counter(), make_scratch(15, np.float64)
            scratch = make_scratch(4, np.float32)
            for batch in batches:
                events = self._events_of(batch)
                edges = starts[events.start : events.stop + 1]
                part = slice(edges[0], edges[-1])
                chosen = index[part] if return_components else None
                components, rng, clipped = self._components_of(batch, high)
                report += clipped
                report += draw_tracks(
                    tracks[:, part],
                    chosen,
                    prepare(*components),
                    edges - edges[0],
                    rng=rng,
                    scratch=scratch,
                    **options,
                )
                if return_components:
                    chosen += self.offsets[events.start].astype(np.int32)
            return report

        reports = in_threads(run, len(self.batches), self.workers)
        columns = dict(zip(COLUMNS, tracks, strict=True))
        return columns, index, self._describe(sum(reports, Counter()))

    def components(self) -> Components:
        """Return the components of the events, as :meth:`events` draws tracks from them."""
        m, scratch = self.offsets[-1], make_scratch(15, np.float64)
        means, covariances, weights = np.empty((m, 4)), np.empty((m, 4, 4)), np.empty(m)
        for batch in range(len(self.batches)):
            drawn, _, _ = self._components_of(batch, scratch)
            drawn_weights, drawn_means, factors, offsets = drawn
            first = self.offsets[batch * BATCH]
            part = slice(first, first + offsets[-1])
            sums = np.add.reduceat(drawn_weights, offsets[:-1])
            weights[part] = drawn_weights / np.repeat(sums, np.diff(offsets))
            means[part] = drawn_means
            covariances[part] = factors @ factors.transpose(0, 2, 1)
        return Components(means, covariances, weights, self.offsets)

    def _numbers(self):
        """Tracks and components of every event, and how many multiplicities were drawn."""
        counts = np.empty(self.n_events, dtype=np.int64)
        k = np.empty(self.n_events, dtype=np.int64)
        multiplicity = _prepare_one(self.model.multiplicity_, np.zeros(1), np.ones(1))
        frequencies = self.model.n_components_counts_ / self.model.n_components_counts_.sum()

        def run(chunks):
            scratch, drawn = make_scratch(1, np.float64), 0
            for chunk in chunks:
                rng = generator(self.root, NUMBERS, chunk)
                part = slice(chunk * CHUNK, (chunk + 1) * CHUNK)
                multiplicities = counts[part]
                k[part] = rng.choice(len(frequencies), size=len(multiplicities), p=frequencies)
                low = np.arange(len(multiplicities))
                while len(low):
                    drawn += len(low)
                    points = _draw_points(multiplicity, len(low), rng, scratch)
                    multiplicities[low] = np.rint(points[0])
                    low = low[multiplicities[low] < self.model.min_tracks]
            return drawn

        return counts, k, sum(in_threads(run, -(-self.n_events // CHUNK), self.workers))

    def _events_of(self, batch):
        return slice(batch * BATCH, min((batch + 1) * BATCH, self.n_events))

    def _components_of(self, batch, scratch):
        """Weights, means, factors and offsets of a batch; the stream after them; a report."""
        model, rng = self.model, generator(self.root, REST, batch)
        events = self._events_of(batch)
        offsets = self.offsets[events.start : events.stop + 1] - self.offsets[events.start]
        vectors = self._draw(int(offsets[-1]), rng, scratch)
        if model.draw == "tracks":
            vectors[:, offsets[:-1]] = self._draw_by_weight(len(offsets) - 1, rng, scratch)
        weights = self._clip(vectors[-1])
        report = Counter(weights_clipped=np.count_nonzero(vectors[-1] != weights))
        means, factors = _unfold(vectors)
        if model.clip_eigenvalues is not None:
            scale = model.feature_scale_[:, None]
            factors, raised = _raise(factors / scale, model.clip_eigenvalues)
            factors *= scale
            report["eigenvalues_raised"] = raised
        return (weights, means, factors, offsets), rng, report

    def _draw(self, n, rng, scratch):
        """``n`` component vectors of the high level, ``(15, n)``, their logarithms undone."""
        vectors = _draw_points(self.high_level, n, rng, scratch)
        logs = vectors[self.logarithms]
        vectors[self.logarithms] = np.exp(np.minimum(logs, np.log(LARGEST)))
        return vectors

    def _draw_by_weight(self, n, rng, scratch):
        """The same, each in proportion to its weight: kept with the probability w / largest."""
        accepted, n_accepted = [], 0
        while n_accepted < n:
            vectors = self._draw(CHUNK, rng, scratch)
            accept = rng.random(CHUNK) * self.largest_weight < self._clip(vectors[-1])
            accepted.append(vectors[:, accept])
            n_accepted += accepted[-1].shape[1]
        return np.concatenate(accepted, axis=1)[:, :n]

    def _clip(self, weights):
        return np.clip(weights, self.model.min_weight, self.largest_weight)

    def _largest_weight(self):
        """Upper limit of weights: that of the fitted ones where it must be known, else none."""
        if self.model.draw == "uniform":
            return np.inf
        largest = self.model.component_parameters_[:, -1].max()
        return np.exp(largest) if self.logarithms[-1] else largest

    def _units(self):
        """Shift and scale from the high level's numbers to the units of the features."""
        model = self.model
        # Row i of a Cholesky factor scales with feature i, a weight with none; a factor of a number
        # is a shift of its logarithm.
        factor = np.concatenate([model.feature_scale_, model.feature_scale_[TRIANGLE[:, 0]], [1.0]])
        linear = np.where(self.logarithms, 1.0, factor)
        shift, scale = model.component_shift_ * linear, model.component_scale_ * linear
        shift[:4] += model.feature_shift_
        shift[self.logarithms] += np.log(factor[self.logarithms])
        return shift, scale

    def _describe(self, report):
        components, tracks = int(self.offsets[-1]), int(self.counts.sum())
        report["multiplicities_redrawn"] = self.drawn - self.n_events
        totals = {
            "weights_clipped": components,
            "eigenvalues_raised": 4 * components,
            "multiplicities_redrawn": self.n_events,
            "pt_clipped": tracks,
            "displacements_clipped": tracks,
            "tracks_outside": tracks,
            "tracks_redrawn": tracks,
        }
        return {
            "events": int(self.n_events),
            "tracks": tracks,
            "components": components,
            **{name: _tally(report[name], total) for name, total in totals.items()},
        }


def _tally(count, total) -> dict:
    return {"count": int(count), "fraction": float(count / total) if total else 0.0}


def _prepare_one(mixture, shift, scale):
    """The mixture of shift + scale x, ready to be drawn from."""
    factors = np.linalg.cholesky(mixture.covariances) * scale[:, None]
    offsets = np.array([0, mixture.n_components])
    return prepare(mixture.weights, mixture.means * scale + shift, factors, offsets)


def _draw_points(mixture, n, rng, scratch):
    """``n`` points of one mixture, ``(d, n)``."""
    points = np.empty((mixture.means.shape[1], n))
    for begin in range(0, n, CHUNK):
        part = points[:, begin : begin + CHUNK]
        fill(part, scratch.chosen, begin, mixture, np.array([0, n]), rng, scratch)
    return points


@njit(nogil=True, cache=True)
def _unfold(vectors):
    """Means ``(M, 4)`` and Cholesky factors ``(M, 4, 4)`` of component vectors ``(15, M)``."""
    m = vectors.shape[1]
    means, factors = np.empty((m, 4)), np.zeros((m, 4, 4))
    for k in range(m):
        entry = 4
        for i in range(4):
            means[k, i] = vectors[i, k]
            for j in range(i + 1):
                factors[k, i, j] = vectors[entry, k]
                entry += 1
    return means, factors


def _raise(factors, smallest):
    """Factors of covariances whose eigenvalues are at least ``smallest``; how many were raised."""
    values, axes = np.linalg.eigh(factors @ factors.transpose(0, 2, 1))
    roots = axes * np.sqrt(np.maximum(values, smallest))[:, None, :]
    # With roots = Rᵀ Qᵀ, the covariance is Rᵀ R, and Rᵀ is lower triangular.
    triangles = np.linalg.qr(roots.transpose(0, 2, 1), mode="r").transpose(0, 2, 1)
    return triangles, int((values < smallest).sum())
