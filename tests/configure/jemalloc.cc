// SPDX-License-Identifier: MIT
//
// jemalloc 5 with its own API (mallocx, arenas): one arena per node is what librt wants of it.
#include <jemalloc/jemalloc.h>

int main() {
    unsigned arena = 0;
    size_t size = sizeof(arena);
    if (mallctl("arenas.create", &arena, &size, nullptr, 0) != 0) {
        return 1;
    }
    void* block = mallocx(64, MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE);
    if (block == nullptr) {
        return 1;
    }
    dallocx(block, MALLOCX_TCACHE_NONE);
    return 0;
}
