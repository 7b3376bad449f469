"""Lung masks of the package `lungmask` (U-Net R231, Hofmanninger et al. 2020), from local weights."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pectl.config import PreprocessConfig
from pectl.errors import WeightsError

_WEIGHTS_URL = "https://github.com/JoHof/lungmask/releases (unet_r231-d5d2fc3d.pth)"


def check_available(config: PreprocessConfig) -> None:
    """Check that the configured method can work.

    Raises:
        WeightsError: it is `lungmask`, and the package or its weights aren't there.
    """
    if config.lungs == "lungmask":
        load_lungmask(config.lungmask_weights)


def load_lungmask(weights: Path | None) -> Any:  # noqa: ANN401 - a class of an optional package
    """Load the model; nothing is downloaded.

    Raises:
        WeightsError: the package isn't installed, or the weights aren't there.
    """
    try:
        with warnings.catch_warnings():  # its import silences every UserWarning of the process
            import lungmask
    except ImportError as error:
        raise WeightsError(
            where="preprocess.lungs",
            expected="the package lungmask",
            found="not installed",
            fix="pip install 'pectl[lungmask]', or set preprocess.lungs = 'threshold'",
        ) from error
    if weights is None or not weights.is_file():
        raise WeightsError(
            where="preprocess.lungmask_weights",
            expected="a file with the weights of R231",
            found="none set" if weights is None else f"no file {weights}",
            fix=f"fetch it from {_WEIGHTS_URL} and set preprocess.lungmask_weights to its path",
        )
    return lungmask.LMInferer(modelname="R231", modelpath=str(weights), tqdm_disable=True)


def segment_lungs(hu: NDArray[np.int16], weights: Path | None) -> NDArray[np.uint8]:
    """Return a mask (D, H, W) of both lungs, 255 inside; `hu` is canonical, as the model expects.

    Raises:
        WeightsError: the package isn't installed, or the weights aren't there.
    """
    mask = load_lungmask(weights).apply(hu)
    return np.where(np.asarray(mask) > 0, np.uint8(255), np.uint8(0))
