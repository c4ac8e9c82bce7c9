"""Read a Pascal VOC folder: Annotations/NAME.xml, JPEGImages/NAME.jpg, ImageSets/Main/SPLIT.txt."""

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from twinset.data.coco import read_coco
from twinset.data.labelled import (
    Labelled,
    LabelledImage,
    Problems,
    in_taxonomy_order,
    make_labelled_image,
    read_split,
    split_parts,
)
from twinset.taxonomy import Taxonomy

SOURCE = "street-voc"


def read_voc(
    folder: Path, split: str, taxonomy: Taxonomy, strict: bool = False, corrected: bool = True, source: str = SOURCE
) -> Labelled:
    """Return the photos of a split: train, dev, val, another list of the folder, some joined by +, or all.

    Where the folder holds SPLIT.coco.json, labels corrected by hand, those are read instead (unless `corrected` is
    False). `source` names the label map of the taxonomy. Raises UsageError for an unknown split.
    """
    labels = taxonomy.sources[source]
    images: list[LabelledImage] = []
    problems = Problems(strict, [])
    for part in split_parts(split):
        truth = folder / f"{part}.coco.json"
        if corrected and truth.exists() and taxonomy.level != "article-type":  # they name categories
            read = read_coco(truth, folder, taxonomy, strict, source)
            images += read.images
            problems.found.extend(read.problems)
            continue
        for name in read_split(folder / "ImageSets" / "Main", part, problems):
            image = _read_annotation(folder, name, labels.labels, source, problems)
            if image:
                images.append(image)
    return Labelled(images, in_taxonomy_order(labels.categories, taxonomy), problems.found)


def _read_annotation(
    folder: Path, name: str, categories: Mapping[str, str | None], source: str, problems: Problems
) -> LabelledImage | None:
    file = folder / "Annotations" / f"{name}.xml"
    try:
        root = ElementTree.parse(file).getroot()
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as exc:  # the last two for encodings
        problems.add(file, f"expected a VOC annotation, found: {exc}; photo left out")
        return None
    boxes, labels = [], []
    for number, element in enumerate(root.iter("object"), 1):
        label = (element.findtext("name") or "").strip()
        where = f"{file}: object {number}"
        if label not in categories:
            problems.add(where, f"unknown label {label!r}; box left out, name it in the taxonomy to read it")
            continue
        category = categories[label]
        try:
            box = [float(element.findtext(f"bndbox/{side}") or "") for side in ("xmin", "ymin", "xmax", "ymax")]
        except ValueError:
            problems.add(where, f"expected a bndbox of four numbers for {label}, found another; box left out")
            continue
        if category:
            boxes.append(box)
            labels.append(category)
    try:
        size_wh = int(root.findtext("size/width") or 0), int(root.findtext("size/height") or 0)
    except ValueError:
        size_wh = 0, 0
    photo = folder / "JPEGImages" / f"{name}.jpg"
    said = size_wh if all(size_wh) else None
    return make_labelled_image(photo, boxes, labels, [False] * len(boxes), source, file, problems, said)
