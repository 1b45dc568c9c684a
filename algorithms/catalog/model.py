"""The entry of one algorithm: what it takes, what it gives, and what it refuses."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from algorithms.catalog import registry
from algorithms.catalog.errors import ChannelError, HyperparameterError, ResourceError
from algorithms.catalog.rules import Condition, Requirement, Rule, described, holds
from algorithms.catalog.serving import Inference, Result
from algorithms.catalog.values import Entry, Kind, Scalar, Value, shown

Distribution = Literal["FullyReplicated", "ShardedByS3Key"]
InputMode = Literal["File", "Pipe", "FastFile"]


class Tuning(Entry):
    """What a tuning job may search: the range AWS advises, or the values."""

    min: int | float | None = None
    max: int | float | None = None
    values: tuple[Scalar, ...] = ()

    @model_validator(mode="after")
    def _a_range_or_values(self) -> Self:
        if bool(self.values) == (self.min is not None and self.max is not None):
            raise ValueError("tuning has either min and max, or values")
        return self


class Hyperparameter(Kind):
    """One setting of an algorithm."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$", max_length=256)]
    description: str
    required: bool | Requirement = False
    default: Scalar | tuple[Scalar, ...] | None = None
    default_from: str | None = None
    words: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    tuning: Tuning | None = None
    note: str | None = None

    @model_validator(mode="after")
    def _default_is_allowed(self) -> Self:
        if self.default is None:
            return self
        if self.required is True:
            raise ValueError("what is always required has no default")
        read = self.read(self.default)
        wanted = list(self.default) if isinstance(self.default, tuple) else self.default
        if read != wanted or (isinstance(wanted, str) and not isinstance(read, str)):
            raise ValueError(f"the default {self.default!r} is not of type {self.type}")
        return self

    @property
    def tunable(self) -> bool:
        """Whether a tuning job may search it."""
        return self.tuning is not None

    @property
    def allowed(self) -> str:
        """What may be given here, in words that follow `must be`."""
        words = [word or "empty" for word in self.words]
        return f"{', '.join(words)}, or {super().allowed}" if words else super().allowed

    def read(self, value: object) -> Value:
        """Turn what a request or a configuration file says into a typed value."""
        if isinstance(value, str) and value in self.words:
            return value
        return super().read(value)


class Channel(Entry):
    """One input of a training job."""

    name: str
    description: str
    required: bool | Requirement = False
    allowed_when: Condition | None = None
    content_types: tuple[str, ...]
    distribution: tuple[Distribution, ...] = ("FullyReplicated", "ShardedByS3Key")
    note: str | None = None


class Metric(Entry):
    """One number that the algorithm writes to its log.

    `origin` says how sure its expression is: `aws` is AWS's own, `log` was read off a published
    log line, `inferred` follows from its neighbours, `house` is this project's convention.
    """

    name: str
    regex: Annotated[str, Field(max_length=500)]
    direction: Literal["Maximize", "Minimize"] | None = None
    objective: bool = False
    when: Condition | None = None
    origin: Literal["aws", "log", "inferred", "house"]


class Machines(Entry):
    """On what an algorithm runs; `gpu_families` are those that AWS names."""

    cpu: bool
    gpu: bool
    gpu_families: tuple[str, ...] = ()
    advised: tuple[str, ...] = ()
    note: str | None = None


class Instances(Entry):
    """On what an algorithm trains, and on what its models serve."""

    training: Machines
    inference: Machines


class Image(Entry):
    """AWS's own image of the algorithm; `registry` is a group of accounts in registries.yaml."""

    repository: str
    tag: str
    registry: str


class Incremental(Entry):
    """How a job goes on from the model of an earlier one."""

    channel: str
    must_match: tuple[str, ...]


class Algorithm(Entry):
    """One built-in algorithm of SageMaker, as AWS hosts it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    title: str
    summary: str
    image: Image
    former_images: tuple[Image, ...] = ()
    """Those of other repositories, under which AWS still has older releases."""

    input_modes: tuple[InputMode, ...]
    channels: tuple[Channel, ...]
    hyperparameters: tuple[Hyperparameter, ...]
    boolean_spelling: Literal["lower", "title"] = "lower"
    metrics: tuple[Metric, ...]
    instances: Instances
    distributed: bool
    distributed_when: Condition | None = None
    checkpoints: bool
    incremental: Incremental | None = None
    inference: Inference | None = None
    results: tuple[Result, ...] = ()
    constraints: tuple[Rule, ...] = ()
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _names_fit_together(self) -> Self:
        spelt = [name for spec in self.hyperparameters for name in (spec.name, *spec.aliases)]
        for what, names in (
            ("hyperparameter", spelt),
            ("channel", [channel.name for channel in self.channels]),
            ("metric", [metric.name for metric in self.metrics]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what} {', '.join(twice)} is there more than once")
        unknown = sorted(set(self._mentioned()) - {spec.name for spec in self.hyperparameters})
        if unknown:
            raise ValueError(f"a condition or rule names no hyperparameter: {', '.join(unknown)}")
        return self

    def _mentioned(self) -> Iterable[str]:
        conditions: list[Condition | None] = [
            self.distributed_when,
            *(metric.when for metric in self.metrics),
            *(channel.allowed_when for channel in self.channels),
        ]
        required = [spec.required for spec in self.hyperparameters]
        required += [channel.required for channel in self.channels]
        conditions += [one.when for one in required if isinstance(one, Requirement)]
        for condition in conditions:
            yield from condition or ()
        for rule in self.constraints:
            yield from rule.names
        for spec in self.hyperparameters:
            if spec.default_from is not None:
                yield spec.default_from

    @cached_property
    def _by_name(self) -> dict[str, Hyperparameter]:
        return {name: spec for spec in self.hyperparameters for name in (spec.name, *spec.aliases)}

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions in which AWS has the image."""
        return registry.regions(self.image.registry)

    def image_uri(self, region: str) -> str:
        """The URI of AWS's own image in a region.

        Raises:
            ValueError: AWS has none there; the text names the regions where it has.
        """
        image = self.image
        return registry.image_uri(image.registry, image.repository, image.tag, region)

    def check(self, values: Mapping[str, Any]) -> None:
        """Refuse hyperparameters that the algorithm would refuse.

        Raises:
            HyperparameterError: With every problem at once.
        """
        self._examined(values)

    def parse(self, values: Mapping[str, Any], *, defaults: bool = True) -> dict[str, Any]:
        """Check hyperparameters and give them typed, under their own names.

        A hyperparameter that is neither given nor has a default is left out, as are reserved
        names, which start with an underscore and belong to the service.

        Args:
            values: Text or numbers by name, as in a request or in hyperparameters.json.
            defaults: Fill in what is not given; without, only what was given comes back.
        """
        given, filled = self._examined(values)
        return filled if defaults else given

    def encode(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Check hyperparameters and give them as text, as CreateTrainingJob wants them.

        Names stay as they were given, reserved ones too, and nothing is filled in.
        """
        given, _ = self._examined(values)
        written: dict[str, str] = {}
        for name, value in values.items():
            spec = self._by_name.get(name)
            if spec is None:
                written[name] = str(value)
                continue
            typed = given[spec.name]
            if isinstance(typed, bool) and self.boolean_spelling == "title":
                written[name] = str(typed)
            elif isinstance(value, str) and not isinstance(typed, bool):
                written[name] = value
            else:
                written[name] = spec.write(typed)
        return written

    def check_channels(
        self,
        channels: Mapping[str, Mapping[str, str | None]],
        values: Mapping[str, Any] | None = None,
    ) -> None:
        """Refuse channels that the algorithm would refuse.

        Args:
            channels: By name, what is known of `content_type`, `distribution`, `input_mode`.
            values: The hyperparameters, valid or not: some decide about channels.

        Raises:
            ChannelError: With every problem at once.
        """
        _, filled, _ = self._read(values or {})
        problems: list[str] = []
        known = {channel.name: channel for channel in self.channels}
        for name, given in channels.items():
            if name in known:
                problems += self._channel_problems(known[name], given, filled)
            else:
                problems.append(f"Channel {name!r} is unknown to {self.name}; {_these(known)}.")
        media = {_media(given.get("content_type")) for given in channels.values()}
        for channel in self.channels:
            reason = _missing(channel.required, filled, media)
            if channel.name not in channels and reason is not None:
                problems.append(
                    f"Channel {channel.name} is missing{reason}: {channel.description} "
                    f"Content types: {', '.join(channel.content_types)}."
                )
        for spec in self.hyperparameters:
            if isinstance(spec.required, Requirement) and spec.required.content_types:
                reason = _missing(spec.required, filled, media)
                if reason is not None and spec.name not in filled:
                    problems.append(_required(spec, reason))
        if problems:
            raise ChannelError(problems)

    def check_resources(
        self, instance_types: Sequence[str], count: int, values: Mapping[str, Any] | None = None
    ) -> None:
        """Refuse instances on which the algorithm cannot train.

        Raises:
            ResourceError: With every problem at once.
        """
        problems: list[str] = []
        training = self.instances.training
        for instance_type in instance_types:
            gpu = instance_type.removeprefix("ml.")[:1] in ("p", "g")
            if gpu and not training.gpu:
                problems.append(
                    f"{self.name} trains on CPU instances only, and {instance_type} has a GPU."
                )
            if not gpu and not training.cpu:
                problems.append(
                    f"{self.name} trains on GPU instances only, and {instance_type} has none; "
                    f"AWS names the families {', '.join(training.gpu_families)}."
                )
        if count > 1:
            _, filled, _ = self._read(values or {})
            if not self.distributed:
                problems.append(f"{self.name} trains on one instance only, not on {count}.")
            elif self.distributed_when is not None and not holds(self.distributed_when, filled):
                problems.append(
                    f"{self.name} trains on {count} instances only when "
                    f"{described(self.distributed_when)}."
                )
        if problems:
            raise ResourceError(problems)

    def _examined(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What was given and what holds with the defaults, both typed."""
        given, filled, problems = self._read(values)
        if problems:
            raise HyperparameterError(problems)
        return given, filled

    def _read(
        self, values: Mapping[str, Any]
    ) -> tuple[dict[str, Value], dict[str, Value], list[str]]:
        given: dict[str, Value] = {}
        spelt: dict[str, str] = {}
        problems: list[str] = []
        for name, value in values.items():
            spec = self._by_name.get(name)
            if spec is None:
                if not name.startswith("_"):
                    problems.append(self._unknown(name))
                continue
            if spec.name in spelt:
                problems.append(f"{name} and {spelt[spec.name]} are the same; give one of them.")
                continue
            spelt[spec.name] = name
            try:
                given[spec.name] = spec.read(value)
            except ValueError as error:
                problems.append(f"{name} {error}")
        filled = self._filled(given, without=spelt.keys() - given.keys())
        for spec in self.hyperparameters:
            reason = _missing(spec.required, filled, frozenset())
            if spec.name not in spelt and reason is not None:
                problems.append(_required(spec, reason))
        wrong = spelt.keys() - given.keys()
        for rule in self.constraints:
            if wrong.isdisjoint(rule.names):
                problem = rule.problem(filled, set(given))
                if problem is not None:
                    problems.append(problem)
        return given, filled, problems

    def _filled(self, given: Mapping[str, Value], *, without: Iterable[str]) -> dict[str, Value]:
        filled = dict(given)
        missing = [spec for spec in self.hyperparameters if spec.name not in {*given, *without}]
        for spec in missing:
            if spec.default is not None:
                default = spec.default
                filled[spec.name] = list(default) if isinstance(default, tuple) else default
        for spec in missing:
            if spec.default_from is not None and spec.default_from in filled:
                filled[spec.name] = filled[spec.default_from]
        return filled

    def _unknown(self, name: str) -> str:
        if name.startswith("sagemaker_"):
            return f"{name} asks for a script of your own, which {self.name} does not run here."
        known = [known for known in self._by_name if not known.startswith("_")]
        near = get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"{_these(known)}."
        return f"Hyperparameter {shown(name)} is unknown to {self.name}: {hint}"

    def _channel_problems(
        self, channel: Channel, given: Mapping[str, str | None], values: Mapping[str, Value]
    ) -> Iterable[str]:
        name = channel.name
        if channel.allowed_when is not None and not holds(channel.allowed_when, values):
            yield f"Channel {name} is taken only when {described(channel.allowed_when)}."
        content_type = given.get("content_type")
        if content_type and not any(_fits(content_type, one) for one in channel.content_types):
            yield (
                f"Channel {name} has content type {content_type!r}; "
                f"{self.name} takes {', '.join(channel.content_types)} there."
            )
        distribution = given.get("distribution")
        if distribution and distribution not in channel.distribution:
            yield (
                f"Channel {name} has distribution {distribution!r}; "
                f"{self.name} takes {' or '.join(channel.distribution)} there."
            )
        mode = given.get("input_mode")
        if mode and mode not in self.input_modes:
            yield (
                f"Channel {name} has input mode {mode!r}; "
                f"{self.name} takes {' or '.join(self.input_modes)}."
            )


def _missing(
    required: bool | Requirement, values: Mapping[str, Value], media: Iterable[str]
) -> str | None:
    """Why something must be given, in words that follow `is missing`; None where it need not."""
    if isinstance(required, bool):
        return "" if required else None
    if required.when is not None and holds(required.when, values):
        lead = f" ({required.message})" if required.message else ""
        return f", though required when {described(required.when)}{lead}"
    found = sorted(set(media) & set(required.content_types))
    return f", though required with {', '.join(found)}" if found else None


def _required(spec: Hyperparameter, reason: str) -> str:
    return f"Hyperparameter {spec.name} is missing{reason}; it must be {spec.allowed}."


def _these(names: Iterable[str]) -> str:
    return f"it takes {', '.join(names)}"


def _media(content_type: str | None) -> str:
    return (content_type or "").split(";", 1)[0].strip().lower()


def _parameters(content_type: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in content_type.split(";")[1:])
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _fits(given: str, allowed: str) -> bool:
    """Whether a content type is an allowed one: parameters count where both name them."""
    if _media(given) != _media(allowed):
        return False
    found, wanted = _parameters(given), _parameters(allowed)
    return all(found[name] == wanted[name] for name in found.keys() & wanted.keys())
