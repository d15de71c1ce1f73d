"""Audited runs: what each side computes in, by the means of each framework."""

from __future__ import annotations

import numpy as np
import torch

from parity.audit import Audit
from parity.backends import jax_audit
from parity.backends.base import Candidate, Reference
from parity.backends.jax_program import JaxProgram
from parity.backends.torch import DTYPES, TorchProgram, isolated, load, to_torch
from parity.backends.torch_audit import Auditor
from parity.backends.torch_rewrite import working
from parity.formats import Precision
from parity.noise import Draw
from parity.record import Arrays


def audit_reference(
    program: Reference, state: Arrays, inputs: tuple[np.ndarray, ...], *, precision: Precision, train: bool, seed: int
) -> Audit:
    """Runs the torch side once, forward, and notes the format of every operator.

    Args:
      program: the torch side.
      state: every weight and buffer.
      inputs: positional arguments.
      precision: that everything is asked to be in.
      train: training mode.
      seed: of the example.

    Returns:
      Where digits are lost, and what the sensitive operations ran in.
    """
    assert isinstance(program, TorchProgram)
    module = program.copied(precision)
    load(module, state)
    module.train(train)
    with isolated(DTYPES[precision], seed), torch.no_grad():
        arguments = [to_torch(value, DTYPES[precision]) for value in inputs]
        with working(module, "") as owner, Auditor(precision, owner) as auditor:
            program.call.select(program.call.of(module)(*arguments))
    return auditor.audit


def audit_candidate(
    program: Candidate,
    state: Arrays,
    inputs: tuple[np.ndarray, ...],
    *,
    precision: Precision,
    train: bool,
    cotangents: Arrays,
    draws: tuple[Draw, ...] = (),
) -> Audit:
    """Traces the JAX side, forward and backward, and notes the format of every operation; nothing is compiled.

    Args:
      program: the JAX side.
      state: every weight and buffer, by path.
      inputs: positional arguments, in the candidate's layout.
      precision: that everything is asked to be in.
      train: training mode.
      cotangents: of the floating outputs; those of `run`, so that its trace is used again.
      draws: of the reference.

    Returns:
      Where digits are lost, and what the sensitive operations ran in.
    """
    assert isinstance(program, JaxProgram)
    return jax_audit.audit(program, state, inputs, precision=precision, train=train, cotangents=cotangents, draws=draws)
