// Arithmetic on a few numbers at a time, with the vector types of GCC and Clang, which exist for any processor.
//
// A vector is as wide as the processor's. Long sums always consist of STEP partial sums, however wide a vector is, so
// every instruction set gives the same bits. Functions of a mathematical library differ between machines, so exp, log
// and powers are polynomials here.
#pragma once

#include <cstdint>
#include <cstring>

#ifdef __AVX2__
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif
constexpr int STEP = 8, PARTS = STEP / LANES; // numbers, and vectors, that a loop processes at a time

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

// STEP partial sums.
struct Sums {
    Floats parts[PARTS] = {};

    float total() const {
        float v[STEP];
        std::memcpy(v, parts, sizeof v);
        return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
    }
};

// Points x, y, x, y, ... as vectors of x and of y.
struct Points {
    Floats x, y;
};

inline Points load_points(const float *from) {
    const Floats a = load(from), b = load(from + LANES);
#ifdef __AVX2__
    const Floats x = {a[0], a[2], a[4], a[6], b[0], b[2], b[4], b[6]};
    const Floats y = {a[1], a[3], a[5], a[7], b[1], b[3], b[5], b[7]};
#else
    const Floats x = {a[0], a[2], b[0], b[2]}, y = {a[1], a[3], b[1], b[3]};
#endif
    return {x, y};
}

// 2^n for whole numbers from -126 to 127.
inline Floats power_of_two(Ints n) { return (Floats)((n + 127) << 23); }

// e^x for x <= 0, to two units in the last place; 0 below -87. e^x = 2^n e^r, where e^r = sum r^n / n!, |r| <= log(2)
// / 2.
inline Floats exp_below_0(Floats x) {
    const Floats bounded = most(x, all(-87.0f));
    const Ints n = ints(bounded * 1.44269504f - 0.5f); // rounds towards 0, which is upwards
    // log(2) in two parts: products of the first one with n are exact
    const Floats whole = floats(n), r = (bounded - whole * 0.693359375f) - whole * -2.12194440e-4f;
    const Floats r2 = r * r; // adding terms in pairs makes the chain of dependent operations shorter
    const Floats high = (1.0f / 24 + r * (1.0f / 120)) + r2 * (1.0f / 720 + r * (1.0f / 5040));
    const Floats series = (1.0f + r) + r2 * ((0.5f + r * (1.0f / 6)) + r2 * high);
    return x < -87.0f ? Floats{} : series * power_of_two(n);
}

// x^exponent for x > 0, with a relative error of 2e-5, and of 3e-5 for exponents up to 2. log2 is a polynomial of the
// mantissa and 2^r one of the fraction, fitted for the least maximal error with fixed values at the ends.
inline Floats power(Floats x, float exponent) {
    const Ints bits = (Ints)x;
    const Floats m = (Floats)((bits & 0x7FFFFF) | 0x3F800000) - 1.0f;
    const Floats m2 = m * m, high = (0.41560601f + m * -0.19357565f) + m2 * 0.04514903f;
    const Floats mantissa = m * ((1.44191704f + m * -0.70909643f) + m2 * high);
    const Floats log = most(all(-126.0f), (mantissa + floats((bits >> 23) - 127)) * exponent);
    const Ints floor = ints(log + 256.0f) - 256;
    const Floats r = log - floats(floor);
    const Floats curve = (0.69300392f + r * 0.24154982f) + r * r * (0.05174426f + r * 0.01370200f);
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
