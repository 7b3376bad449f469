#!/bin/bash
# Installs Debian's judges of DICOM objects that are missing: dcmtk, dicom3tools and PixelMed's SR validator.
set -euo pipefail

missing=()
command -v dsrdump > /dev/null && command -v dcmpschk > /dev/null || missing+=(dcmtk)
command -v dcentvfy > /dev/null || missing+=(dicom3tools)
command -v DicomSRValidator > /dev/null || missing+=(pixelmed-apps libpixelmed-java)
[ ${#missing[@]} -gt 0 ] || exit 0
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
