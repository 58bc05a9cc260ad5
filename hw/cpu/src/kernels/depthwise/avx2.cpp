// SPDX-License-Identifier: Apache-2.0

#if defined(__x86_64__)

#include "kernels/depthwise/depthwise.hpp"

// Last: what follows is compiled for the instruction set.
#include "kernels/avx2.hpp"

namespace andpop {

static_assert(tiles::depthwise_avx2.lanes == 16 && tiles::depthwise_avx2.depth == 2);

namespace {

template <bool kSigned>
inline __m256i widened(__m128i bytes) noexcept {
  return kSigned ? _mm256_cvtepi8_epi16(bytes) : _mm256_cvtepu8_epi16(bytes);
}

// Two positions at a time: codes of a channel side by side, as its weights lie.
template <bool kSigned>
void depthwise(const Depthwise& a) noexcept {
  const std::int64_t block = 16 * a.count;
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    const std::uint8_t* in = a.in + p * a.step;
    std::int32_t* out = a.out + p * a.channels;
    const std::int16_t* weights = a.weights;
    // The last vectors of a pixel may run over into the next pixel, which is written later.
    for (std::int64_t c = 0; c < a.channels; c += 16, weights += block) {
      __m256i low = load(a.bias + c);
      __m256i high = load(a.bias + c + 8);
      const std::int16_t* w = weights;
      for (std::int64_t t = 0; t < a.count; t += 2, w += 32) {
        const auto* first = reinterpret_cast<const __m128i*>(in + a.taps[t] + c);
        const auto* second = reinterpret_cast<const __m128i*>(in + a.taps[t + 1] + c);
        const __m128i x = _mm_loadu_si128(first);
        const __m128i y = _mm_loadu_si128(second);
        const __m256i of_low = widened<kSigned>(_mm_unpacklo_epi8(x, y));
        const __m256i of_high = widened<kSigned>(_mm_unpackhi_epi8(x, y));
        low = _mm256_add_epi32(low, _mm256_madd_epi16(of_low, load(w)));
        high = _mm256_add_epi32(high, _mm256_madd_epi16(of_high, load(w + 16)));
      }
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + c), low);
      if (c + 8 < a.channels) _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + c + 8), high);
    }
  }
}

}  // namespace

void depthwise_avx2(const Depthwise& a) noexcept {
  if (a.is_signed) {
    depthwise<true>(a);
  } else {
    depthwise<false>(a);
  }
}

}  // namespace andpop

#endif
