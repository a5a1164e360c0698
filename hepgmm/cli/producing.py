"""Commands for events: collide, fit, sample, overlay, validate."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from hepgmm.cli.arguments import (
    add_output,
    add_seed,
    count,
    naming,
    output_file,
    show,
)
from hepgmm.io.atomic import atomic_write


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
    command.add_argument("--max-components", type=count, help="of hgmm's high level (100)")
    command.add_argument(
        "--scale-features", action="store_true", default=None, help="hgmm: part of the second cure"
    )
    command.add_argument("--workers", type=count, default=1, help="threads; no effect on the fit")
    add_seed(command)
    add_output(command, ".npz", "npz file of the model")


def run_fit(options):
    """Fit a generator to min-bias events, save it and show its report."""
    from hepgmm import load_tracks
    from hepgmm.pileup import make_generator

    model = make_generator(options.generator)
    known = model.get_params()
    for name in ("max_components", "scale_features"):
        if getattr(options, name) is not None and name not in known:
            option = name.replace("_", "-")
            raise ValueError(f"--{option}: a {type(model).__name__} has no such parameter")
    chosen = {"max_components", "scale_features", "workers", "seed"} & set(known)
    values = {name: getattr(options, name) for name in chosen}
    model.set_params(**{name: value for name, value in values.items() if value is not None})
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
    command.add_argument(
        "--sources",
        type=partial(output_file, suffix=".npy"),
        metavar="FILE",
        help="also write which training events were followed, for `hepgmm validate` (.npy)",
    )
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
    if options.sources:
        if not model.HAS_SOURCES:
            raise ValueError(f"--sources: a {type(model).__name__} does not follow single events")
        drawn = model.sample(options.events, seed=options.seed, return_sources=True)
        events, sources = drawn
        with atomic_write(options.sources) as temporary, temporary.open("wb") as file:
            np.save(file, sources)
    else:
        events = model.sample(options.events, seed=options.seed)
    save_tracks(options.output, events)
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
    command.add_argument(
        "--truth", action="store_true", help="also write which collision each track is of"
    )
    add_seed(command)
    add_output(command, ".parquet", "parquet file of tracks")


def run_overlay(options):
    """Lay pileup over hard events and write the crossings."""
    from hepgmm import load_tracks, overlay, save_tracks
    from hepgmm.pileup import load_generator

    load = load_generator if options.pileup.suffix == ".npz" else load_tracks
    mixed, truth = overlay(
        load_tracks(options.hard),
        load(options.pileup),
        mu=options.mu,
        seed=options.seed,
        sigma_z=options.sigma_z,
        dz_reference=options.dz_reference,
        return_truth=True,
    )
    save_tracks(options.output, mixed, truth=truth if options.truth else None)


def fill_validate(command):
    """Arguments of ``hepgmm validate``."""
    command.add_argument("real", type=Path, help="parquet file of real events")
    command.add_argument("synthetic", type=Path, help="parquet file of synthetic events")
    command.add_argument("--training", type=Path, help="the events that the generator learnt from")
    command.add_argument("--sources", type=Path, help="npy file that `hepgmm sample` wrote")
    command.add_argument(
        "--min-tracks", type=count, default=3, help="leave out events with fewer tracks (3)"
    )
    command.add_argument("--transformer", action="store_true", help="train one, too: minutes")
    add_output(command, ".json", "also write JSON", required=False)
    add_seed(command)


def run_validate(options):
    """Show how far synthetic events are from real ones, and write it if asked to."""
    import awkward as ak

    from hepgmm import load_tracks
    from hepgmm.validate import compare

    samples, masks = {}, {}
    for name in ("real", "synthetic", "training"):
        path = getattr(options, name)
        if path:
            events = load_tracks(path)
            masks[name] = ak.to_numpy(ak.num(events)) >= options.min_tracks
            samples[name] = events[masks[name]]
            few = f"{(~masks[name]).sum()} of {len(events)} events"
            print(f"{path}: {few} have fewer than {options.min_tracks} tracks")
    sources = None
    if options.sources:
        sources = load_array(options.sources)
        if len(sources) != len(masks["synthetic"]):
            n_events = len(masks["synthetic"])
            raise ValueError(f"{options.sources}: {len(sources)} sources of {n_events} events")
        sources = sources[masks["synthetic"]]
    with naming(options.real, options.synthetic):
        figures = compare(
            **samples, sources=sources, transformer=options.transformer, seed=options.seed
        )
    show(figures, options.output)


def load_array(path):
    """The array of an npy file, or an error that names the file."""
    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except (ValueError, OSError, EOFError):
        raise ValueError(f"{path}: not an npy file of numbers; write it again") from None
