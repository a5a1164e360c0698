"""Commands for events: collide, fit, sample, overlay, validate."""

from __future__ import annotations

from pathlib import Path

from hepgmm.arguments import add_output, add_seed, count
from hepgmm.commands.showing import naming, show


def fill_generate(command):
    """Arguments of ``hepgmm generate``."""
    command.add_argument("process", help="minbias, qcd or llp")
    command.add_argument("-n", "--events", type=count, required=True, help="number of events")
    command.add_argument("--workers", type=count, default=1, help="processes; no effect on events")
    command.add_argument("--pt-hat-min", type=float, help="qcd: lowest pT-hat [GeV] (default 20)")
    command.add_argument("--mass", type=float, help="llp: neutralino mass [GeV] (default 100)")
    command.add_argument("--ctau", type=float, help="llp: proper decay length [mm] (default 3000)")
    add_seed(command)
    add_output(command, ".parquet", "parquet file of tracks")


def run_generate(options):
    """Collide protons and write their tracks."""
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


def fill_fit(command):
    """Arguments of ``hepgmm fit``."""
    command.add_argument("events", type=Path, help="parquet file of min-bias tracks")
    command.add_argument("--generator", default="hgmm", help="hgmm (default), shared, flow, …")
    command.add_argument("--max-components", type=count, default=100, help="of the high level")
    command.add_argument("--scale-features", action="store_true", help="part of the second cure")
    command.add_argument("--workers", type=count, default=1, help="threads; no effect on the fit")
    add_seed(command)
    add_output(command, ".npz", "npz file of the model")


def run_fit(options):
    """Fit a generator to min-bias events, save it and show its report."""
    from hepgmm import load_tracks
    from hepgmm.pileup import make_generator

    model = make_generator(options.generator)
    chosen = {"max_components", "scale_features", "workers", "seed"} & set(model.get_params())
    model.set_params(**{name: getattr(options, name) for name in chosen})
    events = load_tracks(options.events)
    with naming(options.events):
        model.fit(events, progress=True)
    model.save(options.output)
    show(model.report_)


def fill_sample(command):
    """Arguments of ``hepgmm sample``."""
    command.add_argument("model", type=Path, help="npz file that `hepgmm fit` wrote")
    command.add_argument("-n", "--events", type=count, required=True, help="number of events")
    command.add_argument("--clip", type=float, metavar="EPS", help="floor of the eigenvalues")
    add_seed(command)
    add_output(command, ".parquet", "parquet file of tracks")


def run_sample(options):
    """Draw events from a saved generator and write them."""
    from hepgmm import save_tracks
    from hepgmm.pileup import load_generator

    model = load_generator(options.model)
    if options.clip is not None:
        if "clip_eigenvalues" not in model.get_params():
            raise ValueError(f"--clip: a {type(model).__name__} has no eigenvalues to clip")
        model.set_params(clip_eigenvalues=options.clip)
    save_tracks(options.output, model.sample(options.events, seed=options.seed))
    show(getattr(model, "sample_report_", {"events": options.events}))


def fill_overlay(command):
    """Arguments of ``hepgmm overlay``."""
    command.add_argument("hard", type=Path, help="parquet file of hard events")
    command.add_argument("pileup", type=Path, help="npz model, or parquet file of real events")
    command.add_argument("--mu", type=float, default=60.0, help="mean pileup (default 60)")
    command.add_argument("--sigma-z", type=float, default=53.0, help="vertex spread [mm]")
    command.add_argument(
        "--dz-reference", default="origin", help="origin (default), hard or reconstructed"
    )
    add_seed(command)
    add_output(command, ".parquet", "parquet file of tracks")


def run_overlay(options):
    """Lay pileup over hard events and write the crossings."""
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


def fill_validate(command):
    """Arguments of ``hepgmm validate``."""
    command.add_argument("real", type=Path, help="parquet file of real events")
    command.add_argument("synthetic", type=Path, help="parquet file of synthetic events")
    command.add_argument("--training", type=Path, help="the events that the generator learnt from")
    add_output(command, ".json", "also write JSON", required=False)
    add_seed(command)


def run_validate(options):
    """Show how far synthetic events are from real ones, and write it if asked to."""
    from hepgmm import load_tracks
    from hepgmm.validate import compare

    paths = options.real, options.synthetic
    events = [load_tracks(path) for path in paths]
    training = load_tracks(options.training) if options.training else None
    with naming(*paths):
        figures = compare(*events, training=training, seed=options.seed)
    show(figures, options.output)
