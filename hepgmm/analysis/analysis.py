"""The whole analysis as stages: collisions, mixtures, overlay, classifiers, figures of merit."""

from __future__ import annotations

import json
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hepgmm.analysis.presets import load_preset
from hepgmm.analysis.stages import CURES, OTHER_KEYS, RUNG_KEYS, StageCache, repeat
from hepgmm.cores import usable_cores
from hepgmm.io.atomic import atomic_write, write_json
from hepgmm.io.cache import cache_folder, digest

__all__ = [
    "Analysis",
]


class Analysis(StageCache):
    """One run of the whole analysis, stage by stage, each computed once and kept in the cache.

    A stage is computed when it is asked for and not in the cache yet. Its key is made of the
    parameters that it reads, the code that computes it and the keys of the stages before it: a
    changed parameter or statement recomputes what depends on it and nothing else.

    Parameters
    ----------
    preset
        ``quick``, ``standard``, ``paper`` or the path of a YAML file.
    seed
        Replaces the preset's seed.
    data, mixture, overlay, training
        Single keys of the preset to change, e.g. ``overlay={"mu": 140}``.
    cache
        Folder of the cache; :func:`hepgmm.io.cache.cache_folder` when not given.
    workers
        Worker processes; all cores that this process may use when not given. They change the
        speed, never the outcome.
    progress
        Show which stage is computed, and its progress bar.

    Attributes
    ----------
    parameters : dict
        The checked parameters, by group.
    name : str
        The preset's name, with a digest of the parameters behind it when some were changed.

    Raises
    ------
    FileNotFoundError, ValueError
        If the preset does not exist, or a key or value in it is not allowed.

    Examples
    --------
    >>> analysis = Analysis("quick", overlay={"mu": 140})
    >>> analysis.parameters["overlay"]["mu"]
    140.0
    """

    def __init__(
        self,
        preset="quick",
        *,
        seed: int | None = None,
        data: dict | None = None,
        mixture: dict | None = None,
        overlay: dict | None = None,
        training: dict | None = None,
        cache: str | os.PathLike | None = None,
        workers: int | None = None,
        progress: bool = True,
    ):
        parameters = load_preset(
            preset, seed=seed, data=data, mixture=mixture, overlay=overlay, training=training
        )
        name = parameters["preset"]
        if parameters != load_preset(preset):
            name += f"-{digest(parameters)}"
        folder = Path(cache) if cache else cache_folder()
        super().__init__(parameters, name=name, cache=folder, progress=progress)
        self.workers = workers or usable_cores()

    # Collisions -----------------------------------------------------------------------------

    def minbias(self):
        """The min-bias events that the mixture learns from (awkward array of tracks)."""
        return self._events("minbias", "minbias", self.parameters["data"]["n_minbias"])

    def minbias_pool(self):
        """Other min-bias events, the pileup of ``overlay.pileup: real``.

        The mixture has not seen them: a classifier that was trained on its synthetic pileup can be
        tested on this one.
        """
        return self._events("minbias-pool", "minbias", self.parameters["data"]["n_pool"])

    def minbias_test(self):
        """As many fresh min-bias events as synthetic ones, which no fit has seen."""
        n_events = self.parameters["mixture"]["synthetic_events"]
        return self._events("minbias-test", "minbias", n_events)

    def qcd(self):
        """The QCD jet events: the background (awkward array of tracks)."""
        data = self.parameters["data"]
        return self._events("qcd", "qcd", data["n_qcd"], pt_hat_min=data["pt_hat_min"])

    def llp(self, mass: float):
        """The displaced neutralino events: the signal (awkward array of tracks).

        Parameters
        ----------
        mass
            Neutralino mass [GeV], one of ``parameters["data"]["llp_masses"]``.
        """
        data = self.parameters["data"]
        if mass not in data["llp_masses"]:
            raise ValueError(f"mass: {mass} GeV is not in data.llp_masses {data['llp_masses']}")
        options = {"mass": float(mass), "ctau": data["ctau"]}
        return self._events("llp", "llp", data["n_llp_per_mass"], f"-{mass:g}", **options)

    def _events(self, stage, process, n_events, variant="", **options):
        from hepgmm.collide import generate
        from hepgmm.io.parquet import load_tracks

        def make(path):
            generate(
                process,
                n_events,
                seed=self._seed(stage + variant),
                workers=self.workers,
                path=path,
                progress=self.progress,
                **options,
            )

        return self._stage(stage, make, load_tracks, variant)

    # Pileup ---------------------------------------------------------------------------------

    def hgmm(self, cure: str | None = None):
        """The fitted :class:`~hepgmm.HierarchicalGMM`.

        Parameters
        ----------
        cure
            None for the paper's plain model, ``"clipped"`` for synthetic eigenvalues raised to
            ``mixture.clip_eigenvalues``, ``"scaled"`` for the same after the features were
            scaled to zero mean and unit variance before the event fits.
        """
        from hepgmm.pileup.hierarchical import HierarchicalGMM

        if cure not in CURES:
            raise ValueError(f"cure: {cure!r} is not one of {', '.join(map(repr, CURES))}")
        stage = "hgmm-scaled" if cure == "scaled" else "hgmm"
        options = self.parameters["mixture"]

        def make(path):
            model = HierarchicalGMM(
                n_components=range(1, options["max_event_components"] + 1),
                max_components=options["high_level_max"],
                n_init=options["n_init"],
                covariance_floor=options["covariance_floor"],
                scale_features=cure == "scaled",
                workers=self.workers,
                seed=self._seed(stage),
            )
            model.fit(self.minbias(), progress=self.progress).save(path)

        model = self._stage(stage, make, HierarchicalGMM.load)
        if cure is None:
            return model
        cured = HierarchicalGMM.load(self.path(stage))
        return cured.set_params(clip_eigenvalues=options["clip_eigenvalues"])

    def shared(self):
        """The fitted :class:`~hepgmm.SharedGMM`."""
        from hepgmm.pileup.shared import SharedGMM

        def make(path):
            model = SharedGMM(workers=self.workers, seed=self._seed("shared"))
            model.fit(self.minbias(), progress=self.progress).save(path)

        return self._stage("shared", make, SharedGMM.load)

    def synthetic(self, cure: str | None = None):
        """Events drawn from :meth:`hgmm`, ``mixture.synthetic_events`` of them."""
        from hepgmm.io.parquet import load_tracks, save_tracks

        stage = f"synthetic-{cure}" if cure else "synthetic"
        n_events = self.parameters["mixture"]["synthetic_events"]

        def make(path):
            save_tracks(path, self.hgmm(cure).sample(n_events, seed=self._seed("synthetic")))

        return self._stage(stage, make, load_tracks)

    def speckles(self, cure: str | None = None) -> dict[str, Any]:
        """The figures of :func:`hepgmm.pileup.speckles.diagnose` for one cure."""
        from hepgmm.pileup.speckles import diagnose

        n_events = self.parameters["mixture"]["synthetic_events"]
        return diagnose(self.hgmm(cure), n_events=n_events, seed=self._seed("speckles"))

    # Classifiers ----------------------------------------------------------------------------

    def datasets(self):
        """Hard events with pileup, selected and padded: ``train``, ``validation`` and ``test``.

        Returns
        -------
        dict of str to hepgmm.classify.Sample
            ``X`` float32 (n, max_tracks, 6), ``mask`` bool (n, max_tracks), ``y`` (1 = signal)
            and ``mass`` [GeV] (0 for the background).
        """
        from hepgmm.crossings.samples import load_samples, save_samples

        def make(path):
            samples = {
                name: part.sample(
                    workers=self.workers, description=f"overlay, {name}", progress=self.progress
                )
                for name, part in self.hard_events().items()
            }
            save_samples(path, samples)

        return self._stage("datasets", make, load_samples)

    def hard_events(self):
        """Hard events of each of the :meth:`datasets`, and the pileup that is laid over them.

        Returns
        -------
        dict of str to hepgmm.crossings.samples.HardEvents
            ``train``, ``validation`` and ``test``; ``sample(epoch)`` lays other pileup over them
            for each epoch, and that of the datasets for epoch 0.
        """
        from hepgmm.crossings.samples import split_hard_events

        masses = self.parameters["data"]["llp_masses"]
        hard = {0.0: self.qcd(), **{mass: self.llp(mass) for mass in masses}}
        choice = self.parameters["overlay"]["pileup"]
        sources = {"real": self.minbias_pool, "shared": self.shared}
        return split_hard_events(
            hard,
            sources[choice]() if choice in sources else self.hgmm(choice[5:] or None),
            options=self.parameters["overlay"],
            test_fraction=self.parameters["training"]["test_fraction"],
            validation_fraction=self.parameters["training"]["validation_fraction"],
            seed=self._seed("datasets"),
        )

    def fresh_pileup(self):
        """Function of an epoch, from 1, that gives its training events with other pileup."""
        return partial(self.hard_events()["train"].sample, workers=self.workers)

    def trained(self, name: str, number: int = 0):
        """A trained rung of the ladder; an interrupted training is resumed.

        MLP and transformer are trained as the preset says, the others as their classes say, but
        with the preset's size of a batch. A rung of your own without a model that
        :func:`hepgmm.classify.save_model` knows is not kept, and trained by every process anew.

        Parameters
        ----------
        name : str
            One of :func:`hepgmm.classify.classifier_names`.
        number : int
            Of the training, from 0; each has its own initial weights and order of events.

        Returns
        -------
        object
            With ``predict_proba(X, mask)`` and ``model``; a network also with its ``history`` and
            ``best_epoch``.

        Raises
        ------
        ValueError
            If there is no such rung.
        """
        from hepgmm.classify import load_model, make_classifier, save_model
        from hepgmm.classify.files import ARCHITECTURES
        from hepgmm.classify.ladder import classifier_class
        from hepgmm.training import read_history

        cls, variant, modelless = classifier_class(name), repeat(number), []
        is_network = cls.is_network

        def make(path):
            samples, options = self.datasets(), self._rung_options(name)
            if is_network:
                options["directory"] = path.with_suffix("")
                if self._has_fresh_pileup(cls):
                    options["training"]["fresh"] = self.fresh_pileup()
            rung, start = make_classifier(name, **options), time.perf_counter()
            parts = samples["train"], samples["validation"]
            entropy = np.random.SeedSequence([self.parameters["seed"], number])
            rung.fit(*parts, seed=int(entropy.generate_state(1)[0]), progress=self.progress)
            seconds = time.perf_counter() - start
            if type(getattr(rung, "model", None)) in ARCHITECTURES.values():
                save_model(path, rung.model)
            else:
                modelless.append(rung)
            # Of epochs before an interruption, too.
            return sum(epoch["seconds"] for epoch in rung.history) if is_network else seconds

        def load(path):
            if modelless:
                return modelless.pop()
            rung = make_classifier(name, **self._rung_options(name))
            rung.model = load_model(path)
            if is_network:
                try:
                    rung.history = read_history(path.with_suffix(""))
                except FileNotFoundError as error:
                    raise FileNotFoundError(
                        f"{error.filename or path}: the history of {path.name} is gone; remove the "
                        "latter to train again"
                    ) from None
            return rung

        return self._stage(name, make, load, variant)

    def _has_fresh_pileup(self, cls):
        return cls.fresh_pileup

    def _rung_options(self, name):
        """Arguments of a rung, as far as the preset decides them."""
        from hepgmm.classify.ladder import classifier_class

        if not classifier_class(name).is_network:
            return {}
        preset = self.parameters["training"]
        of_training, of_network = RUNG_KEYS.get(name, OTHER_KEYS)
        training = {key.removesuffix(f"_{name}"): preset[key] for key in of_training}
        return {"training": training, **{key: preset[key] for key in of_network}}

    def scores(self) -> dict[str, np.ndarray]:
        """Probability of being signal for every test event, by classifier.

        Returns
        -------
        dict of str to array
            One for each of ``training.classifiers``, in their order.
        """
        return {name: self.scores_of(name) for name in self._rungs}

    def scores_of(self, name: str, number: int = 0) -> np.ndarray:
        """Probability of being signal for every test event, from one training of a rung.

        Parameters
        ----------
        name, number
            As :meth:`trained` takes them.

        Returns
        -------
        array, shape (n,)
        """

        def make(path):
            test = self.datasets()["test"]
            scores = self.trained(name, number).predict_proba(test.X, test.mask)
            with atomic_write(path) as temporary, temporary.open("wb") as file:
                np.savez(file, scores=scores)

        what = f"scores of {name}{repeat(number)}"
        return self._get(self.scores_path(name, number), what, make, _load_scores)

    # Figures of merit -----------------------------------------------------------------------

    def results(self) -> dict[str, Any]:
        """Every figure of merit of the run, also written to ``results/<name>.json``.

        The ROC curves go to ``results/<name>_roc.svg`` beside it.

        Returns
        -------
        dict
            ``preset``, ``seed``, ``parameters``, ``versions``, ``machine``, ``seconds`` by
            stage, ``events`` by sample, ``mixture``, ``classifiers``, ``differences`` and
            ``single_cut``; every measured figure is ``{"value": …, "error": …}``.
        """
        from hepgmm.analysis.figures import draw_roc, results_folder

        results = {
            "preset": self.name,
            "seed": self.parameters["seed"],
            "parameters": self.parameters,
            **self._stage("figures", self._measure, lambda path: json.loads(path.read_text())),
        }
        roc = results_folder() / f"{self.name}_roc.svg"
        if write_json(results_folder() / f"{self.name}.json", results) or not roc.exists():
            draw_roc(roc, self, seed=self._seed("bootstrap"))
        return results

    def _measure(self, path):
        from hepgmm.analysis.figures import environment, run_figures

        figures = run_figures(self, seed=self._seed("bootstrap"))
        # The seconds come last, when all stages have run.
        write_json(path, {**environment(), "seconds": self.seconds(), **figures})


def _load_scores(path):
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["scores"]
