// SPDX-License-Identifier: MIT
module sched

go 1.19
