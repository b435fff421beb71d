"""Media that the bench makes: 12 MP photos, and videos with planted pictures. The same for the same seed."""

import json
import os
import subprocess
import threading

import cv2
import numpy as np
import pdqhash

SEED = 20_260
FPS, SECONDS, WIDTH, HEIGHT = 30, 60, 1920, 1080
PLANTS_OF_A_SECOND = 8
PLANTS_OF_HALF_A_SECOND = 8


def landscape(random, width, height):
    """Noise at every scale, smooth shapes and hard edges: compresses and blurs much as a photo does."""
    picture = np.zeros((height, width, 3), np.float32)
    weight = 1.0
    for octave in range(1, 10):
        cells = 2**octave
        noise = random.random((max(cells * height // width, 2), cells, 3), dtype=np.float32) - 0.5
        picture += weight * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        weight *= 0.62
    picture = 128 + 130 * picture
    for _ in range(30):
        centre = (int(random.integers(width)), int(random.integers(height)))
        radius = int(random.integers(width // 80, width // 10))
        colour = tuple(int(c) for c in random.integers(20, 235, 3))
        cv2.circle(picture, centre, radius, colour, -1, cv2.LINE_AA)
    picture += random.normal(0, 6, (height, width, 1)).astype(np.float32)
    return np.clip(picture, 0, 255).astype(np.uint8)


def big_photos(folder, count, portraits):
    """JPEGs of 4000 × 3000 at quality 90, with a portrait in each where there are any."""
    os.makedirs(folder, exist_ok=True)
    random = np.random.default_rng(SEED)
    paths = []
    for index in range(count):
        path = os.path.join(folder, f"{index:02}.jpg")
        paths.append(path)
        if os.path.exists(path):
            continue
        picture = landscape(np.random.default_rng([SEED, index]), 4000, 3000)
        if portraits:
            portrait = cv2.imread(portraits[index % len(portraits)])
            scale = min(2000 / portrait.shape[1], 2000 / portrait.shape[0])
            portrait = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
            left, top = int(random.integers(4000 - portrait.shape[1])), int(random.integers(3000 - portrait.shape[0]))
            picture[top : top + portrait.shape[0], left : left + portrait.shape[1]] = portrait
        write(path, cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
    return paths


def write(path, data):
    with open(path + ".part", "wb") as file:
        file.write(data)
    os.replace(path + ".part", path)


def distinct_copies(paths, folder, copies):
    """Copies that differ in one byte after the end of the JPEG, so that nobody may answer from memory."""
    os.makedirs(folder, exist_ok=True)
    made = []
    for turn in range(copies):
        for index, path in enumerate(paths):
            copy = os.path.join(folder, f"{turn:02}-{index:04}.jpg")
            with open(path, "rb") as file:
                write(copy, file.read() + turn.to_bytes(2, "big"))
            made.append(copy)
    return made


def videos(folder):
    """Two encodings of one film (GOP of 250 frames, and of 2 s), and the list of what is planted where.

    Gives ({name: path}, plants), each plant {index, at, length, pdq} with times in seconds.
    """
    os.makedirs(folder, exist_ok=True)
    paths = {name: os.path.join(folder, f"{name}.mp4") for name in ("gop250", "gop60")}
    listing = os.path.join(folder, "plants.json")
    if os.path.exists(listing):
        with open(listing) as file:
            return paths, json.load(file)
    random = np.random.default_rng(SEED)
    lengths = [1.0] * PLANTS_OF_A_SECOND + [0.5] * PLANTS_OF_HALF_A_SECOND
    random.shuffle(lengths)
    slot = SECONDS / len(lengths)
    plants, pictures = [], []
    for index, length in enumerate(lengths):
        # A random phase within its slot, and never on a whole frame's grid of the samplers.
        at = index * slot + random.uniform(0.3, slot - length - 0.3)
        picture = landscape(np.random.default_rng([SEED, 1000 + index]), WIDTH, HEIGHT)
        vector, _ = pdqhash.compute(cv2.cvtColor(cv2.resize(picture, (512, 512), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB))
        first = round(at * FPS)
        count = round(length * FPS)
        plants.append({"index": index, "at": first / FPS, "length": count / FPS, "pdq": np.packbits(vector).tobytes().hex()})
        pictures.append((first, count, picture))
    encode(paths, pictures)
    with open(listing, "w") as file:
        json.dump(plants, file)
    return paths, plants


def encode(paths, pictures):
    """Pans over a panorama, plants between; one raw stream into both encoders at once."""
    def encoder(path, gop):
        return subprocess.Popen(
            ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(FPS), "-i", "-",
             "-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-pix_fmt", "yuv420p",
             "-x264-params", f"keyint={gop}:min-keyint={gop}:scenecut=0", "-movflags", "+faststart", path],
            stdin=subprocess.PIPE,
        )
    encoders = [encoder(paths["gop250"], 250), encoder(paths["gop60"], 60)]
    panorama = landscape(np.random.default_rng([SEED, 999]), WIDTH + 2 * SECONDS * FPS, HEIGHT)
    planted = {frame: picture for first, count, picture in pictures for frame in range(first, first + count)}
    for number in range(SECONDS * FPS):
        picture = planted.get(number)
        if picture is None:
            picture = np.ascontiguousarray(panorama[:, 2 * number : 2 * number + WIDTH])
        threads = [threading.Thread(target=each.stdin.write, args=(picture.data,)) for each in encoders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for each in encoders:
        each.stdin.close()
        if each.wait():
            raise SystemExit("bench: ffmpeg could not encode the video")
