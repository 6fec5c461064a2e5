"""The double of cuVS: parameters and metrics."""

from __future__ import annotations

from typing import Any

from rapids_double.device import device
from rapids_double.errors import CuvsException
from rapids_double.signatures import as_recorded

DISTANCE_TYPES = {
    "l2": "L2SqrtExpanded",
    "sqeuclidean": "L2Expanded",
    "euclidean": "L2SqrtExpanded",
    "l1": "L1",
    "cityblock": "L1",
    "inner_product": "InnerProduct",
    "chebyshev": "Linf",
    "canberra": "Canberra",
    "cosine": "CosineExpanded",
    "lp": "LpUnexpanded",
    "correlation": "CorrelationExpanded",
    "jaccard": "JaccardExpanded",
    "hellinger": "HellingerExpanded",
    "braycurtis": "BrayCurtis",
    "jensenshannon": "JensenShannon",
    "hamming": "HammingUnexpanded",
    "kl_divergence": "KLDivergence",
    "minkowski": "LpUnexpanded",
    "russellrao": "RusselRaoExpanded",
    "dice": "DiceExpanded",
    "bitwise_hamming": "BitwiseHamming",
}
SKLEARN = {
    "L2SqrtExpanded": "euclidean",
    "L2Expanded": "sqeuclidean",
    "L1": "cityblock",
    "Linf": "chebyshev",
    "Canberra": "canberra",
    "CosineExpanded": "cosine",
    "CorrelationExpanded": "correlation",
}
BRUTE_FORCE = (*SKLEARN, "InnerProduct", "LpUnexpanded", "JensenShannon", "L2Unexpanded", "L2SqrtUnexpanded")
NN_DESCENT = ("L2Expanded", "L2SqrtExpanded", "CosineExpanded", "InnerProduct")
ALGORITHMS = ("brute_force", "ivf_pq", "nn_descent")


class Resources:
    """A stand-in for cuvs.common.Resources."""

    @as_recorded("cuvs.common.Resources")
    def __init__(self, stream: Any = None) -> None:
        device.require()

    @as_recorded("cuvs.common.Resources.sync")
    def sync(self) -> None:
        device.require()


class IndexParams:
    """A stand-in for cuvs.neighbors.nn_descent.IndexParams."""

    @as_recorded("cuvs.neighbors.nn_descent.IndexParams")
    def __init__(
        self,
        *,
        metric: str | None = None,
        metric_arg: Any = None,
        graph_degree: int | None = None,
        intermediate_graph_degree: int | None = None,
        max_iterations: int | None = None,
        termination_threshold: float | None = None,
        return_distances: bool | None = None,
        dist_comp_dtype: str = "auto",
    ) -> None:
        if dist_comp_dtype not in ("auto", "fp32", "fp16"):
            raise ValueError(
                f"Invalid dist_comp_dtype: {dist_comp_dtype}. Supported options are 'auto', 'fp32', and 'fp16'."
            )
        self._metric_type = DISTANCE_TYPES[metric or "sqeuclidean"]
        self.metric = next(name for name in reversed(DISTANCE_TYPES) if DISTANCE_TYPES[name] == self._metric_type)
        self.graph_degree = 64 if graph_degree is None else graph_degree
        self.intermediate_graph_degree = 96 if intermediate_graph_degree is None else intermediate_graph_degree
        self.max_iterations = 20 if max_iterations is None else max_iterations
        self.termination_threshold = 1e-4 if termination_threshold is None else termination_threshold


class AllNeighborsParams:
    """A stand-in for cuvs.neighbors.all_neighbors.AllNeighborsParams."""

    @as_recorded("cuvs.neighbors.all_neighbors.AllNeighborsParams")
    def __init__(
        self,
        *,
        algo: str = "nn_descent",
        overlap_factor: int = 2,
        n_clusters: int = 1,
        metric: str = "sqeuclidean",
        ivf_pq_params: Any = None,
        nn_descent_params: IndexParams | None = None,
    ) -> None:
        if not isinstance(algo, str) or algo not in ALGORITHMS:
            raise ValueError(f"Invalid algo: {algo}")
        if ivf_pq_params is not None or algo == "ivf_pq":
            raise NotImplementedError("the double builds no IVF-PQ graph")
        self.algo, self.overlap_factor, self.n_clusters = algo, overlap_factor, n_clusters
        self._metric_type = DISTANCE_TYPES[metric]
        self.metric = next(name for name in DISTANCE_TYPES if DISTANCE_TYPES[name] == self._metric_type)
        if nn_descent_params is not None:
            if not isinstance(nn_descent_params, IndexParams):
                raise TypeError("nn_descent_params must be an instance of cuvs.neighbors.nn_descent.IndexParams")
            if nn_descent_params._metric_type != self._metric_type:
                raise ValueError(
                    f"Metric conflict: AllNeighborsParams metric '{metric}' does not match NN-Descent metric "
                    f"'{nn_descent_params.metric}'. Please ensure both use the same metric."
                )
        self.nn_descent_params = nn_descent_params


def check(params: AllNeighborsParams) -> None:
    """Raise what cuVS raises of a metric that the algorithm does not know, or of its clusters."""
    if params.algo == "brute_force" and params._metric_type not in BRUTE_FORCE:
        raise CuvsException(
            "Distance metric for all-neighbors build with brute force should be L2Expanded, L2SqrtExpanded, "
            "CosineExpanded, L1, L2Unexpanded, L2SqrtUnexpanded, InnerProduct, Linf, Canberra, LpUnexpanded, "
            "CorrelationExpanded, or JensenShannon."
        )
    if params.algo == "nn_descent" and params._metric_type not in NN_DESCENT:
        raise CuvsException(
            "Distance metric for all-neighbors build with NN Descent should be L2Expanded, L2SqrtExpanded, "
            "CosineExpanded, or InnerProduct."
        )
    if params._metric_type not in SKLEARN:
        raise NotImplementedError(f"the double does not compute {params.metric}")
    if params.n_clusters > 1 and params.overlap_factor >= params.n_clusters:
        raise CuvsException(
            "overlap_factor should be smaller than n_clusters. We recommend starting from overlap_factor=2 and "
            "gradually increase it for better knn graph recall."
        )
