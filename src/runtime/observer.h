// SPDX-License-Identifier: MIT
//
// The seam between the runtime and whoever looks at it.
//
// Declared here, at the level of the runtime, and defined by introspect above it: the runtime calls
// these at start and stop and knows nothing else of the observer, and no include points up.
#pragma once

#include <string>

namespace rt::engine {

class core;

// A runtime with introspection enabled has started all its workers. The first one opens the socket.
// Failures are reported on standard error and leave the runtime unobserved.
void start_observer(core& runtime) noexcept;

// The end of its workers is about to begin, and with the threads goes what the kernel knows of
// them.
void note_times(core& runtime) noexcept;

// It is about to destroy its workers, which may have ended by now: must not be looked at after this
// returns. The last one removes the socket.
void stop_observer(core& runtime) noexcept;

// The path of this process's socket, or empty.
std::string observer_path();

} // namespace rt::engine
