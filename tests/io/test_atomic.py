import fcntl
import os
import signal
import subprocess
import sys

import pytest

from hepgmm.io.atomic import atomic_write, write_json


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_kill_leaves_one_hidden_file_that_the_next_run_uses_up(tmp_path):
    code = (
        "import os, sys; from hepgmm.io.atomic import atomic_write\n"
        "with atomic_write(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), 9)\n"
    )
    path = tmp_path / "result.json"
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code, str(path)])
        assert done.returncode == -signal.SIGKILL
        assert names(tmp_path) == [".result.part.json"]
    with atomic_write(path) as temporary:
        assert temporary.read_text() == ""
        temporary.write_text("new")
    assert names(tmp_path) == ["result.json"]
    assert path.read_text() == "new"


def test_two_at_a_time_do_not_meet(tmp_path):
    path = tmp_path / "result.json"
    with atomic_write(path) as late:
        late.write_text("half of the late")
        with atomic_write(path) as early:
            early.write_text("early")
        assert path.read_text() == "early"
        with pytest.raises(KeyboardInterrupt), atomic_write(path) as stopped:
            raise KeyboardInterrupt
        assert len({late, early, stopped}) == 3
        late.write_text("late")
    assert path.read_text() == "late"
    assert names(tmp_path) == ["result.json"]


def test_a_file_that_another_has_just_finished_is_not_written_to(tmp_path, monkeypatch):
    path = tmp_path / "result.json"

    def finish(*_):
        # What the other process does between our opening of the file and our locking of it.
        with open(tmp_path / ".result.part.json", "w") as file:
            file.write("theirs")
        os.replace(tmp_path / ".result.part.json", path)

    monkeypatch.setattr(fcntl, "flock", finish)
    with atomic_write(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "theirs"
        temporary.write_text("ours")
    assert path.read_text() == "ours"
    assert names(tmp_path) == ["result.json"]


def test_a_file_system_without_locks_will_do(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with atomic_write(tmp_path / "result.json") as temporary:
        temporary.write_text("whole")
    assert (tmp_path / "result.json").read_text() == "whole"


def test_missing_folders_are_made_and_the_suffix_is_kept(tmp_path):
    path = tmp_path / "a" / "b" / "events.parquet"
    with atomic_write(path) as temporary:
        assert temporary.suffix == ".parquet"
        assert temporary.parent == path.parent
        temporary.write_text("whole")
    assert path.read_text() == "whole"


def test_a_result_is_as_readable_as_any_file(tmp_path):
    (tmp_path / "plain.json").touch()
    write_json(tmp_path / "result.json", {})
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_json_is_written_only_when_it_changes(tmp_path):
    path = tmp_path / "new" / "figures.json"
    write_json(path, {"auc": [1, "µ"]})
    assert path.read_bytes() == b'{\n "auc": [\n  1,\n  "\\u00b5"\n ]\n}\n'
    os.utime(path, (1, 1))
    write_json(path, {"auc": [1, "µ"]})
    assert path.stat().st_mtime == 1
    write_json(path, {"auc": 2})
    assert path.stat().st_mtime > 1
    assert path.read_text() == '{\n "auc": 2\n}\n'
    assert names(path.parent) == ["figures.json"]
