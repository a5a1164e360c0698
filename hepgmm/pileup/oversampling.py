"""Pileup by drawing real events again and again."""

from __future__ import annotations

import numpy as np

from hepgmm.events import FEATURES, make_events, to_columns
from hepgmm.mixture.sampling import check_draw
from hepgmm.pileup.generator import Generator
from hepgmm.pileup.overlay import ranges
from hepgmm.pileup.training import find_training_events

__all__ = ["Oversampling"]


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
            columns["phi"] = phi - 2 * np.pi * np.rint(phi / (2 * np.pi))
        provenance = {"process": "minbias", "generator": "Oversampling", "seed": str(seed)}
        events = make_events(columns, counts, provenance=provenance)
        return (events, sources) if return_sources else events
