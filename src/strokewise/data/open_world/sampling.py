"""Open-world scenes at random, of a given complexity, and plausible as far as the taxonomy knows.

As in Generate Any Scene (arXiv 2412.08221) the structure is sampled first and filled from the taxonomy;
unlike there, values must go together. This file knows chances. It refuses to know how a scene is worded
and painted.
"""

import random
from dataclasses import dataclass, replace

from strokewise.data.open_world.scene import OpenObject, OpenRelation, OpenScene
from strokewise.data.open_world.taxonomy import SPATIAL, ObjectClass, RelationKind, Taxonomy
from strokewise.errors import ConfigError, SceneError

GENEVAL_STYLE = "a photo of"
GENEVAL_RELATIONS = ("left of", "right of", "above", "below")
TRIES = 500
COUNT_SHARE = 0.35  # of the facts beyond objects and relations, where a count can still rise
# Of scenes that begin with a relation that few classes can have, such as riding; few draws fit one.
SPECIAL_SHARE = 0.6


@dataclass(frozen=True)
class OpenMix:
    """How scenes are sampled.

    Attributes:
        objects: weight of 1, 2, … objects.
        complexity: smallest and largest sum of objects, attributes, counts above one and relations.
        geneval_share: share of scenes that are made like GenEval's prompts: photos without a place, with
            colors, counts and four positions alone.
        plain_style_share: share of the other scenes that are photos and not of another style.
    """

    objects: tuple[float, ...] = (0.1, 0.3, 0.4, 0.15, 0.05)
    complexity: tuple[int, int] = (4, 11)
    geneval_share: float = 0.3
    plain_style_share: float = 0.7

    def __post_init__(self) -> None:
        """Refuse what cannot be sampled."""
        low, high = self.complexity
        if not 1 <= low <= high:
            raise ConfigError(f"complexity is {low} to {high}; it must be at least 1, and not fall")
        if not self.objects or len(self.objects) > 5 or min(self.objects) < 0 or not sum(self.objects):
            raise ConfigError("objects must be up to five weights, one of them above zero")


def sample_open_scene(rng: random.Random, taxonomy: Taxonomy, mix: OpenMix) -> OpenScene:
    """Return a random scene of a random complexity.

    Raises:
        ConfigError: if the taxonomy makes no scene of the complexity that is wanted.
    """
    for _ in range(TRIES):
        number = rng.choices(range(1, len(mix.objects) + 1), mix.objects)[0]
        target = rng.randint(*mix.complexity)
        geneval = rng.random() < mix.geneval_share
        try:
            return _filled(rng, taxonomy, number, target, geneval, mix)
        except SceneError:
            continue  # the classes that were drawn do not go together, or have no more to state
    low, high = mix.complexity
    raise ConfigError(f"the taxonomy makes no scene of complexity {low} to {high}; give another")


def _filled(
    rng: random.Random, taxonomy: Taxonomy, number: int, target: int, geneval: bool, mix: OpenMix
) -> OpenScene:
    if number > target:
        raise SceneError("more objects than facts")
    relations: list[OpenRelation] = []
    if number > 1 and target > number and not geneval and rng.random() < SPECIAL_SHARE:
        relations = _special(rng, taxonomy)
    begun = [taxonomy[name] for r in relations for name in (r.target, r.subject)]
    classes = _classes(rng, taxonomy, number, begun, any_setting=geneval)
    relations += _relations(rng, taxonomy, classes, target - number - len(relations), len(begun), geneval)
    objects = _with_facts(rng, taxonomy, classes, relations, target - number - len(relations), geneval)
    place, style = "", GENEVAL_STYLE
    if not geneval:
        places = taxonomy.places_of(tuple(one.name for one in classes))
        if not places:
            raise SceneError("no place suits these classes")
        place = rng.choice(places).words
        if rng.random() >= mix.plain_style_share:
            style = rng.choice(taxonomy.styles)
    scene = OpenScene(tuple(objects), tuple(relations), place, style)
    scene.validate()
    return scene


def _special(rng: random.Random, taxonomy: Taxonomy) -> list[OpenRelation]:
    """Return a relation that few classes can have, between two that occur together; none if there is none."""
    kinds = [kind for kind in taxonomy.relations if kind.subject or kind.target]
    if not kinds:
        return []
    kind = rng.choice(kinds)
    subject = rng.choice(taxonomy.among(kind.subject))
    target = rng.choice(taxonomy.among(kind.target))
    if subject == target or not taxonomy.together(subject, target):
        raise SceneError("they do not occur together")
    return [OpenRelation(subject, kind.name, target)]


def _classes(
    rng: random.Random, taxonomy: Taxonomy, number: int, begun: list[ObjectClass], any_setting: bool
) -> list[ObjectClass]:
    """Return different classes that occur together, the first ones given; GenEval combines any."""
    chosen = list(begun)
    for _ in range(TRIES):
        if len(chosen) == number:
            return chosen
        one = rng.choice(taxonomy.classes)
        if one not in chosen and (any_setting or all(taxonomy.together(one.name, c.name) for c in chosen)):
            chosen.append(one)
    raise SceneError("too few classes occur together")


def _relations(
    rng: random.Random,
    taxonomy: Taxonomy,
    classes: list[ObjectClass],
    room: int,
    related: int,
    geneval: bool,
) -> list[OpenRelation]:
    """Return relations: each object but the first is related to an earlier one, as far as there is room and
    it makes sense.

    The first ``related`` objects are related already.
    """
    found: list[OpenRelation] = []
    for i in range(max(1, related), len(classes)):
        if len(found) >= room or rng.random() < 0.25:
            continue
        earlier = rng.choice(classes[:i])
        pairs = [(classes[i].name, earlier.name), (earlier.name, classes[i].name)]
        rng.shuffle(pairs)
        for subject, target in pairs:
            if kinds := _possible(taxonomy, subject, target, geneval):
                found.append(OpenRelation(subject, _drawn(rng, kinds).name, target))
                break
    return found


def _possible(taxonomy: Taxonomy, subject: str, target: str, geneval: bool) -> list[RelationKind]:
    return [
        kind
        for kind in taxonomy.relations
        if (not geneval or kind.name in GENEVAL_RELATIONS) and taxonomy.fits(kind, subject, target)
    ]


def _drawn(rng: random.Random, kinds: list[RelationKind]) -> RelationKind:
    """Return one of them; what few classes can do comes as often as what all can, or it would be rare."""
    special = [kind for kind in kinds if kind.subject or kind.target]
    general = [kind for kind in kinds if not kind.subject and not kind.target]
    return rng.choice(special if special and (not general or rng.random() < 0.5) else general)


def _with_facts(
    rng: random.Random,
    taxonomy: Taxonomy,
    classes: list[ObjectClass],
    relations: list[OpenRelation],
    number: int,
    geneval: bool,
) -> list[OpenObject]:
    """Return the objects with so many counts and attributes in all.

    Relations other than spatial ones hold between one thing and one other; who does something is in no
    other state.
    """
    spatial = {kind.name for kind in taxonomy.relations if kind.kind == SPATIAL}
    acting = {name for r in relations if r.name not in spatial for name in (r.subject, r.target)}
    doing = {r.subject for r in relations if r.name not in spatial}
    objects = {one.name: OpenObject(one.name) for one in classes}
    for _ in range(number):
        counts = [c for c in classes if c.most > 1 and objects[c.name].count == 1 and c.name not in acting]
        kinds = [
            (one, kind)
            for one in objects.values()
            for kind in taxonomy.attributes(one.name)
            if kind not in one.attributes
            and (not geneval or kind == "color")
            and not (kind == "state" and one.name in doing)
        ]
        if counts and (not kinds or rng.random() < COUNT_SHARE):
            chosen = rng.choice(counts)
            count = rng.randint(2, chosen.most)
            objects[chosen.name] = replace(objects[chosen.name], count=count)
        elif kinds:
            one, kind = rng.choice(kinds)
            value = rng.choice(taxonomy.attributes(one.name)[kind])
            objects[one.name] = replace(one, attributes=_ordered(taxonomy, {**one.attributes, kind: value}))
        else:
            raise SceneError("there is nothing more to state")
    return list(objects.values())


def _ordered(taxonomy: Taxonomy, attributes: dict[str, str]) -> dict[str, str]:
    return {kind: attributes[kind] for kind in taxonomy.attribute_order if kind in attributes}
