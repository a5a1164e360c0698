"""Pileup events from two normalising flows: one of event summaries, one of tracks."""

from __future__ import annotations

import numpy as np

from hepgmm.mixture.sampling import check_draw
from hepgmm.pileup.clouds import Clouds, check_settings, make_clouds, read_clouds, standardisation
from hepgmm.pileup.generator import Generator
from hepgmm.pileup.summaries import (
    SUMMARY,
    agree,
    balance,
    class_counts,
    relative_extremes,
    summarise,
)

__all__ = ["FlowPileup"]

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
    >>> from hepgmm.tracks import make_events
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
