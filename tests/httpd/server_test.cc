// SPDX-License-Identifier: MIT
//
// The set of open connections of examples/httpd, on socket pairs. What the graceful end rests on is
// a property of the kernel: shutting down the receiving side keeps what has arrived. It is tested
// here too, because nobody promises it for every kind of socket.

#include "httpd/server.h"
#include "support/test.h"

#include <string_view>
#include <thread>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

using httpd::connection_set;

Test(server, set_counts_what_entered_and_has_not_left) {
    connection_set set;
    cr_assert_eq(set.size(), 0);
    set.enter(3);
    set.enter(1000);
    cr_assert_eq(set.size(), 2);
    set.leave(3);
    set.enter(3); // the number is used again
    set.leave(1000);
    cr_assert_eq(set.size(), 1);
    set.leave(3);
    cr_assert_eq(set.size(), 0);
}

Test(server, end_of_input_keeps_what_has_arrived_and_what_is_written) {
    int pair[2];
    int other[2];
    cr_assert(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    cr_assert(socketpair(AF_UNIX, SOCK_STREAM, 0, other) == 0);
    connection_set set;
    set.enter(pair[0]);
    cr_assert(write(pair[1], "request", 7) == 7);
    set.end_input();
    char bytes[16];
    cr_assert(read(pair[0], bytes, sizeof bytes) == 7);
    cr_assert(read(pair[0], bytes, sizeof bytes) == 0, "then the end, without waiting");
    cr_assert(write(pair[0], "answer", 6) == 6);
    cr_assert(read(pair[1], bytes, sizeof bytes) == 6);
    cr_assert(write(other[1], "x", 1) == 1); // one that is not in the set is left alone
    cr_assert(read(other[0], bytes, sizeof bytes) == 1);
    cr_assert(recv(other[0], bytes, sizeof bytes, MSG_DONTWAIT) == -1);
    for (int fd : {pair[0], pair[1], other[0], other[1]}) {
        close(fd);
    }
}

Test(server, set_is_safe_for_several_threads) {
    connection_set set;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&set, t] {
            for (int i = 0; i < 2000; ++i) {
                // Numbers no descriptor has, so that end_input() meets nothing.
                int fd = 100000 + t * 100 + i % 100;
                set.enter(fd);
                if (i % 500 == 0) {
                    set.end_input();
                }
                set.leave(fd);
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    cr_assert_eq(set.size(), 0);
}
