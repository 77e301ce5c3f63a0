"""A time series: monthly carbon dioxide over Mauna Loa, 1958 to 2001 (Keeling & Whorf 2004)."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from models.data.split import Split

HELD_OUT_FROM = "1990-01"
"""The first month that is held out, histories included."""
HORIZON = 12
"""The number of months to forecast."""
YEAR = 12

SOURCE = (
    "Weekly atmospheric CO2 at Mauna Loa, March 1958 to December 2001 (C. D. Keeling and "
    "T. P. Whorf, CDIAC 2004) as `statsmodels.datasets.co2`, averaged by month; the five months "
    "without a measurement are interpolated."
)
SPLIT = "Months before January 1990 for training; the 144 months from then on are held out."
LICENCE = "Public domain."


@dataclass(frozen=True, slots=True)
class Windows:
    """Pieces of the series, each with what came next."""

    history: npt.NDArray[np.float32]
    """(windows, months) in ppm."""
    future: npt.NDArray[np.float32]
    """(windows, 12) in ppm."""


@cache
def series(split: Split) -> npt.NDArray[np.float32]:
    """Read the months of one split: (months,) in ppm."""
    from statsmodels.datasets import co2  # noqa: PLC0415 - an extra that naming a scene must not need

    monthly = co2.load_pandas().data["co2"].resample("MS").mean().interpolate()
    months = monthly.index.strftime("%Y-%m")
    held_out = (months >= HELD_OUT_FROM) == (split is Split.TEST)
    return np.asarray(monthly[held_out], dtype=np.float32)


def windows(split: Split, *, months: int) -> Windows:
    """Cut one split into all pieces of `months` months and the year that follows each."""
    pieces = np.lib.stride_tricks.sliding_window_view(series(split), months + HORIZON)
    return Windows(
        np.ascontiguousarray(pieces[:, :months]), np.ascontiguousarray(pieces[:, months:])
    )
