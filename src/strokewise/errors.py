"""The errors a user can meet, and nothing else.

    StrokewiseError             anything the user can act on; the CLI prints it and exits with 2
    ├── ConfigError             an option, setting or size that cannot be
    ├── CheckpointError         weights that are missing, truncated, of another shape, or not finite
    ├── InputError              a text, image or file given by the user that cannot be used
    │   ├── SceneError          a scene graph that contradicts itself or the world's vocabulary
    │   ├── LanguageError       a text the sprite world does not understand
    │   ├── PromptError         a prompt outside what the model was trained on
    │   └── RecordError         a stored trajectory or shard that is not valid
    ├── ContextLengthError      a sequence longer than the model's positions or the cache's room
    ├── ProtocolError           model output that breaks the tag grammar
    └── ServiceError            an outside service (judge, hub) that refused, failed or cost too much

A message names what is wrong and what to do about it. Broken invariants of our own are plain assertions.
"""


class StrokewiseError(Exception):
    """Base of all errors a user can act on."""


class ConfigError(StrokewiseError):
    """An option, setting or size that cannot be."""


class CheckpointError(StrokewiseError):
    """Weights that are missing, truncated, of another shape, or not finite."""


class InputError(StrokewiseError):
    """A text, image or file given by the user that cannot be used."""


class SceneError(InputError):
    """A scene graph that contradicts itself or the vocabulary."""


class LanguageError(InputError):
    """A text the sprite world does not understand.

    Attributes:
        problem: what was not understood, without the list of all known words.
    """

    def __init__(self, problem: str, known: str = "") -> None:
        """Say what was not understood, and what would be."""
        super().__init__(f"{problem}. {known}" if known else problem)
        self.problem = problem


class PromptError(InputError):
    """A prompt outside what the model was trained on."""


class RecordError(InputError):
    """A stored trajectory or shard that is not valid."""


class ContextLengthError(StrokewiseError):
    """A sequence longer than the model's positions or the cache's room."""


class ProtocolError(StrokewiseError):
    """Model output that breaks the tag grammar."""


class ServiceError(StrokewiseError):
    """An outside service that refused, failed, or would cost more than allowed."""
