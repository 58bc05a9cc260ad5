// SPDX-License-Identifier: Apache-2.0
// Compiles the rest of a file for AVX2; what follows calls nothing of the standard library.
//
// Everything here and in the files that include it is in an anonymous namespace, or named after
// the instruction set: no function compiled for it can replace a baseline one at link time.

#pragma once

#include <immintrin.h>

#include <cstdint>

#pragma GCC target("avx2,popcnt")

namespace andpop {
namespace {

inline __m256i load(const void* from) noexcept {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

// What rounding adds before `shift` bits are shifted away.
inline __m256i half(int shift) noexcept {
  return _mm256_set1_epi32(shift == 0 ? 0 : 1 << (shift - 1));
}

// Lanes below `count` (all of 8 from 8 on) for _mm256_maskstore_epi32.
inline __m256i lanes_below(std::int64_t count) noexcept {
  const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count < 8 ? count : 8)), index);
}

// The low bytes of 8 lanes.
inline void store_bytes(std::uint8_t* to, __m256i v) noexcept {
  const __m256i order =
      _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4, 8, 12, -1,
                       -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m256i bytes = _mm256_shuffle_epi8(v, order);
  _mm_storel_epi64(
      reinterpret_cast<__m128i*>(to),
      _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1)));
}

}  // namespace
}  // namespace andpop
