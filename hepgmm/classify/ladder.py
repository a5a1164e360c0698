"""The ladder of classifiers: every rung by name, from one cut to the Particle Transformer."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

__all__ = [
    "CLASSIFIERS",
    "NETWORKS",
    "RUNGS",
    "BoostedTrees",
    "FittedModel",
    "NetworkClassifier",
    "PtCut",
    "classifier_class",
    "classifier_names",
    "code_of",
    "make_classifier",
    "register",
]

#: Packages whose code is not a rung's own.
_OTHERS = ("builtins", "hepgmm", "torch")

#: Name of a rung → its class, from the simplest to the most elaborate one, then your own.
CLASSIFIERS: dict[str, type] = {}


def register(name, *, title):
    """Put a class on the ladder, under ``name``.

    The class has ``fit(training, validation, *, seed, progress=False)``, which returns itself, and
    ``predict_proba(X, mask)``, the probability of signal, shape (n,). What else its constructor
    takes is up to it; every argument has a default. To be saved, exported and named in a preset,
    it has to have ``model`` after its fit, a ``torch.nn.Module`` that
    :func:`hepgmm.classify.save_model` knows, and ``predict_proba`` may need nothing else, as in a
    subclass of ``hepgmm.classify.ladder.FittedModel``.

    Parameters
    ----------
    name : str
    title : str
        How tables and figures call it.

    Returns
    -------
    callable
        A decorator of the class, which receives ``name`` and ``title``.

    Raises
    ------
    ValueError
        If another class has the name, or it is no name for a file.

    Examples
    --------
    >>> @register("guess", title="A guess")
    ... class Guess:
    ...     def fit(self, training, validation=None, *, seed, progress=False):
    ...         return self
    ...     def predict_proba(self, X, mask):
    ...         return mask.mean(axis=1)
    >>> make_classifier("guess").title
    'A guess'
    >>> del CLASSIFIERS["guess"]
    """
    if not re.fullmatch(r"[A-Za-z]\w*", name):
        raise ValueError(f"register: {name!r} is no name; use letters, digits and '_'")

    def add(cls):
        known = CLASSIFIERS.get(name)
        if known is not None and known.__qualname__ != cls.__qualname__:
            raise ValueError(f"register: {name!r} is {known.__qualname__} already")
        cls.name, cls.title = name, title
        cls.is_network = issubclass(cls, NetworkClassifier)
        CLASSIFIERS[name] = cls
        return cls

    return add


def classifier_names():
    """Names of all rungs, from the simplest to the most elaborate one, then your own.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> classifier_names()[:3]
    ('pt_cut', 'trees', 'mlp')
    """
    return tuple(CLASSIFIERS)


def classifier_class(name):
    """The class of a rung, or an error that names those there are."""
    if name not in CLASSIFIERS:
        raise ValueError(f"unknown classifier {name!r}; there are {', '.join(CLASSIFIERS)}")
    return CLASSIFIERS[name]


def make_classifier(name, **options):
    """A rung of the ladder, not yet fitted.

    Parameters
    ----------
    name : str
        One of :func:`classifier_names`.
    **options
        Arguments of its class.

    Returns
    -------
    object
        With ``fit(training, validation, *, seed, progress=False)`` and ``predict_proba(X, mask)``.

    Raises
    ------
    ValueError
        If there is no such rung.

    Examples
    --------
    >>> make_classifier("trees", max_iter=10).title
    'Boosted trees'
    """
    return classifier_class(name)(**options)


class FittedModel:
    """A rung whose fit leaves a ``model``, to be saved, exported and asked.

    Attributes
    ----------
    model : torch.nn.Module
        Whose ``forward(X, mask)`` gives logits.
    settings : dict
        How it is trained.
    """

    settings: Mapping = {}

    def predict_proba(self, X, mask):
        """Probability that each event is signal, float64, shape (n,)."""
        from hepgmm.classify.networks import predict

        return predict(self.model, X, mask)


class NetworkClassifier(FittedModel):
    """A network on the ladder: a subclass names its architecture and how it is trained.

    The architecture is a ``torch.nn.Module`` whose ``forward(X, mask)`` gives logits, with
    ``features``, a :class:`~hepgmm.classify.TrackFeatures`, and ``hyperparameters``, the arguments
    that make it again; saved models know it by its name from then on.

    Parameters
    ----------
    directory : str or Path, optional
        Where the training keeps its checkpoints, so that it resumes; without it nothing is kept.
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

    >>> from hepgmm.classify import DeepSets
    >>> @register("small_sets", title="Small DeepSets")
    ... class SmallSets(NetworkClassifier):
    ...     architecture = DeepSets
    ...     options = {"width": 8, "features": "asinh"}
    ...     training = {"epochs": 1}
    >>> SmallSets(n_layers=2).options
    {'width': 8, 'features': 'asinh', 'n_layers': 2}
    >>> del CLASSIFIERS["small_sets"]
    """

    architecture: ClassVar[type]
    fresh_pileup: ClassVar[bool] = False
    options: ClassVar[Mapping] = {}
    training: ClassVar[Mapping] = {}

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if isinstance(vars(cls).get("architecture"), type):
            from hepgmm.classify.files import ARCHITECTURES

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
        from hepgmm.classify.learning import train

        processes = self.training.get("devices", 1), self.training.get("nodes", 1)
        if self.directory is None and processes != (1, 1):
            raise ValueError("several processes share the folder of a training; give directory=…")
        model = self.architecture(**self.options, seed=seed)
        where = {"directory": self.directory, "progress": progress}
        result = train(model, training, validation, **self.training, seed=seed, **where)
        self.model, self.history = result.model, result.history
        return self

    @property
    def best_epoch(self):
        """The epoch, from 1, of least validation loss, whose weights the model has."""
        from hepgmm.training import best_epoch

        return best_epoch(self.history)


@register("pt_cut", title="Best cut on one pT")
class PtCut(FittedModel):
    """One cut on whichever pT tells most: of the hardest track, or of all selected tracks.

    Of the event's pT the one with the largest AUC on the training events is taken, in whichever
    direction; the probability of signal is a step function of it, fitted to be monotone.

    Attributes
    ----------
    model : torch.nn.Module
        The step function.

    Examples
    --------
    >>> from hepgmm.classify import Sample
    >>> X, y = np.ones((4, 2, 5)), [0, 0, 1, 1]
    >>> X[:, 0, 0] = [0.5, 0.6, 0.7, 0.8]
    >>> cut = PtCut().fit(Sample(X, np.ones((4, 2)), y), seed=1)
    >>> mask = np.ones((4, 2), dtype=bool)
    >>> cut.value, cut.predict_proba(X, mask).round(3).tolist()
    ('selected tracks, relative', [0.0, 0.0, 1.0, 1.0])
    """

    def fit(self, training, validation=None, *, seed=None, progress=False):
        """Choose the pT and its steps on training events; the rest is not needed.

        Raises
        ------
        ValueError
            If a class is missing.
        """
        import torch
        from sklearn.isotonic import IsotonicRegression

        from hepgmm.classify.metrics import auc
        from hepgmm.classify.networks import Steps
        from hepgmm.classify.summaries import EventPt

        training.check_classes("training")
        features = EventPt(training.X.shape[2])
        values = features(torch.as_tensor(training.X), torch.as_tensor(training.mask)).numpy()
        areas = [auc(column, training.y) for column in values.T]
        column = int(np.argmax(np.abs(np.array(areas) - 0.5)))
        steps = IsotonicRegression(increasing=areas[column] >= 0.5)
        steps.fit(values[:, column], training.y)
        knots, probability = steps.X_thresholds_, steps.y_thresholds_
        if len(knots) == 1:
            knots, probability = knots[0] + np.arange(2.0), np.repeat(probability, 2)
        self.model = Steps(n_columns=features.n_columns, column=column, n_knots=len(knots))
        self.model.knots.copy_(torch.as_tensor(knots))
        self.model.probability.copy_(torch.as_tensor(probability))
        self.model.eval()
        return self

    @property
    def value(self):
        """The pT that was taken, by its name."""
        return self.model.features.formulas[self.model.hyperparameters["column"]]


@register("trees", title="Boosted trees")
class BoostedTrees(FittedModel):
    """Gradient-boosted trees on some thirty-five summaries of an event.

    Boosting stops when a tenth of the training events, set aside, no longer gains by it.

    Parameters
    ----------
    learning_rate : float
    max_iter : int
        The most trees.

    Attributes
    ----------
    model : torch.nn.Module
        The fitted trees.

    Examples
    --------
    >>> from hepgmm.classify import Sample
    >>> X = np.random.default_rng(1).random((200, 9, 5))
    >>> sample = Sample(X, np.ones((200, 9)), [0, 1] * 100)
    >>> trees = BoostedTrees(max_iter=3).fit(sample, seed=1)
    >>> trees.predict_proba(sample.X, sample.mask).shape
    (200,)
    """

    def __init__(self, *, learning_rate=0.05, max_iter=300):
        self.settings = {"learning_rate": learning_rate, "max_iter": max_iter}

    def fit(self, training, validation=None, *, seed, progress=False):
        """Fit the trees; validation events and progress are not needed.

        Raises
        ------
        ValueError
            If a class is missing.
        """
        from sklearn.ensemble import HistGradientBoostingClassifier

        from hepgmm.classify.networks import TreeEnsemble
        from hepgmm.classify.summaries import event_summaries

        training.check_classes("training")
        trees = HistGradientBoostingClassifier(
            **self.settings, early_stopping=True, random_state=seed
        )
        trees.fit(event_summaries(training.X, training.mask), training.y)
        self.model = TreeEnsemble.of(trees, training.X.shape[2])
        return self


class _Architecture:
    """An architecture by its name, which is imported when it is asked for."""

    def __init__(self, name):
        self.name = name

    def __get__(self, rung, cls):
        from hepgmm.classify.files import ARCHITECTURES

        return ARCHITECTURES[self.name]


_POOLED = {
    "features": "full",
    "pooling": "mean_max",
    "width": 48,
    "n_blocks": 2,
    "n_heads": 4,
    "feedforward": 96,
}
_VERTEX = {**_POOLED, "vertex_bias": True}


def _network(name, title, architecture, training, options=None, fresh_pileup=False):
    """Put a network of the package on the ladder."""
    about = {"architecture": _Architecture(architecture), "training": training}
    about |= {"options": options or {}, "fresh_pileup": fresh_pileup}
    register(name, title=title)(type(title, (NetworkClassifier,), about))


_network("mlp", "MLP", "MLP", {"epochs": 40, "learning_rate": 3e-3})
_network("deepsets", "DeepSets", "DeepSets", {"epochs": 30, "learning_rate": 3e-3, "mirror": True})
_network("transformer", "Transformer", "Transformer", {"epochs": 12}, {"dropout": 0.0})
_network(
    "pooled_transformer",
    "Transformer, mean and maximum",
    "Transformer",
    {"epochs": 12, "mirror": True},
    _POOLED,
    fresh_pileup=True,
)
_network(
    "vertex_transformer",
    "Transformer, vertex bias",
    "Transformer",
    {"epochs": 12, "mirror": True},
    _VERTEX,
    fresh_pileup=True,
)
_network(
    "track_transformer",
    "Transformer, vertex bias and track task",
    "Transformer",
    {"epochs": 12, "mirror": True, "track_weight": 0.5},
    {**_VERTEX, "track_task": True},
    fresh_pileup=True,
)
_network(
    "particle_transformer",
    "Particle Transformer",
    "ParticleTransformer",
    {"epochs": 15, "mirror": True},
)

#: Names of the rungs that come with the package, and of the networks among them.
RUNGS = tuple(CLASSIFIERS)
NETWORKS = tuple(name for name in RUNGS if CLASSIFIERS[name].is_network)


def code_of(cls):
    """What decides the trainings of a rung, beside the code of the package.

    The code of its classes, and what a network is made with and how it is trained.

    Examples
    --------
    >>> code_of(classifier_class("mlp"))[1]
    {'epochs': 40, 'learning_rate': 0.003}
    """
    architecture = cls.architecture if issubclass(cls, NetworkClassifier) else None
    classes = dict.fromkeys((*cls.__mro__, *getattr(architecture, "__mro__", ())))
    foreign = [each for each in classes if each.__module__.partition(".")[0] not in _OTHERS]
    made = []
    if architecture is not None:
        made = [architecture(**cls.options).hyperparameters, dict(cls.training), cls.fresh_pileup]
    return [*made, *map(_code, foreign)]


def _code(cls):
    """The text of a class, or the instructions of its methods where it was typed in."""
    try:
        return inspect.getsource(cls)
    except (TypeError, OSError):
        codes = {name: f.__code__ for name, f in vars(cls).items() if hasattr(f, "__code__")}
        return {
            name: [
                code.co_code.hex(),
                code.co_names,
                [repr(c) for c in code.co_consts if not hasattr(c, "co_code")],
            ]
            for name, code in codes.items()
        }
