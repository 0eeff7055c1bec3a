"""ColumnEncoder: mixed columns with gaps as numbers, for any estimator."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.base import TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.utils.validation import check_is_fitted

from skinfluence._base import Estimator
from skinfluence._data.rows import described
from skinfluence.columns._readers import (
    READERS,
    Cells,
    Reader,
    cells_of,
    frame_of,
    raw_cells,
    reason_to_leave_out,
)
from skinfluence.columns._texts import FrequentValues, Images, Texts

MAX_ONE_HOT = 32  # inputs of one column, so that it does not outweigh the others

Typed = dict[str, np.ndarray]  # name of a column, or of its part -> numbers or strings per row

_GROUPS = {"date": "number", "point": "number"}  # kinds that are encoded like another kind

OVERRIDES = ("number", "category", "date", "text", "image", "ignore")


class ColumnEncoder(TransformerMixin, Estimator):
    """Turn a table of mixed columns with gaps into numbers.

    What a column holds is found out from its values:

    - **number**: at least 95% of the cells are numbers. They may be texts with decimal commas,
      grouped thousands, a currency, a percent sign or a unit: "1.029,79 €", "45%", "5 kg". Other
      cells count as missing, see `notes_`.
    - **date**: read by skrub, in any format; encoded as the time since 1970, year, month, day,
      hour and weekday.
    - **point**: pairs of numbers, such as "(40.7, -73.9)".
    - **category**: at most 40 distinct values; one input per value that is not rare.
    - **text**: everything else, such as names and reviews. Similar texts get similar numbers, and
      each of at most 32 frequent values has an input as well.

    Only columns from which nothing can be learned are left out: empty and constant columns, row
    numbers, and keys such as "ID0017" or hashes; see `left_out_`. Numbers are standardized. Missing
    numbers become the median, and an input says that they were missing.

    Parameters
    ----------
    number, category, date, text, image : sequence of str, default=()
        Names of columns whose kind is known. They are not left out. A column of images holds
        paths, see `image_encoder`.
    ignore : sequence of str or dict of str to str, default=()
        Names of columns to leave out; a dict also says why, for `left_out_`.
    text_encoder : transformer or None, default=None
        Turns a column of strings into numbers, such as
        :class:`~skinfluence.text.TextEmbedder`; used for columns of sentences, of more than three
        words on average. In any case, texts are encoded by ``skrub.StringEncoder``: the frequent
        sequences of characters, reduced to `n_text_components` numbers.
    image_encoder : transformer or None, default=None
        Turns a column of images into numbers. None means
        :class:`~skinfluence.images.ImageEmbedder` with its default network.
    n_text_components : int or None, default=None
        Numbers per text from ``skrub.StringEncoder``. None means 100 for sentences, and 15 for
        shorter texts, such as names.
    random_state : int or None, default=0
        Seed of ``skrub.StringEncoder``.

    Attributes
    ----------
    kinds_ : dict of str to str
        Name of each column that is used -> what it holds.
    left_out_ : dict of str to str
        Name of each column that is left out -> the reason.
    notes_ : list of str
        What the user should know about how columns were read.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (`n_features_in_`,)

    Examples
    --------
    >>> import pandas as pd
    >>> from skinfluence.columns import ColumnEncoder
    >>> X = pd.DataFrame({"id": ["A-1", "A-2", "A-3", "A-4"],
    ...                   "price": ["$1,200", "$900.50", None, "$30"],
    ...                   "color": ["red", "blue", "red", "blue"]})
    >>> encoder = ColumnEncoder().fit(X)
    >>> encoder.kinds_, encoder.left_out_
    ({'price': 'number', 'color': 'category'}, {'id': 'a key'})
    >>> encoder.get_feature_names_out().tolist()
    ['price', 'price is missing', 'color_red']
    """

    _last_fitted_attribute = "transformer_"

    def __init__(
        self,
        *,
        number: Sequence[str] = (),
        category: Sequence[str] = (),
        date: Sequence[str] = (),
        text: Sequence[str] = (),
        image: Sequence[str] = (),
        ignore: Sequence[str] | Mapping[str, str] = (),
        text_encoder: Any = None,
        image_encoder: Any = None,
        n_text_components: int | None = None,
        random_state: int | None = 0,
    ) -> None:
        self.number = number
        self.category = category
        self.date = date
        self.text = text
        self.image = image
        self.ignore = ignore
        self.text_encoder = text_encoder
        self.image_encoder = image_encoder
        self.n_text_components = n_text_components
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Any:
        """Find out what the columns hold, and learn scales, categories and texts.

        Parameters
        ----------
        X : DataFrame of pandas or polars, of shape (n_samples, n_features)
            Or a dict of columns by name, or a two-dimensional array, whose columns are called x0,
            x1, ...
        y : Ignored
            Present for the API of scikit-learn.

        Returns
        -------
        self : ColumnEncoder

        Raises
        ------
        ValueError
            If no column can be used, if a name is unknown, or if a column does not hold what its
            parameter says.
        ImportError
            If there are dates or texts, and skrub is not installed.
        """
        self.fit_transform(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Fit to X and transform it; see `fit` and `transform`."""
        return fit_and_read(self, X)[1]

    def _fit_readers(self, X: Any) -> tuple[Typed, dict[str, list[str]]]:
        """Find out what the columns hold; return the typed columns, and their names by kind."""
        columns = columns_of(X)
        kinds = self._known_kinds(list(columns))
        self.feature_names_in_ = np.array(list(columns), dtype=object)
        self.n_features_in_ = len(columns)
        self.readers_: dict[str, Reader] = {}
        self.left_out_: dict[str, str] = {}
        self.notes_: list[str] = []
        typed: Typed = {}
        groups: dict[str, list[str]] = {}
        for name, column in columns.items():
            kind = kinds.get(name)
            cells = raw_cells(column) if kind == "image" else cells_of(column)
            reason = reason_to_leave_out(name, cells) if kind is None else None
            if kind == "ignore" or reason:
                why = self.ignore[name] if isinstance(self.ignore, Mapping) else "as asked"
                self.left_out_[name] = reason or why
                continue
            reader = self.readers_[name] = _reader(name, cells, kind)
            new = _typed(name, reader, cells)
            groups.setdefault(_GROUPS.get(reader.kind, reader.kind), []).extend(new)
            typed |= new
        if not typed:
            words = "; ".join(f"{name}: {reason}" for name, reason in self.left_out_.items())
            raise ValueError(f"no column can be used ({words}).")
        self.kinds_ = {name: reader.kind for name, reader in self.readers_.items()}
        self.notes_ = [f"{n}: {r.note}" for n, r in self.readers_.items() if r.note]
        return typed, groups

    def transform(self, X: Any) -> np.ndarray:
        """Turn rows into numbers.

        Parameters
        ----------
        X : like X in `fit`
            The columns that are used, in any order.

        Returns
        -------
        rows : ndarray of shape (n_samples, n_outputs), float32
        """
        check_is_fitted(self)
        return read_and_encode(self, X)[1]

    def _read(self, X: Any) -> Typed:
        """The typed columns of rows, by the fitted readers."""
        columns = columns_of(X)
        absent = [name for name in self.readers_ if name not in columns]
        if absent:
            raise ValueError(
                f"X lacks columns that were there in fit: {', '.join(map(repr, absent[:10]))}."
            )
        typed: Typed = {}
        for name, reader in self.readers_.items():
            cells = raw_cells if reader.kind == "image" else cells_of
            typed |= _typed(name, reader, cells(columns[name]))
        return typed

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name of each column of the output.

        Parameters
        ----------
        input_features : Ignored
            Present for the API of scikit-learn.

        Returns
        -------
        names : ndarray of str
        """
        check_is_fitted(self)
        names = (_plain(name) for name in self.transformer_.get_feature_names_out())
        return np.array(_different(names), dtype=object)

    def _known_kinds(self, names: list[str]) -> dict[str, str]:
        """Column -> its kind, as the parameters say."""
        kinds: dict[str, str] = {}
        for kind in OVERRIDES:
            chosen = getattr(self, kind)
            for name in [chosen] if isinstance(chosen, str) else chosen:
                if name not in names:
                    shown = ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")
                    raise ValueError(f"{kind}={name!r} is not a column; the columns are {shown}.")
                if name in kinds:
                    raise ValueError(f"column {name!r} is in {kinds[name]} and in {kind}.")
                kinds[name] = kind
        return kinds

    def _transformer(self, groups: dict[str, list[str]], n_rows: int) -> ColumnTransformer:
        """Parts of libraries that encode each group of typed columns; not yet fitted."""
        parts: list[tuple[str, Any, Any]] = []
        if "number" in groups:
            parts.append(("number", _number_steps(), groups["number"]))
        if "category" in groups:
            parts.append(("category", _category_steps(n_rows), groups["category"]))
        texts = Texts(self.text_encoder, self.n_text_components, self.random_state)
        for name in groups.get("text", ()):
            parts.append((f"text {name}", texts, name))
            parts.append((f"frequent {name}", FrequentValues(), name))
        images = Images(self.image_encoder)
        parts += [(f"image {name}", images, name) for name in groups.get("image", ())]
        return ColumnTransformer(parts, sparse_threshold=0, verbose_feature_names_out=True)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


def fit_and_read(encoder: ColumnEncoder, X: Any) -> tuple[Typed, np.ndarray]:
    """Fit an encoder; return the typed columns, by their names, and the rows as numbers."""
    encoder._forget_fit()
    typed, groups = encoder._fit_readers(X)
    transformer = encoder._transformer(groups, len(next(iter(typed.values()))))
    rows = _as_rows(transformer.fit_transform(frame_of(typed)))
    encoder.transformer_ = transformer
    return typed, rows


def read_and_encode(encoder: ColumnEncoder, X: Any) -> tuple[Typed, np.ndarray]:
    """Return the typed columns and the numbers of rows, by a fitted encoder."""
    typed = encoder._read(X)
    with warnings.catch_warnings():
        # An unknown category is encoded like rare ones, which is what a user expects.
        warnings.filterwarnings("ignore", message="Found unknown categories")
        return typed, _as_rows(encoder.transformer_.transform(frame_of(typed)))


def _as_rows(encoded: Any) -> np.ndarray:
    return np.ascontiguousarray(encoded, dtype=np.float32)


def columns_of(X: Any) -> Mapping[str, Any]:
    """Name -> column of a frame; refuses what is not a table, and names that occur twice."""
    if isinstance(X, Mapping):
        return X
    if issparse(X) or not hasattr(X, "columns"):
        array = None if issparse(X) else np.asarray(X)
        if array is None or array.ndim != 2:
            raise TypeError(
                f"X is of {described(X)}; expected a DataFrame of pandas or polars, or an array "
                "with two dimensions."
            )
        X = pd.DataFrame(array, columns=[f"x{i}" for i in range(array.shape[1])])
        X = X.infer_objects()
    names = [str(name) for name in X.columns]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"columns of the same name: {twice[:5]}; give each column its own name.")
    if not len(X):
        raise ValueError("X has 0 sample(s); at least one row is needed.")
    if hasattr(X, "to_dict") and hasattr(X, "iloc"):
        return {name: X.iloc[:, i] for i, name in enumerate(names)}
    return {name: _as_series(X[given]) for name, given in zip(names, X.columns, strict=True)}


def find_left_out(X: Any) -> dict[str, str]:
    """Name of each column of a frame from which nothing can be learned -> the reason."""
    reasons = {n: reason_to_leave_out(n, cells_of(column)) for n, column in columns_of(X).items()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _as_series(column: Any) -> pd.Series:
    """A column of polars as a Series of pandas, without pyarrow."""
    return pd.Series(column.to_list()).infer_objects()


def _reader(name: str, cells: Cells, kind: str | None) -> Reader:
    if kind is not None:
        reader = READERS[kind](cells, always=True)
        if reader is None:
            raise ValueError(f"{kind}={name!r}: the column does not hold values of this kind.")
        return reader
    found: Iterable[Reader | None] = (find(cells) for find in READERS.values())
    return next(reader for reader in found if reader is not None)


def _typed(name: str, reader: Reader, cells: Cells) -> Typed:
    """The typed columns of one column, with names that differ from those of all other columns."""
    read = reader.read(cells).items()
    return {part_name(name, suffix): values for suffix, values in read}


def part_name(name: str, suffix: str) -> str:
    """Name of the typed column that holds a part of a column, such as the year of a date."""
    # The zero byte keeps the year of a date "a" apart from a column "a_year".
    return f"{name}\0{suffix}" if suffix else name


def _number_steps() -> Any:
    # Scale before imputing. Imputing adds an indicator of missing values; if such an indicator is
    # rare, scaling would make it far larger than every other input.
    imputer = SimpleImputer(strategy="median", add_indicator=True, copy=False)
    single = FunctionTransformer(_as_float32, feature_names_out="one-to-one")
    return make_pipeline(StandardScaler(), imputer, single)


def _as_float32(X: np.ndarray) -> np.ndarray:
    return X.astype(np.float32)


def _category_steps(n_rows: int) -> Any:
    """One-hot encoding; values that occur once, or in less than a row in a thousand, share one."""
    return make_pipeline(
        SimpleImputer(missing_values=None, strategy="constant", fill_value="(missing)"),
        OneHotEncoder(
            handle_unknown="infrequent_if_exist",
            min_frequency=max(2, n_rows // 1000),
            max_categories=MAX_ONE_HOT,
            drop="if_binary",
            sparse_output=False,
            dtype=np.float32,
        ),
    )


def _plain(name: str) -> str:
    """A name that the parts of the transformer gave, without their prefixes."""
    name = name.partition("__")[2].replace("\0", "").replace("infrequent_sklearn", "(rare)")
    missing = "missingindicator_"
    return f"{name.removeprefix(missing)} is missing" if name.startswith(missing) else name


def _different(names: Iterable[str]) -> list[str]:
    """The names; one that occurs again gets an underscore."""
    used: dict[str, None] = {}
    for name in names:
        while name in used:
            name += "_"
        used[name] = None
    return list(used)
