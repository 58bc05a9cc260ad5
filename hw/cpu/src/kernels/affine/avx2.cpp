// SPDX-License-Identifier: Apache-2.0

#if defined(__x86_64__)

#include "kernels/affine/affine.hpp"

// Last: what follows is compiled for the instruction set.
#include "kernels/avx2.hpp"

namespace andpop {
namespace {

constexpr int kPart = 17;  // the lower bits of a factor, and those above them, fit 32 signed bits

struct Limits {
  __m256i low, high;
  __m128i shift;
};

// Four codes in the low bytes of 64-bit lanes; x is in the low halves of these.
inline __m256i codes(__m256i x, const std::int64_t* factors, const std::int64_t* summands,
                     const Limits& l) noexcept {
  const __m256i factor = load(factors);
  const __m256i lower = _mm256_and_si256(factor, _mm256_set1_epi64x((1 << kPart) - 1));
  const __m256i upper = _mm256_srli_epi64(factor, kPart);
  __m256i y = _mm256_slli_epi64(_mm256_mul_epi32(x, upper), kPart);
  y = _mm256_add_epi64(_mm256_add_epi64(y, _mm256_mul_epi32(x, lower)), load(summands));
  y = _mm256_blendv_epi8(y, l.low, _mm256_cmpgt_epi64(l.low, y));
  y = _mm256_blendv_epi8(y, l.high, _mm256_cmpgt_epi64(y, l.high));
  // The byte that is kept lies below the sign.
  return _mm256_srl_epi64(y, l.shift);
}

}  // namespace

static_assert(tiles::affine_avx2.lanes % 8 == 0);

void affine_avx2(const Affine& a) noexcept {
  const Limits l{_mm256_set1_epi64x(a.low), _mm256_set1_epi64x(a.high),
                 _mm_cvtsi32_si128(a.shift)};
  const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    // The last vector of a pixel may run over into the next pixel, which is written later.
    for (std::int64_t c = 0; c < a.channels; c += 8) {
      const __m256i x = load(a.in + p * a.channels + c);
      const __m256i low = codes(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(x)), a.factors + c,
                                a.summands + c, l);
      const __m256i high = codes(_mm256_cvtepi32_epi64(_mm256_extracti128_si256(x, 1)),
                                 a.factors + c + 4, a.summands + c + 4, l);
      const __m256i both = _mm256_blend_epi32(_mm256_permutevar8x32_epi32(low, even),
                                              _mm256_permutevar8x32_epi32(high, even), 0xf0);
      store_bytes(a.out + p * a.channels + c, both);
    }
  }
}

}  // namespace andpop

#endif
