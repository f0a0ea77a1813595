"""Every module here has the session's own caches."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def home(at_home):
    with at_home():
        yield
