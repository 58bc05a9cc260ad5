// SPDX-License-Identifier: Apache-2.0
// Compiles the rest of a file for AVX-512 with VPOPCNTDQ and VNNI; see avx2.hpp.

#pragma once

#include <immintrin.h>

#include <cstdint>

// GCC 12's own intrinsics start from a register that they leave undefined on purpose.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vpopcntdq,popcnt,bmi2")

namespace andpop {
namespace {

// What rounding adds before `shift` bits are shifted away.
inline __m512i half(int shift) noexcept {
  return _mm512_set1_epi32(shift == 0 ? 0 : 1 << (shift - 1));
}

}  // namespace
}  // namespace andpop
