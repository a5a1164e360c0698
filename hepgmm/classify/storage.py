"""Trained classifiers as safetensors files, and a card beside them that says what they are."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from hepgmm.classify.cuts import Steps
from hepgmm.classify.models import MLP, DeepSets, Transformer
from hepgmm.classify.particle_transformer import ParticleTransformer
from hepgmm.classify.trees import TreeEnsemble
from hepgmm.io_utils import atomic_write, write_json

__all__ = ["ARCHITECTURES", "load_model", "save_card", "save_model"]

_OURS = (MLP, DeepSets, Transformer, ParticleTransformer, TreeEnsemble, Steps)
ARCHITECTURES = {each.__name__: each for each in _OURS}
"""Models by the name that saved files give them; add your own."""

_KIND, _VERSION = "hepgmm classifier", 1


def save_model(path, model):
    """Write a model's weights, architecture and hyperparameters to a safetensors file.

    Parameters
    ----------
    path : str or Path
    model : torch.nn.Module
        Of a class in ``ARCHITECTURES``, with ``hyperparameters`` that make it again.

    Raises
    ------
    ValueError
        If its class is not in ``ARCHITECTURES``.
    """
    check_architecture(model)
    metadata = {
        "format": f"{_KIND} {_VERSION}",
        "architecture": type(model).__name__,
        "hyperparameters": json.dumps(model.hyperparameters),
    }
    weights = {name: w.detach().cpu().contiguous() for name, w in model.state_dict().items()}
    with atomic_write(path) as temporary:
        # Not save_file, which leaves a file of its own when killed.
        temporary.write_bytes(save(weights, metadata))


def save_card(path, model, **about):
    """Write a model's card, JSON for people and programs that do not load it.

    Parameters
    ----------
    path : str or Path
        The file of the model; the card has the same name and the ending ``.json``.
    model : torch.nn.Module
        Of this package.
    **about
        What else the card says, such as the training events and figures of merit.

    Returns
    -------
    Path
        Of the card.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = save_card(Path(folder, "mlp.safetensors"), MLP(), metrics={"auc": 0.8})
    ...     json.loads(path.read_text())["metrics"]
    {'auc': 0.8}
    """
    path = Path(path).with_suffix(".json")
    hyperparameters = {k: v for k, v in model.hyperparameters.items() if k != "features"}
    card = {
        "format": f"{_KIND} {_VERSION}",
        "architecture": type(model).__name__,
        "parameters": sum(weights.numel() for weights in model.parameters()),
        "hyperparameters": hyperparameters,
        "inputs": list(model.features.formulas),
    }
    write_json(path, card | about)
    return path


def check_architecture(model):
    """An error for a network that could not be read back."""
    name = type(model).__name__
    if ARCHITECTURES.get(name) is not type(model):
        raise ValueError(
            f"{name}: unknown to saved models; add it, hepgmm.classify.ARCHITECTURES[{name!r}]"
            f" = {name}"
        )


def load_model(path):
    """Read a model that :func:`save_model` wrote; it lies on the CPU, ready to predict.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    torch.nn.Module

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not a saved classifier, or one of an unknown architecture.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: not a safetensors file, or a truncated one ({error})") from None
    kind, _, version = metadata.get("format", "").rpartition(" ")
    if kind != _KIND or not version.isdigit():
        raise ValueError(f"{path}: not written by hepgmm.classify.save_model")
    if int(version) > _VERSION:
        raise ValueError(
            f"{path}: written by a newer hepgmm (format {version}, this one reads {_VERSION}); "
            "update hepgmm"
        )
    architecture = metadata["architecture"]
    if architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ValueError(f"{path}: architecture {architecture!r} is unknown; known are {known}")
    try:
        model = ARCHITECTURES[architecture](**json.loads(metadata["hyperparameters"]))
    except (TypeError, ValueError, OSError) as error:
        raise ValueError(
            f"{path}: its hyperparameters do not fit the {architecture} it names ({error})"
        ) from None
    try:
        model.load_state_dict(weights)
    except RuntimeError:
        raise ValueError(f"{path}: its weights do not fit the {architecture} it names") from None
    return model.eval()
