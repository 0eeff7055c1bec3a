"""The encoder that puts mixed columns with gaps in front of a ready-made net."""

from __future__ import annotations

from typing import Any

from skinfluence._data.frames import FrameRows


def make_encoder(X: FrameRows) -> Any:
    """Return an encoder for these rows, not yet fitted.

    It leaves out the columns from which nothing can be learned. They are found here, because a row
    number shows only while all rows are there in their order. Everything else is learned in `fit`,
    from the training rows of one net.
    """
    from skinfluence.columns import ColumnEncoder
    from skinfluence.columns._encoder import find_left_out

    return ColumnEncoder(ignore=find_left_out(X.frame))
