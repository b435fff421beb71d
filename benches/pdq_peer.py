"""PDQ by pdqhash from PyPI, decode included, one thread: pdq_peer.py opencv|pil|opencv-512 JPEG…"""

import sys

import cv2
import numpy as np
import pdqhash


def main():
    cv2.setNumThreads(1)
    how, *paths = sys.argv[1:]
    for path in paths:
        if how == "pil":
            from PIL import Image

            rgb = np.asarray(Image.open(path).convert("RGB"))
        else:
            rgb = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
        if how == "opencv-512":
            scale = min(512 / max(rgb.shape[:2]), 1)
            rgb = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        vector, quality = pdqhash.compute(np.ascontiguousarray(rgb))
        print(np.packbits(vector).tobytes().hex(), quality)


if __name__ == "__main__":
    main()
