"""Lists of names and of numbers from MATLAB files (`.mat`, up to version 7.2)."""

import struct
import zlib
from pathlib import Path
from typing import Any

from realqa_cli.errors import UsageError, one_line


def matlab_list(file: Path, variable: str) -> list[Any]:
    """The cells of one array, in order; that of the only variable, whatever its name.

    Raises `UsageError` for a damaged file, a missing variable, and cells that hold more than one value.
    """
    import numpy as np

    arrays = _variables(file)
    array = arrays.get(variable, next(iter(arrays.values())) if len(arrays) == 1 else None)
    if array is None:
        what = f"there is no variable {variable!r}; its variables are: {', '.join(arrays) or 'none'}"
        raise UsageError(what, where=str(file), remedy="check that it is the right file")
    cells = [np.ravel(cell) for cell in np.ravel(array)]
    if any(cell.size != 1 for cell in cells):
        what = f"{variable} is not a list of single values"
        raise UsageError(what, where=str(file), remedy="download it again")
    return [cell[0] for cell in cells]


def _variables(file: Path) -> dict[str, Any]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    broken = (OSError, ValueError, TypeError, LookupError, NotImplementedError, struct.error, zlib.error)
    try:
        return {name: value for name, value in loadmat(file).items() if not name.startswith("__")}
    except (*broken, MatReadError, EOFError, OverflowError, MemoryError) as error:
        what = f"cannot be read as a MATLAB file ({one_line(error, 200)})"
        raise UsageError(what, where=str(file), remedy="download it again") from error
