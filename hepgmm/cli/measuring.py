"""Commands that measure: the engine, every generator of pileup, every classifier."""

from __future__ import annotations

import json
import sys
from functools import partial

from hepgmm.cli.arguments import (
    add_output,
    add_preset,
    add_seed,
    count,
)
from hepgmm.io.atomic import write_json


def fill_benchmark(command):
    """Arguments of ``hepgmm benchmark``."""
    command.add_argument("part", choices=["mixture", "classifiers"], help="what to measure")
    command.add_argument("-n", "--events", type=count, default=1000, help="min-bias events (1000)")
    command.add_argument("--largest", type=count, help="largest K of a scan (100), of mixture")
    command.add_argument("--repeats", type=count, default=5, help="turns of each part (5)")
    parts = ["fit_many", "fit_one", "sampling", "curves"]
    again = "measure this again, of mixture; OUTPUT keeps the rest"
    command.add_argument("--only", choices=parts, help=again)
    add_output(command, ".json", "also write JSON, and a figure beside it", required=False)
    add_seed(command)


def run_benchmark(options):
    """Measure the engine, show the ratios, and write figures if asked to."""
    if options.part == "classifiers":
        for name in ("only", "largest"):
            if getattr(options, name) is not None:
                raise ValueError(f"--{name}: of `benchmark mixture` alone; leave it out")
        return run_classifiers(options)
    from hepgmm import plots
    from hepgmm.measure.speed import PARTS, benchmark_mixture
    from hepgmm.statistics import format_measurement

    figures = benchmark_mixture(
        options.events,
        parts=[options.only] if options.only else PARTS,
        largest=options.largest or 100,
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
        plots.save_svg(options.output.with_suffix(".svg"), plots.cost_panels(figures["curves"]))


def run_classifiers(options):
    """Measure training and latency of the rungs and the overlay, and write figures."""
    from hepgmm.measure.speed import overlay_speed
    from hepgmm.measure.speed_of_classifiers import benchmark_classifiers
    from hepgmm.statistics import format_measurement

    common = {"repeats": options.repeats, "seed": options.seed}
    figures = benchmark_classifiers(**common)
    figures["overlay"] = overlay_speed(n_pileup=options.events, **common)
    for name, rate in figures["training"].items():
        print(f"{name}: trains {format_measurement(rate)} events/s")
    for name, times in figures["latency"].items():
        median, last = times["median"], times["p99"]
        print(f"{name}: latency of one event {median:.2f} ms (median), {last:.2f} ms (99%)")
    for name, what in (
        ("torch", "blocks and default loader"),
        ("blocks", "blocks alone"),
        ("dropout", "with the paper's dropout, torch's on attention too"),
    ):
        faster = format_measurement(figures["faster"][name])
        print(f"the paper's transformer, times faster than torch's {what}: {faster}")
    for name, rate in figures["overlay"]["per_second"].items():
        peak = figures["overlay"]["peak_mb"][name]
        print(f"overlay, pileup {name}: {format_measurement(rate)} events/s, {peak:.0f} MB")
    if options.output:
        write_json(options.output, figures)


def fill_fidelity(command):
    """Arguments of ``hepgmm fidelity``."""
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


def run_fidelity(options):
    """Measure the generators, write the figures and show their table."""
    from hepgmm.measure.generators import measure_fidelity
    from hepgmm.measure.tables import as_text, fidelity_rows
    from hepgmm.pileup.base import GENERATORS

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
    print(as_text(fidelity_rows(figures)))


def fill_studies(command):
    """Arguments of ``hepgmm studies``."""
    add_preset(command, default="standard")
    command.add_argument("--only", nargs="+", metavar="NAME", help="these studies")
    command.add_argument("--rungs", nargs="+", metavar="NAME", help="these classifiers")
    command.add_argument("--trainings", type=count, default=1, help="of each classifier (1)")
    command.add_argument("--epochs", type=count, help="of each network (default: its own)")
    command.add_argument(
        "--workers",
        type=count,
        help="trainings at a time (default: one for each core, without a GPU)",
    )
    add_output(command, ".json", "JSON file, with SVG beside it; what it holds already is kept")


def run_studies(options):
    """Measure the studies, write their figures and draw each."""
    from hepgmm import plots
    from hepgmm.measure import STUDIES, measure_studies
    from hepgmm.plots.measure import study_panel
    from hepgmm.statistics import format_measurement

    chosen = {"names": options.rungs} if options.rungs else {}
    figures = measure_studies(
        options.output,
        preset=options.preset,
        studies=options.only or tuple(STUDIES),
        trainings=options.trainings,
        training={"epochs": options.epochs} if options.epochs else None,
        workers=options.workers,
        progress=lambda step: print(step, file=sys.stderr, flush=True),
        **chosen,
    )
    plots.use_style()
    for name, rows in figures["studies"].items():
        panel = study_panel(STUDIES[name], rows["settings"], label=f"{options.preset} preset")
        plots.save_svg(options.output.with_name(f"{options.output.stem}_{name}.svg"), panel)
        print(f"{STUDIES[name].title}: AUC")
        for row in rows["settings"]:
            values = [
                f"{rung['title']} {format_measurement(rung['figures']['auc'])}"
                for rung in row["rungs"].values()
            ]
            print(f"  {' '.join(str(row['value']).split())}: {', '.join(values)}")


def fill_ladder(command):
    """Arguments of ``hepgmm ladder``."""
    add_preset(command, default="standard")
    command.add_argument("--only", nargs="+", metavar="NAME", help="these classifiers")
    command.add_argument(
        "--settings",
        nargs="+",
        metavar="NAME",
        help="origin, reconstructed, hard (references of dz), real, detector (real pileup)",
    )
    command.add_argument("--trainings", type=count, default=5, help="of each classifier (5)")
    command.add_argument("--epochs", type=count, help="of each network (default: its own)")
    command.add_argument(
        "-s", "--seed", type=partial(count, low=0), help="default: the preset's own"
    )
    add_output(command, ".json", "JSON file, with SVG beside it; what it holds already is kept")


def run_ladder(options):
    """Train the classifiers, write their figures, draw them and show the tables."""
    from hepgmm import plots
    from hepgmm.measure import SETTINGS, measure_ladder
    from hepgmm.measure.tables import COLUMNS, REJECTIONS, as_text, ladder_rows
    from hepgmm.plots.classify import rejection_curves

    figures = measure_ladder(
        options.output,
        preset=options.preset,
        names=options.only,
        settings=options.settings or tuple(SETTINGS),
        trainings=options.trainings,
        seed=options.seed,
        training={"epochs": options.epochs} if options.epochs else None,
        progress=lambda step: print(step, file=sys.stderr, flush=True),
    )
    plots.use_style()
    for setting in options.settings or SETTINGS:
        curves = rejection_curves(figures["settings"][setting]["rungs"], title=setting)
        plots.save_svg(options.output.with_name(f"{options.output.stem}_{setting}.svg"), curves)
        print(f"setting: {setting}")
        print(as_text(ladder_rows(figures, setting, COLUMNS | REJECTIONS)))


def fill_plan(command):
    """Arguments of ``hepgmm plan``."""
    add_preset(command, default="paper")
    command.add_argument(
        "--tflops", type=float, default=1.0, help="sustained TFLOP/s of a GPU (1, an assumption)"
    )


def run_plan(options):
    """Show what a preset will cost, from the measured run of the standard preset."""
    from hepgmm.analysis.figures import load_results
    from hepgmm.analysis.presets import load_preset
    from hepgmm.measure.cost import plan

    measured, parameters = load_results("standard"), load_preset(options.preset)
    costs = plan(parameters, measured, tflops=options.tflops)
    print(
        f"preset {options.preset}, scaled from the standard preset on "
        f"{measured['machine']['cores']} cores, without a GPU"
    )
    for stage, seconds in costs.items():
        print(f"{stage:24s}{seconds / 3600:10.2f} h")
    if parameters["training"]["attention_dropout"]:
        print("dropout of attention weights costs a CPU more than that, a GPU little")
