"""From track parameters to the numbers that a network sees."""

from __future__ import annotations

import torch
from torch import nn

from hepgmm.classify.feature_tables import FeatureTable, load_table
from hepgmm.classify.samples import COLUMNS

__all__ = ["TrackFeatures"]


class TrackFeatures(nn.Module):
    """Transform tracks into network inputs; a model owns one, so that a saved model carries it.

    The inputs are the rows of a table, which may be a YAML file of your own:

    ========  ======================================================================
    table     inputs
    ========  ======================================================================
    "raw"     pT/ΣpT, η, φ [rad], d0 [mm], dz [mm]
    "scaled"  the same with zero mean and unit variance over the training tracks
    "asinh"   log(pT/ΣpT) + 5, Δη/2, Δφ/π, asinh(d0/0.1 mm)/4, asinh(dz/50 mm): of order
              one for the tracks of an event with pileup, whose pT is about e⁻⁵ of the sum
    "full"    eleven: log pT relative and absolute, η, Δη, sin Δφ, cos Δφ, d0 and dz on two
              scales each, and dz from that of the hardest track
    ========  ======================================================================

    Δ is relative to the event's hardest track, the nearest thing to the axis of a jet; Δφ is in
    (−π, π]. Collisions have no preferred φ, so that turning an event loses nothing. Padding
    becomes 0 whatever it held.

    Parameters
    ----------
    table : str, Path or dict
        See :func:`hepgmm.classify.load_table`.

    Raises
    ------
    FileNotFoundError, ValueError
        If the table is unknown or a row of it is not allowed.

    Examples
    --------
    >>> features = TrackFeatures("asinh")
    >>> tracks = torch.tensor([[[1.0, 2.0, 0.5, 0.0, 0.0], [1.0, 1.0, 0.5, 0.0, 50.0]]])
    >>> features(tracks, torch.tensor([[True, True]]))[0, 1, :4].tolist()
    [5.0, -0.5, 0.0, 0.0]
    """

    def __init__(self, table="asinh"):
        super().__init__()
        self.rows, self.normalise = load_table(table)
        self.columns = [COLUMNS.index(row.of) for row in self.rows]
        self.register_buffer("mean", torch.zeros(len(self.rows)))
        self.register_buffer("std", torch.ones(len(self.rows)))

    @property
    def table(self):
        """The table itself, as :func:`hepgmm.classify.load_table` reads it, for saved models."""
        return FeatureTable(self.rows, self.normalise).mapping

    @property
    def formulas(self):
        """What each of the inputs is, for axis labels."""
        return tuple(row.formula for row in self.rows)

    def _inputs(self, X, mask):
        """Inputs before they are normalised; anything where there is padding."""
        needed = max(self.columns) + 1
        if X.shape[-1] < needed:
            missing = ", ".join(COLUMNS[X.shape[-1] : needed])
            raise ValueError(f"tracks have {X.shape[-1]} columns; the features need {missing} too")
        X = X.masked_fill(~mask.unsqueeze(-1), 0.0)
        hardest = X[..., 0].argmax(-1)[..., None, None].expand(*X.shape[:-2], 1, X.shape[-1])
        relative = X - X.gather(-2, hardest)
        turns = 2 * torch.pi * torch.ceil(relative[..., 2] / (2 * torch.pi) - 0.5)
        relative = {c: relative[..., c] - (turns if c == 2 else 0.0) for c in set(self.columns)}
        inputs = [
            row.forward(relative[column] if row.origin else X[..., column])
            for row, column in zip(self.rows, self.columns, strict=True)
        ]
        return torch.stack(inputs, -1)

    def fit(self, X, mask):
        """Set means and standard deviations from training tracks, if the table asks for it.

        Parameters
        ----------
        X : array, shape (n, max_tracks, 5 or 6)
        mask : array, bool, shape (n, max_tracks)

        Returns
        -------
        TrackFeatures
            Itself.
        """
        if self.normalise:
            X, mask = torch.as_tensor(X), torch.as_tensor(mask)
            inputs = self._inputs(X.double(), mask)[mask]
            std = inputs.std(0, correction=0)
            self.mean.copy_(inputs.mean(0))
            self.std.copy_(torch.where(std > 0, std, 1.0))
        return self

    def forward(self, X, mask):
        """Inputs, shape (n, max_tracks, n_rows), of tracks X, shape (n, max_tracks, 5 or 6)."""
        inputs = (self._inputs(X, mask) - self.mean) / self.std
        return inputs.masked_fill(~mask.unsqueeze(-1), 0.0)

    def inverse(self, inputs):
        """Track parameters that have these inputs; those from the hardest track stay relative.

        Parameters
        ----------
        inputs : array, shape (..., n_rows)

        Returns
        -------
        dict of str to array, shape (...)
            By parameter; one that several rows are of is taken from the first that tells it.

        Examples
        --------
        >>> X = torch.tensor([[[1.0, 2.0, 3.0, 0.1, 50.0]]])
        >>> features = TrackFeatures("raw")
        >>> {k: float(v) for k, v in features.inverse(features(X, X[..., 0] > 0)).items()}["phi"]
        3.0
        """
        values = (inputs * self.std + self.mean).unbind(-1)
        parameters, waves = {}, {}
        for row, value in zip(self.rows, values, strict=True):
            if row.transform in ("sin", "cos"):
                waves[row.of, row.transform] = row, (value - row.shift) * row.over
            elif row.of not in parameters:
                parameters[row.of] = row.inverse(value)
        for (of, kind), (row, sine) in waves.items():
            if kind == "sin" and (of, "cos") in waves and of not in parameters:
                parameters[of] = row.scale * torch.atan2(sine, waves[of, "cos"][1])
        return parameters
