"""A folder of images of the user's own, grey or colour; its folders, if it has any, are classes."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from surflow._internal.limits import check_unpacked
from surflow.data.readers.raw import Raw, frame_of
from surflow.errors import DataError, FileError
from surflow.supports import Integers

# Kinds of pixels of 8 bits a channel, and whether they are grey or have colours; transparency is left out.
_MODES = {"1": "L", "L": "L", "LA": "L", "P": "RGB", "PA": "RGB", "RGB": "RGB", "RGBA": "RGB", "CMYK": "RGB"}
_MODES |= {"YCbCr": "RGB"}
# Others run programs on a file, as that of PostScript does, whatever its name ends in.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
_KINDS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


def image_files(folder: Path) -> list[Path]:
    """The images in a folder and in the folders directly below it, in the order of their names."""
    found = [path for path in (*folder.glob("*"), *folder.glob("*/*")) if path.suffix.lower() in _KINDS]
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))


def read_folder(folder: Path) -> Raw:
    """Images of one size as events (channels, height, width) of 256 levels; "class" names the folder each was in.

    Raises:
        FileError: if there are no images, or one cannot be read.
        DataError: if they differ in size, have more than 8 bits a channel, or if only some are in folders of classes.
    """
    from PIL import Image  # matplotlib, which draws every picture, stands on it

    files = image_files(folder)
    if not files:
        raise FileError(
            f"{folder} is a folder without images ({', '.join(_KINDS)}): expected them there, or in folders"
        )
    pictures, packed, unpacked = [], 0, 0
    for path in files:
        packed += path.stat().st_size
        try:
            # Warnings of Pillow's are about files that it reads all the same.
            with warnings.catch_warnings(action="ignore"), Image.open(path, formats=_FORMATS) as image:
                mode, to = image.mode, _MODES.get(image.mode, "L")
                unpacked += image.width * image.height * len(to)
                check_unpacked(path, unpacked, packed)
                pictures.append(np.asarray(image.convert(to)))
        except FileError:
            raise
        except Exception as error:  # its readers of damaged images raise errors of every kind
            raise FileError(f"{path} cannot be read as an image: {error}") from error
        if mode not in _MODES:
            raise DataError(
                f"{path} has pixels of the kind {mode!r}: expected 8 bits a channel, grey or colour; save it so, or "
                "save an array with numpy.save"
            )
    shapes = {picture.shape: path for picture, path in zip(pictures, files, strict=True)}
    if len(shapes) > 1:
        (a, first), (b, second) = list(shapes.items())[:2]
        raise DataError(
            f"the images in {folder} differ: {first.name} has shape {a}, {second.name} {b}: "
            "bring all to one size, and to grey or to colour"
        )
    events = np.stack(pictures)
    events = events[:, None] if events.ndim == 3 else np.moveaxis(events, -1, 1)
    classes = [path.parent.name for path in files if path.parent != folder]
    if classes and len(classes) < len(files):
        raise DataError(f"{folder} has {len(files) - len(classes)} images beside its folders: put every image into one")
    origin, frame = f"the folder {folder.name}", None
    if classes:
        frame = frame_of({"class": np.asarray(classes, dtype=object)}, folder.name, origin)
    targets = ("class",) if classes else ()
    return Raw(folder.name, origin, frame, events=events, targets=targets, support=Integers(256))
