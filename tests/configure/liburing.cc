// SPDX-License-Identifier: MIT
//
// liburing 2.3 or newer: what the ring driver uses of it must be there. Compiled and linked, not
// run: io_uring may well be refused on the machine that builds (a container, an old kernel).
#include <liburing.h>

int main() {
    io_uring ring;
    io_uring_params params{};
    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    if (io_uring_queue_init_params(8, &ring, &params) != 0) {
        return 1;
    }
    io_uring_sqe* sqe = io_uring_get_sqe(&ring);
    io_uring_prep_multishot_accept(sqe, 0, nullptr, nullptr, 0);
    io_uring_sqe_set_data64(sqe, 1);
    io_uring_register_ring_fd(&ring);
    io_uring_get_events(&ring);
    io_uring_queue_exit(&ring);
    return 0;
}
