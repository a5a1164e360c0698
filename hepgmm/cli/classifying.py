"""Commands for classifiers: train, evaluate, export."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path

import yaml

from hepgmm.cli.arguments import add_output, add_seed, count, naming, show

_PARTS = ("train", "validation")


def _labelled_parts(background, signal, *fractions, seed):
    """The events of both files in random parts, each with some events of either file."""
    from hepgmm.crossings.samples import label_events, split_events

    sample = label_events(background, signal)
    parts = split_events(len(sample), fractions=fractions, seed=seed)
    for label, path in enumerate((background, signal)):
        found = sample.y == label
        if not all(found[part].any() for part in parts):
            raise ValueError(f"{path}: {found.sum()} events with accepted tracks are too few")
    return [sample[part] for part in parts]


def fill_train(command):
    """Arguments of ``hepgmm train``."""
    events = command.add_mutually_exclusive_group(required=True)
    events.add_argument(
        "--data",
        nargs=2,
        type=Path,
        metavar=("BACKGROUND", "SIGNAL"),
        help="parquet files of overlaid QCD and neutralino events",
    )
    events.add_argument("--preset", help="the events of a preset: quick, standard, paper or a file")
    command.add_argument(
        "--setting", default="origin", help="of the ladder, with --preset (default origin)"
    )
    command.add_argument(
        "--model", default="transformer", help="trees, mlp, deepsets, transformer, …"
    )
    command.add_argument(
        "-p",
        "--parameter",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="of the training, such as epochs=5, or of the model, such as features=full; repeat it",
    )
    command.add_argument(
        "-s", "--seed", type=partial(count, low=0), help="default: 1, or the preset's own"
    )
    add_output(command, ".safetensors", "file of the model; a card (.json) is written beside it")


def run_train(options):
    """Train a classifier, or resume, and save it with a card."""
    from hepgmm.classify.ladder import classifier_class, classifier_names

    if options.model not in classifier_names():
        known = ", ".join(classifier_names())
        raise ValueError(f"--model: {options.model!r} is not one of {known}")
    training, own = _parameters(options.parameter, classifier_class(options.model))
    if options.preset:
        _train_on_preset(options, training, own)
    else:
        _train_on_files(options, training, own)


def _train_on_files(options, training, own):
    from sklearn.metrics import log_loss

    from hepgmm.analysis.figures import environment
    from hepgmm.classify import (
        auc,
        make_classifier,
        save_card,
        save_model,
    )
    from hepgmm.classify.ladder import classifier_class

    seed = 1 if options.seed is None else options.seed
    parts = _labelled_parts(*options.data, 0.85, 0.15, seed=seed)
    kept = {"directory": options.output.with_suffix(""), "training": training}
    kept = kept if classifier_class(options.model).is_network else {}
    rung = make_classifier(options.model, **kept, **own).fit(*parts, seed=seed, progress=True)
    save_model(options.output, rung.model)
    validation = parts[1]
    scores = rung.predict_proba(validation.X, validation.mask)
    metrics = {
        "val_loss": float(log_loss(validation.y, scores)),
        "val_auc": float(auc(scores, validation.y)),
    }
    save_card(
        options.output,
        rung.model,
        training={
            "files": [path.name for path in options.data],
            "events": {name: len(part) for name, part in zip(_PARTS, parts, strict=True)},
            "settings": rung.settings,
            "seed": seed,
        },
        metrics={"validation": metrics},
        **environment(),
    )
    print(f"validation: loss {metrics['val_loss']:.4f}, AUC {metrics['val_auc']:.4f}")


def _train_on_preset(options, training, own):
    """Train as the ladder does, whose training is taken if there is one."""
    from hepgmm.analysis.figures import environment
    from hepgmm.classify import save_card, save_model
    from hepgmm.classify.metrics import rung_figures
    from hepgmm.measure.plans import SETTINGS
    from hepgmm.measure.variants import Variant
    from hepgmm.statistics import format_measurement

    if options.setting not in SETTINGS:
        known = ", ".join(SETTINGS)
        raise ValueError(f"--setting: {options.setting!r} is not one of {known}")
    if own:
        raise ValueError(f"-p {next(iter(own))}: with --preset the model is that of the ladder")
    point = SETTINGS[options.setting]
    variant = Variant.at(point, options.preset, seed=options.seed, train=training)
    rung, scores = variant.trained(options.model), variant.scores_of(options.model)
    samples, seed = variant.datasets(), variant.parameters["seed"]
    figures = rung_figures(scores[None], samples["test"], seed=seed)
    save_model(options.output, rung.model)
    save_card(
        options.output,
        rung.model,
        training={
            "setting": options.setting,
            "preset": variant.parameters,
            "events": {name: len(part) for name, part in samples.items()},
            "settings": rung.settings,
        },
        metrics={"test": figures},
        **environment(),
    )
    print(f"AUC of the test events: {format_measurement(figures['auc'])}")


def _parameters(given, rung):
    """Arguments of the training, and those of a rung itself, from ``KEY=VALUE``."""
    import inspect

    from hepgmm.classify import train

    fixed = {"model", "training", "validation", "fresh", "seed", "directory", "progress"}

    def names(source):
        return [name for name in inspect.signature(source).parameters if name not in fixed]

    network = rung.is_network
    known, own = names(train) if network else [], names(rung.architecture if network else rung)
    training, options = {}, {}
    for each in given:
        key, found, value = each.partition("=")
        if not found or key not in known + own:
            allowed = ", ".join(known + own)
            raise ValueError(
                f"-p {each}: give KEY=VALUE with one of {allowed}"
                if allowed
                else f"-p {each}: {rung.name} has no parameters"
            )
        value = yaml.safe_load(value)
        with suppress(TypeError, ValueError):  # YAML takes 1e-3 for text
            value = float(value) if isinstance(value, str) else value
        (training if key in known else options)[key] = value
    return training, options


def fill_evaluate(command):
    """Arguments of ``hepgmm evaluate``."""
    command.add_argument("model", type=Path, help="safetensors file that `hepgmm train` wrote")
    command.add_argument("background", type=Path, help="parquet file of other QCD events")
    command.add_argument("signal", type=Path, help="parquet file of other neutralino events")
    add_output(command, ".json", "also write JSON", required=False)
    add_seed(command)


def run_evaluate(options):
    """Show a classifier's metrics on other events, and write them if asked to."""
    from hepgmm.classify import load_model, predict
    from hepgmm.classify.metrics import rung_figures

    model = load_model(options.model)
    (sample,) = _labelled_parts(options.background, options.signal, 1.0, seed=options.seed)
    scores = predict(model, sample.X, sample.mask)
    show(rung_figures([scores], sample, n_bootstrap=500, seed=options.seed), options.output)


def fill_export(command):
    """Arguments of ``hepgmm export``."""
    command.add_argument("model", type=Path, help="safetensors file that `hepgmm train` wrote")
    command.add_argument("events", type=Path, help="parquet file of overlaid events to compare on")
    add_output(command, ".onnx", "ONNX file of X and mask to logit")


def run_export(options):
    """Write a classifier as ONNX and show the latency of single events on one core."""
    from hepgmm import load_tracks, select
    from hepgmm.classify import export_onnx, load_model, onnx_latency

    model = load_model(options.model)
    X, mask = select(load_tracks(options.events), absolute_pt=True)
    with naming(options.events):
        export_onnx(options.output, model, X[:512], mask[:512])
    times = onnx_latency(options.output, X[:512], mask[:512])
    print(f"latency of one event: median {times['median']:.2f} ms, 99% below {times['p99']:.2f} ms")
