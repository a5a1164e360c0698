"""Catalogues of what is varied: the settings of the ladder, and the studies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["EVENTS", "SETTINGS", "STUDIES", "Point", "Study"]


@dataclass(frozen=True)
class Point:
    """One setting: what differs from a preset.

    Attributes
    ----------
    value : float or str
        Where it stands on the axis of a study, or its name.
    groups : mapping
        Keys of the preset to change, by group, in training and in test.
    test : mapping, optional
        Further ones in the test alone.
    change : str, optional
        Of the samples, from ``hepgmm.measure.changes.CHANGES``.
    events : float
        How many training and validation events are used, in parts of all of them.
    fresh : bool, optional
        Whether networks have fresh pileup in every epoch; None: those that ask for it.
    """

    value: float | str
    groups: Mapping[str, Mapping] = field(default_factory=dict)
    test: Mapping[str, Mapping] | None = None
    change: str | None = None
    events: float = 1.0
    fresh: bool | None = None


@dataclass(frozen=True)
class Study:
    """A series of settings.

    Attributes
    ----------
    title, axis : str
        What figures say.
    points : tuple of Point
        In the order of the axis.
    scale : str
        "linear" or "log" for numbers, "phrases" for phrases.
    figures : mapping
        The figures of merit that are shown, each with what its legend adds to the classifier.
    more : tuple of str
        Rungs that are measured beside those of all studies.
    trainings : int
        The least number of each rung.
    """

    title: str
    axis: str
    points: tuple[Point, ...]
    scale: str = "phrases"
    figures: Mapping[str, str] = field(default_factory=lambda: {"auc": ""})
    more: tuple[str, ...] = ()
    trainings: int = 1


def _series(group, key, values):
    return tuple(Point(value, {group: {key: value}}) for value in values)


_HGMM, _SHARED, _REAL = ({"overlay": {"pileup": name}} for name in ("hgmm", "shared", "real"))
_LADDER = _series("overlay", "dz_reference", ("origin", "reconstructed", "hard"))
_LADDER += Point("real", _SHARED, _REAL), Point("detector", _SHARED, _REAL, change="smeared")
SETTINGS = {str(point.value): point for point in _LADDER}
"""Settings of the ladder: what dz is measured from, with the preset's pileup; then training with
pileup of a ``SharedGMM`` and test with real pileup, with and without a detector's resolution."""

#: Keys of the preset that the studies change: fewer events, of which more are for the test.
EVENTS = {
    "data": {"n_qcd": 8000, "n_llp_per_mass": 4000, "llp_masses": [100.0, 500.0]},
    "training": {"test_fraction": 0.4},
    "overlay": {"pileup": "shared"},
}
STUDIES: dict[str, Study] = {
    "mu": Study(
        "Pileup",
        "mean number of pileup events μ",
        _series("overlay", "mu", (0, 20, 60, 100, 200)),
        scale="linear",
    ),
    "ctau": Study(
        "Lifetime of the neutralino",
        "proper decay length cτ [mm]",
        _series("data", "ctau", (10, 100, 1000, 3000, 10_000)),
        scale="log",
    ),
    "ctau_unseen": Study(
        "Lifetimes that training did not see",
        "proper decay length cτ in the test, trained at 3000 mm [mm]",
        tuple(
            Point(ctau, {"data": {"ctau": 3000}}, test={"data": {"ctau": ctau}})
            for ctau in (10, 100, 1000, 3000, 10_000)
        ),
        scale="log",
    ),
    "pt_hat_min": Study(
        "Hardness of the background",
        r"lowest $\hat{p}_T$ of the QCD process [GeV]",
        _series("data", "pt_hat_min", (20, 50, 100)),
        scale="linear",
    ),
    "training": Study(
        "Size of the training",
        "training events, in parts of all of them",
        tuple(Point(part, events=part) for part in (0.05, 0.1, 0.2, 0.5, 1.0)),
        scale="log",
    ),
    "detector": Study(
        "Detector",
        "what the detector sees",
        (
            Point("all tracks, exact"),
            Point("|η| < 2.5, exact", {"overlay": {"abs_eta_max": 2.5}}),
            Point("|η| < 2.5, resolution", {"overlay": {"abs_eta_max": 2.5}}, change="smeared"),
        ),
    ),
    "tracks": Study(
        "Tracks kept",
        "hardest tracks kept of an event",
        _series("overlay", "max_tracks", (10, 20, 40, 80, 160)),
        scale="log",
    ),
    "dz": Study(
        "Reference of dz",
        "dz relative to",
        (
            Point("the centre"),
            Point("a reconstructed vertex", {"overlay": {"dz_reference": "reconstructed"}}),
            Point("the true vertex (oracle)", {"overlay": {"dz_reference": "hard"}}),
        ),
    ),
    "pileup": Study(
        "Pileup, real or synthetic",
        "pileup in training → in test",
        (
            Point("real\n→ real", _REAL),
            Point("SharedGMM\n→ real", _SHARED, _REAL),
            Point("paper's HGMM\n→ real", _HGMM, _REAL),
            Point("real\n→ SharedGMM", _REAL, _SHARED),
            Point("real\n→ paper's HGMM", _REAL, _HGMM),
        ),
    ),
    "fresh": Study(
        "Pileup of an epoch",
        "pileup in training, with a quarter of the hard events",
        (
            Point("the same in every epoch", events=0.25, fresh=False),
            Point("fresh in every epoch", events=0.25, fresh=True),
        ),
        more=("pooled_transformer",),
        trainings=3,
    ),
    "inputs": Study(
        "Inputs taken away",
        "without",
        (
            Point("nothing"),
            Point("d0", change="without_d0"),
            Point("dz", change="without_dz"),
            Point("d0 and dz", change="without_distances"),
            Point("phi", change="without_phi"),
        ),
    ),
    "masses": Study(
        "Masses that training did not see",
        "masses in the test, seen in training or not [GeV]",
        (
            Point("100, 500: seen"),
            Point("300, 1000: not seen", test={"data": {"llp_masses": [300.0, 1000.0]}}),
            Point("300, 1000: seen", {"data": {"llp_masses": [300.0, 1000.0]}}),
        ),
        figures={f"auc_{mass}": f"{mass} GeV" for mass in (100, 500, 300, 1000)},
    ),
}
"""Name → study, each measured with the events of ``EVENTS``."""
