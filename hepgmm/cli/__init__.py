"""The command line: ``hepgmm <command>``, each a thin face of one function."""

from __future__ import annotations

import sys

from hepgmm import __version__
from hepgmm.cli import classifying, measuring, producing, whole_runs
from hepgmm.cli.arguments import Parser, add_preset

__all__ = ["main"]

_UNITS = "pT in GeV, phi in rad, d0 and dz in mm; masses in GeV, lengths in mm."
_RESUMABLE = ("generate", "train", "fidelity", "ladder", "studies", "run", "book")


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


_COMMANDS = {
    "generate": (
        producing.run_generate,
        "Collide protons with Pythia and keep the tracks; resumes after an interruption.",
        "llp -n 1000 --mass 500 --ctau 3000 -o llp.parquet",
        producing.fill_generate,
    ),
    "fit": (
        producing.run_fit,
        "Fit a generator of pileup to min-bias events.",
        "minbias.parquet -o hgmm.npz",
        producing.fill_fit,
    ),
    "sample": (
        producing.run_sample,
        "Draw synthetic pileup events from a fitted generator.",
        "hgmm.npz -n 10000 -o synthetic.parquet",
        producing.fill_sample,
    ),
    "overlay": (
        producing.run_overlay,
        "Put Poisson(mu) pileup events on each hard event.",
        "llp.parquet hgmm.npz --mu 60 -o llp_mu60.parquet",
        producing.fill_overlay,
    ),
    "train": (
        classifying.run_train,
        "Train a classifier; resumes from its last checkpoint.",
        "--data qcd_mu60.parquet llp_mu60.parquet --model mlp -p epochs=20 -o mlp.safetensors",
        classifying.fill_train,
    ),
    "evaluate": (
        classifying.run_evaluate,
        "AUC, accuracy, recall, precision and background rejection of a classifier, with errors.",
        "mlp.safetensors qcd_test.parquet llp_test.parquet",
        classifying.fill_evaluate,
    ),
    "export": (
        classifying.run_export,
        "Write a classifier as ONNX, compare its outputs with torch's, and time it.",
        "mlp.safetensors qcd_mu60.parquet -o mlp.onnx",
        classifying.fill_export,
    ),
    "validate": (
        producing.run_validate,
        "Compare synthetic with real events: distances and two-sample AUCs, with errors.",
        "real.parquet synthetic.parquet",
        producing.fill_validate,
    ),
    "fidelity": (
        measuring.run_fidelity,
        "Measure every generator of pileup beside real events; resumes after an interruption.",
        "--only shared hgmm -o fidelity.json",
        measuring.fill_fidelity,
    ),
    "ladder": (
        measuring.run_ladder,
        "Train every classifier several times and measure it, with errors; resumes.",
        "--preset standard --only trees mlp -o ladder.json",
        measuring.fill_ladder,
    ),
    "studies": (
        measuring.run_studies,
        "Vary pileup, lifetime, detector, inputs, …, and measure classifiers at each setting.",
        "--only mu inputs -o studies.json",
        measuring.fill_studies,
    ),
    "plan": (
        measuring.run_plan,
        "Estimate how long a preset takes, from the run of the standard preset.",
        "--preset paper",
        measuring.fill_plan,
    ),
    "run": (
        whole_runs.run_analysis,
        "Run the whole analysis of a preset and write results/<preset>.json.",
        "--preset standard",
        add_preset,
    ),
    "book": (
        whole_runs.run_book,
        "Run the analysis and the notebooks of a preset and build the book.",
        "--preset quick",
        whole_runs.fill_book,
    ),
    "report": (
        whole_runs.run_report,
        "Fill the table of a README from a result file.",
        "README.md --preset standard",
        whole_runs.fill_report,
    ),
    "benchmark": (
        measuring.run_benchmark,
        "Speed and quality of the mixtures beside scikit-learn and Pythia, in one run.",
        "mixture -o benchmarks.json",
        measuring.fill_benchmark,
    ),
}
