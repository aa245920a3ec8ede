# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Derives a network from another one and proves what it made: derive.py free-batch|cut-classifier MODEL OUT.xml

free-batch      Exporters write the batch of their example input as a literal into Reshape and its relatives. These literals are replaced by
                "whatever comes", so that the first dimension is free.
cut-classifier  What a classifier classifies by is a feature of its picture. The last layer with weights goes, the pooled maps that enter it
                become the output; the batch is freed too.

The result is an IR that is proved before it stays: five different inputs as one batch through the new file against five single runs of the
ORIGINAL network (its classifier cut off). If they differ, nothing is left behind.

How a batch is freed: with batch 1 every shape in the network is known. Tensors are row-major and the batch is the outermost dimension, so
a Reshape on the path from the input may get the pattern [-1, known, known, ...], whatever it was before, and the others (Slice,
StridedSlice, Interpolate, Broadcast, Concat with a constant) are told not to touch dimension 0. Shape arithmetic
(behind ShapeOf) is left alone. Weights are saved in the precision they were in.

Exit codes: 0 done, 3 the batch is free already (nothing written), 1 not possible; the last line of stderr says why."""
import os
import sys

import numpy as np
import openvino as ov
from openvino import opset13 as ops

BATCH = 5
# Relative to an output's range. The same network at another batch takes other kernels; files with half-precision weights were seen to
# differ by 3e-3. A row in the wrong place differs by the range itself.
MAX_DIFFERENCE = 2e-2
MEAN_DIFFERENCE = 1e-3
EVERYTHING = np.iinfo(np.int64).max


class Refused(Exception):
    pass


def constant(values):
    return ops.constant(np.array(values, dtype=np.int64))


def const_value(output):
    node = output.get_node()
    return np.array(node.data) if node.get_type_name() == "Constant" else None


def on_data_path(model):
    """Names of the nodes whose values, not only shapes, come from the input."""
    found = {p.get_friendly_name() for p in model.get_parameters()}
    for node in model.get_ordered_ops():
        if node.get_type_name() == "ShapeOf":
            continue
        if any(v.get_node().get_friendly_name() in found for v in node.input_values()):
            found.add(node.get_friendly_name())
    return found


def static(output):
    shape = output.get_partial_shape()
    if not shape.is_static:
        raise Refused(f"{output.get_node().get_friendly_name()}: shape {shape} is not fixed")
    return [int(d) for d in shape.to_shape()]


def batch_of(output):
    """The first dimension of an output, as a tensor of one number."""
    return ops.gather(ops.shape_of(output, "i64"), constant([0]), constant(0))


def fix_reshape(node, path):
    node.input(1).replace_source_output(constant([-1] + static(node.output(0))[1:]).output(0))
    if node.get_type_name() == "Reshape":
        node.set_attribute("special_zero", False)
    return True


def as_reshape(node):
    """Squeeze and Unsqueeze of dimensions behind the batch are harmless; one of the batch becomes a Reshape."""
    axes = const_value(node.input_value(1)) if len(node.inputs()) > 1 else None
    rank = max(len(static(node.input_value(0))), len(static(node.output(0))))
    if axes is not None and all(a % rank != 0 for a in np.atleast_1d(axes)):
        return False
    shape = static(node.output(0))
    new = ops.reshape(node.input_value(0), constant([-1] + shape[1:]), False)
    node.output(0).replace(new.output(0))
    return True


def fix_strided_slice(node, path):
    begin, end = const_value(node.input_value(1)), const_value(node.input_value(2))
    attrs = node.get_attributes()
    if begin is None or end is None or attrs["end_mask"][:1] == [1]:
        return False
    if begin[0] > 0 and not attrs["begin_mask"][:1] == [1]:
        raise Refused(f"{node.get_friendly_name()} cuts into the batch")
    mask = (list(attrs["end_mask"]) + [0] * len(end))[: len(end)]
    head = (list(attrs["begin_mask"]) + [0] * len(begin))[: len(begin)]
    node.set_attribute("end_mask", [1] + mask[1:])
    node.set_attribute("begin_mask", [1] + head[1:])
    return True


def fix_slice(node, path):
    start, stop = const_value(node.input_value(1)), const_value(node.input_value(2))
    if start is None or stop is None:
        return False
    axes = const_value(node.input_value(4)) if len(node.inputs()) > 4 else np.arange(len(start))
    if axes is None or 0 not in axes:
        return False
    i = list(axes).index(0)
    if start[i] != 0:
        raise Refused(f"{node.get_friendly_name()} cuts into the batch")
    stop = stop.astype(np.int64)
    stop[i] = EVERYTHING
    node.input(2).replace_source_output(ops.convert(constant(stop), node.input(2).get_element_type()).output(0)
                                        if node.input(2).get_element_type() != ov.Type.i64
                                        else constant(stop).output(0))
    return True


def fix_interpolate(node, path):
    if len(node.inputs()) < 4 or node.get_attributes().get("shape_calculation_mode") != "sizes":
        return False
    sizes, axes = const_value(node.input_value(1)), const_value(node.input_value(3))
    scales = const_value(node.input_value(2))
    if sizes is None or axes is None or 0 not in axes:
        return False
    keep = [i for i, a in enumerate(axes) if a != 0]
    node.input(1).replace_source_output(constant(sizes[keep]).output(0))
    if scales is not None:
        node.input(2).replace_source_output(ops.constant(scales[keep]).output(0))
    node.input(3).replace_source_output(constant(axes[keep]).output(0))
    return True


def fix_broadcast(node, path):
    source, shape = node.input_value(0), static(node.output(0))
    if const_value(node.input_value(1)) is None or len(static(source)) != len(shape):
        return False
    target = ops.concat([batch_of(source), constant(shape[1:])], 0)
    node.input(1).replace_source_output(target.output(0))
    return True


def fix_concat(node, path):
    """A constant beside data, as the class token of a transformer, is repeated for every row."""
    axis = node.get_attributes()["axis"] % len(static(node.output(0)))
    values = node.input_values()
    data = [v for v in values if v.get_node().get_friendly_name() in path]
    if axis == 0:
        raise Refused(f"{node.get_friendly_name()} joins along the batch")
    changed = False
    for i, value in enumerate(values):
        if value.get_node().get_friendly_name() in path:
            continue
        target = ops.concat([batch_of(data[0]), constant(static(value)[1:])], 0)
        node.input(i).replace_source_output(ops.broadcast(value, target).output(0))
        changed = True
    return changed


FIXES = {"Reshape": fix_reshape, "StridedSlice": fix_strided_slice, "Slice": fix_slice,
         "Interpolate": fix_interpolate, "Broadcast": fix_broadcast, "Concat": fix_concat}


def free(model):
    path = on_data_path(model)
    changed = 0
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if node.get_friendly_name() not in path:
            continue
        if kind in ("Squeeze", "Unsqueeze"):
            changed += as_reshape(node)
        elif kind in FIXES:
            changed += FIXES[kind](node, path)
    return changed


def free_shape(model):
    shape = model.input(0).get_partial_shape()
    return ov.PartialShape([-1] + [shape[i] for i in range(1, len(shape))])


def first_dims(model, batch):
    """First dimensions of the outputs at a batch, or None where the network does not stand it."""
    shape = model.input(0).get_partial_shape()
    try:
        model.reshape([batch] + [shape[i] for i in range(1, len(shape))])
        return [o.get_partial_shape()[0] for o in model.outputs]
    except RuntimeError:
        return None


def is_free(model):
    dims = first_dims(model, BATCH)
    return dims is not None and all(d.is_static and d.get_length() == BATCH for d in dims)


def last_layer(model):
    """The last node on the path from the input that multiplies it by weights."""
    path = on_data_path(model)
    for node in reversed(model.get_ordered_ops()):
        if node.get_friendly_name() in path and node.get_type_name() in ("MatMul", "Convolution", "GroupConvolution"):
            if node.input_value(1).get_node().get_friendly_name() not in path:
                return node
    raise Refused("it has no layer with weights")


def cut_classifier(model):
    output = last_layer(model).input_value(0)
    while output.get_node().get_type_name() in ("Reshape", "Squeeze", "FakeQuantize", "Convert", "Transpose"):
        output = output.get_node().input_value(0)
    shape = output.get_partial_shape()
    sides = [d for d in list(shape)[1:] if d.is_dynamic or d.get_length() > 1]
    if len(sides) != 1:
        raise Refused(f"what enters its last layer is {shape}, not one vector for each picture")
    if output.get_element_type() != ov.Type.f32:
        output = ops.convert(output, "f32").output(0)
    return ov.Model([ops.result(output)], model.get_parameters(), "features")


def read(core, path, task):
    model = core.read_model(path)
    if len(model.inputs) != 1:
        raise Refused(f"the network has {len(model.inputs)} inputs, expected one")
    return cut_classifier(model) if task == "cut-classifier" else model


def with_batch(model, batch):
    shape = model.input(0).get_partial_shape()
    model.reshape([batch] + [shape[i] for i in range(1, len(shape))])
    return model


def inputs(shape, scale):
    """Five pictures of coarse coloured blocks, each another one, in 0..scale."""
    rng = np.random.default_rng(20)
    out = []
    for _ in range(BATCH):
        coarse = rng.random([1] + [max(1, d // 16) if d > 16 else d for d in shape[1:]])
        for axis, d in enumerate(shape):
            if d > 16:
                coarse = np.repeat(coarse, -(-d // coarse.shape[axis]), axis=axis).take(range(d), axis=axis)
        out.append(coarse * scale)
    return out


def run(compiled, x, dtype):
    result = compiled(x.astype(dtype))
    return [np.array(result[o], dtype=np.float64) for o in compiled.outputs]


def compare(singles, batch, name):
    wanted = np.concatenate(singles)
    if wanted.shape != batch.shape:
        raise Refused(f"output {name}: a batch gives {batch.shape}, singles {wanted.shape}")
    spread = max(float(wanted.max() - wanted.min()), 1e-12)
    if np.abs(wanted[0] - wanted[1]).max() / spread < 1e-4:
        return None  # these inputs prove nothing
    diff = np.abs(wanted - batch) / spread
    if diff.max() > MAX_DIFFERENCE or diff.mean() > MEAN_DIFFERENCE:
        raise Refused(f"output {name}: a batch differs from singles by {diff.max():.2g} of the range")
    return diff.max()


def prove(core, original, derived):
    config = {"INFERENCE_PRECISION_HINT": "f32"}
    one = core.compile_model(original, "CPU", config)
    model = core.read_model(derived)
    if not all(o.get_partial_shape()[0].is_dynamic for o in model.outputs):
        raise Refused("the first dimension of an output did not become free")
    shape = static(one.input(0))
    many = core.compile_model(with_batch(model, BATCH), "CPU", config)
    dtype = one.input(0).get_element_type().to_dtype()
    worst, proved = 0.0, 0
    for scale in (1.0, 255.0) if np.issubdtype(dtype, np.floating) else (255.0,):
        pictures = inputs(shape, scale)
        singles = [run(one, x, dtype) for x in pictures]
        if not all(np.isfinite(v).all() for s in singles for v in s):
            continue
        batch = run(many, np.concatenate(pictures), dtype)
        diffs = [compare([s[i] for s in singles], got, i) for i, got in enumerate(batch)]
        if None not in diffs:
            worst = max(worst, *diffs)
            proved += 1
    if not proved:
        raise Refused("the network does not tell the test inputs apart: nothing can be proved")
    return worst


def main(task, source, target):
    core = ov.Core()
    changed = 0
    if not is_free(read(core, source, task)):
        model = with_batch(read(core, source, task), 1)
        changed = free(model)
    elif task == "free-batch":
        print("the batch is free already", file=sys.stderr)
        return 3
    else:
        model = read(core, source, task)
    model.reshape(free_shape(model))
    model.validate_nodes_and_infer_types()
    ov.save_model(model, target, compress_to_fp16=False)
    del model
    worst = prove(core, with_batch(read(core, source, task), 1), target)
    print(f"freed {changed} literals; a batch of {BATCH} differs from singles by {worst:.2g} of the range")
    return 0


def run_main():
    task, source, target = sys.argv[1:]
    try:
        return main(task, source, target)
    except (Refused, RuntimeError, ValueError) as e:
        for path in (target, os.path.splitext(target)[0] + ".bin"):
            if os.path.exists(path):
                os.remove(path)
        lines = [line for line in str(e).splitlines() if line.strip() and not line.startswith("Exception from")]
        print(lines[-1] if lines else type(e).__name__, file=sys.stderr)
        return 1


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("free-batch", "cut-classifier"):
        sys.exit("usage: derive.py free-batch|cut-classifier MODEL OUT.xml")
    sys.exit(run_main())
