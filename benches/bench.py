"""Weir against a Python worker, side by side in one run: `make bench`.

    bench.py WEIR [--only photos,video,cold,micro] [--rounds N]

Every comparison: one watched round (memory, warm-up), then timed rounds in turning order; median and half range. A line is
a product's own command from start to end, loading of models included, for both sides. Made media stay in .bench.
"""

import argparse
import glob
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

import media
from measure import Command, side_by_side

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
WORK = os.path.join(ROOT, ".bench")
DATA = os.environ.get("WEIR_SHARED_DATA", os.path.join(ROOT, "..", "shared", "data"))
PEER = [sys.executable, os.path.join(HERE, "peer.py")]
JOBS = os.cpu_count()
# `weir check`: 0 all allowed, 1 something not allowed, 2 something could not be judged.
JUDGED = (0, 1, 2)

# Above this load another program takes part of the cores, and the numbers mean little.
IDLE_LOAD = 0.5

# What the peer loads: a pattern of file names in Weir's models folder, and the published conversions of the same
# weights beside it in the reference data; of several the fastest is taken.
PEER_MODELS = {
    "nsfw.onnx": ["nsfwjs-mobilenet-v2-*.onnx", "nsfwjs_mobilenet_v2_u8w.onnx"],
    "faces.onnx": ["yunet-n-[0-9].onnx"],
    "age.onnx": ["face-api-age-*.onnx"],
}
INPUT_SIDES = {"nsfw.onnx": 224, "faces.onnx": 640, "age.onnx": 112}


class Bench:
    def __init__(self, weir, rounds):
        self.weir, self.rounds = os.path.abspath(weir), rounds
        self.lines, self.results = [], {}
        self.env = {}
        os.makedirs(WORK, exist_ok=True)

    def say(self, text=""):
        print(text, flush=True)
        self.lines.append(text)

    def goal(self, what, value, bound, unit, most=False):
        """One line on a goal: at least `bound`, or with `most` at most."""
        met = value <= bound if most else value >= bound
        self.say(f"GOAL {'met   ' if met else 'MISSED'} {what}: {value:.2f} {unit} (asked {'≤' if most else '≥'} {bound})")

    def check(self, *arguments):
        return [self.weir, "check", "--json", "--jobs", str(JOBS), *arguments]

    def models(self):
        """A folder with Weir's models, fetched from the reference data if they are there, and one for the peer."""
        folder = os.environ.get("WEIR_MODELS") or os.path.join(WORK, "models")
        self.env = {"WEIR_MODELS": folder}
        mirror = os.path.join(DATA, "models")
        fetch = [self.weir, "models", "fetch", "--profile", "photo-dating"]
        fetch += ["--mirror", mirror] if os.path.isdir(mirror) else []
        subprocess.run(fetch, env=os.environ | self.env, check=True, stdout=subprocess.DEVNULL)
        peer = os.path.join(WORK, "peer-models")
        os.makedirs(peer, exist_ok=True)
        for name, patterns in PEER_MODELS.items():
            found = [path for place in (folder, mirror) for pattern in patterns for path in glob.glob(os.path.join(place, pattern))]
            if not found:
                raise SystemExit(f"bench: the peer's {name} is neither in {folder} nor in {mirror}")
            timed = {path: seconds_a_run(path, INPUT_SIDES[name]) for path in found} if len(found) > 1 else {found[0]: 0}
            fastest = min(timed, key=timed.get)
            shutil.copyfile(fastest, os.path.join(peer, name))
            for path, seconds in timed.items():
                if seconds:
                    taken = "taken for the peer" if path == fastest else "left"
                    self.say(f"{os.path.basename(path)}: {seconds * 1000:.1f} ms a picture in onnxruntime: {taken}")
        return peer

    def compare(self, title, commands, count, unit, targets):
        """Runs and prints one table: rate, memory, and the ratio of the first command to each other one."""
        side_by_side(commands, self.rounds)
        ours = commands[0]
        self.say(f"\n## {title}")
        self.say(f"| {'':38} | {unit}/s | median s | ± | CPU s | peak PSS MiB | ratio | memory |")
        self.say("|---|---|---|---|---|---|---|---|")
        for command in commands:
            ratio = command.median / ours.median
            memory = ours.memory / max(command.memory, 1)
            self.say(
                f"| {command.name:38} | {count / command.median:7.1f} | {command.median:7.2f} | {command.spread:4.0%} | {command.cpu:5.1f} "
                f"| {command.memory / 2**20:6.0f} | {ratio:5.2f} | {memory:4.2f} |"
            )
        for name, least in targets.items():
            (other,) = (command for command in commands if command.name == name)
            self.goal(f"{title}, against {name}", other.median / ours.median, least, "×")
            self.say(f"     by processor time: {other.cpu / ours.cpu:.2f} ×")
        self.results[title] = {
            command.name: {"seconds": command.seconds, "peak_pss_bytes": command.memory, "per_second": count / command.median}
            for command in commands
        }

    def photos(self, peer_models):
        portraits = sorted(glob.glob(os.path.join(DATA, "faces", "*.jp*g")))
        real = [path for path in sorted(glob.glob(os.path.join(DATA, "**", "*.jp*g"), recursive=True)) if "/malformed/" not in path]
        sets = {}
        if real:
            sets["reference JPEGs"] = (real, 1, 1.5)
        sets["12 MP JPEGs"] = (media.big_photos(os.path.join(WORK, "12mp"), 16, portraits), 3, 2.5)
        for name, (paths, copies, least) in sets.items():
            self.photo_set(name, paths, copies, least, peer_models)

    def photo_set(self, name, paths, copies, least, peer_models):
        folder = os.path.join(WORK, "photos-" + name.split()[0].lower())
        made = media.distinct_copies(paths, folder, copies)
        listing = folder + ".txt"
        with open(listing, "w") as file:
            file.write("\n".join(made) + "\n")
        peer = [*PEER, "photos", "--models", peer_models, "--jobs", str(JOBS), "--list", listing]
        ours = self.weir_on("weir, photo-dating (words, QR, links)", "photo-dating", folder)
        full = Command("peer", peer)
        reduced = Command("peer, IMREAD_REDUCED_COLOR", [*peer, "--reduced"])
        same = self.weir_on("weir, same work", os.path.join(HERE, "same-work-1000.toml"), folder)
        # The goal is on equal work; what words, codes and links cost besides is the ratio of the last line.
        self.compare(f"{len(made)} {name}", [same, full, reduced, ours], len(made), "photos", {"peer": least})
        self.goal(f"{name}, memory against peer", same.memory / max(full.memory, 1), 0.5, "×", most=True)
        self.agreement(same, full)
        ours = self.weir_on("weir", os.path.join(HERE, "no-inference.toml"), folder)
        full = Command("peer", [*peer, "--no-inference"])
        reduced = Command("peer, IMREAD_REDUCED_COLOR", [*peer, "--no-inference", "--reduced"])
        self.compare(f"{len(made)} {name}, without inference", [ours, full, reduced], len(made), "photos", {})

    def weir_on(self, name, profile, *paths):
        return Command(name, self.check("--profile", profile, *paths), good=JUDGED, env=self.env)

    def agreement(self, ours, peer):
        """That both did the same work, as far as their ways of shrinking a picture let them agree."""
        theirs = {found["sha256"]: found for found in parse(peer.output) if "pdq" in found}
        both = near = faces = nsfw = 0
        for found in parse(ours.output):
            for medium in found.get("media") or []:
                other = theirs.get(medium.get("sha256"))
                if not other or not medium.get("pdq"):
                    continue
                both += 1
                near += (int(medium["pdq"], 16) ^ int(other["pdq"], 16)).bit_count() <= 31 or other["pdq_quality"] < 50
                faces += len(medium.get("faces") or []) == len(other["faces"])
                nsfw += refused((found.get("scores") or {}).get("nsfw_categories")) == refused(other["nsfw"])
        self.say(f"Same findings on {both} photos: PDQ within 31 bits {near}, count of faces {faces}, NSFW by threshold {nsfw}")

    def video(self, peer_models):
        paths, plants = media.videos(os.path.join(WORK, "video"))
        bank = os.path.join(WORK, "video", "bank.toml")
        with open(bank, "w") as file:
            entries = ", ".join(f'{{ hash = "{plant["pdq"]}" }}' for plant in plants)
            # Low severity: a finding that does not settle the verdict, so that nobody stops early.
            file.write(f'name = "plants"\nkind = "pdq"\ncategory = "listed"\nseverity = "low"\nverified = true\nentries = [{entries}]\n')
        self.film("GOP 250, max_gap_ms 1000", paths["gop250"], "same-work-1000.toml", bank, plants, peer_models, {"peer": 1.3})
        self.film("GOP 2 s, max_gap_ms 2000", paths["gop60"], "same-work-2000.toml", bank, plants, peer_models, {"peer": 4, "peer, -skip_frame nokey": 1.2})

    def film(self, title, path, profile, bank, plants, peer_models, targets):
        worker = [*PEER, "frames", "--models", peer_models, "--jobs", str(JOBS), "--bank", ",".join(plant["pdq"] for plant in plants)]
        raw = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-"]
        ffmpeg = ["ffmpeg", "-v", "error", "-nostdin"]
        ours = self.weir_on("weir", os.path.join(HERE, profile), "--bank", bank, path)
        peer = Command("peer", [*ffmpeg, "-i", path, "-vf", "fps=1", *raw], worker)
        commands = [ours, peer]
        if "peer, -skip_frame nokey" in targets:
            nokey = [*ffmpeg, "-skip_frame", "nokey", "-i", path, "-fps_mode", "passthrough", *raw]
            commands.append(Command("peer, -skip_frame nokey", nokey, worker))
        self.compare(f"60 s of 1080p30 H.264, {title}", commands, media.SECONDS, "s of video", targets)
        for command in commands:
            found = found_plants(command, plants)
            for length in (1.0, 0.5):
                of = [plant for plant in plants if abs(plant["length"] - length) < 0.1]
                hits = sum(plant["index"] in found for plant in of)
                what = f"{title}, plants of {length} s found by {command.name}"
                if command is ours and length == 1.0 and "1000" in title:
                    self.goal(what, hits, len(of), f"of {len(of)}")
                else:
                    self.say(f"{what}: {hits} of {len(of)}")
        (line,) = parse(ours.output)
        self.say(f"Weir's coverage: {json.dumps(line.get('coverage'))}")

    def cold(self):
        (photo,) = media.big_photos(os.path.join(WORK, "one"), 1, [])
        command = Command("weir", self.check("--profile", "starter", photo), good=JUDGED)
        command.run()
        command.seconds = [command.run() for _ in range(11)]
        self.say("\n## Cold start: one 12 MP photo under starter, from exec to exit")
        self.say(f"median of {len(command.seconds)} runs, ± {command.spread:.0%}")
        self.goal("cold weir check of one photo", command.median * 1000, 300, "ms", most=True)
        self.results["cold"] = command.seconds

    def micro(self):
        """PDQ and the sandbox, by the Rust program beside this one; the reference for PDQ in the same run."""
        photos = media.big_photos(os.path.join(WORK, "12mp"), 16, sorted(glob.glob(os.path.join(DATA, "faces", "*.jp*g"))))[:6]
        program = os.path.join(os.path.dirname(self.weir), "weir-micro")
        if not os.path.exists(program):
            raise SystemExit(f"bench: {program} is not there; build the workspace: cargo build --release")
        ours = [Command("weir, 1 thread", [program, "pdq", *photos])]
        peers = [Command(f"pdqhash, {how}", [sys.executable, os.path.join(HERE, "pdq_peer.py"), how, *photos]) for how in ("opencv", "pil", "opencv-512")]
        self.compare("PDQ of 12 MP JPEGs, decode included, one thread", ours + peers, len(photos), "photos", {peers[0].name: 3})
        # Huge pages on both sides, as workers have them: else the comparison would flatter the sandbox.
        env = os.environ | {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
        output = subprocess.run([program, "sandbox", *photos], capture_output=True, text=True, check=True, env=env).stdout
        self.say("\n## What the sandbox adds to a photo")
        self.say(output.strip())
        median = float(re.search(r"overhead: median (-?[0-9.]+) ms", output).group(1))
        self.goal("sandbox overhead per photo, median", median, 3, "ms", most=True)


def refused(nsfw):
    """Whether the thresholds of photo-dating refuse a picture with these scores."""
    return bool(nsfw) and (nsfw["porn"] > 0.5 or nsfw["hentai"] > 0.5 or nsfw["sexy"] > 0.7)


def found_plants(command, plants):
    """Indices of the plants that a command found: the peer names them, Weir gives a span of time."""
    found = set()
    for line in parse(command.output):
        found.update(line.get("matches") or [])
        for finding in line.get("findings") or []:
            if finding.get("detector") != "hash" or finding.get("start_ms") is None:
                continue
            start, end = finding["start_ms"] / 1000, (finding.get("end_ms") or finding["start_ms"]) / 1000
            found.update(p["index"] for p in plants if start <= p["at"] + p["length"] and end >= p["at"])
    return found


def parse(output):
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def seconds_a_run(path, side):
    """Median time of one picture through a model, one thread."""
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: numpy.zeros((1, 3, side, side), numpy.float32)}
    times = []
    for _ in range(50):
        began = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def machine():
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), os.uname().machine)
    load = os.getloadavg()[0]
    busy = "" if load <= IDLE_LOAD else f": NOT IDLE (above {IDLE_LOAD}), so take no number from this run"
    return f"{JOBS} × {model}, load average {load:.2f} at the start{busy}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weir")
    parser.add_argument("--only", default="photos,video,cold,micro")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    began = time.monotonic()
    bench = Bench(arguments.weir, arguments.rounds)
    bench.say(f"# Bench on {machine()}")
    parts = arguments.only.split(",")
    peer_models = bench.models() if {"photos", "video"} & set(parts) else None
    for part in parts:
        {"photos": lambda: bench.photos(peer_models), "video": lambda: bench.video(peer_models), "cold": bench.cold, "micro": bench.micro}[part]()
    with open(os.path.join(WORK, "results.json"), "w") as file:
        json.dump(bench.results, file, indent=1)
    with open(os.path.join(WORK, "results.md"), "w") as file:
        file.write("\n".join(bench.lines) + "\n")
    bench.say(f"\nWhole bench: {time.monotonic() - began:.0f} s, load average {os.getloadavg()[0]:.2f} at the end")
    bench.say("Kept in .bench/results.md and .bench/results.json")


if __name__ == "__main__":
    main()
