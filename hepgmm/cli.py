"""The command line: ``hepgmm <command>``, each a thin face of one function."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from hepgmm import __version__

__all__ = ["main"]

_UNITS = "pT in GeV, phi in rad, d0 and dz in mm; masses in GeV, lengths in mm."


def main(arguments: list[str] | None = None) -> int:
    """Run ``hepgmm`` with the given arguments.

    Parameters
    ----------
    arguments
        The words after ``hepgmm``; those of the process when not given.

    Returns
    -------
    int
        Exit code: 0, 2 on bad input (with one line on stderr), 130 after Ctrl-C.

    Examples
    --------
    >>> main(["generate", "minbias", "-n", "-3", "-o", "events.parquet"])
    2
    """
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, FileNotFoundError, IsADirectoryError, PermissionError) as error:
        print(f"hepgmm {options.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"hepgmm {options.command}: interrupted; the same command resumes", file=sys.stderr)
        return 130
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="hepgmm",
        description=f"Hierarchical Gaussian mixtures of pileup, from collisions to ROC. {_UNITS}",
    )
    parser.add_argument("--version", action="version", version=f"hepgmm {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, (run, describe, example, fill) in _COMMANDS.items():
        command = commands.add_parser(
            name,
            help=describe,
            description=f"{describe} {_UNITS}",
            epilog=f"example: hepgmm {name} {example}",
        )
        command.set_defaults(run=run)
        fill(command)
    return parser


def _show(table):
    """Print a flat table of figures, one a line."""
    from hepgmm.report import format_measurement

    width = max(len(name) for name in table)
    for name, figure in table.items():
        print(f"{name:<{width}}  {format_measurement(figure)}")


def _write_json(path, values):
    from hepgmm.io_utils import atomic_write

    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def _add_seed(command):
    command.add_argument("-s", "--seed", type=int, default=1, help="random seed (default 1)")


def _add_output(command, what):
    command.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=what)


def _add_preset(command):
    command.add_argument(
        "-p", "--preset", default="quick", help="quick (default), standard, paper, or a YAML file"
    )


# Collisions and pileup ----------------------------------------------------------------------


def _fill_generate(command):
    command.add_argument("process", help="minbias, qcd or llp")
    command.add_argument("-n", "--events", type=int, required=True, help="number of events")
    command.add_argument(
        "--workers", type=int, default=1, help="processes; no effect on the events"
    )
    command.add_argument("--pt-hat-min", type=float, help="qcd: lowest pT-hat [GeV] (default 20)")
    command.add_argument("--mass", type=float, help="llp: neutralino mass [GeV] (default 100)")
    command.add_argument("--ctau", type=float, help="llp: proper decay length [mm] (default 3000)")
    _add_seed(command)
    _add_output(command, "parquet file of tracks")


def _generate(options):
    from hepgmm import generate

    chosen = {name: getattr(options, name) for name in ("pt_hat_min", "mass", "ctau")}
    generate(
        options.process,
        options.events,
        seed=options.seed,
        workers=options.workers,
        path=options.output,
        **{name: value for name, value in chosen.items() if value is not None},
    )


def _fill_fit(command):
    command.add_argument("events", type=Path, help="parquet file of min-bias tracks")
    command.add_argument("--max-components", type=int, default=100, help="of the high level")
    command.add_argument("--scale-features", action="store_true", help="part of the second cure")
    command.add_argument("--workers", type=int, default=1, help="processes; no effect on the fit")
    _add_seed(command)
    _add_output(command, "npz file of the model")


def _fit(options):
    from hepgmm import HierarchicalGMM, load_tracks

    model = HierarchicalGMM(
        max_components=options.max_components,
        scale_features=options.scale_features,
        workers=options.workers,
        seed=options.seed,
    )
    model.fit(load_tracks(options.events), progress=True).save(options.output)
    _show(model.report_)


def _fill_sample(command):
    command.add_argument("model", type=Path, help="npz file that `hepgmm fit` wrote")
    command.add_argument("-n", "--events", type=int, required=True, help="number of events")
    command.add_argument("--clip", type=float, metavar="EPS", help="floor of the eigenvalues")
    _add_seed(command)
    _add_output(command, "parquet file of tracks")


def _sample(options):
    from hepgmm import HierarchicalGMM, save_tracks

    model = HierarchicalGMM.load(options.model)
    if options.clip is not None:
        model.set_params(clip_eigenvalues=options.clip)
    save_tracks(options.output, model.sample(options.events, seed=options.seed))
    _show(model.sample_report_)


def _fill_overlay(command):
    command.add_argument("hard", type=Path, help="parquet file of hard events")
    command.add_argument("pileup", type=Path, help="npz model, or parquet file of real events")
    command.add_argument("--mu", type=float, default=60.0, help="mean pileup (default 60)")
    command.add_argument("--sigma-z", type=float, default=53.0, help="vertex spread [mm]")
    command.add_argument(
        "--dz-reference", default="origin", help="origin (default), hard or reconstructed"
    )
    _add_seed(command)
    _add_output(command, "parquet file of tracks")


def _overlay(options):
    from hepgmm import HierarchicalGMM, load_tracks, overlay, save_tracks

    load = HierarchicalGMM.load if options.pileup.suffix == ".npz" else load_tracks
    mixed = overlay(
        load_tracks(options.hard),
        load(options.pileup),
        mu=options.mu,
        seed=options.seed,
        sigma_z=options.sigma_z,
        dz_reference=options.dz_reference,
    )
    save_tracks(options.output, mixed)


def _fill_validate(command):
    command.add_argument("real", type=Path, help="parquet file of real events")
    command.add_argument("synthetic", type=Path, help="parquet file of synthetic events")
    command.add_argument("-o", "--output", type=Path, metavar="FILE", help="also write JSON")
    _add_seed(command)


def _validate(options):
    from hepgmm import load_tracks
    from hepgmm.validate import compare

    figures = compare(load_tracks(options.real), load_tracks(options.synthetic), seed=options.seed)
    _show(figures)
    if options.output:
        _write_json(options.output, figures)


# Classifiers --------------------------------------------------------------------------------


def _fill_train(command):
    command.add_argument("background", type=Path, help="parquet file of overlaid QCD events")
    command.add_argument("signal", type=Path, help="parquet file of overlaid neutralino events")
    command.add_argument("--model", default="transformer", help="mlp or transformer (default)")
    command.add_argument("--epochs", type=int, default=20, help="default 20")
    command.add_argument("--batch-size", type=int, default=256, help="events (default 256)")
    command.add_argument("--learning-rate", type=float, default=2e-3, help="peak (default 2e-3)")
    command.add_argument("--features", default="asinh", help="raw, scaled or asinh (default)")
    _add_seed(command)
    _add_output(command, "safetensors file of the model; a folder beside it keeps checkpoints")


def _train(options):
    from hepgmm.classify import MLP, Transformer, save_model, train
    from hepgmm.datasets import label_events
    from hepgmm.pileup.overlay import split_events

    classes = {"mlp": MLP, "transformer": Transformer}
    if options.model not in classes:
        raise ValueError(f"--model: {options.model!r} is not one of {', '.join(classes)}")
    sample = label_events(options.background, options.signal)
    parts = split_events(len(sample), fractions=(0.85, 0.15), seed=options.seed)
    result = train(
        classes[options.model](features=options.features, seed=options.seed),
        *(sample[part] for part in parts),
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        schedule="cosine",
        seed=options.seed,
        directory=options.output.with_suffix(""),
    )
    save_model(options.output, result.model)
    print(f"best epoch {result.best_epoch} of {options.epochs}")


def _fill_evaluate(command):
    command.add_argument("model", type=Path, help="safetensors file that `hepgmm train` wrote")
    command.add_argument("background", type=Path, help="parquet file of other QCD events")
    command.add_argument("signal", type=Path, help="parquet file of other neutralino events")
    command.add_argument("-o", "--output", type=Path, metavar="FILE", help="also write JSON")
    _add_seed(command)


def _evaluate(options):
    from hepgmm.classify import evaluate, load_model, predict
    from hepgmm.datasets import label_events

    model = load_model(options.model)
    sample = label_events(options.background, options.signal)
    figures = evaluate(predict(model, sample.X, sample.mask), sample.y, seed=options.seed)
    _show(figures)
    if options.output:
        _write_json(options.output, figures)


# The whole analysis -------------------------------------------------------------------------


def _run(options):
    from hepgmm import Analysis
    from hepgmm.report import classifier_table, results_folder

    analysis = Analysis(options.preset)
    print(classifier_table(analysis.results()))
    print(f"\nwritten to {results_folder() / analysis.name}.json")


def _fill_book(command):
    _add_preset(command)
    command.add_argument("--force", action="store_true", help="run unchanged notebooks too")


def _book(options):
    from hepgmm.book import build_book

    try:
        build_book(options.preset, force=options.force)
    except RuntimeError as error:
        # the failing cell or the warnings of a page, which the message holds
        sys.exit(f"hepgmm book: {error}")


def _fill_report(command):
    command.add_argument("-p", "--preset", default="standard", help="whose figures (standard)")
    command.add_argument("readme", type=Path, help="Markdown file with <!-- results --> markers")


def _report(options):
    from hepgmm.report import load_results, update_readme

    update_readme(options.readme, load_results(options.preset))


def _fill_benchmark(command):
    command.add_argument("-n", "--events", type=int, default=300, help="min-bias events (300)")
    command.add_argument("-o", "--output", type=Path, metavar="FILE", help="also write JSON")
    _add_seed(command)


def _benchmark(options):
    from hepgmm.benchmark import sampling_speed

    figures = sampling_speed(options.events, seed=options.seed)
    _show(figures)
    if options.output:
        _write_json(options.output, figures)


_COMMANDS = {
    "generate": (
        _generate,
        "Collide protons with Pythia and keep the tracks; resumes after an interruption.",
        "llp -n 1000 --mass 500 --ctau 3000 -o llp.parquet",
        _fill_generate,
    ),
    "fit": (
        _fit,
        "Fit a hierarchical Gaussian mixture to min-bias events.",
        "minbias.parquet -o hgmm.npz",
        _fill_fit,
    ),
    "sample": (
        _sample,
        "Draw synthetic pileup events from a fitted mixture.",
        "hgmm.npz -n 10000 -o synthetic.parquet",
        _fill_sample,
    ),
    "overlay": (
        _overlay,
        "Put Poisson(mu) pileup events on each hard event.",
        "llp.parquet hgmm.npz --mu 60 -o llp_mu60.parquet",
        _fill_overlay,
    ),
    "train": (
        _train,
        "Train a classifier; resumes from its last checkpoint.",
        "qcd_mu60.parquet llp_mu60.parquet --model mlp -o mlp.safetensors",
        _fill_train,
    ),
    "evaluate": (
        _evaluate,
        "AUC, accuracy, recall and precision of a classifier, with bootstrap errors.",
        "mlp.safetensors qcd_test.parquet llp_test.parquet",
        _fill_evaluate,
    ),
    "validate": (
        _validate,
        "Compare synthetic with real events: distances and two-sample AUCs, with errors.",
        "real.parquet synthetic.parquet",
        _fill_validate,
    ),
    "run": (
        _run,
        "Run the whole analysis of a preset and write results/<preset>.json.",
        "--preset standard",
        _add_preset,
    ),
    "book": (
        _book,
        "Run the analysis and the notebooks of a preset and build the book.",
        "--preset quick",
        _fill_book,
    ),
    "report": (
        _report,
        "Fill the table of a README from a result file.",
        "README.md --preset standard",
        _fill_report,
    ),
    "benchmark": (
        _benchmark,
        "Speed of the synthetic events against Pythia's, in one run.",
        "-n 300",
        _fill_benchmark,
    ),
}


if __name__ == "__main__":
    sys.exit(main())
