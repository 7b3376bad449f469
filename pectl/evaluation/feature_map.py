"""A map of the windows: their stage 1 features laid out in the plane by t-SNE (van der Maaten and Hinton 2008)."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pectl.core.labels.predictions import Predictions

MOST_OF_A_CLASS = 750
"""Windows drawn with PE, and as many without; more make a blot that takes minutes."""
FEWEST = 20
_COMPONENTS = 50
_PERPLEXITY = 30.0


def feature_map(predictions: Predictions, seed: int) -> pd.DataFrame | None:
    """Return rows of `predictions.window` with their place on the map, `x` and `y`, in units without meaning.

    Features are standardised and reduced to 50 principal components first. Windows of unknown label are left out.

    Returns:
        None where there are no features, or fewer than 20 windows.
    """
    window, features = predictions.window, predictions.window_features
    if window is None or features is None:
        return None
    rows = _drawn(window["label"].to_numpy(), seed)
    if rows.size < FEWEST:
        return None
    return window.iloc[rows].assign(**_laid_out(features[rows].astype(np.float64), seed))


def _laid_out(chosen: NDArray[np.float64], seed: int) -> dict[str, NDArray[np.float64]]:
    """Lay features (n, F) out in the plane."""
    # seconds of imports that an evaluation of tables, which has no features, needn't pay
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    spread = chosen.std(axis=0)
    standard = (chosen - chosen.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    components = min(_COMPONENTS, *standard.shape)
    reduced = PCA(components, svd_solver="full").fit_transform(standard)
    tsne = TSNE(perplexity=min(_PERPLEXITY, (len(chosen) - 1) / 3), init="pca", random_state=seed)
    with threadpool_limits(1):  # its short loops spend their time waiting where cores are shared: 17 times slower
        place = tsne.fit_transform(reduced)
    return {"x": place[:, 0].astype(np.float64), "y": place[:, 1].astype(np.float64)}


def _drawn(label: NDArray[np.int8], seed: int) -> NDArray[np.intp]:
    """Choose at most 750 windows of each class."""
    rng = np.random.default_rng(seed)
    classes = [np.flatnonzero(label == value) for value in (0, 1)]
    return np.sort(np.concatenate([rng.permutation(rows)[:MOST_OF_A_CLASS] for rows in classes]))
