#!/usr/bin/env bash
# The C++ of the TensorRT engine without a GPU: every call under sanitizers (addresses, undefined behaviour, leaks; then
# races), and the same text read by a compiler for aarch64 where one is installed.
set -euo pipefail
cd "$(dirname "$0")/../models/src/tensorrt"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
flags=(-std=c++17 -g -Wall -Wextra -Werror -Imock)
c++ "${flags[@]}" -shared -fPIC mock/nvinfer.cpp -o "$out/libnvinfer.so.10"
c++ "${flags[@]}" -shared -fPIC -DNV_TENSORRT_MAJOR=11 mock/nvinfer.cpp -o "$out/wrong.so"
for sanitizer in address,undefined thread; do
    c++ "${flags[@]}" -fsanitize="$sanitizer" -fno-sanitize-recover=all mock/exercise.cpp shim/weir_trt.cpp -ldl -o "$out/exercise"
    echo "shim: $sanitizer"
    # The runtime and its logger stay for good, by design; all else must be freed.
    LSAN_OPTIONS=suppressions=mock/leaks.txt:print_suppressions=0 "$out/exercise" "$out/libnvinfer.so.10" "$out/wrong.so"
done
if command -v aarch64-linux-gnu-g++ >/dev/null; then
    aarch64-linux-gnu-g++ "${flags[@]}" -fsyntax-only shim/weir_trt.cpp mock/pack.cpp
    echo "shim: reads for aarch64"
fi
