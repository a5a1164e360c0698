"""The networks of the ladder: which architecture, which inputs, how trained."""

from __future__ import annotations

from collections.abc import Mapping
from tempfile import TemporaryDirectory
from typing import ClassVar

from hepgmm.classify.checkpoints import best_epoch
from hepgmm.classify.fitted import FittedModel
from hepgmm.classify.networks import MLP, DeepSets, ParticleTransformer, Transformer
from hepgmm.classify.registry import register
from hepgmm.classify.storage import ARCHITECTURES
from hepgmm.classify.training import train

__all__ = ["NetworkClassifier"]


class NetworkClassifier(FittedModel):
    """A network on the ladder: a subclass names its architecture and how it is trained.

    The architecture is a ``torch.nn.Module`` whose ``forward(X, mask)`` gives logits, with
    ``features``, a :class:`~hepgmm.classify.TrackFeatures`, and ``hyperparameters``, the arguments
    that make it again; saved models know it by its name from then on.

    Parameters
    ----------
    directory : str or Path, optional
        Where the training keeps its checkpoints, so that it resumes; a temporary one otherwise.
    training : mapping, optional
        Arguments of :func:`hepgmm.classify.train` that differ from the rung's.
    **options
        Arguments of the architecture that differ from the rung's.

    A subclass with ``fresh_pileup = True`` asks for pileup that is new in every epoch: the ladder
    gives its training a ``fresh`` argument.

    Attributes
    ----------
    model : torch.nn.Module
        The trained network.
    history : list of dict
        Of its training, an entry an epoch.

    Examples
    --------
    A rung of your own:

    >>> @register("small_sets", title="Small DeepSets")
    ... class SmallSets(NetworkClassifier):
    ...     architecture = DeepSets
    ...     options = {"width": 8, "features": "asinh"}
    ...     training = {"epochs": 1}
    >>> SmallSets(n_layers=2).options
    {'width': 8, 'features': 'asinh', 'n_layers': 2}
    >>> from hepgmm.classify import CLASSIFIERS
    >>> del CLASSIFIERS["small_sets"]
    """

    architecture: ClassVar[type]
    fresh_pileup: ClassVar[bool] = False
    options: ClassVar[Mapping] = {}
    training: ClassVar[Mapping] = {}

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if "architecture" in vars(cls):
            ARCHITECTURES.setdefault(cls.architecture.__name__, cls.architecture)

    def __init__(self, *, directory=None, training=None, **options):
        self.directory = directory
        self.options = {**self.options, **options}
        settings = {"batch_size": 128, "learning_rate": 2e-3, "schedule": "cosine"}
        self.training = {**settings, **self.training, **(training or {})}

    @property
    def settings(self):
        """Arguments of the training, but for what is no setting."""
        return {name: value for name, value in self.training.items() if name != "fresh"}

    def fit(self, training, validation, *, seed, progress=False):
        """Train from fresh weights; validation events choose the epoch.

        Parameters
        ----------
        training, validation : Sample
        seed : int
            Of the initial weights, the order of events and dropout.
        progress : bool

        Returns
        -------
        NetworkClassifier
            Itself.

        Raises
        ------
        ValueError
            If several processes train without a ``directory``; and what
            :func:`hepgmm.classify.train` raises.
        """
        processes = self.training.get("devices", 1), self.training.get("nodes", 1)
        if self.directory is None and processes != (1, 1):
            raise ValueError("several processes share the folder of a training; give directory=…")
        with TemporaryDirectory() as temporary:
            result = train(
                self.architecture(**self.options, seed=seed),
                training,
                validation,
                **self.training,
                seed=seed,
                directory=self.directory or temporary,
                progress=progress,
            )
        self.model, self.history = result.model, result.history
        return self

    @property
    def best_epoch(self):
        """The epoch, from 1, of least validation loss, whose weights the model has."""
        return best_epoch(self.history)


@register("mlp", title="MLP")
class _MLP(NetworkClassifier):
    architecture = MLP
    training: ClassVar = {"epochs": 40, "learning_rate": 3e-3}


@register("deepsets", title="DeepSets")
class _DeepSets(NetworkClassifier):
    architecture = DeepSets
    training: ClassVar = {"epochs": 30, "learning_rate": 3e-3, "mirror": True}


@register("transformer", title="Transformer")
class _Transformer(NetworkClassifier):
    architecture = Transformer
    options: ClassVar = {"dropout": 0.0}
    training: ClassVar = {"epochs": 12}


@register("pooled_transformer", title="Transformer, mean and maximum")
class _PooledTransformer(NetworkClassifier):
    architecture = Transformer
    options: ClassVar = {
        "features": "full",
        "pooling": "mean_max",
        "width": 48,
        "n_blocks": 2,
        "n_heads": 4,
        "feedforward": 96,
    }
    training: ClassVar = {"epochs": 12, "mirror": True}
    fresh_pileup = True


@register("vertex_transformer", title="Transformer, vertex bias")
class _VertexTransformer(_PooledTransformer):
    options: ClassVar = {**_PooledTransformer.options, "vertex_bias": True}
    training: ClassVar = {"epochs": 12, "mirror": True}


@register("track_transformer", title="Transformer, vertex bias and track task")
class _TrackTransformer(_PooledTransformer):
    options: ClassVar = {**_VertexTransformer.options, "track_task": True}
    training: ClassVar = {"epochs": 12, "mirror": True, "track_weight": 0.5}


@register("particle_transformer", title="Particle Transformer")
class _ParticleTransformer(NetworkClassifier):
    architecture = ParticleTransformer
    training: ClassVar = {"epochs": 15, "mirror": True}
