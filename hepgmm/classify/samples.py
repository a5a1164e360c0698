"""Labelled samples of selected events, the currency of training and evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["COLUMNS", "Sample", "check_tracks"]

#: Columns of X; the last, pT in GeV, may be missing.
COLUMNS = ("pt_relative", "eta", "phi", "d0", "dz", "pt")
#: Columns of a limited range, with some room for rounding.
RANGES = {"pt_relative": (0.0, 1.0001), "phi": (-3.1417, 3.1417), "pt": (0.0, np.inf)}


def check_tracks(X, mask, n_columns=None):
    """An error unless X and mask are those of the same events, with the columns that are needed.

    What cannot be a pT or an azimuth is refused, as of columns in another order; d0 and dz, say,
    look alike, and their exchange goes unnoticed.

    Parameters
    ----------
    X : array, shape (n, max_tracks, 5 or 6)
    mask : array, shape (n, max_tracks)
    n_columns : int, optional
        How many columns the classifier was trained on.

    Raises
    ------
    ValueError
        If a shape is another one, or a track has an impossible pT or azimuth.

    Examples
    --------
    >>> check_tracks(np.ones((2, 3, 4)), np.ones((2, 3)))
    Traceback (most recent call last):
    ValueError: X has shape (2, 3, 4); expected (n, max_tracks, 5 or 6)
    """
    shape, columns = tuple(X.shape), (5, len(COLUMNS)) if n_columns is None else (n_columns,)
    if len(shape) != 3 or shape[2] not in columns:
        known = " or ".join(map(str, columns))
        raise ValueError(f"X has shape {shape}; expected (n, max_tracks, {known})")
    if tuple(mask.shape) != shape[:2]:
        raise ValueError(f"mask has shape {tuple(mask.shape)}; expected {shape[:2]}, that of X")
    tracks, names = np.asarray(X)[np.asarray(mask, dtype=bool)], COLUMNS[: shape[2]]
    for name, values in zip(names, tracks.T, strict=True):
        low, high = RANGES.get(name, (-np.inf, np.inf))
        wrong = (values < low) | (values > high)
        if wrong.any():
            raise ValueError(
                f"X has a track with {name} = {values[wrong][0]:.4g}, outside {low:.4g} to "
                f"{high:.4g}; its columns have to be {', '.join(names)}, in this order"
            )


@dataclass(frozen=True, eq=False)
class Sample:
    """Selected events with their labels.

    Indexing with an array of event numbers, a boolean array or a slice gives a smaller sample.

    Parameters
    ----------
    X : array, float32, shape (n, max_tracks, 5 or 6)
        Track features as :func:`hepgmm.select` gives them: pT relative to the event's sum, η,
        φ [rad], d0 [mm], dz [mm], and pT [GeV] if it is asked for.
    mask : array, bool, shape (n, max_tracks)
        True where there is a track, False where there is padding.
    y : array, shape (n,)
        1 for signal, 0 for background.
    mass : array, shape (n,), optional
        Mass of the long-lived particle [GeV]; 0 for background.
    hard : array, bool, shape (n, max_tracks), optional
        True where the track is of the hard collision, False for pileup and padding: a truth that
        only a simulation has.

    Raises
    ------
    ValueError
        If the shapes disagree, a label is not 0 or 1, or a track has a value that is not finite
        or impossible.

    Examples
    --------
    >>> sample = Sample(np.ones((3, 2, 5)), np.ones((3, 2), dtype=bool), [0, 1, 1])
    >>> len(sample), len(sample[sample.y == 1])
    (3, 2)
    """

    X: np.ndarray
    mask: np.ndarray
    y: np.ndarray
    mass: np.ndarray | None = None
    hard: np.ndarray | None = None

    def __post_init__(self):
        X = np.asarray(self.X, dtype=np.float32)
        mask, y = np.asarray(self.mask, dtype=bool), np.asarray(self.y)
        n = len(y)
        check_tracks(X, mask)
        if len(X) != n:
            raise ValueError(f"Sample: X has {len(X)} events, y has {n}")
        if not np.isin(y, (0, 1)).all():
            raise ValueError("Sample: y holds labels other than 0 (background) and 1 (signal)")
        broken = (~np.isfinite(X) & mask[..., None]).any(axis=(1, 2))
        if broken.any():
            raise ValueError(
                f"Sample: X of event {np.argmax(broken)} has a value that is not finite"
            )
        if self.mass is not None and np.shape(self.mass) != (n,):
            raise ValueError(f"Sample: mass has shape {np.shape(self.mass)}, expected ({n},)")
        if self.hard is not None and np.shape(self.hard) != mask.shape:
            raise ValueError(f"Sample: hard has shape {np.shape(self.hard)}, not {mask.shape}")
        mass = None if self.mass is None else np.asarray(self.mass)
        hard = None if self.hard is None else np.asarray(self.hard, dtype=bool)
        values = {"X": X, "mask": mask, "y": y.astype(np.int8), "mass": mass, "hard": hard}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, index):
        mass, hard = (None if x is None else x[index] for x in (self.mass, self.hard))
        return Sample(self.X[index], self.mask[index], self.y[index], mass, hard)

    def check_classes(self, name="sample"):
        """An error unless there are events of both classes.

        Examples
        --------
        >>> Sample(np.ones((2, 1, 5)), np.ones((2, 1)), [1, 1]).check_classes("training")
        Traceback (most recent call last):
        ValueError: training: no background event; both classes are needed
        """
        for label, role in enumerate(("background", "signal")):
            if not (self.y == label).any():
                raise ValueError(f"{name}: no {role} event; both classes are needed")
