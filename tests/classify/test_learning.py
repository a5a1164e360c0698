"""The learning rate over a training."""

import numpy as np
import pytest

from hepgmm.classify.learning import learning_rate_factor


def test_cosine_schedule_rises_over_a_twentieth_then_falls_to_zero():
    settings = {"schedule": "cosine", "steps_per_epoch": 20, "epochs": 10, "step_epochs": 1}
    factors = np.array([learning_rate_factor(step, **settings) for step in range(201)])
    np.testing.assert_allclose(factors[:10], np.arange(1, 11) / 10)
    assert (np.diff(factors[10:]) < 0).all()
    assert factors[105] == pytest.approx(0.5)
    assert factors[200] == pytest.approx(0, abs=1e-12)
