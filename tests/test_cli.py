import json
import subprocess
import sys

import numpy as np
import pytest

from hepgmm.cli import main
from hepgmm.tracks import make_events, save_tracks

COMMANDS = ["generate", "fit", "sample", "overlay", "train", "evaluate", "validate", "run"]
COMMANDS += ["book", "report", "benchmark"]


@pytest.fixture
def tracks(tmp_path):
    """Two small parquet files of tracks: background with prompt, signal with displaced ones."""
    random = np.random.default_rng(1)
    for name, d0 in (("background", 0.01), ("signal", 30.0)):
        columns = {
            "pt": random.uniform(0.6, 9, 1200),
            "eta": random.normal(size=1200),
            "phi": random.uniform(-np.pi, np.pi, 1200),
            "d0": random.normal(scale=d0, size=1200),
            "dz": random.normal(scale=5, size=1200),
        }
        save_tracks(tmp_path / f"{name}.parquet", make_events(columns, np.full(120, 10)))
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_units_and_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0
    assert "GeV" in text and "mm" in text
    assert f"example: hepgmm {command}" in text


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        ("generate higgs -n 3 -o {0}/x.parquet", "higgs"),
        ("fit {0}/nowhere.parquet -o {0}/x.npz", "nowhere.parquet"),
        ("fit {0}/text.parquet -o {0}/x.npz", "text.parquet"),
        ("sample {0}/text.parquet -n 3 -o {0}/x.parquet", "text.parquet"),
        ("overlay {0}/signal.parquet {0}/signal.parquet --mu -1 -o {0}/x.parquet", "mu"),
        ("evaluate {0}/text.parquet {0}/background.parquet {0}/signal.parquet", "text.parquet"),
        ("train {0}/background.parquet {0}/signal.parquet --model gnn -o {0}/x", "gnn"),
        ("run --preset slow", "slow"),
        ("report {0}/text.parquet --preset nowhere", "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tracks, capsys, arguments, culprit):
    (tracks / "text.parquet").write_text("not a file of tracks")
    before = sorted(tracks.iterdir())
    assert main(arguments.format(tracks).split()) == 2
    error = capsys.readouterr().err
    assert culprit in error and error.count("\n") == 1
    assert sorted(tracks.iterdir()) == before


def test_overlay_train_evaluate_from_files_to_figures(tracks, capsys):
    for name in ("background", "signal"):
        hard, pool = tracks / f"{name}.parquet", tracks / "background.parquet"
        assert main(f"overlay {hard} {pool} --mu 1 -o {tracks / name}_mu1.parquet".split()) == 0
    files = f"{tracks}/background_mu1.parquet {tracks}/signal_mu1.parquet"
    model = tracks / "mlp.safetensors"
    options = "--model mlp --epochs 15 --batch-size 16"
    assert main(f"train {files} {options} -o {model}".split()) == 0
    assert main(f"evaluate {model} {files} -o {tracks / 'figures.json'}".split()) == 0
    auc = json.loads((tracks / "figures.json").read_text())["auc"]
    # A displacement of 30 mm against 10 µm is plain to see; a perfect AUC has no error left.
    assert auc["value"] > 0.95 and 0 <= auc["error"] < 0.05
    assert "auc" in capsys.readouterr().out


def test_fit_sample_from_files_to_files(tracks, capsys):
    events, model, out = tracks / "signal.parquet", tracks / "m.npz", tracks / "s.parquet"
    assert main(f"fit {events} --max-components 3 -o {model}".split()) == 0
    assert main(f"sample {model} -n 50 -o {out}".split()) == 0
    assert out.exists()
    assert "events_used" in capsys.readouterr().out


def test_the_command_starts_without_torch_or_pythia():
    code = (
        "import sys, hepgmm.cli\n"
        "heavy = {'torch', 'lightning', 'pythia8mc', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(bool(heavy) and f'imported {heavy}')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
