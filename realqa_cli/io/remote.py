"""Files at a URL or in object storage, through fsspec: s3://, gs://, https:// and others that it knows.

Credentials are those of the environment and of the configuration files that fsspec and its packages read. They never
get into records or messages: `shown_url` removes them from names. Failures that may pass are tried again, with growing
pauses; each failure that remains is a `MediaError`. Needs `pip install 'realqa[remote]'`.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from realqa_cli.errors import ItemError, MediaError, UsageError, one_line
from realqa_cli.media.files import MAX_FILE_BYTES, FileVersion

Result = TypeVar("Result")

PAUSES = (0.5, 2.0, 8.0)
"""Seconds before each further attempt."""
INSTALL = "pip install 'realqa[remote]'"

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_SECRET = re.compile(
    r"amz|goog|aws|sig|token|key|secret|auth|cred|pass|expire|policy|session|jwt|sas|code|access|^s[eprv]t?$", re.I
)
_USER = re.compile(r"(?<=://)[^/?#@\s]+@")
_QUERY = re.compile(r"\?[^\s'\"()]+")
_WHOLE_SECONDS = 10**9
_PASSING = {408, 425, 429}  # and all from 500


def is_remote(name: str) -> bool:
    """Whether the name is a URL of something that is not a file of this machine."""
    return _URL.match(name) is not None and not name.lower().startswith("file://")


def shown_url(url: str) -> str:
    """The URL without a user, and without a query that may hold credentials, such as that of a signed URL."""
    parts = urlsplit(url)
    if any(_SECRET.search(key) for key, _ in parse_qsl(parts.query, keep_blank_values=True)):
        parts = parts._replace(query="")
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if parts.netloc else url


def require_packages(url: str) -> None:
    """Raises `UsageError` where the packages for such URLs are not installed."""
    try:
        file_system(url)
    except MediaError as error:
        if error.remedy == INSTALL:
            raise UsageError(error.what, where=error.where, remedy=INSTALL) from error


def file_system(url: str) -> tuple[Any, str]:
    """The file system of fsspec, and the path in it. Raises `MediaError`, also where a package is not installed."""
    shown = shown_url(url)
    try:
        found: tuple[Any, str] = import_module("fsspec.core").url_to_fs(url, use_listings_cache=False)
        return found
    except ImportError as error:
        what = f"the packages for {shown.partition('://')[0]}:// are not installed"
        raise MediaError(what, type="unsupported", where=shown, remedy=INSTALL) from error
    except ValueError as error:
        what = "this kind of URL is unknown"
        raise MediaError(what, type="unsupported", where=shown, remedy="download it first") from error


@dataclass
class RemoteFile:
    """A file at a URL; `name` is the URL without credentials.

    details: what fsspec says of it, once it was asked.  failure: why it cannot say it.
    """

    url: str
    details: Mapping[str, Any] | None = None
    name: str = field(init=False)
    failure: MediaError | None = None

    def __post_init__(self) -> None:
        self.name = shown_url(self.url)

    def prepare(self) -> None:
        """Ask for size and version, unless they are known or could not be learned before. Raises `MediaError`."""
        if self.failure is not None:
            raise self.failure
        if self.details is None:
            try:
                fs, path = file_system(self.url)
                self.details = with_retries(lambda: fs.info(path), self.name)
            except MediaError as error:
                self.failure = error
                raise

    def read(self) -> bytes:
        """The whole file. Raises `MediaError`: missing, forbidden, network, empty or too-large."""
        self.prepare()
        assert self.details is not None
        if (self.details.get("size") or 0) > MAX_FILE_BYTES:
            raise MediaError(f"over {MAX_FILE_BYTES:,} bytes", type="too-large", where=self.name)
        fs, path = file_system(self.url)
        data: bytes = with_retries(lambda: fs.cat_file(path), self.name)
        if not data:
            raise MediaError("the file is empty (0 bytes)", type="empty", where=self.name)
        return data

    def version(self) -> FileVersion | None:
        """By its tag or time of modification, where the other side gives one. Raises `MediaError`."""
        self.prepare()
        details = self.details or {}
        tag = next((details[key] for key in ("ETag", "etag", "md5Hash", "Content-MD5") if details.get(key)), None)
        if tag is not None:
            return FileVersion((self.name, details.get("size"), str(tag)), None)
        time_keys = ("mtime", "LastModified", "updated", "Last-Modified", "modified", "created")
        modified = next((details[key] for key in time_keys if details.get(key)), None)
        if modified is None:
            return None
        return FileVersion((self.name, details.get("size"), str(modified)), _nanoseconds(modified))


def list_folder(url: str) -> Iterator[tuple[str, RemoteFile | ItemError]]:
    """(URL, file) of all files below a folder, in code-point order; a part that cannot be listed is an error.

    One folder is in memory at a time.
    """
    fs, path = file_system(url)
    try:
        entries = with_retries(lambda: fs.ls(path, detail=True), shown_url(url))
    except MediaError as error:
        yield url, error
        return
    folders = {entry["name"] for entry in entries if entry["type"] == "directory"}
    entries.sort(key=lambda entry: entry["name"].rstrip("/") + "/" * (entry["name"] in folders))
    for entry in entries:
        name = fs.unstrip_protocol(entry["name"])
        if entry["name"] not in folders:
            yield name, RemoteFile(name, entry)
        elif entry["name"].rstrip("/") != path.rstrip("/"):
            yield from list_folder(name)


def is_folder(url: str) -> bool:
    """Whether there is a folder at the URL. Raises `MediaError`."""
    fs, path = file_system(url)
    if is_http(fs):
        return False
    found: bool = with_retries(lambda: fs.isdir(path), shown_url(url))
    return found


def is_http(fs: Any) -> bool:
    """Whether a file system of fsspec is a web server, which lists no folders and may not send parts of files."""
    return "http" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))


def with_retries(call: Callable[[], Result], name: str) -> Result:
    """The result of the call, which is tried again after failures that may pass. Raises `MediaError`."""
    for pause in (*PAUSES, None):
        try:
            return call()
        except Exception as error:
            failure, passing = _failure(error, name)
            if pause is None or not passing:
                raise failure from error
            time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def _failure(error: Exception, name: str) -> tuple[MediaError, bool]:
    """The error of the file, and whether it may pass."""
    if isinstance(error, MediaError):
        return error, False
    status = _status(error.__cause__ if isinstance(error, FileNotFoundError) else error)
    if status in (401, 403) or isinstance(error, PermissionError) or "Credential" in type(error).__name__:
        remedy = "check the credentials"
        return MediaError("access is denied", type="forbidden", where=name, remedy=remedy), False
    if status in (404, 410) or (isinstance(error, FileNotFoundError) and status is None and _is_answer(error)):
        return MediaError("no such file", type="missing", where=name, remedy="check the URL"), False
    reason = f"status {status}" if status else f"{type(error).__name__}: {one_line(error, 150)}".rstrip(": ")
    what = f"cannot be fetched ({_QUERY.sub('', _USER.sub('', reason))})"
    passing = status is None or status in _PASSING or status >= 500
    return MediaError(what, type="network", where=name, remedy="run again"), passing


def _is_answer(error: Exception) -> bool:
    """Whether the file is missing by an answer; fsspec also says so where an HTTP server cannot be reached."""
    return not isinstance(error.__cause__, OSError) and type(error.__cause__).__name__ != "TimeoutError"


def _status(error: BaseException | None) -> int | None:
    """The HTTP status in an error of aiohttp, gcsfs or botocore."""
    status = getattr(error, "status", None)
    if status is None and isinstance(response := getattr(error, "response", None), dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if status is None:
        status = getattr(error, "code", None)
    return status if isinstance(status, int) and 400 <= status < 600 else None


def _nanoseconds(modified: Any) -> int:
    """Of a time in any of the forms that file systems use; now where it is unknown, so that it is not trusted."""
    from email.utils import parsedate_to_datetime

    try:
        if hasattr(modified, "timestamp"):
            return int(modified.timestamp() * _WHOLE_SECONDS)
        if isinstance(modified, int | float):
            return int(modified * _WHOLE_SECONDS)
        return int(parsedate_to_datetime(str(modified)).timestamp() * _WHOLE_SECONDS)
    except (ValueError, TypeError, OverflowError):
        return time.time_ns()
