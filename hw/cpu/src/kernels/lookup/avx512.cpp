// SPDX-License-Identifier: Apache-2.0

#if defined(__x86_64__)

#include "kernels/lookup/lookup.hpp"

// Last: what follows is compiled for the instruction set.
#include "kernels/avx512.hpp"
#include "kernels/lookup/loops.hpp"

namespace andpop {

void lookup_avx512(const Lookup& a) noexcept {
  if (!a.nibbles) {
    lookup_bytes(a);
    return;
  }
  const __m512i table =
      _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a.table)));
  // The last vector may run over the end, into the slack.
  for (std::int64_t i = 0; i < a.count; i += 64)
    _mm512_storeu_si512(a.out + i, _mm512_shuffle_epi8(table, _mm512_loadu_si512(a.in + i)));
}

}  // namespace andpop

#endif
