"""Synthetic events of a fitted hierarchical mixture, batch after batch."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numba import njit

from hepgmm.mixture.sampling import (
    CHUNK,
    fill,
    generator,
    make_scratch,
    prepare,
    seed_sequence,
    share,
)
from hepgmm.pileup.drawing import COLUMNS, Components, draw_tracks
from hepgmm.pileup.reports import tally

__all__ = ["Synthesis"]

#: Events whose components and tracks are drawn together, from one stream.
BATCH = 2048
#: Rounds of redrawing with ``outside="redraw"``.
REDRAWS = 20
#: First key of a stream: that of the numbers of tracks and components, and that of the rest.
NUMBERS, REST = 0, 1
#: Row and column of each entry of a Cholesky factor in a component vector.
TRIANGLE = np.column_stack(np.tril_indices(4))


class Synthesis:
    """One sample of events from a fitted :class:`hepgmm.HierarchicalGMM`.

    The numbers of tracks and components of all events are drawn at once; the components and the
    tracks of a batch of events when they are asked for, the same whenever they are.

    Parameters
    ----------
    model
        The fitted model.
    n_events
        How many events.
    seed
        Anything that ``numpy.random.default_rng`` takes.
    workers
        Threads; no effect on the events.

    Attributes
    ----------
    counts
        Tracks of every event, int64 ``(n_events,)``.
    offsets
        Event i has the components ``offsets[i]:offsets[i + 1]``.

    Raises
    ------
    ValueError
        If the model's ``min_tracks`` is above the mean multiplicity.
    """

    def __init__(self, model, n_events, seed, *, workers=1):
        mean = float(model.multiplicity_.weights @ model.multiplicity_.means[:, 0])
        if mean < model.min_tracks:
            raise ValueError(
                f"min_tracks = {model.min_tracks} is above the mean, {mean:.3g} tracks"
            )
        self.model, self.n_events, self.workers = model, n_events, workers
        self.root = seed_sequence(seed)
        self.batches = range(0, n_events, BATCH)
        # Standardisation is undone once, in the high level, and not in each of its points.
        self.high_level = _one_mixture(model.high_level_, *self._units())
        self.counts, k, self.drawn = self._numbers()
        self.offsets = np.concatenate([[0], np.cumsum(k)])

    def events(self, *, return_components=False):
        """Draw the tracks.

        Parameters
        ----------
        return_components
            Whether to keep the component of every track.

        Returns
        -------
        columns : dict
            Feature → float32 ``(N,)``, in GeV, rad and mm.
        index : numpy.ndarray or None
            int32 ``(N,)``, rows of :meth:`components`; None without ``return_components``.
        report : dict
            What was clipped, raised, redrawn or found outside; each as count and fraction.
        """
        starts = np.concatenate([[0], np.cumsum(self.counts)])
        tracks = np.empty((len(COLUMNS), starts[-1]), dtype=np.float32)
        index = np.empty(starts[-1], dtype=np.int32) if return_components else None

        def run(batches):
            report, high = Counter(), make_scratch(15, np.float64)
            scratch = make_scratch(4, np.float32)
            for batch in batches:
                events = self._events_of(batch)
                own = starts[events.start : events.stop + 1]
                part = slice(own[0], own[-1])
                chosen = index[part] if return_components else None
                components, rng, clipped = self._components_of(batch, high)
                options = self._options() | {"rng": rng, "scratch": scratch}
                report += clipped
                report += draw_tracks(
                    tracks[:, part], chosen, prepare(*components), own - own[0], **options
                )
                if return_components:
                    chosen += self.offsets[events.start].astype(np.int32)
            return report

        reports = share(run, len(self.batches), self.workers)
        columns = dict(zip(COLUMNS, tracks, strict=True))
        return columns, index, self._describe(sum(reports, Counter()))

    def components(self) -> Components:
        """Return the components of the events, as :meth:`events` draws tracks from them."""
        m, scratch = self.offsets[-1], make_scratch(15, np.float64)
        means, covariances, weights = np.empty((m, 4)), np.empty((m, 4, 4)), np.empty(m)
        for batch in range(len(self.batches)):
            (own_weights, own_means, factors, offsets), _, _ = self._components_of(batch, scratch)
            first = self.offsets[batch * BATCH]
            part = slice(first, first + offsets[-1])
            sums = np.add.reduceat(own_weights, offsets[:-1])
            weights[part] = own_weights / np.repeat(sums, np.diff(offsets))
            means[part] = own_means
            covariances[part] = factors @ factors.transpose(0, 2, 1)
        return Components(means, covariances, weights, self.offsets)

    def _numbers(self):
        """Tracks and components of every event, and how many multiplicities were drawn for it."""
        counts = np.empty(self.n_events, dtype=np.int64)
        k = np.empty(self.n_events, dtype=np.int64)
        multiplicity = _one_mixture(self.model.multiplicity_, np.zeros(1), np.ones(1))
        frequencies = self.model.n_components_counts_ / self.model.n_components_counts_.sum()

        def run(chunks):
            scratch, drawn = make_scratch(1, np.float64), 0
            for chunk in chunks:
                rng = generator(self.root, NUMBERS, chunk)
                part = slice(chunk * CHUNK, (chunk + 1) * CHUNK)
                own = counts[part]
                k[part] = rng.choice(len(frequencies), size=len(own), p=frequencies)
                low = np.arange(len(own))
                while len(low):
                    drawn += len(low)
                    own[low] = np.rint(_points(multiplicity, len(low), rng, scratch)[0])
                    low = low[own[low] < self.model.min_tracks]
            return drawn

        return counts, k, sum(share(run, -(-self.n_events // CHUNK), self.workers))

    def _events_of(self, batch):
        return slice(batch * BATCH, min((batch + 1) * BATCH, self.n_events))

    def _components_of(self, batch, scratch):
        """Weights, means, factors and offsets of a batch; the stream after them; a report."""
        model, rng = self.model, generator(self.root, REST, batch)
        events = self._events_of(batch)
        offsets = self.offsets[events.start : events.stop + 1] - self.offsets[events.start]
        vectors = _points(self.high_level, int(offsets[-1]), rng, scratch)
        report = Counter(weights_clipped=np.count_nonzero(vectors[-1] < model.min_weight))
        weights = np.maximum(vectors[-1], model.min_weight)
        means, factors = unfold(vectors)
        if model.clip_eigenvalues is not None:
            scale = model.feature_scale_[:, None]
            factors, raised = _raise(factors / scale, model.clip_eigenvalues)
            factors *= scale
            report["eigenvalues_raised"] = raised
        return (weights, means, factors, offsets), rng, report

    def _units(self):
        """Shift and scale from the high level's numbers to the units of the features."""
        model = self.model
        # Row i of a Cholesky factor scales with feature i, a weight with none.
        factor = np.concatenate([model.feature_scale_, model.feature_scale_[TRIANGLE[:, 0]], [1.0]])
        shift, scale = model.component_shift_ * factor, model.component_scale_ * factor
        shift[:4] += model.feature_shift_
        return shift, scale

    def _options(self):
        return {
            "limits": self.model.range_,
            "pt_limits": self.model.pt_limits,
            "redraws": REDRAWS if self.model.outside == "redraw" else 0,
        }

    def _describe(self, report):
        components, tracks = int(self.offsets[-1]), int(self.counts.sum())
        redrawn = self.drawn - self.n_events
        return {
            "events": int(self.n_events),
            "tracks": tracks,
            "components": components,
            "weights_clipped": tally(report["weights_clipped"], components),
            "eigenvalues_raised": tally(report["eigenvalues_raised"], 4 * components),
            "multiplicities_redrawn": tally(redrawn, self.n_events),
            "pt_clipped": tally(report["pt_clipped"], tracks),
            "tracks_outside": tally(report["tracks_outside"], tracks),
            "tracks_redrawn": tally(report["tracks_redrawn"], tracks),
        }


def _one_mixture(mixture, shift, scale):
    """The mixture of shift + scale x, ready to be drawn from."""
    factors = np.linalg.cholesky(mixture.covariances) * scale[:, None]
    offsets = np.array([0, mixture.n_components])
    return prepare(mixture.weights, mixture.means * scale + shift, factors, offsets)


@njit(nogil=True, cache=True)
def unfold(vectors):
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


def _points(mixture, n, rng, scratch):
    """``n`` points of one mixture, ``(d, n)``."""
    points = np.empty((mixture.means.shape[1], n))
    for begin in range(0, n, CHUNK):
        part = points[:, begin : begin + CHUNK]
        fill(part, scratch.chosen, begin, mixture, np.array([0, n]), rng, scratch)
    return points


def _raise(factors, smallest):
    """Factors of covariances whose eigenvalues are at least ``smallest``; how many were raised."""
    values, axes = np.linalg.eigh(factors @ factors.transpose(0, 2, 1))
    roots = axes * np.sqrt(np.maximum(values, smallest))[:, None, :]
    # With roots = Rᵀ Qᵀ, the covariance is Rᵀ R, and Rᵀ is lower triangular.
    triangles = np.linalg.qr(roots.transpose(0, 2, 1), mode="r").transpose(0, 2, 1)
    return triangles, int((values < smallest).sum())
