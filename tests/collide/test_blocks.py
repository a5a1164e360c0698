"""One Pythia: seeds, failures, lifetimes, tables, and tracks against a particle loop."""

import dataclasses

import awkward as ak
import numpy as np
import pytest
from scipy import stats

from hepgmm.collide import processes, pythia
from hepgmm.collide.perigee import perigee
from hepgmm.collide.processes import resolve
from hepgmm.collide.pythia import Engine
from hepgmm.events import accept


@pytest.fixture(scope="module")
def qcd():
    return Engine("qcd", resolve("qcd", {}))


@pytest.fixture(scope="module")
def llp():
    return Engine("llp", resolve("llp", {}))


def test_events_depend_on_the_seed_and_not_on_what_came_before(qcd):
    events = qcd.generate(30, seed=11)
    assert qcd.generate(30, seed=12).to_list() != events.to_list()
    assert qcd.generate(30, seed=11).to_list() == events.to_list()
    assert qcd.generate(4, seed=11).to_list() == events[:4].to_list()
    assert Engine("qcd", resolve("qcd", {})).generate(30, seed=11).to_list() == events.to_list()


def test_pythia_prints_nothing(capfd):
    Engine("llp", resolve("llp", {})).generate(2, seed=1)
    assert capfd.readouterr() == ("", "")


def test_tracks_agree_with_a_loop_over_particles(llp):
    events = llp.generate(4, seed=21)
    pythia = llp.pythia
    pythia.rndm.init(21)
    for event in events:
        assert pythia.next()
        expected = []
        for particle in pythia.event:
            x, y, z = particle.xProd(), particle.yProd(), particle.zProd()
            inside = np.hypot(x, y) < 1150 and abs(z) < 3510
            if particle.isFinal() and particle.isCharged() and inside:
                momentum = particle.px(), particle.py(), particle.pz()
                expected.append(perigee(x, y, z, *momentum, particle.charge(), field=2.0))
        for name in events.fields:
            values = [float(getattr(track, name)) for track in expected]
            np.testing.assert_allclose(event[name], values, rtol=1e-6, atol=1e-6)


def test_failed_tries_are_counted_and_made_up_for(qcd, monkeypatch):
    class Flaky:
        """Loses every third event."""

        def __init__(self, pythia):
            self.rndm, self.particleData, self.pythia, self.tries = (
                pythia.rndm,
                pythia.particleData,
                pythia,
                0,
            )

        def nextBatch(self, n, mode):
            batch = self.pythia.nextBatch(n, mode)
            number = self.tries + np.arange(n)
            self.tries += n
            return ak.mask(batch, number % 3 != 2)

    whole = qcd.generate(60, seed=31)
    assert whole.attrs["provenance"] == {"failed_tries": 0}
    monkeypatch.setattr(qcd, "pythia", Flaky(qcd.pythia))
    events = qcd.generate(40, seed=31)
    failed = events.attrs["provenance"]["failed_tries"]
    assert failed == qcd.pythia.tries - 40 > 15
    assert events.to_list() == whole[np.arange(60) % 3 != 2].to_list()


def test_a_pythia_that_always_fails_is_given_up(qcd, monkeypatch):
    class Broken:
        rndm = qcd.pythia.rndm
        particleData = qcd.pythia.particleData
        real = qcd.pythia

        def nextBatch(self, n, mode):
            return ak.mask(self.real.nextBatch(1, mode)[[0] * n], [False] * n)

    monkeypatch.setattr(qcd, "pythia", Broken())
    with pytest.raises(RuntimeError, match="Pythia made 0 events in"):
        qcd.generate(5, seed=1)


def test_generation_can_be_stopped(qcd):
    answers = iter([False, True])
    with pytest.raises(InterruptedError):
        qcd.generate(100, seed=1, stopped=lambda: next(answers))


def test_impossible_settings_are_named():
    with pytest.raises(RuntimeError, match="does not take the setting HardQCD:everything = on"):
        pythia.start({"HardQCD:everything": "on"})
    with pytest.raises(RuntimeError, match=r"can't be initialised with .*SUSY:qqbar2chi0chi0"):
        pythia.start({"SUSY:qqbar2chi0chi0": "on"})


@pytest.mark.parametrize("ctau", [3000.0, 0.5])
def test_neutralinos_live_as_long_as_asked(ctau, monkeypatch):
    # Hadrons have no say in the lifetime, and take time.
    llp = processes.PROCESSES["llp"]
    bare = dataclasses.replace(
        llp, settings=lambda options: llp.settings(options) | {"HadronLevel:all": "off"}
    )
    monkeypatch.setitem(processes.PROCESSES, "llp", bare)
    neutral = Engine("llp", resolve("llp", {"ctau": ctau, "mass": 500}))
    particles = ak.flatten(neutral.pythia.nextBatch(150).prt)
    particles = particles[particles.id == processes.LLP_ID]
    # A neutralino appears in the record several times, with one lifetime.
    lifetimes = np.unique(ak.to_numpy(particles.tau))
    assert len(lifetimes) == 300
    assert abs(lifetimes.mean() - ctau) < 3 * ctau / np.sqrt(300)
    assert stats.kstest(lifetimes, stats.expon(scale=ctau).cdf).pvalue > 0.01
    assert ak.all(particles.m == 500)


def test_field_bends_and_lifetime_displaces(llp):
    long_lived = llp.generate(30, seed=5)
    prompt = Engine("llp", resolve("llp", {"ctau": 1e-3})).generate(30, seed=5)
    far = [np.mean(np.abs(ak.flatten(accept(e).d0)) > 1.0) for e in (long_lived, prompt)]
    assert far[0] > 3 * far[1]
    straight = Engine("qcd", resolve("qcd", {"field": 1e-6})).generate(5, seed=5)
    bent = Engine("qcd", resolve("qcd", {"field": 4.0})).generate(5, seed=5)
    assert straight.pt.to_list() == bent.pt.to_list()
    assert straight.d0.to_list() != bent.d0.to_list()


def test_tables_of_a_slow_start_are_made_once_and_kept_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("HEPGMM_CACHE", str(tmp_path))
    slow = dataclasses.replace(processes.PROCESSES["qcd"], slow_start=True)
    monkeypatch.setitem(processes.PROCESSES, "qcd", slow)
    options = resolve("qcd", {})
    first = Engine("qcd", options).generate(3, seed=1)
    (file,) = tmp_path.iterdir()
    before = file.read_bytes(), file.stat().st_mtime_ns
    assert Engine("qcd", options).generate(3, seed=1).to_list() == first.to_list()
    assert before == (file.read_bytes(), file.stat().st_mtime_ns)
    assert pythia.multiparton_tables("qcd", resolve("qcd", {"energy": 8000})) != (
        pythia.multiparton_tables("qcd", options)
    )
    assert len(list(tmp_path.iterdir())) == 2
    # Tables that were damaged since are made again.
    file.write_text("")
    assert Engine("qcd", options).generate(3, seed=1).to_list() == first.to_list()
    assert file.read_bytes() == before[0]
