"""Names of the files and columns of a cache, each in this one place."""

EMBEDDINGS = "embeddings.pt"
LABELS = "labels.pt"
TABLE = "metadata.csv"
INFO = "meta.json"
IMAGES = "images"  # where the images are looked for if no other folder is given

# The usual columns of metadata.csv, which may have more.
COLUMNS = FILE_NAME, NUMBER, WORD, PARENT = (
    "file_name",
    "ground_truth_num_label",
    "ground_truth_word_label",
    "ground_truth_L2_num_label",
)

SCORES = ("scores_centroid.csv", "scores_neighbors.csv")  # how well each sample fits its label

# Columns of the score files.
SUSPICION, SUSPECT, OUTLIER_SCORE, MARGIN, ISOLATION = "suspicion", "suspect", "outlier_score", "margin", "isolation"
SUGGESTED_NUMBER, SUGGESTED_WORD = "suggested_num_label", "suggested_word_label"
COUNTS = (
    *("near_duplicates", "near_duplicates_other_label", "near_duplicate_row"),
    *("duplicates", "duplicates_other_label"),
)
