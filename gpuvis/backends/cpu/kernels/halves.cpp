// Widen numbers from half precision to float32, exactly (IEEE 754).
#include "kernels.hpp"
#include "lanes.hpp"

void widen(Span<const std::uint16_t> halves, Span<float> values, Range range) {
    for (std::int64_t i = range.first; i < range.last; ++i) {
        const std::uint32_t half = halves[i], exponent = half & 0x7C00, mantissa = half & 0x3FF;
        const std::uint32_t moved = ((half & 0x7FFF) << 13) + (exponent == 0x7C00 ? 0x70000000 : 0x38000000);
        const float small = static_cast<float>(static_cast<std::int32_t>(mantissa)) * 0x1p-24f;
        std::uint32_t bits;
        std::memcpy(&bits, &small, sizeof bits);
        bits = (exponent == 0 ? bits : moved) | (half & 0x8000) << 16;
        std::memcpy(&values[i], &bits, sizeof bits);
    }
}
