// SPDX-License-Identifier: Apache-2.0

#if defined(__x86_64__)

#include "kernels/sign_bits/sign_bits.hpp"

// Last: what follows is compiled for the instruction set.
#include "kernels/avx512.hpp"

namespace andpop {

static_assert(tile_of(kSignBits, sign_bits_avx512).lanes % 64 == 0);

void sign_bits_avx512(const SignBits& a) noexcept {
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    // The last word of a pixel may run over into the next pixel, which is written later; lanes
    // behind the channels compare with 127 and give 0.
    for (std::int64_t c = 0; c < a.channels; c += 64) {
      const __m512i x = _mm512_loadu_si512(a.in + p * a.channels + c);
      const __m512i bound = _mm512_loadu_si512(a.bound + c);
      std::uint64_t bits = _cvtmask64_u64(_mm512_cmpgt_epi8_mask(x, bound));
      std::uint64_t always;
      __builtin_memcpy(&always, a.always + c / 8, sizeof always);
      bits |= always;
      __builtin_memcpy(a.out + p * a.bytes + c / 8, &bits, sizeof bits);
    }
  }
}

}  // namespace andpop

#endif
