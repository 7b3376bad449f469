"""Why masks or boxes can't be used; the images of the study still can."""

from pectl.errors import StudyRefusedError


def refused(code: str, expected: str, found: str) -> StudyRefusedError:
    """Make the refusal of a study's masks or boxes; `code` is one of the intake's."""
    return StudyRefusedError(
        code, where="masks or boxes", expected=expected, found=found, fix="check that it is the file of this study"
    )
