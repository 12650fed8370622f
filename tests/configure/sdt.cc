// SPDX-License-Identifier: MIT
//
// <sys/sdt.h> of systemtap: a probe with a semaphore.
#define _SDT_HAS_SEMAPHORES 1
#include <sys/sdt.h>

extern "C" {
__extension__ unsigned short librt_answer_semaphore __attribute__((section(".probes")));
}

int main() {
    if (librt_answer_semaphore != 0) {
        DTRACE_PROBE1(librt, answer, 42);
    }
    return 0;
}
