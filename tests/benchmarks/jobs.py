"""What is measured, at which size, and what is to be reached: the bars."""

from dataclasses import dataclass, field
from math import inf

from data import Shape

MNIST = "mnist"
DIGITS = "digits"
STUDY = Shape(1400, 1152)  # a typical folder; a study is many of them, with other seeds
LARGE = Shape(300_000, 512)
HUGE = Shape(1_000_000, 512, dtype="float16")


@dataclass(frozen=True)
class Bar:
    """What a job has to reach against the plain pipeline; or, where that is hopeless, against a smaller job of ours."""

    faster: float = 0  # times
    share: float = inf  # of its peak memory
    peak: float = inf  # bytes
    slower: float = inf  # times than the smaller job
    seconds: float = inf

    def told(self) -> str:
        """Return it in words."""
        parts = (
            (self.faster > 0, f"{self.faster:g}× faster"),
            (self.share < inf, f"≤ {self.share:g}× its peak"),
            (self.seconds < inf, f"< {self.seconds:g} s"),
            (self.peak < inf, f"peak ≤ {self.peak / 1e9:g} GB"),
            (self.slower < inf, f"≤ {self.slower:g}× the time of the smaller job"),
        )
        return ", ".join(words for there, words in parts if there) or "–"


@dataclass(frozen=True)
class Job:
    """One row of the table."""

    name: str
    told: str
    method: str
    data: Shape | str
    pca_dim: int = 0
    folders: int = 1
    floor: Bar = field(default_factory=Bar)
    aim: Bar = field(default_factory=Bar)
    smaller: str = ""  # the job of ours it is held against; empty: the plain pipeline


JOBS = [
    Job("tsne-digits", "t-SNE, digits 1,797 × 64", "tsne", DIGITS),
    Job("umap-folder", "UMAP, one folder of 1,400 × 1152", "umap", STUDY, 0, 1, Bar(2.5), Bar(4)),
    Job("tsne-folder", "t-SNE, one folder of 1,400 × 1152", "tsne", STUDY, 0, 1, Bar(1.5), Bar(2.5)),
    Job("umap-study", "UMAP, 24 such folders: one command, 24 plain runs", "umap", STUDY, 0, 24, Bar(15), Bar(25)),
    Job("umap-mnist", "UMAP, MNIST 70,000 × 784, `--pca_dim 50`", "umap", MNIST, 50, 1, Bar(5), Bar(10)),
    Job("tsne-mnist", "t-SNE, MNIST 70,000 × 784, `--pca_dim 50`", "tsne", MNIST, 50, 1, Bar(4.5), Bar(8)),
    Job(
        *("umap-300k", "UMAP, 300,000 × 512, `--pca_dim 50`", "umap", LARGE, 50, 1),
        *(Bar(3.5, share=0.5), Bar(8, share=0.3)),
    ),
    Job(
        *("umap-1m", "UMAP, 1,000,000 × 512 float16, `--pca_dim 50`", "umap", HUGE, 50, 1),
        *(Bar(peak=4e9, slower=4.5), Bar(peak=3e9, seconds=300), "umap-300k"),
    ),
]

# How often each job is run at each size, with the seeds 1, 2, …; those that are not named are not run.
SIZES = {
    "quick": dict.fromkeys(("tsne-digits", "umap-folder", "tsne-folder"), 1),  # under two minutes
    "standard": {
        **dict.fromkeys(("tsne-digits", "umap-folder", "tsne-folder"), 3),
        **dict.fromkeys(("umap-study", "umap-mnist", "tsne-mnist"), 1),
    },
    "full": {job.name: 3 for job in JOBS},
}


def warm_up(job: Job) -> Shape:
    """Return data, of a seed of its own, on which the plain pipeline compiles all that it needs for a job."""
    few = job.data == DIGITS or (isinstance(job.data, Shape) and job.data.rows < 10_000)
    if few or job.method == "tsne":  # scikit-learn's t-SNE compiles nothing
        return Shape(1400, 1152, seed=1000)
    return Shape(20_000, 512, seed=1000)
