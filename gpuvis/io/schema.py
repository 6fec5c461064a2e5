"""The names of a cache's files and columns, each of them here alone."""

EMBEDDINGS = "embeddings.pt"
LABELS = "labels.pt"
TABLE = "metadata.csv"
INFO = "meta.json"
IMAGES = "images"  # a folder of images that is looked for by itself

# What metadata.csv usually has; more columns may be there.
COLUMNS = FILE_NAME, NUMBER, WORD, PARENT = (
    "file_name",
    "ground_truth_num_label",
    "ground_truth_word_label",
    "ground_truth_L2_num_label",
)

SCORES = ("scores_centroid.csv", "scores_neighbors.csv")  # how well each sample sits with its label

# Columns of scores.
SUSPICION, SUSPECT, OUTLIER_SCORE, MARGIN, ISOLATION = "suspicion", "suspect", "outlier_score", "margin", "isolation"
SUGGESTED_NUMBER, SUGGESTED_WORD = "suggested_num_label", "suggested_word_label"
COUNTS = (
    *("near_duplicates", "near_duplicates_other_label", "near_duplicate_row"),
    *("duplicates", "duplicates_other_label"),
)
