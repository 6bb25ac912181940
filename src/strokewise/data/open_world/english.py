"""Scenes and steps in plain English templates, without a language model.

This file knows articles, plurals and sentences. It refuses to know what is sampled, and whether
a text is right.
"""

import random
from collections.abc import Sequence

from strokewise.data.open_world.scene import OpenObject, OpenScene
from strokewise.data.open_world.steps import OpenStep
from strokewise.data.open_world.taxonomy import Taxonomy, plural_of

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
SHOWS = "The sketch shows the plan."
FITS = "The plan fits the prompt."


class English:
    """Templates with the nouns of a taxonomy."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        """Use the nouns of ``taxonomy``."""
        self.taxonomy = taxonomy

    def describe(self, scene: OpenScene) -> str:
        """Return a scene in words: what there is, where, and what stands how to what; also the prompt of it.

        Relations that one object has to one other are said in the first sentence, others in sentences of
        their own.
        """
        if len(scene.objects) == 2 and len(scene.relations) == 1:
            (relation,) = scene.relations
            subject, target = scene[relation.subject], scene[relation.target]
            what = f"{self.phrase(subject)} {relation.name} {self.phrase(target)}"
            rest = []
        else:
            what = _listed([self.phrase(one) for one in scene.objects])
            rest = [
                f" {self._the(scene[r.subject])} {_is(scene[r.subject])} {r.name}"
                f" {self._the(scene[r.target])}."
                for r in scene.relations
            ]
        first = f"{scene.style} {what}" + (f" {scene.place}" if scene.place else "")
        return first + (("." if rest else "") + "".join(_sentence(one) for one in rest))

    def instruct(self, step: OpenStep, rng: random.Random) -> str:
        """Return a step as an instruction to a painter."""
        before, after = step.before, step.after
        if before is None:
            assert after is not None, "a step adds, changes or removes"
            if len(step.scene.objects) == 1:
                place = f" {step.scene.place}" if step.scene.place else ""
                return f"Paint {self.phrase(after)}{place}."
            verb = rng.choice(("Add", "Place", "Put in"))
            return f"{verb} {self.phrase(after)}{self._related(after, step.scene)}."
        if after is None:
            verb = rng.choice(("Remove", "Take away", "Erase"))
            return f"{verb} {self._the(before)}."
        if before.name != after.name:
            words = rng.choice(("Replace {} with {}.", "Swap {} for {}.", "Turn {} into {}."))
            return words.format(self._the(before), self.phrase(after))
        return f"{rng.choice(('Change', 'Alter'))} {self._the(before)} to be {self.phrase(after)}."

    def pending(self, scene: OpenScene, done: OpenScene) -> str:
        """Return what of a scene is not in another yet, as a sentence; empty if all is there."""
        coming = [self.phrase(one) for one in scene.objects if one.name not in done.names]
        return f"Still to come: {_listed(coming)}." if coming else ""

    def phrase(self, one: OpenObject) -> str:
        """Return an object with its count and attributes, such as "two small red cups"."""
        words = " ".join([*one.attributes.values(), self._noun(one)])
        if one.count > 1:
            return f"{NUMBERS[one.count] if one.count < len(NUMBERS) else one.count} {words}"
        return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"

    def _the(self, one: OpenObject) -> str:
        return f"the {self._noun(one)}"

    def _noun(self, one: OpenObject) -> str:
        known = self.taxonomy[one.name]
        noun = known.noun or known.name
        return noun if one.count == 1 else known.plural or plural_of(noun)

    def _related(self, one: OpenObject, scene: OpenScene) -> str:
        """Return the relations of an object to what is there."""
        found = [f"{r.name} {self._the(scene[r.target])}" for r in scene.relations if r.subject == one.name]
        return f", {_listed(found)}" if found else ""


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _is(one: OpenObject) -> str:
    return "is" if one.count == 1 else "are"


def _sentence(text: str) -> str:
    return text[:1] + text[1:2].upper() + text[2:]
