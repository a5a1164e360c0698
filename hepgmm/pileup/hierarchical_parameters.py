"""What the parameters of the hierarchical mixture may be."""

from __future__ import annotations

import numpy as np

from hepgmm.mixture.arguments import check_candidates

__all__ = ["FIXED_BY_FIT", "FLOORS", "SWITCHES", "check_parameters", "check_unchanged"]

#: Parameters with a few values to choose from, the paper's first.
SWITCHES = {
    "draw": ("uniform", "tracks"),
    "parametrisation": ("cholesky", "log"),
    "features": ("linear", "asinh"),
    "outside": ("keep", "redraw"),
}
#: Those that say what the fitted numbers mean.
FIXED_BY_FIT = ("draw", "parametrisation", "features")
#: Parameters that are floors of variances, and how many features they belong to.
FLOORS = {"covariance_floor": 4, "high_level_floor": 15, "multiplicity_floor": 1}


def check_parameters(model) -> None:
    """Refuse impossible parameters of a :class:`hepgmm.HierarchicalGMM`.

    Raises
    ------
    ValueError
        The parameter is named, and what is allowed.

    Examples
    --------
    >>> from hepgmm.pileup.hierarchical import HierarchicalGMM
    >>> check_parameters(HierarchicalGMM(draw="events"))
    Traceback (most recent call last):
    ValueError: draw = 'events': 'uniform' or 'tracks'
    """
    low, high = model.pt_limits
    clip, smallest = model.clip_eigenvalues, check_candidates(model.n_components)[0]
    checks = [
        (model.min_tracks >= 2, f"min_tracks = {model.min_tracks}: give at least 2"),
        (
            smallest <= model.min_tracks,
            f"n_components: the smallest, {smallest}, is above min_tracks = {model.min_tracks}",
        ),
        (clip is None or clip > 0, f"clip_eigenvalues = {clip}: give None or more than 0"),
        *(
            (
                np.shape(floor) in ((), (size,)) and (np.asarray(floor) > 0).all(),
                f"{name} = {floor}: give a number above 0, or one for each of {size} features",
            )
            for name, size in FLOORS.items()
            for floor in (getattr(model, name),)
        ),
        (0 < model.min_weight < 1, f"min_weight = {model.min_weight}: give one in (0, 1)"),
        (0 < low < high <= 1e15, f"pt_limits = {low, high}: give 0 < low < high <= 1e15 GeV"),
        *(
            (value in allowed, f"{name} = {value!r}: {' or '.join(map(repr, allowed))}")
            for name, allowed in SWITCHES.items()
            for value in (getattr(model, name),)
        ),
    ]
    for fine, message in checks:
        if not fine:
            raise ValueError(message)


def check_unchanged(model) -> None:
    """Refuse to sample a fitted model whose numbers mean something else than its parameters say.

    Raises
    ------
    ValueError
        The parameter that changed since the fit is named.
    """
    for name, fitted in model.switches_.items():
        value = getattr(model, name)
        if value != fitted:
            raise ValueError(
                f"{name} = {value!r}, but the model is fitted with {fitted!r}: fit again"
            )
