"""The paper's hierarchical Gaussian mixture model of pileup events."""

from __future__ import annotations

from numbers import Integral

import awkward as ak
import numpy as np

from hepgmm.mixture.arguments import check_candidates
from hepgmm.mixture.components import pack
from hepgmm.mixture.large import fit_one
from hepgmm.mixture.many import fit_many
from hepgmm.mixture.sampling import check_draw
from hepgmm.pileup.drawing import Components, track_features
from hepgmm.pileup.generator import Generator
from hepgmm.pileup.hierarchical_parameters import FIXED_BY_FIT, check_parameters, check_unchanged
from hepgmm.pileup.reports import describe_fits
from hepgmm.pileup.synthesis import Synthesis
from hepgmm.pileup.training import find_training_events
from hepgmm.tracks import make_events

__all__ = ["HierarchicalGMM"]


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
    n_components
        Candidate K of an event, or one K for all.
    max_components
        Largest K of the high level (every number up to it is a candidate), or the candidates.
    min_tracks
        Events with fewer tracks are dropped (and counted), and none is sampled.
    n_init
        Starts of every fit; for the high level, chains of its search over K.
    covariance_floor
        Least variance of the events' components, one number or one for each feature; the exact
        zeros of d0 and dz make them singular without it. In squared units of the features (of the
        standardised features with ``scale_features``).
    high_level_floor
        The same for the high level, whose numbers are standardised.
    multiplicity_floor
        The same for the multiplicity; 1/12 is the variance of rounding to whole numbers.
    scale_features
        Whether to scale the features to zero mean and unit variance before the event fits;
        undone on sampling. Part of the second cure of speckles.
    clip_eigenvalues
        Eigenvalues of synthetic covariances are raised to at least this, in the units of
        ``covariance_floor``: the first cure of speckles. None leaves them alone.
    min_weight
        Synthetic weights, which can be negative, are raised to at least this and renormalised.
    draw
        Whether the K components of an event are drawn with equal probability (``"uniform"``, as
        in the paper), or the first in proportion to its number of tracks (``"tracks"``), w n / n̄
        being its weight, which is then also kept below the largest of the training components.
    parametrisation
        Whether the high level describes the Cholesky entries and the weight as they are
        (``"cholesky"``, as in the paper) or the diagonal entries and the weight by their logarithms
        (``"log"``): then no synthetic weight is negative and no diagonal entry near zero by chance.
        Synthetic logarithms are kept below log 1e5.
    features
        Whether the mixtures describe d0 and dz in mm (``"linear"``, as in the paper) or as
        asinh(d0 / 10 µm) and asinh(dz / 10 µm) (``"asinh"``), undone on sampling, where
        \|d0\| and \|dz\| are then kept below 1e5 mm. Floors are in the same units.
    pt_limits
        Synthetic pT is kept between these, in GeV. A Gaussian in log pT has no upper end, and
        without the limit pT could overflow; with it every pT is finite and positive, since
        log pT is clipped before the exponential is taken and its parameters are finite.
    outside
        Synthetic tracks outside the range of the training tracks in any feature are counted
        and kept (``"keep"``, as in the paper), or drawn again from their event's mixture up to
        20 times first (``"redraw"``).
    workers
        Threads for fitting; no effect on the result.
    seed
        Seed of the fit, an int or a list of ints.

    Attributes
    ----------
    event_mixtures_
        The ``MixtureFits`` of the training events, in the (scaled) features.
    multiplicities_
        Tracks of every training event, in their order.
    switches_
        ``draw``, ``parametrisation`` and ``features`` of the fit.
    range_
        ``(2, 4)``: least and largest feature of the training tracks.
    feature_shift_
        ``(4,)``: what ``scale_features`` subtracts; else 0.
    feature_scale_
        ``(4,)``: what ``scale_features`` divides by; else 1.
    component_parameters_
        ``(M, 15)``, in the order of ``hepgmm.mixture.components.parameter_names`` and in the form
        of ``parametrisation``.
    component_shift_
        ``(15,)``: means of the component parameters.
    component_scale_
        ``(15,)``: their standard deviations.
    n_components_counts_
        Entry K is the number of training events with K components.
    high_level_
        The ``GaussianMixture`` of the standardised components.
    high_level_candidates_
        Numbers of components of the high level.
    high_level_bic_
        BIC of each of them for each start, ``(n_candidates, n_init)``, NaN where it was not tried.
    multiplicity_
        The ``GaussianMixture`` of the multiplicities.
    report_
        What the fit did, in numbers: events used and dropped, components, how many of them at
        the floor, mean K, fits that did not converge; K of the other two fits and whether they
        converged; of the high level its BIC and the components at its floor too.
    sample_report_
        What the last :meth:`sample` clipped, raised, redrew or found outside the training range;
        each as count and fraction.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> columns = {"pt": rng.exponential(size=400) + 0.1, "eta": rng.normal(size=400)}
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

    def fit(self, events, *, progress=False) -> HierarchicalGMM:
        """Fit both levels and the multiplicity.

        Parameters
        ----------
        events
            Min-bias events as :func:`hepgmm.generate` gives them.
        progress
            Whether to show progress bars.

        Returns
        -------
        HierarchicalGMM
            The model itself.

        Raises
        ------
        ValueError
            For bad events or parameters, or fewer than 10 events with ``min_tracks`` tracks.
        """
        check_parameters(self)
        # A fit that ends early leaves no mixture of the old one and the new.
        vars(self).pop("high_level_", None)
        largest = self.max_components
        candidates = check_candidates(
            range(1, largest + 1) if isinstance(largest, Integral) else largest, "max_components"
        )
        kept = find_training_events(events, min_tracks=self.min_tracks)
        self.multiplicities_ = ak.to_numpy(ak.num(events))[kept]
        self.switches_ = {name: getattr(self, name) for name in FIXED_BY_FIT}
        points, offsets = track_features(events, min_tracks=self.min_tracks, features=self.features)
        self.range_ = np.stack([points.min(axis=0), points.max(axis=0)])
        self.feature_shift_, self.feature_scale_ = np.zeros(4), np.ones(4)
        if self.scale_features:
            self.feature_shift_, self.feature_scale_ = _standardisation(points)
        seeds = np.random.default_rng(self.seed).integers(2**63, size=3)
        common = {"n_init": self.n_init, "workers": self.workers, "progress": progress}
        mixtures = fit_many(
            (points - self.feature_shift_) / self.feature_scale_,
            offsets,
            self.n_components,
            floors=self.covariance_floor,
            seed=seeds[0],
            **common,
        )
        self.event_mixtures_ = mixtures
        weights = mixtures.weights
        if self.draw == "tracks":
            sizes = self.multiplicities_ / self.multiplicities_.mean()
            weights = weights * np.repeat(sizes, mixtures.n_components)
        self.component_parameters_ = pack(
            mixtures.means, mixtures.covariances, weights, form=self.parametrisation
        )
        self.n_components_counts_ = np.bincount(mixtures.n_components)
        if candidates[0] > len(self.component_parameters_):
            raise ValueError(
                f"max_components: the smallest, {candidates[0]}, is above the "
                f"{len(self.component_parameters_)} components of all events"
            )
        self.component_shift_, self.component_scale_ = _standardisation(self.component_parameters_)
        scan = fit_one(
            (self.component_parameters_ - self.component_shift_) / self.component_scale_,
            candidates,
            floors=self.high_level_floor,
            seed=seeds[1],
            **common,
        )
        self.high_level_ = scan.mixture
        self.high_level_candidates_, self.high_level_bic_ = scan.candidates, scan.criterion
        self.multiplicity_ = fit_one(
            self.multiplicities_[:, None],
            n_components=range(1, 11),
            n_init=self.n_init,
            floors=self.multiplicity_floor,
            search="exhaustive",
            seed=seeds[2],
        ).mixture
        self.report_ = {
            **describe_fits(mixtures, covariance_floor=self.covariance_floor),
            "events_dropped": int((~kept).sum()),
            "high_level_K": self.high_level_.n_components,
            "high_level_BIC": float(np.nanmin(self.high_level_bic_)),
            "high_level_floored": int((scan.floored > 0).sum()),
            "high_level_converged": self.high_level_.converged,
            "multiplicity_K": self.multiplicity_.n_components,
            "multiplicity_converged": self.multiplicity_.converged,
        }
        return self

    def sample(self, n_events, *, seed, return_components=False, workers=1):
        """Synthetic pileup events, each with its vertex at the origin.

        Every 2048 events have a stream of random numbers of their own, so that the result is the
        same for any ``workers``. Beside the result, a worker holds the components of 2048 events
        and the random numbers of 16384 tracks, some 5 MB (10 MB with ``draw="tracks"``, which draws
        16384 components to choose from); all share 32 bytes an event.

        Parameters
        ----------
        n_events
            How many; exactly so many are returned.
        seed
            Anything that ``numpy.random.default_rng`` takes.
        return_components
            Whether to return the components that the tracks came from too.
        workers
            Threads.

        Returns
        -------
        events : awkward.Array
            ``n_events * var * Track[pt, eta, phi, d0, dz]``, float32; GeV, rad, mm.
        components : Components
            As :meth:`sample_components` gives them; only with ``return_components``.
        index : numpy.ndarray
            int32, the component of every track; only with ``return_components``.

        Raises
        ------
        ValueError
            If the model isn't fitted, or for a bad parameter.
        """
        synthesis = self._synthesis(n_events, seed, workers)
        columns, index, report = synthesis.events(return_components=return_components)
        self.sample_report_ = report
        provenance = {"process": "minbias", "generator": "HierarchicalGMM", "seed": str(seed)}
        events = make_events(columns, synthesis.counts, provenance=provenance)
        return (events, synthesis.components(), index) if return_components else events

    def sample_components(self, n_events, *, seed) -> Components:
        """Components of ``n_events`` synthetic events: :meth:`sample` before tracks are drawn.

        Parameters
        ----------
        n_events, seed
            As in :meth:`sample`: the same seed gives the components of the same events.

        Returns
        -------
        Components
            In log pT (pT in GeV), eta, d0 and dz, which are in mm, or with ``features="asinh"``
            asinh(d0 / 10 µm) and asinh(dz / 10 µm); weights clipped and renormalised, eigenvalues
            raised if ``clip_eigenvalues`` asks for it.
        """
        return self._synthesis(n_events, seed).components()

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

    def _synthesis(self, n_events, seed, workers=1):
        self._check_fitted()
        check_parameters(self)
        check_unchanged(self)
        check_draw(n_events=n_events, workers=workers)
        return Synthesis(self, n_events, seed, workers=workers)


def _standardisation(values):
    """Mean and standard deviation of every column; 1 where a column is constant."""
    scale = values.std(axis=0)
    return values.mean(axis=0), np.where(scale > 0, scale, 1.0)
