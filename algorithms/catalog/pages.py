"""The page of one algorithm, made from its entry alone."""

from collections.abc import Iterable, Mapping, Sequence

from algorithms.catalog.model import Algorithm, Hyperparameter
from algorithms.catalog.rules import (
    Compare,
    Condition,
    Limited,
    OnlyWith,
    Requirement,
    Sum,
    described,
)
from algorithms.catalog.values import text

_ORIGINS = {
    "aws": "AWS",
    "log": "a log line of AWS's",
    "inferred": "inferred from its neighbours",
    "house": "this project",
}


def page(entry: Algorithm) -> str:
    """The whole page of an algorithm."""
    parts = [
        f"# {entry.title}",
        f"<!-- Written by `python -m algorithms.catalog docs`; change `algorithms/catalog/"
        f"{entry.name}.yaml`. -->",
        entry.summary,
        _facts(entry),
        _channels(entry),
        _hyperparameters(entry),
        _rules(entry),
        _metrics(entry),
        _inference(entry),
        _results(entry),
        _notes(entry),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def code(words: Iterable[object], joint: str = ", ") -> str:
    """Words as code, side by side."""
    return joint.join(f"`{word}`" for word in words)


def table(head: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[int] = ()) -> str:
    """A table of Markdown; the columns whose numbers are in `right` hold numbers."""
    line = "|".join("---:" if number in right else "---" for number in range(len(head)))
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    body = [f"| {' | '.join(row)} |" for row in [list(head), *cells]]
    return "\n".join([body[0], f"|{line}|", *body[1:]])


def _facts(entry: Algorithm) -> str:
    training, inference = entry.instances.training, entry.instances.inference
    hosts = "one or more" if entry.distributed else "one"
    if entry.distributed_when is not None:
        hosts += f"; several only when {described(entry.distributed_when)}"
    facts = {
        "name here": f"`{entry.name}`",
        "AWS's image": f"`{entry.image.repository}:{entry.image.tag}` in {len(entry.regions)} "
        "regions",
        "input modes": code(entry.input_modes),
        "trains on": _machines(training.cpu, gpu=training.gpu, families=training.gpu_families),
        "serves on": _machines(inference.cpu, gpu=inference.gpu, families=inference.gpu_families),
        "instances of a job": hosts,
        "checkpoints": "yes" if entry.checkpoints else "no",
    }
    if entry.incremental is not None:
        same = code(entry.incremental.must_match)
        facts["goes on from a model"] = f"channel `{entry.incremental.channel}`" + (
            f"; {same} must be the same" if same else ""
        )
    return table(("", ""), facts.items())


def _machines(cpu: bool, *, gpu: bool, families: Sequence[str]) -> str:
    found = ["CPU"] if cpu else []
    if gpu:
        found.append(f"GPU ({', '.join(families)})" if families else "GPU")
    return " or ".join(found)


def _channels(entry: Algorithm) -> str:
    rows = []
    for channel in entry.channels:
        told = channel.description + (f" {channel.note}" if channel.note else "")
        if channel.allowed_when is not None:
            told += f" Taken only when {described(channel.allowed_when)}."
        needed = _needed(channel.required)
        rows.append((f"`{channel.name}`", needed, code(channel.content_types), told))
    head = ("channel", "must be there", "content types", "what it holds")
    return "## Channels\n\n" + table(head, rows)


def _needed(required: bool | Requirement) -> str:
    if isinstance(required, bool):
        return "yes" if required else ""
    reasons = []
    if required.when is not None:
        reasons.append(f"when {described(required.when)}")
    if required.content_types:
        reasons.append(f"with {code(required.content_types)}")
    return " or ".join(reasons)


def _hyperparameters(entry: Algorithm) -> str:
    rows = []
    for one in sorted(entry.hyperparameters, key=lambda each: each.required is not True):
        told = one.description + (f" {one.note}" if one.note else "")
        if one.aliases:
            told += f" Also {code(one.aliases)}."
        rows.append((f"`{one.name}`", one.allowed, _default(one), _tuning(one), told))
    head = ("hyperparameter", "what is allowed", "default", "tuning", "what it does")
    return "## Hyperparameters\n\n" + table(head, rows)


def _default(one: Hyperparameter) -> str:
    if one.required is True:
        return "must be set"
    if one.default is not None:
        default = one.default
        return f"`{one.write(list(default)) if isinstance(default, tuple) else text(default)}`"
    if one.default_from is not None:
        return f"that of `{one.default_from}`"
    needed = _needed(one.required)
    return f"must be set {needed}" if needed else ""


def _tuning(one: Hyperparameter) -> str:
    if one.tuning is None:
        return ""
    if one.tuning.values:
        return code(map(text, one.tuning.values))
    return f"{one.tuning.min} to {one.tuning.max}"


def _rules(entry: Algorithm) -> str:
    if not entry.constraints:
        return ""
    lines = [f"- {_rule(rule)}" for rule in entry.constraints]
    return "\n".join(["What a request is refused for besides:", "", *lines])


def _rule(rule: OnlyWith | Limited | Compare | Sum) -> str:
    match rule:
        case OnlyWith():
            values = f"{code(rule.values)} in " if rule.values else ""
            return f"{values}`{rule.name}` may be set only when {_when(rule.when)}."
        case Limited():
            return f"When {_when(rule.when)}, `{rule.name}` must be {code(rule.values, ' or ')}."
        case Compare():
            return f"`{rule.left}` must be {rule.operator} `{rule.right}`."
        case Sum():
            return f"The sum of {code(rule.names)} must be {rule.range}."


def _when(condition: Condition) -> str:
    return " and ".join(
        f"`{name}` is {code(map(text, values), ' or ')}" for name, values in condition.items()
    )


def _metrics(entry: Algorithm) -> str:
    rows = [
        (
            f"`{one.name}`",
            (one.direction or "") + (", tuning goal" if one.objective else ""),
            f"`{one.regex}`",
            _ORIGINS[one.origin],
        )
        for one in entry.metrics
    ]
    head = ("metric", "better", "read off the log by", "expression from")
    return "## Metrics\n\n" + table(head, rows)


def _inference(entry: Algorithm) -> str:
    inference = entry.inference
    if inference is None:
        return ""
    parts = [
        "## Requests and answers",
        f"A request is {code(inference.content_types)}; an answer is {code(inference.accepts)}. "
        "The first of each is meant when a client names none.",
    ]
    for example in inference.examples:
        parts.append(f"`{example.content_type}`, answered as `{example.accept}`:")
        parts.append(_block(example.request))
        parts.append(_block(example.response))
    if inference.notes:
        parts.append("\n".join(f"- {note}" for note in inference.notes))
    return "\n\n".join(parts)


def _block(body: str) -> str:
    return "\n".join(f"    {line}" for line in body.rstrip("\n").splitlines())


def _results(entry: Algorithm) -> str:
    if not entry.results:
        return ""
    rows = [
        (one.data, one.measure, one.value, one.reference, one.goal or "") for one in entry.results
    ]
    commands: Mapping[str, None] = dict.fromkeys(one.command for one in entry.results)
    head = ("data", "measure", "here", "reference, in the same run", "must reach")
    told = "Measured of this project's own implementation; to repeat it:"
    return "\n\n".join(
        ["## Measured", table(head, rows), told, "\n".join(f"    {each}" for each in commands)]
    )


def _notes(entry: Algorithm) -> str:
    if not entry.notes:
        return ""
    return "\n".join(["## Notes", "", *(f"- {note}" for note in entry.notes)])
