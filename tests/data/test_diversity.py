"""How differently texts are worded."""

import pytest

from strokewise.data.diversity import FIRST, Diversity


def figures(*texts):
    found = Diversity()
    found.add(texts)
    return found


def test_figures_of_a_few_texts():
    found = figures("Add a cat.", "add a Cat", "Paint a dog.")
    assert found.different == pytest.approx(2 / 3)  # case and marks are no wording
    assert found.beginnings == 2
    assert found.distinct(1) == pytest.approx(5 / 9)
    assert found.distinct(2) == pytest.approx(4 / 6)
    assert list(found.rows()) == [
        ("instructions, different among 3", "66.7%"),
        ("  their different first words", "2"),
        ("  distinct-1, distinct-2", "0.556, 0.667"),
    ]


def test_more_texts_than_are_compared_change_nothing():
    texts = [f"add thing {number}" for number in range(FIRST)]
    whole = figures(*texts)
    whole.add(["something else"])
    assert list(whole.rows()) == list(figures(*texts).rows())


def test_texts_of_one_word_have_no_pairs():
    assert figures("add").distinct(2) == 0
    assert list(Diversity().rows()) == []
