"""generate: workers, seeds, resume after kill -9, interruption, provenance."""

import json
import multiprocessing
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import tqdm.auto

import hepgmm
from hepgmm.collide import pythia
from hepgmm.collide.pythia import Engine
from hepgmm.events import accept
from hepgmm.io.parquet import load_tracks

ROOT = Path(hepgmm.__file__).parents[1]


def pythia_workers():
    """Processes that generate started; joblib's idle ones, of other tests, do not count."""
    children = multiprocessing.active_children()
    return [child for child in children if not child.name.startswith("LokyProcess")]


def generate(process="qcd", n_events=12, *, seed=3, **options):
    return pythia.generate(process, n_events, seed=seed, progress=False, **options)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(pythia, "BLOCK_SIZE", 5)


def start(code):
    """Run Python code with small blocks in a process of its own, until all its children ended."""
    setup = "from hepgmm.collide import pythia\npythia.BLOCK_SIZE = 5\n"
    # The children share the pipes: they close when the last of them has ended.
    return subprocess.run(
        [sys.executable, "-c", setup + code], cwd=ROOT, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def uninterrupted():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pythia, "BLOCK_SIZE", 5)
        return generate(n_events=22).to_list()


@pytest.mark.parametrize("workers", [2, 3])
def test_events_do_not_depend_on_the_number_of_workers(workers, uninterrupted):
    assert generate(n_events=22, workers=workers).to_list() == uninterrupted
    assert pythia_workers() == []


def test_a_longer_run_begins_with_a_shorter_one(uninterrupted):
    assert generate(n_events=7).to_list() == uninterrupted[:7]


def test_seed_decides_the_events(uninterrupted):
    assert generate(seed=4, n_events=5).to_list() != uninterrupted[:5]
    assert generate(seed=np.int64(3), n_events=5).to_list() == uninterrupted[:5]
    # Blocks differ among themselves.
    assert uninterrupted[:5] != uninterrupted[5:10]
    sequences = [np.random.SeedSequence(3).spawn(2)[i] for i in (0, 0, 1)]
    first, again, other = (generate(n_events=2, seed=s).to_list() for s in sequences)
    assert first == again != other


def test_every_block_of_every_recipe_has_its_own_seed():
    recipes = [
        {"process": process, "options": {"mass": mass}, "seed": seed}
        for process in ("qcd", "llp")
        for mass in (100.0, 500.0)
        for seed in (1, 2)
    ]
    seeds = [task.seed for r in recipes for task in pythia.plan(r, r, 5000, None)]
    assert len(seeds) == len(set(seeds)) == 8000
    assert 1 <= min(seeds) <= max(seeds) <= 900_000_000


def test_provenance_says_how_to_make_them_again(tmp_path):
    events = generate("llp", 6, mass=500, path=tmp_path / "llp.parquet")
    about = events.attrs["provenance"]
    assert about == {
        "process": "llp",
        "seed": 3,
        "options": {
            "energy": 13000.0,
            "field": 2.0,
            "mass": 500.0,
            "ctau": 3000.0,
            "decay": "udd",
        },
        "pythia": version("pythia8mc"),
        "hepgmm": hepgmm.__version__,
        "failed_tries": 0,
    }
    back = load_tracks(tmp_path / "llp.parquet")
    assert back.attrs["provenance"] == about
    assert back.to_list() == events.to_list()
    assert [file.name for file in tmp_path.iterdir()] == ["llp.parquet"]


def test_minbias_looks_like_minbias(monkeypatch):
    monkeypatch.setattr(pythia, "BLOCK_SIZE", 150)
    events = generate("minbias", 200)
    two = np.mean(ak.num(events) == 2)
    # Elastic collisions: 23.5 to 25.5% of the events.
    assert abs(two - 0.24) < 4 * np.sqrt(0.24 * 0.76 / 200)
    # The vertex is the origin, and most tracks come from it.
    assert 0.8 < ak.mean((events.d0 == 0) & (events.dz == 0)) < 0.95
    n = ak.to_numpy(ak.num(accept(events)))
    assert abs(n.mean() - 18.3) < 4 * n.std() / np.sqrt(len(n))
    assert ak.all(events.pt > 0)


def made(monkeypatch):
    """Seeds of the blocks that are really generated from now on."""
    seeds, original = [], Engine.generate

    def record(self, n_events, *, seed, **kwargs):
        seeds.append(seed)
        return original(self, n_events, seed=seed, **kwargs)

    monkeypatch.setattr(Engine, "generate", record)
    return seeds


def test_resumes_after_kill_9(tmp_path, monkeypatch, uninterrupted):
    path = tmp_path / "qcd.parquet"
    # Dies in the middle of writing its third block, half of which is on the disk.
    ended = start(f"""
import os, signal
import pyarrow.parquet as pq
whole, calls = pq.write_table, []
def write(table, where, **options):
    whole(table, where, **options)
    calls.append(where)
    if len(calls) == 3:
        os.truncate(where, os.path.getsize(where) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
pq.write_table = write
pythia.generate("qcd", 22, seed=3, path={str(path)!r}, progress=False)
""")
    assert ended.returncode == -signal.SIGKILL
    assert not path.exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["qcd.parquet.parts"]
    blocks = sorted((tmp_path / "qcd.parquet.parts").glob("[!.]*.parquet"))
    assert [len(load_tracks(block)) for block in blocks] == [5, 5]
    seeds = made(monkeypatch)
    events = generate(n_events=22, path=path)
    assert len(seeds) == 3
    assert events.to_list() == uninterrupted
    assert load_tracks(path).to_list() == uninterrupted
    assert [entry.name for entry in tmp_path.iterdir()] == ["qcd.parquet"]


def test_another_command_does_not_take_over_the_blocks(tmp_path, monkeypatch, uninterrupted):
    path = tmp_path / "qcd.parquet"
    monkeypatch.setattr(pythia, "merge", lambda *_: exec("raise KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        generate(n_events=12, path=path)
    monkeypatch.undo()
    monkeypatch.setattr(pythia, "BLOCK_SIZE", 5)
    seeds = made(monkeypatch)
    # A longer run takes the whole blocks and leaves the short last one.
    assert generate(n_events=22, path=path).to_list() == uninterrupted
    assert len(seeds) == 3


def test_workers_end_when_their_parent_is_killed(tmp_path):
    path = tmp_path / "qcd.parquet"
    ended = start(f"""
import os, signal, tqdm.auto
class Bar(tqdm.auto.tqdm):
    def update(self, n):
        os.kill(os.getpid(), signal.SIGKILL)
tqdm.auto.tqdm = Bar
pythia.generate("qcd", 5000, seed=3, workers=2, path={str(path)!r}, progress=False)
""")
    assert ended.returncode == -signal.SIGKILL
    blocks = list((tmp_path / "qcd.parquet.parts").glob("[!.]*.parquet"))
    assert blocks
    assert all(len(load_tracks(block)) == 5 for block in blocks)


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_stops_at_once_and_keeps_whole_blocks(tmp_path, monkeypatch, workers):
    class Bar(tqdm.auto.tqdm):
        def update(self, n):
            raise KeyboardInterrupt

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    path = tmp_path / "qcd.parquet"
    with pytest.raises(KeyboardInterrupt):
        generate(n_events=5000, workers=workers, path=path)
    assert pythia_workers() == []
    assert not path.exists()
    blocks = list((tmp_path / "qcd.parquet.parts").iterdir())
    assert 1 <= len(blocks) < 100
    assert all(len(load_tracks(block)) == 5 for block in blocks)


def test_a_script_needs_no_guard(uninterrupted):
    # Read from a pipe: workers could neither find nor rerun it.
    ended = subprocess.run(
        [sys.executable, "-"],
        input="from hepgmm.collide import pythia\n"
        "pythia.BLOCK_SIZE = 5\n"
        "events = pythia.generate('qcd', 10, seed=3, workers=2, progress=False)\n"
        "print(events.pt[9].to_list())\n",
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.stderr == ""
    assert json.loads(ended.stdout) == [track["pt"] for track in uninterrupted[9]]


def test_a_worker_that_dies_is_reported(tmp_path, monkeypatch):
    class Bar(tqdm.auto.tqdm):
        def update(self, n):
            for child in pythia_workers():
                child.kill()

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    with pytest.raises(RuntimeError, match="a worker process died"):
        generate(n_events=5000, workers=2, path=tmp_path / "qcd.parquet")


def test_bad_arguments_are_named(tmp_path):
    for n_events in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match=f"n_events = {n_events}: give a whole number"):
            generate(n_events=n_events)
    with pytest.raises(ValueError, match="workers = 0: give a whole number"):
        generate(workers=0)
    for seed in (-1, None, 1.5):
        with pytest.raises(ValueError, match=f"seed = {seed}: give a whole number"):
            generate(seed=seed)
    with pytest.raises(ValueError, match="is a folder: give the name of a file"):
        generate(path=tmp_path)
    with pytest.raises(ValueError, match="unknown process 'nothing'"):
        generate("nothing")
