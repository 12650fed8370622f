// SPDX-License-Identifier: MIT
//
// What every other header needs first: is this compiler fit for librt, what does the library export
// (RT_API), and which features was it built with (rt::features, from <rt/version.h>). It includes
// nothing heavy and declares nothing in namespace rt itself.
//
// Why the refusal of GCC 12 is an #error and not a warning: the programs it produces from correct
// source crash or silently skip code. A co_await in a condition skips the coroutine's whole body
// when there is no local variable before it (GCC PR106188); the captures of a lambda that is a
// temporary inside a co_await expression are destroyed twice; and symmetric transfer is a real call
// in all but a few flag sets, so that the stack grows with every await. configure runs the same
// cases (see tests/configure/) before it accepts a compiler.
#pragma once

#include <rt/version.h>

#include <version>

#if !defined(__linux__)
#    error "librt runs on Linux only."
#endif

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13 && !defined(LIBRT_ALLOW_GCC12)
#    error "GCC 12 miscompiles coroutines: co_await in a condition, lambda captures, deep awaits."
#    error "Use clang++-19, or define LIBRT_ALLOW_GCC12 in a program without coroutines of its own."
#endif

#if !defined(__cpp_impl_coroutine) || __cplusplus <= 202002L
#    error "librt needs C++23: compile with -std=c++23."
#endif

#if !defined(__cpp_lib_expected)
#    error "librt needs std::expected: with the library of GCC 12, that takes clang++-19 or newer."
#endif

/// Marks what the shared library exports; everything else is compiled with hidden visibility.
#define RT_API __attribute__((visibility("default")))
/// The same for a class that has other attributes, in their brackets: GCC takes only one kind.
#define RT_API_ATTRIBUTE gnu::visibility("default")
