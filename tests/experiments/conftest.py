"""Caches of the tests' own, for every module here."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def home(at_home):
    with at_home():
        yield
