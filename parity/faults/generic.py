"""Faults that any NNX candidate may have, found by the attributes of its modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from parity.faults.edits import Edit, around, deriving, reading, setting, showing
from parity.faults.fault import Fault, family

Sites = Callable[[Any], Iterator[str]]


def modules(model: Any) -> Iterator[tuple[str, Any]]:
    """Paths and modules of an NNX candidate, the model itself last; nothing for candidates of other libraries."""
    if not hasattr(model, "iter_modules") and not hasattr(model, "__nnx_repr__"):
        return
    from flax import nnx

    found = [("/".join(map(str, path)), module) for path, module in nnx.iter_modules(model)]
    yield from sorted(found, key=lambda item: item[0] == "")


def having(accept: Callable[[Any], bool]) -> Sites:
    """Modules that a predicate accepts."""

    def sites(model: Any) -> Iterator[str]:
        return (path for path, module in modules(model) if accept(module))

    return sites


def _shape(module: Any, name: str) -> tuple[int, ...]:
    """Shape of a variable of a module; empty where it has none of that name."""
    return tuple(getattr(getattr(module, name, None), "shape", ()))


def _square(module: Any) -> bool:
    shape = _shape(module, "kernel")
    return len(shape) == 2 and shape[0] == shape[1] > 1


def _square_window(module: Any) -> bool:
    shape = _shape(module, "kernel")
    return len(shape) == 4 and shape[0] == shape[1] > 1 and not _transposed(module)


def _square_channels(module: Any) -> bool:
    shape = _shape(module, "kernel")
    return len(shape) == 4 and shape[2] == shape[3] > 1 and not _transposed(module)


def _transposed(module: Any) -> bool:
    return "Transpose" in type(module).__name__


def _leaf_with_kernel(module: Any) -> bool:
    return bool(_shape(module, "kernel")) and callable(module)


def _biased(module: Any) -> bool:
    return bool(_shape(module, "kernel")) and bool(_shape(module, "bias"))


def _scaled_and_shifted(module: Any) -> bool:
    return _shape(module, "scale") == _shape(module, "bias") != ()


def _numbered(name: str) -> Callable[[Any], bool]:
    return lambda module: isinstance(getattr(module, name, None), float) and callable(module)


def _drops(module: Any) -> bool:
    """Whether a `rate` is one of dropout, and not of learning or sampling: its module is a `Dropout` or draws bits."""
    kind = type(module)
    known = any(base.__name__ == "Dropout" for base in kind.__mro__)
    return _numbered("rate")(module) and (known or "bernoulli" in _names(getattr(kind.__call__, "__code__", None)))


def _names(code: Any) -> frozenset[str]:
    """Names that a function uses, and functions inside it; none where it is not written in Python."""
    inner = [constant for constant in getattr(code, "co_consts", ()) if hasattr(constant, "co_names")]
    return frozenset(getattr(code, "co_names", ())).union(*map(_names, inner))


def _through_float16(value: Any) -> Any:
    return value.astype("float16").astype(value.dtype)


def _in_float32(original: Any, *args: Any, **options: Any) -> Any:
    """What a module computes when it is handed float32."""
    import jax.numpy as jnp

    narrowed = [x.astype("float32") if getattr(x, "dtype", None) == jnp.float64 else x for x in args]
    return original(*narrowed, **options)


def _stopped(original: Any, *args: Any, **options: Any) -> Any:
    import jax

    return jax.lax.stop_gradient(original(*args, **options))


def _exchanged(module: Any) -> dict[str, Any]:
    return {"scale": module.bias.get_value(), "bias": module.scale.get_value()}


def _fault(
    name: str, title: str, accept: Callable[[Any], bool], edit: Edit, *causes: str, check: str = "forward"
) -> Fault:
    sites, names = having(accept), (name, *causes)
    return Fault(id=f"any-{name}", title=title, edit=edit, sites=sites, checks=(check,), causes=names)


ANYWHERE = "any model"
"""Group of the faults that go into any candidate."""

GENERIC: tuple[Fault, ...] = family(
    ANYWHERE,
    _fault(
        "linear-square-untransposed",
        "a square weight copied without its transpose",
        _square,
        reading("kernel", lambda kernel: kernel.T),
    ),
    _fault(
        "conv-kernel-hw-swap",
        "rows and columns of a kernel exchanged",
        _square_window,
        reading("kernel", lambda kernel: kernel.swapaxes(0, 1)),
    ),
    _fault(
        "conv-kernel-io-swap",
        "input and output channels of a kernel exchanged",
        _square_channels,
        reading("kernel", lambda kernel: kernel.swapaxes(2, 3)),
    ),
    _fault("bias-dropped", "a bias left at zero", _biased, reading("bias", lambda bias: 0 * bias), "unmatched-silent"),
    _fault("bias-twice", "a bias added twice", _biased, reading("bias", lambda bias: 2 * bias)),
    _fault(
        "conversion-downcast",
        "weights stored in half precision",
        _leaf_with_kernel,
        reading("kernel", _through_float16),
    ),
    _fault(
        "norm-epsilon",
        "another epsilon",
        _numbered("epsilon"),
        deriving(epsilon=lambda module: 100 * module.epsilon),
        *("bn-eps-keras", "gn-eps-default", "rms-eps-default"),
    ),
    _fault(
        "bn-momentum-inverted",
        "torch's momentum, the weight of the new value, kept as it is",
        _numbered("momentum"),
        deriving(momentum=lambda module: 1 - module.momentum),
        check="buffers",
    ),
    _fault(
        "scale-bias-or-stats-swap",
        "scale and bias exchanged",
        _scaled_and_shifted,
        around("__call__", showing(_exchanged)),
    ),
    _fault(
        "dropout-keep-vs-drop",
        "the rate read as the probability to keep",
        _drops,
        deriving(rate=lambda module: 1 - module.rate),
    ),
    _fault(
        "gelu-tanh-default",
        "the form with tanh, Flax's default",
        lambda module: getattr(module, "approximate", None) is False,
        setting(approximate=True),
    ),
    _fault(
        "f32-island-in-f64",
        "a layer that computes in float32",
        _leaf_with_kernel,
        around("__call__", _in_float32),
        check="dtypes",
    ),
    _fault(
        "stop-gradient-extra",
        "the gradient stops at a layer",
        _leaf_with_kernel,
        around("__call__", _stopped),
        check="param_grad",
    ),
)
"""One fault per kind of module; each goes into the first module of a candidate that it fits."""
