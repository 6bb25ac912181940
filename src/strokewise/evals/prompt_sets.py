"""Named sets of prompts and files of prompts, with the metadata by which a benchmark scores each.

Knows what benchmarks state about their prompts. It refuses to know who paints them and how they are scored.
"""

import random
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from strokewise.critics import compbench_grades, soft_tifa
from strokewise.critics.geneval_rules import check_metadata
from strokewise.data.scenes import SceneMix, sample_scene
from strokewise.errors import InputError
from strokewise.io.outside import read_json, read_json_lines, read_lines
from strokewise.io.schema import checked
from strokewise.world.language import geneval_metadata, geneval_prompts, write_prompt

FREE_KINDS = (1, 2, 3, 4, 5)
FREE_PER_KIND = 200
TUNING_PER_KIND = 40
# What the prompts of the free set are sampled from. Written out here: a set that compares models over time
# must not follow the training recipes.
FREE_SCENES: dict[str, Any] = {"counts": (0.67, 0.12, 0.11, 0.1), "layout_jitter": 0.0, "plain": True}
# T2I-CompBench++'s own names of its test prompts.
_COMPBENCH_FILES = {f"{category}_val.txt": category for category in compbench_grades.CATEGORIES}


@dataclass(frozen=True)
class Prompt:
    """A prompt of a benchmark.

    Attributes:
        text: what is painted.
        metadata: GenEval's ("tag", "include"), GenEval 2's ("atom_count", "vqa_list", "skills"), WISE's
            ("prompt_id", "Explanation"), T2I-CompBench++'s ("t2i_compbench"), the free set's ("kinds"), or
            none.
    """

    text: str
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def geneval(self) -> bool:
        """Whether GenEval's rules can judge it."""
        return "include" in self.metadata

    @property
    def geneval2(self) -> bool:
        """Whether it is of GenEval 2, with questions of its own."""
        return _of_geneval2(self.metadata)

    @property
    def compbench(self) -> bool:
        """Whether it is of a category of T2I-CompBench++."""
        return "t2i_compbench" in self.metadata

    @property
    def kinds(self) -> int | None:
        """The number of kinds of things, for prompts of the free set."""
        return self.metadata.get("kinds")

    @property
    def tag(self) -> str:
        """The task it belongs to; empty if none is stated."""
        return str(self.metadata.get("tag") or self.metadata.get("Category") or "")


def load_prompts(source: str) -> list[Prompt]:
    """Return prompts by name or file.

    Args:
        source: ``geneval`` for its 553; ``free`` for 1,000 prompts of one to five kinds of things; ``tuning``
            for 200 others of that kind, on which settings are chosen; or a file: GenEval's or GenEval 2's
            metadata (.jsonl), WISE's list (.json), a category of T2I-CompBench++ (by its official name, such
            as color_val.txt), or a prompt a line (anything else); or a folder with several of these.

    Raises:
        InputError: if it cannot be read, or holds no prompts.
    """
    if source == "geneval":
        return [Prompt(one.text, geneval_metadata(one)) for one in geneval_prompts()]
    if source == "free":
        return [prompt for kinds in FREE_KINDS for prompt in free_prompts(kinds)]
    if source == "tuning":
        return [prompt for kinds in FREE_KINDS for prompt in free_prompts(kinds, TUNING_PER_KIND, "tuning")]
    path = Path(source)
    if not path.exists():
        raise InputError(
            f"{path} cannot be read: there is no such file; give geneval, free, tuning, or a file of prompts"
        )
    if path.is_dir():
        found = [prompt for file in _compbench_files(path) for prompt in _compbench(file)]
    elif path.name in _COMPBENCH_FILES:
        found = _compbench(path)
    elif path.suffix == ".json":
        found = _wise(path)
    elif path.suffix == ".jsonl":
        found = [_with_metadata(value, where) for where, value in read_json_lines(path)]
    else:
        found = [Prompt(line) for line in read_lines(path)]
    if not found:
        raise InputError(f"{path} holds no prompts")
    return found


@cache
def free_prompts(kinds: int, count: int = FREE_PER_KIND, name: str = "free") -> tuple[Prompt, ...]:
    """Return the first prompts of the free set, or of one sampled in the same way, with a number of kinds of
    things.

    They are sampled from the sprite world (counts, colors, relations, background), each from a seed of its
    own, so that a prefix of the set is the same whatever its length.

    Args:
        kinds: 1 to 5.
        count: how many.
        name: of the set; others have other prompts.
    """
    mix = SceneMix(objects=(0.0,) * (kinds - 1) + (1.0,), **FREE_SCENES)
    found = []
    for number in range(count):
        rng = random.Random(f"{name}/{kinds}/{number}")
        text = write_prompt(sample_scene(rng, mix).graph, rng)
        found.append(Prompt(text, {"kinds": kinds}))
    return tuple(found)


class _GenEvalLine(TypedDict):
    prompt: str


class _WisePrompt(TypedDict):
    prompt_id: int
    Prompt: str
    Explanation: str


def _of_geneval2(metadata: dict[str, Any]) -> bool:
    return not metadata.keys().isdisjoint(("atom_count", "vqa_list", "skills"))


def _with_metadata(value: dict[str, Any], where: str) -> Prompt:
    check = soft_tifa.check_metadata if _of_geneval2(value) else check_metadata
    check(value, where)
    return Prompt(checked(_GenEvalLine, value, where, extra="ignore")["prompt"], value)


def _compbench_files(folder: Path) -> list[Path]:
    found = [folder / name for name in _COMPBENCH_FILES if (folder / name).exists()]
    if not found:
        raise InputError(
            f"{folder} holds no prompts of T2I-CompBench++; expected one of {', '.join(_COMPBENCH_FILES)}"
        )
    return found


def _compbench(path: Path) -> list[Prompt]:
    category = _COMPBENCH_FILES[path.name]
    return [Prompt(line, {"prompt": line, "t2i_compbench": category}) for line in read_lines(path)]


def _wise(path: Path) -> list[Prompt]:
    values = read_json(path)
    found = checked(list[_WisePrompt], values, f"{path} is no list of WISE's prompts", extra="ignore")
    return [Prompt(one["Prompt"], value) for one, value in zip(found, values, strict=True)]
