"""What is written down: rules in a template language, tensors to ignore, leaves to leave. Nothing here looks at arrays.

A template is a name with variables, `layers.{i}.weight`: each stands for any text within one part of the name, at
most one per part, and the whole name must match. In a rule a variable means the same on both sides. A pattern is a
name with `*` (any text within a part) and `**` (across parts).
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast

from weight_bridge._errors import MappingError, UsageError
from weight_bridge.transform_text import parse
from weight_bridge.transforms import IDENTITY, Transform

Verdict = Literal["proved", "assumed", "written"]


@dataclass(frozen=True)
class Rule:
    """Sources, targets, and the transform between them; names and paths may be templates.

    Args:
      source: templates of torch names, in the order the transform takes them.
      target: templates of target paths, in the order the transform gives them.
      transform: from sources to targets.
      why: the evidence.
      verdict: how sure the rule is; rules of a file are `written`.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    transform: Transform = IDENTITY
    why: str = "a rule"
    verdict: Verdict = "written"


@dataclass(frozen=True)
class Pairing:
    """Two layers that correspond, as templates; the convention of their family says how.

    Args:
      source: template of the torch layer's name.
      target: template of the target layer's place.
      channels_last: for a linear layer behind flattened images, the number of their channels, which torch counts first
        and the target last; None where both count alike.
      output_channels_last: the same for a linear layer whose outputs become an image, and for a normalisation between.
    """

    source: str
    target: str
    channels_last: int | None = None
    output_channels_last: int | None = None


@dataclass(frozen=True)
class Ignore:
    """Source tensors that stay unused, with the reason."""

    source: str
    reason: str


@dataclass(frozen=True)
class Leave:
    """Target leaves that stay unfilled, with the reason."""

    target: str
    reason: str


@dataclass(frozen=True)
class Mapping:
    """Everything a person wrote about one conversion.

    Args:
      rules: tensor by tensor.
      layers: layer by layer.
      ignore: what may stay unused.
      leave: what may stay unfilled.
    """

    rules: tuple[Rule, ...] = ()
    layers: tuple[Pairing, ...] = ()
    ignore: tuple[Ignore, ...] = ()
    leave: tuple[Leave, ...] = ()


def load(what: Mapping | str | Path | None) -> Mapping:
    """Returns a mapping, read from a TOML file if it is a path.

    Args:
      what: a mapping, a path, or None for an empty mapping.

    Raises:
      UsageError: the file cannot be read.
      MappingError: an entry cannot hold; all are listed.
    """
    if what is None:
        return Mapping()
    if isinstance(what, Mapping):
        return what
    path = Path(what)
    try:
        content = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"mapping {path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise MappingError(f"mapping {path}: not TOML: it is no text in UTF-8") from None
    return loads(content, str(path))


def loads(content: str, origin: str = "the mapping") -> Mapping:
    """Returns the mapping that a TOML text holds.

    Example:
      >>> loads("rule = [{source = 'a.{i}.w', target = 'a/{i}/kernel', transform = 'permute(1, 0)'}]").rules[0].target
      ('a/{i}/kernel',)
    """
    try:
        tables = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise MappingError(f"mapping {origin}: not TOML: {error}") from None
    problems: list[str] = [
        f"[{name}]: not known; known: rule, layer, ignore, leave" for name in tables if name not in _READERS
    ]
    found: dict[str, list[Any]] = {name: [] for name in _READERS}
    for name, reader in _READERS.items():
        for number, entry in enumerate(tables.get(name, []), 1):
            try:
                found[name].append(reader(entry))
            except (KeyError, TypeError, ValueError) as error:
                reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
                problems.append(f"[[{name}]] {number}: {reason}")
    if problems:
        raise MappingError(f"mapping {origin}: entries cannot be used", problems)
    return Mapping(tuple(found["rule"]), tuple(found["layer"]), tuple(found["ignore"]), tuple(found["leave"]))


def dumps(mapping: Mapping) -> str:
    """Returns a mapping as TOML that `loads` reads back.

    Example:
      >>> print(dumps(Mapping(ignore=(Ignore("head.*", "trained anew"),))))
      [[ignore]]
      source = "head.*"
      reason = "trained anew"
      <BLANKLINE>
    """
    blocks = [
        "\n".join([f"[[{name}]]", *(f"{key} = {_toml(value)}" for key, value in record.items())]) + "\n"
        for name, entries in (
            ("rule", mapping.rules),
            ("layer", mapping.layers),
            ("ignore", mapping.ignore),
            ("leave", mapping.leave),
        )
        for record in map(_record, entries)
    ]
    return "\n".join(blocks)


def literal(name: str) -> str:
    r"""Returns the template or pattern that matches one name alone.

    Example:
      >>> print(literal("a{0}.*"))
      a{{0}}.\*
    """
    return name.replace("{", "{{").replace("}", "}}").replace("*", "\\*")


def pattern_matches(pattern: str, name: str) -> bool:
    r"""Returns whether a name matches a pattern entirely; `*` stays within a part, `**` does not.

    Example:
      >>> pattern_matches("head.*", "head.weight"), pattern_matches("head.*", "head.0.weight")
      (True, False)
      >>> pattern_matches("head.**", "head.0.weight")
      True
    """
    return _pattern(pattern).fullmatch(name) is not None


def match(template: str, name: str) -> dict[str, str] | None:
    """Returns what a template's variables stand for in a name, or None where it does not match entirely.

    Example:
      >>> match("layers.{i}.weight", "layers.11.weight"), match("layers.{i}.weight", "layers.1.mlp.weight")
      ({'i': '11'}, None)
    """
    found = _template(template).fullmatch(name)
    return found.groupdict() if found else None


def fill(template: str, variables: AnyMapping[str, str]) -> str:
    """Returns the name that a template yields.

    Example:
      >>> fill("layers_{i}/kernel", {"i": "3"})
      'layers_3/kernel'
    """
    return "".join(variables[variable] if variable else text for text, variable in _pieces(template))


@lru_cache(maxsize=4096)
def _pieces(template: str) -> tuple[tuple[str, str], ...]:
    """Text and variables in turn, as (text, "") and ("", variable)."""
    pieces: list[tuple[str, str]] = []
    for token in re.findall(r"\{\{|\}\}|\\\*|\{[^{}]*\}|[^{}\\]+|.", template, flags=re.DOTALL):
        if token in {"{{", "}}", "\\*"}:
            pieces.append((token[-1], ""))
        elif token.startswith("{") and token[1:-1].isidentifier():
            pieces.append(("", token[1:-1]))
        elif token[0] in "{}":
            raise ValueError(f"template {template!r}: {token!r} is no variable; write {{name}}, or {{{{ for a brace")
        else:
            pieces.append((token, ""))
    return tuple(pieces)


@lru_cache(maxsize=4096)
def _template(template: str) -> re.Pattern[str]:
    seen: set[str] = set()
    expression = ""
    since = ""  # text since the last variable
    for text, variable in _pieces(template):
        if not variable:
            expression += re.escape(text)
            since += text
            continue
        if seen and not set(since) & set("./"):
            raise ValueError(f"template {template!r}: two variables in one part of a name leave open where one ends")
        expression += f"(?P={variable})" if variable in seen else rf"(?P<{variable}>[^./]+)"
        seen.add(variable)
        since = ""
    return re.compile(expression)


@lru_cache(maxsize=4096)
def _pattern(pattern: str) -> re.Pattern[str]:
    spelled = {"**": ".*", "*": "[^./]*", "\\*": r"\*"}
    tokens = re.findall(r"\\\*|\*\*|\*|[^*\\]+|\\", pattern)
    return re.compile("".join(spelled.get(token) or re.escape(token) for token in tokens), re.DOTALL)


def _texts(value: Any) -> tuple[str, ...]:
    values = cast("list[Any]", value if isinstance(value, list) else [value])
    if not values or not all(isinstance(item, str) for item in values):
        raise TypeError(f"expected a name or a list of names, got {value!r}")
    return tuple(values)


def _only(entry: AnyMapping[str, Any], *known: str) -> None:
    if strange := sorted(set(entry) - set(known)):
        raise ValueError(f"{', '.join(strange)} is not known; known: {', '.join(known)}")


def _variables(templates: Iterable[str]) -> set[str]:
    return {variable for template in templates if _template(template) for _, variable in _pieces(template) if variable}


def _rule(entry: AnyMapping[str, Any]) -> Rule:
    _only(entry, "source", "target", "transform", "why")
    rule = Rule(
        _texts(entry["source"]),
        _texts(entry["target"]),
        parse(entry.get("transform", "identity()")),
        entry.get("why", "a rule"),
    )
    _same_variables(rule.source, rule.target)
    return rule


def _pairing(entry: AnyMapping[str, Any]) -> Pairing:
    _only(entry, "source", "target", "channels_last", "output_channels_last")
    _same_variables((entry["source"],), (entry["target"],))
    return Pairing(
        entry["source"], entry["target"], _channels(entry, "channels_last"), _channels(entry, "output_channels_last")
    )


def _channels(entry: AnyMapping[str, Any], key: str) -> int | None:
    channels = entry.get(key)
    if channels is not None and (not isinstance(channels, int) or isinstance(channels, bool) or channels < 1):
        raise TypeError(f"{key}: expected the number of channels, got {channels!r}")
    return channels


def _same_variables(source: tuple[str, ...], target: tuple[str, ...]) -> None:
    sets = [_variables((template,)) for template in (*source, *target)]
    if any(found != sets[0] for found in sets):
        raise ValueError(f"every template of a rule has the same variables, got {', '.join((*source, *target))}")


def _ignore(entry: AnyMapping[str, Any]) -> Ignore:
    _only(entry, "source", "reason")
    return Ignore(entry["source"], entry["reason"])


def _leave(entry: AnyMapping[str, Any]) -> Leave:
    _only(entry, "target", "reason")
    return Leave(entry["target"], entry["reason"])


_READERS = {"rule": _rule, "layer": _pairing, "ignore": _ignore, "leave": _leave}


def _record(entry: Rule | Pairing | Ignore | Leave) -> dict[str, Any]:
    record = {field.name: getattr(entry, field.name) for field in fields(entry)}
    record.pop("verdict", None)
    told = {key: value for key, value in record.items() if value is not None}
    return {key: str(value) if isinstance(value, Transform) else value for key, value in told.items()}


def _toml(value: str | tuple[str, ...]) -> str:
    """A TOML string or list; JSON's escapes are TOML's."""
    if isinstance(value, tuple):
        return _toml(value[0]) if len(value) == 1 else f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
