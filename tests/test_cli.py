import json
import subprocess
import sys

import numpy as np
import pytest

import hepgmm.validate
from hepgmm.classify import MLP, save_model
from hepgmm.cli import main
from hepgmm.events import make_events
from hepgmm.io.parquet import save_tracks

COMMANDS = ["generate", "fit", "sample", "overlay", "train", "evaluate", "validate", "run"]
COMMANDS += ["book", "report", "benchmark", "fidelity", "ladder", "export"]


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


@pytest.fixture
def files(tracks):
    """Beside these, files that a command cannot use, and a model that it can."""
    columns = dict.fromkeys(("eta", "phi", "d0", "dz"), np.zeros(6))
    save_tracks(tracks / "few.parquet", make_events(columns | {"pt": np.ones(6)}, [3, 3]))
    save_tracks(tracks / "soft.parquet", make_events(columns | {"pt": np.full(6, 0.1)}, [3, 3]))
    save_model(tracks / "mlp.safetensors", MLP())
    (tracks / "text.parquet").write_text("not a file of tracks")
    (tracks / "kept.parquet.parts").write_text("not a folder")
    (tracks / "folder.parquet").mkdir()
    return tracks


def exit_code(arguments):
    try:
        return main(arguments)
    except SystemExit as stop:
        return stop.code


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
        (
            "train --data {0}/text.parquet {0}/signal.parquet --model gnn -o {0}/x.safetensors",
            "gnn",
        ),
        ("run --preset slow", "slow"),
        ("report {0}/text.parquet --preset nowhere", "nowhere"),
        ("generate qcd -n 3 -o {0}/kept.parquet", "kept.parquet.parts"),
        ("fit {0}/few.parquet -o {0}/x.npz", "few.parquet: events: a fit needs at least 10"),
        ("validate {0}/few.parquet {0}/signal.parquet", "few.parquet, "),
        ("validate {0}/signal.parquet {0}/few.parquet", "few.parquet: synthetic: 2 events"),
        (
            "train --data {0}/few.parquet {0}/signal.parquet -o {0}/x.safetensors",
            "few.parquet: 2 events with accepted tracks are too few",
        ),
        (
            "evaluate {0}/mlp.safetensors {0}/background.parquet {0}/soft.parquet",
            "soft.parquet: 0 events with accepted tracks",
        ),
        ("generate qcd -n 0 -o {0}/x.parquet", "--events: '0' is not a whole number of at least 1"),
        ("generate qcd -n 3 --workers 0 -o {0}/x.parquet", "--workers: '0' is not"),
        ("sample {0}/x.npz -n 2.5 -o {0}/x.parquet", "--events: '2.5' is not"),
        ("train -o {0}/x.safetensors", "one of the arguments --data --preset is required"),
        (
            "fit {0}/signal.parquet --generator shared --max-components 3 -o {0}/x.npz",
            "--max-components: a SharedGMM has no such parameter",
        ),
        (
            "validate {0}/signal.parquet {0}/signal.parquet --sources {0}/text.parquet",
            "text.parquet: not an npy file",
        ),
        ("benchmark mixture --seed -1", "--seed: '-1' is not a whole number of at least 0"),
        ("ladder --seed -1 -o {0}/x.json", "--seed: '-1' is not a whole number of at least 0"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(files, capsys, arguments, culprit):
    before = sorted(files.iterdir())
    assert exit_code(arguments.format(files).split()) == 2
    error = capsys.readouterr().err
    assert culprit in error and error.count("\n") == 1
    assert sorted(files.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("generate qcd -n 3 -o {0}/signal.parquet/x.parquet", "signal.parquet is a file"),
        ("overlay x x -o {0}/signal.parquet/a/x.parquet", "signal.parquet is a file"),
        ("overlay x x -o {0}/folder.parquet", "it is a folder"),
        ("overlay x x -o .", "must end in .parquet"),
        ("sample x -n 3 -o {0}/x.npz", "must end in .parquet"),
        ("fit x -o {0}/model.pkl", "must end in .npz"),
        ("train --data x x -o {0}/mlp", "must end in .safetensors"),
        ("train --data x x -o {0}/signal.parquet", "must end in .safetensors"),
        ("evaluate x x x -o .", "must end in .json"),
        ("validate x x -o {0}/figures.txt", "must end in .json"),
        ("benchmark mixture -o {0}/signal.parquet/x.json", "signal.parquet is a file"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_any_input_is_read(
    files, capsys, arguments, reason
):
    assert exit_code(arguments.format(files).split()) == 2
    error = capsys.readouterr().err
    assert "--output" in error and reason in error and error.count("\n") == 1


def test_an_output_in_a_folder_that_may_not_be_written_to_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert exit_code(["fit", "x", "-o", f"{tmp_path}/new/model.npz"]) == 2
    assert f"{tmp_path} may not be written to" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "stage", "message"),
    [
        ("overlay x x -o {0}/x.parquet", "hepgmm.io.parquet.load_tracks", "interrupted"),
        (
            "train --data x x -o {0}/x.safetensors",
            "hepgmm.crossings.samples.label_events",
            "interrupted; the same command resumes",
        ),
    ],
)
def test_ctrl_c_promises_to_resume_only_where_it_does(
    tmp_path, capsys, monkeypatch, arguments, stage, message
):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, interrupt)
    assert main(arguments.format(tmp_path).split()) == 130
    assert capsys.readouterr().err == f"hepgmm {arguments.split()[0]}: {message}\n"


def test_validate_shows_and_writes_the_floors(tracks, capsys, monkeypatch):
    figures = {
        "auc_events": {"value": 0.8123, "error": 0.0041, "floor": 0.50194},
        "w1_tracks": {"value": 0.05, "error": 0.01, "floor": 0.02},
    }
    monkeypatch.setattr(hepgmm.validate, "compare", lambda real, synthetic, **options: figures)
    out = tracks / "figures.json"
    assert main(f"validate {tracks}/signal.parquet {tracks}/signal.parquet -o {out}".split()) == 0
    assert capsys.readouterr().out.splitlines()[2:] == [
        "            value            floor",
        "auc_events  0.8123 ± 0.0041  0.5019",
        "w1_tracks   0.050 ± 0.010    0.02",
    ]
    assert json.loads(out.read_text()) == figures


def test_overlay_train_evaluate_from_files_to_figures(tracks, capsys):
    for name in ("background", "signal"):
        hard, pool = tracks / f"{name}.parquet", tracks / "background.parquet"
        assert main(f"overlay {hard} {pool} --mu 1 -o {tracks / name}_mu1.parquet".split()) == 0
    files = f"{tracks}/background_mu1.parquet {tracks}/signal_mu1.parquet"
    model = tracks / "mlp.safetensors"
    options = "--model mlp -p epochs=15 -p batch_size=16 -p width=16"
    assert main(f"train --data {files} {options} -o {model}".split()) == 0
    card = json.loads(model.with_suffix(".json").read_text())
    assert card["hyperparameters"]["width"] == 16 and card["architecture"] == "MLP"
    assert card["training"]["settings"]["epochs"] == 15
    assert card["metrics"]["validation"]["val_auc"] > 0.9
    assert {"versions", "machine", "inputs"} <= set(card)
    assert main(f"evaluate {model} {files} -o {tracks / 'figures.json'}".split()) == 0
    figures = json.loads((tracks / "figures.json").read_text())
    assert {"accuracy", "recall", "precision", "rejection_50"} <= set(figures)
    auc = figures["auc"]
    # A displacement of 30 mm against 10 µm is plain to see; a perfect AUC has no error left.
    assert auc["value"] > 0.95 and 0 <= auc["error"] < 0.05
    assert "auc" in capsys.readouterr().out


@pytest.mark.parametrize("rung", ["pt_cut", "trees -p max_iter=20"])
def test_rungs_that_are_no_networks_are_trained_evaluated_and_exported(rung, tracks, capsys):
    files = f"{tracks / 'background.parquet'} {tracks / 'signal.parquet'}"
    model = tracks / "rung.safetensors"
    assert main(f"train --data {files} --model {rung} -o {model}".split()) == 0
    card = json.loads(model.with_suffix(".json").read_text())
    trees = rung.startswith("trees")
    assert card["training"]["settings"] == (
        {"learning_rate": 0.05, "max_iter": 20} if trees else {}
    )
    assert "log |d0| of the hardest" in card["inputs"] or not trees
    assert main(f"evaluate {model} {files} -o {tracks / 'figures.json'}".split()) == 0
    figures = json.loads((tracks / "figures.json").read_text())
    assert figures["auc"]["value"] > (0.9 if trees else 0.4)
    pytest.importorskip("onnxruntime", reason="needs hepgmm[onnx]")
    pytest.importorskip("onnxscript", reason="needs hepgmm[onnx]")
    export = f"export {model} {tracks / 'signal.parquet'} -o {tracks / 'rung.onnx'}"
    assert main(export.split()) == 0
    assert "latency of one event" in capsys.readouterr().out


def test_the_truth_of_an_overlay_trains_the_track_task(tracks):
    for name in ("background", "signal"):
        hard, pool = tracks / f"{name}.parquet", tracks / "background.parquet"
        command = f"overlay {hard} {pool} --mu 1 --truth -o {tracks / name}_mu1.parquet"
        assert main(command.split()) == 0
    files = f"{tracks}/background_mu1.parquet {tracks}/signal_mu1.parquet"
    model = tracks / "tracks.safetensors"
    options = "--model track_transformer -p epochs=1 -p batch_size=16 -p width=8 -p n_heads=2"
    assert main(f"train --data {files} {options} -o {model}".split()) == 0
    assert json.loads(model.with_suffix(".json").read_text())["hyperparameters"]["track_task"]


def test_train_on_a_preset_as_the_ladder_does(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HEPGMM_CACHE", str(tmp_path / "cache"))
    preset = tmp_path / "tiny.yaml"
    preset.write_text(
        "preset: tiny\nseed: 1\ndata: {n_minbias: 40, n_pool: 60, n_qcd: 120, n_llp_per_mass: 60}\n"
        "overlay: {mu: 2, pileup: real}\n"
    )
    model = tmp_path / "mlp.safetensors"
    options = f"--preset {preset} --model mlp -p epochs=1 -p batch_size=32 -o {model}".split()
    assert main(["train", *options]) == 0
    card = json.loads(model.with_suffix(".json").read_text())
    assert card["training"]["events"]["test"] == 48 and card["training"]["setting"] == "origin"
    printed = capsys.readouterr().out
    assert f"{card['metrics']['test']['auc']['value']:.2f}" in printed
    assert main(["train", *options]) == 0
    assert json.loads(model.with_suffix(".json").read_text()) == card
    assert "1/1" not in capsys.readouterr().err
    for more, message in (
        (["-p", "width=8"], "-p width: with --preset the model is that of the ladder"),
        (["--setting", "beam"], "--setting: 'beam' is not one of origin"),
    ):
        assert main(["train", *options, *more]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--model gnn", "--model: 'gnn' is not one of pt_cut, trees, mlp, deepsets"),
        (
            "--model trees -p epochs=3",
            "-p epochs=3: give KEY=VALUE with one of learning_rate, max_iter",
        ),
        ("--model pt_cut -p epochs=3", "-p epochs=3: pt_cut has no parameters"),
        ("-p depth=3", "-p depth=3: give KEY=VALUE with one of epochs, batch_size"),
        ("-p epochs", "-p epochs: give KEY=VALUE"),
        ("-p epochs=few", "epochs='few' is not a whole number"),
        ("-p batch_size=999", "batch_size=999 is more than the"),
        ("--model track_transformer", "a sample does not know which tracks are hard"),
    ],
)
def test_bad_parameters_of_a_training_are_named(tracks, capsys, options, message):
    files = f"{tracks / 'background.parquet'} {tracks / 'signal.parquet'}"
    model = tracks / "bad.safetensors"
    assert main(f"train --data {files} {options} -o {model}".split()) == 2
    assert message in capsys.readouterr().err
    assert not model.exists()


def test_fit_sample_from_files_to_files(tracks, capsys):
    events, model, out = tracks / "signal.parquet", tracks / "m.npz", tracks / "s.parquet"
    assert main(f"fit {events} --max-components 3 -o {model}".split()) == 0
    assert main(f"sample {model} -n 50 -o {out}".split()) == 0
    assert out.exists()
    assert "events_used" in capsys.readouterr().out


def test_copies_are_no_difference_where_their_sources_are_known(tracks, capsys):
    real, model, out = tracks / "signal.parquet", tracks / "m.npz", tracks / "s.parquet"
    assert main(f"fit {real} --generator oversampling -o {model}".split()) == 0
    assert main(f"sample {model} -n 600 --sources {tracks}/s.npy -o {out}".split()) == 0
    for name, known in (("with", f"--sources {tracks}/s.npy"), ("without", "")):
        options = f"--training {real} {known} -o {tracks}/{name}.json"
        assert main(f"validate {tracks}/background.parquet {out} {options}".split()) == 0
    assert "0 of 600 events have fewer than 3 tracks" in capsys.readouterr().out
    figures = [json.loads((tracks / f"{name}.json").read_text()) for name in ("with", "without")]
    assert "auc_events_unsplit" in figures[0] and "auc_events_unsplit" not in figures[1]
    assert figures[0]["auc_events_unsplit"]["value"] == figures[1]["auc_events"]["value"]
    assert figures[0]["nearest"]["value"] == 0


def test_the_command_starts_without_torch_or_pythia():
    code = (
        "import sys, hepgmm.cli\n"
        "heavy = {'torch', 'lightning', 'pythia8mc', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(bool(heavy) and f'imported {heavy}')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
