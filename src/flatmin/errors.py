"""InputError: the exception for input that cannot be used."""

__all__ = ["InputError"]


class InputError(ValueError):
    """Input that cannot be used; its message is one sentence for the user.

    The message says what was found, what was expected and what to do. The command line prints it and exits with
    status 2.
    """
