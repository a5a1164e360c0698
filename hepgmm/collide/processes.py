"""The processes that can be generated: their options and Pythia settings, as data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real

__all__ = [
    "KAON",
    "LAMBDA",
    "PION",
    "PROCESSES",
    "PROTON",
    "Process",
    "resolve",
    "settings",
    "slha",
]

#: Masses in GeV of the particles that make most displaced tracks; K_S is as heavy as K⁰
#: (S. Navas et al., Particle Data Group, Phys. Rev. D 110, 030001 (2024)).
KAON, LAMBDA, PION, PROTON = 0.497611, 1.115683, 0.139570, 0.938272

#: cτ[mm] · Γ[GeV] = ħc.
HBAR_C = 1.973269804e-13
LLP_ID = 1000025
#: Final quarks of the decay of the long-lived neutralino (it is a Majorana particle).
DECAYS = {"udd": ((2, 1, 3), (-2, -1, -3))}

# Options of every process: collision energy in GeV, magnetic field in T.
COMMON = {"energy": 13000.0, "field": 2.0}
# Allowed range of every numeric option (open below, closed above) and its unit.
RANGES = {
    "energy": (20.0, 1e6, "GeV"),
    "field": (0.0, 100.0, "T"),
    "pt_hat_min": (1.0, 6000.0, "GeV"),
    "mass": (10.0, 6000.0, "GeV"),
    "ctau": (0.0, 1e9, "mm"),
}


@dataclass(frozen=True)
class Process:
    """One process: what it is, its options with their defaults, its Pythia settings.

    Attributes
    ----------
    title
        What it is, in words.
    settings
        Pythia setting → value, as a function of the options.
    options
        Option → default value, beside the common ``energy`` and ``field``.
    slow_start
        Whether Pythia's initialisation is slow enough to keep its multiparton tables in a file.
    """

    title: str
    settings: Callable[[dict], dict]
    options: dict = field(default_factory=dict)
    slow_start: bool = False


#: The processes by name.
PROCESSES = {
    "minbias": Process(
        title="inelastic, diffractive and elastic proton-proton collisions",
        settings=lambda options: {"SoftQCD:all": "on"},
        slow_start=True,
    ),
    "qcd": Process(
        title="hard QCD jets",
        settings=lambda options: {
            "HardQCD:all": "on",
            "PhaseSpace:pTHatMin": options["pt_hat_min"],
        },
        options={"pt_hat_min": 20.0},
    ),
    "llp": Process(
        title="a pair of long-lived neutralinos that decay to three quarks each",
        settings=lambda options: {
            "SUSY:qqbar2chi0chi0": "on",
            "SUSY:idA": LLP_ID,
            "SUSY:idB": LLP_ID,
            "SLHA:verbose": 0,
        },
        options={"mass": 100.0, "ctau": 3000.0, "decay": "udd"},
    ),
}


def resolve(process: str, options: dict) -> dict:
    """All options of a process: the defaults, overridden by what was given, checked.

    Parameters
    ----------
    process
        A key of ``PROCESSES``.
    options
        Some of its options.

    Returns
    -------
    dict
        Every option with its value; numbers as float.

    Raises
    ------
    ValueError
        For an unknown process or option or an impossible value; names the allowed ones.

    Examples
    --------
    >>> resolve("qcd", {"pt_hat_min": 50})
    {'energy': 13000.0, 'field': 2.0, 'pt_hat_min': 50.0}
    """
    if process not in PROCESSES:
        raise ValueError(f"unknown process {process!r}: choose one of {', '.join(PROCESSES)}")
    allowed = COMMON | PROCESSES[process].options
    for key, value in options.items():
        if key not in allowed:
            raise ValueError(
                f"process {process!r} has no option {key!r}: it has {', '.join(allowed)}"
            )
        if key == "decay":
            if value not in DECAYS:
                raise ValueError(f"unknown decay {value!r}: choose one of {', '.join(DECAYS)}")
            continue
        low, high, unit = RANGES[key]
        number = isinstance(value, Real) and not isinstance(value, bool)
        if not (number and math.isfinite(value) and low < value <= high):
            raise ValueError(
                f"{key} = {value!r}: give a number above {low:g} and up to {high:g} {unit}"
            )
    chosen = {k: v if k == "decay" else float(v) for k, v in (allowed | options).items()}
    for key in {"pt_hat_min", "mass"} & chosen.keys():
        if 2 * chosen[key] >= chosen["energy"]:
            raise ValueError(
                f"{key} = {chosen[key]:g} GeV: a pair of these needs more than the collision "
                f"energy of {chosen['energy']:g} GeV"
            )
    return chosen


def settings(process: str, options: dict) -> dict:
    """Pythia settings of a process with resolved options.

    Parameters
    ----------
    process
        A key of ``PROCESSES``.
    options
        What :func:`resolve` returned.

    Returns
    -------
    dict
        Pythia setting → value.

    Examples
    --------
    >>> settings("minbias", resolve("minbias", {}))["SoftQCD:all"]
    'on'
    """
    return {"Beams:eCM": options["energy"], **PROCESSES[process].settings(options)}


def slha(options: dict) -> str:
    r"""SUSY Les Houches Accord text of a model with one light, long-lived neutralino.

    All other superpartners weigh 10 TeV and nothing mixes. The lifetime goes in as the width of
    the ``DECAY`` block, :math:`\Gamma = \hbar c / c\tau`: Pythia overrides a lifetime that is
    set in any other way.

    Parameters
    ----------
    options
        ``mass`` in GeV, ``ctau`` in mm and ``decay``, a key of ``DECAYS``.

    Returns
    -------
    str
        The file's text.

    References
    ----------
    P. Skands et al., SUSY Les Houches Accord, JHEP 07 (2004) 036, arXiv:hep-ph/0311123.

    Examples
    --------
    >>> print(slha({"mass": 100.0, "ctau": 3000.0, "decay": "udd"}).splitlines()[-3])
    DECAY 1000025 6.577566013e-17
    """
    flavours = range(1, 7)
    heavy = [
        *(1000000 + i for i in flavours),
        *(2000000 + i for i in flavours),
        *(1000010 + i for i in flavours),
        *(2000010 + i for i in (1, 3, 5)),
        *(1000021, 1000022, 1000023, 1000024, 1000035, 1000037, 1000039),
    ]
    lines = ["BLOCK MODSEL", " 1 0", "BLOCK MASS", f" {LLP_ID} {options['mass']:.9g}"]
    lines += [f" {particle} 1.0e4" for particle in heavy]
    mixings = {"NMIX": 4, "UMIX": 2, "VMIX": 2, "STOPMIX": 2, "SBOTMIX": 2, "STAUMIX": 2}
    for name, size in mixings.items():
        lines.append(f"BLOCK {name}")
        lines += [
            f" {i} {j} {float(i == j)}" for i in range(1, size + 1) for j in range(1, size + 1)
        ]
    # mu and tan(beta): without them Pythia finds no coupling, and no cross-section.
    lines += ["BLOCK HMIX", " 1 1.0e3", " 2 10.0"]
    lines.append(f"DECAY {LLP_ID} {HBAR_C / options['ctau']:.9e}")
    channels = DECAYS[options["decay"]]
    for quarks in channels:
        lines.append(f" {1 / len(channels)} {len(quarks)} {' '.join(map(str, quarks))}")
    return "\n".join(lines) + "\n"
