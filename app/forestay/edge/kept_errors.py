"""Lets go of what an error holds, where the error is kept longer than the frames in which it was raised."""


def forget_frames(error: BaseException) -> None:
    """Forget where `error` was raised. Its frames hold a whole connection, and would hold it in a reference cycle."""
    error.__traceback__ = error.__cause__ = error.__context__ = None
