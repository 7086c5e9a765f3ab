"""Every error a user can cause, and the one way to say what to install.

    TiaeError
    ├── ModelError          a model folder that cannot be used
    ├── DataError           arrays (.npz) that cannot be used
    ├── BagError            a recorded bag that cannot be used
    ├── TopicError          topics among which no camera's can be told
    ├── ImageError          a camera image that cannot be decoded
    ├── ParameterError      a setting out of range, misspelt or of the wrong kind
    ├── HandError           the description of a robot hand that cannot be used
    ├── OutputError         an output that exists already or cannot be written
    ├── TrainingError       a training that went wrong (non-finite, collapsed)
    └── MissingExtraError   an optional package that is not installed

A message is one line: what was wrong, the value, what is accepted, what to do.
Faults of our own code are never wrapped in these; they keep their traceback.
"""


class TiaeError(Exception):
    """Base of all errors that a user can cause; the command line prints it and exits with 2."""


class ModelError(TiaeError):
    """A model folder is absent, damaged, of another format version, or does not fit its use."""


class DataError(TiaeError):
    """An array file has the wrong names, shapes, dtypes or values."""


class BagError(TiaeError):
    """A recorded bag is absent, truncated, empty, or lacks a topic."""


class TopicError(TiaeError):
    """Of the topics that there are, none or several could be the camera's."""


class ImageError(TiaeError):
    """A camera image cannot be decoded."""


class ParameterError(TiaeError):
    """A setting is out of range, misspelt, or of the wrong kind."""


class HandError(TiaeError):
    """The description of a robot hand is absent, lacks something, or contradicts itself."""


class OutputError(TiaeError):
    """An output exists already or cannot be written."""


class TrainingError(TiaeError):
    """A training produced non-finite numbers, ran out of disk, or collapsed."""


class MissingExtraError(TiaeError):
    """An optional dependency is not installed; the message names the extra to install."""


def install_hint(extra: str) -> str:
    """How to install an extra. The package is on no index: it is installed from its folder."""
    return f"pip install -e '.[{extra}]' in the clone of tiae_ros"
