// The kernel's text run on the host, pixel after pixel.
#include "../kernel/pack.cu"

extern "C" void weir_pack_on_host(unsigned char const *pixels, unsigned const *table, void *out, WeirPack const *spec,
                                  unsigned pictures) {
    for (unsigned picture = 0; picture < pictures; ++picture) {
        for (unsigned index = 0; index < spec->width * spec->height; ++index) {
            weir_pack_pixel(pixels, table, out, *spec, picture, index);
        }
    }
}
