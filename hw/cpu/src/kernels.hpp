// SPDX-License-Identifier: Apache-2.0
// The compute kernels of the CPU engine: one table of function pointers per instruction set.

#pragma once

#include <cstddef>
#include <cstdint>

namespace andpop {

// Bytes behind every buffer that a kernel may read, and behind every output that it may overwrite:
// kernels work in whole vectors and leave the tail to be overwritten or ignored.
constexpr std::int64_t kSlack = 128;

// Layouts that packer, plan checks and kernels share.
constexpr std::int64_t kBitLanes = 8;         // output channels per block of 1-bit weights
constexpr std::int64_t kIntLanes = 16;        // output channels per block of 8-bit weights
constexpr std::int64_t kIntDepth = 4;         // inputs per group of 8-bit weights
constexpr std::int64_t kParamLanes = 16;      // epilogue parameters are padded to this
constexpr std::int64_t kThresholdLanes = 64;  // thresholds are padded to this

// Asks whether the run shall end early, after `work` operations since it was asked last. No member
// function: what an instruction set's file compiles must not be shared with the others.
struct Poll {
  bool (*ask)(const void* whom, std::int64_t work) noexcept;
  const void* whom;
};

// out[p][o] = inputs - 2 * popcount(windows[p] ^ weights[o])
struct BitGemm {
  const std::uint64_t* windows;  // [pixels][words]; bits behind the inputs are 0
  const std::uint64_t* weights;  // [blocks of kBitLanes][words][kBitLanes]
  std::int32_t* out;             // [pixels][channels]
  std::int64_t pixels, words, channels, inputs;
};

// out[r][p][o] = bias[o] + sum window(r, p)[k] * weights[o][k], exact in 32 bits. A window is read
// where it lies in the picture: runs of bytes at equal distances.
struct IntGemm {
  const std::uint8_t* windows;  // the first one
  const std::int8_t* weights;   // [blocks of kIntLanes][runs * groups][kIntLanes][kIntDepth]
  const std::int32_t* bias;     // [blocks * kIntLanes]
  std::int32_t* out;            // [rows][pixels][channels]
  std::int64_t rows, row_step;  // bytes from a row of windows to the next
  std::int64_t pixels, step;    // windows in a row, bytes from one to the next
  std::int64_t runs, run_step;  // runs in a window, bytes from one to the next
  std::int64_t groups;          // of kIntDepth bytes in a run
  std::int64_t channels;
  std::int64_t short_groups;    // products of so many groups fit 16 bits, pair by pair of bytes
};

// BN -> + shortcut -> RPReLU -> 8 bits, as quant/grid.py `epilogue`; every intermediate fits 32
// bits
struct Epilogue {
  const std::int32_t* acc;      // [pixels][channels]
  const std::int8_t* shortcut;  // [pixels][channels] or null
  const std::int32_t* params;   // rows m, b, zeta, slope, eta of `stride` values each
  std::int8_t* out;             // [pixels][channels]
  std::int64_t pixels, channels, stride;
  int acc_shift, shortcut_shift, pre_shift, slope_shift, out_shift;
  std::int32_t acc_low, acc_high, pre_low, pre_high;
};

// One bit per channel: x > bound, or always
struct SignBits {
  const std::int8_t* in;       // [pixels][channels]
  const std::int8_t* bound;    // [channels padded to kThresholdLanes], 127 in the padding
  const std::uint8_t* always;  // the same as bits
  std::uint8_t* out;           // [pixels][bytes]
  std::int64_t pixels, channels, bytes;
};

// out[p][c] = base[c] + sum of steps[i][c] where in[p][c] > bounds[i][c], modulo 256
struct Levels {
  const std::int8_t* in;      // [pixels][channels]
  const std::int8_t* bounds;  // [count][lanes]
  const std::uint8_t* steps;  // [count][lanes]
  const std::uint8_t* base;   // [lanes]
  std::uint8_t* out;          // [pixels][channels]
  std::int64_t pixels, channels, count, lanes;  // lanes: channels padded to kThresholdLanes
};

// The same for 32-bit inputs
struct AccLevels {
  const std::int32_t* in;      // [pixels][channels]
  const std::int32_t* bounds;  // [count][lanes]
  const std::int32_t* steps;   // [count][lanes]
  const std::int32_t* base;    // [lanes]
  std::uint8_t* out;           // [pixels][channels]
  std::int64_t pixels, channels, count, lanes;  // lanes: channels padded to kParamLanes
};

// out[p][c] = codes[c][number of thresholds[c] not above in[p][c]]
struct SearchLevels {
  const std::int32_t* in;          // [pixels][channels]
  const std::int32_t* thresholds;  // [channels padded to kParamLanes][2**bits], ascending
  const std::uint8_t* codes;       // the same shape
  std::uint8_t* out;               // [pixels][channels]
  std::int64_t pixels, channels;
  int bits;
};

// out[i] = table[in[i]]
struct Lookup {
  const std::uint8_t* in;
  const std::uint8_t* table;  // 256 entries
  std::uint8_t* out;
  std::int64_t count;
  bool nibbles;  // every in[i] is below 16
};

// out[i] = in[i] + shortcut[i] * 2**shortcut_shift, `shift` fraction bits rounded away, in 8 bits;
// every intermediate fits 32 bits
struct Requantise {
  const std::int32_t* in;
  const std::int8_t* shortcut;  // or null
  std::int8_t* out;
  std::int64_t count;
  int shift, shortcut_shift;
};

// Maximum over windows that are clipped to the picture; incomplete when `poll` said stop
struct MaxPool {
  const void* in;  // [height][width][channels]
  void* row;       // scratch [width][channels]
  void* out;       // [out_height][out_width][channels]
  std::int64_t height, width, channels, out_height, out_width;
  std::int64_t kernel_y, kernel_x, stride_y, stride_x, pad_top, pad_left;
  Poll poll;
};

// out[p][2j] = left[p][j], out[p][2j+1] = right[p][j]; count = pixels * channels
struct Shuffle {
  const void* left;
  const void* right;
  void* out;
  std::int64_t count;
};

// out[c] += sum over pixels
struct SumPool {
  const void* in;
  std::int32_t* out;
  std::int64_t pixels, channels;
};

struct Kernels {
  const char* name;
  void (*bit_gemm)(const BitGemm&) noexcept;
  void (*int_gemm)(const IntGemm&) noexcept;
  void (*epilogue)(const Epilogue&) noexcept;
  void (*sign_bits)(const SignBits&) noexcept;
  void (*levels)(const Levels&) noexcept;
  void (*acc_levels)(const AccLevels&) noexcept;
  void (*search_levels)(const SearchLevels&) noexcept;
  void (*lookup)(const Lookup&) noexcept;
  void (*requantise)(const Requantise&) noexcept;
  void (*max_pool_bits)(const MaxPool&) noexcept;
  void (*max_pool_u8)(const MaxPool&) noexcept;
  void (*max_pool_i8)(const MaxPool&) noexcept;
  void (*max_pool_i32)(const MaxPool&) noexcept;
  void (*shuffle_8)(const Shuffle&) noexcept;
  void (*shuffle_32)(const Shuffle&) noexcept;
  void (*sum_pool_u8)(const SumPool&) noexcept;
  void (*sum_pool_i8)(const SumPool&) noexcept;
  void (*sum_pool_i32)(const SumPool&) noexcept;
};

// The reference: plain loops, any machine.
const Kernels& scalar_kernels() noexcept;

#if defined(__x86_64__)
const Kernels& avx2_kernels() noexcept;
// AVX-512 F, BW, VL, VNNI and VPOPCNTDQ (Ice Lake, Zen 4 and later).
const Kernels& avx512_kernels() noexcept;
#endif

}  // namespace andpop
