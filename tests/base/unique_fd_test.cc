// SPDX-License-Identifier: MIT
#include "base/captured.h"
#include "base/unique_fd.h"
#include "support/test.h"

#include <utility>

#include <fcntl.h>
#include <unistd.h>

using rt::base::unique_fd;

static bool is_open(int fd) {
    return ::fcntl(fd, F_GETFD) >= 0;
}
static int open_null() {
    return ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}

Test(unique_fd, closes_at_the_end_of_its_scope) {
    int fd = -1;
    {
        const unique_fd owner(open_null());
        fd = owner.get();
        cr_assert(static_cast<bool>(owner));
        cr_assert(is_open(fd));
    }
    cr_assert_not(is_open(fd));
}

Test(unique_fd, minus_one_is_empty) {
    const unique_fd failed(-1);
    cr_assert_not(static_cast<bool>(failed));
    const unique_fd none;
    cr_assert_not(static_cast<bool>(none));
    const unique_fd zero_is_not_empty(::dup(STDIN_FILENO));
    cr_assert(static_cast<bool>(zero_is_not_empty));
}

Test(unique_fd, moves_without_closing) {
    unique_fd first(open_null());
    const int fd = first.get();
    unique_fd second(std::move(first));
    cr_assert(first.get() == -1);
    cr_assert(is_open(fd));
    unique_fd third(open_null());
    const int replaced = third.get();
    third = std::move(second);
    cr_assert(third.get() == fd);
    cr_assert_not(is_open(replaced));
    unique_fd& self = third;
    third = std::move(self);
    cr_assert(third.get() == fd && is_open(fd), "moving to itself keeps the descriptor");
}

Test(unique_fd, release_gives_away_and_reset_closes) {
    unique_fd owner(open_null());
    const int given = owner.release();
    cr_assert_not(static_cast<bool>(owner));
    cr_assert(is_open(given));
    owner.reset(given);
    owner.reset();
    cr_assert_not(is_open(given));
}

Test(unique_fd, resetting_to_itself_is_fatal) {
    cr_assert(rt::test::capture([] {
                  unique_fd owner(open_null());
                  owner.reset(owner.get());
              }).was_aborted());
}
