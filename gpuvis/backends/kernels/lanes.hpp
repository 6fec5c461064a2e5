// Eight numbers at a time, in the vector types that GCC and Clang have for any processor.
//
// A compiler may split or join such operations, but never rounds otherwise: the same bits come from each instruction
// set. Functions of a mathematical library would differ from machine to machine, so exp, log and pow are polynomials.
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>

constexpr int LANES = 8;
using Floats = float __attribute__((vector_size(4 * LANES)));
using Ints = std::int32_t __attribute__((vector_size(4 * LANES)));

inline Floats load(const float *from) {
    Floats values;
    std::memcpy(&values, from, sizeof values);
    return values;
}

inline void store(Floats values, float *to) { std::memcpy(to, &values, sizeof values); }

inline Floats all(float value) { return Floats{} + value; }

inline Floats least(Floats a, Floats b) { return a < b ? a : b; }

inline Floats most(Floats a, Floats b) { return a > b ? a : b; }

inline Floats floats(Ints values) { return __builtin_convertvector(values, Floats); }

inline Ints ints(Floats values) { return __builtin_convertvector(values, Ints); }

inline float sum(Floats v) { return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7])); }

// Eight points x, y, x, y, ... as eight x and eight y.
struct Points {
    Floats x, y;
};

inline Points load_points(const float *from) {
    const Floats low = load(from), high = load(from + LANES);
    return {__builtin_shufflevector(low, high, 0, 2, 4, 6, 8, 10, 12, 14),
            __builtin_shufflevector(low, high, 1, 3, 5, 7, 9, 11, 13, 15)};
}

// 2^n for whole numbers from -126 to 127.
inline Floats power_of_two(Ints n) { return (Floats)((n + 127) << 23); }

// e^x for x <= 0, to two units in the last place; 0 below -87. By halvings of e^r = sum r^n / n!, |r| <= log(2) / 2.
inline Floats exp_below_0(Floats x) {
    const Floats bounded = most(x, all(-87.0f));
    const Ints n = ints(bounded * 1.44269504f - 0.5f); // rounds towards 0, which is up
    // log(2) in two parts: products of the first one with n are exact
    const Floats whole = floats(n), r = (bounded - whole * 0.693359375f) - whole * -2.12194440e-4f;
    Floats series = all(1.0f / 5040);
    for (const float coefficient : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f})
        series = series * r + coefficient;
    return x < -87.0f ? Floats{} : series * power_of_two(n);
}

// x^exponent for x > 0, to 2e-5 of itself, and to 3e-5 for exponents up to 2: log2 and 2^r as polynomials of the
// mantissa and of the fraction, fitted for the least maximal error with their ends fixed.
inline Floats power(Floats x, float exponent) {
    const Ints bits = (Ints)x;
    const Floats m = (Floats)((bits & 0x7FFFFF) | 0x3F800000) - 1.0f;
    const Floats tail = 0.41560601f + m * (-0.19357565f + m * 0.04514903f);
    const Floats mantissa = m * (1.44191704f + m * (-0.70909643f + m * tail));
    const Floats log = most(all(-126.0f), (mantissa + floats((bits >> 23) - 127)) * exponent);
    const Ints floor = ints(log + 256.0f) - 256;
    const Floats r = log - floats(floor);
    const Floats curve = 0.69300392f + r * (0.24154982f + r * (0.05174426f + r * 0.01370200f));
    return (1.0f + r * curve) * power_of_two(floor);
}

// log(x) for a normal x > 0: the exponent, and 2 artanh((m - 1) / (m + 1)) of the mantissa.
inline double log_of(double x) {
    std::int64_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    std::int64_t exponent = (bits >> 52) - 1023;
    bits = (bits & 0xFFFFFFFFFFFFF) | 0x3FF0000000000000;
    double m;
    std::memcpy(&m, &bits, sizeof m);
    if (m > 1.4142135623730951) {
        m /= 2;
        ++exponent;
    }
    const double s = (m - 1) / (m + 1), square = s * s;
    double series = 0;
    for (int n = 17; n > 0; n -= 2)
        series = series * square + 1.0 / n;
    return static_cast<double>(exponent) * 0.6931471805599453 + 2 * s * series;
}
