/* Stands behind libopus' own function, here by the name of `plain`, in the file of that. */

/* What SILK's noise shaping is derived from: the autocorrelation of a signal whose frequencies are warped by a chain of
 * allpass filters. libopus goes from one filter to the next for each sample, so that each operation waits for the one
 * before. Here a filter is a sample behind the one that it is fed by, and four of them go on by one instruction of AVX2.
 * Every number comes about by the same operations in the same order, so the result is the same to the last bit. */

#include <immintrin.h>

#include "celt/cpu_support.h"

/* The least that opus_select_arch() says of a processor with AVX2. */
#define HAS_AVX2 4
/* Filters that go on at once. */
#define WIDE 4
#define PADDED (SHAPE_LPC_WIN_MAX + 2 * MAX_SHAPE_LPC_ORDER)

/* For `n` from 0 on: the signal's samples n - 1, n - 2 and so on are from signal[length + order - n] on. */
static OPUS_INLINE void reverse(double *signal, const silk_float *input, int length, int order)
{
    int n;
    for (n = 0; n < order; n++)
        signal[n] = signal[length + order + n] = 0;
    for (n = 0; n < length; n++)
        signal[order + n] = input[length - 1 - n];
}

static OPUS_INLINE __attribute__((always_inline, target("avx2"))) void wide(
    double *sums, const double *signal, double warping, int length, const int order)
{
    __m256d given[MAX_SHAPE_LPC_ORDER / WIDE], taken[MAX_SHAPE_LPC_ORDER / WIDE], sum[MAX_SHAPE_LPC_ORDER / WIDE];
    const __m256d warp = _mm256_set1_pd(warping);
    const int parts = order / WIDE;
    int k, n;

    for (k = 0; k < parts; k++)
        given[k] = taken[k] = sum[k] = _mm256_setzero_pd();
    for (n = 0; n < length + order; n++) {
        const double *now = signal + length + order - n;
        /* From the last one on, since each takes what the one before it gave for the sample before. */
        for (k = parts - 1; k >= 0; k--) {
            const __m256d before = k > 0 ? given[k - 1] : _mm256_set1_pd(now[0]);
            const __m256d across = _mm256_permute2f128_pd(before, given[k], 0x21);
            const __m256d in = _mm256_shuffle_pd(across, given[k], 0x5);
            const __m256d out = _mm256_sub_pd(
                _mm256_add_pd(taken[k], _mm256_mul_pd(warp, given[k])), _mm256_mul_pd(warp, in));
            taken[k] = in;
            given[k] = out;
            sum[k] = _mm256_add_pd(sum[k], _mm256_mul_pd(_mm256_loadu_pd(now + WIDE * k), out));
        }
    }
    for (k = 0; k < parts; k++)
        _mm256_storeu_pd(sums + WIDE * k, sum[k]);
}

static __attribute__((target("avx2"))) void wide_16(double *sums, const double *signal, double warping, int length)
{
    wide(sums, signal, warping, length, 16);
}

static __attribute__((target("avx2"))) void wide_20(double *sums, const double *signal, double warping, int length)
{
    wide(sums, signal, warping, length, 20);
}

static __attribute__((target("avx2"))) void wide_24(double *sums, const double *signal, double warping, int length)
{
    wide(sums, signal, warping, length, 24);
}

void silk_warped_autocorrelation_FLP(
    silk_float *corr,
    const silk_float *input,
    const silk_float warping,
    const opus_int length,
    const opus_int order)
{
    /* Asked once: on a virtual machine that takes long. */
    static int processor = -1;
    double signal[PADDED], sums[MAX_SHAPE_LPC_ORDER], power = 0;
    int n;

    if (processor < 0)
        processor = opus_select_arch();
    /* The orders that noise shaping has; where the number is known, all is kept in registers. */
    if (processor < HAS_AVX2 || length > SHAPE_LPC_WIN_MAX || (order != 16 && order != 20 && order != 24)) {
        plain(corr, input, warping, length, order);
        return;
    }
    reverse(signal, input, length, order);
    if (order == 16)
        wide_16(sums, signal, warping, length);
    else if (order == 20)
        wide_20(sums, signal, warping, length);
    else
        wide_24(sums, signal, warping, length);

    for (n = 0; n < length; n++)
        power += (double)input[n] * input[n];
    corr[0] = (silk_float)power;
    for (n = 0; n < order; n++)
        corr[n + 1] = (silk_float)sums[n];
}
