// SPDX-License-Identifier: MIT
#pragma once

#include <rt/net/address.h>
#include <rt/net/async_fd.h>
#include <rt/net/tcp.h>
