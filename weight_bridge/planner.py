"""Closing the world: written rules, inferred rules, reasons for the rest, and every problem at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field, replace

from weight_bridge import infer
from weight_bridge._dtypes import kind
from weight_bridge._errors import MisfitError, PlanError
from weight_bridge.checkpoint import Checkpoint
from weight_bridge.conventions.derivable import derivable
from weight_bridge.joint import Each
from weight_bridge.mapping import Mapping, Rule, fill, match, pattern_matches
from weight_bridge.names import nearest, tokens
from weight_bridge.plan import Ignored, Plan, Step, Unfilled, natural
from weight_bridge.spec import Spec
from weight_bridge.structure import Layer, Leaf, Target
from weight_bridge.transforms import Cast, chain


@dataclass(frozen=True)
class Allowance:
    """What a caller lets pass.

    Args:
      drop: patterns of tensors that may stay unused.
      missing: patterns of leaves that may stay unfilled.
      strict: whether assumptions are refused.
      dtype: floating dtype to cast to; None keeps the checkpoint's.
      flatten: what is done about linear layers that may follow flattened channels, see `weight_bridge.plan`.
    """

    drop: Sequence[str] = ()
    missing: Sequence[str] = ()
    strict: bool = False
    dtype: str | None = None
    flatten: infer.Flatten = "declared"


@dataclass
class _Draft:
    """A plan in the making."""

    checkpoint: Checkpoint
    target: Target
    allowance: Allowance
    steps: list[Step] = field(default_factory=list[Step])
    problems: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.leaves = {leaf.path: leaf for leaf in self.target.leaves}
        # Those of steps, and those that a problem accounts for.
        self.used: set[str] = set()
        self.filled: set[str] = set()
        self.taken: set[str] = set()  # those that steps fill

    def add(self, step: Step) -> None:
        """Adds a step, which settles its tensors and leaves."""
        self.steps.append(step)
        self.taken.update(step.targets)
        self.settle(step.sources, step.targets)

    def settle(self, names: Iterable[str], paths: Iterable[str]) -> None:
        """Marks tensors and leaves of which no more needs to be said."""
        self.used.update(names)
        self.filled.update(paths)


def make_plan(
    checkpoint: Checkpoint, target: Target, mapping: Mapping, layers: AnyMapping[str, Layer], allowance: Allowance
) -> Plan:
    """Decides everything about a conversion.

    Args:
      checkpoint: source tensors, unread.
      target: leaves to fill.
      mapping: what a person wrote; it goes before inference.
      layers: torch module name → layer, as far as known.
      allowance: what may stay unused, unfilled or assumed.

    Returns:
      The plan.

    Raises:
      PlanError: anything ambiguous, unmatched or impossible; every problem is listed.
    """
    draft = _Draft(checkpoint, target, allowance)
    for rule in mapping.rules:
        _expand(draft, rule)
    ignored = [Ignored(n, e.reason) for e in mapping.ignore for n in checkpoint.tensors if pattern_matches(e.source, n)]
    unfilled = [Unfilled(p, e.reason) for e in mapping.leave for p in draft.leaves if pattern_matches(e.target, p)]
    settled = draft.used | {entry.name for entry in ignored}, draft.filled | {entry.path for entry in unfilled}
    names = [name for name in checkpoint.tensors if name not in settled[0]]
    paths = [path for path in draft.leaves if path not in settled[1]]
    inferred = infer.infer(checkpoint, target, mapping, layers, names=names, paths=paths, flatten=allowance.flatten)
    draft.problems += inferred.problems
    explained = {side: [key for its, key in inferred.explained if its == side] for side in ("source", "target")}
    draft.settle(explained["source"], explained["target"])
    for rule in inferred.rules:
        _add(draft, rule.source, rule.target, rule)
    told = {entry.name: entry.reason for entry in ignored}
    ignored = _unused(draft, [n for n in checkpoint.tensors if n in told or (n in names and n not in draft.used)], told)
    unfilled += _empty(draft, [p for p in paths if p not in draft.filled])
    _refuse(draft)
    steps = sorted(draft.steps, key=lambda step: natural(step.targets[0]))
    return Plan(
        (checkpoint.origin, target.origin),
        tuple(steps),
        tuple(ignored),
        tuple(unfilled),
        checkpoint.ties(),
        inferred.notes,
    )


def _expand(draft: _Draft, rule: Rule) -> None:
    """Adds a step for every name that the rule's first template matches."""
    first = rule.source[0]
    hits = [variables for name in draft.checkpoint.tensors if (variables := match(first, name)) is not None]
    if not hits:
        draft.problems.append(
            f"rule {first} -> {rule.target[0]}: no tensor has that name{nearest(first, draft.checkpoint.tensors)}"
        )
    for variables in hits:
        _add(
            draft, tuple(fill(t, variables) for t in rule.source), tuple(fill(t, variables) for t in rule.target), rule
        )


def _add(draft: _Draft, names: tuple[str, ...], paths: tuple[str, ...], rule: Rule) -> None:
    """Adds one step, or the problems that keep it from being one."""
    title = f"rule {' + '.join(names)} -> {', '.join(paths)}"
    tensors, leaves = draft.checkpoint.tensors, draft.leaves
    absent = [f"{title}: no tensor {name}{nearest(name, tensors)}" for name in names if name not in tensors]
    absent += [f"{title}: the target has no leaf {p}{nearest(p, leaves)}" for p in paths if p not in leaves]
    absent += [f"{title}: {path} is filled already" for path in paths if path in draft.taken]
    if absent:
        draft.problems += absent
        return
    if not draft.filled.isdisjoint(paths):  # a problem accounts for them
        draft.settle(names, paths)
        return
    specs = tuple(draft.checkpoint.tensors[name].spec for name in names)
    try:
        results = rule.transform.infer(specs)
        if len(results) != len(paths):
            raise MisfitError(f"{rule.transform} gives {len(results)} arrays for {len(paths)} leaves")
    except MisfitError as misfit:
        draft.problems.append(f"{title}: {misfit}")
        return
    wrong = [
        line for path, spec in zip(paths, results, strict=True) if (line := _unlike(draft.leaves[path], names, spec))
    ]
    draft.problems += wrong
    if wrong:
        draft.settle(names, paths)
        return
    transform = rule.transform
    if draft.allowance.dtype and all(kind(spec.dtype) == "float" for spec in results):
        cast = Cast(draft.allowance.dtype)
        casts = any(spec.dtype != cast.dtype for spec in results)
        transform = chain(transform, cast if len(results) == 1 else Each(cast)) if casts else transform
        results = transform.infer(specs)
    draft.add(Step(names, paths, transform, rule.verdict, rule.why, specs, results))


def _unlike(leaf: Leaf, names: tuple[str, ...], spec: Spec) -> str | None:
    """Why a result does not belong into a leaf, if so."""
    came = " + ".join(names)
    if spec.shape != leaf.spec.shape:
        return f"{leaf.path}: expected shape {list(leaf.spec.shape)}, got {list(spec.shape)} from {came}"
    if kind(spec.dtype) != kind(leaf.spec.dtype):
        return f"{leaf.path}: expected {leaf.spec.dtype}, got {spec.dtype} from {came}; kinds are never converted"
    return None


def _unused(draft: _Draft, names: list[str], told: AnyMapping[str, str]) -> list[Ignored]:
    """Reasons for tensors that no step uses, `told` ones by the mapping; those without one become problems."""
    twins = _twins(draft)
    found: list[Ignored] = []
    for name in names:
        spec = draft.checkpoint.tensors[name].spec
        pattern = next((p for p in draft.allowance.drop if pattern_matches(p, name)), None)
        twin = twins.get(name) or _alias(draft, name)
        reason = (
            told.get(name) or (twin and twin.reason) or derivable(name, spec) or (pattern and f"dropped by {pattern!r}")
        )
        if twin is not None:
            found.append(replace(twin, reason=reason or twin.reason))
        elif reason:
            found.append(Ignored(name, reason))
        else:
            draft.problems.append(f"{name} {spec}: no leaf of the target takes it; --drop '{name}' leaves it out")
    return found


def _twins(draft: _Draft) -> dict[str, Ignored]:
    """Tensors whose storage a used tensor shares."""
    used = {name for step in draft.steps for name in step.sources}
    return {
        name: Ignored(name, f"shares its storage with {kept}", kept)
        for names in draft.checkpoint.ties()
        for kept in names[::-1]
        if kept in used
        for name in names
    }


def _alias(draft: _Draft, name: str) -> Ignored | None:
    """A tensor that stands where the target shows a leaf again that another tensor fills."""
    *owner, label = name.split(".")
    place, spec = tokens(tuple(owner)), draft.checkpoint.tensors[name].spec
    for step in draft.steps:
        single = len(step.sources) == len(step.targets) == 1
        if not single or step.source_specs[0] != spec or step.sources[0].split(".")[-1] != label:
            continue
        for alias in draft.leaves[step.targets[0]].aliases:
            if tokens(tuple(alias.split("/")[:-1])) == place:
                reason = f"{alias} is the leaf that {step.sources[0]} fills; both must be equal"
                return Ignored(name, reason, step.sources[0], must_equal=True)
    return None


def _empty(draft: _Draft, paths: list[str]) -> list[Unfilled]:
    """Reasons for leaves that no step fills; those without one become problems."""
    found: list[Unfilled] = []
    free = [tensor for name, tensor in draft.checkpoint.tensors.items() if name not in draft.used]
    for path in paths:
        if pattern := next((p for p in draft.allowance.missing if pattern_matches(p, path)), None):
            found.append(Unfilled(path, f"allowed by {pattern!r}"))
            continue
        spec = draft.leaves[path].spec
        near = [
            f"{tensor.name} {list(tensor.spec.shape)}"
            for tensor in free
            if sorted(tensor.spec.shape) == sorted(spec.shape)
        ]
        candidates = (
            f"unused tensors of these extents: {', '.join(near[:5])}" if near else "no unused tensor has these extents"
        )
        draft.problems.append(
            f"{path} {spec}: no tensor fills it; {candidates}; --allow-missing '{path}' leaves it empty"
        )
    return found


def _refuse(draft: _Draft) -> None:
    if draft.allowance.strict:
        draft.problems += [
            f"{', '.join(step.targets)}: only assumed ({step.why}); --source or a rule settles it, or drop --strict"
            for step in draft.steps
            if step.verdict == "assumed"
        ]
    if draft.problems:
        raise PlanError(
            f"no plan from {draft.checkpoint.origin} to {draft.target.origin}: {len(draft.problems)} problem"
            f"{'s' if len(draft.problems) > 1 else ''}",
            draft.problems,
        )
