"""Public names: what a package promises is there, sorted, and documented."""

import importlib
import inspect
import subprocess
import sys

import pytest

PACKAGES = [
    "strokewise",
    "strokewise.flow",
    "strokewise.sequence",
    "strokewise.models",
    "strokewise.models.bagel",
    "strokewise.inference",
]


def order(name):
    """Constants, then classes, then the rest, each by name and case-sensitively."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("name", PACKAGES)
def test_all_is_sorted_and_complete(name):
    package = importlib.import_module(name)
    assert package.__all__ == sorted(package.__all__, key=order)
    assert len(package.__all__) == len(set(package.__all__))
    for public in package.__all__:
        assert getattr(package, public) is not None


@pytest.mark.parametrize("name", PACKAGES[1:])
def test_nothing_public_is_left_out_of_all(name):
    """What the package's own file imports from its modules is what it offers."""
    package = importlib.import_module(name)
    offered = {
        key for key, value in vars(package).items() if not key.startswith("_") and not inspect.ismodule(value)
    }
    assert offered == set(package.__all__)


@pytest.mark.parametrize("name", PACKAGES)
def test_packages_and_their_public_classes_and_functions_are_documented(name):
    package = importlib.import_module(name)
    assert package.__doc__
    for public in package.__all__:
        value = getattr(package, public)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, public


def test_the_version_is_the_distributions():
    from importlib.metadata import version

    import strokewise

    assert strokewise.__version__ == version("strokewise")


def test_importing_the_package_is_light():
    code = "import sys, strokewise; print(sorted({'torch', 'PIL', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_package_is_typed():
    from importlib.resources import files

    assert (files("strokewise") / "py.typed").is_file()
