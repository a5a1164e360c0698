"""What fitting and sampling did, in plain numbers."""

from __future__ import annotations

import numpy as np

__all__ = ["describe_fits", "tally"]


def tally(count, total) -> dict:
    """Return a count and the fraction of the total that it is.

    Examples
    --------
    >>> tally(1, 4)
    {'count': 1, 'fraction': 0.25}
    """
    return {"count": int(count), "fraction": float(count / total) if total else 0.0}


def describe_fits(mixtures, *, covariance_floor) -> dict:
    """Return the figures of the mixtures of many events.

    Parameters
    ----------
    mixtures
        The ``MixtureFits`` that ``hepgmm.mixture.fit_many`` gives.
    covariance_floor
        The floor that it was asked for.

    Returns
    -------
    dict
        ``events_used``; ``components`` and ``components_floored``, those with a direction at the
        floor, as ``floored_fraction`` too; ``mean_K``; ``floors_raised``, events whose floor had
        to exceed ``covariance_floor``; ``fits`` and ``fits_not_converged``. Errors are standard
        errors over events.
    """
    k, floored = mixtures.n_components, mixtures.floored > 0
    fitted = np.isfinite(mixtures.criterion)
    own = np.add.reduceat(floored.astype(float), mixtures.offsets[:-1])
    fraction, events = floored.mean(), len(k)
    # Components of one event are not independent: the error is that of a ratio over events.
    error = np.sqrt(((own - fraction * k) ** 2).sum() * events / (events - 1)) / k.sum()
    raised = (mixtures.floors > 1.001 * np.asarray(covariance_floor)).any(axis=1)
    return {
        "events_used": len(k),
        "components": len(floored),
        "components_floored": int(floored.sum()),
        "floored_fraction": {
            "value": float(fraction),
            "error": float(error),
        },
        "mean_K": {"value": float(k.mean()), "error": float(k.std(ddof=1) / np.sqrt(len(k)))},
        "floors_raised": int(raised.sum()),
        "fits": int(fitted.sum()),
        "fits_not_converged": int((fitted & ~mixtures.converged).sum()),
    }
