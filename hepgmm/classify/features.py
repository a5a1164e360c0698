"""From track parameters to the numbers that a network sees: tables of transforms and scales."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import torch
import yaml
from torch import nn

from hepgmm.crossings.samples import COLUMNS

__all__ = [
    "TRANSFORMS",
    "FeatureRow",
    "FeatureTable",
    "TrackFeatures",
    "load_table",
    "table_names",
]

# A track below a millionth of the event's pT is beyond any selection; the floor keeps log finite.
_LOG_FLOOR = 1e-6
_SYMBOLS = dict(zip(COLUMNS, ("pT / Σ pT", "η", "φ", "d0", "dz", "pT"), strict=True))


class Transform(NamedTuple):
    """A function of one variable, and its inverse where it has one."""

    forward: Callable
    inverse: Callable | None = None


TRANSFORMS = {
    "linear": Transform(lambda x: x, lambda x: x),
    "log": Transform(lambda x: x.clamp_min(_LOG_FLOOR).log(), torch.exp),
    "asinh": Transform(torch.asinh, torch.sinh),
    "sin": Transform(torch.sin),
    "cos": Transform(torch.cos),
}
"""What a row of a table may apply; sin and cos of one parameter are inverted together."""


class FeatureRow(NamedTuple):
    """One input of a network: ``f((x - x of the hardest track) / scale) / over + shift``.

    Attributes
    ----------
    name : str
    of : str
        One of ``hepgmm.crossings.samples.COLUMNS``.
    origin : {None, "hardest"}
        What x counts from.
    transform : str
        Name of f, one of ``TRANSFORMS``.
    scale, over, shift : float
    unit : str
        Of x and of its scale; empty for a number.
    """

    name: str
    of: str
    origin: str | None = None
    transform: str = "linear"
    scale: float = 1.0
    over: float = 1.0
    shift: float = 0.0
    unit: str = ""

    @property
    def formula(self) -> str:
        """For axis labels.

        Examples
        --------
        >>> FeatureRow("d0", "d0", transform="asinh", scale=0.1, over=4.0, unit="mm").formula
        'asinh(d0 / 0.1 mm) / 4'
        """
        text = f"Δ{_SYMBOLS[self.of]}(hardest)" if self.origin else _SYMBOLS[self.of]
        is_plain = self.transform == "linear"
        if self.scale != 1 or (self.unit and not is_plain):
            text += f" / {_number(self.scale)}" + f" {self.unit}" * bool(self.unit)
        elif self.unit:
            text += f" [{self.unit}]"
        text = text if is_plain else f"{self.transform}({text})"
        text += f" / {_number(self.over)}" if self.over != 1 else ""
        return text + (f" + {self.shift:g}" if self.shift else "")

    def forward(self, x):
        """Input of a parameter, both tensors of any shape."""
        return TRANSFORMS[self.transform].forward(x / self.scale) / self.over + self.shift

    def inverse(self, value):
        """Parameter that has this input; None where the transform alone does not tell."""
        inverse = TRANSFORMS[self.transform].inverse
        return inverse and self.scale * inverse((value - self.shift) * self.over)


class FeatureTable(NamedTuple):
    """All inputs of a network, in their order.

    Attributes
    ----------
    rows : tuple of FeatureRow
    normalise : bool
        Whether to bring them to zero mean and unit variance over the training tracks.
    """

    rows: tuple
    normalise: bool = False

    @property
    def mapping(self):
        """The table as YAML and saved models hold it."""
        rows = [row._asdict() for row in self.rows]
        rows = [{"from" if k == "origin" else k: v for k, v in row.items()} for row in rows]
        return {"rows": rows, "normalise": self.normalise}


def _number(value):
    return "π" if value == math.pi else f"{value:g}"


@cache
def _packaged():
    text = files("hepgmm.classify").joinpath("features.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


def table_names() -> tuple[str, ...]:
    """Names of the tables that come with the package.

    Examples
    --------
    >>> table_names()
    ('raw', 'scaled', 'asinh', 'full')
    """
    return tuple(_packaged())


def load_table(table) -> FeatureTable:
    """A table of inputs, checked.

    Parameters
    ----------
    table : str, Path or dict
        ``"raw"``, ``"scaled"``, ``"asinh"`` or ``"full"``, the path of a YAML file with ``rows``
        and perhaps ``normalise``, or such a mapping itself. What a row is, says
        ``hepgmm/classify/features.yaml``.

    Returns
    -------
    FeatureTable

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such table or file, or a row of it is not allowed.

    Examples
    --------
    >>> [row.formula for row in load_table("asinh").rows][:2]
    ['log(pT / Σ pT) + 5', 'Δη(hardest) / 2']
    """
    where = "features"
    if isinstance(table, str) and table in _packaged():
        where, table = table, _packaged()[table]
    elif isinstance(table, (str, Path)):
        where = str(table)
        if not where.endswith((".yaml", ".yml")):
            known = ", ".join(table_names())
            raise ValueError(
                f"features={where!r} is unknown; choose one of {known}, or a YAML file"
            )
        try:
            table = yaml.safe_load(Path(table).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise FileNotFoundError(f"{where}: no such file") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{where}: not a YAML file ({error})") from None
    is_table = isinstance(table, Mapping) and set(table) <= {"rows", "normalise"}
    if not is_table or not isinstance(table.get("rows"), list) or not table["rows"]:
        raise ValueError(f"{where}: a table has a list of rows, and perhaps normalise: true")
    normalise = table.get("normalise", False)
    if not isinstance(normalise, bool):
        raise ValueError(f"{where}: normalise: {normalise!r} is neither true nor false")
    rows = tuple(_row(row, f"{where}: row {i}") for i, row in enumerate(table["rows"], start=1))
    names = [row.name for row in rows]
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        raise ValueError(f"{where}: two rows have the name {doubles[0]!r}")
    return FeatureTable(rows, normalise)


def _row(given, where):
    """A checked row."""
    if not isinstance(given, Mapping):
        raise ValueError(f"{where}: {given!r} is not a mapping such as {{name: eta, of: eta}}")
    values = dict(given)
    values["origin"] = values.pop("from", None)
    unknown = set(values) - set(FeatureRow._fields)
    if unknown or not {"name", "of"} <= set(values):
        keys = ", ".join(["name", "of", "from", *FeatureRow._fields[3:]])
        raise ValueError(f"{where}: {dict(given)!r}; name and of are needed, the keys are {keys}")
    choices = {"of": COLUMNS, "origin": (None, "hardest"), "transform": tuple(TRANSFORMS)}
    for key, allowed in choices.items():
        if key in values and values[key] not in allowed:
            known = ", ".join(map(str, filter(None, allowed)))
            name = {"origin": "from"}.get(key, key)
            raise ValueError(f"{where}: {name}: {values[key]!r} is unknown; choose one of {known}")
    if values["origin"] and values.get("transform") == "log":
        raise ValueError(f"{where}: no logarithm of a difference, which is 0 for the hardest track")
    for key in ("scale", "over", "shift"):
        value = values.get(key, FeatureRow._field_defaults[key])
        value = math.pi if value == "pi" else value
        is_number = isinstance(value, (int, float)) and math.isfinite(value)
        if not is_number or (value == 0 and key != "shift"):
            raise ValueError(f"{where}: {key}: {value!r} is not a number that can be used")
        values[key] = float(value)
    return FeatureRow(**values)


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
    >>> tracks = [[1.0, 2.0, 0.5, 0.0, 0.0], [1.0, 1.0, 0.5, 0.0, 50.0]]
    >>> tracks = torch.tensor([tracks])
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
        >>> tracks = features.inverse(features(X, X[..., 0] > 0))
        >>> float(tracks["phi"])
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
