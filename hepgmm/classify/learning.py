"""What a step of training does: loss, optimiser, learning rate."""

from __future__ import annotations

import math

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F

from hepgmm.classify.epochs import mirrored

__all__ = ["Learner", "learning_rate_factor"]

_WARM_UP = 0.05


def learning_rate_factor(step, *, schedule, steps_per_epoch, epochs, step_epochs):
    """Learning rate at an optimiser step, in units of the highest one.

    "step" is the paper's: 0.1 to the number of times that ``step_epochs`` epochs have passed.
    "cosine" rises linearly over the first 5% of the steps, then falls as (1 + cos πx) / 2.

    Examples
    --------
    >>> run = dict(steps_per_epoch=10, epochs=100, step_epochs=30)
    >>> [learning_rate_factor(step, schedule="step", **run) for step in (0, 299, 300)]
    [1.0, 1.0, 0.1]
    >>> [learning_rate_factor(step, schedule="cosine", **run) for step in (0, 49, 1000)]
    [0.02, 1.0, 0.0]
    """
    if schedule == "step":
        return 0.1 ** (step // (steps_per_epoch * step_epochs))
    total = steps_per_epoch * epochs
    warm_up = max(1, round(_WARM_UP * total))
    if step < warm_up:
        return (step + 1) / warm_up
    return (1 + math.cos(math.pi * (step - warm_up) / max(1, total - warm_up))) / 2


class Learner(L.LightningModule):
    """Loss, optimiser and schedule of a classifier."""

    def __init__(self, model, settings, steps_per_epoch):
        super().__init__()
        self.model, self.settings, self.steps_per_epoch = model, settings, steps_per_epoch
        self.kept = []

    def training_step(self, batch, batch_idx):
        dropout = np.random.SeedSequence(self.settings["seed"], spawn_key=self._step_key())
        torch.manual_seed(int(dropout.generate_state(1, np.uint64)[0]))
        X, mask, y, hard = batch
        if self.settings["mirror"]:
            X = mirrored(X, *torch.randint(0, 2, (2, len(y)), device=X.device))
        # Called as a module, so that hooks and wrappers of several processes see it.
        if self.settings["track_weight"]:
            logits, track_logits = self.model(X, mask, tracks=True)
        else:
            logits = self.model(X, mask)
        loss = F.binary_cross_entropy_with_logits(logits, y)
        self._log("train_loss", loss, len(y))
        if self.settings["track_weight"]:
            of_tracks = F.binary_cross_entropy_with_logits(track_logits[mask], hard[mask].float())
            loss = loss + self.settings["track_weight"] * of_tracks
        return loss

    def _step_key(self):
        """Of dropout; the first process draws as a single one does."""
        rank = (self.global_rank,) if self.global_rank else ()
        return (1, self.global_step, *rank)

    def on_validation_epoch_start(self):
        self.kept = []

    def validation_step(self, batch, batch_idx):
        X, mask, y, _ = batch
        logits = self.model(X, mask)
        loss = F.binary_cross_entropy_with_logits(logits, y)
        self._log("val_loss", loss, len(y))
        self.kept.append((logits.cpu(), y.cpu()))

    def _log(self, name, loss, n_events):
        together = {"sync_dist": True, "batch_size": n_events}
        self.log(name, loss, on_step=False, on_epoch=True, **together)

    def validated(self):
        """Logits and labels of the validation events in the last epoch."""
        return tuple(torch.cat(column).double().numpy() for column in zip(*self.kept, strict=True))

    def configure_optimizers(self):
        settings = self.settings
        optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=settings["learning_rate"],
            betas=(0.9, 0.999),
            weight_decay=settings["weight_decay"],
        )

        def factor(step):
            return learning_rate_factor(
                step,
                schedule=settings["schedule"],
                steps_per_epoch=self.steps_per_epoch,
                epochs=settings["epochs"],
                step_epochs=settings["step_epochs"],
            )

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }
