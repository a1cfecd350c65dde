"""The error for a command that needs a Python package which is not installed.

The packages of an extra are left out by choice, and a slim installation (docs/guides/deploy.md) has only what
scoring with the bundled model needs.
"""

import sys

from realqa_cli.errors import UsageError

EXTRAS = {
    "fastapi": "serve",
    "fastapi_offline": "serve",
    "python_multipart": "serve",
    "starlette": "serve",
    "uvicorn": "serve",
}
"""The extra of packages whose absence no module reports itself."""


def missing_package(error: ModuleNotFoundError) -> UsageError | None:
    """The error for the user; None if the module is one of realqa or of Python, which is a fault."""
    name = (error.name or "").partition(".")[0]
    if not name or name == "realqa_cli" or name in sys.stdlib_module_names:
        return None
    what = f"this needs the Python package {name}, which is not installed"
    extra = EXTRAS.get(name)
    if extra is not None:
        return UsageError(what, remedy=f"pip install 'realqa[{extra}]'")
    return UsageError(what, remedy="install all requirements: pip install realqa")
