"""Classifiers by name, all with one interface: the rungs of the ladder."""

from __future__ import annotations

import inspect
import re
from importlib import import_module

__all__ = [
    "CLASSIFIERS",
    "RUNGS",
    "classifier_class",
    "classifier_names",
    "make_classifier",
    "register",
]

#: Packages whose code is not a rung's own.
_OTHERS = ("builtins", "hepgmm", "torch")

#: Name of a rung → its class.
CLASSIFIERS: dict[str, type] = {}

_MODULES = ("cuts", "trees", "rungs")

#: Names of the rungs that come with the package, from the simplest to the most elaborate one.
RUNGS = (
    "pt_cut",
    "trees",
    "mlp",
    "deepsets",
    "transformer",
    "pooled_transformer",
    "vertex_transformer",
    "track_transformer",
    "particle_transformer",
)
#: Those that are networks.
NETWORKS = tuple(name for name in RUNGS if name not in ("pt_cut", "trees"))


def register(name, *, title):
    """Put a class on the ladder, under ``name``.

    The class has ``fit(training, validation, *, seed, progress=False)``, which returns itself, and
    ``predict_proba(X, mask)``, the probability of signal, shape (n,). What else its constructor
    takes is up to it; every argument has a default. To be saved, exported and named in a preset,
    it has to have ``model`` after its fit, a ``torch.nn.Module`` that
    :func:`hepgmm.classify.save_model` knows, and ``predict_proba`` may need nothing else, as in a
    subclass of ``hepgmm.classify.fitted.FittedModel``.

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
    for module in _MODULES:
        import_module(f"hepgmm.classify.{module}")
    own = [name for name in CLASSIFIERS if name not in RUNGS]
    return (*RUNGS, *own)


def make_classifier(name, **options):
    """A rung of the ladder, not yet fitted.

    Parameters
    ----------
    name : str
        ``pt_cut``, ``trees``, ``mlp``, ``deepsets``, ``transformer``, ``pooled_transformer``,
        ``vertex_transformer``, ``track_transformer``, ``particle_transformer``, or one of your own.
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


def classifier_class(name):
    """The class of a rung, or an error that names those there are.

    Examples
    --------
    >>> classifier_class("mlp").title
    'MLP'
    """
    known = classifier_names()
    if name not in known:
        raise ValueError(f"unknown classifier {name!r}; there are {', '.join(known)}")
    return CLASSIFIERS[name]


def code_of(cls):
    """What decides the trainings of a rung, beside the code of the package.

    The code of its classes, and what a network is made with and how it is trained.

    Examples
    --------
    >>> code_of(classifier_class("mlp"))[1]
    {'epochs': 40, 'learning_rate': 0.003}
    """
    architecture = getattr(cls, "architecture", None)
    classes = dict.fromkeys((*cls.__mro__, *getattr(architecture, "__mro__", ())))
    own = [each for each in classes if each.__module__.partition(".")[0] not in _OTHERS]
    made = []
    if architecture is not None:
        made = [architecture(**cls.options).hyperparameters, dict(cls.training), cls.fresh_pileup]
    return [*made, *map(_code, own)]


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
