"""Commands for classifiers: train, evaluate, export."""

from __future__ import annotations

from pathlib import Path

from hepgmm.arguments import add_output, add_seed, count
from hepgmm.commands.showing import naming, show


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


def fill_train(command):
    """Arguments of ``hepgmm train``."""
    command.add_argument("background", type=Path, help="parquet file of overlaid QCD events")
    command.add_argument("signal", type=Path, help="parquet file of overlaid neutralino events")
    command.add_argument("--model", default="transformer", help="mlp, deepsets, transformer, …")
    command.add_argument("--epochs", type=count, help="default: the model's own")
    command.add_argument("--batch-size", type=count, help="events (default 128)")
    command.add_argument("--learning-rate", type=float, help="peak (default: the model's own)")
    command.add_argument("--features", help="raw, scaled, asinh, full or a YAML file of your own")
    add_seed(command)
    add_output(command, ".safetensors", "file of the model; a folder beside it keeps checkpoints")


def run_train(options):
    """Train a network on overlaid events, or resume, and save it."""
    from hepgmm.classify import NetworkClassifier, make_classifier, save_model
    from hepgmm.classify.registry import CLASSIFIERS, classifier_names

    networks = [n for n in classifier_names() if issubclass(CLASSIFIERS[n], NetworkClassifier)]
    if options.model not in networks:
        raise ValueError(f"--model: {options.model!r} is not one of {', '.join(networks)}")
    settings = ("epochs", "batch_size", "learning_rate")
    chosen = {name: getattr(options, name) for name in settings if getattr(options, name)}
    inputs = {"features": options.features} if options.features else {}
    classifier = make_classifier(
        options.model, directory=options.output.with_suffix(""), training=chosen, **inputs
    )
    classifier.fit(*_labelled_parts(options, 0.85, 0.15), seed=options.seed, progress=True)
    save_model(options.output, classifier.model)
    losses = [epoch["val_loss"] for epoch in classifier.history]
    print(f"best epoch {losses.index(min(losses)) + 1} of {len(losses)}")


def fill_evaluate(command):
    """Arguments of ``hepgmm evaluate``."""
    command.add_argument("model", type=Path, help="safetensors file that `hepgmm train` wrote")
    command.add_argument("background", type=Path, help="parquet file of other QCD events")
    command.add_argument("signal", type=Path, help="parquet file of other neutralino events")
    add_output(command, ".json", "also write JSON", required=False)
    add_seed(command)


def run_evaluate(options):
    """Show a classifier's metrics on other events, and write them if asked to."""
    from hepgmm.classify import evaluate, load_model, predict

    model = load_model(options.model)
    (sample,) = _labelled_parts(options, 1.0)
    figures = evaluate(predict(model, sample.X, sample.mask), sample.y, seed=options.seed)
    show(figures, options.output)


def fill_export(command):
    """Arguments of ``hepgmm export``."""
    command.add_argument("model", type=Path, help="safetensors file that `hepgmm train` wrote")
    command.add_argument("events", type=Path, help="parquet file of overlaid events to compare on")
    add_output(command, ".onnx", "ONNX file of X and mask to logit")


def run_export(options):
    """Write a network as ONNX and show the latency of single events on one core."""
    from hepgmm import load_tracks, select
    from hepgmm.classify import export_onnx, load_model, onnx_latency

    model = load_model(options.model)
    X, mask = select(load_tracks(options.events), absolute_pt=True)
    with naming(options.events):
        export_onnx(options.output, model, X[:512], mask[:512])
    times = onnx_latency(options.output, X[:512], mask[:512])
    print(f"latency of one event: median {times['median']:.2f} ms, 99% below {times['p99']:.2f} ms")
