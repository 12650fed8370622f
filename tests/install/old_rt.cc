// SPDX-License-Identifier: MIT
//
// A program that has nothing to do with librt, and links -lrt because it always did.
#include <cerrno>

#include <sys/mman.h>

int main() {
    return shm_unlink("/librt-test-no-such-object") == -1 && errno == ENOENT ? 0 : 1;
}
