"""Pileup events from noise: a diffusion model of clouds of tracks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from hepgmm.mixture.sampling import check_draw
from hepgmm.pileup.base import Generator
from hepgmm.pileup.points import (
    Clouds,
    check_settings,
    make_clouds,
    read_clouds,
)

__all__ = [
    "Denoiser",
    "DiffusionPileup",
]


def pool(x, counts):
    """Sums over the tracks of every event, divided by their number n and by √n.

    A mean says what an event is like; the sum over √n is of order 1 for pure noise, however many
    tracks there are, so that small common shifts stand out.
    """
    total = torch.segment_reduce(x, "sum", lengths=counts, unsafe=True)
    n = counts[:, None]
    return total / n, total / n.sqrt()


class Layer(nn.Module):
    """Tracks speak to a vector of the event, and the vector to the tracks (EPiC).

    g ← g + W SiLU(V g + P pool(LayerNorm(x))); x ← x + B SiLU(A LayerNorm(x) + C g).

    Parameters
    ----------
    width, global_width : int
        Features of a track and of the event.
    """

    def __init__(self, width, global_width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.pooled = nn.Linear(2 * width, global_width, bias=False)
        self.event = nn.Linear(global_width, global_width)
        self.update = nn.Linear(global_width, global_width)
        self.expand = nn.Linear(width, width)
        self.shared = nn.Linear(global_width, width, bias=False)
        self.contract = nn.Linear(width, width)
        nn.init.zeros_(self.contract.weight)

    def forward(self, x, g, counts):
        """Tracks x, shape (N, width), and event vectors g, shape (n, global_width), updated."""
        h = self.norm(x)
        pooled = self.pooled(torch.cat(pool(h, counts), 1))
        g = g + self.update(F.silu(pooled + self.event(g)))
        h = self.expand(h) + self.shared(g).repeat_interleave(counts, 0)
        return x + self.contract(F.silu(h)), g


class Denoiser(nn.Module):
    """The mean of clean tracks given noisy ones, D(x; σ), for any number and order of tracks.

    D = x / (σ² + 1) + σ / √(σ² + 1) F(x / √(σ² + 1); σ, n), the preconditioning of Karras et al.
    (arXiv:2206.00364, table 1) for features of unit variance, with F made of layers of EPiC-GAN
    (Buhmann et al., arXiv:2301.08128). The vector of the event starts from log σ, the number n of
    tracks, and the sums of the noisy features and of their squares. Events lie one after the other,
    so that there is no padding.

    Parameters
    ----------
    n_features, width, global_width, n_layers : int
    typical : float
        Unit of the number of tracks.

    Examples
    --------
    >>> network = Denoiser(7, width=8, global_width=4, n_layers=1, typical=3.0)
    >>> network(torch.rand(5, 7), torch.ones(2, 1), torch.tensor([2, 3])).shape
    torch.Size([5, 7])
    """

    def __init__(self, n_features, *, width, global_width, n_layers, typical):
        super().__init__()
        self.typical = typical
        self.register_buffer("frequencies", 2.0 ** torch.arange(-3, 5), persistent=False)
        self.condition = nn.Sequential(
            nn.Linear(2 + 2 * len(self.frequencies) + 2 * n_features, global_width),
            nn.SiLU(),
            nn.Linear(global_width, global_width),
        )
        self.embed = nn.Linear(n_features, width)
        self.layers = nn.ModuleList([Layer(width, global_width) for _ in range(n_layers)])
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, n_features)
        nn.init.zeros_(self.output.weight)

    def forward(self, x, sigma, counts):
        """Clean tracks, shape (N, F), of x, shape (N, F), with noise sigma, shape (n, 1)."""
        noise = sigma.log() / 4
        waves = noise * self.frequencies
        n = (counts[:, None] / self.typical).float()
        sigma = sigma.repeat_interleave(counts, 0)
        root = (sigma**2 + 1).sqrt()
        scaled = x / root
        _, sums = pool(torch.cat([scaled, scaled**2 - 1], 1), counts)
        g = self.condition(torch.cat([noise, n.log(), waves.sin(), waves.cos(), sums], 1))
        h = self.embed(scaled)
        for layer in self.layers:
            h, g = layer(h, g, counts)
        return x / root**2 + sigma / root * self.output(self.norm(h))


#: What is diffused: log pT, eta, whether displaced, asinh of d0 and dz, px, py.
N_FEATURES = 7
#: Settings that are whole numbers.
SIZES = ("width", "global_width", "n_layers", "n_steps")
#: Mean and spread of the logarithm of the noise in training (Karras et al., table 1).
LOG_NOISE = (0.0, 1.5)
#: Least and largest noise in sampling, and the power in which its steps are equal.
LEAST, LARGEST, POWER = 0.005, 40.0, 7.0
#: Events sampled at once.
BATCH = 256


class DiffusionPileup(Generator):
    """Pileup events as clouds of tracks that are gradually freed of noise.

    A network D(x; σ) learns to recover all tracks of an event, in (log pT, eta, displaced or not,
    asinh(d0 / 10 nm), asinh(dz / 10 nm), px, py), each of unit variance, from their sum
    with Gaussian noise of any spread σ, the "EDM" of Karras et al. [1]_. It is made of EPiC layers
    [2]_, in which tracks exchange means and sums: the order of the tracks doesn't matter, the cost
    is linear in their number, and correlations within an event can be learnt; [3]_ and [4]_ have
    diffused jets in this way. In training every event is turned about the beam by a random angle
    and mirrored at random (eta → −eta with dz → −dz, phi → −phi with d0 → −d0).

    An event is sampled by drawing a multiplicity from those of the training events and solving
    dx/dσ = (x − D(x; σ)) / σ from pure noise to σ = 0 with Heun's method. Tracks whose class comes
    out nearer to prompt get d0 = dz = 0 exactly ("analog bits").

    Parameters
    ----------
    epochs
        Of the training; the best on a tenth of the events is kept.
    width, global_width
        Numbers that stand for a track and for the event within the network.
    n_layers
        EPiC layers.
    n_steps
        Steps from noise to events, each of two evaluations of the network but the last.
    batch_size
        Events of a training step.
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
    parameters_
        float32: all weights of the network, one after the other.
    shift_, scale_
        ``(7,)``: mean and spread of the features.
    range_
        ``(2, 4)``: least and largest log pT, eta and asinh of d0 and dz of the training tracks.
    multiplicities_
        Tracks of every training event, in their order.
    losses_
        ``(epochs, 2)``: mean weighted squared error on training and validation events.
    report_
        Events used and dropped, number of weights, and the best epoch.

    References
    ----------
    .. [1] T. Karras, M. Aittala, T. Aila, S. Laine, *Elucidating the design space of
       diffusion-based generative models*, arXiv:2206.00364.
    .. [2] E. Buhmann, G. Kasieczka, J. Thaler, *EPiC-GAN: equivariant point cloud generation for
       particle jets*, arXiv:2301.08128.
    .. [3] M. Leigh et al., *PC-JeDi: diffusion for particle cloud generation in high energy
       physics*, arXiv:2303.05376.
    .. [4] V. Mikuni, B. Nachman, M. Pettee, *Fast point cloud generation with diffusion models in
       high energy physics*, arXiv:2304.01266.

    Examples
    --------
    >>> from hepgmm.events import make_events
    >>> rng = np.random.default_rng(1)
    >>> columns = {"pt": rng.exponential(size=400) + 0.1, "eta": rng.normal(size=400)}
    >>> columns |= {name: rng.normal(size=400) for name in ("phi", "d0", "dz")}
    >>> events = make_events(columns, [20] * 20)
    >>> model = DiffusionPileup(epochs=1, width=8, n_layers=1).fit(events)
    >>> len(model.sample(7, seed=2))
    7
    """

    FITTED = ("parameters_", "shift_", "scale_", "range_", "multiplicities_", "losses_", "report_")

    def __init__(
        self,
        *,
        epochs=180,
        width=96,
        global_width=64,
        n_layers=6,
        n_steps=30,
        batch_size=16,
        learning_rate=2e-3,
        min_tracks=3,
        pt_limits=(1e-6, 6500.0),
        seed=0,
    ):
        self.epochs = epochs
        self.width = width
        self.global_width = global_width
        self.n_layers = n_layers
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.min_tracks = min_tracks
        self.pt_limits = pt_limits
        self.seed = seed

    def fit(self, events, *, progress=False) -> DiffusionPileup:
        """Train the network.

        Parameters
        ----------
        events
            Min-bias events as :func:`hepgmm.generate` gives them.
        progress
            Whether to show a progress bar.

        Returns
        -------
        DiffusionPileup
            The model itself.

        Raises
        ------
        ValueError
            For bad events or parameters, or fewer than 10 events with ``min_tracks`` tracks.
        """
        import torch

        from hepgmm.pileup.networks import seeded, tracks_of, train

        # A fit that ends early leaves no mixture of the old one and the new.
        vars(self).pop("parameters_", None)
        check_settings(self, *SIZES)
        clouds = read_clouds(events, min_tracks=self.min_tracks)
        self.multiplicities_ = clouds.counts
        self.range_ = np.stack([clouds.features.min(axis=0), clouds.features.max(axis=0)])
        log_pt, eta, d0, dz = clouds.features.T
        momentum = np.exp(log_pt + 1j * clouds.phi)
        points = np.column_stack(
            [log_pt, eta, clouds.displaced, d0, dz, momentum.real, momentum.imag]
        )
        # Only these means survive a turn and mirrors.
        self.shift_ = points.mean(axis=0) * [1, 0, 1, 0, 0, 0, 0]
        spread = np.sqrt(((points - self.shift_) ** 2).mean(axis=0))
        spread[5:] = np.sqrt((spread[5:] ** 2).mean())
        self.scale_ = np.where(spread > 0, spread, 1.0)
        points = torch.from_numpy((points - self.shift_) / self.scale_).float()
        offsets = torch.from_numpy(np.cumsum([0, *clouds.counts]))

        def loss(network, chosen):
            own, counts = tracks_of(chosen, offsets)
            clean = turn(points[own], counts)
            mean, spread = LOG_NOISE
            sigma = torch.exp(mean + spread * torch.randn(len(chosen), 1))
            noisy = clean + sigma.repeat_interleave(counts, 0) * torch.randn_like(clean)
            # The weight of Karras et al. for data of unit variance.
            weight = ((sigma**2 + 1) / sigma**2).repeat_interleave(counts, 0)
            return (weight * (network(noisy, sigma, counts) - clean) ** 2).mean()

        with seeded(self.seed):
            network, n = self._network(), len(clouds.counts)
            training = train(network, loss, n, self, label="diffusion", progress=progress)
        self.report_ = {
            "events_used": n,
            "events_dropped": len(events) - n,
            "epoch": training.best_epoch,
            "weights": len(training.parameters),
        }
        self.parameters_, self.losses_ = training.parameters, training.losses
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
        counts = rng.choice(self.multiplicities_, n_events)
        points = torch.empty(int(counts.sum()), N_FEATURES)
        with seeded(rng), torch.inference_mode():
            network = restore(self._network(), self.parameters_)
            batches = torch.from_numpy(counts).split(BATCH)
            sizes = [int(batch.sum()) for batch in batches]
            for part, batch in zip(points.split(sizes), batches, strict=True):
                part.copy_(free_of_noise(network, batch, self.n_steps))
        log_pt, eta, displaced, d0, dz, x, y = (points.numpy() * self.scale_ + self.shift_).T
        features = np.stack([log_pt, eta, d0, dz], axis=1)
        return make_clouds(
            Clouds(features, displaced > 0.5, np.arctan2(y, x), counts), self, seed=seed
        )

    def _network(self):

        return Denoiser(
            N_FEATURES,
            width=self.width,
            global_width=self.global_width,
            n_layers=self.n_layers,
            typical=float(self.multiplicities_.mean()),
        )


def turn(points, counts):
    """Turn every event about the beam by a random angle, and mirror it at random in two ways."""
    import torch

    angle = 2 * np.pi * torch.rand(len(counts))
    signs = torch.randint(0, 2, (2, len(counts))) * 2.0 - 1.0
    per_event = torch.stack([angle.cos(), angle.sin(), *signs])
    c, s, side, along = per_event.repeat_interleave(counts, 1)
    log_pt, eta, displaced, d0, dz, x, y = points.T
    y, d0 = y * side, d0 * side
    mirrored = [log_pt, eta * along, displaced, d0, dz * along, c * x - s * y, s * x + c * y]
    return torch.stack(mirrored, 1)


def free_of_noise(network, counts, n_steps):
    """Clouds of given numbers of tracks: Heun's method from noise to none (Karras, algorithm 1)."""
    import torch

    ends = LARGEST ** (1 / POWER), LEAST ** (1 / POWER)
    sigmas = torch.cat([torch.linspace(*ends, n_steps) ** POWER, torch.zeros(1)])
    x = sigmas[0] * torch.randn(int(counts.sum()), N_FEATURES)

    def slope(x, sigma):
        return (x - network(x, sigma.expand(len(counts), 1), counts)) / sigma

    for now, then in pairwise(sigmas):
        first = slope(x, now)
        euler = x + (then - now) * first
        # At the end there is no noise left to divide by.
        x = x + (then - now) * (first + slope(euler, then)) / 2 if then > 0 else euler
    return x
