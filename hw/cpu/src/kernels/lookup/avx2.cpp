// SPDX-License-Identifier: Apache-2.0

#if defined(__x86_64__)

#include "kernels/lookup/lookup.hpp"

// Last: what follows is compiled for the instruction set.
#include "kernels/avx2.hpp"
#include "kernels/lookup/loops.hpp"

namespace andpop {

void lookup_avx2(const Lookup& a) noexcept {
  if (!a.nibbles) {
    lookup_bytes(a);
    return;
  }
  const __m256i table =
      _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a.table)));
  // The last vector may run over the end, into the slack.
  for (std::int64_t i = 0; i < a.count; i += 32)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(a.out + i),
                        _mm256_shuffle_epi8(table, load(a.in + i)));
}

}  // namespace andpop

#endif
