"""Transforms as text, as rule files hold them: `permute(2, 3, 1, 0) | flip(0, 1)`. A transform's text parses to it."""

from __future__ import annotations

import ast
from typing import Any, cast

from weight_bridge import axes, joint, reparametrized, transforms, values
from weight_bridge.transforms import Transform, chain

# Transforms whose text lists the items of their one tuple.
_LISTS: dict[str, type[Any]] = {
    "permute": transforms.Permute,
    "reshape": transforms.Reshape,
    "flip": transforms.Flip,
    "reorder": joint.Reorder,
    "beside": joint.Beside,
    "combine": joint.Combine,
    "lengthanddirection": reparametrized.LengthAndDirection,
}
_NAMED: dict[str, type[Any]] = {
    "identity": transforms.Identity,
    "cast": transforms.Cast,
    "split": joint.Split,
    "concat": joint.Concat,
    "stack": joint.Stack,
    "unstack": joint.Unstack,
    "each": joint.Each,
    "sum": joint.Sum,
    "copy": joint.Copy,
    "agree": joint.Agree,
    "lead": joint.Lead,
    "pick": joint.Pick,
    "unflatten": axes.Unflatten,
    "flatten": axes.Flatten,
    "regroup": axes.Regroup,
    "fill": values.Fill,
    "drop": values.Drop,
    "shift": values.Shift,
    "vacant": values.Vacant,
    "blank": values.Blank,
    "weightnorm": reparametrized.WeightNorm,
    "spectralnorm": reparametrized.SpectralNorm,
    "singularvectors": reparametrized.SingularVectors,
}


def parse(text: str) -> Transform:
    """Returns the transform that a text describes; nothing is evaluated.

    Args:
      text: calls joined by `|`, left to right, with numbers, texts and lists as arguments.

    Raises:
      ValueError: not such a text.

    Example:
      >>> print(parse("split(axis=0, sizes=[3, 3, 3]) | each(permute(1, 0))"))
      split(axis=0, sizes=(3, 3, 3)) | each(permute(1, 0))
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        return _transform(tree)
    except (SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"transform {text!r}: {error}; known: {', '.join(sorted(_LISTS | _NAMED))}") from None
    except ValueError as error:
        raise ValueError(f"transform {text!r}: {error}") from None


def _transform(node: ast.expr) -> Transform:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return chain(_transform(node.left), _transform(node.right))
    if isinstance(node, ast.Name):
        node = ast.Call(node, [], [])
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise ValueError(f"{ast.unparse(node)!r} is no transform")
    name = node.func.id
    if name not in _LISTS | _NAMED:
        raise ValueError(f"{name!r} is not known; known: {', '.join(sorted(_LISTS | _NAMED))}")
    arguments = [_argument(item) for item in node.args]
    options = {str(item.arg): _argument(item.value) for item in node.keywords}
    if name in _LISTS and not options:
        return _LISTS[name](tuple(arguments))
    return (_LISTS | _NAMED)[name](*arguments, **options)


def _argument(node: ast.expr) -> Any:
    if isinstance(node, ast.Call | ast.BinOp):
        return _transform(node)
    value = _frozen(ast.literal_eval(node))
    if isinstance(value, tuple):
        return value
    if not isinstance(value, int | str) or isinstance(value, bool):
        raise ValueError(f"{value!r} is no number, text or list of numbers")
    return value


def _frozen(value: Any) -> Any:
    """A literal with its lists as tuples, at every depth."""
    return tuple(map(_frozen, cast("list[Any]", value))) if isinstance(value, list | tuple) else value
