"""What `import rivers` offers: the public names, and no inner modules."""

from importlib.metadata import version

import rivers


def test_dir_lists_the_public_names_and_the_version_only():
    assert set(dir(rivers)) == {*rivers.__all__, "__version__"}


def test_every_listed_name_can_be_imported():
    for name in dir(rivers):
        assert getattr(rivers, name) is not None


def test_version_is_that_of_the_installed_distribution():
    assert rivers.__version__ == version("rivers")
