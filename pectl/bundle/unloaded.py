"""A bundle that isn't loaded yet: what reading studies for it needs. Imports no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pectl.bundle.archive import refused
from pectl.bundle.manifest import Bundle, open_bundle
from pectl.bundle.names import CONFIG
from pectl.config import PreprocessConfig
from pectl.core.storage.stamp import check_lineage
from pectl.core.stores.study_store import store_digest
from pectl.inference.prediction import Model

if TYPE_CHECKING:
    from pectl.inference.instrument import Instrument


@dataclass(frozen=True)
class UnloadedBundle:
    """A bundle whose form, list of members and preprocessing were checked; its weights weren't.

    Attributes:
        path: of the file.
        model: who will answer.
        preprocess: how studies are read for it.
    """

    path: Path
    model: Model
    preprocess: PreprocessConfig

    @classmethod
    def open(cls, path: Path) -> "UnloadedBundle":
        """Open a bundle as far as can be done in milliseconds.

        Raises:
            StoreError: it isn't a bundle, is of another version, isn't whole, or has no preprocessing.
            LineageError: the preprocessing isn't that of the study store it says it was made from.
        """
        with open_bundle(path) as bundle:
            return cls(path, identity(bundle), read_preprocess(bundle))

    def load(self) -> "Instrument":
        """Load it.

        Raises:
            StoreError: a byte of it was changed; the message names the member.
            LineageError: the file is another one meanwhile.
        """
        from pectl.bundle.load import load_bundle

        instrument = load_bundle(self.path)
        what = "the bundle that was opened, of digest"
        check_lineage(where=self.path, expected=self.model.digest, found=instrument.digest, what=what)
        return instrument


def identity(bundle: Bundle) -> Model:
    """Return who answers."""
    manifest = bundle.manifest
    return Model(name=bundle.path.stem, version=manifest.package_version, digest=manifest.digest)


def read_preprocess(bundle: Bundle) -> PreprocessConfig:
    """Return how studies are read for a bundle.

    Raises:
        StoreError: it doesn't say so.
        LineageError: the preprocessing isn't that of the study store it says it was made from.
    """
    try:
        preprocess = PreprocessConfig.model_validate(bundle.read_json(CONFIG)["preprocess"])
    except (KeyError, ValueError) as error:
        found = str(error).splitlines()[0]
        raise refused(bundle.path, f"preprocessing, windows and precision in {CONFIG}", found) from error
    store = bundle.manifest.made_from.get("study_store", "none")
    what = "preprocessing of the study store"
    check_lineage(where=bundle.path, expected=store, found=store_digest(preprocess), what=what)
    return preprocess
