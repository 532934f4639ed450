"""Errors that are shown to the user, each as one line."""

import errno

# Exit status of work that was interrupted and saved, to be run again, as after a scheduler's warning signal.
REQUEUE_STATUS = 85
# Remedies by error number.
_MAKE_ROOM = "make room, or raise the quota or limit, and run the command again: what is finished stays"
_REMEDIES: dict[int | None, str] = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EFBIG: _MAKE_ROOM,
    errno.EACCES: "let this user read or write it, or choose another place",
    errno.EPERM: "let this user read or write it, or choose another place",
    errno.EROFS: "choose a place that can be written",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOENT: "check the name, or make it first",
    errno.ENOTDIR: "move the file of that name away, or choose another place",
    errno.EEXIST: "move it away, or choose another place",
    errno.EISDIR: "move the folder of that name away, or choose another place",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


class SgtError(Exception):
    """Bad input, as a one-line message: where it is, what is wrong, and what to do about it.

    Args:
        where: the file, with the member or field after a colon (``config/tiny.yaml: recipe.ratio``).
        problem: what is wrong, with the offending value.
        remedy: what the user can do.
    """

    status = 1

    def __init__(self, where: object, problem: str, remedy: str) -> None:
        self.where, self.problem, self.remedy = str(where), problem, remedy
        super().__init__(" ".join(f"{where}: {problem}; {remedy}".splitlines()))

    def __reduce__(self) -> tuple:
        """Keep the three parts when the error is sent from a worker process."""
        return type(self), (self.where, self.problem, self.remedy)


class Interrupted(SgtError):
    """A signal stopped the work, which was saved: the same command resumes it."""

    status = REQUEUE_STATUS


def system_error(error: OSError) -> SgtError:
    """An error of the operating system (a full disk, a missing permission) as a one-line error."""
    where = "a file or standard output" if error.filename is None else str(error.filename)
    remedy = _REMEDIES.get(error.errno, "fix it and run the command again")
    return SgtError(where, error.strerror or str(error) or type(error).__name__, remedy)
