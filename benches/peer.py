"""The peer: a moderation worker as a good Python engineer would write it, with OpenCV, onnxruntime and pdqhash.

    peer.py photos --models DIR --jobs N [--reduced] [--no-inference] [--list FILE]
    peer.py frames --models DIR --jobs N --size WxH [--bank HEX,HEX…]     (raw BGR frames on standard input)

Same models, inputs and thresholds as the profile photo-dating: NSFW, YuNet faces, age of each face, variance of the
Laplacian, PDQ, SHA-256. One process a core, one thread in each, work handed out item by item. One JSON object a line.

Choices in the peer's favour: YuNet runs through onnxruntime (15.6 ms for 640 × 640 on one core where cv2.FaceDetectorYN
took 27.4); candidates are filtered before boxes are decoded; PDQ is computed on a picture shrunk to 512 pixels by area.
"""

import argparse
import hashlib
import io
import json
import multiprocessing
import os
import sys
import time

# Before the libraries are loaded: one thread each, since there is a process a core.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import pdqhash  # noqa: E402

SHARPNESS_SIDE = 512
PDQ_SIDE = 512
FACE_SIDE = 640
FACE_SCORE = 0.6
FACE_OVERLAP = 0.45
LABELS = ("drawing", "hentai", "neutral", "porn", "sexy")
LEAST_SIDE = 640  # what the largest detector wants to see: the bound for reduced decoding


class Judge:
    """The detectors of one process."""

    def __init__(self, models, inference=True):
        cv2.setNumThreads(1)
        self.inference = inference
        if not inference:
            return
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        load = lambda name: onnxruntime.InferenceSession(  # noqa: E731
            os.path.join(models, name), options, providers=["CPUExecutionProvider"]
        )
        self.nsfw = load("nsfw.onnx")
        self.faces = load("faces.onnx")
        self.age = load("age.onnx")
        self.grids = {}
        self.face_outputs = [f"{kind}_{stride}" for stride in (8, 16, 32) for kind in ("cls", "obj", "bbox")]

    def grid(self, stride, height, width):
        """Column and row of each cell, in the order of the network's outputs."""
        key = (stride, height, width)
        if key not in self.grids:
            rows, columns = np.divmod(np.arange(height // stride * (width // stride)), width // stride)
            self.grids[key] = np.stack([columns, rows], axis=1).astype(np.float32)
        return self.grids[key]

    def find_faces(self, bgr):
        height, width = bgr.shape[:2]
        scale = min(FACE_SIDE / width, FACE_SIDE / height, 1.0)
        small = bgr
        if scale < 1.0:
            small = cv2.resize(bgr, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
        # Sides of a multiple of the largest stride; the picture keeps its shape, so little is spent on padding.
        height, width = (-(-side // 32) * 32 for side in small.shape[:2])
        frame = cv2.copyMakeBorder(small, 0, height - small.shape[0], 0, width - small.shape[1], cv2.BORDER_CONSTANT)
        outputs = self.faces.run(self.face_outputs, {"input": cv2.dnn.blobFromImage(frame)})
        boxes, scores = [], []
        for index, stride in enumerate((8, 16, 32)):
            cls, obj, delta = (output[0] for output in outputs[index * 3 : index * 3 + 3])
            score = np.sqrt(np.clip(cls[:, 0], 0, 1) * np.clip(obj[:, 0], 0, 1))
            keep = score > FACE_SCORE
            if keep.any():
                delta = delta[keep]
                centre = (self.grid(stride, height, width)[keep] + delta[:, :2]) * stride
                size = np.exp(delta[:, 2:]) * stride
                boxes.append(np.concatenate([centre - size / 2, size], axis=1) / scale)
                scores.append(score[keep])
        if not boxes:
            return []
        boxes, scores = np.concatenate(boxes), np.concatenate(scores)
        kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), FACE_SCORE, FACE_OVERLAP)
        return [(boxes[i], float(scores[i])) for i in np.asarray(kept).flatten()]

    def ages(self, bgr, faces):
        crops = []
        for (x, y, w, h), _ in faces:
            side = max(w, h)
            left, top = x + w / 2 - side / 2, y + h / 2 - side / 2
            crop = bgr[max(int(top), 0) : int(top + side), max(int(left), 0) : int(left + side)]
            if crop.size:
                crops.append(cv2.resize(crop, (112, 112), interpolation=cv2.INTER_LINEAR))
        if not crops:
            return []
        return self.age.run(["age"], {"input": cv2.dnn.blobFromImages(crops, swapRB=True)})[0][:, 0].tolist()

    def judge(self, bgr):
        """All that the rules ask of one upright BGR picture."""
        grey = cv2.cvtColor(within(bgr, SHARPNESS_SIDE), cv2.COLOR_BGR2GRAY)
        found = {"blur_variance": float(cv2.Laplacian(grey, cv2.CV_32F).var())}
        vector, quality = pdqhash.compute(cv2.cvtColor(within(bgr, PDQ_SIDE), cv2.COLOR_BGR2RGB))
        found["pdq"] = np.packbits(vector).tobytes().hex()
        found["pdq_quality"] = int(quality)
        if self.inference:
            blob = cv2.dnn.blobFromImage(cv2.resize(bgr, (224, 224)), 1 / 255, swapRB=True)
            found["nsfw"] = dict(zip(LABELS, self.nsfw.run(["probs"], {self.nsfw.get_inputs()[0].name: blob})[0][0].tolist()))
            faces = self.find_faces(bgr)
            found["faces"] = [[round(float(side), 1) for side in box] + [score] for box, score in faces]
            found["ages"] = self.ages(bgr, faces)
        found["reasons"] = self.decide(found)
        return found

    def decide(self, found):
        reasons = []
        if found["blur_variance"] < 100:
            reasons.append("blurry")
        if self.inference:
            if not found["faces"]:
                reasons.append("no_face")
            if any(age < 18 for age in found["ages"]):
                reasons.append("underage")
            if found["nsfw"]["porn"] > 0.5 or found["nsfw"]["hentai"] > 0.5 or found["nsfw"]["sexy"] > 0.7:
                reasons.append("nsfw")
        return reasons


def within(picture, side):
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return picture
    return cv2.resize(picture, (max(round(width * scale), 1), max(round(height * scale), 1)), interpolation=cv2.INTER_AREA)


def reduction(data):
    """The strongest JPEG reduction that still leaves LEAST_SIDE pixels on the longer side, read from the header."""
    from PIL import Image

    try:
        longest = max(Image.open(io.BytesIO(data)).size)
    except (OSError, ValueError):
        return cv2.IMREAD_COLOR
    for factor, flag in ((8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4), (2, cv2.IMREAD_REDUCED_COLOR_2)):
        if longest // factor >= LEAST_SIDE:
            return flag
    return cv2.IMREAD_COLOR


WORKER = None
REDUCED = False


def start(models, inference, reduced):
    global WORKER, REDUCED
    WORKER, REDUCED = Judge(models, inference), reduced


def photo(path):
    with open(path, "rb") as file:
        data = file.read()
    found = {"file": path, "sha256": hashlib.sha256(data).hexdigest()}
    flag = reduction(data) if REDUCED else cv2.IMREAD_COLOR
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    if picture is None:
        return found | {"error": "undecodable"}
    return found | WORKER.judge(picture)


def photos(arguments):
    with open(arguments.list) if arguments.list else sys.stdin as lines:
        paths = lines.read().splitlines()
    setting = (arguments.models, not arguments.no_inference, arguments.reduced)
    with multiprocessing.Pool(arguments.jobs, start, setting) as pool:
        for found in pool.imap(photo, paths):
            print(json.dumps(found))


def frame(item):
    index, data, (width, height) = item
    return {"second": index} | WORKER.judge(np.frombuffer(data, np.uint8).reshape(height, width, 3))


def frames(arguments):
    """Frames at one a second. Threads rather than processes: no frame is copied, and the libraries let go of the lock."""
    from concurrent.futures import ThreadPoolExecutor

    start(arguments.models, not arguments.no_inference, False)
    size = tuple(int(n) for n in arguments.size.split("x"))
    bank = [int(entry, 16) for entry in arguments.bank.split(",") if entry]

    def read():
        index, length = 0, size[0] * size[1] * 3
        while len(data := sys.stdin.buffer.read(length)) == length:
            yield index, data, size
            index += 1

    with ThreadPoolExecutor(arguments.jobs) as pool:
        for found in pool.map(frame, read()):
            value = int(found["pdq"], 16)
            found["matches"] = [n for n, entry in enumerate(bank) if (value ^ entry).bit_count() <= 31]
            print(json.dumps(found))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("photos", "frames"))
    parser.add_argument("--models", default=".")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--reduced", action="store_true", help="decode JPEG at a fraction of its size")
    parser.add_argument("--no-inference", action="store_true", help="no neural model")
    parser.add_argument("--list", help="file with one path a line; else standard input")
    parser.add_argument("--size", default="1920x1080", help="of the raw frames")
    parser.add_argument("--bank", default="", help="PDQ hashes, comma-separated")
    arguments = parser.parse_args()
    began = time.monotonic()
    {"photos": photos, "frames": frames}[arguments.what](arguments)
    print(f"peer: {time.monotonic() - began:.2f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
