"""The one exception a user is meant to read."""


class SgtError(Exception):
    """Bad input, told in one line: where it is, what is wrong, and what to do about it.

    Args:
        where: the file, with the member or field after a colon (``config/tiny.yaml: recipe.ratio``).
        problem: what is wrong, with the offending value.
        remedy: what the reader can do.
    """

    def __init__(self, where: object, problem: str, remedy: str) -> None:
        self.where, self.problem, self.remedy = str(where), problem, remedy
        super().__init__(f"{where}: {problem}; {remedy}".replace("\n", " "))

    def __reduce__(self) -> tuple:
        """Keeps the three parts when raised in a worker process."""
        return SgtError, (self.where, self.problem, self.remedy)
