"""Makes squares of a folder's pictures as a script in Python would: Pillow in two processes, one HDF5 file by h5py.

bench/import_speed.py times it. Captions are read from NAME.txt beside each picture. The last line of its output is the
largest resident memory in MiB, of this process and of the larger worker.
"""

import multiprocessing
import pathlib
import resource
import sys

import h5py
import numpy
from PIL import Image, ImageOps

ENDINGS = {".png", ".jpg"}
AT_ONCE = 32


def square(task):
    """A picture upright, over white, its shorter side resized with antialias, the middle cut out."""
    path, side = task
    with Image.open(path) as image:
        image = ImageOps.exif_transpose(image)
        if image.has_transparency_data:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        image = image.convert("RGB")
    scale = side / min(image.size)
    width, height = (max(side, int(length * scale)) for length in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side)).tobytes()


def main(folder, side, target):
    paths = sorted(path for path in pathlib.Path(folder).iterdir() if path.suffix in ENDINGS)
    with h5py.File(target, "w") as file, multiprocessing.Pool(2) as pool:
        shape = (len(paths), side, side, 3)
        images = file.create_dataset("images", shape, "uint8", chunks=(1, *shape[1:]))
        squares = pool.imap(square, [(path, side) for path in paths], chunksize=AT_ONCE)
        for place, pixels in enumerate(squares):
            images[place] = numpy.frombuffer(pixels, "uint8").reshape(shape[1:])
        captions = [path.with_suffix(".txt").read_text().splitlines()[0] for path in paths]
        file.create_dataset("captions", data=captions, dtype=h5py.string_dtype())
    peaks = (resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(*(f"{peak:.0f}" for peak in peaks))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
