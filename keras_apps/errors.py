"""The one exception that stands for a mistake of the user's, not of the program's."""


class UserError(ValueError):
    """Something the user can put right.

    The message is one line that says what is wrong, where, and what to do. The command line prints it and exits with
    status 2; from Python it is an ordinary `ValueError`.
    """


class RequestRefused(UserError):
    """A model's answer to a request that it can't take; the next request may be better."""
