// Pictures (packed 8-bit RGB or RGBA) → the tensor that a model's manifest describes: value = pixel × gain + offset for
// each channel, planar or packed, 32-bit or 16-bit floats. What a picture does not cover is black. One thread a pixel of
// the canvas; `blockIdx.y` is the picture.
//
// The text is compiled by nvrtc on the device, and by the C++ compiler for the tests of the fake library.

struct WeirPack {
    unsigned width;         // of the canvas, in pixels
    unsigned height;
    unsigned pixel_bytes;   // 3 or 4
    unsigned packed;        // 0: a plane for each channel; 1: channels side by side
    unsigned half;          // 0: 32-bit floats; 1: 16-bit floats
    unsigned source[3];     // which channel of the pixel each channel of the tensor is
    float gain[3];
    float offset[3];
};

#ifndef __CUDACC_RTC__
#include <cstring>
#define __device__ static inline
// To the nearest, ties to even; small numbers keep what they have.
__device__ unsigned short weir_half(float value) {
    unsigned bits;
    memcpy(&bits, &value, sizeof bits);
    unsigned const sign = (bits >> 16) & 0x8000u;
    int const exponent = static_cast<int>((bits >> 23) & 0xffu) - 127 + 15;
    unsigned mantissa = bits & 0x7fffffu;
    if (((bits >> 23) & 0xffu) == 0xffu) {
        return static_cast<unsigned short>(sign | 0x7c00u | (mantissa ? 0x200u : 0u));
    }
    if (exponent >= 31) {
        return static_cast<unsigned short>(sign | 0x7c00u);
    }
    unsigned shift = 13;
    unsigned base = static_cast<unsigned>(exponent > 0 ? exponent : 0) << 10;
    if (exponent <= 0) {
        if (exponent < -10) {
            return static_cast<unsigned short>(sign);
        }
        mantissa |= 0x800000u;
        shift = static_cast<unsigned>(14 - exponent);
    }
    unsigned const rest = mantissa & ((1u << shift) - 1u);
    unsigned const middle = 1u << (shift - 1u);
    unsigned result = base + (mantissa >> shift);
    if (rest > middle || (rest == middle && (result & 1u))) {
        ++result;
    }
    return static_cast<unsigned short>(sign | result);
}
#else
__device__ unsigned short weir_half(float value) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}
#endif

// `table` has for each picture: where its bytes begin, its width, its height.
__device__ void weir_pack_pixel(unsigned char const *pixels, unsigned const *table, void *out, WeirPack spec,
                                unsigned picture, unsigned index) {
    unsigned const area = spec.width * spec.height;
    if (index >= area) {
        return;
    }
    unsigned const *entry = table + picture * 3u;
    unsigned const column = index % spec.width;
    unsigned const row = index / spec.width;
    bool const inside = column < entry[1] && row < entry[2];
    unsigned char const *pixel =
        pixels + entry[0] + (static_cast<unsigned long long>(row) * entry[1] + column) * spec.pixel_bytes;
    unsigned long long const item = static_cast<unsigned long long>(picture) * area * 3u;
    for (unsigned channel = 0; channel < 3u; ++channel) {
        float const value = inside ? static_cast<float>(pixel[spec.source[channel]]) : 0.0f;
        float const result = value * spec.gain[channel] + spec.offset[channel];
        unsigned long long const at =
            spec.packed ? item + index * 3ull + channel : item + static_cast<unsigned long long>(channel) * area + index;
        if (spec.half) {
            static_cast<unsigned short *>(out)[at] = weir_half(result);
        } else {
            static_cast<float *>(out)[at] = result;
        }
    }
}

#ifdef __CUDACC_RTC__
extern "C" __global__ void weir_pack(unsigned char const *pixels, unsigned const *table, void *out, WeirPack spec) {
    weir_pack_pixel(pixels, table, out, spec, blockIdx.y, blockIdx.x * blockDim.x + threadIdx.x);
}
#endif
