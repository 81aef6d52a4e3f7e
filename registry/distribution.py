"""How the values of an input or output are distributed: counts that were frozen at publish.

Live values are counted in the same places, so the counts of any sets of rows simply add. Texts that
were seen fewer than `LEAST_COUNT` times could point at one person: they are counted by the bucket
that their digest falls into, and not kept. Frozen values; unknown fields are refused.
"""

from msgspec import Struct

# A text seen less often could point at one person, so it is counted but not kept.
LEAST_COUNT = 20
BUCKETS = 64


class Numeric(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="numeric"):
    """Distribution of numbers: moments, and counts of the bins between frozen quantile edges.

    Bin i holds the values v with edges[i-1] < v <= edges[i]; the outer bins are open. A number that
    fills a bin of its own is one of `spikes`: the edge below it is the next smaller number.
    """

    minimum: float
    maximum: float
    mean: float
    std: float
    edges: tuple[float, ...]
    bin_counts: tuple[int, ...]
    spikes: tuple[float, ...] = ()
    is_integer: bool = False


class Discrete(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="discrete"):
    """Distribution of whole numbers with few values, ascending; booleans are 0 and 1."""

    values: tuple[int, ...]
    counts: tuple[int, ...]


class Categorical(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="categorical"):
    """Distribution of texts: each value kept with its count, and the count of all others.

    `buckets` has how many of the others fall into each of `BUCKETS` by digest; it is empty where
    there are none.
    """

    values: tuple[str, ...]
    counts: tuple[int, ...]
    other: int
    buckets: tuple[int, ...] = ()


class HighCardinality(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="high-cardinality"
):
    """Distribution of texts with too many values to keep: the most frequent, and buckets of all.

    `bloom` is a filter of all values of training, in base64, of which `hashes` bits a value are set
    (see `text_digest`): a value that is not in it was never seen. It is empty, and `hashes` 0,
    where values are new as a rule. Of `count` values, `unseen` may be expected not to be in it.
    """

    distinct: int
    values: tuple[str, ...]
    counts: tuple[int, ...]
    buckets: tuple[int, ...]
    bloom: str
    hashes: int
    unseen: int = 0


class FreeText(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="text"):
    """Distribution of texts of many words: their lengths, their letters, their words.

    Lengths in characters are counted as in Numeric, `non_ascii` are the texts with a letter beyond
    ASCII. Of the words, lower-case runs of letters and digits, `words` were counted and `buckets`
    has how many fall into each. `bloom` and `hashes` are as in HighCardinality, over the words of
    `LEAST_COUNT` texts or more; `unseen` of the words counted are not in it.
    """

    length_edges: tuple[float, ...]
    length_counts: tuple[int, ...]
    non_ascii: int
    words: int
    buckets: tuple[int, ...]
    bloom: str
    hashes: int
    unseen: int = 0


class Embedding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="embedding"):
    """Distribution of long vectors, by their lengths and their signs along random directions.

    The vectors are [n, k]; one with a missing element is missing. Direction j is a unit vector
    drawn from `seed`; `thresholds[j]` is the median of the training rows along it and `above[j]`
    counts the rows beyond that. `norm_edges` and `norm_counts` are of Euclidean lengths, as in
    Numeric.
    """

    columns: int
    seed: int
    thresholds: tuple[float, ...]
    above: tuple[int, ...]
    norm_edges: tuple[float, ...]
    norm_counts: tuple[int, ...]


Distribution = Numeric | Discrete | Categorical | HighCardinality | FreeText | Embedding


class Feature(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The reference of one input, or of one column of its last dimension; or of an output.

    `input` is the tensor's name, an output's too. `count` are the values present and `missing`
    those absent. `distribution` is None where no value was present.
    """

    input: str
    count: int
    missing: int
    distribution: Distribution | None
    column: int | None = None


class Joint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far rows lie from the middle of all: squared Mahalanobis distances over the numbers.

    `features` are indexes into the reference's features, all Numeric or Discrete, in the order of
    `mean`. `whitening` has the rows of the lower triangle of L with L'L = the inverse covariance,
    flat, so that the squared distance of x is |L(x - mean)|^2. Missing values count as the mean.
    `edges` are the quantiles .5, .9, .99, .999 and .9999 of the training rows' squared distances,
    each from the middle of all other rows, as a new row is; `bin_counts` as in Numeric.
    """

    features: tuple[int, ...]
    mean: tuple[float, ...]
    whitening: tuple[float, ...]
    edges: tuple[float, ...]
    bin_counts: tuple[int, ...]


class Reference(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The distribution of each input on the training side, and of each output on held-out rows."""

    rows: int
    features: tuple[Feature, ...]
    joint: Joint | None = None
    output_rows: int = 0
    outputs: tuple[Feature, ...] = ()
