"""The better hierarchy: components that all events share, and events that are templates."""

from __future__ import annotations

from numbers import Integral

import numpy as np

from hepgmm.cores import in_threads
from hepgmm.events import FEATURES, flatten
from hepgmm.mixture.large import fit_one
from hepgmm.mixture.sampling import generator, seed_sequence
from hepgmm.pileup.base import Generator
from hepgmm.pileup.shared_kernels import Draws, fill_events, find_decays, make_templates, to_points

__all__ = ["SharedGMM"]

#: The fewest tracks for each component, and the fewest blocks of templates if there can be so many.
TRACKS_EACH, BLOCKS = 10, 64
#: Parameters that are whole numbers of at least 1, and those from 0 up to something.
WHOLE = ("n_prompt", "n_displaced", "block_size", "orientations", "n_init", "max_tracks")
FRESH = {"redraw_eta": 1, "redraw": 1, "redraw_forward": 1, "redraw_displaced": 1}
FRESH |= {"redraw_decays": 1, "redraw_phi": np.pi}
#: Events whose tracks are drawn together, from one stream.
BATCH = 2048
#: First key of a stream: that of the templates, and that of the tracks.
TEMPLATES, TRACKS = 0, 1


class SharedGMM(Generator):
    r"""Pileup events as moved templates, in Gaussian components that all events share.

    Lower level: one mixture for all prompt tracks, those with d0 = dz = 0, in (eta, log pT), and
    one for displaced tracks that belong to no decay, in (eta, log pT, log \|d0\|, log \|dz\|).
    Upper level: a kernel mixture over events, each training event a template.

    A synthetic event takes the prompt tracks of one template and the displaced ones, with the
    signs of d0 and dz, of another (its own, if there is no other) in the same *block*: some
    templates of similar multiplicity, all with an odd or all with an even number of displaced
    tracks (charge is conserved, so that the number of charged particles is even but for those that
    leave the tracker). The displaced ones are turned by a random azimuth, and mirrored in eta or
    not; of several such orientations the one with most close pairs of prompt and displaced tracks
    is taken.

    Then the tracks move. A track moves within one of its components, drawn by its responsibilities:
    with u = L⁻¹ (x - μ), its new place is μ + L u', where

    .. math:: u'_i = \sqrt{1 - h_i^2}\, u_i + h_i \xi_i, \qquad \xi_i \sim N(0, 1),

    which leaves the component's distribution as it is, whatever h. Tracks in the outer hundredth of
    a component, which need not be Gaussian, stay, and no track moves there, or out of the range of
    the training tracks. Prompt tracks move in both coordinates, with another h of eta above
    abs(eta) = 4.5, which none of them crosses, and are turned by a small angle of their own each.

    Displaced tracks that come from a K_S or Λ, known by their common vertex and mass, move with
    their parent: it decays elsewhere on its line of flight, where its proper time is drawn anew
    (in part, above 1000 templates) from those of the same particle with similar momentum along the
    beam. Such tracks keep a common vertex, their momenta there, and their mass, unless the balance
    has to bend them. Other displaced tracks move in their distances only, each on its own.

    At last the vector sum of all pT is lengthened or shortened by the prompt tracks, so that its
    square over the sum of pT² is that of the first template, and the event is mirrored in phi and
    in eta, and turned by a uniform azimuth.

    Parameters
    ----------
    n_prompt : int
        Components of prompt tracks; fewer if there are not 10 tracks for each.
    n_displaced : int
        Components of displaced tracks without a decay.
    min_tracks : int
        Events with fewer tracks are dropped (and counted).
    redraw_eta : float
        h of eta of prompt tracks with abs(eta) < 4.5, for 1000 templates. This and the following
        five fall with the number n of templates as (n / 1000)^(-1/6), Scott's rule for two
        dimensions; no h is above 1.
    redraw : float
        h of log pT of prompt tracks.
    redraw_forward : float
        h of eta of prompt tracks with abs(eta) > 4.5.
    redraw_displaced : float
        h of log \|d0\| and log \|dz\| of displaced tracks without a decay.
    redraw_decays : float
        h of the proper time of decays, of its normal score.
    redraw_phi : float
        Standard deviation in rad of the angle by which each prompt track is turned.
    field : float
        Of the solenoid in tesla, as the events were made with: it bends the tracks from a decay.
        With another one, with a detector's resolution, or with vertices that are not at the origin
        few decays are found, and their tracks move one by one.
    block_size : int
        Templates in a block, or fewer, so that there are 64 blocks.
    orientations : int
        How many orientations of the displaced tracks are tried.
    covariance_floor : float
        Least variance of a component.
    max_tracks : int
        A mixture is fitted to at most so many tracks, chosen at random.
    n_init : int
        Starts of the two fits.
    workers : int
        Threads for fitting; no effect on the result.
    seed : int or sequence of int
        Seed of the fit.

    Attributes
    ----------
    tracks_ : array, float32, shape (N, 5)
        Tracks of the templates in the order of ``hepgmm.events.FEATURES``; an event's prompt ones
        come first.
    offsets_ : array, int64, shape (n + 1,)
        Template i has the tracks ``offsets_[i]:offsets_[i + 1]``.
    n_prompt_ : array, int64, shape (n,)
        How many of a template's tracks are prompt.
    prompt_, displaced_ : GaussianMixture or None
        That of prompt tracks, and that of displaced tracks without a decay; None if there are none.
    report_ : dict
        What the fit did, in numbers: events used and dropped, components and tracks of both
        classes, decays, how far the widths were scaled.

    References
    ----------
    The move within a component is the exact step of an Ornstein-Uhlenbeck process; the rule for
    the widths is that of Scott, Multivariate Density Estimation (1992), section 6.3.

    Examples
    --------
    >>> from hepgmm.events import make_events
    >>> rng = np.random.default_rng(1)
    >>> columns = {"pt": rng.exponential(size=400) + 0.1}
    >>> columns["eta"] = rng.normal(size=400)
    >>> columns |= {name: rng.normal(size=400) for name in ("phi", "d0", "dz")}
    >>> model = SharedGMM(n_displaced=2).fit(make_events(columns, [20] * 20))
    >>> len(model.sample(7, seed=2))
    7
    """

    FITTED = ("tracks_", "offsets_", "n_prompt_", "prompt_", "displaced_", "report_")
    HAS_SOURCES = True

    def __init__(
        self,
        *,
        n_prompt=160,
        n_displaced=64,
        min_tracks=3,
        redraw_eta=0.12,
        redraw=0.9,
        redraw_forward=0.9,
        redraw_displaced=0.7,
        redraw_decays=1.0,
        redraw_phi=0.12,
        field=2.0,
        block_size=10,
        orientations=8,
        covariance_floor=1e-4,
        max_tracks=200_000,
        n_init=1,
        workers=1,
        seed=0,
    ):
        self.n_prompt = n_prompt
        self.n_displaced = n_displaced
        self.min_tracks = min_tracks
        self.redraw_eta = redraw_eta
        self.redraw = redraw
        self.redraw_forward = redraw_forward
        self.redraw_displaced = redraw_displaced
        self.redraw_decays = redraw_decays
        self.redraw_phi = redraw_phi
        self.field = field
        self.block_size = block_size
        self.orientations = orientations
        self.covariance_floor = covariance_floor
        self.max_tracks = max_tracks
        self.n_init = n_init
        self.workers = workers
        self.seed = seed

    def _rules(self):
        yield from super()._rules()
        for name in WHOLE:
            value = getattr(self, name)
            fine = isinstance(value, Integral) and value >= 1
            yield fine, f"{name} = {value!r}: give a whole number, 1 or more"
        for name, most in FRESH.items():
            value = getattr(self, name)
            yield 0 <= value <= most, f"{name} = {value!r}: give a number from 0 to {most:g}"
        fine = np.all(np.asarray(self.covariance_floor) > 0)
        yield fine, f"covariance_floor = {self.covariance_floor}: give a number above 0"
        fine = np.isscalar(self.field) and 0 < self.field < np.inf
        yield fine, f"field = {self.field!r}: give a number above 0, in tesla"

    def _fit(self, events, progress):
        tracks, offsets = flatten(events)
        n_events = len(events)
        event = np.repeat(np.arange(n_events), np.diff(offsets))
        prompt = ~tracks[:, 3:].any(axis=1)
        order = np.lexsort((~prompt, event))
        tracks, prompt = tracks[order].astype(np.float32), prompt[order]
        self.tracks_, self.offsets_ = tracks, offsets
        self.n_prompt_ = np.bincount(event[prompt], minlength=n_events)
        points, _ = to_points(tracks)
        in_decay = find_decays(tracks, offsets, field=self.field).number >= 0
        single = ~prompt & ~in_decay
        seeds = np.random.default_rng(self.seed).integers(2**63, size=2)
        self.prompt_ = self._fit_class(points[prompt, :2], self.n_prompt, seeds[0], progress)
        self.displaced_ = self._fit_class(points[single], self.n_displaced, seeds[1], progress)
        vars(self).pop("_built", None)
        return {
            "prompt_tracks": int(prompt.sum()),
            "displaced_tracks": int((~prompt).sum()),
            "decays": int(in_decay.sum()) // 2,
            "prompt_K": self.prompt_.n_components if self.prompt_ else 0,
            "displaced_K": self.displaced_.n_components if self.displaced_ else 0,
            "field": float(self.field),
            "narrowing": float((n_events / 1000) ** (-1 / 6)),
        }

    def _fit_class(self, points, n_components, seed, progress):
        """A mixture of at most ``n_components``, or None without points."""
        if not len(points):
            return None
        rng = np.random.default_rng(seed)
        points = points[rng.permutation(len(points))[: self.max_tracks]]
        return fit_one(
            points,
            [min(n_components, max(1, len(points) // TRACKS_EACH))],
            n_init=self.n_init,
            floors=self.covariance_floor,
            seed=seed,
            workers=self.workers,
            progress=progress,
        ).mixture

    def _sample(self, n_events, rng, *, return_sources=False, workers=1):
        (templates, decays), root = self._tables(), seed_sequence(rng)
        chosen, partner = self._pairs(templates, n_events, generator(root, TEMPLATES))
        n_displaced = np.diff(templates.offsets) - templates.n_prompt
        counts = templates.n_prompt[chosen] + n_displaced[partner]
        starts = np.concatenate([[0], np.cumsum(counts)])
        tracks = np.empty((5, starts[-1]), dtype=np.float32)
        narrowing = self.report_["narrowing"]
        redraw = np.zeros((3, 4))
        redraw[:2, :2] = (self.redraw_eta, self.redraw), (self.redraw_forward, self.redraw)
        redraw[2, 2:] = self.redraw_displaced
        redraw = np.minimum(redraw * narrowing, 1.0)
        redraw_decays, width = min(narrowing * self.redraw_decays, 1.0), narrowing * self.redraw_phi

        def run(batches):
            for batch in batches:
                events = slice(batch * BATCH, min((batch + 1) * BATCH, n_events))
                edges = starts[events.start : events.stop + 1]
                stream = generator(root, TRACKS, batch)
                draws = self._draw(len(edges) - 1, edges[-1] - edges[0], stream)
                pairs = chosen[events], partner[events]
                tables = templates, decays, draws
                fill_events(tracks, edges, *pairs, *tables, redraw, redraw_decays, width)

        in_threads(run, -(-n_events // BATCH), workers)
        columns = dict(zip(FEATURES, tracks, strict=True))
        if not return_sources:
            return columns, counts
        return columns, counts, np.stack([templates.block[chosen], chosen], axis=1)

    def _tables(self):
        """The tables of templates and of decays, built when they are first needed."""
        block_size = max(2, min(self.block_size, len(self.n_prompt_) // BLOCKS))
        if getattr(self, "_built", (None,))[0] != block_size:
            decays = find_decays(self.tracks_, self.offsets_, field=self.report_["field"])
            fitted = self.tracks_, self.offsets_, self.n_prompt_, self.prompt_, self.displaced_
            templates = make_templates(*fitted, decays.number >= 0, block_size=block_size)
            self._built = block_size, (templates, decays)
        return self._built[1]

    def _pairs(self, templates, n_events, rng):
        """Templates of the prompt and of the displaced tracks of every event."""
        chosen = rng.integers(len(templates.order), size=n_events)
        first = templates.bounds[templates.block[chosen]]
        others = templates.bounds[templates.block[chosen] + 1] - first - 1
        # One of the others: so many places further on in the block, around its end.
        step = 1 + (rng.random(n_events) * others).astype(np.int64)
        place = first + (templates.place[chosen] - first + step) % (others + 1)
        return chosen, templates.order[place]

    def _draw(self, n_events, n_tracks, rng):
        """Random numbers of a batch."""
        k = self.orientations
        return Draws(
            rng.uniform(-np.pi, np.pi, (n_events, k)),
            rng.choice([-1.0, 1.0], (n_events, k)),
            rng.uniform(-np.pi, np.pi, n_events),
            rng.choice([-1.0, 1.0], (n_events, 2)),
            rng.random(n_tracks),
            rng.standard_normal((n_tracks, 4), dtype=np.float32),
        )
