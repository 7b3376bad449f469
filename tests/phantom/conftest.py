import numpy as np
import pytest

from pectl.config import PhantomConfig
from pectl.phantom.cohort import make_cohort
from pectl.phantom.study import Phantom, draw_phantom


@pytest.fixture(scope="session")
def tiny_config():
    return PhantomConfig(studies=5, matrix_px=64, slices=24, prevalence=0.6, indeterminate_fraction=0.2)


@pytest.fixture(scope="session")
def tiny_cohort(tmp_path_factory, tiny_config):
    out = tmp_path_factory.mktemp("phantom") / "cohort"
    make_cohort(out, tiny_config, seed=3)
    return out


@pytest.fixture(scope="session")
def positive_study(tiny_config) -> Phantom:
    return draw_phantom(np.random.default_rng(5), tiny_config, "positive")
