// SPDX-License-Identifier: MIT

#include "server.h"

#include <sys/socket.h>

namespace httpd {

void connection_set::enter(int fd) {
    std::lock_guard lock(mutex_);
    auto index = static_cast<std::size_t>(fd);
    if (index >= is_open_.size()) {
        is_open_.resize(index * 2 + 1);
    }
    is_open_[index] = true;
    ++count_;
}

void connection_set::leave(int fd) {
    std::lock_guard lock(mutex_);
    is_open_[static_cast<std::size_t>(fd)] = false;
    --count_;
}

std::size_t connection_set::size() const {
    std::lock_guard lock(mutex_);
    return count_;
}

void connection_set::end_input() {
    std::lock_guard lock(mutex_);
    for (std::size_t fd = 0; fd < is_open_.size(); ++fd) {
        if (is_open_[fd]) {
            ::shutdown(static_cast<int>(fd), SHUT_RD);
        }
    }
}

} // namespace httpd
