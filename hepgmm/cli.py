"""The command line: ``hepgmm <command>``, each a thin face of one function."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path

from hepgmm import __version__
from hepgmm.arguments import Parser, add_output, add_preset, add_seed, count
from hepgmm.io_utils import atomic_write, write_json

__all__ = ["main"]

_UNITS = "pT in GeV, phi in rad, d0 and dz in mm; masses in GeV, lengths in mm."
_RESUMABLE = ("generate", "train", "fidelity", "run", "book")


def main(arguments: list[str] | None = None) -> int:
    """Run ``hepgmm`` with the given arguments.

    Parameters
    ----------
    arguments
        The words after ``hepgmm``; those of the process when not given.

    Returns
    -------
    int
        Exit code: 0, 2 on bad input (with one line on stderr), 130 after Ctrl-C. With bad
        arguments, code 2 comes as ``SystemExit``.

    Examples
    --------
    >>> main(["generate", "higgs", "-n", "3", "-o", "events.parquet"])
    2
    """
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError) as error:
        print(f"hepgmm {options.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        resumes = "; the same command resumes" if options.command in _RESUMABLE else ""
        print(f"hepgmm {options.command}: interrupted{resumes}", file=sys.stderr)
        return 130
    return 0


def _parser():
    parser = Parser(
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


def _show(table, path=None):
    """Print a flat table of figures, one a line, with their floors; write it to a path, if any."""
    from hepgmm.report import format_measurement

    rows = [(name, format_measurement(figure)) for name, figure in table.items()]
    if all(isinstance(figure, dict) and "floor" in figure for figure in table.values()):
        floors = [f"{figure['floor']:.4g}" for figure in table.values()]
        rows = [("", "value", "floor"), *((*row, x) for row, x in zip(rows, floors, strict=True))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())
    if path:
        write_json(path, table)


@contextmanager
def _naming(*paths):
    """Put the files that the events are from before an error about the events."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{', '.join(map(str, paths))}: {error}") from error


# Collisions and pileup ----------------------------------------------------------------------


def _fill_generate(command):
    command.add_argument("process", help="minbias, qcd or llp")
    command.add_argument("-n", "--events", type=count, required=True, help="number of events")
    command.add_argument("--workers", type=count, default=1, help="processes; no effect on events")
    command.add_argument("--pt-hat-min", type=float, help="qcd: lowest pT-hat [GeV] (default 20)")
    command.add_argument("--mass", type=float, help="llp: neutralino mass [GeV] (default 100)")
    command.add_argument("--ctau", type=float, help="llp: proper decay length [mm] (default 3000)")
    add_seed(command)
    add_output(command, ".parquet", "parquet file of tracks")


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
    command.add_argument("--generator", default="hgmm", help="hgmm (default), shared, flow, …")
    command.add_argument("--max-components", type=count, default=100, help="of the high level")
    command.add_argument("--scale-features", action="store_true", help="part of the second cure")
    command.add_argument("--workers", type=count, default=1, help="threads; no effect on the fit")
    add_seed(command)
    add_output(command, ".npz", "npz file of the model")


def _fit(options):
    from hepgmm import load_tracks
    from hepgmm.pileup import make_generator

    model = make_generator(options.generator)
    chosen = {"max_components", "scale_features", "workers", "seed"} & set(model.get_params())
    model.set_params(**{name: getattr(options, name) for name in chosen})
    events = load_tracks(options.events)
    with _naming(options.events):
        model.fit(events, progress=True)
    model.save(options.output)
    _show(model.report_)


def _fill_sample(command):
    command.add_argument("model", type=Path, help="npz file that `hepgmm fit` wrote")
    command.add_argument("-n", "--events", type=count, required=True, help="number of events")
    command.add_argument("--clip", type=float, metavar="EPS", help="floor of the eigenvalues")
    add_seed(command)
    add_output(command, ".parquet", "parquet file of tracks")


def _sample(options):
    from hepgmm import save_tracks
    from hepgmm.pileup import load_generator

    model = load_generator(options.model)
    if options.clip is not None:
        if "clip_eigenvalues" not in model.get_params():
            raise ValueError(f"--clip: a {type(model).__name__} has no eigenvalues to clip")
        model.set_params(clip_eigenvalues=options.clip)
    save_tracks(options.output, model.sample(options.events, seed=options.seed))
    _show(getattr(model, "sample_report_", {"events": options.events}))


def _fill_overlay(command):
    command.add_argument("hard", type=Path, help="parquet file of hard events")
    command.add_argument("pileup", type=Path, help="npz model, or parquet file of real events")
    command.add_argument("--mu", type=float, default=60.0, help="mean pileup (default 60)")
    command.add_argument("--sigma-z", type=float, default=53.0, help="vertex spread [mm]")
    command.add_argument(
        "--dz-reference", default="origin", help="origin (default), hard or reconstructed"
    )
    add_seed(command)
    add_output(command, ".parquet", "parquet file of tracks")


def _overlay(options):
    from hepgmm import load_tracks, overlay, save_tracks
    from hepgmm.pileup import load_generator

    load = load_generator if options.pileup.suffix == ".npz" else load_tracks
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
    command.add_argument("--training", type=Path, help="the events that the generator learnt from")
    add_output(command, ".json", "also write JSON", required=False)
    add_seed(command)


def _validate(options):
    from hepgmm import load_tracks
    from hepgmm.validate import compare

    paths = options.real, options.synthetic
    events = [load_tracks(path) for path in paths]
    training = load_tracks(options.training) if options.training else None
    with _naming(*paths):
        figures = compare(*events, training=training, seed=options.seed)
    _show(figures, options.output)


# Classifiers --------------------------------------------------------------------------------


def _labelled_parts(options, *fractions):
    """The events of both files in random parts, each with some events of either file."""
    from hepgmm.datasets import label_events
    from hepgmm.pileup.overlay import split_events

    sample = label_events(options.background, options.signal)
    parts = split_events(len(sample), fractions=fractions, seed=options.seed)
    for label, path in enumerate((options.background, options.signal)):
        found = sample.y == label
        if not all(found[part].any() for part in parts):
            raise ValueError(f"{path}: {found.sum()} events with accepted tracks are too few")
    return [sample[part] for part in parts]


def _fill_train(command):
    command.add_argument("background", type=Path, help="parquet file of overlaid QCD events")
    command.add_argument("signal", type=Path, help="parquet file of overlaid neutralino events")
    command.add_argument("--model", default="transformer", help="mlp or transformer (default)")
    command.add_argument("--epochs", type=count, default=20, help="default 20")
    command.add_argument("--batch-size", type=count, default=256, help="events (default 256)")
    command.add_argument("--learning-rate", type=float, default=2e-3, help="peak (default 2e-3)")
    command.add_argument("--features", default="asinh", help="raw, scaled or asinh (default)")
    add_seed(command)
    add_output(command, ".safetensors", "file of the model; a folder beside it keeps checkpoints")


def _train(options):
    from hepgmm.classify import MLP, Transformer, save_model, train

    classes = {"mlp": MLP, "transformer": Transformer}
    if options.model not in classes:
        raise ValueError(f"--model: {options.model!r} is not one of {', '.join(classes)}")
    result = train(
        classes[options.model](features=options.features, seed=options.seed),
        *_labelled_parts(options, 0.85, 0.15),
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
    add_output(command, ".json", "also write JSON", required=False)
    add_seed(command)


def _evaluate(options):
    from hepgmm.classify import evaluate, load_model, predict

    model = load_model(options.model)
    (sample,) = _labelled_parts(options, 1.0)
    figures = evaluate(predict(model, sample.X, sample.mask), sample.y, seed=options.seed)
    _show(figures, options.output)


# The whole analysis -------------------------------------------------------------------------


def _run(options):
    from hepgmm import Analysis
    from hepgmm.report import classifier_table, results_folder

    analysis = Analysis(options.preset)
    print(classifier_table(analysis.results()))
    print(f"\nwritten to {results_folder() / analysis.name}.json")


def _fill_book(command):
    add_preset(command)
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
    command.add_argument("part", choices=["mixture"], help="what to measure")
    command.add_argument("-n", "--events", type=count, default=1000, help="min-bias events (1000)")
    command.add_argument("--largest", type=count, default=100, help="largest K of a scan (100)")
    command.add_argument("--repeats", type=count, default=5, help="turns of each part (5)")
    parts = ["fit_many", "fit_one", "sampling", "curves"]
    command.add_argument("--only", choices=parts, help="measure this again; OUTPUT keeps the rest")
    add_output(command, ".json", "also write JSON, and a figure beside it", required=False)
    add_seed(command)


def _benchmark(options):
    from matplotlib import pyplot

    from hepgmm import plots
    from hepgmm.benchmark import PARTS, benchmark_mixture
    from hepgmm.report import format_measurement

    figures = benchmark_mixture(
        options.events,
        parts=[options.only] if options.only else PARTS,
        largest=options.largest,
        repeats=options.repeats,
        seed=options.seed,
        progress=lambda part: print(f"measuring: {part}", file=sys.stderr),
    )
    table = {
        f"{part}, {way}: times faster": factor
        for part in ("fit_many", "fit_one")
        for way, factor in figures.get(part, {"faster": {}})["faster"].items()
    }
    if "sampling" in figures:
        sampling = figures["sampling"]
        table |= {f"{name} [events/s]": rate for name, rate in sampling["per_second"].items()}
        table["sampling / its random numbers"] = sampling["over_random_numbers"]
    for name, factor in table.items():
        print(f"{name}  {format_measurement(factor)}")
    if options.output:
        if options.only:
            kept = json.loads(options.output.read_text())
            if any(kept.get(name) != figures[name] for name in ("seed", "versions", "machine")):
                raise ValueError(f"{options.output}: measured elsewhere; measure all parts again")
            figures = kept | figures
        write_json(options.output, figures)
        plots.use_style()
        figure = plots.cost_panels(figures["curves"])
        with atomic_write(options.output.with_suffix(".svg")) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None})
        pyplot.close(figure)


def _fill_fidelity(command):
    parts = ["generators", "transfer", "sizes"]
    command.add_argument("--training", type=count, default=1000, help="collisions to learn (1000)")
    command.add_argument("--test", type=count, default=12_000, help="collisions to test (12000)")
    command.add_argument("--hard", type=count, default=8000, help="hard events (8000)")
    command.add_argument("--only", nargs="+", metavar="NAME", help="these generators")
    command.add_argument("--parts", nargs="+", choices=parts, default=parts, help="these parts")
    command.add_argument("--repeats", type=count, default=4, help="trainings of a classifier (4)")
    command.add_argument("--workers", type=count, default=1, help="no effect on the figures")
    command.add_argument("--quick", action="store_true", help="without the transformer")
    add_output(command, ".json", "JSON file of the figures; what it holds already is kept")
    add_seed(command)


def _fidelity(options):
    from hepgmm.fidelity import fidelity_table, measure_fidelity
    from hepgmm.pileup.generators import GENERATORS

    unknown = set(options.only or ()) - set(GENERATORS)
    if unknown:
        raise ValueError(f"--only: no {', '.join(unknown)}; there are {', '.join(GENERATORS)}")
    figures = measure_fidelity(
        options.output,
        n_training=options.training,
        n_test=options.test,
        n_hard=options.hard,
        names=options.only or tuple(GENERATORS),
        parts=options.parts,
        repeats=options.repeats,
        seed=options.seed,
        workers=options.workers,
        transformer=not options.quick,
        progress=lambda step: print(step, file=sys.stderr, flush=True),
    )
    print(fidelity_table(figures).to_string())


_COMMANDS = {
    "generate": (
        _generate,
        "Collide protons with Pythia and keep the tracks; resumes after an interruption.",
        "llp -n 1000 --mass 500 --ctau 3000 -o llp.parquet",
        _fill_generate,
    ),
    "fit": (
        _fit,
        "Fit a generator of pileup to min-bias events.",
        "minbias.parquet -o hgmm.npz",
        _fill_fit,
    ),
    "sample": (
        _sample,
        "Draw synthetic pileup events from a fitted generator.",
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
    "fidelity": (
        _fidelity,
        "Measure every generator of pileup beside real events; resumes after an interruption.",
        "--only shared hgmm -o fidelity.json",
        _fill_fidelity,
    ),
    "run": (
        _run,
        "Run the whole analysis of a preset and write results/<preset>.json.",
        "--preset standard",
        add_preset,
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
        "Speed and quality of the mixtures beside scikit-learn and Pythia, in one run.",
        "mixture -o benchmarks.json",
        _fill_benchmark,
    ),
}


if __name__ == "__main__":
    sys.exit(main())
