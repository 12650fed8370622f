// SPDX-License-Identifier: MIT
//
// One client's connection: read, parse, answer, until one side has had enough.
//
// One task per connection, on whatever worker it is woken; nothing here is shared but the server.
// The loop has two speeds. Requests for /plaintext on a connection that stays open are answered
// without a suspension and without an allocation, straight into the pending output. Everything
// else (files, bodies, closing, faults) is a coroutine of its own. Either way, answers to pipelined
// requests are collected and leave in one write, in order, before the connection waits for input.
//
// Limits: a head, a line of a chunked body and the pending output are bounded by constants and
// options; a body is only kept for /echo, up to --max-body. No client can make a connection wait
// for longer than --idle-timeout at a time without being asked to go.
#pragma once

#include "server.h"

#include <rt/net/tcp.h>
#include <rt/task.h>

namespace httpd {

/// Serves one client. `shared` outlives the task.
rt::task<void> serve(rt::tcp_stream peer, server* shared);

} // namespace httpd
