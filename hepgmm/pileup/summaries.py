"""What a flow knows of an event as a whole, and tracks made to agree with it."""

from __future__ import annotations

import numpy as np

from hepgmm.pileup.clouds import Clouds

__all__ = ["SUMMARY", "agree", "balance", "class_counts", "relative_extremes", "summarise"]

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
ROUNDS, STEPS = 5, 10


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
        for _ in range(ROUNDS):
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
