"""The Croissant description of a shard set (JSON-LD, version 1.1), with its provenance in W3C PROV terms.

mlcroissant 1.1 unpacks archives into a cache under the hash of their names, which are the same in all sets: give each
set a CROISSANT_CACHE of its own, or it reads the images of the one before.
"""

from __future__ import annotations

import json
from typing import Any

from synthaug.core.types import SplitRecord
from synthaug.shards.curation import CurationRecord
from synthaug.shards.manifest import Manifest
from synthaug.shards.plan import SetPlan

CROISSANT_NAME = "croissant.json"
_CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
#: The key of a file's sample; of a key, the key itself, as mlcroissant applies it twice to what it joins.
_KEY = r"^(\d+)"
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def croissant(manifest: Manifest) -> str:
    """The text of croissant.json."""
    plan, generator = manifest.plan, manifest.plan.generator
    shards = [
        {
            "@type": "cr:FileObject",
            "@id": record.name,
            "name": record.name,
            "contentUrl": record.name,
            "contentSize": f"{record.bytes} B",
            "encodingFormat": "application/x-tar",
            "sha256": record.sha256,
        }
        for record in manifest.shards
    ]
    inside = [{"@id": record.name} for record in manifest.shards]
    value = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": _CONFORMS_TO,
        "name": f"synthetic-{generator.checkpoint[:12]}-{plan.seed}",
        "description": _description(plan),
        "keywords": ["synthetic", "image classification", "webdataset"],
        "version": "1.0.0",
        "prov:wasGeneratedBy": _one_or_all([_drawing(plan), *map(_curation, plan.curations)]),
        "prov:wasDerivedFrom": _one_or_all(
            [
                *_real_images(generator.split, *generator.ancestors),
                *(_entity("shard set", curation.source) for curation in plan.curations),
            ]
        ),
        "distribution": [
            *shards,
            _file_set("image-files", f"*.{plan.image_format}", f"image/{plan.image_format}", inside),
            _file_set("label-files", "*.cls", "text/plain", inside),
        ],
        "recordSet": [_classes(manifest), _samples(), _labels()],
    }
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _description(plan: SetPlan) -> str:
    generator = plan.generator
    classes = sum(map(bool, plan.label_counts()))
    kept = f", kept of {plan.drawn_count} by a curation" if plan.is_curated else ""
    return (
        f"{plan.sample_count} synthetic images of {classes} classes, {generator.image_size}x{generator.image_size} "
        f"pixels, drawn by a {generator.model} generator that was trained on {generator.split.source}{kept}."
    )


def _drawing(plan: SetPlan) -> dict[str, Any]:
    return {
        "@type": "prov:Activity",
        "name": f"{plan.sampler}, {plan.steps} steps, guidance {plan.guidance:g}, seed {plan.seed}",
        "prov:used": _entity(f"{plan.generator.model} checkpoint", plan.generator.checkpoint),
    }


def _curation(curation: CurationRecord) -> dict[str, Any]:
    judge = curation.judge
    classifier = _entity(f"{judge.network} classifier", judge.weights_sha256)
    return {
        "@type": "prov:Activity",
        "name": f"curation: {', '.join(one.setting for one in curation.filters) or 'no filter'}",
        "description": f"{curation.summary}. Judged by {judge.summary}.",
        "prov:used": [
            _entity("shard set", curation.source),
            {**classifier, "prov:wasDerivedFrom": _one_or_all(_real_images(judge.split, *judge.ancestors))},
        ],
    }


def _real_images(*splits: SplitRecord) -> list[dict[str, Any]]:
    return [_entity(split.source, split.train_fingerprint) for split in splits]


def _entity(name: str, sha256: str) -> dict[str, Any]:
    return {"@type": "prov:Entity", "name": name, "identifier": f"sha256:{sha256}"}


def _one_or_all(values: list[dict[str, Any]]) -> dict[str, Any] | list[dict[str, Any]]:
    return values[0] if len(values) == 1 else values


def _file_set(name: str, includes: str, encoding: str, inside: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "containedIn": inside,
        "encodingFormat": encoding,
        "includes": includes,
    }


def _samples() -> dict[str, Any]:
    # The key comes first: mlcroissant joins by the first reference of a record set, and by no other.
    key = _file_field("samples/key", "sc:Text", "Key of the sample.", "image-files", "filename", _KEY)
    label = _field("samples/label", ["sc:Integer", "cr:Label"], "Class index.", {"field": {"@id": "labels/label"}})
    return {
        "@type": "cr:RecordSet",
        "@id": "samples",
        "name": "samples",
        "description": "Each image with the index of its class.",
        "key": {"@id": "samples/key"},
        "field": [
            {**key, "references": {"field": {"@id": "labels/key"}}},
            _file_field("samples/image", "sc:ImageObject", "The image.", "image-files", "content"),
            {**label, "references": {"field": {"@id": "classes/label"}}},
        ],
    }


def _labels() -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "labels",
        "name": "labels",
        "description": "The class index of each sample, as the shards hold it.",
        "key": {"@id": "labels/key"},
        "field": [
            _file_field("labels/key", "sc:Text", "Key of the sample.", "label-files", "filename", _KEY),
            _file_field("labels/label", "sc:Integer", "Class index.", "label-files", "content"),
        ],
    }


def _classes(manifest: Manifest) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "classes",
        "name": "classes",
        "description": "The classes in label order.",
        "dataType": "sc:Enumeration",
        "key": {"@id": "classes/label"},
        "field": [
            _field("classes/label", "sc:Integer", "Class index."),
            _field("classes/name", "sc:Text", "Class name."),
        ],
        "data": [
            {"classes/label": label, "classes/name": name} for label, name in enumerate(manifest.plan.class_names)
        ],
    }


def _file_field(
    name: str, data_type: str, description: str, files: str, prop: str, regex: str | None = None
) -> dict[str, Any]:
    source: dict[str, Any] = {"fileSet": {"@id": files}, "extract": {"fileProperty": prop}}
    if regex is not None:
        source["transform"] = {"regex": regex}
    return _field(name, data_type, description, source)


def _field(
    name: str, data_type: str | list[str], description: str, source: dict[str, Any] | None = None
) -> dict[str, Any]:
    field = {"@type": "cr:Field", "@id": name, "name": name, "description": description, "dataType": data_type}
    return field if source is None else {**field, "source": source}
