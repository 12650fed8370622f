// SPDX-License-Identifier: MIT
//
// What is said when an end of a channel is used wrongly. See rt/detail/channel_end.h.
#include "base/assert.h"

#include <rt/detail/channel_end.h>

namespace rt::detail {

void gone_in_use(const char* what) noexcept {
    base::fatal(
        "%s was destroyed, moved, used up or assigned to while a task or thread waits on it, but "
        "it "
        "must outlive the wait: give it to the task that waits, or abort that task and await its "
        "join handle first",
        what
    );
}

} // namespace rt::detail
