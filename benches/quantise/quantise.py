"""int8 variants of models, with what they gain and what they lose beside.

    quantise.py --models DIR --images DIR --out DIR [NAME…]

Takes fetched weights (`<name>-<version>.onnx`) and pictures of the kind that the box will see. Half of them calibrate, the
other half measures: speed of one thread, and how far the answers move. Writes `<name>-int8-<version>.onnx` with its
manifest, ready for a model folder. Activations are unsigned, weights signed and scaled by channel, as quantising and
dequantising nodes (QDQ), which ONNX Runtime and TensorRT both read.
"""

import argparse
import hashlib
import pathlib
import re
import statistics
import sys
import tempfile
import time
import tomllib

import numpy as np
import onnx
import onnx.version_converter
import onnxruntime as ort
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image

CATALOGUE = pathlib.Path(__file__).resolve().parents[2] / "models" / "catalogue"


def tensor(spec, path):
    """A picture as the manifest's input, batch of one."""
    image = Image.open(path).convert("RGB")
    width, height = spec["width"], spec["height"]
    if spec["fit"] == "stretch":
        image = image.resize((width, height), Image.BILINEAR)
        canvas = np.asarray(image, np.float32)
    else:
        image.thumbnail((width, height), Image.BILINEAR)
        # Where the canvas follows the picture, calibration takes the whole: one shape for all.
        canvas = np.zeros((height, width, 3), np.float32)
        canvas[: image.height, : image.width] = np.asarray(image, np.float32)
    if spec["channels"] == "bgr":
        canvas = canvas[:, :, ::-1]
    mean = np.array(spec.get("mean", [0, 0, 0]), np.float32)
    deviation = np.array(spec.get("std", [1, 1, 1]), np.float32)
    canvas = (canvas * np.float32(spec.get("scale", 1.0)) - mean) / deviation
    if spec["layout"] == "nchw":
        canvas = canvas.transpose(2, 0, 1)
    return np.ascontiguousarray(canvas[None], np.float32)


class Reader:
    """Pictures one after the other, as the calibrator asks for them."""

    def __init__(self, name, tensors):
        self.rest = iter([{name: each} for each in tensors])

    def get_next(self):
        return next(self.rest, None)


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def timed(pair, name, sample, rounds=60):
    """Median milliseconds of each, taken in turns so that both meet the same machine."""
    times = [[], []]
    for _ in range(rounds):
        for which, one in enumerate(pair):
            start = time.perf_counter()
            one.run(None, {name: sample})
            times[which].append((time.perf_counter() - start) * 1e3)
    return [statistics.median(each[5:]) for each in times]


def faces(manifest, outputs):
    """How many cells are a face before overlaps are dropped, by the manifest's decoder and bound."""
    bound = manifest["output"].get("score_threshold", 0.5)
    if manifest["output"]["decoder"] == "yunet":
        strides = len(manifest["output"]["strides"])
        scores = [np.sqrt(np.clip(outputs[i], 0, 1) * np.clip(outputs[i + strides], 0, 1)) for i in range(strides)]
        return np.concatenate([each.reshape(-1) for each in scores]) >= bound
    return outputs[0][0, :, 1] >= bound


def compare(manifest, pair, name, tensors):
    """One line on how far the answers move."""
    wanted = manifest["output"]["names"]
    answers = [[one.run(wanted, {name: each}) for each in tensors] for one in pair]
    kind = manifest["kind"]
    if kind == "classifier":
        a, b = (np.concatenate([each[0] for each in one]) for one in answers)
        same = float((a.argmax(1) == b.argmax(1)).mean())
        return f"same top label {same:.1%}, mean |Δp| {np.abs(a - b).mean():.4f}, largest {np.abs(a - b).max():.3f}"
    if kind == "age":
        a, b = (np.array([float(each[0].reshape(-1)[0]) for each in one]) for one in answers)
        return f"mean |Δ| {np.abs(a - b).mean():.2f} years, largest {np.abs(a - b).max():.2f}"
    found = lost = made = 0
    for a, b in zip(*answers):
        before, after = faces(manifest, a).any(), faces(manifest, b).any()
        found += int(before)
        lost += int(before and not after)
        made += int(after and not before)
    return f"{found} pictures with a face: lost in {lost}, invented in {made} of {len(tensors) - found} others"


def write_manifest(source, text, target, weights):
    """The manifest of the variant: the same but for name, precision, and what is pinned."""
    data = weights.read_bytes()
    head, rest = text.split("[input]", 1)
    version = tomllib.loads(text)["version"]
    kept = [line for line in head.splitlines() if re.match(r"(version|kind|licence|min_confidence) ?=", line)]
    lines = [
        f"# {source} with 8-bit layers, made by benches/quantise/quantise.py.",
        f'name = "{source}-int8"',
        *kept,
        'precision = "int8"',
        f'sha256 = "{hashlib.sha256(data).hexdigest()}"',
        f"bytes = {len(data)}",
        "",
    ]
    target.write_text("\n".join(lines) + "\n[input]" + rest)
    return version


def modernised(model):
    """The model with an opset that knows scales by channel, and with its weights as constants, not as inputs."""
    constants = {each.name for each in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    if next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx")) < 13:
        model = onnx.version_converter.convert_version(model, 13)
    return model


def quantise(path, weights, images, out):
    text = path.read_text()
    manifest = tomllib.loads(text)
    name, spec = manifest["name"], manifest["input"]
    tensors = [tensor(spec, image) for image in images]
    calibrating, measuring = tensors[::2], tensors[1::2]
    target = out / f"{name}-int8-{manifest['version']}.onnx"
    with tempfile.TemporaryDirectory() as folder:
        modern, prepared = (pathlib.Path(folder) / each for each in ("modern.onnx", "prepared.onnx"))
        onnx.save(modernised(onnx.load(weights)), modern)
        quant_pre_process(str(modern), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(target),
            Reader(spec["name"], calibrating),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=False,
            calibrate_method=CalibrationMethod.MinMax,
            # Layers that only move numbers cost more in 8 bits than they save.
            op_types_to_quantize=["Conv", "Gemm", "MatMul", "Add", "Relu", "Clip", "MaxPool", "GlobalAveragePool"],
        )
    pair = (session(weights), session(target))
    before, after = timed(pair, spec["name"], measuring[0])
    write_manifest(name, text, out / f"{name}-int8.toml", target)
    ratio = before / after
    met = "met   " if ratio >= 1.5 else "MISSED"
    print(f"GOAL {met} {name} int8: {ratio:.2f} × fp32 (asked ≥ 1.5); {before:.2f} → {after:.2f} ms on one thread")
    print(f"     {compare(manifest, pair, spec['name'], measuring)} ({len(measuring)} pictures)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=pathlib.Path, required=True)
    parser.add_argument("--images", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("names", nargs="*")
    wanted = parser.parse_args()
    images = sorted(p for p in wanted.images.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"})
    if len(images) < 8:
        sys.exit(f"{len(images)} pictures in {wanted.images}: at least 8 are needed, hundreds are better")
    ort.set_default_logger_severity(3)
    wanted.out.mkdir(parents=True, exist_ok=True)
    done = 0
    for path in sorted(CATALOGUE.glob("*.toml")):
        manifest = tomllib.loads(path.read_text())
        weights = wanted.models / f"{manifest['name']}-{manifest['version']}.onnx"
        if (wanted.names and manifest["name"] not in wanted.names) or not weights.is_file():
            continue
        quantise(path, weights, images, wanted.out)
        done += 1
    if done == 0:
        sys.exit(f"no weights in {wanted.models}: bring them with `weir models fetch`")


if __name__ == "__main__":
    main()
