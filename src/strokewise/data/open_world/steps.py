"""From a scene to the steps in which it is painted: three to five, in a logical order, in no language.

Nested parts of the scene are painted one after the other, the target of a relation before its subject, so
that steps only extend what is there. Some steps are instead changes (modify, swap, remove) that end in the
same scene (arXiv 2604.04746, section 3). This file knows scenes. It refuses to know words and pictures.
"""

import random
from dataclasses import dataclass, field, replace
from typing import Literal

from strokewise.data.open_world.scene import OpenObject, OpenRelation, OpenScene
from strokewise.data.open_world.taxonomy import Taxonomy
from strokewise.errors import SceneError

FEWEST, MOST = 3, 5
Action = Literal["add", "modify", "swap", "remove"]


@dataclass(frozen=True)
class OpenStep:
    """One step.

    Attributes:
        action: add, modify, swap or remove.
        before: the object that is changed or removed, as it was; None if one is added.
        after: the object that is added, or as it is after the change; None if it is removed.
        scene: all that is there after the step.
        stands_in: whether something in the scene will be changed or removed again, so that the plan does not
            fit the prompt yet and need not.
    """

    action: Action
    before: OpenObject | None
    after: OpenObject | None
    scene: OpenScene
    stands_in: bool = False


def open_steps(scene: OpenScene, taxonomy: Taxonomy, rng: random.Random, edit_share: float) -> list[OpenStep]:
    """Return the steps to a scene.

    Args:
        scene: what is to be painted; of up to five objects.
        taxonomy: what stands in for something is of its classes.
        rng: of the changes.
        edit_share: share of the scenes with room for a change beyond those that make up three steps.

    Raises:
        SceneError: if the scene cannot be painted in three to five steps.
    """
    order = scene.painting_order()
    if len(order) > MOST:
        raise SceneError(f"{len(order)} objects are more than {MOST} steps add")
    plan = _Plan(scene, taxonomy, rng, [_Event("add", name) for name in order])
    fewest = max(FEWEST, len(order))
    wanted = fewest + (fewest < MOST and rng.random() < edit_share)
    while len(plan.events) < wanted:
        if not any(edit() for edit in rng.sample((plan.modify, plan.swap, plan.remove), 3)):
            break
    if not FEWEST <= len(plan.events) <= MOST:
        raise SceneError("the scene has too little to change for three steps")
    return plan.steps()


@dataclass
class _Event:
    """Adding an object, or the change that makes it what it is meant to be."""

    action: Action
    name: str


@dataclass
class _Plan:
    """The order of events, and what stands in for objects until then.

    Attributes:
        first: objects by name as they are first added, where that is not as they will be.
        extra: objects that are added and removed again.
    """

    scene: OpenScene
    taxonomy: Taxonomy
    rng: random.Random
    events: list[_Event]
    first: dict[str, OpenObject] = field(default_factory=dict)
    extra: dict[str, OpenObject] = field(default_factory=dict)

    def modify(self) -> bool:
        """Add something with another count or attribute, or without one, and change that later."""
        free = [one for one in self.scene.objects if one.name not in self.first]
        fitting = [one for one in free if one.count > 1 or one.attributes]
        if not fitting:
            return False
        one = self.rng.choice(fitting)
        kinds = [*one.attributes, *(["count"] if one.count > 1 else [])]
        kind = self.rng.choice(kinds)
        if kind == "count":
            early = replace(one, count=self.rng.randrange(1, one.count))
        else:
            others = [
                v for v in self.taxonomy.attributes(one.name).get(kind, ()) if v != one.attributes[kind]
            ]
            value = self.rng.choice([*others, ""])
            early = replace(one, attributes=_changed(one.attributes, kind, value))
        self._later("modify", one.name, early)
        return True

    def swap(self) -> bool:
        """Add another class in its place, which is replaced later."""
        free = [one for one in self.scene.objects if one.name not in self.first]
        self.rng.shuffle(free)
        for one in free:
            group = self.taxonomy[one.name].group
            if other := self._unused(group):
                self._later("swap", one.name, OpenObject(other, min(one.count, self.taxonomy[other].most)))
                return True
        return False

    def remove(self) -> bool:
        """Add something that is not in the scene, and remove it later."""
        other = self._unused()
        if other is None or len(self.events) + 2 > MOST:
            return False
        self.extra[other] = OpenObject(other)
        at = self.rng.randint(1, len(self.events))
        self.events.insert(at, _Event("add", other))
        self.events.insert(self.rng.randint(at + 1, len(self.events)), _Event("remove", other))
        return True

    def _later(self, action: Action, name: str, early: OpenObject) -> None:
        self.first[name] = early
        at = self.events.index(_Event("add", name))
        self.events.insert(self.rng.randint(at + 1, len(self.events)), _Event(action, name))

    def _unused(self, group: str | None = None) -> str | None:
        """Return a class that is nowhere in the scene, but could be there."""
        used = {*self.scene.names, *self.extra, *(one.name for one in self.first.values())}
        places = [place for place in self.taxonomy.places if place.words == self.scene.place]
        fitting = [
            one.name
            for one in self.taxonomy.classes
            if one.name not in used
            and group in (None, one.group)
            and all(self.taxonomy.can_be(one.name, place) for place in places)
        ]
        return self.rng.choice(fitting) if fitting else None

    def steps(self) -> list[OpenStep]:
        """Return the events as steps, each with the scene after it."""
        shown: dict[str, OpenObject] = {}
        steps = []
        for event in self.events:
            before = shown.get(event.name)
            if event.action == "remove":
                after = None
                del shown[event.name]
            else:
                early = self.extra.get(event.name) or self.first.get(event.name)
                final = {one.name: one for one in self.scene.objects}.get(event.name)
                after = (early or final) if event.action == "add" else final
                assert after is not None, "it is in the scene or stands in"
                shown[event.name] = after
            open_ = any(name in self.extra or shown[name] != self.scene[name] for name in shown)
            steps.append(OpenStep(event.action, before, after, self._scene(shown), open_))
        assert steps[-1].scene == self.scene, "all changes end in the scene"
        return steps

    def _scene(self, shown: dict[str, OpenObject]) -> OpenScene:
        """Return the scene of what is shown, with the relations that hold by now; what stands in takes
        part.
        """
        order = [*self.scene.names, *self.extra]
        objects = tuple(shown[name] for name in order if name in shown)
        now = {name: one.name for name, one in shown.items()}
        relations = tuple(
            OpenRelation(now[r.subject], r.name, now[r.target])
            for r in self.scene.relations
            if r.subject in now and r.target in now
        )
        return OpenScene(objects, relations, self.scene.place, self.scene.style)


def _changed(attributes: dict[str, str], kind: str, value: str) -> dict[str, str]:
    """Return the attributes with another value of one kind; without it where the value is empty."""
    return {k: (value if k == kind else v) for k, v in attributes.items() if k != kind or value}
