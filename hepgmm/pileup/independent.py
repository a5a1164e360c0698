"""Pileup events whose tracks know nothing of each other."""

from __future__ import annotations

from abc import ABC, abstractmethod

import awkward as ak
import numpy as np

from hepgmm.events import make_events, to_columns
from hepgmm.mixture.sampling import check_draw
from hepgmm.pileup.generator import Generator
from hepgmm.pileup.training import find_training_events

__all__ = ["IndependentGenerator", "IndependentTracks"]


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
