"""Makes two folders of captioned pictures for `data import --pictures` out of what scripts/fetch-emoji fetched.

FOLDER/training and FOLDER/held-out hold the pictures and a metadata.jsonl with several captions for each. Held out are
about a tenth of the pairs of a person and a skin tone: both are seen in training, but not together. A caption belongs
to pictures of one look only.
"""

import argparse
import collections
import hashlib
import itertools
import json
import pathlib
import shutil
import sys
from dataclasses import dataclass

TONES = {"1F3FB": "light", "1F3FC": "medium-light", "1F3FD": "medium", "1F3FE": "medium-dark", "1F3FF": "dark"}
# One pair of a person and a skin tone in this many is held out.
HELD_OUT_OF = 10


@dataclass
class Picture:
    """A picture, what it shows and which captions it has."""

    file: str
    person: str
    tones: str
    look: bytes
    captions: list

    def drawn(self):
        """Whether chance holds it out: the same on every machine."""
        digest = hashlib.sha256(f"{self.person} {self.tones}".encode()).digest()
        return bool(self.tones) and int.from_bytes(digest[:8], "big") % HELD_OUT_OF == 0


def pictures(emoji, folder):
    """All pictures of an entry of emoji.json: the plain one and those with skin tones."""
    for tones, variant in [("", emoji), *sorted(emoji.get("skin_variations", {}).items())]:
        file = variant["image"]
        look = hashlib.sha256((folder / file).read_bytes()).digest()
        yield Picture(file, emoji["unified"], tones, look, captions(emoji, tones))


def captions(emoji, tones):
    """Wordings for a picture, without repetition."""
    name, alias = emoji["name"].lower(), short_name(emoji)
    kind, group = emoji["subcategory"].replace("-", " "), emoji["category"].lower()
    if tones:
        tone = skin(tones)
        texts = [
            f"{name}, {tone}",
            f"{name} with {tone}",
            f"{alias}: {tone}",
            f"an emoji of {name}, {tone}",
            f"{tone}, {alias}, {kind}",
        ]
    else:
        texts = [name, alias, f"an emoji of {name}", f"{name}, {kind}", f"{alias}, from {group}"]
    return list(dict.fromkeys(texts))


def short_name(emoji):
    """Another name where there is one; flags have letters of their countries instead."""
    name = emoji["name"].lower()
    short = emoji["short_name"].replace("_", " ").replace("-", " ")
    return name if emoji["category"] == "Flags" else short


def skin(tones):
    """Skin tones in words: those of two people are in the order of the code points."""
    words = list(dict.fromkeys(TONES[tone] for tone in tones.split("-")))
    return " and ".join(words) + (" skin tone" if len(words) == 1 else " skin tones")


def drop_shared(found):
    """Drops captions that pictures of different looks have in common."""
    looks = collections.defaultdict(set)
    for picture in found:
        for caption in picture.captions:
            looks[caption].add(picture.look)
    for picture in found:
        picture.captions = [caption for caption in picture.captions if len(looks[caption]) == 1]
        if not picture.captions:
            sys.exit(f"{picture.file} shares all of its captions with pictures that look different")


def split(found):
    """Training and held-out pictures; a look that several pictures have stays in training."""
    looks = collections.Counter(picture.look for picture in found)
    held_out = [picture for picture in found if picture.drawn() and looks[picture.look] == 1]
    files = {picture.file for picture in held_out}
    training = [picture for picture in found if picture.file not in files]
    for part in (lambda picture: picture.person, lambda picture: picture.tones):
        unseen = {part(picture) for picture in held_out} - {part(picture) for picture in training if picture.tones}
        if unseen:
            sys.exit(f"{sorted(unseen)} are in no training picture with a skin tone")
    return training, held_out


def write(folder, source, chosen):
    """Copies pictures and then writes their captions, in place of what was there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for picture in chosen:
        shutil.copyfile(source / picture.file, folder / picture.file)
    lines = (json.dumps({"file_name": picture.file, "text": picture.captions}) for picture in chosen)
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{folder}: {len(chosen)} pictures, {sum(len(picture.captions) for picture in chosen)} captions")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="what scripts/fetch-emoji filled")
    folder = parser.parse_args().folder
    source = folder / "img" / "twitter" / "64"
    try:
        table = json.loads((folder / "emoji.json").read_text(encoding="utf-8"))
        found = list(itertools.chain.from_iterable(pictures(emoji, source) for emoji in table))
    except FileNotFoundError as error:
        sys.exit(f"{error.filename} is missing: run scripts/fetch-emoji {folder}")
    drop_shared(found)
    training, held_out = split(found)
    # Training comes last: it stands for both.
    write(folder / "held-out", source, held_out)
    write(folder / "training", source, training)


if __name__ == "__main__":
    main()
