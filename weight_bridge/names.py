"""Names compared as sequences of words and numbers, whatever a framework puts between them.

`layers.0.q_proj`, `layers_0/q_proj` and `layers/0/query` are (layers, 0, q_proj), (layers, 0, q_proj) and (layers, 0,
query). The distance between two sequences is an alignment cost: words may be inserted, dropped or exchanged, numbers
hardly.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

Tokens = tuple[str, ...]

# One spelling for words that ports exchange freely.
_SPELLING = {
    "query": "q", "key": "k", "value": "v", "output": "out", "o": "out",
    "wq": "q", "wk": "k", "wv": "v", "wo": "out", "wqkv": "qkv", "fwd": "forward", "bwd": "backward",
    "reverse": "backward",
    "attention": "attn", "projection": "proj", "embedding": "embed", "embeddings": "embed", "emb": "embed",
    "fc": "linear", "dense": "linear", "lin": "linear", "convolution": "conv", "decoder": "dec", "encoder": "enc",
    "ln": "norm", "layernorm": "norm", "bn": "norm", "batchnorm": "norm", "rmsnorm": "norm",
    "ffn": "mlp", "feedforward": "mlp", "block": "blocks", "layer": "layers",
}  # fmt: skip
# Words that frameworks and authors wrap around the same children.
CONTAINERS = frozenset(
    {"layers", "layer", "layer_instance", "blocks", "modules", "module", "list", "model", "net", "cell", "children"}
)

_CONTAINER, _WORD, _EXCHANGE, _NUMBER = 0.25, 1.0, 1.5, 4.0


@lru_cache(maxsize=65536)
def tokens(parts: tuple[str, ...]) -> Tokens:
    """Returns the words and numbers of a name's parts, in lower case.

    Example:
      >>> tokens(("R2_Decoder", "LayerNorm_0")), tokens(("conv1",))
      (('r2_decoder', 'layer_norm', '0'), ('conv', '1'))
    """
    found: list[str] = []
    for part in parts:
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", part).lower()
        number = snake[len(snake.rstrip("0123456789")) :]
        word = snake.removesuffix(number).rstrip("_")
        found += [piece for piece in (word, str(int(number)) if number else "") if piece]
    return tuple(found)


def numbered(owners: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], Tokens]:
    """Returns each name's words and numbers; the first of a row `linear`, `linear_1`, `linear_2` counts as number 0.

    Example:
      >>> list(numbered([("mlp", "linear"), ("mlp", "linear_1")]).values())
      [('mlp', 'linear', '0'), ('mlp', 'linear', '1')]
    """
    names = list(owners)
    places = {name[:end] for name in names for end in range(1, len(name) + 1)}
    first = {
        place
        for place in places
        if (*place[:-1], f"{place[-1]}_1") in places and (*place[:-1], f"{place[-1]}_0") not in places
    }
    return {
        name: tokens(tuple(f"{part}_0" if name[: end + 1] in first else part for end, part in enumerate(name)))
        for name in names
    }


@lru_cache(maxsize=65536)
def words(token: str) -> frozenset[str]:
    """Returns the words of one token, spelled one way.

    Example:
      >>> sorted(words("key_proj")), sorted(words("k_proj"))
      (['k', 'proj'], ['k', 'proj'])
    """
    return frozenset(_SPELLING.get(word, word) for word in token.split("_") if word)


@dataclass(frozen=True)
class Alignment:
    """How two names correspond.

    Args:
      cost: 0 for the same words; numbers are not compared here.
      numbers: positions of numbers that face each other, in source and target.
      exchanged: whether a word stands for a different one, so that the names do not agree by themselves.
    """

    cost: float
    numbers: tuple[tuple[int, int], ...]
    exchanged: bool


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns the end of a message about an unknown name: the known one that it may have meant, if any is near.

    Example:
      >>> nearest("stem.weigth", ["stem.weight", "head.bias"]), nearest("body", ["stem.weight"])
      ('; the nearest is stem.weight', '')
    """
    found = difflib.get_close_matches(name, list(known), n=1)
    return f"; the nearest is {found[0]}" if found else ""


def align(source: Tokens, target: Tokens) -> Alignment:
    """Returns the cheapest alignment of two names; numbers face numbers, words face words.

    Example:
      >>> align(("bert", "layers", "3", "q"), ("layers", "3", "q"))
      Alignment(cost=1.0, numbers=((2, 1),), exchanged=False)
    """
    return _align(skeleton(source), skeleton(target))


@lru_cache(maxsize=65536)
def skeleton(name: Tokens) -> Tokens:
    """Returns a name with `#` for every number.

    Example:
      >>> skeleton(("layers", "3", "q"))
      ('layers', '#', 'q')
    """
    return tuple("#" if token.isdigit() else token for token in name)


@lru_cache(maxsize=262144)
def _align(source: Tokens, target: Tokens) -> Alignment:
    best = [[Alignment(0.0, (), exchanged=False)]]
    for j, token in enumerate(target):
        best[0].append(_longer(best[0][j], _alone(token)))
    for i, left in enumerate(source):
        best.append([_longer(best[i][0], _alone(left))])
        for j, right in enumerate(target):
            ways = [_longer(best[i][j + 1], _alone(left)), _longer(best[i + 1][j], _alone(right))]
            if (left == "#") == (right == "#"):
                faced = ((i, j),) if left == "#" else ()
                cost = 0.0 if left == "#" else _difference(left, right)
                ways.insert(0, _longer(best[i][j], cost, faced, exchanged=words(left) != words(right)))
            best[i + 1].append(min(ways, key=lambda way: way.cost))
    return best[-1][-1]


def _longer(
    way: Alignment, cost: float, faced: tuple[tuple[int, int], ...] = (), *, exchanged: bool = False
) -> Alignment:
    return Alignment(way.cost + cost, way.numbers + faced, way.exchanged or exchanged)


def _alone(token: str) -> float:
    return _NUMBER if token == "#" else _CONTAINER if token in CONTAINERS else _WORD


def _difference(left: str, right: str) -> float:
    """0 for one token, a trace for one meaning, else by the words they lack in common."""
    if left == right:
        return 0.0
    ours, theirs = words(left), words(right)
    if ours == theirs:
        return 0.01
    return _EXCHANGE * (1 - len(ours & theirs) / len(ours | theirs))
