"""The models by name: a table of facts. Nothing is loaded or looked up on disk until asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

from dreamscope.engine import wire
from dreamscope.engine.errors import ModelNotFound, NotImplementedYet
from dreamscope.engine.prices import published_price

SKILLS = ("query", "caption", "point", "detect", "gaze", "chat")
SKILLS3 = ("query", "caption", "point", "detect", "segment", "gaze", "chat")
FAMILY_SKILLS: Mapping[str, tuple[str, ...]] = MappingProxyType({"moondream2": SKILLS, "moondream3": SKILLS3})
DEFAULT_MODEL = "sprite-2"


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a Hugging Face repository at a fixed revision."""

    repo: str
    filename: str
    revision: str


@dataclass(frozen=True, slots=True)
class HubSource:
    """Where the published weights and the tokenizer come from. The config is the code's default.

    `size`: about how many bytes that is, from the number of parameters and the format they are published in.
    """

    weights: HubFile
    tokenizer: HubFile
    size: int


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What is known about a model without loading it.

    Exactly one of `hub`, `packaged` (a folder name inside the package) and `path` says where it is; none of
    them if this build only knows the name, and then `unavailable` says why.
    """

    id: str
    name: str
    description: str
    family: str = "moondream2"
    skills: tuple[str, ...] = SKILLS
    aliases: tuple[str, ...] = ()
    context_length: int = 2048
    owned_by: str = "moondream"
    hub: HubSource | None = None
    packaged: str | None = None
    path: Path | None = None
    unavailable: str | None = None
    threads: int | None = None  # CPU threads that serve it best; None for all cores

    def directory(self) -> Path | None:
        """The folder or file of a packaged or local model; `None` for one that is downloaded."""
        if self.packaged is not None:
            return Path(str(files("dreamscope.engine.sprite"))) / "weights" / self.packaged
        return self.path

    def info(self, *, default: bool = False, loaded: bool = False) -> wire.ModelInfo:
        """The entry of the model list."""
        return wire.ModelInfo(
            id=self.id,
            skills=self.skills,
            name=self.name,
            description=self.description,
            default=default,
            loaded=loaded,
            context_length=self.context_length,
            aliases=self.aliases,
            owned_by=self.owned_by,
            price=published_price(self.id),
        )


_SPECS = (
    ModelSpec(
        id="sprite-2",
        name="Sprite 2",
        description="A miniature of Moondream 2 that knows its own drawn scenes, but not gaze and chat.",
        owned_by="dreamscope",
        packaged="sprite-2",
        threads=1,  # its matrices are too small to be worth sharing between cores
    ),
    ModelSpec(
        id="sprite-3",
        name="Sprite 3",
        description="A miniature of Moondream 3: the same scenes, and outlines, but not gaze and chat.",
        family="moondream3",
        skills=SKILLS3,
        owned_by="dreamscope",
        packaged="sprite-3",
        threads=1,
    ),
    ModelSpec(
        id="moondream2",
        name="Moondream 2",
        description="The published 2025-06-21 checkpoint, 1.9 billion parameters, downloaded on first use.",
        aliases=("vikhyatk/moondream2", "moondream-2", "moondream-2B"),
        hub=HubSource(
            HubFile("vikhyatk/moondream2", "model.safetensors", "2025-06-21"),
            # The weights' repository still carries an older tokenizer that does not fit them.
            HubFile("moondream/starmie-v1", "tokenizer.json", "main"),
            size=3_900_000_000,
        ),
    ),
    ModelSpec(
        id="moondream3-preview",
        name="Moondream 3 preview",
        description="A mixture of experts, 9 billion parameters of which 2 billion work at a time.",
        family="moondream3",
        skills=SKILLS3,
        aliases=("moondream/moondream3-preview", "moondream-3-preview", "moondream3"),
        context_length=32768,
        hub=HubSource(
            HubFile("moondream/moondream3-preview", "model.safetensors.index.json", "main"),
            HubFile("moondream/starmie-v1", "tokenizer.json", "main"),
            size=18_600_000_000,
        ),
    ),
    ModelSpec(
        id="moondream3.1-9B-A2B",
        name="Moondream 3.1",
        description="The successor of the Moondream 3 preview.",
        family="moondream3",
        skills=SKILLS3,
        aliases=("moondream/moondream3.1-9B-A2B",),
        context_length=32768,
        hub=HubSource(
            HubFile("moondream/moondream3.1-9B-A2B", "model.safetensors", "main"),
            HubFile("moondream/starmie-v1", "tokenizer.json", "main"),
            size=10_500_000_000,
        ),
    ),
)

MODELS: Mapping[str, ModelSpec] = MappingProxyType({spec.id: spec for spec in _SPECS})


def find_model(name: str) -> ModelSpec:
    """The model that `name` means: an id, an alias (any case), or a path to a checkpoint.

    Names come before paths; write `./moondream2` for a folder of that name. Raises `ModelNotFound` listing
    the known names.
    """
    wanted = name.strip().lower()
    for spec in _SPECS:
        if wanted in (other.lower() for other in (spec.id, *spec.aliases)):
            return spec
    path = Path(name).expanduser()
    if wanted and (path.is_dir() or (path.is_file() and path.suffix == ".safetensors")):
        folder = path if path.is_dir() else path.parent
        title = folder.resolve().name
        return ModelSpec(
            id=title,
            name=title,
            description=f"Local checkpoint {path}",
            owned_by="local",
            path=path,
        )
    raise ModelNotFound(
        f"No model {name!r:.80}. Known are {', '.join(MODELS)}; or give the path of a checkpoint folder.",
        "model",
    )


def require_available(spec: ModelSpec) -> None:
    """Raises `NotImplementedYet` for a model of which this build only knows the name."""
    if spec.unavailable is not None:
        able = ", ".join(other.id for other in _SPECS if other.unavailable is None)
        raise NotImplementedYet(
            f"{spec.name} cannot be run: {spec.unavailable}. Available are {able}.", "model"
        )
