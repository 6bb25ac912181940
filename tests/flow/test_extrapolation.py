"""Extrapolation: what is computed when, and the line in between."""

import torch

from strokewise.flow import Extrapolation, is_computed


def test_the_first_two_and_then_every_nth_are_computed():
    assert [i for i in range(10) if is_computed(i, 3)] == [0, 1, 3, 6, 9]
    assert all(is_computed(i, 1) for i in range(10))


def test_a_line_is_continued_exactly():
    line = Extrapolation(every=4)
    computed = []
    for step, time in enumerate([1.0, 0.9, 0.7, 0.4, 0.3, 0.1]):
        value = torch.tensor([2 * time, 1 - time])
        if line.is_due:
            computed.append(step)
            found = line.computed(time, value)
        else:
            found = line.at(time)
        torch.testing.assert_close(found, value)
    assert computed == [0, 1, 4]
