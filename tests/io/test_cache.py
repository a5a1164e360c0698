"""A store makes each file once, says how long it took, and needs no locks to do so."""

import fcntl
import time
from pathlib import Path

from hepgmm.io.cache import Store


def write(text, seconds=None):
    def make(path):
        path.write_text(text)
        return seconds

    return make


def test_a_file_is_made_once_and_read_from_then_on(tmp_path):
    path, told = tmp_path / "a.txt", []
    for store in (Store(tmp_path), Store(tmp_path)):
        store._say = told.append
        assert store._get(path, "a", write("made"), Path.read_text) == "made"
        assert store._get(path, "a", write("again"), Path.read_text) == "made"
    assert told == ["a"]


def test_seconds_leave_out_what_was_asked_for_or_are_those_that_are_given(tmp_path, monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    store = Store(tmp_path)

    def outer(path):
        store._get(tmp_path / "inner.txt", "inner", write("inner"), Path.read_text)
        path.write_text("outer")

    store._get(tmp_path / "outer.txt", "outer", outer, Path.read_text)
    store._get(tmp_path / "given.txt", "given", write("given", 7.5), Path.read_text)
    took = {path.stem: float(path.read_text()) for path in tmp_path.glob("*.seconds")}
    assert took == {"inner": 10, "outer": 20, "given": 7.5}


def test_a_file_system_without_locks_will_do(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    path = tmp_path / "a.txt"
    assert Store(tmp_path)._get(path, "a", write("made"), Path.read_text) == "made"
