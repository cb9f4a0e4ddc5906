"""Inputs mean something else: their embeddings are of another distribution."""

from __future__ import annotations

from typing import Any

from pipeline.monitor.found import Found, weights
from pipeline.monitor.windows import Windows
from pipeline.statistics.two_sample import dealt_p_value


def detect(windows: Windows) -> Found:
    """Compare embeddings by the maximum mean discrepancy of a Gaussian kernel, permuted.

    Gretton et al., A Kernel Two-Sample Test, JMLR 13, 2012, equation 5 (the biased estimate) and section 8 (the
    kernel's width is the median distance). The effect is the discrepancy itself, the root of its square.
    """
    import numpy as np

    texts = windows.texts
    kernel = gaussian_kernel(windows.vectors)
    joined = texts.sum_by_unit(np.ascontiguousarray(texts.sum_by_unit(kernel).T))

    def squared(deals: Any) -> Any:
        each = weights(deals, texts.sizes)
        return np.einsum("ij,ij->i", each @ joined, each).astype(np.float64)

    statistic, p_value = dealt_p_value(squared, texts.part, seed=windows.seed)
    return Found(texts.counts, statistic, p_value, float(np.sqrt(max(0.0, statistic))))


def gaussian_kernel(vectors: Any) -> Any:
    """Return the kernel of vectors of length 1, shape (items, items), float32."""
    import numpy as np

    products = vectors @ vectors.T
    inner = np.asarray(products.toarray() if hasattr(products, "toarray") else products, dtype=np.float32)
    squares = np.maximum(0.0, 2.0 - 2.0 * inner)
    apart = squares[np.triu_indices_from(squares, k=1)]
    width = float(np.median(apart)) if apart.size else 0.0
    return np.exp(-squares / max(width, 1e-6))
