"""Files that are either the old or the new one, whatever happens in between; their locks; strangers' names for them.

Every file that this package saves goes through here.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FileLock", "KeptFile", "PartialFile", "file_name", "replace_file"]

_LONGEST = 200  # bytes of a name that a stranger gives; file systems allow 255, and a temporary name is longer
_PRIVATE = 0o600
_PACE = 0.005  # seconds between two looks at a lock
_FOLDER = getattr(os, "O_DIRECTORY", 0)


def replace_file(path: Path, data: bytes, *, replace: bool = True) -> None:
    """Write ``data`` to ``path`` so that a reader, or a crash, sees the file as it was or as it is now, never a part.

    See :class:`PartialFile` for links, modes and ``replace``. Blocks until it is on disk under its name, as far as the
    system can say so of a folder; raises ``OSError``.
    """
    partial = PartialFile(path, replace=replace, sync=True)
    try:
        partial.open()
        partial.write([data])
        partial.finish()
    finally:
        partial.discard()


class PartialFile:
    """A file while it is written: under a hidden name beside its place, which it takes when it is finished.

    A symbolic link stays one: what it points to is replaced, or made. The new file has the mode of the one that it
    replaces, and its owner as far as the system lets us; one that was not there before is readable by its owner alone.
    What is no file (``/dev/stdout``, a pipe) is written to as it is. With ``replace=False`` a file that is there
    already stays: ``FileExistsError``, from :meth:`open` or, for one that has appeared meanwhile, from :meth:`finish`.

    Every method blocks, and raises ``OSError``. Call :meth:`discard` in the end, whatever has happened.
    """

    def __init__(self, path: Path, *, replace: bool = True, sync: bool = False) -> None:
        self.path = path
        self._replace = replace
        self._sync = sync
        self._target = path
        self._temporary: Path | None = None
        self._file: BinaryIO | None = None

    def open(self) -> None:
        """Make the hidden file."""
        self._target = Path(os.path.realpath(self.path))
        there = _status(self.path)
        if there is not None and not self._replace:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self.path))
        if there is not None and not stat.S_ISREG(there.st_mode):
            self._file = self.path.open("wb")  # of a folder, the error that the caller expects
            return
        self._temporary, self._file = self._made()
        if there is not None:
            if hasattr(os, "chown"):
                with suppress(PermissionError):  # not ours to give away
                    os.chown(self._temporary, there.st_uid, there.st_gid)
            self._temporary.chmod(there.st_mode & 0o777)

    def _made(self) -> tuple[Path, BinaryIO]:
        handle, name = tempfile.mkstemp(dir=self._target.parent, prefix=f".{self._target.name[:40]}.")
        return Path(name), os.fdopen(handle, "wb")

    def write(self, pieces: Iterable[bytes]) -> None:
        """Add to it."""
        if self._file is not None:
            self._file.writelines(pieces)

    def finish(self) -> None:
        """Put it in its place."""
        if self._file is None:
            return
        self._file.flush()
        if self._sync and self._temporary is not None:
            os.fsync(self._file.fileno())
        self._file.close()
        self._file = None
        if self._temporary is None:
            return
        if self._replace:
            self._temporary.replace(self._target)
        else:
            _place(self._temporary, self._target)
        self._temporary = None
        if self._sync:
            _sync_folder(self._target.parent)

    def discard(self) -> None:
        """Remove what is left of it, if it was not finished. Idempotent."""
        file, self._file = self._file, None
        temporary, self._temporary = self._temporary, None
        if file is not None:
            with suppress(OSError):  # what did not fit on the disk does not fit now
                file.close()
        if temporary is not None:
            temporary.unlink(missing_ok=True)


class KeptFile(PartialFile):
    """A :class:`PartialFile` that stays beside its place, as ``NAME.part``, when it is not finished: to go on with it.

    A note of what it is of lies beside it. Opened by somebody else: ``BlockingIOError``. What nothing was written to
    does not stay.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.size = 0

    @property
    def note(self) -> bytes:
        """What :meth:`begin` was told; empty if there is none."""
        try:
            return self._note.read_bytes()
        except FileNotFoundError:
            return b""

    @property
    def _note(self) -> Path:
        return self._target.with_name(f"{self._target.name}.part.note")

    def _made(self) -> tuple[Path, BinaryIO]:
        place = self._target.with_name(f"{self._target.name}.part")
        while True:
            file = os.fdopen(os.open(place, os.O_RDWR | os.O_CREAT | os.O_APPEND, _PRIVATE), "r+b")
            try:
                _lock(file)
                there = _status(place)
                if there is not None and os.path.samestat(there, os.fstat(file.fileno())):
                    self.size = there.st_size
                    return place, file
            except BaseException:
                file.close()
                raise
            file.close()  # whoever had it has just finished it

    def begin(self, note: bytes) -> None:
        """Empty it; it is of what ``note`` says."""
        self.cut(0)
        if note:
            replace_file(self._note, note)
        else:
            self._note.unlink(missing_ok=True)

    def cut(self, size: int) -> None:
        """Leave so many bytes of it."""
        if self._file is not None:
            self._file.truncate(size)
            self.size = size

    def write(self, pieces: Iterable[bytes]) -> None:
        """Add to it, and see to it that it is there if the program dies."""
        super().write(pieces)
        if self._file is not None:
            self._file.flush()
            self.size = os.fstat(self._file.fileno()).st_size

    def finish(self) -> None:
        """Put it in its place, while nobody else may open it."""
        if self._temporary is not None:
            self._temporary.replace(self._target)
            self._temporary = None
            self._note.unlink(missing_ok=True)
        super().finish()

    def discard(self) -> None:
        """Let go of it; what was not finished stays."""
        if self._temporary is not None and self.size:
            self._temporary = None
        elif self._temporary is not None:
            self._temporary.unlink(missing_ok=True)
            self._temporary = None
            self._note.unlink(missing_ok=True)
        super().discard()


def _lock(file: BinaryIO) -> None:
    """Until it is closed; on a system without ``flock`` nobody is kept out."""
    with suppress(ImportError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _status(path: Path) -> os.stat_result | None:
    """That of what ``path`` leads to; None where nothing is there."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _sync_folder(folder: Path) -> None:
    """See to it that the names in it are on disk, too: the file's own content does not say how it is called."""
    try:
        handle = os.open(folder, os.O_RDONLY | _FOLDER)
    except OSError:  # one that may be written to and not read, or a system that opens none
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that does not know that
            raise
    finally:
        os.close(handle)


def _place(temporary: Path, target: Path) -> None:
    """Give a file its name unless that is taken."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _PRIVATE))
        temporary.replace(target)
    else:
        temporary.unlink()


class FileLock:
    """Keeps others from a file while somebody works with it: other processes, and the rest of this one.

        >>> lock = FileLock(Path("state.json"))
        >>> lock.take()
        True
        >>> lock.release()

    It is held on ``FILE.lock`` beside what ``path`` leads to, through any links; that file stays. The system lets it go
    when its holder dies. Every method blocks; raises ``OSError``, and ``ImportError`` on a system without ``flock``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    @property
    def held(self) -> bool:
        """Whether it is ours."""
        return self._handle is not None

    def take(self, *, within: float = 0.0) -> bool:
        """Whether it is ours: now, or as soon as all others have let go, ``within`` so many seconds."""
        import fcntl  # not on every platform

        handle = os.open(f"{os.path.realpath(self.path)}.lock", os.O_RDWR | os.O_CREAT, _PRIVATE)
        until = time.monotonic() + within
        try:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= until:
                        os.close(handle)
                        return False
                    time.sleep(_PACE)  # a wait in flock itself could not be ended
        except OSError:
            os.close(handle)
            raise
        self._handle = handle
        return True

    def release(self) -> None:
        """Let it go. Idempotent."""
        import fcntl

        handle, self._handle = self._handle, None
        if handle is not None:
            fcntl.flock(handle, fcntl.LOCK_UN)  # a forked child may have the handle too
            os.close(handle)


def file_name(given: str, otherwise: str) -> str:
    """A stranger's name for a file, made safe to use in a folder of ours: ``otherwise`` where nothing is left of it.

    No folders, in the way of any system; no dot or blank in front, no unprintable character, no more than 200 bytes.

        >>> file_name("../../.ssh/authorized_keys", "report"), file_name("..", "report"), file_name("a/Jan 5.csv", "")
        ('authorized_keys', 'report', 'Jan 5.csv')
    """
    last = PureWindowsPath(PurePosixPath(given).name).name
    name = "".join(one if one.isprintable() and one not in '<>:"|?*' else "_" for one in last).strip().lstrip(". ")
    if len(name.encode("utf-8", "replace")) > _LONGEST:
        ending = PurePosixPath(name).suffix[:20]
        kept = name.encode("utf-8", "replace")[: _LONGEST - len(ending.encode("utf-8", "replace"))]
        name = kept.decode("utf-8", "ignore") + ending
    return name or otherwise
