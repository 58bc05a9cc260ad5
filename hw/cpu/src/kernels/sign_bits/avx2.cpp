// SPDX-License-Identifier: Apache-2.0

#if defined(__x86_64__)

#include "kernels/sign_bits/sign_bits.hpp"

// Last: what follows is compiled for the instruction set.
#include "kernels/avx2.hpp"

namespace andpop {

static_assert(tile_of(kSignBits, sign_bits_avx2).lanes % 32 == 0);

void sign_bits_avx2(const SignBits& a) noexcept {
  for (std::int64_t p = 0; p < a.pixels; ++p) {
    // The last word of a pixel may run over into the next pixel, which is written later; lanes
    // behind the channels compare with 127 and give 0.
    for (std::int64_t c = 0; c < a.channels; c += 32) {
      const __m256i above = _mm256_cmpgt_epi8(load(a.in + p * a.channels + c), load(a.bound + c));
      std::uint32_t always;
      __builtin_memcpy(&always, a.always + c / 8, sizeof always);
      const std::uint32_t bits = static_cast<std::uint32_t>(_mm256_movemask_epi8(above)) | always;
      __builtin_memcpy(a.out + p * a.bytes + c / 8, &bits, sizeof bits);
    }
  }
}

}  // namespace andpop

#endif
