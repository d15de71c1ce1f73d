"""Which of several explanations are told: what merely resembles the mistake on one example is left out."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from torch import nn

import parity
from tests.engine.explain.mistake import Mistake, normal, spread

FLAGS = np.array([[0.0, 1.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 1.0, 0.0]])
TIES = np.array([[0.0, 1.0, -2.0], [3.0, 0.0, 0.0]])


class Unwritten(nnx.BatchNorm):
    """Batch norm that normalises rightly and forgets its statistics."""

    def __call__(self, x: Any, **kwargs: Any) -> Any:
        before = self.mean[...], self.var[...]
        result = super().__call__(x, **kwargs)
        self.mean[...], self.var[...] = before
        return result


@pytest.mark.parametrize(
    "mistake",
    [
        Mistake("relu-subgradient", nn.ReLU, lambda w: lambda x: jnp.maximum(x, 0), (TIES,), "input_grad"),
        Mistake("activation-limit-missing", nn.ReLU6, lambda w: jax.nn.relu, (4 * normal(3, 5),)),
    ],
    ids=["subgradient", "limit"],
)
def test_nothing_stands_beside_what_leaves_nothing_to_explain(mistake: Mistake) -> None:
    mistake.assert_named()
    assert len(mistake.report().causes) == 1


def test_statistics_that_stay_are_not_also_laid_to_an_epsilon() -> None:
    candidate = Unwritten(5, momentum=0.9, epsilon=1e-5, rngs=nnx.Rngs(0))
    report = parity.compare(spread(nn.BatchNorm1d(5)), candidate, normal(7, 5), checks=("buffers",), train=True)
    assert [cause.id for cause in report.causes] == ["bn-state-not-written"], report


def test_of_explanations_that_fit_alike_the_one_that_fits_other_inputs_is_told() -> None:
    squared = Mistake("activation-swapped", nn.Sigmoid, lambda w: lambda x: jax.nn.relu(x) ** 2, (FLAGS,))
    (cause,) = squared.report().causes
    assert (cause.id, cause.detail) == ("activation-swapped", "squared relu in place of sigmoid")
