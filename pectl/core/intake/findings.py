"""What the intake can say about a study: stable codes, each an error, a repair or a warning."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pectl.core.dicom.file_headers import UNREADABLE

Level = Literal["error", "repair", "warning", "ok"]
LEVELS: tuple[Level, ...] = ("error", "repair", "warning", "ok")

CODES: dict[str, tuple[Level, str]] = {
    "accepted": ("ok", "the study can be used; the detail says which series was chosen, and why"),
    # which images there are
    "unreadable_file": ("error", "a file of the chosen series can't be read, or its only file can't"),
    "unreadable_folder": ("error", "a folder can't be listed; nothing is known of what it holds"),
    "damaged_header": ("error", "files begin as DICOM, or are named so, and no study can be read from them"),
    "damaged_archive": ("error", "a zip or tar file is damaged, encrypted, or grows beyond what images can"),
    "damaged_files": (
        "warning",
        "files beside the study's are damaged, or can't be read; they were left out",
    ),
    "no_image": ("error", "no file of the study holds an image"),
    "missing_uid": ("error", "StudyInstanceUID or SOPInstanceUID is empty"),
    "unsafe_uid": (
        "error",
        "a UID holds other characters than digits, letters and dots, or leads out of a folder",
    ),
    "repeated_uid": ("error", "one SOPInstanceUID in several files of the series"),
    "not_ct": ("error", "Modality isn't CT"),
    "localizer": ("error", "ImageType says LOCALIZER (scout, topogram, survey)"),
    "screen_capture": (
        "error",
        "a picture in colour, or a secondary one without geometry (dose report, patient data, screen capture)",
    ),
    "no_geometry": ("error", "the image lacks its position, orientation or pixel spacing"),
    "multi_frame": ("error", "several frames in one file, and no position for each (no enhanced CT)"),
    "not_axial": (
        "error",
        "the image plane leans more than preprocess.series.max_lean_deg (coronal or sagittal reformat)",
    ),
    "series_not_found": ("error", "the study has no series of the SeriesInstanceUID that --series names"),
    "too_few_slices": ("error", "fewer axial slices than preprocess.min_slices"),
    "several_series": ("warning", "more than one series could be used; one was chosen by rule"),
    "first_series_failed": ("warning", "the series that the rules put first can't be used; the next one was taken"),
    "derived_series": ("warning", "no ORIGINAL series; a derived one was used"),
    "projection_series": ("warning", "the series used is a projection, a reformat, or of slabs that overlap"),
    "spectral_series": ("warning", "the series used is computed from several energies, or isn't in HU"),
    # volumes that aren't DICOM
    "repeated_id": ("error", "several files give one study id; the id is the file's name, or its folder's"),
    "damaged_volume": ("error", "a volume file's header is damaged, or not what its name says"),
    "not_3d": ("error", "the file holds another number of axes than three, or several arrays"),
    "not_scalar": ("error", "the voxels are colours, vectors or complex numbers"),
    "empty_volume": ("error", "the file has no voxel, or one value in all"),
    "no_spacing": ("error", "the file doesn't say how large a voxel is, and --spacing wasn't given"),
    "absurd_spacing": ("error", "a step between voxels is below 0.1 mm or above 50 mm"),
    "sheared_axes": ("error", "the axes of the volume aren't at right angles"),
    "stated_spacing": ("repair", "the file has no spacing; that of --spacing was used"),
    "assumed_orientation": (
        "warning",
        "the file doesn't say where its axes point; left may be right, and head foot",
    ),
    "upside_down": ("error", "the lungs stand on their tips: the sign of z is wrong, so left and right are too"),
    "not_finite": ("error", "some values are NaN or infinite"),
    "scaled_values": ("error", "the values are scaled to 0 to 1, -1 to 1 or 8 bits, and --values wasn't given"),
    "normalised_values": ("error", "the values are standard deviations or the like, and --values wasn't given"),
    "stated_values": ("repair", "the formula of --values made HU of the values"),
    "shifted_values": ("repair", "the values are HU + 1024 by their air and soft tissue; 1024 was taken off"),
    "clipped_at_air": ("warning", "the values were cut off at -1000 HU, which spares the lungs"),
    # how the slices fit together
    "mixed_geometry": (
        "error",
        "slices of different orientation, matrix or pixel spacing, none the large majority",
    ),
    "minority_geometry": (
        "repair",
        "the few slices of another orientation, matrix or pixel spacing were left out",
    ),
    "conflicting_slices": ("error", "two slices at one position with different pixels"),
    "several_acquisitions": (
        "repair",
        "passes over one place in one series; those that continue each other were joined, of others one was used",
    ),
    "joined_series": ("repair", "one scan lies in several series; they were joined"),
    "duplicate_slices": ("repair", "slices with position and pixels of another one were left out"),
    "large_gap": ("error", "slices are missing over more than preprocess.max_gap_mm"),
    "missing_slices": ("repair", "a gap in the slices was filled by linear interpolation"),
    "irregular_step": (
        "repair",
        "steps between slices differ by more than 5 %; positions were used as they are",
    ),
    "thick_slices": ("warning", "the step between slices is larger than 3 mm; small emboli may be missed"),
    "thickness_differs": ("warning", "SliceThickness and the step between positions differ by more than 5 %"),
    "gantry_tilt": (
        "repair",
        "slices are shifted against each other by a tilted gantry; they were shifted back",
    ),
    "shifted_slices": ("error", "slices are shifted against each other, not along a line"),
    "oblique": ("warning", "the stack leans more than 5 degrees from axial; it is kept in its own axes"),
    # what the pixels hold
    "absurd_size": ("error", "matrix, bit depth or sample count outside what a CT slice can have"),
    "truncated_pixel_data": ("error", "fewer bytes of pixel data than the header promises"),
    "undecodable_pixel_data": ("error", "the transfer syntax or the compressed stream can't be decoded"),
    "absurd_rescale": ("error", "RescaleSlope or RescaleIntercept is missing or can't lead to HU"),
    "not_hu": ("error", "the values have no air and no soft tissue where HU would"),
    "clipped_hu": (
        "error",
        "the values were cut off at a lowest HU, or masked, so that air and lung can't be told apart",
    ),
    "impossible_hu": (
        "warning",
        "more voxels above 3000 HU than metal can fill: padding that the header doesn't name, or no HU",
    ),
    "padding": ("repair", "padding or values below -1024 HU became -1024"),
    # what the body shows
    "not_chest": ("error", "no lungs of plausible size in the volume"),
    "lungs_incomplete": (
        "error",
        "the scan ends inside the lungs and shows less than 120 mm of them (neck, abdomen)",
    ),
    "lungs_cut_off": ("warning", "the scan ends inside the lungs"),
    "lung_box_fallback": ("warning", "no plausible lung box; the box of the body was used"),
    "no_contrast": ("warning", "no contrast in the pulmonary trunk or any great vessel: not a CT pulmonary angiogram"),
    # what a model is shown (predict)
    "too_short": ("error", "the lung box has fewer slices than a window of the model"),
    "damaged_store_file": ("error", "the study's file in the study store is missing or damaged"),
    "reader_killed": ("error", "the process that read the study was killed: a decoder crashed, or memory ran out"),
    # labels
    "images_without_labels": ("warning", "the study has labels, some of its slices have none"),
    "labels_without_images": ("warning", "labels of slices that are not in the chosen series"),
    "studies_without_images": ("warning", "the labels table holds the study, and there is no image of it"),
    "label_breach": ("error", "the study's labels break a rule; preprocess refuses such a table"),
    "not_labelled": ("warning", "a labels table was given, and the study isn't in it"),
    # masks and boxes of emboli
    "places_unreadable": ("warning", "the study's masks or boxes can't be read; labels from them are unknown"),
    "places_mismatch": (
        "warning",
        "masks or boxes of another matrix, number of slices or place than the images'; labels from them are unknown",
    ),
    "places_in_air": (
        "warning",
        "most of what a mask marks is air: its slices are in another order; labels from it are unknown",
    ),
    "places_faint": ("warning", "emboli are marked, on no slice as much as places.min_area_mm2; labels are unknown"),
    "places_outside_box": ("warning", "emboli lie outside the lung box, so the store's masks lack them"),
    "places_without_images": (
        "warning",
        "boxes on images that are not in the chosen series, or masks or boxes of studies that aren't among the files",
    ),
    "places_contradict": ("warning", "the labels table and the masks or boxes disagree; the table was followed"),
    # patients
    "several_patients": (
        "warning",
        "the images name several patients by PatientID; a split keeps all studies of these together",
    ),
    "shared_patient_id": (
        "warning",
        "one PatientID in more studies than a patient can have: a placeholder, and no study's patient",
    ),
    "patient_in_several_studies": ("warning", "other studies are of the same patient; a split keeps them together"),
}
"""Every code with its level and meaning; `docs/reference/codes.md` is this table."""


@dataclass(frozen=True)
class Finding:
    """One observation: a code of `CODES` and what exactly was seen; no file names, no patient data."""

    code: str
    detail: str

    @property
    def level(self) -> Level:
        """Return `error`, `repair`, `warning` or `ok`."""
        return CODES[self.code][0]


@dataclass(frozen=True)
class Fault:
    """A file that should be DICOM and isn't usable, or a folder that can't be listed; `code` says why."""

    path: Path
    code: str

    @property
    def unread(self) -> bool:
        """Tell whether the file system doesn't give it, so that what it holds isn't known."""
        return self.code in UNREADABLE
