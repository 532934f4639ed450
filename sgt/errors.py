"""The exceptions a user is meant to read."""

# The exit status of work that saved where it was and wants to be run again, as after a scheduler's warning signal.
REQUEUE_STATUS = 85


class SgtError(Exception):
    """Bad input, told in one line: where it is, what is wrong, and what to do about it.

    Args:
        where: the file, with the member or field after a colon (``config/tiny.yaml: recipe.ratio``).
        problem: what is wrong, with the offending value.
        remedy: what the reader can do.
    """

    status = 1

    def __init__(self, where: object, problem: str, remedy: str) -> None:
        self.where, self.problem, self.remedy = str(where), problem, remedy
        super().__init__(f"{where}: {problem}; {remedy}".replace("\n", " "))

    def __reduce__(self) -> tuple:
        """Keeps the three parts when raised in a worker process."""
        return type(self), (self.where, self.problem, self.remedy)


class Interrupted(SgtError):
    """A signal stopped the work, which is saved: the same command goes on from there."""

    status = REQUEUE_STATUS
