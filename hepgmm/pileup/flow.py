"""Pileup events from two normalising flows: one of event summaries, one of tracks."""

from __future__ import annotations

import numpy as np

from hepgmm.mixture.sampling import check_draw
from hepgmm.pileup.base import Generator
from hepgmm.pileup.points import (
    Clouds,
    check_settings,
    make_clouds,
    read_clouds,
    standardisation,
)

__all__ = [
    "SUMMARY",
    "FlowPileup",
    "agree",
    "balance",
    "class_counts",
    "relative_extremes",
    "summarise",
]

#: Summary of an event.
SUMMARY = (
    "log_prompt",
    "log_displaced",
    "mean_log_pt",
    "log_spread_log_pt",
    "min_log_pt",
    "max_log_pt",
    "mean_eta",
    "log_spread_eta",
    "min_eta",
    "max_eta",
    "log_recoil",
)
#: Where the mean of each standardised feature stands in a summary; three others follow it.
STANDARDISED = (2, 6)
#: Least spread of a feature within an event, and least recoil.
SMALLEST = 1e-3
#: Rounds in which tracks are made to agree, and Gauss-Newton steps of the balance of momentum.
BALANCE_ROUNDS, STEPS = 5, 10


def summarise(clouds: Clouds, rng):
    """Summaries of events, and their tracks with log pT and eta standardised within the event.

    A number n of tracks enters as log(1 + n + u), with u uniform in [0, 1), so that it has a
    density. The recoil is |Σ pT vector|² / Σ pT²: 1 on average if every track goes its own way.

    Parameters
    ----------
    clouds
        Events of at least one track each.
    rng
        A numpy Generator.

    Returns
    -------
    summaries : numpy.ndarray
        ``(n_events, 11)`` in the order of ``SUMMARY``.
    tracks : numpy.ndarray
        ``(N, 4)``: the features, the first two with mean 0 and spread 1 in every event.
    """
    tracks, displaced, phi, counts = clouds
    tracks, pt = tracks.copy(), np.exp(tracks[:, 0])
    event, first = _events(counts)
    n_displaced = np.bincount(event, displaced, len(counts))
    classes = np.stack([counts - n_displaced, n_displaced])
    columns = [*np.log1p(classes + rng.random(classes.shape))]
    for column in range(2):
        mean, spread = _moments(tracks[:, column], event, counts)
        extremes = (end.reduceat(tracks[:, column], first) for end in (np.minimum, np.maximum))
        columns += [mean, np.log(spread), *extremes]
        tracks[:, column] = (tracks[:, column] - mean[event]) / spread[event]
    px, py, squares = (np.bincount(event, x) for x in (pt * np.cos(phi), pt * np.sin(phi), pt**2))
    columns.append(np.log(np.maximum((px**2 + py**2) / squares, SMALLEST)))
    return np.stack(columns, axis=1), tracks


def class_counts(summaries):
    """Prompt and displaced tracks of summarised events, int ``(n_events, 2)``.

    Examples
    --------
    >>> class_counts(np.log1p([[4.3, 0.9]])).tolist()
    [[4, 0]]
    """
    return np.floor(np.expm1(summaries[:, :2])).astype(np.int64)


def relative_extremes(summaries):
    """Summaries whose extremes are in units of the event's own spread, from its mean."""
    relative = summaries.copy()
    for mean in STANDARDISED:
        ends = slice(mean + 2, mean + 4)
        relative[:, ends] -= summaries[:, [mean]]
        relative[:, ends] /= np.exp(summaries[:, [mean + 1]])
    return relative


def agree(tracks, summaries, counts):
    """Features of standardised tracks that have the extremes, means and spreads of summaries.

    In turn, the outermost tracks of every event are moved to its extremes, and all are shifted and
    scaled to mean 0 and spread 1; five rounds bring both about but for a few per cent.

    Parameters
    ----------
    tracks
        ``(N, 4)``, as ``summarise`` gives them, but for statistical fluctuations.
    summaries
        ``(n_events, 11)``.
    counts
        Tracks of every event.

    Returns
    -------
    numpy.ndarray
        ``(N, 4)``.
    """
    features, relative = tracks.copy(), relative_extremes(summaries)
    event, first = _events(counts)
    for column, position in enumerate(STANDARDISED):
        x = features[:, column]
        mean, log_spread = summaries[:, position : position + 2].T
        least, largest = relative[:, position + 2 : position + 4].T
        for _ in range(BALANCE_ROUNDS):
            order = np.lexsort((x, event))
            x[order[first]], x[order[first + counts - 1]] = least, largest
            own_mean, own_spread = _moments(x, event, counts)
            x[:] = (x - own_mean[event]) / own_spread[event]
        x[:] = mean[event] + np.exp(log_spread)[event] * x
    return features


def balance(pt, phi, counts, recoil):
    """Turn tracks about the beam, by as little as possible, until every event has its recoil.

    Gauss-Newton steps δφ = Jᵀ (J Jᵀ + ε)⁻¹ r towards a sum of pT vectors of unchanged direction
    and of length √(recoil Σ pT²), with J the derivatives of the sum with respect to the angles.
    An event with one track harder than all others together cannot have a small recoil.

    Parameters
    ----------
    pt, phi
        ``(N,)``, in GeV and rad.
    counts
        Tracks of every event.
    recoil
        |Σ pT vector|² / Σ pT² to reach, ``(n_events,)``.

    Returns
    -------
    numpy.ndarray
        The new phi, ``(N,)``.

    Examples
    --------
    >>> phi = balance(np.ones(3), np.array([0.0, 0.5, 1.0]), np.array([3]), np.array([0.01]))
    >>> print(round(abs(np.exp(1j * phi).sum()) ** 2 / 3, 4))
    0.01
    """
    event, _ = _events(counts)
    squares = np.bincount(event, pt**2, len(counts))
    ridge = 1e-2 * squares[:, None, None] * np.eye(2)
    for _ in range(STEPS):
        px, py = pt * np.cos(phi), pt * np.sin(phi)
        total = np.stack([np.bincount(event, x, len(counts)) for x in (px, py)], axis=1)
        length = np.linalg.norm(total, axis=1)
        miss = total * (np.sqrt(recoil * squares) / np.maximum(length, 1e-12) - 1)[:, None]
        xx, xy, yy = (np.bincount(event, x, len(counts)) for x in (py * py, -px * py, px * px))
        normal = np.stack([xx, xy, xy, yy], axis=1).reshape(-1, 2, 2) + ridge
        x, y = np.linalg.solve(normal, miss[..., None])[event, :, 0].T
        phi = phi - py * x + px * y
    return phi


def _events(counts):
    """The event of every track, and the first track of every event."""
    return np.repeat(np.arange(len(counts)), counts), np.cumsum(counts) - counts


def _moments(values, event, counts):
    """Mean and spread within every event."""
    mean = np.bincount(event, values, len(counts)) / counts
    variance = np.bincount(event, (values - mean[event]) ** 2, len(counts)) / counts
    return mean, np.maximum(np.sqrt(variance), SMALLEST)


#: Settings that are whole numbers.
SIZES = ("transforms", "width", "bins")
#: Tracks drawn at once.
CHUNK = 65536
#: How often tracks beyond their event's extremes are drawn again, and events with too few tracks.
REDRAWS, ROUNDS = 20, 100
#: Columns of a summary that hold the least and the largest log pT and eta.
EXTREMES = [[SUMMARY.index(f"{end}_{x}") for x in ("log_pt", "eta")] for end in ("min", "max")]


class FlowPileup(Generator):
    """Pileup events as p(event summary) ∏ p(track | event summary), each a neural spline flow.

    The first flow learns eleven numbers that summarise an event: its prompt and displaced tracks,
    mean, spread, least and largest log pT and eta, and the recoil |Σ pT vector|² / Σ pT². The
    second learns the tracks, in (log pT, eta, asinh(d0 / 10 nm), asinh(dz / 10 nm)), given the
    summary and whether they are displaced; log pT and eta are standardised within the event, and
    d0 and dz of prompt tracks, which are exactly 0, are replaced by Gaussian noise in training and
    set back to 0 on sampling. Both are masked autoregressive flows of rational-quadratic splines
    [1]_ as zuko has them, trained by maximum likelihood on the events and their mirror images
    (eta → −eta, dz → −dz).

    An event is sampled by drawing a summary and then its tracks, independently of each other;
    tracks beyond the event's extremes are drawn again, and the summary's extremes, means and
    spreads are imposed. phi is drawn uniformly, and then turned by as little as gives the event
    its recoil. Pairs of tracks from one decay are not modelled.

    Parameters
    ----------
    epochs
        Of each training; the best on a tenth of the events is kept.
    transforms
        Autoregressive transforms of each flow.
    width
        Width of the two hidden layers of each transform's network.
    bins
        Bins of the splines.
    batch_size
        Events of a step.
    learning_rate
        The first; it falls to 0 as a cosine.
    min_tracks
        Events with fewer tracks are dropped (and counted), and none is sampled.
    pt_limits
        Synthetic pT is kept between these, in GeV; all features are kept within the range of the
        training tracks.
    seed
        Seed of the fit, an int or a list of ints.

    Attributes
    ----------
    event_parameters_, track_parameters_
        float32: all weights of each flow, one after the other.
    summary_units_, context_units_
        ``(2, 11)``: mean and standard deviation of the summaries, and of the same with extremes
        relative to mean and spread, which the tracks are conditioned on.
    summary_range_
        ``(2, 11)``: least and largest summaries, within which synthetic ones are kept.
    track_scale_
        ``(4,)``: units of the tracks, 1 for log pT and eta.
    range_
        ``(2, 4)``: least and largest feature of the training tracks.
    event_losses_, track_losses_
        ``(epochs, 2)``: mean −log p on training and validation events.
    report_
        Events used and dropped, number of weights, and the best epoch of each training.

    References
    ----------
    .. [1] C. Durkan, A. Bekasov, I. Murray, G. Papamakarios, *Neural spline flows*,
       arXiv:1906.04032.

    Examples
    --------
    >>> from hepgmm.events import make_events
    >>> rng = np.random.default_rng(1)
    >>> columns = {"pt": rng.exponential(size=400) + 0.1, "eta": rng.normal(size=400)}
    >>> columns |= {name: rng.normal(size=400) for name in ("phi", "d0", "dz")}
    >>> events = make_events(columns, [20] * 20)
    >>> model = FlowPileup(epochs=1, width=8).fit(events)
    >>> len(model.sample(7, seed=2))
    7
    """

    FITTED = (
        "event_parameters_",
        "track_parameters_",
        "summary_units_",
        "summary_range_",
        "context_units_",
        "track_scale_",
        "range_",
        "event_losses_",
        "track_losses_",
        "report_",
    )

    def __init__(
        self,
        *,
        epochs=200,
        transforms=3,
        width=64,
        bins=8,
        batch_size=32,
        learning_rate=2e-3,
        min_tracks=3,
        pt_limits=(1e-6, 6500.0),
        seed=0,
    ):
        self.epochs = epochs
        self.transforms = transforms
        self.width = width
        self.bins = bins
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.min_tracks = min_tracks
        self.pt_limits = pt_limits
        self.seed = seed

    def fit(self, events, *, progress=False) -> FlowPileup:
        """Train both flows.

        Parameters
        ----------
        events
            Min-bias events as :func:`hepgmm.generate` gives them.
        progress
            Whether to show progress bars.

        Returns
        -------
        FlowPileup
            The model itself.

        Raises
        ------
        ValueError
            For bad events or parameters, or fewer than 10 events with ``min_tracks`` tracks.
        """
        import torch

        from hepgmm.pileup.networks import seeded, tracks_of, train

        # A fit that ends early leaves no mixture of the old one and the new.
        vars(self).pop("track_parameters_", None)
        check_settings(self, *SIZES)
        clouds = read_clouds(events, min_tracks=self.min_tracks)
        rng, n = np.random.default_rng(self.seed), len(clouds.counts)
        both = [summarise(seen, rng) for seen in (clouds, clouds.mirrored())]
        summaries, tracks = (np.concatenate(part) for part in zip(*both, strict=True))
        self.range_ = np.stack([clouds.features.min(axis=0), clouds.features.max(axis=0)])
        # Of the displaced: the zeros of the others say nothing about size.
        squares = (clouds.features[:, 2:] ** 2).sum(axis=0)
        sizes = np.sqrt(squares / max(clouds.displaced.sum(), 1))
        self.track_scale_ = np.array([1.0, 1.0, *np.where(sizes > 0, sizes, 1.0)])
        self.summary_range_ = np.stack([summaries.min(axis=0), summaries.max(axis=0)])
        relative = relative_extremes(summaries)
        self.summary_units_, self.context_units_ = map(standardisation, (summaries, relative))

        tracks = torch.from_numpy(tracks / self.track_scale_).float()
        context = torch.from_numpy(in_units(relative, self.context_units_)).float()
        summaries = torch.from_numpy(in_units(summaries, self.summary_units_)).float()
        displaced = torch.from_numpy(np.tile(clouds.displaced, 2))[:, None]
        offsets = torch.from_numpy(np.cumsum([0, *clouds.counts, *clouds.counts]))

        def mirrored(chosen):
            return chosen + n * torch.randint(0, 2, chosen.shape)

        def event_loss(flow, chosen):
            return -flow().log_prob(summaries[mirrored(chosen)]).mean()

        def track_loss(flow, chosen):
            chosen = mirrored(chosen)
            own, counts = tracks_of(chosen, offsets)
            x, is_displaced = tracks[own], displaced[own]
            x[:, 2:] = torch.where(is_displaced, x[:, 2:], torch.randn(len(x), 2))
            given = torch.cat([context[chosen].repeat_interleave(counts, 0), is_displaced], 1)
            return -flow(given).log_prob(x).mean()

        with seeded(rng):
            event_flow, track_flow = self._flows()
            event = train(event_flow, event_loss, n, self, label="event flow", progress=progress)
            track = train(track_flow, track_loss, n, self, label="track flow", progress=progress)
        self.event_parameters_, self.event_losses_ = event.parameters, event.losses
        self.report_ = {
            "events_used": n,
            "events_dropped": len(events) - n,
            "event_epoch": event.best_epoch,
            "track_epoch": track.best_epoch,
            "weights": len(event.parameters) + len(track.parameters),
        }
        self.track_parameters_, self.track_losses_ = track.parameters, track.losses
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
            If the model isn't fitted, or for a bad parameter.
        """
        import torch

        from hepgmm.pileup.networks import restore, seeded

        self._check_fitted()
        check_settings(self, *SIZES)
        check_draw(n_events=n_events)
        rng = np.random.default_rng(seed)
        with seeded(rng), torch.inference_mode():
            event_flow, track_flow = self._flows()
            summaries = self._summaries(restore(event_flow, self.event_parameters_), n_events)
            flow = restore(track_flow, self.track_parameters_)
            counts, displaced, tracks = self._tracks(flow, summaries)
        features = agree(tracks, summaries, counts)
        phi = rng.uniform(-np.pi, np.pi, len(tracks))
        phi = balance(np.exp(features[:, 0]), phi, counts, np.exp(summaries[:, -1]))
        return make_clouds(Clouds(features, displaced, phi, counts), self, seed=seed)

    def _summaries(self, flow, n_events):
        shift, scale = self.summary_units_
        found = np.empty((0, len(SUMMARY)))
        for _ in range(ROUNDS):
            if len(found) == n_events:
                return found
            x = flow().sample((n_events - len(found),)).double().numpy()
            x = np.clip(x * scale + shift, *self.summary_range_)
            found = np.concatenate([found, x[class_counts(x).sum(axis=1) >= self.min_tracks]])
        raise ValueError(
            f"min_tracks = {self.min_tracks}: the flow makes hardly any event with so many tracks"
        )

    def _tracks(self, flow, summaries):
        """Tracks of every event, which of them are displaced, and all tracks standardised."""
        import torch

        classes, relative = class_counts(summaries), relative_extremes(summaries)
        counts = classes.sum(axis=1)
        event = np.repeat(np.arange(len(counts)), counts)
        displaced = np.repeat(np.tile([False, True], len(counts)), classes.ravel())
        given = np.column_stack([in_units(relative, self.context_units_)[event], displaced])
        given = torch.from_numpy(given).float()
        low, high = (relative[event][:, columns] for columns in EXTREMES)
        tracks, stray = np.empty((len(event), 4)), np.arange(len(event))
        for _ in range(REDRAWS):
            parts = [flow(part).sample() for part in given[stray].split(CHUNK)]
            tracks[stray] = torch.cat(parts).numpy()
            stray = np.flatnonzero(((tracks[:, :2] < low) | (tracks[:, :2] > high)).any(axis=1))
            if not len(stray):
                break
        tracks[:, :2] = np.clip(tracks[:, :2], low, high)
        return counts, displaced, tracks * self.track_scale_

    def _flows(self):
        from zuko.flows import NSF

        options = {
            "transforms": self.transforms,
            "bins": self.bins,
            "hidden_features": [self.width, self.width],
        }
        return NSF(len(SUMMARY), **options), NSF(4, len(SUMMARY) + 1, **options)


def in_units(values, units):
    """Values less the first row of ``(2, d)`` units, divided by the second."""
    return (values - units[0]) / units[1]
