#!/bin/bash
# Installs Debian's Orthanc, dcmtk, dicom3tools and PixelMed that are missing.
set -euo pipefail

missing=()
command -v dsrdump > /dev/null && command -v dcmpschk > /dev/null || missing+=(dcmtk)
command -v dcentvfy > /dev/null || missing+=(dicom3tools)
command -v DicomSRValidator > /dev/null || missing+=(pixelmed-apps libpixelmed-java)
[ -x /usr/sbin/Orthanc ] || missing+=(orthanc)
[ -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so ] || missing+=(orthanc-dicomweb)
[ -e /usr/share/orthanc/plugins/libOrthancGdcm.so ] || missing+=(orthanc-gdcm)
[ ${#missing[@]} -gt 0 ] || exit 0
"$(dirname "$0")/../debian_install.sh" "${missing[@]}"
