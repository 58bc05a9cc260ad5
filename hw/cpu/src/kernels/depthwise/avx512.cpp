// SPDX-License-Identifier: Apache-2.0

#if defined(__x86_64__)

#include "kernels/depthwise/depthwise.hpp"

// Last: what follows is compiled for the instruction set.
#include "kernels/avx512.hpp"

namespace andpop {

static_assert(tiles::depthwise_avx512.lanes == 32 && tiles::depthwise_avx512.depth == 2);

namespace {

template <bool kSigned>
inline __m512i widened(__m128i lower, __m128i upper) noexcept {
  const __m256i bytes = _mm256_set_m128i(upper, lower);
  return kSigned ? _mm512_cvtepi8_epi16(bytes) : _mm512_cvtepu8_epi16(bytes);
}

// Two positions at a time: codes of a channel side by side, as its weights lie.
template <bool kSigned>
void depthwise(const Depthwise& a) noexcept {
  const std::int64_t block = 32 * a.count;
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    const std::uint8_t* in = a.in + p * a.step;
    std::int32_t* out = a.out + p * a.channels;
    const std::int16_t* weights = a.weights;
    for (std::int64_t c = 0; c < a.channels; c += 32, weights += block) {
      __m512i low = _mm512_loadu_si512(a.bias + c);
      __m512i high = _mm512_loadu_si512(a.bias + c + 16);
      const std::int16_t* w = weights;
      for (std::int64_t t = 0; t < a.count; t += 2, w += 64) {
        const std::uint8_t* first = in + a.taps[t] + c;
        const std::uint8_t* second = in + a.taps[t + 1] + c;
        const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(first));
        const __m128i y = _mm_loadu_si128(reinterpret_cast<const __m128i*>(second));
        const __m128i u = _mm_loadu_si128(reinterpret_cast<const __m128i*>(first + 16));
        const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(second + 16));
        const __m512i of_low =
            widened<kSigned>(_mm_unpacklo_epi8(x, y), _mm_unpackhi_epi8(x, y));
        const __m512i of_high =
            widened<kSigned>(_mm_unpacklo_epi8(u, v), _mm_unpackhi_epi8(u, v));
        low = _mm512_dpwssd_epi32(low, of_low, _mm512_loadu_si512(w));
        high = _mm512_dpwssd_epi32(high, of_high, _mm512_loadu_si512(w + 32));
      }
      const std::int64_t left = a.channels - c;
      const auto some = [](std::int64_t lanes) {
        return static_cast<__mmask16>(lanes >= 16 ? 0xffff : (1 << lanes) - 1);
      };
      _mm512_mask_storeu_epi32(out + c, some(left), low);
      if (left > 16) _mm512_mask_storeu_epi32(out + c + 16, some(left - 16), high);
    }
  }
}

}  // namespace

void depthwise_avx512(const Depthwise& a) noexcept {
  if (a.is_signed) {
    depthwise<true>(a);
  } else {
    depthwise<false>(a);
  }
}

}  // namespace andpop

#endif
