"""Options and settings of the processes."""

import pytest

from hepgmm.collide.processes import (
    HBAR_C,
    PROCESSES,
    resolve,
    settings,
    slha,
)


def test_defaults_are_the_documented_ones():
    common = {"energy": 13000.0, "field": 2.0}
    assert resolve("minbias", {}) == common
    assert resolve("qcd", {}) == common | {"pt_hat_min": 20.0}
    assert resolve("llp", {}) == common | {"mass": 100.0, "ctau": 3000.0, "decay": "udd"}


def test_options_reach_pythia():
    options = resolve("qcd", {"pt_hat_min": 55, "energy": 8000})
    assert settings("qcd", options) == {
        "Beams:eCM": 8000.0,
        "HardQCD:all": "on",
        "PhaseSpace:pTHatMin": 55.0,
    }


@pytest.mark.parametrize(
    ("process", "options", "message"),
    [
        ("suep", {}, "unknown process 'suep': choose one of minbias, qcd, llp"),
        ("minbias", {"mass": 1.0}, "process 'minbias' has no option 'mass': it has energy, field"),
        ("qcd", {"pthat": 20}, "no option 'pthat': it has energy, field, pt_hat_min"),
        ("llp", {"decay": "uds"}, "unknown decay 'uds': choose one of udd"),
        ("llp", {"ctau": 0}, "ctau = 0: give a number above 0 and up to 1e\\+09 mm"),
        ("llp", {"ctau": float("nan")}, "ctau = nan: give a number"),
        ("llp", {"mass": "heavy"}, "mass = 'heavy': give a number"),
        ("llp", {"mass": True}, "mass = True: give a number"),
        ("qcd", {"pt_hat_min": -5}, "pt_hat_min = -5: give a number above 1"),
        ("minbias", {"energy": float("inf")}, "energy = inf: give a number"),
        ("qcd", {"pt_hat_min": 500, "energy": 900}, "pt_hat_min = 500 GeV: a pair of these"),
        ("llp", {"mass": 5000, "energy": 8000}, "mass = 5000 GeV: a pair of these"),
    ],
)
def test_bad_options_are_named(process, options, message):
    with pytest.raises(ValueError, match=message):
        resolve(process, options)


def test_slha_holds_mass_width_and_channels():
    lines = slha(resolve("llp", {"mass": 500, "ctau": 100})).splitlines()
    assert " 1000025 500" in lines
    decay = next(line for line in lines if line.startswith("DECAY"))
    assert float(decay.split()[2]) == pytest.approx(HBAR_C / 100.0)
    channels = [line.split() for line in lines[lines.index(decay) + 1 :]]
    assert sum(float(channel[0]) for channel in channels) == 1.0
    # Quark charges sum to zero: the neutralino is neutral, and its own antiparticle.
    charge = {1: -1, 2: 2, 3: -1, -1: 1, -2: -2, -3: 1}
    for _, number, *quarks in channels:
        assert len(quarks) == int(number) == 3
        assert sum(charge[int(quark)] for quark in quarks) == 0


def test_every_superpartner_has_a_mass_once():
    lines = slha(resolve("llp", {})).splitlines()
    masses = lines[lines.index("BLOCK MASS") + 1 : lines.index("BLOCK NMIX")]
    particles = [int(line.split()[0]) for line in masses]
    assert len(particles) == len(set(particles))
    assert {1000022, 1000021, 2000015, 1000006} <= set(particles)


def test_processes_describe_themselves():
    assert set(PROCESSES) == {"minbias", "qcd", "llp"}
    assert all(process.title for process in PROCESSES.values())
