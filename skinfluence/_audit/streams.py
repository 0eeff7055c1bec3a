"""Printing safely: text that controls a terminal, and streams that are closed or full."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any


def printable(text: str) -> str:
    r"""The text without characters that control a terminal or change the order of what is read.

    White space becomes blanks; every other character that cannot be printed becomes an escape
    sequence of Python, such as ``\x1b``. The text is then one line.
    """
    if text.isprintable():
        return text
    return "".join(map(_printable_character, text))


def _printable_character(char: str) -> str:
    if char.isprintable():
        return char
    return " " if char.isspace() else char.encode("unicode_escape").decode("ascii")


class Stream:
    """A text stream on which writing never fails; from the first error on, text is discarded.

    Attributes
    ----------
    error : OSError or None
        The first error, if any.
    """

    def __init__(self, stream: Any) -> None:
        is_open = stream is not None and not stream.closed  # Python has no stream if it is closed
        self._stream = stream if is_open else io.StringIO()
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write the text, or discard it."""
        try:
            self._stream.write(text)
        except OSError as error:
            self._discard(error)
        return len(text)

    def flush(self) -> None:
        """Write what the buffer holds, or discard it."""
        try:
            self._stream.flush()
        except OSError as error:
            self._discard(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _discard(self, error: OSError) -> None:
        self.error = self.error or error
        # The buffer still holds the text. Send it nowhere, or Python fails on it when it exits.
        with suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)


@contextmanager
def standard_streams() -> Iterator[Stream]:
    """Replace both standard streams by streams that never fail; yield standard output.

    All writers are covered, also progress bars and training loops of other packages. If standard
    output was full, one line on standard error says so at the end. If its reader has stopped
    reading, as in ``... | head``, nothing is said.
    """
    _fill_closed_descriptors()
    out, err = Stream(sys.stdout), Stream(sys.stderr)
    with redirect_stdout(out), redirect_stderr(err):
        try:
            yield out
        finally:
            out.flush()
            if out.error is not None and is_lost(out):
                why = out.error.strerror
                print(f"skinfluence: error: standard output cannot be written to: {why}.", file=err)
            err.flush()


def is_lost(stream: Stream) -> bool:
    """Whether text was lost that somebody may still have wanted to read."""
    return stream.error is not None and not isinstance(stream.error, BrokenPipeError)


def _fill_closed_descriptors() -> None:
    """Open the null device in place of a closed stream, so that no file gets its descriptor."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
