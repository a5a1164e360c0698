"""Synthetic events of a fitted hierarchical mixture, batch after batch."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numba import njit

from hepgmm.mixture.components import log_entries
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
#: No spread, and no weight before weights are renormalised, exceeds this where the high level
#: describes logarithms: the exponential of a Gaussian's tail would overflow.
LARGEST = 1e5
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
        self.logarithms = log_entries(4, form=model.parametrisation)
        # Standardisation is undone once, in the high level, and not in each of its points.
        self.high_level = _one_mixture(model.high_level_, *self._units())
        self.largest_weight = self._largest_weight()
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
        vectors = self._draw(int(offsets[-1]), rng, scratch)
        if model.draw == "tracks":
            vectors[:, offsets[:-1]] = self._draw_by_weight(len(offsets) - 1, rng, scratch)
        weights = self._clip(vectors[-1])
        report = Counter(weights_clipped=np.count_nonzero(vectors[-1] != weights))
        means, factors = unfold(vectors)
        if model.clip_eigenvalues is not None:
            scale = model.feature_scale_[:, None]
            factors, raised = _raise(factors / scale, model.clip_eigenvalues)
            factors *= scale
            report["eigenvalues_raised"] = raised
        return (weights, means, factors, offsets), rng, report

    def _draw(self, n, rng, scratch):
        """``n`` component vectors of the high level, ``(15, n)``, their logarithms undone."""
        vectors = _points(self.high_level, n, rng, scratch)
        logs = vectors[self.logarithms]
        vectors[self.logarithms] = np.exp(np.minimum(logs, np.log(LARGEST)))
        return vectors

    def _draw_by_weight(self, n, rng, scratch):
        """The same, each in proportion to its weight: kept with the probability w / largest."""
        accepted, found = [], 0
        while found < n:
            vectors = self._draw(CHUNK, rng, scratch)
            kept = rng.random(CHUNK) * self.largest_weight < self._clip(vectors[-1])
            accepted.append(vectors[:, kept])
            found += accepted[-1].shape[1]
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

    def _options(self):
        return {
            "limits": self.model.range_,
            "pt_limits": self.model.pt_limits,
            "redraws": REDRAWS if self.model.outside == "redraw" else 0,
            "features": self.model.features,
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
            "displacements_clipped": tally(report["displacements_clipped"], tracks),
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
