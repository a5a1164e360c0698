"""Presets: every number that a run depends on, checked when it is loaded."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hepgmm.classify.ladder import CLASSIFIERS, RUNGS

__all__ = [
    "SCHEMA",
    "Rule",
    "load_preset",
    "preset_files",
]


@dataclass(frozen=True)
class Rule:
    """What one key of a preset may be: its meaning, unit, type and bounds.

    Attributes
    ----------
    meaning, unit
        A phrase for documentation and error messages; the unit is empty for a pure number.
    kind
        ``int``, ``float`` or ``str``.
    low, high
        Inclusive bounds of a number.
    choices
        The allowed strings, when ``kind`` is ``str``.
    many
        The value is a list of ``kind`` rather than one.
    """

    meaning: str
    kind: type = int
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    unit: str = ""
    many: bool = False

    @property
    def allowed(self) -> str:
        """The allowed values in words, as error messages and the book show them."""
        if self.choices:
            return ", ".join(self.choices)
        noun = {int: "integer", float: "number", str: "text"}[self.kind] + ("s" * self.many)
        words = [f"list of {noun}" if self.many else noun]
        if math.isfinite(self.low):
            words.append(f"from {self.low:g}")
        if math.isfinite(self.high):
            words.append(f"to {self.high:g}")
        return " ".join([*words, self.unit]).strip()

    def check(self, where: str, value: Any) -> Any:
        """Return ``value`` in its proper type.

        Parameters
        ----------
        where
            ``group.key``, named in the error.
        value
            What the preset holds.

        Returns
        -------
        int, float, str or list
            The value, an integer promoted where a real number is meant, and so is text such as
            ``1e-5``, which YAML does not take for a number.

        Raises
        ------
        ValueError
            If the value is impossible; the message lists what is allowed.

        Examples
        --------
        >>> Rule("mean pileup", float, low=0).check("overlay.mu", 60)
        60.0
        """
        if self.many:
            if isinstance(value, str) or not isinstance(value, Iterable) or not list(value):
                raise ValueError(f"{where}: {value!r} is not a {self.allowed}")
            return [self._check_one(where, item) for item in value]
        return self._check_one(where, value)

    def _check_one(self, where, value):
        given = value
        if isinstance(value, str) and self.kind is not str:
            with suppress(ValueError):
                value = float(value)
        numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
        if self.kind is str:
            good = isinstance(value, str) and (not self.choices or value in self.choices)
        else:
            good = numeric and self.low <= value <= self.high
            good = good and (self.kind is float or float(value).is_integer())
        if not good:
            raise ValueError(f"{where}: {given!r} is not allowed; allowed: {self.allowed}")
        return self.kind(value)


class TableRule(Rule):
    """A table of network inputs: by its name, or a file or mapping of your own, which is read."""

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        return f"{super().allowed}, or a YAML file"

    def check(self, where: str, value: Any) -> Any:
        """Return the name of a table, or the table itself, so that runs are known by what it says.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such table or file, or a row of it is not allowed.
        """
        if value in self.choices:
            return value
        from hepgmm.classify.features import load_table

        try:
            return load_table(value).mapping
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{where}: {error}") from None
        except (OSError, ValueError) as error:
            raise ValueError(f"{where}: {error}") from None


SCHEMA: dict[str, dict[str, Rule]] = {
    "data": {
        "n_minbias": Rule("min-bias events that the mixture learns from", low=20),
        "n_pool": Rule("min-bias events of real pileup, if it is asked for", low=20),
        "n_qcd": Rule("QCD jet events (background)", low=20),
        "n_llp_per_mass": Rule("neutralino events (signal) of each mass", low=10),
        "llp_masses": Rule("neutralino masses", float, 10, 3000, unit="GeV", many=True),
        "ctau": Rule("proper decay length of the neutralino", float, 0.01, 1e6, unit="mm"),
        "pt_hat_min": Rule("lowest pT-hat of the QCD process", float, 5, 3000, unit="GeV"),
    },
    "mixture": {
        "max_event_components": Rule(
            "largest number of components tried per event", low=1, high=40
        ),
        "high_level_max": Rule("most components of the high-level mixture", low=1, high=1000),
        "n_init": Rule("starts of every expectation-maximisation", low=1, high=50),
        "covariance_floor": Rule("least variance of a component of an event fit", float, 1e-12, 1),
        "clip_eigenvalues": Rule(
            "floor of synthetic eigenvalues in the two cures", float, 1e-12, 1
        ),
        "synthetic_events": Rule("synthetic events drawn for the validation", low=20),
    },
    "overlay": {
        "mu": Rule("mean number of pileup events on a hard event", float, 0, 500),
        "pileup": Rule(
            "where pileup events come from",
            str,
            choices=("hgmm", "hgmm_clipped", "hgmm_scaled", "shared", "real"),
        ),
        "dz_reference": Rule(
            "point that dz is relative to", str, choices=("origin", "hard", "reconstructed")
        ),
        "sigma_z": Rule("spread of the vertices along the beam", float, 0, 1000, unit="mm"),
        "pt_min": Rule("lowest pT of a selected track", float, 0, 100, unit="GeV"),
        "abs_eta_max": Rule("largest |eta| of a selected track", float, 0.1, 10),
        "max_tracks": Rule("tracks kept per event, the hardest first", low=1, high=2000),
    },
    "training": {
        "classifiers": Rule("rungs of the ladder that are trained, at least two", str, many=True),
        "epochs_mlp": Rule("epochs of the MLP", low=1, high=10000),
        "epochs_transformer": Rule("epochs of the transformer", low=1, high=10000),
        "batch_size": Rule("events in a batch", low=2, high=65536),
        "learning_rate": Rule("peak learning rate of AdamW", float, 1e-7, 1),
        "schedule": Rule("course of the learning rate", str, choices=("step", "cosine")),
        "features": TableRule(
            "table of the inputs of MLP and transformer",
            str,
            choices=("raw", "scaled", "asinh", "full"),
        ),
        "feedforward": Rule("width of the transformer's feed-forward layers", low=1, high=8192),
        "dropout": Rule("dropout of the transformer's features", float, 0, 0.9),
        "attention_dropout": Rule("dropout of the transformer's attention weights", float, 0, 0.9),
        "test_fraction": Rule("share of events kept for the test", float, 0.01, 0.9),
        "validation_fraction": Rule(
            "share of the training events that choose the best epoch", float, 0.01, 0.9
        ),
    },
}


def preset_files() -> dict[str, Path]:
    """The presets that come with the package: name -> YAML file.

    Returns
    -------
    dict of str to pathlib.Path
        From ``params/`` of a checkout, or from the copy inside an installed wheel.

    Examples
    --------
    >>> sorted(preset_files())
    ['paper', 'quick', 'standard']
    """
    package = Path(__file__).resolve().parents[1]
    folder = next((p for p in (package / "params", package.parent / "params") if p.is_dir()), None)
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))} if folder else {}


def load_preset(
    preset: str | os.PathLike = "quick",
    *,
    seed: int | None = None,
    **overrides: Mapping[str, Any],
) -> dict[str, Any]:
    """Read a preset, apply overrides and check every value.

    Parameters
    ----------
    preset
        A name (``quick``, ``standard``, ``paper``) or the path of a YAML file of the same
        shape. Keys that a file leaves out take the value of ``quick``.
    seed
        Replaces the preset's seed when given.
    **overrides
        Keys to change, by group: ``overlay={"mu": 140}``.

    Returns
    -------
    dict
        ``{"preset": name, "seed": int, "data": {…}, "mixture": {…}, "overlay": {…},
        "training": {…}}``.

    Raises
    ------
    FileNotFoundError
        If there is no such preset or file; the message lists the presets.
    ValueError
        If a group or key is unknown or a value impossible; the message names the preset (or
        "override") and lists what is allowed.

    Examples
    --------
    >>> load_preset("quick", overlay={"mu": 140})["overlay"]["mu"]
    140.0
    """
    values = _read(preset)
    base = values if preset == "quick" else _read("quick")
    name = values.pop("preset", None)
    if name is None:
        name = Path(preset).stem
    elif not (isinstance(name, str) and re.fullmatch(r"[\w-][\w.-]*", name)):
        raise ValueError(
            f"{preset}: preset: {name!r} cannot name the files of a run; use letters, digits, "
            "'_', '-' and '.', but not first a '.'"
        )
    if str(preset) not in preset_files() and name in preset_files():
        raise ValueError(
            f"{preset}: preset: {name!r} is the name of a preset of the package, whose "
            "results it would replace; give it a name of its own"
        )
    _find_table(values, Path(preset).parent)
    own_seed = values.pop("seed", base.get("seed"))
    where, seed = (f"{preset}: seed", own_seed) if seed is None else ("override: seed", seed)
    merged = {"preset": name, "seed": Rule("seed", int, 0, 2**63).check(where, seed)}
    _reject_unknown("group", {**values, **overrides}, SCHEMA, source=str(preset))
    for group, rules in SCHEMA.items():
        checked = {}
        for source, change in (
            ("quick", base[group]),
            (preset, values.get(group)),
            ("override", overrides.get(group)),
        ):
            change = {} if change is None else change
            if not isinstance(change, Mapping):
                raise ValueError(f"{source}: {group} must hold keys and values, not {change!r}")
            _reject_unknown(f"key of {group}", change, rules, source=str(source))
            for key, value in change.items():
                checked[key] = rules[key].check(f"{source}: {group}.{key}", value)
        merged[group] = {key: checked[key] for key in rules}
    _check_together(merged, source=str(preset))
    return merged


def _read(preset):
    files = preset_files()
    path = files.get(str(preset), Path(preset))
    if not path.is_file():
        raise FileNotFoundError(
            f"no preset {str(preset)!r}; there are {', '.join(files)}, or a path"
        )
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{path}: not YAML in UTF-8 ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: a preset holds groups of keys: {', '.join(SCHEMA)}")
    return values


def _find_table(values, folder):
    """Let a table of inputs that a preset names lie beside the preset."""
    training = values.get("training")
    features = training.get("features") if isinstance(training, Mapping) else None
    if isinstance(features, str) and features.endswith((".yaml", ".yml")):
        training["features"] = str(folder / features)


def _reject_unknown(what, names, allowed, *, source):
    for name in names:
        if name not in allowed:
            raise ValueError(f"{source}: unknown {what}: {name!r}; allowed: {', '.join(allowed)}")


def _check_together(values, *, source):
    data, training = values["data"], values["training"]
    known, names = (*RUNGS, *CLASSIFIERS), training["classifiers"]
    for name in names:
        if name not in known:
            raise ValueError(
                f"{source}: training.classifiers: no {name!r}; there are "
                f"{', '.join(dict.fromkeys(known))}"
            )
        if names.count(name) > 1:
            raise ValueError(f"{source}: training.classifiers: {name!r} twice; give each once")
    if len(names) < 2:
        raise ValueError(f"{source}: training.classifiers: give at least two, to be compared")
    masses = [f"{mass:g}" for mass in data["llp_masses"]]
    # Files are named by the mass, so that equal ones would be one sample, taken twice.
    if len(set(masses)) < len(masses):
        raise ValueError(
            f"{source}: data.llp_masses: {', '.join(masses)} GeV are not distinct to six digits; "
            "give each mass once"
        )
    n_signal = data["n_llp_per_mass"] * len(data["llp_masses"])
    if data["n_qcd"] != n_signal:
        raise ValueError(
            f"{source}: data.n_qcd: {data['n_qcd']} does not balance the {n_signal} signal events "
            "(n_llp_per_mass times the number of llp_masses); make them equal"
        )
    n_test = 2 * n_signal * training["test_fraction"]
    n_validation = (2 * n_signal - n_test) * training["validation_fraction"]
    if min(n_test, n_validation) < 4:
        raise ValueError(
            f"{source}: training.test_fraction, training.validation_fraction: fewer than 4 events "
            "are left to test or validate with; raise them, or data.n_qcd"
        )
